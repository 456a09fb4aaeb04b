#include "gateway/feed/places.h"

#include "gateway/feed/replay_read.h"
#include "gateway/feed/search.h"
#include "proto/event_id.h"
#include "runtime/monotonic.h"

enum { CLOCK_MARGIN_MS = 1000 }; /* a time that is later than Redis's by more than this is none that a gateway gave */

/* ---- times ---- */

struct position places_since(uint64_t ms)
{
    return ms == 0 ? POSITION_NONE : (struct position){ms - 1, UINT64_MAX};
}

static const struct channel_shard *shard_at(const struct replay *replay, uint32_t i)
{
    return channel_shard(replay->places[i].channel);
}

static bool spans_shards(const struct replay *replay)
{
    for (uint32_t i = 1; i < replay->request->count; ++i)
        if (shard_at(replay, i) != shard_at(replay, 0))
            return true;
    return false;
}

/* The newest event of all channels, or of those of one shard. */
static struct position newest_of(const struct replay *replay, const struct channel_shard *shard)
{
    struct position newest = POSITION_NONE;
    for (uint32_t i = 0; i < replay->request->count; ++i)
        if ((shard == NULL || shard == shard_at(replay, i)) &&
            position_compare(channel_newest(replay->places[i].channel), newest) > 0)
            newest = channel_newest(replay->places[i].channel);
    return newest;
}

uint64_t places_present_ms(const struct replay *replay)
{
    uint64_t proven = UINT64_MAX, newest = newest_of(replay, NULL).ms;
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        const struct channel_shard *shard = shard_at(replay, i);
        uint64_t its = shard == NULL ? 0 : shard->proven_ms;
        proven = its < proven ? its : proven;
    }
    if (spans_shards(replay) || newest < proven)
        return proven;
    /* One shard sends all its events in order: those before the newest have come. But the newest event of a channel that goes on above a clock that was set back is no time. */
    const struct channel_shard *shard = shard_at(replay, 0);
    return shard == NULL || clock_steps_is_time(shard->steps, newest, monotonic_ms()) ? newest : proven;
}

/* The time that `ms` of shard `of` stands for in shard `in`; where `of` is NULL, `ms` may be of any. */
static uint64_t since(const struct replay *replay, uint64_t ms, const struct channel_shard *of, const struct channel_shard *in)
{
    uint64_t earliest = ms;
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        const struct channel_shard *shard = shard_at(replay, i);
        uint64_t its = shard == NULL || (shard != in && of != NULL && shard != of) ? ms : clock_steps_since(shard->steps, ms);
        earliest = its < earliest ? its : earliest;
    }
    return earliest;
}

/* Whether a gateway can have given this time as a place: the clock has reached it, or had before it was set back. */
static bool has_been(const struct replay *replay, uint64_t ms)
{
    ms = since(replay, ms, NULL, NULL);
    int64_t now = 0;
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        const struct channel_shard *shard = shard_at(replay, i);
        int64_t its = shard != NULL && shard->steps->known ? (int64_t)monotonic_ms() + shard->steps->most_ms : 0;
        now = its > now ? its : now;
    }
    return (int64_t)ms <= now + CLOCK_MARGIN_MS;
}

/* ---- taking what an id stands for ---- */

/* Channel i goes on from here, or from where it was to go on, if that is earlier. */
static void stand(struct place *place, enum stance stance, struct position after, uint64_t time_ms)
{
    if (place->stance != STANCE_UNKNOWN && position_compare(place->after, after) <= 0)
        return;
    place->stance = stance;
    place->after = after;
    place->time_ms = time_ms;
}

/* Channel i goes on from the time `ms` of shard `of`. Nothing orders the events of two shards but their clocks and what had come when. */
static void stand_at_time(struct replay *replay, uint32_t i, uint64_t ms, const struct channel_shard *of)
{
    uint64_t margin = shard_at(replay, i) == of ? 0 : replay->shared->margin_ms;
    uint64_t time_ms = since(replay, ms, of, shard_at(replay, i));
    uint64_t from = time_ms > margin ? since(replay, time_ms - margin, of, shard_at(replay, i)) : 0;
    stand(&replay->places[i], STANCE_TIME, places_since(from), of == NULL ? time_ms : from);
}

