#include "tests/simulation/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/own_events.h"
#include "gateway/stream/transport.h"
#include "runtime/h2o/h1_pace.h"
#include "runtime/http.h"
#include "tests/simulation/bus.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/world.h"
#include "tests/simulation/world_memory.h"

enum { WIRES = 4096, FD = 10000, SPACE = 1 << 16, ROOM = 1024, SLACK_US = 2000000, POLL_US = 5000000 /* the longest wait */ };

enum protocol { HTTP1, HTTP1_OLD, TLS, HTTP2 };

struct wire {
    struct client *client; /* NULL: its end is closed */
    struct node *node;
    uint32_t worker, number;
    enum protocol protocol;
    struct hub_spec spec;
    struct slice channels[CHANNELS];
    char id[ID_MAX + 1];
    h2o_req_t req;
    h2o_conn_t conn;
    h2o_socket_t sock;
    struct subscriber *subscriber; /* while the transport has it */
    struct {
        void *p;
        void (*dispose)(void *p);
    } shared[2]; /* of the request */
    void *pooled; /* likewise */
    bool accepted, answered; /* the request is at the gateway; … and its head sent */
    bool hung_up; /* what the gateway can see of the client */
    bool ended; /* the gateway has closed its end */
    bool wants_room;
    uint64_t stuck_us; /* since when */
    char *bytes; /* written; the first `arrived` have been read, but make no whole piece yet */
    size_t count, room, arrived;
    size_t space; /* in the socket's buffer */
    bool head; /* was read */
    int status; /* of an answer to a client that polls */
    char tag[24], known_tag[24]; /* its ETag; the one that the request names */
    struct due asks, opens, room_there, leaves, gone, reads, answers;
};

static struct wire *wires[WIRES];
static uint32_t wire_count;

void wires_reset(void)
{
    wire_count = 0;
}

static uint64_t delay_us(const struct wire *wire)
{
    return chance_below(&chance_of_order, wire->node->options.client_us + 1);
}

static bool is_poll(const struct wire *wire)
{
    return wire->spec.form == FORM_JSON;
}

static struct thread *thread_of(struct wire *wire)
{
    return node_worker(wire->node, wire->worker);
}

/* ---- what the client reads ---- */

static bool take_line(struct slice *rest, struct slice *line)
{
    const char *end = memchr(rest->p, '\n', rest->n);
    if (end == NULL)
        return false;
    *line = slice_make(rest->p, (size_t)(end - rest->p));
    *rest = slice_from(*rest, line->n + 1);
    return true;
}

static struct slice value_of(struct slice line, size_t name)
{
    struct slice value = slice_from(line, name);
    return value.n != 0 && value.p[0] == ' ' ? slice_from(value, 1) : value;
}

/* One event or comment. False: it is not whole. */
static bool take_event(struct wire *wire, struct slice *rest)
{
    struct slice bytes = *rest, line, type = SLICE("message"), data = {NULL, 0}, id = {NULL, 0};
    if (bytes.n >= 2 && bytes.p[0] == ':') {
        if (bytes.p[1] != '\n' || wire->client->over)
            violation("client %u: a comment %s", wire->client->number, bytes.p[1] != '\n' ? "with text" : "behind the end");
        *rest = slice_from(bytes, 2);
        return true;
    }
    while (take_line(&bytes, &line)) {
        if (line.n == 0) {
            *rest = bytes;
            client_takes(wire->client, type, data, id.p == NULL ? NULL : &id);
            return true;
        }
        if (slice_starts(line, SLICE("event:")))
            type = value_of(line, 6);
        else if (slice_starts(line, SLICE("data:")))
            data = value_of(line, 5);
        else if (slice_starts(line, SLICE("id:")))
            id = value_of(line, 3);
        else if (!slice_starts(line, SLICE("retry:")))
            violation("client %u: a line that is none of a stream", wire->client->number);
    }
    return false;
}

