#include "gateway/feed/source.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/feed/decode.h"
#include "gateway/feed/newest.h"
#include "gateway/feed/search.h"
#include "gateway/feed/source_inside.h"
#include "gateway/own_events.h"
#include "proto/event_id.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"

struct source *source_create(struct source_shared *shared, const struct source_shard *shard, void *owner, struct slice name)
{
    struct source *source = h2o_mem_alloc(sizeof(*source) + name.n);
    *source =
        (struct source){.shared = shared, .shard = shard, .owner = owner, .state = SUBSCRIBING, .wanted = 1, .name_len = name.n};
    memcpy(source->name, name.p, name.n);
    return source;
}

static void set_state(struct source *source, enum state next)
{
    if (source->state == LIVE && next != LIVE) {
        source->unsettled = true;
        ++source->shared->unsettled;
    } else if (next == LIVE && source->unsettled) {
        source->unsettled = false;
        --source->shared->unsettled;
    }
    source->state = next;
}

/* What was learned of the history holds no longer. Those that wait for more are woken when it was read anew. */
void source_forget_history(struct source *source)
{
    ++source->drops;
    if (source->newest != NULL)
        newest_close(source->newest);
    source->newest = NULL;
    if (source->search != NULL)
        search_close(source->search);
    source->search = NULL;
}

void source_destroy(struct source *source)
{
    held_clear(&source->held, source->shared->limits.memory);
    source_forget_history(source);
    ring_clear(&source->ring);
    if (source->unsettled)
        --source->shared->unsettled;
    if (source->reading == READING_MARKER)
        marker_cancel(source->marker_read);
    else if (source->reading != READING_NONE)
        history_cancel(source->history_read);
    free(source);
}

void source_move(struct source *source, const struct source_shard *shard)
{
    source_lost(source);
    source->shard = shard;
    source->born_ms = source->seen_ms = 0;
}

/* Hands on the next event. */
void source_emit(struct source *source, struct frame *frame)
{
    if (frame->durable) {
        source->last = frame->at;
        source->divergence.anew = false;
        source->past = source->past == PAST_BARE ? PAST_KNOWN : source->past;
        ++source->handed_on;
        ring_append(&source->ring, frame, &source->shared->limits);
    }
    source->shared->on_event(source->owner, frame);
}

/* Tells every stream that what stood between the last event and `until` is gone for good; or, where no event says so, what was published before time_ms. */
void source_emit_gap(struct source *source, struct position until, uint64_t time_ms)
{
    char last_id[EVENT_ID_LEN + 1], own_id[EVENT_ID_LEN + 1];
    event_id_format(last_id, source_name(source), source->last);
    if (position_is_none(until))
        event_id_format(own_id, SLICE(""), (struct position){time_ms, 0});
    else
        event_id_format(own_id, source_name(source), until);
    struct frame *gap = gap_frame(source_name(source), slice_of(last_id), slice_of(own_id), until, GAP_WHILE_OPEN);
    log_warn("the history does not reach back: gap", log_slice("channel", source_name(source)));
    source->shared->on_event(source->owner, gap);
    frame_unref(gap);
    ring_clear(&source->ring);
    source->horizon_ms = 0;
    source_forget_history(source);
    source->depth = UINT32_MAX; /* what is older does not join on */
}

bool source_already_seen(const struct source *source, const struct frame *frame)
{
    return frame->durable && source->past != PAST_UNKNOWN && !source->divergence.anew &&
           position_compare(frame->at, source->last) <= 0;
}

/* Whether nothing can be missing between the last event and this one, while LIVE. A channel whose history began anew (expired, flushed) tells no position before its first
 * event: then the unbroken subscription vouches for it. */
static bool follows(const struct source *source, const struct frame *frame)
{
    return !frame->durable || position_is_none(frame->prev) || position_compare(frame->prev, source->last) == 0;
}

static void hold(struct source *source, struct frame *frame)
{
    bool let_go = held_add(&source->held, frame, &source->shared->limits);
    if (let_go)
        source->settled = source->asked_held = 0;
    source->reread = let_go || source->reread;
}

/* `last` was wrong: the history was deleted and the clock went back, or somebody published a position that was not the bus's own. What the
 * new event says of the one before it is believed instead. */
void source_start_over(struct source *source, struct position previous)
{
    ring_clear(&source->ring);
    source_forget_history(source);
    source->depth = 0;
    source->horizon_ms = 0;
    source->last = previous;
    source->past = source->past == PAST_BARE ? PAST_KNOWN : source->past;
    source->interrupted = false;
    source->settled = 0;
}

/* Of an event that the history, read to its end since, does not have: whether it was of another one. A primary that slept through its shard's failover runs what lay in its
 * sockets, and its cluster passes that on. A history that was trimmed or deleted holds nothing between `last` and an event before it. */
static bool is_stray(const struct source *source, const struct frame *frame)
{
    return !position_is_none(frame->prev) && position_compare(frame->prev, source->last) < 0;
}

static void drop_stray(const struct source *source)
{
    payload_dropped(source_name(source), "its history is no more");
}

/* The frame waits for what the history says. */
static void consult(struct source *source, struct frame *frame, enum arrival arrival)
{
    hold(source, frame);
    set_state(source, READING);
    if (arrival == ARRIVAL_NEW) /* else the rest of what was held waits for that read, too */
        source_start_read(source);
}

/* Which of the two is of another history, `last` or the event that seems to be older? The history is asked. */
static void challenge(struct source *source, struct frame *frame, enum arrival arrival)
{
    divergence_challenge(&source->divergence, frame->prev);
    consult(source, frame, arrival);
}

