#include "runtime/redis/redis.h"

#include <assert.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "runtime/redis/dial.h"
#include "runtime/redis/handshake.h"
#include "runtime/redis/pipeline.h"
#include "runtime/redis/redis_error.h"
#include "runtime/redis/resp.h"
#include "runtime/timer.h"

enum {
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
    STEADY_MS = 10000, /* a connection that lived this long resets the back-off */
    FEED_MAX = 16384, /* bytes given to the reader at once: it moves the unread rest to the front after each reply */
    READER_KEEP = 65536, /* bytes of buffer the reader keeps when idle */
    QUEUE_MAX = 64 << 20, /* bytes that may wait to be sent */
};

enum state {
    WAITING, /* for the next attempt */
    DIALING, /* where it is, name look-up and connect */
    GREETING,
    READY,
    DROPPING, /* marked; goes when the walk over its replies, or the turn, is over */
};

struct redis {
    struct redis_options options;
    enum state state;
    struct topology *topology, own; /* own: where the options name none */
    struct topology_seeker seeker;
    bool located; /* dial.node is where it is, or was */
    struct dial dial;
    struct handshake handshake;
    h2o_socket_t *sock;
    redisReader *reader;
    struct pipeline pipeline;
    h2o_buffer_t *queued, *sending;
    struct {
        h2o_timeout_t timeout;
        h2o_timeout_entry_t entry;
    } turn_end; /* not a struct timer: those wait a millisecond at least */
    struct timer clock; /* back-off, connect or reply deadline, by state */
    uint64_t backoff_ms;
    uint64_t ready_ms; /* since when this connection was ready; 0: it never was */
    uint64_t heard_ms; /* when something was last received */
    uint64_t answered_ms; /* … that answers a command, or is a part of an answer */
    struct redis_node node; /* where it was ready last; not of a socket */
    bool moved; /* … and that is another one than the time before */
    bool proven; /* and logged as ready, unless lines were too many */
    bool listening; /* a push command was sent on this connection: messages may arrive */
    unsigned walking; /* callbacks of the owner that are running */
    const char *why;
    char why_text[160]; /* of TLS, or of the handshake */
    struct log_limit ready_limit, lost_limit;
};

/* Without recycling, so it holds no memory and threads may share it; without mmap, so it never fails. */
static h2o_buffer_prototype_t buffer_prototype = {._initial_buf = {.capacity = 16384}};

static void set_state(struct redis *redis, enum state next)
{
    static const uint8_t allowed[] = {
        [WAITING] = 1u << DIALING,
        [DIALING] = 1u << GREETING | 1u << WAITING,
        [GREETING] = 1u << READY | 1u << DROPPING | 1u << WAITING,
        [READY] = 1u << DROPPING | 1u << WAITING,
        [DROPPING] = 1u << WAITING,
    };
    (void)allowed; /* without asserts */
    assert(allowed[redis->state] & 1u << next);
    redis->state = next;
}

static void log_state(struct redis *redis, enum log_level level, const char *msg, const char *why)
{
    char place[REDIS_PLACE_MAX];
    const struct redis_url *url = redis->topology->url;
    if (redis->located)
        redis_node_place(place, sizeof(place), url, url->kind == REDIS_UNIX ? NULL : &redis->dial.node);
    else
        redis_url_place(place, sizeof(place), url);
    LOG_AT(level, msg, log_str("connection", redis->options.name), log_str("place", place),
           log_str(why == NULL ? NULL : "why", why == NULL ? "" : why));
}

/* ---- losing the connection ---- */

static void call_back(struct redis *redis, redis_reply_cb cb, void *data, const redisReply *reply, const char *why)
{
    if (cb == NULL)
        return;
    ++redis->walking;
    cb(data, reply, why);
    --redis->walking;
}

static void fail_commands(struct redis *redis, const char *why)
{
    while (pipeline_oldest(&redis->pipeline) != NULL) {
        struct pipeline_item item = pipeline_take(&redis->pipeline);
        if (!item.push)
            call_back(redis, item.cb, item.data, NULL, why);
    }
}

