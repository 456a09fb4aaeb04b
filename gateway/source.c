#include "gateway/source.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/gap.h"
#include "proto/event_id.h"
#include "runtime/log.h"

/* Entries asked for in one read of a history. */
enum { PAGE = 1000 };

enum state { SUBSCRIBING, READING, LIVE };

struct held {
    struct frame **frames;
    size_t count, capacity, bytes;
};

struct source {
    const struct source_shared *shared;
    void *owner;
    enum state state;
    bool reading;         /* a read is under way; its callback comes exactly once */
    bool destroyed;       /* only waits for that callback */
    bool known;           /* `last` is true: the history was read at least once */
    bool interrupted;     /* since `last` was seen the subscription was lost at least once */
    bool again;           /* what the read under way brings is already old: read once more */
    bool reread;          /* held messages were let go: the history has them */
    struct position last; /* of the newest event handed on */
    struct ring ring;
    uint32_t depth;  /* the ring was read to this depth; UINT32_MAX: to the beginning of the history */
    uint32_t wanted; /* the deepest wish so far */
    uint32_t asking; /* the depth of the read under way */
    struct held held;
    size_t name_len;
    char name[];
};

static void start_read(struct source *source);

struct source *source_create(const struct source_shared *shared, void *owner, struct slice name)
{
    struct source *source = h2o_mem_alloc(sizeof(*source) + name.n);
    *source = (struct source){.shared = shared, .owner = owner, .state = SUBSCRIBING, .wanted = 1, .name_len = name.n};
    memcpy(source->name, name.p, name.n);
    return source;
}

static void release_held(struct source *source)
{
    for (size_t i = 0; i < source->held.count; ++i)
        frame_unref(source->held.frames[i]);
    free(source->held.frames);
    source->held = (struct held){NULL, 0, 0, 0};
}

void source_destroy(struct source *source)
{
    release_held(source);
    ring_clear(&source->ring);
    source->destroyed = true;
    if (!source->reading)
        free(source);
}

struct slice source_name(const struct source *source)
{
    return slice_make(source->name, source->name_len);
}

const struct ring *source_ring(const struct source *source)
{
    return &source->ring;
}

struct position source_last(const struct source *source)
{
    return source->last;
}

/* The frame of a message, or NULL when it is malformed: counted and logged, nothing of it reaches a client. */
static struct frame *frame_of_payload(struct source *source, struct slice payload)
{
    static struct log_limit limit;
    struct message message;
    const char *error = message_decode(&message, payload);
    if (error == NULL)
        return frame_of_message(&message);
    metric_add(COUNT_BUS_MALFORMED, 1);
    if (log_allowed(&limit))
        log_warn("bus message dropped", log_slice("channel", source_name(source)), log_str("error", error));
    return NULL;
}

/* Hands on the next event. */
static void emit(struct source *source, struct frame *frame)
{
    if (frame->durable) {
        source->last = frame->at;
        source->interrupted = false;
        ring_append(&source->ring, frame, &source->shared->limits);
    }
    source->shared->on_event(source->owner, frame);
}

/* Tells every stream that events after the last one are gone for good. */
static void emit_gap(struct source *source)
{
    char id[EVENT_ID_LEN + 1];
    event_id_format(id, source_name(source), source->last);
    struct frame *gap = gap_frame(source_name(source), slice_of(id));
    metric_add(COUNT_GAPS, 1);
    log_warn("history does not reach back: gap", log_slice("channel", source_name(source)));
    source->shared->on_event(source->owner, gap);
    frame_unref(gap);
    ring_clear(&source->ring);
    source->depth = 0;
}

static bool already_seen(const struct source *source, const struct frame *frame)
{
    return frame->durable && source->known && position_compare(frame->at, source->last) <= 0;
}

/* Whether nothing can be missing between the last event and this one. A channel whose history began anew (expired, flushed) tells no
 * position before its first event: then only an unbroken subscription vouches for it. */
static bool follows(const struct source *source, const struct frame *frame)
{
    if (!frame->durable || position_compare(frame->prev, source->last) == 0)
        return true;
    return position_is_none(frame->prev) && !source->interrupted;
}

static void hold(struct source *source, struct frame *frame)
{
    struct held *held = &source->held;
    if (held->count != 0 && held->bytes + frame->body > source->shared->limits.bytes) {
        release_held(source);
        source->reread = true;
    }
    if (held->count == held->capacity) {
        held->capacity = held->capacity == 0 ? 8 : held->capacity * 2;
        held->frames = h2o_mem_realloc(held->frames, held->capacity * sizeof(*held->frames));
    }
    held->frames[held->count++] = frame_ref(frame);
    held->bytes += frame->body;
}

void source_message(struct source *source, struct slice payload)
{
    struct frame *frame = frame_of_payload(source, payload);
    if (frame == NULL)
        return;
    metric_add(COUNT_EVENTS_IN, 1);
    if (source->state != LIVE) {
        hold(source, frame);
    } else if (already_seen(source, frame)) {
        /* a read of the history brought it first */
    } else if (follows(source, frame)) {
        emit(source, frame);
    } else {
        metric_add(COUNT_HOLES, 1);
        hold(source, frame);
        source->state = READING;
        start_read(source);
    }
    frame_unref(frame);
}