/* The id stands for this event, or the place after it, in channel `found`: the others go on from its time. If no clock has been there, as far as this gateway knows, one was set back before
 * it looked: what was published since may be older than the id, so the others tell a gap. */
static void stand_at(struct replay *replay, uint32_t found, struct position at)
{
    uint64_t since_ms;
    bool ahead = channel_was_ahead(replay->places[found].channel, at.ms, &since_ms), is_time = ahead || has_been(replay, at.ms);
    if (!ahead)
        since_ms = is_time ? at.ms : places_present_ms(replay);
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        if (i == found) {
            stand(&replay->places[i], STANCE_EVENT, at, at.ms);
            continue;
        }
        stand_at_time(replay, i, since_ms, shard_at(replay, found));
        if (!is_time)
            replay->places[i].loss = LOSS_ALL;
    }
}

/* ---- an id of the form of a position ---- */

enum verdict {
    VERDICT_STANDS,
    VERDICT_LATER, /* than the newest event here */
    VERDICT_READ, /* Redis can tell */
    VERDICT_NONE,
};

static enum verdict look_up(const struct place *place)
{
    const struct ring *ring = channel_ring(place->channel);
    struct position at = place->claimed, last = channel_newest(place->channel);
    uint32_t next = ring_after(ring, at);
    if (position_is_none(at) || position_compare(at, last) == 0) /* the former: 1.0's place of an empty channel */
        return VERDICT_STANDS;
    if (next != 0 && position_compare(ring_at(ring, next - 1)->at, at) == 0)
        return VERDICT_STANDS;
    if (next != ring->count && position_compare(ring_at(ring, next)->prev, at) == 0)
        return VERDICT_STANDS;
    if (position_compare(at, last) > 0)
        return VERDICT_LATER;
    return channel_bare(place->channel) ? VERDICT_NONE : VERDICT_READ;
}

/* What was read for that is dropped when the stream has to wait, and is read again. */
static bool is_looked_up(const struct place *place)
{
    return place->claim >= CLAIM_ABSENT && place->page != PAGE_NONE;
}

/* Whether only entries of somebody else were read: what follows them tells. */
static bool tells_nothing_yet(const struct place *place)
{
    return place->claim == CLAIM_ABSENT && place_has_page(place) && place->page_count == 0;
}

/* Of what was read from the claimed position on. */
static bool read_tells(const struct place *place)
{
    const struct frame *first = place->page_count == 0 ? NULL : place->page_frames[0];
    return place->claim == CLAIM_THERE || (first != NULL && position_compare(first->prev, place->claimed) == 0);
}

/* READY: *stands tells. */
static enum replay_need find_claim(struct replay *replay, uint32_t i, bool *stands, struct channel **wait_at)
{
    struct place *place = &replay->places[i];
    *wait_at = place->channel;
    *stands = is_looked_up(place) && read_tells(place);
    if (tells_nothing_yet(place))
        return replay_look_on(replay, i);
    if (is_looked_up(place))
        return REPLAY_READY;
    enum verdict verdict = look_up(place);
    *stands = verdict == VERDICT_STANDS;
    if (verdict == VERDICT_LATER && replay->state == REPLAY_RESOLVING)
        return REPLAY_BARRIER;
    if (verdict != VERDICT_READ)
        return REPLAY_READY;
    if (channel_deepen(place->channel, UINT32_MAX))
        return REPLAY_CHANNEL;
    return replay_look_up(replay, i);
}

static enum replay_need find_claims(struct replay *replay, struct slice id, bool *found, struct channel **wait_at)
{
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        struct place *place = &replay->places[i];
        bool stands;
        if (place->claim == CLAIM_NONE && event_id_parse(&place->claimed, id, channel_name(place->channel)))
            place->claim = CLAIM_MADE;
        if (place->claim == CLAIM_NONE)
            continue;
        enum replay_need need = find_claim(replay, i, &stands, wait_at);
        if (need != REPLAY_READY)
            return need;
        if (stands)
            stand_at(replay, i, place->claimed);
        place->told = stands && event_id_is_end(id);
        *found = *found || stands;
    }
    return REPLAY_READY;
}

