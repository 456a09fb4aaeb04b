#include "gateway/feed/replay.h"

#include <assert.h>
#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/feed/places.h"
#include "gateway/feed/replay_read.h"
#include "gateway/own_events.h"
#include "proto/event_id.h"
#include "runtime/monotonic.h"

enum {
    VERIFIED_MS = 1000, /* the ring of a channel is served that long after it was compared with the history */
    PRESENT_WAITS = 3, /* for a canary, until the present is proven late enough; a clock that was set may never be */
};

struct replay *replay_create(const struct feed_request *request, const struct channel_shared *shared, void (*on_read)(void *data),
                             void *data)
{
    size_t size = sizeof(struct replay) + request->count * sizeof(struct place);
    struct replay *replay = h2o_mem_alloc(size);
    memset(replay, 0, size);
    replay->request = request;
    replay->shared = shared;
    replay->on_read = on_read;
    replay->data = data;
    for (uint32_t i = 0; i < request->count; ++i)
        replay->places[i].channel = request->channels[i].channel;
    return replay;
}

static void set_state(struct replay *replay, enum replay_state next)
{
    assert(next > replay->state);
    replay->state = next;
}

bool replay_reading(const struct replay *replay)
{
    return replay->reading != NULL;
}

void replay_abandon(struct replay *replay)
{
    if (replay->reading != NULL)
        history_cancel(replay->reading);
    replay->reading = NULL;
    replay_drop_pages(replay);
}

void replay_free(struct replay *replay)
{
    replay_abandon(replay);
    if (replay->held_end != NULL)
        frame_unref(replay->held_end);
    free(replay);
}

/* Nothing is older than what the ring holds. */
static bool ring_is_whole(const struct channel *channel)
{
    return position_is_none(channel_ring_begin(channel)) || (channel_ring(channel)->count == 0 && channel_bare(channel));
}

/* A client that has had its head for a while (the bus was away) counts on all since it asked: to the later of the two, where that is earlier. */
static bool has_head(const struct feed_request *request)
{
    return request->head_sent || monotonic_ms() - request->asked_ms >= REPLAY_HEAD_MS;
}

static void stand_since_asked(const struct replay *replay, struct place *place, struct position after)
{
    const struct feed_request *request = replay->request;
    const struct channel_shard *shard = channel_shard(place->channel);
    place->after = after;
    place->time_ms = places_present_ms(replay);
    place->stance = STANCE_TIME;
    if (!has_head(request) || !shard->clock_known)
        return;
    uint64_t asked_ms =
        (uint64_t)((int64_t)request->asked_ms + shard->clock_ms - 1); /* rather too early: both are whole milliseconds */
    struct position since = places_since(asked_ms);
    place->after = position_compare(since, after) < 0 ? since : after;
    place->time_ms = request->mode == START_FRESH ? asked_ms : place->time_ms;
}

/* The newest request->last events of each channel, and its end. */
static enum replay_need resolve_last(struct replay *replay, struct channel **wait_at)
{
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        struct place *place = &replay->places[i];
        const struct ring *ring = channel_ring(place->channel);
        bool has_end = position_compare(channel_before_end(place->channel), channel_newest(place->channel)) != 0;
        uint32_t last = replay->request->last + has_end;
        *wait_at = place->channel;
        if (place->stance != STANCE_UNKNOWN)
            continue;
        if (ring->count < last && channel_deepen(place->channel, last))
            return REPLAY_CHANNEL;
        if (ring->count >= last)
            place->after = ring_at(ring, ring->count - last)->prev;
        else if (ring_is_whole(place->channel))
            place->after = channel_ring_begin(place->channel);
        else if (!channel_find_newest(place->channel, last, &place->after))
            return REPLAY_CHANNEL;
        stand_since_asked(replay, place, place->after);
    }
    return REPLAY_READY;
}

/* From now on. */
static void resolve_fresh(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->request->count; ++i)
        stand_since_asked(replay, &replay->places[i], channel_before_end(replay->places[i].channel));
}

