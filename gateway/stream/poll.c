#include "gateway/stream/poll.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/stream/fanout.h"
#include "gateway/stream/hub_channel.h"
#include "gateway/stream_log.h"
#include "runtime/http.h"
#include "runtime/json.h"

enum { FIXED = 160 /* room for what an answer always has, beside names and ids */ };

/* The answer's body. */
struct body {
    char *bytes;
    size_t n;
};

static void put(struct body *body, struct slice bytes)
{
    memcpy(body->bytes + body->n, bytes.p, bytes.n);
    body->n += bytes.n;
}

static void put_string(struct body *body, struct slice text)
{
    body->n += json_quote(body->bytes + body->n, text);
}

static struct slice name_of(const struct subscriber *subscriber, uint32_t i)
{
    return hub_channel_name(subscriber->members[i].fanout->channel);
}

static size_t room_for(const struct subscriber *subscriber)
{
    const struct poll *poll = subscriber->poll;
    size_t room =
        FIXED + subscriber->queue.bytes + json_quoted_max(poll->resume_id.n) + sizeof(poll->position) + sizeof(poll->next);
    for (uint32_t i = 0; i < subscriber->member_count; ++i)
        room += json_quoted_max(name_of(subscriber, i).n) + 1;
    return room;
}

static void put_names(struct body *body, const struct subscriber *subscriber)
{
    bool several = subscriber->member_count > 1;
    put(body, several ? SLICE("{\"channels\":[") : SLICE("{\"channel\":"));
    for (uint32_t i = 0; i < subscriber->member_count; ++i) {
        put(body, i == 0 ? SLICE("") : SLICE(","));
        put_string(body, name_of(subscriber, i));
    }
    put(body, several ? SLICE("]") : SLICE(""));
}

/* The list, and what follows from it: the id to go on from, and whether something is missing. */
static void put_events(struct body *body, const struct subscriber *subscriber)
{
    const struct poll *poll = subscriber->poll;
    struct slice last = {NULL, 0};
    bool gap = false;
    put(body, SLICE(",\"events\":["));
    size_t begin = body->n;
    for (uint32_t i = 0; i < subscriber->queue.count; ++i) {
        const struct frame *frame = frames_at(&subscriber->queue, i);
        gap = gap || frame->kind == FRAME_GAP;
        last = frame->id_len != 0 ? frame_id(frame) : last;
        if (frame->body > frame->id_len)
            put(body, frame_body(frame));
    }
    body->n -= body->n != begin; /* the last comma */
    put(body, SLICE("],\"last_event_id\":"));
    if (poll->next[0] != 0)
        put_string(body, slice_of(poll->next));
    else if (last.p != NULL)
        put(body, last);
    else
        put_string(body, poll->resume_id.p != NULL ? poll->resume_id : slice_of(poll->position));
    put(body, gap ? SLICE(",\"gap\":true") : SLICE(""));
}

static struct body make_body(const struct subscriber *subscriber)
{
    struct body body = {.bytes = h2o_mem_alloc(room_for(subscriber))};
    put_names(&body, subscriber);
    put_events(&body, subscriber);
    put(&body, subscriber->poll->more ? SLICE(",\"more\":true") : SLICE(",\"more\":false"));
    put(&body, subscriber->poll->ended ? SLICE(",\"ended\":true}") : SLICE(",\"ended\":false}"));
    return body;
}

/* FNV-1a: the same at every gateway. */
static void format_tag(char out[20], const struct body *body)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i != body->n; ++i)
        hash = (hash ^ (unsigned char)body->bytes[i]) * UINT64_C(0x100000001b3);
    snprintf(out, 20, "\"%016" PRIx64 "\"", hash);
}

/* Until the client has taken the answer, it is memory that waits for a client, as a queue's is. */
static void on_answer_gone(void *data)
{
    metric_add(COUNT_QUEUED_BYTES, -(int64_t) * (size_t *)data);
}

static void send_body(h2o_req_t *req, const struct body *body)
{
    size_t *held = h2o_mem_alloc_shared(&req->pool, sizeof(*held), on_answer_gone);
    *held = body->n;
    metric_add(COUNT_QUEUED_BYTES, (int64_t)body->n);
    metric_add(COUNT_BYTES_OUT, (int64_t)body->n);
    http_send(req, 200, "application/json", slice_make(body->bytes, body->n));
}

static void send_answer(h2o_req_t *req, struct subscriber *subscriber)
{
    struct body body = make_body(subscriber);
    char tag[20];
    format_tag(tag, &body);
    struct slice known = http_header(req, "if-none-match");
    http_add_header(req, "cache-control", SLICE("private, no-cache"));
    http_add_header(req, "etag", slice_of(tag));
    if (known.n != 0 && (slice_eq(known, SLICE("*")) || memmem(known.p, known.n, tag, strlen(tag)) != NULL)) {
        http_send(req, 304, "application/json", SLICE(""));
    } else if (metric_sum(COUNT_QUEUED_BYTES) + (int64_t)body.n > (int64_t)subscriber->poll->memory) {
        memset(&req->res.headers, 0, sizeof(req->res.headers));
        http_error_later(req, 503, 1, "too many bytes wait for their clients at this gateway (MEMORY_LIMIT); ask again");
    } else {
        stream_log_bytes(subscriber->log, body.n);
        send_body(req, &body);
    }
    free(body.bytes);
}

static void answer_now(struct subscriber *subscriber)
{
    subscriber_answer(subscriber, CLOSE_ANSWERED);
}

static void nothing_to_close(struct subscriber *subscriber, bool written)
{
    (void)subscriber, (void)written; /* the head is held until the answer, which is the end */
}

static int no_descriptor(const struct subscriber *subscriber)
{
    (void)subscriber;
    return -1;
}

static int through_queue(const struct subscriber *subscriber)
{
    (void)subscriber;
    return TRANSPORT_QUEUE;
}

static const void *no_connection(const struct subscriber *subscriber)
{
    (void)subscriber;
    return NULL;
}

static void no_prefetch(const struct subscriber *subscriber)
{
    (void)subscriber;
}

const struct transport transport_poll = {
    .name = "poll",
    .open = send_answer,
    .flush = answer_now,
    .close = nothing_to_close,
    .fd = no_descriptor,
    .direct = through_queue,
    .connection = no_connection,
    .prefetch = no_prefetch,
};