/* ---- an id of the form of a time ---- */

/* The client was told this channel's end by the time that its id stands for. A channel that goes on is new again since, in that very millisecond. */
static void stand_behind_end(struct place *place)
{
    struct position newest = channel_newest(place->channel);
    if (channel_ended_ms(place->channel) == 0 || position_compare(newest, place->after) <= 0)
        return;
    place->after = newest;
    place->stance = STANCE_EVENT;
}

/* Before 2.0 an author could give such an id, too. */
static enum replay_need find_time(struct replay *replay, struct slice id, struct position time)
{
    const struct channel_shard *of = spans_shards(replay) ? NULL : shard_at(replay, 0);
    struct position at;
    for (uint32_t i = 0; i < replay->request->count; ++i)
        if (ring_find(channel_ring(replay->places[i].channel), id, &at))
            stand_at(replay, i, at);
    for (uint32_t i = 0; replay->state == REPLAY_RESOLVING && i < replay->request->count; ++i)
        if (time.ms > newest_of(replay, shard_at(replay, i)).ms)
            return REPLAY_BARRIER; /* what was sent by then may be on its way here */
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        const struct channel_shard *shard = shard_at(replay, i);
        uint64_t since_ms = shard == NULL ? time.ms : clock_steps_since(shard->doubts, time.ms);
        stand_at_time(replay, i, since_ms, time.seq == EVENT_ID_TIME_PROVEN ? shard : of);
        replay->places[i].told = event_id_is_end(id) && channel_newest(replay->places[i].channel).ms <= time.ms;
        if (replay->places[i].told && shard != NULL && since_ms == time.ms && clock_steps_since(shard->steps, time.ms) == time.ms)
            stand_behind_end(&replay->places[i]);
    }
    return REPLAY_READY;
}

/* ---- an id of an author's own ---- */

static enum replay_need find_author_s(struct replay *replay, struct slice id, bool *found, struct channel **wait_at)
{
    struct position at;
    enum replay_need need = REPLAY_READY;
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        struct channel *channel = replay->places[i].channel;
        if (channel_deepen(channel, UINT32_MAX) || search_find(channel_search(channel), id, &at) == SEARCH_WAIT) {
            *wait_at = channel;
            need = REPLAY_CHANNEL;
        }
    }
    for (uint32_t i = 0; need == REPLAY_READY && i < replay->request->count; ++i) {
        if (search_find(channel_search(replay->places[i].channel), id, &at) != SEARCH_FOUND)
            continue;
        if (position_compare(at, channel_newest(replay->places[i].channel)) > 0 && replay->state == REPLAY_RESOLVING)
            return REPLAY_BARRIER; /* the history is ahead of what has come: that would come again, live */
        stand_at(replay, i, at);
        *found = true;
    }
    return need;
}

/* ---- an id that stands for nothing ---- */

/* Whether the history of the claimed channel has gone on without the claimed position, or should know of it and does not: so Redis's data is not what the id came from. Not where it only
 * does not reach back so far. READY: *other tells. */
static enum replay_need is_other_data(const struct place *place, bool *other)
{
    const struct ring *ring = channel_ring(place->channel);
    uint32_t next = ring_after(ring, place->claimed);
    bool in_ring = place->page_count == 0 && next != ring->count; /* what follows was deleted meanwhile */
    const struct frame *first = in_ring ? ring_at(ring, next) : place->page_count == 0 ? NULL : place->page_frames[0];
    struct position last = channel_newest(place->channel);
    uint64_t horizon_ms = 0;
    if (is_looked_up(place) && first == NULL && position_compare(place->claimed, last) <= 0) {
        *other = false; /* it was trimmed, or deleted meanwhile with all that follows */
    } else if (position_is_none(first != NULL ? first->prev : last)) {
        if (!channel_horizon(place->channel, first, in_ring, &horizon_ms))
            return REPLAY_CHANNEL;
        *other = place->claimed.ms >= horizon_ms;
    } else {
        *other = position_compare(first != NULL ? first->prev : last, place->claimed) < 0;
    }
    return REPLAY_READY;
}