static bool take_chunk(struct wire *wire, struct slice *rest)
{
    struct slice line, bytes = *rest;
    char *end;
    if (!take_line(&bytes, &line))
        return false;
    size_t size = strtoul(line.p, &end, 16); /* sscanf() would look for the end of all that has come */
    if (end == line.p)
        violation("client %u: a chunk without size", wire->client->number);
    if (bytes.n < size + 2)
        return false;
    struct slice body = slice_make(bytes.p, size);
    *rest = slice_from(bytes, size + 2);
    while (body.n != 0 && wire->client != NULL && take_event(wire, &body))
        continue;
    if (body.n != 0 && wire->client != NULL)
        violation("client %u: a chunk that ends within an event", wire->client->number);
    return true;
}

static bool take_piece(struct wire *wire, struct slice *rest)
{
    struct slice line;
    if (wire->head)
        return wire->protocol == HTTP1 || wire->protocol == TLS ? take_chunk(wire, rest) : take_event(wire, rest);
    if (!take_line(rest, &line))
        return false;
    wire->head = true;
    client_takes_head(wire->client);
    return true;
}

static void on_reads(void *data)
{
    struct wire *wire = data;
    struct client *client = wire->client;
    if (client == NULL)
        return;
    size_t left = wire->count - wire->arrived, some = left < client->read_most ? left : client->read_most;
    wire->arrived += some;
    wire->space += some;
    ++world_steps;
    struct slice rest = slice_make(wire->bytes, wire->arrived);
    while (rest.n != 0 && wire->client != NULL && take_piece(wire, &rest))
        continue;
    if (wire->client == NULL)
        return;
    size_t taken = wire->arrived - rest.n;
    if (taken != 0)
        memmove(wire->bytes, wire->bytes + taken, wire->count - taken);
    wire->count -= taken;
    wire->arrived -= taken;
    if (wire->wants_room && !schedule_waits(&wire->room_there))
        schedule_after(&wire->room_there, delay_us(wire));
    if (wire->count > wire->arrived) {
        schedule_after(&wire->reads, client->read_us);
    } else if (wire->ended) {
        wire->client = NULL;
        client_ends(client, "ended");
    }
}

void wire_read(struct wire *wire)
{
    if (!is_poll(wire) && !schedule_waits(&wire->reads))
        schedule_after(&wire->reads, wire->client->read_us + delay_us(wire));
}

static void append(struct wire *wire, const char *bytes, size_t n)
{
    if (wire->count + n > wire->room) {
        wire->room = (wire->count + n) * 2 < ROOM ? ROOM : (wire->count + n) * 2;
        char *more = world_malloc(wire->room);
        if (wire->count != 0)
            memcpy(more, wire->bytes, wire->count);
        free(wire->bytes);
        wire->bytes = more;
    }
    if (n != 0)
        memcpy(wire->bytes + wire->count, bytes, n);
    wire->count += n;
}

/* As much as there is space for; also for a client that has vanished. */
static size_t write_some(struct wire *wire, struct slice bytes)
{
    size_t n = bytes.n < wire->space ? bytes.n : wire->space;
    wire->space -= n;
    if (wire->client == NULL || n == 0)
        return n;
    append(wire, bytes.p, n);
    wire_read(wire);
    return n;
}

/* ---- the gateway's end ---- */

static struct wire *wire_of(const struct subscriber *subscriber)
{
    if (subscriber->transport == &transport_h2)
        return (struct wire *)subscriber->h2;
    return subscriber->sock == NULL ? NULL : H2O_STRUCT_FROM_MEMBER(struct wire, sock, subscriber->sock);
}

static void dispose_request(struct wire *wire)
{
    for (int i = 0; i < 2; ++i) {
        void *p = wire->shared[i].p;
        wire->shared[i].p = NULL;
        if (p == NULL)
            continue;
        wire->shared[i].dispose(p);
        free(p);
    }
    free(wire->pooled);
    wire->pooled = NULL;
}

/* The client's end learns that there is no more. */
static void end(struct wire *wire)
{
    wire->ended = true;
    if (wire->client != NULL)
        wire_read(wire);
}

static h2o_socket_t *get_socket(h2o_conn_t *conn)
{
    return &H2O_STRUCT_FROM_MEMBER(struct wire, conn, conn)->sock;
}

static const h2o_conn_callbacks_t callbacks = {.get_socket = get_socket};