static void hang_up(struct redis *redis)
{
    redis->seeker.asking = false;
    dial_cancel(&redis->dial);
    timer_stop(&redis->clock);
    h2o_timeout_unlink(&redis->turn_end.entry);
    if (redis->sock != NULL)
        h2o_socket_close(redis->sock);
    redis->sock = NULL;
    if (redis->reader != NULL)
        redisReaderFree(redis->reader);
    redis->reader = NULL;
    h2o_buffer_consume(&redis->queued, redis->queued->size);
    h2o_buffer_consume(&redis->sending, redis->sending->size);
    redis->listening = false;
}

/* Half of the back-off is certain, half is chance, so that the processes of a site don't come back in step. */
static void schedule_attempt(struct redis *redis)
{
    timer_start(&redis->clock, redis->backoff_ms / 2 + arc4random_uniform((uint32_t)redis->backoff_ms / 2 + 1));
    redis->backoff_ms = redis->backoff_ms * 2 < BACKOFF_MAX_MS ? redis->backoff_ms * 2 : BACKOFF_MAX_MS;
}

/* The one way back to WAITING. Not from within a walk over the replies: see redis_drop(). */
static void lose(struct redis *redis, const char *why)
{
    uint64_t ready_ms = redis->ready_ms;
    redis->why = why;
    redis->ready_ms = 0;
    hang_up(redis);
    set_state(redis, WAITING);
    if (ready_ms != 0 && monotonic_ms() - ready_ms >= STEADY_MS)
        redis->backoff_ms = BACKOFF_MIN_MS;
    if (log_allowed(&redis->lost_limit))
        log_state(redis, LOG_WARN, redis->proven ? "redis lost" : "redis unreachable", why);
    redis->proven = false;
    schedule_attempt(redis);
    fail_commands(redis, why);
    if (ready_ms != 0 && redis->options.on_lost != NULL) {
        ++redis->walking;
        redis->options.on_lost(redis->options.data, why);
        --redis->walking;
    }
}

/* ---- sending ---- */

static void call_at_turn_end(struct redis *redis)
{
    if (h2o_timeout_is_linked(&redis->turn_end.entry))
        return;
    h2o_timeout_link(redis->options.loop, &redis->turn_end.timeout, &redis->turn_end.entry);
    redis->turn_end.entry.registered_at = 0; /* due, also when the wall clock steps back */
}

void redis_drop(struct redis *redis, const char *why)
{
    if (redis->state != GREETING && redis->state != READY)
        return;
    set_state(redis, DROPPING);
    redis->why = why;
    call_at_turn_end(redis);
}

static void send_queued(struct redis *redis);

/* A failed write is not the end yet: Redis may have said why before it closed, and on_read() finds that and the end. What could not be
 * written stays in `sending`, so nothing follows it. */
static void on_write(h2o_socket_t *sock, const char *err)
{
    struct redis *redis = sock->data;
    if (err != NULL)
        return;
    h2o_buffer_consume(&redis->sending, redis->sending->size);
    send_queued(redis);
}

static void send_queued(struct redis *redis)
{
    if (redis->queued->size == 0 || redis->sending->size != 0)
        return;
    h2o_buffer_t *empty = redis->sending;
    redis->sending = redis->queued;
    redis->queued = empty;
    h2o_iovec_t bytes = h2o_iovec_init(redis->sending->bytes, redis->sending->size);
    h2o_socket_write(redis->sock, &bytes, 1, on_write);
}

static void on_turn_end(h2o_timeout_entry_t *entry)
{
    struct redis *redis = H2O_STRUCT_FROM_MEMBER(struct redis, turn_end.entry, entry);
    if (redis->state == DROPPING)
        lose(redis, redis->why);
    else
        send_queued(redis);
}

static void send_soon(struct redis *redis)
{
    if (redis->sending->size == 0)
        call_at_turn_end(redis);
}

static void queue(struct redis *redis, const struct slice *argv, size_t argc, const struct pipeline_item *item)
{
    resp_write(&redis->queued, argv, argc);
    pipeline_add(&redis->pipeline, item);
    send_soon(redis);
}

/* ---- receiving ---- */

/* "message" and its like for patterns and shards, and "sunsubscribe": the only replies that may answer no command. */
static bool is_message(const redisReply *reply)
{
    static const struct slice tail = {"message", 7};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 || reply->element[0]->type != REDIS_REPLY_STRING)
        return false;
    struct slice kind = slice_make(reply->element[0]->str, reply->element[0]->len);
    return slice_eq(kind, SLICE("sunsubscribe")) || (kind.n >= tail.n && slice_eq(slice_from(kind, kind.n - tail.n), tail));
}