/* Events may be missing in all channels whose data was in the same Redis. */
static enum replay_need lose_claim(struct replay *replay, uint32_t claimed, struct channel **wait_at)
{
    struct place *place = &replay->places[claimed];
    struct position last = channel_before_end(place->channel), at = place->claimed;
    bool other;
    *wait_at = place->channel;
    enum replay_need need = is_other_data(place, &other);
    if (need != REPLAY_READY)
        return need;
    stand_at(replay, claimed, at);
    for (uint32_t i = 0; i < replay->request->count; ++i)
        if (other && shard_at(replay, i) == shard_at(replay, claimed))
            replay->places[i].loss = LOSS_ALL;
    place->after = position_compare(at, last) < 0 ? at : last;
    place->stance = STANCE_TIME;
    return REPLAY_READY;
}

static void lose_all(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        struct place *place = &replay->places[i];
        place->stance = STANCE_TIME;
        place->after = channel_before_end(place->channel);
        place->time_ms = places_present_ms(replay);
        place->loss = LOSS_ALL;
    }
}

enum replay_need places_find(struct replay *replay, struct channel **wait_at)
{
    struct slice id = slice_of(replay->request->resume_id);
    struct position time;
    uint32_t count = replay->request->count, claimed = 0;
    bool found = false;
    enum replay_need need = find_claims(replay, id, &found, wait_at);
    if (need != REPLAY_READY || found)
        return need;
    if (event_id_parse(&time, id, SLICE("")) && has_been(replay, time.ms))
        return find_time(replay, id, time);
    need = find_author_s(replay, id, &found, wait_at);
    if (need != REPLAY_READY || found)
        return need;
    if (replay->state == REPLAY_RESOLVING)
        return REPLAY_BARRIER;
    while (claimed < count && replay->places[claimed].claim == CLAIM_NONE)
        ++claimed;
    if (claimed < count && has_been(replay, replay->places[claimed].claimed.ms))
        return lose_claim(replay, claimed, wait_at);
    lose_all(replay);
    return REPLAY_READY;
}

/* ---- what is missing ---- */

static enum place_gap gap_if(bool missed, enum place_gap gap)
{
    return missed ? gap : PLACE_GAP_NONE;
}

static bool precedes_horizon(struct place *place, const struct frame *first, enum place_gap *gap)
{
    uint64_t horizon_ms;
    bool in_ring = first != NULL && !place_has_page(place);
    if (!channel_horizon(place->channel, first, in_ring, &horizon_ms))
        return false;
    *gap = gap_if(place->time_ms < horizon_ms, PLACE_GAP_BY_TIME);
    place->gap_at = (struct position){horizon_ms, 0};
    return true;
}

/* A failover lost the events behind an end, so the channel has ended once more, and the client knows that end. A gap would send it back to this place for ever. */
static bool is_told_end(const struct place *place)
{
    bool behind = channel_ended_ms(place->channel) != 0 && position_compare(place->after, channel_newest(place->channel)) >= 0;
    return behind && (place->told || (place->stance == STANCE_EVENT && !channel_abandoned(place->channel)));
}

bool places_knows_of_loss(const struct place *place)
{
    bool lost_here = place->loss == LOSS_NONE && channel_lost_after(place->channel, place->after, place->stance == STANCE_EVENT);
    return place->loss == LOSS_ALL || (lost_here && !is_told_end(place));
}

bool places_find_gap(struct place *place, const struct frame *first, enum place_gap *gap)
{
    struct position last = channel_newest(place->channel);
    bool exact = place->stance == STANCE_EVENT;
    if (places_knows_of_loss(place)) {
        *gap = place->loss == LOSS_ALL ? PLACE_GAP_ALL : PLACE_GAP_HERE;
    } else if (!exact && (first != NULL ? position_is_none(first->prev) : position_is_none(last))) {
        return precedes_horizon(place, first, gap);
    } else if (first != NULL) {
        int prev = position_compare(first->prev, place->after);
        *gap = gap_if(exact ? prev != 0 : prev > 0, PLACE_GAP_BY_EVENT);
    } else {
        bool empty = place->page == PAGE_EMPTIED || channel_bare(place->channel);
        *gap = gap_if(empty && position_compare(last, place->after) > 0, PLACE_GAP_BY_EVENT);
    }
    return true;
}
