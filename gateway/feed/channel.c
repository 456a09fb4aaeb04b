#include "gateway/feed/channel.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/feed/decode.h"
#include "gateway/feed/newest.h"
#include "gateway/feed/search.h"
#include "gateway/feed/channel_inside.h"
#include "gateway/own_events.h"
#include "proto/event_id.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"

struct channel *channel_create(struct channel_shared *shared, const struct channel_shard *shard, struct slice name)
{
    size_t locals = shared->worker_count * sizeof(struct hub_channel *), size = sizeof(struct channel) + locals + name.n;
    struct channel *channel = h2o_mem_alloc(size);
    memset(channel, 0, size);
    channel->shared = shared;
    channel->locals = (struct hub_channel **)(channel + 1);
    h2o_linklist_init_anchor(&channel->waiting);
    channel->shard = shard;
    channel->state = SUBSCRIBING;
    channel->wanted = 1;
    channel->before_end = POSITION_MAX;
    channel->name = slice_make(memcpy((char *)(channel + 1) + locals, name.p, name.n), name.n);
    return channel;
}

static void set_state(struct channel *channel, enum state next)
{
    if (channel->state == LIVE && next != LIVE) {
        channel->unsettled = true;
        ++channel->shared->unsettled;
    } else if (next == LIVE && channel->unsettled) {
        channel->unsettled = false;
        --channel->shared->unsettled;
    }
    channel->state = next;
}

/* Drops what was learned of the history. Streams that wait for more of it are woken after the next read. */
void channel_forget_history(struct channel *channel)
{
    ++channel->drops;
    if (channel->newest != NULL)
        newest_close(channel->newest);
    channel->newest = NULL;
    if (channel->search != NULL)
        search_close(channel->search);
    channel->search = NULL;
}

/* Hands what is held over to the caller, with its references. */
static struct frames take_held(struct channel *channel)
{
    struct frames held = channel->held;
    ring_memory_give(channel->shared->limits.memory, channel->held_memory);
    channel->held = (struct frames){.frames = NULL};
    channel->held_memory = 0;
    return held;
}

static void drop_held(struct channel *channel)
{
    struct frames held = take_held(channel);
    while (held.count != 0)
        frame_unref(frames_pop(&held));
    frames_dispose(&held);
}

static void drop_lease(struct channel *channel)
{
    if (channel->lease.place != 0)
        leases_remove(channel->shard->leases, &channel->lease);
}

void channel_destroy(struct channel *channel)
{
    drop_held(channel);
    channel_forget_history(channel);
    ring_clear(&channel->ring);
    drop_lease(channel);
    if (channel->unsettled)
        --channel->shared->unsettled;
    if (channel->reading == READING_MARKER)
        marker_cancel(channel->marker_read);
    else if (channel->reading != READING_NONE)
        history_cancel(channel->history_read);
    free(channel);
}

void channel_move(struct channel *channel, const struct channel_shard *shard)
{
    channel_lost(channel);
    drop_lease(channel);
    channel->shard = shard;
    channel->born_ms = channel->seen_ms = 0;
}

/* By Redis's clock. */
static uint64_t lease_end_ms(const struct channel *channel)
{
    return channel->last.ms + (uint64_t)channel->lease_s * 1000;
}

void channel_stand_at(struct channel *channel, struct position at, const struct frame *newest)
{
    bool same = newest != NULL && newest->lease_s != 0 && position_compare(channel->last, at) == 0;
    channel->last = at;
    channel->before_end = newest != NULL && newest->kind == FRAME_END ? newest->prev : POSITION_MAX;
    channel->lease_s = newest != NULL && newest->kind == FRAME_EVENT ? newest->lease_s : 0;
    channel->abandoned = channel->abandoned && same; /* it was found again: streams were told */
    if (channel->lease_s == 0 || channel->abandoned)
        drop_lease(channel);
    else if (channel->shard != NULL && (channel->lease.place == 0 || lease_end_ms(channel) < channel->lease.due_ms))
        leases_put(channel->shard->leases, &channel->lease,
                   lease_end_ms(channel)); /* a later end waits until the earlier one has come */
}