/* The subscriber lets go of the connection, which is freed once all else did. */
static void detach(struct wire *wire)
{
    struct subscriber *subscriber = wire->subscriber;
    wire->subscriber = NULL;
    if (subscriber->transport == &transport_h2)
        subscriber->h2 = NULL;
    else
        subscriber->sock = NULL;
    end(wire);
    subscriber_detach(subscriber);
}

/* The head is out, and the socket is the stream's. */
static void on_opens(void *data)
{
    struct wire *wire = data;
    struct subscriber *subscriber = wire->subscriber;
    dispose_request(wire);
    if (subscriber == NULL)
        return;
    if (subscriber->state == SUBSCRIBER_CLOSED || wire->hung_up) {
        detach(wire);
        return;
    }
    if (wire->protocol != HTTP2)
        subscriber->sock = &wire->sock;
    subscriber_writable(subscriber);
}

static void transport_open(h2o_req_t *req, struct subscriber *subscriber)
{
    struct wire *wire = H2O_STRUCT_FROM_MEMBER(struct wire, req, req);
    static const struct slice chunked = {"HTTP 200\n2\r\n:\n\r\n", 16}, bare = {"HTTP 200\n:\n", 11};
    subscriber->chunked = wire->protocol == HTTP1 || wire->protocol == TLS;
    wire->subscriber = subscriber;
    wire->answered = true;
    if (wire->protocol == HTTP2)
        subscriber->h2 = (struct h2_stream *)wire;
    write_some(wire, subscriber->chunked ? chunked : bare);
    schedule_after(&wire->opens, delay_us(wire));
}

static struct slice bytes_of(const struct subscriber *subscriber)
{
    const struct frame *frame = frames_at(&subscriber->queue, 0);
    return slice_from(subscriber->chunked ? frame_chunk(frame) : frame_body(frame), subscriber->offset);
}

static void transport_flush(struct subscriber *subscriber)
{
    struct wire *wire = wire_of(subscriber);
    bool later = wire->protocol == HTTP2 && chance_below(&chance_of_order, 2) == 0;
    while (subscriber->queue.count != 0 && !subscriber->busy) {
        struct slice bytes = bytes_of(subscriber);
        size_t n = write_some(wire, bytes);
        if (n == bytes.n)
            subscriber_written(subscriber, 1, 0);
        else if (n != 0)
            subscriber_written(subscriber, 0, subscriber->offset + (uint32_t)n);
        subscriber->busy = n != bytes.n;
    }
    if (!subscriber->busy && !later)
        return;
    if (subscriber->busy) {
        wire->stuck_us = wire->wants_room ? wire->stuck_us : schedule_now_us();
        wire->wants_room = true;
    } else {
        schedule_after(&wire->room_there, delay_us(wire)); /* what was handed over is being sent */
    }
    subscriber->busy = true;
}

static void on_room(void *data)
{
    struct wire *wire = data;
    wire->wants_room = false;
    if (wire->subscriber != NULL && wire->subscriber->state < SUBSCRIBER_CLOSED)
        subscriber_writable(wire->subscriber);
}

static void on_gone(void *data)
{
    struct wire *wire = data;
    if (wire->subscriber != NULL)
        detach(wire);
}

static void transport_close(struct subscriber *subscriber, bool written)
{
    struct wire *wire = wire_of(subscriber);
    (void)written;
    if (wire == NULL)
        return; /* on_opens() ends it */
    if (wire->protocol == HTTP2)
        schedule_after(&wire->gone, delay_us(wire));
    else
        detach(wire);
}

static int transport_fd(const struct subscriber *subscriber)
{
    (void)subscriber;
    return -1; /* the kernel is not asked how its connection is */
}

static int plain_direct(const struct subscriber *subscriber)
{
    return subscriber->chunked && subscriber->sock != NULL ? FD + (int)wire_of(subscriber)->number : TRANSPORT_QUEUE;
}

static int tls_direct(const struct subscriber *subscriber)
{
    return subscriber->chunked && subscriber->sock != NULL ? TRANSPORT_SEND : TRANSPORT_QUEUE;
}

static int h2_direct(const struct subscriber *subscriber)
{
    (void)subscriber;
    return TRANSPORT_QUEUE;
}

