#include "runtime/h2o/bodies.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "runtime/h2o/library.h"
#include "runtime/net/client_address.h"
#include "runtime/seeded_hash.h"

enum {
    CLIENTS = 65536, /* two addresses that meet in one share it; nobody can choose to */
    SHARES = 4, /* of the limit, that one client may have */
    UNTOLD_BYTES = 65536, /* that must be free for a body of unknown length */
    SMALL_BYTES = 32768, /* a buffer up to this size, also that of a frame of HTTP/2, may take what a quarter more would be */
};

/* A buffer names its prototype, so that is how it names whose it is, and what. */
struct client {
    h2o_buffer_prototype_t input; /* of a connection */
    h2o_buffer_prototype_t body; /* of a request over HTTP/2 */
    atomic_size_t bytes;
    atomic_bool ready; /* the prototypes are set, for good */
};

static struct {
    size_t limit, share, first_row;
    const struct proxies *proxies;
    struct client clients[CLIENTS];
    struct client proxied; /* who comes through one of `proxies` */
    struct client unknown; /* of a connection whose first buffer was enough so far */
    atomic_size_t bytes;
} all;

/* They are in force for none of our buffers: marks by which those are known. */
static h2o_buffer_mmap_settings_t input_mark = {.threshold = SIZE_MAX}, body_mark = {.threshold = SIZE_MAX};

/* Both of this thread. The request that was refused last. */
static _Thread_local struct {
    const h2o_req_t *req;
    enum bodies_row why;
} refused;

/* The input that was just read up to its end without growing. */
static _Thread_local h2o_buffer_t **filled;

/* --- the account --- */

static struct client *client_of(h2o_buffer_prototype_t *prototype)
{
    if (prototype->mmap_settings == &input_mark)
        return H2O_STRUCT_FROM_MEMBER(struct client, input, prototype);
    return prototype->mmap_settings == &body_mark ? H2O_STRUCT_FROM_MEMBER(struct client, body, prototype) : NULL;
}

static h2o_buffer_prototype_t *prototype_of(h2o_buffer_t *buffer)
{
    return buffer->bytes != NULL ? buffer->_prototype : H2O_STRUCT_FROM_MEMBER(h2o_buffer_prototype_t, _initial_buf, buffer);
}

static size_t counted(const h2o_buffer_t *buffer)
{
    return buffer->bytes == NULL || buffer->capacity <= BODIES_FREE_BYTES ? 0 : buffer->capacity;
}

static void add(struct client *client, size_t bytes)
{
    atomic_fetch_add_explicit(&client->bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&all.bytes, bytes, memory_order_relaxed);
    metric_add(all.first_row + BODIES_BYTES, (int64_t)bytes);
}

static void subtract(struct client *client, size_t bytes)
{
    atomic_fetch_sub_explicit(&client->bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&all.bytes, bytes, memory_order_relaxed);
    metric_add(all.first_row + BODIES_BYTES, -(int64_t)bytes);
}

static bool fits(const atomic_size_t *taken, size_t more, size_t limit)
{
    return more <= limit && atomic_load_explicit(taken, memory_order_relaxed) <= limit - more;
}

/* Whether a buffer may grow from `before` counted bytes to this capacity; else which bound says no. */
static bool has_room(const struct client *client, size_t before, size_t capacity, enum bodies_row *why)
{
    size_t more = capacity - before, limit = all.limit, share = all.share;
    if (capacity <= SMALL_BYTES) {
        limit += limit / 4;
        share += share / 4;
    }
    *why = BODIES_REFUSED;
    if (!fits(&all.bytes, more, limit))
        return false;
    *why = BODIES_REFUSED_ADDRESS;
    return client == &all.proxied || fits(&client->bytes, more, share);
}