static bool is_leased(const struct channel *channel)
{
    return channel->state == LIVE && channel->lease_s != 0 && !channel->abandoned && channel->shard != NULL;
}

/* All that was published before the end of the lease has come, so no other gateway has an event either that came in time. */
void channel_check_lease(struct channel *channel)
{
    if (!is_leased(channel))
        return;
    if (channel->shard->proven_ms <= lease_end_ms(channel)) {
        leases_put(channel->shard->leases, &channel->lease, lease_end_ms(channel));
        return;
    }
    drop_lease(channel);
    channel->abandoned = true;
    struct frame *end = abandoned_frame(channel_name(channel), channel->last);
    channel->shared->on_event(channel, end);
    frame_unref(end);
}

bool channel_lease_doubted(struct channel *channel)
{
    channel_check_lease(channel);
    const struct channel_shard *shard = channel->shard;
    int64_t now_ms = (int64_t)monotonic_ms(), end_ms = (int64_t)lease_end_ms(channel);
    if (!is_leased(channel) || !shard->clock_known || now_ms + shard->steps->most_ms <= end_ms)
        return false;
    if (now_ms + shard->clock_ms <= end_ms) /* no canary proves that it is over before this says so */
        shard->on_clock_doubt(shard->data);
    return true;
}

/* One that is not LIVE comes back when it is: channel_catch_up(). */
bool channel_check_leases(const struct channel_shard *shard, uint64_t until_us)
{
    for (struct lease *lease; (lease = leases_first(shard->leases)) != NULL && lease->due_ms < shard->proven_ms;) {
        if (monotonic_us() >= until_us)
            return true;
        struct channel *channel = H2O_STRUCT_FROM_MEMBER(struct channel, lease, lease);
        if (is_leased(channel))
            channel_check_lease(channel);
        else
            drop_lease(channel);
    }
    return false;
}

/* Goes on from `at`. `there`: the event there, where it is known. Where that is back, the history does not tell what streams were handed out behind it, so the channel remembers. */
static void go_to(struct channel *channel, struct position at, const struct frame *there)
{
    const struct channel_shard *shard = channel->shard;
    if (position_compare(at, channel->last) < 0) {
        channel->broken = true;
        ++channel->breaks;
        channel->broken_at = at;
        channel->broken_ms = shard != NULL && shard->clock_known ? (uint64_t)((int64_t)monotonic_ms() + shard->clock_ms) : 0;
    }
    channel->passed = at;
    channel_stand_at(channel, at, there);
}

/* … and nothing that was handed on joins on to what follows. */
static void leave_behind(struct channel *channel, struct position at)
{
    uint32_t next = ring_after(&channel->ring, at);
    const struct frame *before = next == 0 ? NULL : ring_at(&channel->ring, next - 1);
    go_to(channel, at, before != NULL && position_compare(before->at, at) == 0 ? before : NULL);
    ring_clear(&channel->ring);
    channel->horizon_ms = 0;
    channel_forget_history(channel);
    channel->depth = UINT32_MAX;
}

void channel_emit(struct channel *channel, struct frame *frame)
{
    if (frame->durable) {
        if (position_compare(frame->at, channel->last) < 0) /* Redis's clock was set back while the history was empty */
            leave_behind(channel, frame->prev);
        channel_stand_at(channel, frame->at, frame);
        channel->divergence.emptied = false;
        channel->past = channel->past == PAST_BARE ? PAST_KNOWN : channel->past;
        ++channel->handed_on;
        ring_append(&channel->ring, frame, &channel->shared->limits);
    }
    channel->shared->on_event(channel, frame);
}

/* The time of an event, or what is proven to have come where an entry by hand took that ahead of the clock: a client would come back with a time that is still to be. */
static uint64_t time_of(const struct channel *channel, uint64_t ms)
{
    const struct channel_shard *shard = channel->shard;
    bool is_time = shard == NULL || shard->proven_ms == 0 || clock_steps_is_time(shard->steps, ms, monotonic_ms());
    return is_time ? ms : shard->proven_ms;
}

