#include "gateway/stream/subscriber.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "gateway/stream/transport.h"
#include "gateway/stream_log.h"
#include "runtime/http.h"
#include "runtime/log.h"

/* A request whose head is held. Lives in the request's pool and dies with it. */
struct subscriber_request {
    struct subscriber *subscriber; /* NULL once the head was sent */
    h2o_req_t *req;
};

static void set_state(struct subscriber *subscriber, enum subscriber_state next)
{
    static const uint8_t allowed[] = {
        [SUBSCRIBER_OPENING] = 1u << SUBSCRIBER_LIVE | 1u << SUBSCRIBER_ENDING | 1u << SUBSCRIBER_CLOSED,
        [SUBSCRIBER_LIVE] = 1u << SUBSCRIBER_ENDING | 1u << SUBSCRIBER_CLOSED,
        [SUBSCRIBER_ENDING] = 1u << SUBSCRIBER_CLOSED,
        [SUBSCRIBER_CLOSED] = 1u << SUBSCRIBER_RELEASED,
        [SUBSCRIBER_RELEASED] = 0,
    };
    (void)allowed;
    assert(allowed[subscriber->state] & 1u << next);
    subscriber->state = next;
}

struct subscriber *subscriber_create(const struct subscriber_owner *owner, struct hub *hub, const struct transport *transport,
                                     uint32_t count, enum welcome welcome)
{
    size_t size = sizeof(struct subscriber) + count * sizeof(struct member);
    struct subscriber *subscriber = h2o_mem_alloc(size);
    memset(subscriber, 0, size);
    subscriber->owner = owner;
    subscriber->hub = hub;
    subscriber->transport = transport;
    subscriber->state = SUBSCRIBER_OPENING;
    subscriber->welcome = welcome;
    subscriber->busy = true;
    subscriber->rotate_ms = UINT64_MAX;
    subscriber->member_count = (uint16_t)count;
    for (uint32_t i = 0; i < count; ++i)
        subscriber->members[i] = (struct member){.subscriber = subscriber, .index = MEMBER_OUT};
    metric_add(COUNT_STREAMS, 1);
    metric_add(COUNT_STREAMS_OPENED, 1);
    return subscriber;
}

/* Tells the owner when it waits for its client, and once when it does no longer. A stream that takes each event at once, as most do, costs no call. While the head
 * is held it waits for nobody. */
static void settle(struct subscriber *subscriber)
{
    if (subscriber->request != NULL)
        return;
    bool waits = subscriber->state < SUBSCRIBER_CLOSED && (subscriber->busy || subscriber->queue.count != 0);
    if (!waits && !subscriber->waits)
        return;
    subscriber->waits = waits;
    subscriber->owner->changed(subscriber);
}

/* ---- the held head ---- */

static void on_request_gone(void *data)
{
    struct subscriber *subscriber = ((struct subscriber_request *)data)->subscriber;
    if (subscriber == NULL)
        return;
    subscriber->request = NULL;
    h2o_linklist_unlink(&subscriber->slow);
    subscriber_detach(subscriber);
}

void subscriber_hold(struct subscriber *subscriber, h2o_req_t *req, h2o_linklist_t *held)
{
    subscriber->request = h2o_mem_alloc_shared(&req->pool, sizeof(*subscriber->request), on_request_gone);
    *subscriber->request = (struct subscriber_request){subscriber, req};
    h2o_linklist_insert(held, &subscriber->slow);
}

/* The request that was held, which from now on has nothing to do with the subscriber; NULL when none was. */
static h2o_req_t *take_request(struct subscriber *subscriber)
{
    if (subscriber->request == NULL)
        return NULL;
    h2o_req_t *req = subscriber->request->req;
    subscriber->request->subscriber = NULL;
    subscriber->request = NULL;
    h2o_linklist_unlink(&subscriber->slow);
    return req;
}

void subscriber_open(struct subscriber *subscriber)
{
    h2o_req_t *req = take_request(subscriber);
    if (req == NULL)
        return;
    subscriber->transport->open(req, subscriber);
    settle(subscriber);
}

void subscriber_go_live(struct subscriber *subscriber)
{
    set_state(subscriber, SUBSCRIBER_LIVE);
}

/* ---- the queue ---- */