/* An event that is not later than the last one. It was handed on if it stands in the ring. What is older than the ring may have been, or belongs to a history that began anew while
 * the clock went back: only the history knows. */
static void take_older_one(struct source *source, struct frame *frame, enum arrival arrival)
{
    uint32_t next = ring_after(&source->ring, frame->at);
    bool in_ring = next != 0 && position_compare(ring_at(&source->ring, next - 1)->at, frame->at) == 0;
    if (in_ring || position_compare(frame->at, source->last) == 0)
        return;
    if (arrival != ARRIVAL_SETTLED)
        challenge(source, frame, arrival);
    else if (next != 0) /* the ring would have it */
        drop_stray(source);
}

/* The history began anew with it, but nothing is missing before it: so the ring's chain holds. */
void source_join_on(const struct source *source, struct frame *frame)
{
    if (frame->durable && position_is_none(frame->prev) && position_compare(source->last, frame->at) < 0)
        frame->prev = source->last;
}

/* An event that just arrived, or was held until now. */
static void take(struct source *source, struct frame *frame, enum arrival arrival)
{
    bool history_lacks_it = arrival != ARRIVAL_NEW && !source->reread; /* it was read to its end since this came */
    if (source->state != LIVE) {
        hold(source, frame);
    } else if (source_already_seen(source, frame)) {
        take_older_one(source, frame, arrival);
    } else if (follows(source, frame)) {
        source_join_on(source, frame);
        source_emit(source, frame);
    } else if (history_lacks_it && is_stray(source, frame)) {
        drop_stray(source);
    } else if (history_lacks_it) {
        source_emit_gap(source, frame->prev, frame->at.ms);
        source_emit(source, frame);
    } else {
        metric_add(COUNT_HOLES, 1);
        source->reread = false;
        consult(source, frame, arrival);
    }
}

/* The history was read to its end. Streams that wait are told their place first: to them, what was held comes after it. */
void source_catch_up(struct source *source)
{
    struct held held = held_take(&source->held, source->shared->limits.memory);
    size_t settled = source->settled;
    uint32_t drops = source->drops;
    source->settled = 0;
    set_state(source, LIVE);
    source->interrupted = false;
    source->shared->on_live(source->owner);
    for (size_t i = 0; i < held.count; ++i) {
        take(source, held.frames[i], i < settled ? ARRIVAL_SETTLED : ARRIVAL_HELD);
        frame_unref(held.frames[i]);
    }
    free(held.frames);
    if (source->state == READING)
        source_start_read(source);
    if (source->drops != drops && source->state == LIVE)
        source->shared->on_live(source->owner); /* those that waited for what was forgotten meanwhile */
}

/* The next event of its channel that was not read before: it came in the order in which its shard published. */
static void watch_clock(const struct source *source, const struct frame *frame)
{
    const struct source_shard *shard = source->shard;
    bool next = frame->durable && source->state == LIVE && position_compare(frame->prev, source->last) == 0;
    if (next && shard != NULL && clock_steps_suspect(shard->steps, frame->at.ms, monotonic_ms()))
        shard->on_clock_doubt(shard->data);
}

void source_message(struct source *source, struct slice payload)
{
    struct frame *frame = payload_frame(source_name(source), payload);
    if (frame == NULL)
        return;
    metric_add(COUNT_EVENTS_IN, 1);
    metric_add(COUNT_BYTES_IN, frame->body);
    watch_clock(source, frame);
    take(source, frame, ARRIVAL_NEW);
    frame_unref(frame);
}

void source_subscribed(struct source *source)
{
    set_state(source, READING);
    source->marker = MARKER_NONE;
    divergence_doubt(&source->divergence, source->past != PAST_UNKNOWN ? source->last : POSITION_NONE);
    source->again = source->reading != READING_NONE;
    source_start_read(source);
}

void source_lost(struct source *source)
{
    set_state(source, SUBSCRIBING);
    source->settled = 0;
    if (!source->interrupted)
        source->heard_ms = source->shard == NULL ? 0 : source->shard->proven_ms;
    source->interrupted = true;
}

void source_doubt(struct source *source)
{
    if (source->state != SUBSCRIBING) {
        source_lost(source);
        source_subscribed(source);
    }
}

void source_retry(struct source *source)
{
    source_start_read(source);
    if (source->search != NULL)
        search_retry(source->search);
    if (source->newest != NULL)
        newest_retry(source->newest);
}

bool source_verify(struct source *source, uint64_t since_ms)
{
    ring_use(&source->ring);
    if (source->ring.count == 0 || source->verified_ms >= since_ms)
        return false;
    source->doubted = true;
    source_start_read(source);
    return true;
}

void source_drop_wishes(struct source *source)
{
    source->doubted = false;
    source->wanted = source->depth;
    source_forget_history(source);
}

bool source_deepen(struct source *source, uint32_t depth)
{
    if (depth > source->shared->limits.frames)
        depth = source->shared->limits.frames;
    ring_use(&source->ring);
    if (ring_forget_cut(&source->ring))
        source->depth = source->ring.count;
    if (source->depth >= depth)
        return false;
    if (depth > source->wanted)
        source->wanted = depth;
    source_start_read(source);
    return true;
}

bool source_find_newest(struct source *source, uint32_t n, struct position *after)
{
    if (source->newest == NULL)
        source->newest = newest_create(source);
    return newest_find(source->newest, n, source->handed_on, after);
}

struct search *source_search(struct source *source)
{
    if (source->search == NULL)
        source->search = search_create(source);
    return source->search;
}