void channel_emit_gap(struct channel *channel, struct position until, uint64_t time_ms)
{
    char last_id[EVENT_ID_LEN + 1], own_id[EVENT_ID_LEN + 1];
    event_id_format(last_id, channel_name(channel), channel->last);
    if (position_is_none(until))
        event_id_format(own_id, SLICE(""), (struct position){time_of(channel, time_ms), EVENT_ID_TIME_NEAR});
    else
        event_id_format(own_id, channel_name(channel), until);
    struct frame *gap = gap_frame(channel_name(channel), slice_of(last_id), slice_of(own_id), until, GAP_WHILE_OPEN);
    log_warn("the history does not reach back far enough: sending a gap", log_slice("channel", channel_name(channel)));
    channel->shared->on_event(channel, gap);
    frame_unref(gap);
    leave_behind(channel, until);
}

bool channel_already_seen(const struct channel *channel, const struct frame *frame)
{
    return frame->durable && channel->past != PAST_UNKNOWN && !channel->divergence.emptied &&
           position_compare(frame->at, channel->last) <= 0;
}

bool channel_names_stranger(const struct channel *channel, const struct frame *frame)
{
    return frame->durable && position_compare(frame->prev, channel->last) > 0 &&
           position_compare(frame->prev, channel->passed) == 0;
}

/* True when no event can be missing between the last one and this one, while LIVE. The first event of a history that restarted (expired, flushed) names no event before it:
 * then an unbroken subscription is the proof. */
static bool follows(const struct channel *channel, const struct frame *frame)
{
    return !frame->durable || position_is_none(frame->prev) || position_compare(frame->prev, channel->last) == 0 ||
           channel_names_stranger(channel, frame);
}

/* Lets go what was held before where there would be more than a ring may have. */
static void hold(struct channel *channel, struct frame *frame)
{
    const struct ring_limits *limits = &channel->shared->limits;
    size_t size = frame_memory(frame) + sizeof(frame);
    bool room = ring_memory_take(limits->memory, size) && channel->held.bytes + frame->body <= limits->bytes;
    if (channel->held.count != 0 && !room) {
        channel->let_go = channel->reread ? channel->let_go : frames_at(&channel->held, 0)->at;
        drop_held(channel);
        channel->settled = channel->asked_held = 0;
        channel->reread = true;
    }
    frames_push(&channel->held, frame_ref(frame));
    channel->held_memory += size;
}

/* `last` was wrong: the history was deleted and the clock went back, or somebody published a position that was not the bus's own. What the
 * new event says of the one before it is believed instead. */
void channel_start_over(struct channel *channel, struct position previous)
{
    ring_clear(&channel->ring);
    channel_forget_history(channel);
    channel->depth = 0;
    channel->horizon_ms = 0;
    go_to(channel, previous, NULL);
    channel->past = channel->past == PAST_BARE ? PAST_KNOWN : channel->past;
    channel->interrupted = false;
    channel->settled = 0;
}

/* Whether the event is of another history, if that of `last` still has it. A primary that slept through its shard's failover runs what lay in its sockets, and its cluster passes that on. A
 * history that was trimmed holds nothing between `last` and an event before it. */
static bool is_stray(const struct channel *channel, const struct frame *frame)
{
    return !position_is_none(frame->prev) && position_compare(frame->prev, channel->last) < 0;
}

static void drop_stray(const struct channel *channel)
{
    payload_dropped(channel_name(channel), "its history is gone");
}

/* The frame waits for what the history says. */
static void consult(struct channel *channel, struct frame *frame, enum arrival arrival)
{
    hold(channel, frame);
    set_state(channel, READING);
    if (arrival == ARRIVAL_NEW) /* else the rest of what was held waits for that read, too */
        channel_start_read(channel);
}

/* Which of the two is of another history, `last` or the event that seems to be older? The history is asked. */
static void challenge(struct channel *channel, struct frame *frame, enum arrival arrival)
{
    divergence_challenge(&channel->divergence, frame->prev);
    consult(channel, frame, arrival);
}