/* From the beginning of the history on, wherever that is when it is read. */
static void resolve_earliest(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->request->count; ++i)
        replay->places[i].stance = STANCE_TIME;
}

/* What was read to look an id up serves as the first page where the stream goes on from there. */
static enum replay_need resolve_id(struct replay *replay, struct channel **wait_at)
{
    enum replay_need need = places_find(replay, wait_at);
    for (uint32_t i = 0; need == REPLAY_READY && i < replay->request->count; ++i) {
        struct place *place = &replay->places[i];
        if (place->page != PAGE_NONE && position_compare(place->after, place->claimed) == 0)
            continue;
        place->read_to = POSITION_NONE;
        replay_drop_page(replay, place);
    }
    return need;
}

static enum replay_need resolve(struct replay *replay, struct channel **wait_at)
{
    switch (replay->request->mode) {
    case START_LAST:
        return resolve_last(replay, wait_at);
    case START_RESUME:
        return resolve_id(replay, wait_at);
    case START_EARLIEST:
        resolve_earliest(replay);
        break;
    case START_FRESH:
        resolve_fresh(replay);
        break;
    }
    return REPLAY_READY;
}

/* How deep the ring should be read at once when this stream is the first to ask, so that one read does. */
static uint32_t wish(const struct feed_request *request)
{
    return request->mode >= START_EARLIEST ? UINT32_MAX : request->mode == START_LAST ? request->last : 0;
}

static bool has_ended_one(const struct replay *replay)
{
    for (uint32_t i = 0; i < replay->request->count; ++i)
        if (channel_ended_ms(replay->places[i].channel) != 0)
            return true;
    return false;
}

/* Events that were deleted since are not to be served from memory. False: *wait_at is being asked. */
static bool verify(struct replay *replay, struct channel **wait_at)
{
    bool asking = false;
    uint64_t now = monotonic_ms();
    if ((replay->request->mode == START_FRESH && !has_ended_one(replay)) || replay->verified)
        return true;
    if (replay->verify_ms == 0)
        replay->verify_ms = now < VERIFIED_MS ? 0 : now - VERIFIED_MS;
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        if (!channel_verify(replay->places[i].channel, replay->verify_ms))
            continue;
        *wait_at = replay->places[i].channel;
        asking = true;
    }
    replay->verified = !asking;
    return !asking;
}

/* ---- on the way to a page ---- */

/* The next frame that is known. */
static struct frame *upcoming(const struct place *place)
{
    if (place_has_page(place))
        return place->next < place->page_count ? place->page_frames[place->next] : NULL;
    const struct ring *ring = channel_ring(place->channel);
    return place->next < ring->count ? ring_at(ring, place->next) : NULL;
}

/* A page may be ahead of the subscription, which has another connection: what the channel has not handed on yet comes live. So no event comes twice, and none comes before
 * an older one of another channel. */
static bool comes_live(const struct place *place, const struct frame *frame)
{
    return position_compare(frame->at, channel_newest(place->channel)) > 0;
}

/* The next frame to hand out. */
static struct frame *frame_at(const struct place *place)
{
    struct frame *frame = upcoming(place);
    return frame != NULL && !comes_live(place, frame) ? frame : NULL;
}

static void seek(struct place *place)
{
    if (!place_has_page(place))
        place->next = ring_after(channel_ring(place->channel), place->after);
}

/* There are more since than the ring holds. */
static bool is_emptied_no_more(const struct place *place)
{
    return place->page == PAGE_EMPTIED && !channel_covers(place->channel, place->page_end);
}