static ssize_t send_chunk(struct wire *wire, struct slice bytes)
{
    size_t n = write_some(wire, bytes);
    errno = EAGAIN;
    return n == 0 && bytes.n != 0 ? -1 : (ssize_t)n;
}

static bool transport_send(struct subscriber *subscriber, struct frame *frame)
{
    return subscriber_sent(subscriber, frame, send_chunk(wire_of(subscriber), frame_chunk(frame)));
}

static const void *own_connection(const struct subscriber *subscriber)
{
    (void)subscriber;
    return NULL;
}

/* All HTTP/2 streams of a gateway come over one connection. */
static const void *shared_connection(const struct subscriber *subscriber)
{
    const struct wire *wire = wire_of(subscriber);
    return wire == NULL ? NULL : wire->node;
}

static void no_prefetch(const struct subscriber *subscriber)
{
    (void)subscriber;
}

#define COMMON \
    .open = transport_open, .flush = transport_flush, .close = transport_close, .fd = transport_fd, .prefetch = no_prefetch
const struct transport transport_plain = {.name = "http/1.1", .direct = plain_direct, .connection = own_connection, COMMON};
const struct transport transport_tls = {
    .name = "http/1.1 over TLS", .direct = tls_direct, .send = transport_send, .connection = own_connection, COMMON};
const struct transport transport_h2 = {.name = "http/2", .direct = h2_direct, .connection = shared_connection, COMMON};

/* ---- the system calls and the library's, as the linker leads them here ---- */

ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags)
{
    struct wire *wire = wires[fd - FD];
    (void)flags;
    if (wire->hung_up) {
        errno = EPIPE;
        return -1;
    }
    return send_chunk(wire, slice_make(bytes, n));
}

int __wrap_h2o_socket_get_fd(h2o_socket_t *sock);
int __wrap_h2o_socket_get_fd(h2o_socket_t *sock)
{
    return FD + (int)H2O_STRUCT_FROM_MEMBER(struct wire, sock, sock)->number;
}

int __wrap_poll(struct pollfd *polls, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *polls, nfds_t count, int timeout)
{
    int ready = 0;
    (void)timeout;
    for (nfds_t i = 0; i < count; ++i) {
        polls[i].revents = wires[polls[i].fd - FD]->hung_up ? POLLRDHUP : 0;
        ready += polls[i].revents != 0;
    }
    return ready;
}

void h1_hang_up(h2o_socket_t *sock)
{
    dispose_request(H2O_STRUCT_FROM_MEMBER(struct wire, sock, sock));
}

void *__wrap_h2o_mem_alloc_shared(h2o_mem_pool_t *pool, size_t size, void (*dispose)(void *));
void *__wrap_h2o_mem_alloc_shared(h2o_mem_pool_t *pool, size_t size, void (*dispose)(void *))
{
    h2o_req_t *req = H2O_STRUCT_FROM_MEMBER(h2o_req_t, pool, pool);
    struct wire *wire = H2O_STRUCT_FROM_MEMBER(struct wire, req, req);
    int i = wire->shared[0].p == NULL ? 0 : 1;
    if (wire->shared[i].p != NULL)
        abort();
    wire->shared[i].p = malloc(size);
    wire->shared[i].dispose = dispose;
    return wire->shared[i].p;
}

/* One piece a request. */
void *__wrap_h2o_mem_alloc_pool(h2o_mem_pool_t *pool, size_t size);
void *__wrap_h2o_mem_alloc_pool(h2o_mem_pool_t *pool, size_t size)
{
    h2o_req_t *req = H2O_STRUCT_FROM_MEMBER(h2o_req_t, pool, pool);
    struct wire *wire = H2O_STRUCT_FROM_MEMBER(struct wire, req, req);
    if (wire->pooled != NULL)
        abort();
    wire->pooled = malloc(size);
    return wire->pooled;
}

/* Without a pool: the caller frees it. */
h2o_iovec_t __wrap_h2o_strdup(h2o_mem_pool_t *pool, const char *text, size_t n);
h2o_iovec_t __wrap_h2o_strdup(h2o_mem_pool_t *pool, const char *text, size_t n)
{
    n = n == SIZE_MAX ? strlen(text) : n;
    char *copy = malloc(n + 1);
    (void)pool;
    memcpy(copy, text, n);
    copy[n] = 0;
    return h2o_iovec_init(copy, n);
}