/* Takes an event that is not later than the last one. One that the ring knows was handed on before, unless it has only the position of that: its history was deleted within the millisecond.
 * One older than the ring may have been, too, or it belongs to a history that restarted while the clock went back: only the history tells. */
static void take_older_one(struct channel *channel, struct frame *frame, enum arrival arrival)
{
    bool known = ring_knows(&channel->ring, frame->at);
    if (known ? ring_is_known(&channel->ring, frame) : position_compare(frame->at, channel->last) == 0)
        return;
    if (arrival != ARRIVAL_SETTLED)
        challenge(channel, frame, arrival);
    else if (ring_after(&channel->ring, frame->at) != 0) /* the ring would have it */
        drop_stray(channel);
}

/* So the ring has no hole. */
void channel_join_on(const struct channel *channel, struct frame *frame)
{
    bool restarted = frame->durable && position_is_none(frame->prev) && position_compare(channel->last, frame->at) < 0;
    if (restarted || channel_names_stranger(channel, frame))
        frame->prev = channel->last;
}

/* An event that just arrived, or was held until now. */
static void take(struct channel *channel, struct frame *frame, enum arrival arrival)
{
    bool history_lacks_it = arrival != ARRIVAL_NEW && !channel->reread; /* it was read to its end since this came */
    if (channel->state != LIVE) {
        hold(channel, frame);
    } else if (channel_already_seen(channel, frame)) {
        take_older_one(channel, frame, arrival);
    } else if (arrival == ARRIVAL_SETTLED && frame->durable) { /* the history would have it */
        drop_stray(channel);
    } else if (follows(channel, frame)) {
        channel_join_on(channel, frame);
        channel_emit(channel, frame);
    } else if (history_lacks_it && (!is_stray(channel, frame) || channel->divergence.emptied)) {
        channel_emit_gap(channel, frame->prev, frame->at.ms);
        channel_emit(channel, frame);
    } else {
        metric_add(COUNT_HOLES, 1);
        channel->reread = false;
        if (is_stray(channel, frame))
            divergence_doubt_for(&channel->divergence, channel->last, frame->prev);
        consult(channel, frame, arrival);
    }
}

/* The history was read to its end. Fresh streams that wait take their places first: the events that were held meanwhile are handed on behind them. */
void channel_catch_up(struct channel *channel)
{
    struct frames held = take_held(channel);
    size_t settled = channel->settled;
    uint32_t drops = channel->drops;
    channel->settled = 0;
    set_state(channel, LIVE);
    channel->interrupted = false;
    channel_check_lease(channel);
    channel->shared->on_live(channel);
    for (size_t i = 0; held.count != 0; ++i) {
        struct frame *frame = frames_pop(&held);
        take(channel, frame, i < settled ? ARRIVAL_SETTLED : ARRIVAL_HELD);
        frame_unref(frame);
    }
    frames_dispose(&held);
    if (channel->state == READING)
        channel_start_read(channel);
    else
        channel->reread = false;
    if (channel->drops != drops && channel->state == LIVE)
        channel->shared->on_live(channel); /* those that waited for what was forgotten meanwhile */
}

/* Of an event that an entry by hand took ahead of the clock: what comes in other channels from now on may be older, though not than what is proven to have come. */
static void note_ahead(struct channel *channel, const struct frame *frame)
{
    const struct channel_shard *shard = channel->shard;
    uint64_t now_ms = monotonic_ms();
    if (shard->proven_ms == 0 || clock_steps_is_time(shard->steps, frame->at.ms, now_ms))
        return;
    if (channel->ahead.to_ms == 0 || clock_steps_is_time(shard->steps, channel->last.ms, now_ms)) {
        channel->ahead.since_ms = shard->proven_ms;
        channel->ahead.first_ms = frame->at.ms;
        channel->ahead.mono_ms = now_ms;
    }
    channel->ahead.to_ms = frame->at.ms;
}