/* Whether the page may be of a history that restarted with older positions, of which the channel has heard nothing yet: its events would come again, live. */
static bool may_be_unheard(const struct place *place)
{
    const struct ring *ring = channel_ring(place->channel);
    struct position newest = channel_newest(place->channel);
    uint32_t count = place_has_page(place) ? place->page_count : 0;
    while (count != 0 && comes_live(place, place->page_frames[count - 1]))
        --count;
    if (count == 0 || place->page_heard)
        return false;
    const struct frame *end = place->page_frames[count - 1];
    uint32_t next = ring_after(ring, end->at);
    bool known = next != 0 ? position_compare(ring_at(ring, next - 1)->at, end->at) == 0
                           : position_compare(channel_ring_begin(place->channel), end->at) == 0;
    bool restarted = position_is_none(place->page_frames[0]->prev);
    return !known && position_compare(end->at, newest) < 0 && (restarted || !place->page_more);
}

/* READY: for each place there are frames, or it is known that there are none. */
static enum replay_need read_pages(struct replay *replay, struct channel **wait_at)
{
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        struct place *place = &replay->places[i];
        *wait_at = place->channel;
        if (may_be_unheard(place)) {
            place->page_heard = true;
            return REPLAY_BARRIER;
        }
        if (place->page == PAGE_UNKNOWN)
            return replay_read_joint(replay, i);
        if (is_emptied_no_more(place))
            replay_drop_page(replay, place);
        if (place_has_page(place) && place->page_count == 0) {
            /* only entries of somebody else: the next event tells what is missing before it, or that there is none */
            place->read_to = place->page_end;
            replay_drop_page(replay, place);
        }
        if (place->page != PAGE_NONE || channel_covers(*wait_at, place->after))
            continue;
        if (channel_deepen(*wait_at, UINT32_MAX))
            return REPLAY_CHANNEL;
        return replay_read_page(replay, i);
    }
    return REPLAY_READY;
}

/* True when the stream must be told of a gap here. Before its first page only a stream that resumes must be; one that wants all there is, only behind an event. */
static bool is_owed(const struct replay *replay, const struct place *place)
{
    enum start_mode mode = replay->request->mode;
    return mode == START_RESUME || place->served || (replay->state == REPLAY_BEGUN && mode != START_EARLIEST);
}

/* Whether the next frame follows `after`, but for entries of somebody else, without its saying so. */
static bool joins_on(const struct place *place)
{
    const struct frame *next = upcoming(place);
    if (place_has_page(place))
        return place->page == PAGE_PROVEN;
    return next != NULL && place->next != 0 && position_compare(place->after, next->prev) <= 0; /* a ring has no hole */
}

/* Looks at the seam between `after` and what is to come: whatever was read, or stayed in the ring, since the last frame may begin later. False: something has to be read
 * first, wait at the channel. */
static bool look_for_gap(const struct replay *replay, struct place *place, enum place_gap *gap)
{
    bool lost = places_knows_of_loss(place);
    *gap = PLACE_GAP_NONE;
    if (!is_owed(replay, place) || (joins_on(place) && !lost))
        return true;
    return places_find_gap(place, upcoming(place), gap);
}

/* READY: what it takes to tell what is missing was read. */
static enum replay_need read_proofs(struct replay *replay, struct channel **wait_at)
{
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        struct place *place = &replay->places[i];
        *wait_at = place->channel;
        seek(place);
        if (!look_for_gap(replay, place, &place->gap))
            return REPLAY_CHANNEL;
    }
    return REPLAY_READY;
}

/* The place of a channel without any event, or one that lost its newest, is a time. It proves nothing to a client that comes back with it unless it is after what may be missing. */
static bool is_time(struct channel *channel)
{
    struct position last = channel_newest(channel);
    return position_is_none(last) || channel_lost_after(channel, last, true);
}

/* Nor does the id of a gap that no event tells of, unless it is the gap's end or later: the client would be told the gap again. That id is never later than the present, which may be older
 * than the birth of the data: a channel that was live before then has not waited for anything since. */
static bool is_late_enough(const struct place *place, uint64_t present_ms)
{
    struct channel *channel = place->channel;
    uint64_t horizon_ms;
    if (place->gap == PLACE_GAP_BY_TIME && present_ms < place->gap_at.ms)
        return false;
    if (!is_time(channel))
        return true;
    if (channel_lost_after(channel, places_since(present_ms), false))
        return false;
    return !channel_horizon(channel, NULL, false, &horizon_ms) || present_ms >= horizon_ms;
}