static void push(struct redis *redis, const redisReply *reply)
{
    if (redis->options.on_push == NULL)
        return;
    ++redis->walking;
    redis->options.on_push(redis->options.data, reply);
    --redis->walking;
}

/* The command that this reply, no push, answers. */
static struct pipeline_item *answered_by(struct redis *redis, const redisReply *reply)
{
    struct pipeline_item *oldest = pipeline_oldest(&redis->pipeline);
    if (oldest == NULL || !oldest->loose || redis_error(reply))
        return oldest;
    pipeline_take(&redis->pipeline);
    return pipeline_oldest(&redis->pipeline);
}

static void answer(struct redis *redis, const redisReply *reply)
{
    struct pipeline_item *oldest = answered_by(redis, reply);
    if (oldest == NULL) {
        redis_drop(redis, redis_error_down(reply) != NULL ? redis_error_down(reply) : "Redis sent a reply that was not asked for");
    } else if (oldest->push) {
        bool loose = oldest->loose;
        if (redis_error(reply) || --oldest->left == 0)
            pipeline_take(&redis->pipeline);
        if (!loose || redis_error_down(reply) == NULL)
            push(redis, reply);
    } else {
        struct pipeline_item item = pipeline_take(&redis->pipeline);
        call_back(redis, item.cb, item.data, reply, NULL);
    }
}

static void on_reply(struct redis *redis, const redisReply *reply)
{
    if (redis->listening && is_message(reply)) {
        push(redis, reply);
        return;
    }
    redis->answered_ms = redis->heard_ms;
    answer(redis, reply);
    if (redis_error_is(reply, "MOVED "))
        topology_doubt(redis->topology);
    if (redis->topology->role == TOPOLOGY_PRIMARY && redis_error_is(reply, "READONLY "))
        redis_drop(redis, redis_error_down(reply)); /* it was the primary */
}

/* Gives the reader some bytes and hands out the replies they complete, until one of the callbacks drops the connection. */
static void feed(struct redis *redis, const char *bytes, size_t n)
{
    void *reply = NULL;
    redisReaderFeed(redis->reader, bytes, n);
    while (redis->state != DROPPING) {
        if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
            redis_drop(redis, "Redis sent something that is not its protocol");
            return;
        }
        if (reply == NULL)
            return;
        on_reply(redis, reply);
        freeReplyObject(reply);
    }
}

/* A client certificate is refused after our end of a TLS 1.3 handshake is done: the alert is all that tells. */
static const char *end_sentence(struct redis *redis, const char *err)
{
    const char *alert = redis->topology->url->secure ? tls_client_alert(redis->topology->url->tls) : NULL;
    if (alert == NULL)
        return err == h2o_socket_error_closed ? "Redis closed the connection" : "the connection to Redis broke";
    snprintf(redis->why_text, sizeof(redis->why_text), "Redis refused the TLS session: %s", alert);
    return redis->why_text;
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    struct redis *redis = sock->data;
    redis->heard_ms = monotonic_ms();
    if (!redis->listening)
        redis->answered_ms = redis->heard_ms; /* also in the middle of a long one */
    for (size_t at = 0; at < sock->input->size && redis->state != DROPPING; at += FEED_MAX) {
        size_t left = sock->input->size - at;
        feed(redis, sock->input->bytes + at, left < FEED_MAX ? left : FEED_MAX);
    }
    h2o_buffer_consume(&sock->input, sock->input->size);
    if (redis->state == DROPPING)
        lose(redis, redis->why);
    else if (err != NULL)
        lose(redis, end_sentence(redis, err));
}

/* ---- the handshake ---- */

static void check_replies(struct redis *redis);
static void greet(struct redis *redis);

void redis_proven(struct redis *redis)
{
    if (!redis->proven && redis->state == READY && log_allowed(&redis->ready_limit))
        log_state(redis, LOG_INFO, "redis ready", NULL);
    redis->proven = redis->state == READY;
}

static void become_ready(struct redis *redis)
{
    set_state(redis, READY);
    redis->moved = redis->node.port != 0 && !redis_node_eq(&redis->node, &redis->dial.node);
    redis->node = redis->dial.node;
    redis->ready_ms = redis->heard_ms;
    check_replies(redis);
    if (!redis->options.proven_later)
        redis_proven(redis);
    if (redis->options.on_ready != NULL)
        redis->options.on_ready(redis->options.data);
}