void http_error_later(h2o_req_t *req, int status, unsigned retry_s, const char *sentence)
{
    struct wire *wire = H2O_STRUCT_FROM_MEMBER(struct wire, req, req);
    struct client *client = wire->client;
    char how[16];
    (void)retry_s, (void)sentence;
    dispose_request(wire);
    wire->client = NULL;
    wire->answered = true;
    snprintf(how, sizeof(how), "%d", status);
    trace("gateway %u: refuses client %d: %s %s", wire->node->number, client == NULL ? -1 : (int)client->number, how, sentence);
    if (client != NULL)
        client_ends(client, how);
}

void http_send(h2o_req_t *req, int status, const char *type, struct slice body)
{
    struct wire *wire = H2O_STRUCT_FROM_MEMBER(struct wire, req, req);
    struct client *client = wire->client;
    (void)type;
    wire->answered = true;
    if (is_poll(wire)) { /* its memory goes when the client has it */
        wire->status = status;
        append(wire, body.p, body.n);
        schedule_after(&wire->opens, delay_us(wire));
        if (client != NULL)
            schedule_after(&wire->answers, delay_us(wire));
        return;
    }
    if (status != 204)
        abort();
    dispose_request(wire);
    wire->client = NULL;
    if (client != NULL)
        client_takes_204(client);
}

static void on_answers(void *data)
{
    struct wire *wire = data;
    struct client *client = wire->client;
    if (client == NULL)
        return;
    ++world_steps;
    wire->client = NULL;
    client_takes_answer(client, wire->status, slice_make(wire->bytes, wire->count), wire->tag);
}

void http_add_header(h2o_req_t *req, const char *name, struct slice value)
{
    struct wire *wire = H2O_STRUCT_FROM_MEMBER(struct wire, req, req);
    if (strcmp(name, "etag") == 0)
        snprintf(wire->tag, sizeof(wire->tag), "%.*s", (int)value.n, value.p);
}

struct slice http_header(h2o_req_t *req, const char *name)
{
    struct wire *wire = H2O_STRUCT_FROM_MEMBER(struct wire, req, req);
    return strcmp(name, "if-none-match") == 0 ? slice_of(wire->known_tag) : (struct slice){NULL, 0};
}

/* ---- the client's end ---- */

static void on_asks(void *data)
{
    struct wire *wire = data;
    wire->accepted = true;
    wire->spec.channels = wire->channels;
    wire->spec.resume_id = wire->id[0] != 0 ? slice_of(wire->id) : (struct slice){NULL, 0};
    wire->spec.head_first = !is_poll(wire) && !node_usable(wire->node);
    if (wire->client != NULL)
        wire->client->head_first = wire->spec.head_first;
    hub_open(node_hub(wire->node, wire->worker), &wire->req, &wire->spec);
}

/* The gateway hears that the client has hung up. */
static void on_leaves(void *data)
{
    struct wire *wire = data;
    wire->hung_up = true;
    if (!wire->accepted)
        schedule_cancel(&wire->asks);
    else if (!wire->answered && wire->protocol == HTTP2)
        dispose_request(wire);
    else if (wire->subscriber != NULL && !schedule_waits(&wire->opens) && wire->subscriber->state < SUBSCRIBER_CLOSED)
        subscriber_close(wire->subscriber, CLOSE_CLIENT);
}

void wire_close(struct wire *wire, bool vanishes)
{
    wire->client = NULL;
    schedule_cancel(&wire->reads);
    schedule_cancel(&wire->answers);
    if (!vanishes)
        schedule_after(&wire->leaves, delay_us(wire));
}

static void check_answered(const struct wire *wire, uint64_t now_us)
{
    if (!is_poll(wire) || wire->client == NULL || !wire->accepted || wire->answered)
        return;
    uint64_t due_us = wire->client->asked_us + POLL_US + SLACK_US;
    uint64_t drained_us = wire->node->drained_us == 0 ? UINT64_MAX : wire->node->drained_us + POLL_US + SLACK_US;
    if (due_us < now_us || drained_us < now_us)
        violation("gateway %u: client %u waits for its answer", wire->node->number, wire->client->number);
}