static bool is_present_late_enough(const struct replay *replay)
{
    uint64_t present_ms = places_present_ms(replay);
    if (present_ms == 0)
        return false;
    for (uint32_t i = 0; i < replay->request->count; ++i)
        if (!is_late_enough(&replay->places[i], present_ms))
            return false;
    return true;
}

enum history_fault replay_fault(const struct replay *replay)
{
    return replay->fault;
}

/* A history that went back has lost what the stream was handed out behind that: it is told, and goes on from there. What was read of it for the stream is no longer believed, nor
 * that nothing but entries of somebody else stood somewhere. */
static void follow_breaks(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        struct place *place = &replay->places[i];
        struct position at;
        uint32_t breaks = channel_breaks(place->channel, &at);
        if (breaks == place->breaks)
            continue;
        place->breaks = breaks;
        replay_drop_page(replay, place);
        place->read_to = POSITION_NONE;
        if (place->stance == STANCE_UNKNOWN) {
            place->claim = place->claim == CLAIM_NONE ? CLAIM_NONE : CLAIM_MADE;
        } else if (position_compare(place->after, at) > 0) {
            place->after = at;
            place->stance = STANCE_EVENT;
            place->loss = place->loss == LOSS_TOLD ? LOSS_NONE : place->loss;
        }
    }
}

enum replay_need replay_prepare(struct replay *replay, struct channel **wait_at)
{
    enum replay_need need = REPLAY_READY;
    if (replay->failed != NULL) {
        replay->fault = history_fault(replay->failed);
        replay->failed = NULL;
        return replay->fault == HISTORY_UNREAD ? REPLAY_RETRY : REPLAY_REFUSED;
    }
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        *wait_at = replay->places[i].channel;
        if (channel_live(*wait_at))
            continue;
        channel_deepen(*wait_at, wish(replay->request));
        return REPLAY_CHANNEL;
    }
    follow_breaks(replay);
    if (!verify(replay, wait_at))
        return REPLAY_CHANNEL;
    if (replay->state < REPLAY_RESOLVED) {
        if (replay->request->mode != START_FRESH && replay->waits < PRESENT_WAITS && places_present_ms(replay) == 0) {
            ++replay->waits; /* the gateway has only just begun to listen, and what an id stands for may depend on the present */
            return REPLAY_BARRIER;
        }
        need = resolve(replay, wait_at);
        if (need == REPLAY_BARRIER)
            set_state(replay, REPLAY_BEHIND_BARRIER); /* when it is called again */
        else if (need == REPLAY_READY)
            set_state(replay, REPLAY_RESOLVED);
    }
    if (need == REPLAY_READY)
        need = read_pages(replay, wait_at);
    if (need == REPLAY_READY)
        need = read_proofs(replay, wait_at);
    if (need == REPLAY_READY && replay->waits < PRESENT_WAITS && !is_present_late_enough(replay)) {
        ++replay->waits;
        need = REPLAY_BARRIER;
    }
    return need;
}

/* ---- making a page ---- */

/* What a gap before the next frame reaches up to: behind it everything comes, now or live. */
static struct position gap_end(const struct place *place)
{
    const struct frame *next = upcoming(place);
    struct position last = channel_newest(place->channel);
    struct position end = next != NULL ? next->prev : place_has_page(place) ? place->page_end : last;
    return position_compare(end, last) < 0 ? end : last;
}

