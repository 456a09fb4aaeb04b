#include "runtime/h2o/bodies.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include "runtime/h2o/library.h"
#include "runtime/net/client_address.h"
#include "runtime/seeded_hash.h"

enum {
    CLIENTS = 65536, /* two addresses that meet in one share it; nobody can choose to */
    SHARES = 4, /* of the limit, that one client may have */
    HEAD_BYTES = 40960, /* of the largest head that is not refused */
    UNTOLD_BYTES = 65536, /* that must be free for a body of unknown length */
    SMALL_BYTES = 32768, /* a buffer up to this size, also that of a frame of HTTP/2, may take what a quarter more would be */
};

/* A buffer names its prototype, so that is how it names whose it is, and what. */
struct client {
    h2o_buffer_prototype_t input; /* of a connection */
    h2o_buffer_prototype_t body; /* of a request over HTTP/2 */
    h2o_buffer_prototype_t told; /* … whose head told the length: all of it is part of `bytes` already */
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
static h2o_buffer_mmap_settings_t input_mark = {.threshold = SIZE_MAX}, body_mark = {.threshold = SIZE_MAX},
                                  told_mark = {.threshold = SIZE_MAX}, dropped_mark = {.threshold = SIZE_MAX};

/* Of bodies over HTTP/2 that are refused: what comes of them is dropped. */
enum { TOO_LARGE = BODIES_ROWS_COUNT, REFUSALS };
static h2o_buffer_prototype_t dropped[REFUSALS];

/* Both of this thread. The request over HTTP/1 that was refused last. */
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
    if (prototype->mmap_settings == &told_mark)
        return H2O_STRUCT_FROM_MEMBER(struct client, told, prototype);
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

/* What a buffer of this prototype takes more, or less. */
static void count(const h2o_buffer_prototype_t *prototype, struct client *client, int64_t bytes)
{
    if (prototype->mmap_settings != &told_mark)
        atomic_fetch_add_explicit(&client->bytes, (size_t)bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&all.bytes, (size_t)bytes, memory_order_relaxed);
    metric_add(all.first_row + BODIES_BYTES, bytes);
}

/* Whether this capacity fits in the place of `before` bytes that are among those taken. */
static bool fits(const atomic_size_t *taken, size_t before, size_t capacity, size_t limit)
{
    limit += capacity <= SMALL_BYTES ? limit / 4 : 0;
    return atomic_load_explicit(taken, memory_order_relaxed) + capacity <= limit + before;
}

/* Whether a buffer may grow from `before` counted bytes to this capacity; else which bound says no. `client`, which may have `share`, is NULL where its room was kept. */
static bool has_room(const struct client *client, size_t share, size_t before, size_t capacity, enum bodies_row *why)
{
    *why = BODIES_REFUSED;
    if (!fits(&all.bytes, before, capacity, all.limit))
        return false;
    *why = BODIES_REFUSED_ADDRESS;
    return client == NULL || client == &all.proxied || fits(&client->bytes, before, capacity, share);
}

/* When it is wanted first: all of them at the start would take 10 MB of a machine that few clients come to. */
static void client_init(struct client *client)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (atomic_load_explicit(&client->ready, memory_order_acquire))
        return;
    pthread_mutex_lock(&lock);
    if (!atomic_load_explicit(&client->ready, memory_order_relaxed)) {
        client->input._initial_buf.capacity = client->body._initial_buf.capacity = client->told._initial_buf.capacity =
            BODIES_FIRST_BYTES;
        client->input.mmap_settings = &input_mark;
        client->body.mmap_settings = &body_mark;
        client->told.mmap_settings = &told_mark;
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
    h2o_buffer_prototype_t *before = prototype_of(*slot);
    int64_t bytes = (int64_t)counted(*slot);
    if (bytes != 0 && client_of(before) != NULL)
        count(before, client_of(before), -bytes);
    if (bytes != 0)
        count(&client->input, client, bytes);
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

/* A plain connection's input is read up to its end: the library may be about to take what is in it, as frames of HTTP/2, and reads on then, where there was something that it
 * has taken. What reads nothing at all is taken for the end of the connection. Else there is no memory. */
static h2o_iovec_t without_growing(h2o_buffer_t **slot, enum bodies_row why)
{
    h2o_buffer_t *buffer = *slot;
    bool is_input = prototype_of(buffer)->mmap_settings == &input_mark && buffer->bytes != NULL;
    if (is_input && H2O_STRUCT_FROM_MEMBER(h2o_socket_t, input, slot)->ssl == NULL) {
        if (buffer->bytes + buffer->size == buffer->_buf + buffer->capacity)
            buffer->bytes = memmove(buffer->_buf, buffer->bytes, buffer->size);
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

/* Of a body that may have no more than this. */
static size_t length_of(h2o_buffer_t **slot)
{
    return H2O_STRUCT_FROM_MEMBER(h2o_http2_stream_t, _req_body, slot)->_expected_content_length;
}

/* Without memory the library ends the connection, or over HTTP/2 the stream: wherever a buffer can be one of ours, it looks at this answer. */
h2o_iovec_t h2o_buffer_reserve(h2o_buffer_t **slot, size_t min_guarantee)
{
    h2o_buffer_prototype_t *prototype = prototype_of(*slot);
    struct client *client = client_of(prototype);
    bool told = prototype->mmap_settings == &told_mark;
    size_t before, capacity;
    enum bodies_row why;
    if (client == NULL || (capacity = capacity_for(*slot, min_guarantee)) <= BODIES_FREE_BYTES ||
        capacity == (before = counted(*slot)))
        return library.h2o_buffer_reserve(slot, min_guarantee);
    if (told && (*slot)->size + min_guarantee > length_of(slot))
        return h2o_iovec_init(NULL, 0);
    if (client == &all.unknown)
        client = learn(slot);
    if (!has_room(told ? NULL : client, all.share, before, capacity, &why))
        return without_growing(slot, why);
    h2o_iovec_t room = library.h2o_buffer_reserve(slot, min_guarantee);
    count(prototype_of(*slot), client, (int64_t)counted(*slot)); /* what was there before, the library has freed */
    return room;
}

void h2o_buffer__do_free(h2o_buffer_t *buffer)
{
    struct client *client = client_of(buffer->_prototype);
    if (client != NULL && counted(buffer) != 0)
        count(buffer->_prototype, client, -(int64_t)counted(buffer));
    library.h2o_buffer__do_free(buffer);
}

/* --- interface --- */

/* A connection reads only while there is room for one first buffer more. */
static size_t capacity_to_read(size_t bytes)
{
    size_t capacity = BODIES_FIRST_BYTES;
    while (capacity < bytes + BODIES_FIRST_BYTES)
        capacity *= 2;
    return capacity;
}

const char *bodies_check(int64_t limit, int64_t body_limit)
{
    static char sentence[120];
    size_t least = SHARES * capacity_to_read(HEAD_BYTES + (size_t)body_limit);
    if ((size_t)limit >= least)
        return NULL;
    snprintf(sentence, sizeof(sentence), "BODIES_LIMIT: must be at least %zu, so that an address may send a body of BODY_LIMIT",
             least);
    return sentence;
}

void bodies_start(size_t limit, const struct proxies *proxies, size_t first_row)
{
    all.limit = limit;
    all.share = limit / SHARES;
    all.proxies = proxies;
    all.first_row = first_row;
    client_init(&all.unknown);
    client_init(&all.proxied);
    for (size_t i = 0; i < REFUSALS; ++i) {
        dropped[i]._initial_buf.capacity = BODIES_FIRST_BYTES;
        dropped[i].mmap_settings = &dropped_mark;
    }
}

void bodies_own(h2o_socket_t *sock)
{
    if (all.limit != 0)
        hand_over(&sock->input, &all.unknown);
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
    if (has_room(client, all.share, before, capacity, &refused.why))
        return true;
    metric_add(all.first_row + refused.why, 1);
    refused.req = req;
    return false;
}

static struct client *owner_of(h2o_socket_t *sock)
{
    struct client *owner = client_of(prototype_of(sock->input));
    return owner == NULL || owner == &all.unknown ? client_at(sock) : owner;
}

/* Of the buffer of a body of this length: where it begins with so much, it has room for the body, and for no more than some bytes beside, when it has doubled that often. */
static struct first {
    size_t bytes;
    unsigned doublings;
} first_of(size_t length)
{
    struct first first = {length, 0};
    for (; first.bytes > BODIES_FREE_BYTES; ++first.doublings)
        first.bytes = (first.bytes + 1) / 2;
    return first;
}

/* In the request's memory, and gone with it. */
struct kept {
    struct client *client;
    size_t bytes;
};

static void on_request_gone(void *memory)
{
    struct kept *kept = memory;
    atomic_fetch_sub_explicit(&kept->client->bytes, kept->bytes, memory_order_relaxed);
}

/* The rooms that are kept bound what one address can have under way, and leave a quarter of its share to what its connections read. The sum of all counts what has come: else heads
 * without a body would be enough to shut everybody out. */
bool bodies_expect(h2o_req_t *req, h2o_buffer_t **slot, size_t length)
{
    struct first first = first_of(length);
    size_t bytes = first.bytes << first.doublings;
    enum bodies_row why;
    if (all.limit == 0 || length <= BODIES_FREE_BYTES)
        return true;
    if (length > req->conn->ctx->globalconf->max_request_entity_size) {
        *slot = &dropped[TOO_LARGE]._initial_buf;
        return false;
    }
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    struct client *client = owner_of(sock);
    size_t input = counted(sock->input); /* it may hold the first bytes of the body, which the library moves out of it */
    if (!has_room(client, all.share - all.share / 4, input, bytes, &why)) {
        metric_add(all.first_row + why, 1);
        *slot = &dropped[why]._initial_buf;
        return false;
    }
    *slot = &client->told._initial_buf;
    struct kept *kept = h2o_mem_alloc_shared(&req->pool, sizeof(*kept), on_request_gone);
    *kept = (struct kept){client, bytes};
    atomic_fetch_add_explicit(&client->bytes, bytes, memory_order_relaxed);
    return true;
}

bool bodies_drop(h2o_buffer_t **slot)
{
    if (prototype_of(*slot)->mmap_settings != &dropped_mark)
        return false;
    h2o_buffer_consume(slot, (*slot)->size);
    return true;
}

/* SIZE_MAX: it was not refused. */
static size_t refusal_of(h2o_req_t *req)
{
    if (req->version < 0x200) {
        bool is = refused.req == req;
        refused.req = is ? NULL : refused.req;
        return is ? refused.why : SIZE_MAX;
    }
    h2o_buffer_t **slot = &H2O_STRUCT_FROM_MEMBER(h2o_http2_stream_t, req, req)->_req_body;
    if (*slot == NULL || !bodies_drop(slot))
        return SIZE_MAX;
    req->entity = h2o_iovec_init(NULL, 0);
    return (size_t)(prototype_of(*slot) - dropped);
}

const char *bodies_refusal(h2o_req_t *req, int *status)
{
    static const struct {
        int status;
        const char *sentence;
    } refusals[] = {
        [BODIES_REFUSED] = {503, "this server is receiving too many bytes of requests (BODIES_LIMIT); retry later"},
        [BODIES_REFUSED_ADDRESS] = {429, "your address is sending too many bytes of requests at once; retry later"},
        [TOO_LARGE] = {413, "the body is larger than this server accepts (BODY_LIMIT)"},
    };
    size_t why = refusal_of(req);
    if (why == SIZE_MAX)
        return NULL;
    *status = refusals[why].status;
    return refusals[why].sentence;
}

void bodies_on_data(h2o_socket_t *sock, h2o_buffer_t **slot)
{
    if (all.limit == 0 || (*slot)->bytes != NULL || bodies_drop(slot))
        return;
    if (prototype_of(*slot)->mmap_settings == &told_mark)
        library.h2o_buffer_reserve(slot, first_of(length_of(slot)).bytes);
    else
        *slot = &owner_of(sock)->body._initial_buf;
}