/* When it is wanted first: all of them at the start would take 10 MB of a machine that few clients come to. */
static void client_init(struct client *client)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (atomic_load_explicit(&client->ready, memory_order_acquire))
        return;
    pthread_mutex_lock(&lock);
    if (!atomic_load_explicit(&client->ready, memory_order_relaxed)) {
        client->input._initial_buf.capacity = client->body._initial_buf.capacity = BODIES_FIRST_BYTES;
        client->input.mmap_settings = &input_mark;
        client->body.mmap_settings = &body_mark;
        atomic_store_explicit(&client->ready, true, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
}

static struct client *client_at(h2o_socket_t *sock)
{
    struct sockaddr_storage peer;
    struct client_address address = {{0}};
    bool known = h2o_socket_getpeername(sock, (struct sockaddr *)&peer) != 0;
    if (known && proxies_trust(all.proxies, (struct sockaddr *)&peer))
        return &all.proxied;
    if (known && client_address_read(&address, (struct sockaddr *)&peer))
        address = client_address_network(address);
    struct client *client = &all.clients[seeded_hash(&address, sizeof(address)) % CLIENTS];
    client_init(client);
    return client;
}

/* The connection's input is this client's from now on. */
static void hand_over(h2o_buffer_t **slot, struct client *client)
{
    struct client *before = client_of(prototype_of(*slot));
    size_t bytes = counted(*slot);
    if (bytes != 0 && before != NULL)
        subtract(before, bytes);
    if (bytes != 0)
        add(client, bytes);
    h2o_buffer_set_prototype(slot, &client->input);
}

/* --- growing --- */

/* As the library will do it. */
static size_t capacity_for(const h2o_buffer_t *buffer, size_t min_guarantee)
{
    if (buffer->bytes == NULL)
        return min_guarantee < buffer->capacity ? buffer->capacity : min_guarantee;
    size_t capacity = buffer->capacity, used = (size_t)(buffer->bytes - buffer->_buf) + buffer->size;
    if (min_guarantee <= capacity - used || (buffer->size + min_guarantee) * 2 <= capacity)
        return capacity;
    while (capacity - buffer->size < min_guarantee)
        capacity *= 2;
    return capacity == buffer->capacity ? capacity * 2 : capacity;
}

/* Only an input of ours is `unknown`, so the slot is part of its socket. */
static struct client *learn(h2o_buffer_t **slot)
{
    struct client *client = client_at(H2O_STRUCT_FROM_MEMBER(h2o_socket_t, input, slot));
    hand_over(slot, client);
    return client;
}

/* A plain connection's input is read up to its end: the library may be about to take what is in it, as frames of HTTP/2, and reads on then. What reads nothing at all is
 * taken for the end of the connection. Else there is no memory. */
static h2o_iovec_t without_growing(h2o_buffer_t **slot, enum bodies_row why)
{
    h2o_buffer_t *buffer = *slot;
    bool is_input = prototype_of(buffer)->mmap_settings == &input_mark && buffer->bytes != NULL;
    if (is_input && H2O_STRUCT_FROM_MEMBER(h2o_socket_t, input, slot)->ssl == NULL) {
        char *end = buffer->bytes + buffer->size;
        size_t left = (size_t)(buffer->_buf + buffer->capacity - end);
        if (left == 0 && filled != slot)
            metric_add(all.first_row + why, 1);
        filled = left == 0 ? NULL : slot;
        return h2o_iovec_init(end, left);
    }
    metric_add(all.first_row + why, 1);
    return h2o_iovec_init(NULL, 0);
}

/* Without memory the library ends the connection, or over HTTP/2 the stream: wherever a buffer can be one of ours, it looks at this answer. */
h2o_iovec_t h2o_buffer_reserve(h2o_buffer_t **slot, size_t min_guarantee)
{
    struct client *client = client_of(prototype_of(*slot));
    size_t before, capacity;
    enum bodies_row why;
    if (client == NULL || (capacity = capacity_for(*slot, min_guarantee)) <= BODIES_FREE_BYTES ||
        capacity == (before = counted(*slot)))
        return library.h2o_buffer_reserve(slot, min_guarantee);
    if (client == &all.unknown)
        client = learn(slot);
    if (!has_room(client, before, capacity, &why))
        return without_growing(slot, why);
    h2o_iovec_t room = library.h2o_buffer_reserve(slot, min_guarantee);
    add(client, counted(*slot)); /* what was there before, the library has freed */
    return room;
}

void h2o_buffer__do_free(h2o_buffer_t *buffer)
{
    struct client *client = client_of(buffer->_prototype);
    if (client != NULL && counted(buffer) != 0)
        subtract(client, counted(buffer));
    library.h2o_buffer__do_free(buffer);
}

/* --- interface --- */

const char *bodies_check(int64_t limit, int64_t body_limit)
{
    return limit < SHARES * body_limit ? "BODIES_LIMIT: must be at least 4 times BODY_LIMIT" : NULL;
}

void bodies_start(size_t limit, const struct proxies *proxies, size_t first_row)
{
    all.limit = limit;
    all.share = limit / SHARES;
    all.proxies = proxies;
    all.first_row = first_row;
    client_init(&all.unknown);
    client_init(&all.proxied);
}

void bodies_own(h2o_socket_t *sock)
{
    if (all.limit != 0)
        hand_over(&sock->input, &all.unknown);
}

/* A connection reads only while there is room for one first buffer more. */
static size_t capacity_to_read(size_t bytes)
{
    size_t capacity = BODIES_FIRST_BYTES;
    while (capacity < bytes + BODIES_FIRST_BYTES)
        capacity *= 2;
    return capacity;
}

bool bodies_admit(h2o_req_t *req, size_t head, size_t length)
{
    refused.req = NULL;
    if (all.limit == 0 || (length != SIZE_MAX && length > req->conn->ctx->globalconf->max_request_entity_size))
        return true;
    h2o_buffer_t **slot = &req->conn->callbacks->get_socket(req->conn)->input;
    struct client *client = client_of(prototype_of(*slot));
    size_t before = counted(*slot);
    if (client == NULL)
        return true;
    size_t capacity = length == SIZE_MAX ? UNTOLD_BYTES : capacity_to_read(head + length);
    if (capacity <= BODIES_FREE_BYTES || capacity <= before)
        return true;
    if (client == &all.unknown)
        client = learn(slot);
    if (has_room(client, before, capacity, &refused.why))
        return true;
    metric_add(all.first_row + refused.why, 1);
    refused.req = req;
    return false;
}

const char *bodies_refusal(const h2o_req_t *req, int *status)
{
    if (refused.req != req)
        return NULL;
    refused.req = NULL;
    *status = refused.why == BODIES_REFUSED ? 503 : 429;
    return refused.why == BODIES_REFUSED ? "this server is receiving too many bytes of requests (BODIES_LIMIT); retry later"
                                         : "your address is sending too many bytes of requests at once; retry later";
}

void bodies_on_data(h2o_socket_t *sock, h2o_buffer_t **slot)
{
    if (all.limit == 0 || (*slot)->bytes != NULL)
        return;
    struct client *owner = client_of(prototype_of(sock->input));
    if (owner == NULL || owner == &all.unknown)
        owner = client_at(sock);
    *slot = &owner->body._initial_buf;
}
