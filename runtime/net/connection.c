#include "runtime/net/connection.h"

#include <stdlib.h>

#include "runtime/limits.h"
#include "runtime/monotonic.h"

enum {
    KEY_UPDATES_AT_ONCE = 100, /* of TLS 1.3; clients send one after gigabytes, if ever */
    KEY_UPDATE_MS = 1000, /* and then one in so long */
};

static void on_closed(void *data)
{
    struct connection *connection = data;
    struct connection_owner *owner = connection->owner;
    limits_leave(connection->place, monotonic_us());
    free(connection->guard);
    free(connection);
    owner->on_closed(owner);
}

/* sock->on_close is the application's: libh2o itself never sets it. */
void connection_open(h2o_socket_t *sock, struct connection_owner *owner)
{
    struct connection *connection = h2o_mem_alloc(sizeof(*connection));
    *connection = (struct connection){.owner = owner};
    sock->on_close.cb = on_closed;
    sock->on_close.data = connection;
}

struct connection *connection_of(h2o_socket_t *sock)
{
    return sock->on_close.cb == on_closed ? sock->on_close.data : NULL;
}

/* A bucket that is kept as the time at which it will be full again. */
bool connection_takes_key_update(struct connection *connection)
{
    uint64_t now_ms = monotonic_ms();
    if (connection->key_updates_ms < now_ms)
        connection->key_updates_ms = now_ms;
    connection->key_updates_ms += KEY_UPDATE_MS;
    return connection->key_updates_ms - now_ms <= (uint64_t)KEY_UPDATES_AT_ONCE * KEY_UPDATE_MS;
}