/* What the queue's array takes, beyond the first one. That one stays once it was needed: transports that always queue must not allocate for each event. */
static int64_t array_bytes(const struct frames *queue)
{
    return queue->capacity > FRAMES_FIRST ? (int64_t)(queue->capacity * sizeof(struct frame *)) : 0;
}

static void queue_append(struct subscriber *subscriber, struct frame *frame)
{
    int64_t bytes = (int64_t)frame_enqueue(frame) - array_bytes(&subscriber->queue);
    frames_push(&subscriber->queue, frame);
    subscriber->live_bytes += frame->body;
    metric_add(COUNT_QUEUED_BYTES, bytes + array_bytes(&subscriber->queue));
}

static void queue_clear(struct subscriber *subscriber)
{
    int64_t bytes = array_bytes(&subscriber->queue);
    while (subscriber->queue.count != 0)
        bytes += (int64_t)frame_dequeue(frames_pop(&subscriber->queue));
    metric_add(COUNT_QUEUED_BYTES, -bytes);
    frames_dispose(&subscriber->queue);
    subscriber->offset = subscriber->replayed = 0;
    subscriber->live_bytes = 0;
}

/* Writes what can be written, and does what was to be done when all is out. */
static void flush(struct subscriber *subscriber)
{
    if (!subscriber->busy && subscriber->queue.count != 0)
        subscriber->transport->flush(subscriber);
    if (subscriber->state >= SUBSCRIBER_CLOSED)
        return;
    if (!subscriber->busy && subscriber->queue.count == 0) {
        if (subscriber->state == SUBSCRIBER_ENDING) {
            subscriber_close(subscriber, subscriber->reason);
            return;
        }
        if (subscriber->state == SUBSCRIBER_OPENING)
            subscriber->owner->drained(subscriber);
    }
    settle(subscriber);
}

void subscriber_writable(struct subscriber *subscriber)
{
    subscriber->busy = false;
    flush(subscriber);
}

/* `offset` bytes of the frame are already out. */
static void push(struct subscriber *subscriber, struct frame *frame, uint32_t offset)
{
    if (subscriber->state >= SUBSCRIBER_ENDING)
        return;
    queue_append(subscriber, frame);
    if (offset != 0)
        subscriber->offset = offset;
    flush(subscriber);
}

void subscriber_push(struct subscriber *subscriber, struct frame *frame)
{
    push(subscriber, frame, 0);
}

void subscriber_push_later(struct subscriber *subscriber, struct frame *frame)
{
    queue_append(subscriber, frame);
    subscriber->transport->wait(subscriber);
    settle(subscriber);
}

bool subscriber_sent(struct subscriber *subscriber, struct frame *frame, ssize_t sent)
{
    if (sent == (ssize_t)frame_chunk(frame).n)
        return true;
    if (sent >= 0 || transport_would_block(errno))
        push(subscriber, frame, sent > 0 ? (uint32_t)sent : 0);
    else
        subscriber_broken(subscriber, errno);
    return false;
}

void subscriber_replay(struct subscriber *subscriber, struct frame *const *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; ++i)
        queue_append(subscriber, frames[i]);
    subscriber->replayed = subscriber->queue.count; /* a comment may stand among them */
    subscriber->live_bytes = 0;
    flush(subscriber);
}

void subscriber_written(struct subscriber *subscriber, uint32_t written, uint32_t offset)
{
    assert(written <= subscriber->queue.count);
    subscriber->progress |= written != 0 || offset != subscriber->offset;
    for (uint32_t i = 0; i < written; ++i) {
        struct frame *frame = frames_pop(&subscriber->queue);
        if (subscriber->replayed != 0)
            --subscriber->replayed;
        else
            subscriber->live_bytes -= frame->body;
        metric_add(COUNT_BYTES_OUT, frame->body);
        metric_add(COUNT_QUEUED_BYTES, -(int64_t)frame_dequeue(frame));
    }
    subscriber->offset = offset;
    if (subscriber->queue.count == 0 && subscriber->queue.capacity > FRAMES_FIRST)
        queue_clear(subscriber);
}

/* ---- the end ---- */