/* The next event of its channel that was not read before: it came in the order in which its shard published. */
static void watch_clock(struct channel *channel, const struct frame *frame)
{
    const struct channel_shard *shard = channel->shard;
    bool next = frame->durable && channel->state == LIVE && position_compare(frame->prev, channel->last) == 0;
    if (!next || shard == NULL)
        return;
    note_ahead(channel, frame);
    if (clock_steps_suspect(shard->steps, frame->at.ms, monotonic_ms()))
        shard->on_clock_doubt(shard->data);
}

void channel_message(struct channel *channel, struct slice payload)
{
    struct frame *frames[MESSAGE_BATCH_MAX];
    size_t count = payload_frames(frames, channel_name(channel), payload);
    for (size_t i = 0; i != count; ++i) {
        metric_add(COUNT_EVENTS_IN, 1);
        metric_add(COUNT_BYTES_IN, frames[i]->body);
        watch_clock(channel, frames[i]);
        take(channel, frames[i], ARRIVAL_NEW);
        frame_unref(frames[i]);
    }
}

void channel_subscribed(struct channel *channel)
{
    set_state(channel, READING);
    channel->marker = MARKER_NONE;
    channel->read_to = channel->scan_to = POSITION_NONE;
    channel->ends = false;
    divergence_doubt(&channel->divergence, channel->past != PAST_UNKNOWN ? channel->last : POSITION_NONE);
    channel->again = channel->reading != READING_NONE;
    channel_start_read(channel);
}

/* All that was published before this time of Redis's clock has come: a canary proves it, or it was read that there is nothing. Not later than the clock, which may have been set back. */
static uint64_t heard_ms(const struct channel *channel)
{
    const struct channel_shard *shard = channel->shard;
    if (shard == NULL)
        return 0;
    uint64_t now_ms = shard->clock_known ? (uint64_t)((int64_t)monotonic_ms() + shard->clock_ms) : UINT64_MAX;
    uint64_t read_ms = channel->past != PAST_BARE ? 0 : channel->bare_ms < now_ms ? channel->bare_ms : now_ms;
    return read_ms > shard->proven_ms ? read_ms : shard->proven_ms;
}

/* What was held goes: the history that is read next has it, or has lost it. */
void channel_lost(struct channel *channel)
{
    set_state(channel, SUBSCRIBING);
    drop_held(channel);
    channel->passed = channel->last;
    channel->settled = channel->asked_held = 0;
    if (!channel->interrupted)
        channel->heard_ms = heard_ms(channel);
    channel->interrupted = true;
}

void channel_doubt(struct channel *channel)
{
    if (channel->state != SUBSCRIBING) {
        channel_lost(channel);
        channel_subscribed(channel);
    }
}

void channel_retry(struct channel *channel)
{
    channel_start_read(channel);
    if (channel->search != NULL)
        search_retry(channel->search);
    if (channel->newest != NULL)
        newest_retry(channel->newest);
}

bool channel_verify(struct channel *channel, uint64_t since_ms)
{
    ring_use(&channel->ring);
    if (channel->verified_ms >= since_ms)
        return false;
    channel->doubted = true;
    channel_start_read(channel);
    return true;
}

void channel_drop_wishes(struct channel *channel)
{
    channel->doubted = false;
    channel->marker = MARKER_NONE;
    channel->wanted = channel->depth;
    channel_forget_history(channel);
}

bool channel_deepen(struct channel *channel, uint32_t depth)
{
    if (depth > channel->shared->limits.frames)
        depth = channel->shared->limits.frames;
    ring_use(&channel->ring);
    if (ring_forget_cut(&channel->ring))
        channel->depth = channel->ring.count;
    if (channel->depth >= depth)
        return false;
    if (depth > channel->wanted)
        channel->wanted = depth;
    channel_start_read(channel);
    return true;
}

bool channel_find_newest(struct channel *channel, uint32_t n, struct position *after)
{
    if (channel->newest == NULL)
        channel->newest = newest_create(channel);
    return newest_find(channel->newest, n, channel->handed_on, after);
}

struct search *channel_search(struct channel *channel)
{
    if (channel->search == NULL)
        channel->search = search_create(channel);
    return channel->search;
}