/* At every seam: where a page begins, and where the place goes from its own page to the ring. */
static void begin(const struct replay *replay, struct place *place)
{
    seek(place);
    const struct frame *next = upcoming(place);
    if (next != NULL && !is_owed(replay, place) && position_compare(next->prev, place->after) > 0)
        place->after = next->prev; /* what it asked for was trimmed before the first page: no gap on a later one */
    if (!look_for_gap(replay, place, &place->gap))
        place->gap = PLACE_GAP_BY_EVENT;
    switch (place->gap) {
    case PLACE_GAP_NONE:
        break;
    case PLACE_GAP_ALL:
        place->gap_at = POSITION_NONE; /* before any event: an event's id would lead a client that reconnects past it */
        break;
    case PLACE_GAP_HERE:
        place->gap_at = place->after;
        break;
    case PLACE_GAP_BY_TIME:
        place->gap_at.ms = place->gap_at.ms > place->time_ms ? place->gap_at.ms : place->time_ms;
        break;
    case PLACE_GAP_BY_EVENT:
        place->gap_at = gap_end(place);
        break;
    }
}

/* The place has handed out all of its page that was not to come live. */
static void go_to_page_end(struct place *place)
{
    struct position last = channel_newest(place->channel);
    bool cut = upcoming(place) != NULL;
    if (!cut) {
        place->read_to = place->page_end;
        return;
    }
    if (position_compare(place->after, last) < 0)
        place->after = last;
    place->stance = STANCE_EVENT; /* of this very history */
    place->page_more = false;
}

/* The place's page is used up: goes on in the ring, if that joins on. */
static bool leave_page(const struct replay *replay, struct place *place)
{
    go_to_page_end(place);
    if (place->page_more || !channel_covers(place->channel, place->after))
        return false;
    replay_drop_page(replay, place);
    begin(replay, place);
    return true;
}

/* A gap that no event's id tells of. */
static bool is_without_record(enum place_gap gap)
{
    return gap == PLACE_GAP_ALL || gap == PLACE_GAP_BY_TIME;
}

/* False: the place has no next frame. What a gap ends with may be later than the event behind it, where no record tells. */
static bool next_at(const struct place *place, struct position *at)
{
    const struct frame *frame = frame_at(place);
    bool gap = place->gap != PLACE_GAP_NONE;
    *at = frame != NULL && (!gap || position_compare(frame->at, place->gap_at) < 0) ? frame->at : place->gap_at;
    return gap || frame != NULL;
}

/* The place whose next frame is the oldest; NULL when no place has one, or when a page has run out and it can't be told. */
static struct place *oldest(struct replay *replay, bool *more)
{
    struct place *best = NULL;
    struct position best_at = POSITION_NONE;
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        struct place *place = &replay->places[i];
        struct position at;
        bool any = next_at(place, &at);
        if (!any && place_has_page(place)) {
            if (!leave_page(replay, place)) {
                *more = true;
                return NULL;
            }
            any = next_at(place, &at);
        }
        if (any && (best == NULL || position_compare(at, best_at) < 0)) {
            best = place;
            best_at = at;
        }
    }
    return best;
}

/* ---- ids of places ---- */

/* An entry by hand may have taken what follows ahead of the clock. */
static void format_time(const struct replay *replay, uint64_t ms, char out[EVENT_ID_LEN + 1])
{
    uint64_t present_ms = places_present_ms(replay);
    ms = present_ms != 0 && present_ms < ms ? present_ms : ms;
    event_id_format(out, SLICE(""), (struct position){ms, EVENT_ID_TIME_NEAR});
}

static void format_present(const struct replay *replay, char out[EVENT_ID_LEN + 1])
{
    event_id_format(out, SLICE(""), (struct position){places_present_ms(replay), EVENT_ID_TIME_PROVEN});
}

/* Of the place in one channel before `first`, or after the newest event. Where no event is known there, it is a time. */
static void format_before(const struct replay *replay, const struct place *place, const struct frame *first,
                          char out[EVENT_ID_LEN + 1])
{
    struct position at = first != NULL ? first->prev : channel_newest(place->channel);
    if (first != NULL ? !position_is_none(at) : !is_time(place->channel))
        event_id_format(out, channel_name(place->channel), at);
    else if (first != NULL)
        format_time(replay, first->at.ms, out);
    else
        format_present(replay, out);
}