void wires_check(void)
{
    uint64_t now_us = schedule_now_us();
    for (uint32_t i = 0; i < wire_count; ++i) {
        const struct wire *wire = wires[i];
        const struct node_options *options = &wire->node->options;
        if (wire->node->running && wire->node->frozen_us + SLACK_US <= now_us)
            check_answered(wire, now_us);
        if (!wire->node->running || wire->subscriber == NULL || wire->ended || wire->node->frozen_us + SLACK_US > now_us)
            continue;
        if (wire->client == NULL && !wire->hung_up && wire->wants_room &&
            wire->stuck_us + options->write_timeout_ms * 1000 + SLACK_US < now_us)
            violation("gateway %u: a client that reads nothing is not closed", wire->node->number);
        bool takes =
            wire->wants_room && wire->stuck_us + SLACK_US > now_us; /* what was queued before the stream's end, bit by bit */
        if (wire->client != NULL && wire->client->over && wire->client->read_us == 0 && !takes &&
            wire->client->over_us + SLACK_US < now_us)
            violation("gateway %u: the stream of client %u is open behind its end", wire->node->number, wire->client->number);
        if (wire->client != NULL && wire->client->read_us == 0 && !takes && wire->node->drained_us != 0 &&
            wire->node->drained_us + SLACK_US < now_us)
            violation("gateway %u: the stream of client %u is open behind the drain", wire->node->number, wire->client->number);
    }
}

void wires_notice(void)
{
    for (uint32_t i = 0; i < wire_count; ++i)
        if (wires[i]->client == NULL && !wires[i]->hung_up && !schedule_waits(&wires[i]->leaves))
            schedule_after(&wires[i]->leaves, delay_us(wires[i]));
}

struct wire *wire_open(struct client *client, struct node *node, const struct hub_spec *spec, const struct slice *channels,
                       const char *id)
{
    if (wire_count == WIRES)
        abort();
    struct wire *wire = world_malloc(sizeof(*wire));
    memset(wire, 0, sizeof(*wire));
    wire->client = client;
    wire->node = node;
    wire->worker = (uint32_t)chance_below(&chance_of_order, node->options.workers);
    wire->protocol = (enum protocol)chance_below(&chance_of_order, 4);
    wire->spec = *spec;
    memcpy(wire->channels, channels, spec->count * sizeof(channels[0]));
    snprintf(wire->id, sizeof(wire->id), "%s", id);
    wire->space = client->read_most < SPACE ? client->read_most * 2 : SPACE;
    wire->conn.callbacks = &callbacks;
    wire->req.conn = &wire->conn;
    wire->req.version = wire->protocol == HTTP2 ? 0x200 : wire->protocol == HTTP1_OLD ? 0x100 : 0x101;
    wire->sock.ssl = wire->protocol == TLS ? (struct st_h2o_socket_ssl_t *)wire : NULL;
    struct thread *thread = thread_of(wire);
    wire->asks = (struct due){.run = on_asks, .data = wire, .on = thread};
    wire->opens = (struct due){.run = on_opens, .data = wire, .on = thread};
    wire->room_there = (struct due){.run = on_room, .data = wire, .on = thread};
    wire->leaves = (struct due){.run = on_leaves, .data = wire, .on = thread};
    wire->gone = (struct due){.run = on_gone, .data = wire, .on = thread};
    wire->answers = (struct due){.run = on_answers, .data = wire};
    memcpy(wire->known_tag, client->tag_of, sizeof(wire->known_tag));
    wire->reads = (struct due){.run = on_reads, .data = wire};
    wire->number = wire_count;
    wires[wire_count++] = wire;
    schedule_after(&wire->asks, delay_us(wire));
    return wire;
}

void wires_lost(uint16_t gateway)
{
    for (uint32_t i = 0; i < wire_count; ++i) {
        struct wire *wire = wires[i];
        struct client *client = wire->client;
        if (wire->node->number != gateway || client == NULL)
            continue;
        wire->client = NULL;
        schedule_cancel(&wire->reads);
        schedule_cancel(&wire->answers);
        client_ends(client, "cut");
    }
}