static void on_greeting(void *data, const redisReply *reply, const char *why)
{
    struct redis *redis = data;
    (void)why;
    if (reply == NULL)
        return;
    switch (handshake_answer(&redis->handshake, reply)) {
    case HANDSHAKE_MORE:
        return;
    case HANDSHAKE_DONE:
        become_ready(redis);
        return;
    case HANDSHAKE_AGAIN:
        greet(redis);
        return;
    case HANDSHAKE_FAILED:
        snprintf(redis->why_text, sizeof(redis->why_text), "%s", redis->handshake.why); /* the next handshake begins with none */
        redis_drop(redis, redis->why_text);
        return;
    }
}

static void greet(struct redis *redis)
{
    struct pipeline_item item = {.cb = on_greeting, .data = redis, .since_ms = monotonic_ms(), .left = 1};
    for (size_t left = handshake_write(&redis->handshake, &redis->queued); left != 0; --left)
        pipeline_add(&redis->pipeline, &item);
    send_soon(redis);
}

/* ---- connecting ---- */

static void tune(int fd, uint64_t reply_timeout_ms)
{
    int on = 1, idle_s = 30, interval_s = 10, probes = 3;
    unsigned timeout_ms = reply_timeout_ms > INT_MAX ? INT_MAX : (unsigned)reply_timeout_ms;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

static void on_dialed(void *data, h2o_socket_t *sock, const char *why)
{
    struct redis *redis = data;
    if (sock == NULL) {
        lose(redis, why);
        return;
    }
    if (redis->topology->url->kind != REDIS_UNIX)
        tune(h2o_socket_get_fd(sock), redis->options.reply_timeout_ms);
    redis->sock = sock;
    sock->data = redis;
    redis->reader = redisReaderCreate();
    if (redis->reader == NULL)
        h2o_fatal("no memory");
    redis->reader->maxbuf = READER_KEEP;
    set_state(redis, GREETING);
    h2o_socket_read_start(sock, on_read);
    handshake_begin(&redis->handshake, redis->topology, redis->options.name);
    greet(redis);
}

static void attempt(struct redis *redis)
{
    set_state(redis, DIALING);
    redis->located = false;
    timer_start(&redis->clock, redis->options.connect_timeout_ms);
    topology_ask(redis->topology, &redis->seeker);
}

static void on_found(void *data, const struct redis_node *node, const char *why)
{
    struct redis *redis = data;
    if (why != NULL) {
        lose(redis, why);
        return;
    }
    redis->located = true;
    dial_start(&redis->dial, node);
}

/* What is under way to another node, or stands there, goes at once, and the next attempt comes soon. */
static void on_moved(void *data, const struct redis_node *node)
{
    struct redis *redis = data;
    const char *why = topology_elsewhere(redis->topology);
    if (redis->state != WAITING && redis_node_eq(node, &redis->dial.node))
        return;
    redis->backoff_ms = BACKOFF_MIN_MS;
    if (redis->state == WAITING)
        timer_start(&redis->clock, 0);
    else if (redis->state == DIALING)
        lose(redis, why);
    else
        redis_drop(redis, why);
}

/* ---- time ---- */

static void ping(struct redis *redis)
{
    queue(redis, (struct slice[]){SLICE("PING")}, 1, &(struct pipeline_item){.since_ms = monotonic_ms(), .left = 1});
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* When the connection counts as dead: a command unanswered, and no other one answered, for the whole time; or silence for the whole time, of which the PING that was sent half-way
 * (or any command) had its half. */
static uint64_t dead_at(const struct redis *redis, const struct pipeline_item *oldest)
{
    uint64_t timeout = redis->options.reply_timeout_ms;
    uint64_t unanswered = later(oldest->since_ms, redis->answered_ms) + timeout;
    uint64_t silent = later(redis->heard_ms + timeout, oldest->since_ms + timeout / 2);
    return unanswered < silent ? unanswered : silent;
}

/* Finds what is overdue and sets the clock to when something next could be. */
static void check_replies(struct redis *redis)
{
    uint64_t half = redis->options.reply_timeout_ms / 2, now = monotonic_ms();
    const struct pipeline_item *oldest = pipeline_oldest(&redis->pipeline);
    uint64_t next = oldest != NULL ? dead_at(redis, oldest) : redis->heard_ms + half;
    if (oldest != NULL && now >= next) {
        redis_drop(redis, "Redis did not answer in time");
        return;
    }
    if (oldest == NULL && now >= next) {
        ping(redis);
        next = now + half;
    }
    timer_start(&redis->clock, next - now < half ? next - now : half);
}

static void on_clock(void *data)
{
    struct redis *redis = data;
    switch (redis->state) {
    case WAITING:
        attempt(redis);
        return;
    case DIALING:
        lose(redis, redis->located ? dial_late(&redis->dial) : redis->topology->late(redis->topology));
        return;
    case GREETING:
        lose(redis, "Redis accepted the connection and did not answer in time");
        return;
    case READY:
        check_replies(redis);
        return;
    case DROPPING:
        return;
    }
}

/* ---- interface ---- */

struct redis *redis_open(const struct redis_options *options)
{
    struct redis *redis = h2o_mem_alloc(sizeof(*redis));
    *redis = (struct redis){.options = *options, .backoff_ms = BACKOFF_MIN_MS, .why = "not connected to Redis yet"};
    redis->topology = options->topology != NULL ? options->topology : &redis->own;
    if (options->topology == NULL)
        topology_init_node(&redis->own, options->url, options->url->kind == REDIS_UNIX ? NULL : &options->url->nodes[0],
                           TOPOLOGY_ANY);
    redis->seeker = (struct topology_seeker){.on_found = on_found, .on_moved = on_moved, .data = redis};
    redis->dial = (struct dial){
        .loop = options->loop, .getaddr = options->getaddr, .url = redis->topology->url, .on_done = on_dialed, .data = redis};
    h2o_buffer_init(&redis->queued, &buffer_prototype);
    h2o_buffer_init(&redis->sending, &buffer_prototype);
    h2o_timeout_init(options->loop, &redis->turn_end.timeout, 0);
    redis->turn_end.entry.cb = on_turn_end;
    timer_init(&redis->clock, options->loop, on_clock, redis);
    topology_join(redis->topology, &redis->seeker);
    attempt(redis);
    return redis;
}

void redis_close(struct redis *redis)
{
    assert(redis->walking == 0);
    hang_up(redis);
    redis->state = WAITING;
    redis->why = "the connection to Redis was closed";
    fail_commands(redis, redis->why);
    pipeline_dispose(&redis->pipeline);
    h2o_buffer_dispose(&redis->queued);
    h2o_buffer_dispose(&redis->sending);
    timer_dispose(&redis->clock);
    h2o_timeout_dispose(redis->options.loop, &redis->turn_end.timeout);
    topology_leave(&redis->seeker);
    free(redis);
}

bool redis_ready(const struct redis *redis)
{
    return redis->state == READY;
}

bool redis_moved(const struct redis *redis)
{
    return redis->moved;
}

const char *redis_why(const struct redis *redis)
{
    return redis->state == READY ? NULL : redis->why;
}

bool redis_command(struct redis *redis, const struct slice *argv, size_t argc, redis_reply_cb cb, void *data)
{
    if (redis->state != READY || redis->queued->size > QUEUE_MAX)
        return false;
    queue(redis, argv, argc, &(struct pipeline_item){.cb = cb, .data = data, .since_ms = monotonic_ms(), .left = 1});
    return true;
}

static bool push_command(struct redis *redis, const struct slice *argv, size_t argc, bool loose)
{
    assert(argc > 1);
    if (redis->state != READY || redis->queued->size > QUEUE_MAX)
        return false;
    redis->listening = true;
    queue(redis, argv, argc, &(struct pipeline_item){.since_ms = monotonic_ms(), .left = argc - 1, .push = true, .loose = loose});
    return true;
}

bool redis_push_command(struct redis *redis, const struct slice *argv, size_t argc)
{
    return push_command(redis, argv, argc, false);
}

bool redis_push_loose(struct redis *redis, const struct slice *argv, size_t argc)
{
    bool queued = push_command(redis, argv, argc, true);
    if (queued)
        ping(redis);
    return queued;
}

void redis_doubt(struct redis *redis)
{
    topology_doubt(redis->topology);
}