/* The id of the place before `first`, or of the present when nothing is replayed: a client that resumes from it gets what the stream now begins with. */
static void format_place(const struct replay *replay, const struct frame *first, char out[EVENT_ID_LEN + 1])
{
    if (replay->request->count == 1)
        format_before(replay, &replay->places[0], first, out);
    else if (first != NULL)
        format_time(replay, first->at.ms, out);
    else
        format_present(replay, out);
}

static bool has_more(const struct replay *replay, bool (*is)(const struct place *place))
{
    for (uint32_t i = 0; i < replay->request->count; ++i)
        if (is(&replay->places[i]))
            return true;
    return false;
}

static bool has_frame(const struct place *place)
{
    return frame_at(place) != NULL || place->page_more;
}

static bool has_gap_without_record(const struct place *place)
{
    return is_without_record(place->gap);
}

/* This time, or that of an earlier event which is still to come. */
static uint64_t until_next(const struct replay *replay, uint64_t ms)
{
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        const struct frame *next = upcoming(&replay->places[i]);
        ms = next != NULL && next->at.ms < ms ? next->at.ms : ms;
    }
    return ms;
}

/* The id from which a client that got this gap resumes: the other gaps and the events that follow are still to come. False: it resumes from where it was. */
static bool format_after_gap(const struct replay *replay, const struct place *place, enum place_gap gap, char out[EVENT_ID_LEN + 1])
{
    if (gap == PLACE_GAP_HERE || (is_without_record(gap) && has_more(replay, has_gap_without_record)))
        return false;
    bool named = frame_at(place) != NULL || !place_has_page(place); /* what the gap ends before */
    if (replay->request->count == 1 && (named || gap != PLACE_GAP_BY_EVENT))
        format_before(replay, place, frame_at(place), out);
    else if (gap == PLACE_GAP_BY_EVENT)
        event_id_format(out, channel_name(place->channel), place->gap_at);
    else if (has_more(replay, has_frame))
        format_time(replay, until_next(replay, gap == PLACE_GAP_ALL ? place->time_ms : place->gap_at.ms), out);
    else
        format_present(replay, out);
    return true;
}

/* The id behind which something is missing. */
static void format_gap_begin(const struct replay *replay, const struct place *place, char out[EVENT_ID_LEN + 1])
{
    if (place->stance == STANCE_EVENT)
        event_id_format(out, channel_name(place->channel), place->after);
    else
        format_time(replay, place->time_ms, out);
}

/* Goes on behind a gap that was sent. */
static void pass_gap(struct place *place, enum place_gap gap)
{
    struct position end = gap_end(place);
    if (gap == PLACE_GAP_HERE || gap == PLACE_GAP_ALL)
        place->loss = LOSS_TOLD;
    if (gap == PLACE_GAP_BY_TIME) {
        place->time_ms = place->gap_at.ms;
    } else if (upcoming(place) != NULL || position_compare(end, place->after) > 0) {
        place->after = end;
        place->stance = STANCE_EVENT;
    }
}

static struct frame *take_gap(const struct replay *replay, struct place *place)
{
    char id[EVENT_ID_LEN + 1], begin_id[EVENT_ID_LEN + 1];
    bool at_start = !place->served && replay->request->mode == START_RESUME;
    enum place_gap kind = place->gap;
    place->gap = PLACE_GAP_NONE;
    struct slice own = format_after_gap(replay, place, kind, id) ? slice_of(id) : (struct slice){NULL, 0};
    enum gap_cause cause = kind == PLACE_GAP_ALL ? GAP_UNKNOWN_ID : kind == PLACE_GAP_BY_TIME ? GAP_VANISHED : GAP_TRIMMED;
    format_gap_begin(replay, place, begin_id);
    struct slice last_id = slice_of(at_start ? replay->request->resume_id : begin_id);
    struct frame *gap = gap_frame(channel_name(place->channel), last_id, own, place->gap_at, cause);
    pass_gap(place, kind);
    return gap;
}

/* ---- making a page ---- */