void subscriber_end(struct subscriber *subscriber, enum close_reason reason, struct frame *last)
{
    if (subscriber->state >= SUBSCRIBER_ENDING)
        return;
    if (subscriber->request != NULL) {
        subscriber_close(subscriber, reason);
        return;
    }
    subscriber->owner->left(subscriber);
    set_state(subscriber, SUBSCRIBER_ENDING);
    subscriber->reason = reason;
    if (last != NULL)
        queue_append(subscriber, last);
    queue_append(subscriber, frame_last_chunk());
    flush(subscriber);
}

#define FORCED(reason, text, forced) [reason] = forced,
static const bool is_forced[] = {CLOSE_WORDS(FORCED)};

static void log_forced(const struct subscriber *subscriber, enum close_reason reason)
{
    static _Thread_local struct log_budget budgets[CLOSE_REASONS];
    int64_t left_out;
    char address[CLIENT_ADDRESS_TEXT_MAX];
    if (is_forced[reason] && log_budget_take(&budgets[reason], &left_out))
        log_info("stream closed by force", log_slice("reason", counters_close_reason(reason)),
                 log_str("client", client_address_print(&subscriber->client, address)),
                 log_str("protocol", subscriber->transport->name), log_int("channels", subscriber->member_count),
                 log_int("queued_bytes", (int64_t)subscriber->queue.bytes), log_int("left_out", left_out));
}

/* Once it is closed and nothing of libh2o refers to it. */
static void release(struct subscriber *subscriber)
{
    if (subscriber->state != SUBSCRIBER_CLOSED || !subscriber->detached)
        return;
    set_state(subscriber, SUBSCRIBER_RELEASED);
    subscriber->owner->released(subscriber);
}

/* `why` NULL: its transport answers, where the head is held. */
static void close_for(struct subscriber *subscriber, enum close_reason reason, const struct refusal *why)
{
    if (subscriber->state >= SUBSCRIBER_CLOSED)
        return;
    bool written = subscriber->state == SUBSCRIBER_ENDING && !subscriber->busy && subscriber->queue.count == 0;
    metric_add(COUNT_CLOSES + reason, 1);
    log_forced(subscriber, reason);
    metric_add(COUNT_STREAMS, -1);
    if (subscriber->state < SUBSCRIBER_ENDING)
        subscriber->owner->left(subscriber);
    set_state(subscriber, SUBSCRIBER_CLOSED);
    settle(subscriber);
    h2o_req_t *req = take_request(subscriber);
    if (req != NULL) {
        subscriber->detached = true;
        memset(&req->res.headers, 0, sizeof(req->res.headers)); /* they were the stream's */
        if (why == NULL)
            subscriber->transport->open(req, subscriber);
        else if (why->status == 204)
            http_send(req, why->status, NULL, SLICE(""));
        else
            http_error_later(req, why->status, why->retry_s, why->sentence);
    } else if (!subscriber->detached) {
        subscriber->transport->close(subscriber, written);
    }
    stream_log_closed(subscriber->log, reason);
    subscriber->log = NULL;
    queue_clear(subscriber); /* no transport reads it from now on */
    release(subscriber);
}

void subscriber_close(struct subscriber *subscriber, enum close_reason reason)
{
    static const struct refusal why = {503, 1, "the stream was closed before it began"};
    close_for(subscriber, reason, &why);
}

void subscriber_answer(struct subscriber *subscriber, enum close_reason reason)
{
    close_for(subscriber, reason, NULL);
}

h2o_socket_t *subscriber_held_on(const struct subscriber *subscriber)
{
    h2o_req_t *req = subscriber->request->req;
    return req->version >= 0x200 ? NULL : req->conn->callbacks->get_socket(req->conn);
}

void subscriber_refuse(struct subscriber *subscriber, enum close_reason reason, const struct refusal *why)
{
    close_for(subscriber, reason, why);
}

void subscriber_broken(struct subscriber *subscriber, int error)
{
    subscriber_close(subscriber, error == EPIPE || error == ECONNRESET ? CLOSE_CLIENT : CLOSE_WRITE_ERROR);
}

void subscriber_detach(struct subscriber *subscriber)
{
    subscriber->detached = true;
    subscriber_close(subscriber, CLOSE_CLIENT);
    release(subscriber);
}

void subscriber_free(struct subscriber *subscriber)
{
    free(subscriber->end_text);
    free(subscriber);
}