/* The next of the messages that were held, now that the history was read to its end. What is missing even so is gone. */
static void take_held(struct source *source, struct frame *frame)
{
    if (source->state != LIVE) {
        hold(source, frame);
    } else if (already_seen(source, frame)) {
        return;
    } else if (follows(source, frame)) {
        emit(source, frame);
    } else if (source->reread) {
        source->reread = false;
        source->state = READING;
        hold(source, frame);
    } else {
        emit_gap(source);
        emit(source, frame);
    }
}

static void catch_up(struct source *source)
{
    struct held held = source->held;
    source->held = (struct held){NULL, 0, 0, 0};
    source->state = LIVE;
    for (size_t i = 0; i < held.count; ++i) {
        take_held(source, held.frames[i]);
        frame_unref(held.frames[i]);
    }
    free(held.frames);
    if (source->state == LIVE)
        source->shared->on_live(source->owner);
    else
        start_read(source);
}

/* One entry of the history, on the way from `last` to its end. */
static void take_entry(struct source *source, const struct history_entry *entry)
{
    struct frame *frame = entry->payload.p == NULL ? NULL : frame_of_payload(source, entry->payload);
    if (frame == NULL || !frame->durable || position_compare(frame->at, entry->at) != 0) {
        source->last = entry->at; /* somebody else's entry: the next one of ours names it as the one before */
    } else if (!already_seen(source, frame)) {
        if (position_compare(frame->prev, source->last) != 0)
            emit_gap(source);
        emit(source, frame);
    }
    if (frame != NULL)
        frame_unref(frame);
}

/* The first read of a history: its newest events fill the ring, and nobody is told of them. */
static void take_newest(struct source *source, const struct history_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        struct frame *frame = entries[i].payload.p == NULL ? NULL : frame_of_payload(source, entries[i].payload);
        source->last = entries[i].at;
        if (frame == NULL)
            continue;
        if (frame->durable)
            ring_append(&source->ring, frame, &source->shared->limits);
        frame_unref(frame);
    }
    source->known = true;
}

/* A deeper read: what is older than the ring goes in front of it. */
static void take_older(struct source *source, const struct history_entry *entries, size_t count)
{
    struct position oldest = source->ring.count == 0 ? source->last : ring_at(&source->ring, 0)->at;
    bool room = true;
    for (size_t i = count; i-- != 0 && room;) {
        int order = position_compare(entries[i].at, oldest);
        if (order > 0 || (order == 0 && source->ring.count != 0) || entries[i].payload.p == NULL)
            continue;
        struct frame *frame = frame_of_payload(source, entries[i].payload);
        if (frame == NULL)
            continue;
        if (frame->durable)
            room = ring_prepend(&source->ring, frame, &source->shared->limits);
        frame_unref(frame);
    }
}

/* True when the callback of a read has something to go on with. */
static bool read_ended(struct source *source, const char *why)
{
    source->reading = false;
    if (source->destroyed) {
        free(source);
        return false;
    }
    if (why != NULL)
        source->shared->on_read_failed(source->owner, why);
    return why == NULL;
}

/* After a read: on to the next, or live. */
static void go_on(struct source *source, bool complete)
{
    if (source->state != READING)
        return;
    if (source->again || !complete) {
        source->again = false;
        start_read(source);
    } else {
        catch_up(source);
    }
}

static void on_newest(void *data, const struct history_entry *entries, size_t count, const char *why)
{
    struct source *source = data;
    if (!read_ended(source, why))
        return;
    bool first = !source->known;
    if (first)
        take_newest(source, entries, count);
    else
        take_older(source, entries, count);
    source->depth = count < source->asking ? UINT32_MAX : source->asking;
    if (source->state == LIVE)
        source->shared->on_live(source->owner);
    else
        go_on(source, first);
}

static void on_missed(void *data, const struct history_entry *entries, size_t count, const char *why)
{
    struct source *source = data;
    if (!read_ended(source, why))
        return;
    for (size_t i = 0; i < count; ++i)
        take_entry(source, &entries[i]);
    go_on(source, count < PAGE);
}

static void start_read(struct source *source)
{
    if (source->reading || source->state == SUBSCRIBING)
        return;
    struct redis *redis = source->shared->commands;
    if (source->known && source->state == READING) {
        source->reading = history_after(redis, source_name(source), source->last, PAGE, on_missed, source);
    } else if (!source->known || source->wanted > source->depth) {
        source->asking = source->wanted;
        source->reading = history_last(redis, source_name(source), source->asking, on_newest, source);
    }
    if (source->reading)
        metric_add(COUNT_HISTORY_READS, 1);
}

void source_subscribed(struct source *source)
{
    source->state = READING;
    source->again = source->reading;
    start_read(source);
}

void source_lost(struct source *source)
{
    source->state = SUBSCRIBING;
    source->interrupted = true;
}

void source_retry(struct source *source)
{
    start_read(source);
}

bool source_ready(struct source *source, uint32_t depth)
{
    if (depth > source->shared->limits.frames)
        depth = source->shared->limits.frames;
    if (source->state == LIVE && (source->depth >= depth || source->ring.count >= depth))
        return true;
    if (depth > source->wanted)
        source->wanted = depth;
    start_read(source);
    return false;
}
