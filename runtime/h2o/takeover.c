/* libh2o 2.2.5 has one way to give a socket away, h2o_http1_upgrade(), and that writes a head with "Connection: upgrade" of its own.
 * socket_write.h puts our head in its place for the length of that one call. */
#include "runtime/h2o/takeover.h"

#include <stdlib.h>

#include "runtime/net/connection.h"
#include "runtime/net/socket_write.h"

struct handover {
    void (*on_done)(void *data, h2o_socket_t *sock);
    void *data;
};

static void on_upgraded(void *data, h2o_socket_t *sock, size_t reqsize)
{
    struct handover handover = *(struct handover *)data;
    (void)reqsize;
    free(data);
    handover.on_done(handover.data, sock);
}

void takeover(h2o_req_t *req, h2o_iovec_t head, void (*on_done)(void *data, h2o_socket_t *sock), void *data)
{
    struct handover *handover = h2o_mem_alloc(sizeof(*handover));
    *handover = (struct handover){on_done, data};
    socket_write_instead(&head);
    connection_of_request(req)->taken_over = true;
    h2o_http1_upgrade(req, NULL, 0, on_upgraded, handover);
    if (socket_write_withdraw())
        abort(); /* socket_write_start() passed, so the library cannot have changed */
}