/* The place's next frame, with a reference for the caller. */
static struct frame *take(const struct replay *replay, struct place *place)
{
    if (place->gap != PLACE_GAP_NONE)
        return take_gap(replay, place);
    struct frame *frame = frame_at(place);
    assert(frame != NULL); /* oldest() chose the place for it */
    frame_ref(frame);
    ++place->next;
    place->after = frame->at;
    place->stance = STANCE_EVENT;
    place->served = true;
    place->told = false;
    return frame;
}

static void count_resume(const struct replay *replay)
{
    bool unknown = false, read = false;
    if (replay->request->mode != START_RESUME)
        return;
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        unknown = unknown || replay->places[i].loss == LOSS_ALL;
        read = read || place_has_page(&replay->places[i]);
    }
    metric_add(unknown ? COUNT_RESUMES_UNKNOWN : read ? COUNT_RESUMES_READ : COUNT_RESUMES_MEMORY, 1);
}

/* No entry says that a channel was abandoned: that comes behind all of its events. */
static uint32_t add_ends(const struct replay *replay, struct frame **frames, uint8_t *members, uint32_t count)
{
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        const struct place *place = &replay->places[i];
        if (!channel_abandoned(place->channel) || place->told)
            continue;
        members[count] = (uint8_t)i;
        frames[count++] = abandoned_frame(channel_name(place->channel), channel_newest(place->channel));
    }
    return count;
}

/* The last end of a stream of several channels has an id that stands behind all of them. Whether an end is the last one only the next page shows, so one that a page would close with is held back for
 * that. */
static uint32_t hold_end(struct replay *replay, struct frame *const *frames, const uint8_t *members, uint32_t count)
{
    if (replay->request->count == 1 || count == 0 || frames[count - 1]->kind != FRAME_END)
        return count;
    replay->held_end = frames[count - 1];
    replay->held_member = members[count - 1];
    return count - 1;
}

static uint32_t take_held_end(struct replay *replay, struct frame **frames, uint8_t *members)
{
    if (replay->held_end == NULL)
        return 0;
    frames[0] = replay->held_end;
    members[0] = replay->held_member;
    replay->held_end = NULL;
    return 1;
}

bool replay_page(struct replay *replay, struct feed_update *update)
{
    size_t bytes = 0;
    bool more = false;
    size_t room = REPLAY_PAGE_FRAMES + replay->request->count; /* … and the ends of channels that were abandoned */
    struct frame **frames = h2o_mem_alloc(room * (sizeof(*frames) + sizeof(uint8_t)));
    uint8_t *members = (uint8_t *)(frames + room);
    uint32_t count = take_held_end(replay, frames, members);
    replay->verify_ms = 0;
    replay->verified = false;
    if (replay->state == REPLAY_RESOLVED)
        count_resume(replay);
    for (uint32_t i = 0; i < replay->request->count; ++i)
        begin(replay, &replay->places[i]);
    struct place *place;
    while (!more && (place = oldest(replay, &more)) != NULL) {
        members[count] = (uint8_t)(place - replay->places);
        struct frame *frame = frames[count++] = take(replay, place);
        bytes += frame->body;
        more = count == REPLAY_PAGE_FRAMES || bytes >= REPLAY_PAGE_BYTES;
    }
    replay_drop_pages(replay);
    if (replay->state == REPLAY_RESOLVED)
        set_state(replay, REPLAY_BEGUN);
    uint32_t first = 0; /* a fresh stream of several channels stands behind those that were over before it, though it is told */
    while (replay->request->mode == START_FRESH && replay->request->count > 1 && first < count &&
           frames[first]->kind == FRAME_END && frames[first]->at.ms <= replay->places[members[first]].time_ms)
        ++first;
    format_place(replay, first == count ? NULL : frames[first], update->page.position);
    count = more ? hold_end(replay, frames, members, count) : add_ends(replay, frames, members, count);
    if (count == 0) {
        free(frames);
        frames = NULL;
        members = NULL;
    }
    update->page.present_ms = places_present_ms(replay);
    update->page.count = count;
    update->page.frames = frames;
    update->page.members = members;
    return !more;
}
