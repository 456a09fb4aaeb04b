#include "gateway/replay.h"

#include <assert.h>
#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/gap.h"
#include "proto/event_id.h"
#include "runtime/monotonic.h"

enum {
    READ_ENTRIES = 1000, /* of one read, at most */
    READ_BYTES =
        2 * REPLAY_PAGE_BYTES, /* … and about so much of all channels: what does not fit the page is read again for the next one */
    VERIFIED_MS = 1000, /* the ring of a channel is served that long after it was compared with the history */
    LONG_PAST_MS = 10000, /* no event of a millisecond that long ago is still on its way */
};

struct place {
    struct source *source;
    struct position after; /* what follows this is wanted */
    bool exact; /* `after` is an event of this very channel, not only a time */
    bool unknown; /* the id stands for no place: all that may have been missed is told as a gap */
    bool checked; /* for a gap */
    bool gap; /* to be told before the first frame */
    struct position gap_until;
    struct frame **page; /* read for this stream alone, because the ring does not reach back */
    uint32_t page_count;
    size_t page_bytes; /* counted in the memory of rings */
    size_t page_entries; /* read; some may be nobody's event */
    struct position page_end; /* of the last of them */
    bool page_full; /* there may be more behind it */
    size_t limit; /* entries of its next read */
    size_t counted; /* of the newest entries, read backwards for ?last= */
    uint32_t next; /* in the page, or in the ring */
};

struct replay {
    const struct ask *ask;
    const struct source_shared *shared;
    void (*on_read)(void *data);
    void *data;
    uint64_t verified_since_ms; /* the rings that this page is made of were compared with their histories since; 0: not yet said */
    bool resolved, barrier_passed, counted;
    bool scanning; /* the read under way looks for an author's own id in places[read_at] */
    bool scanned; /* … and did not find it */
    uint32_t read_at;
    bool read_failed;
    struct place places[];
};

struct replay *replay_create(const struct ask *ask, struct source *const *sources, const struct source_shared *shared,
                             void (*on_read)(void *data), void *data)
{
    size_t size = sizeof(struct replay) + ask->count * sizeof(struct place);
    struct replay *replay = h2o_mem_alloc(size);
    memset(replay, 0, size);
    replay->ask = ask;
    replay->shared = shared;
    replay->on_read = on_read;
    replay->data = data;
    for (uint32_t i = 0; i < ask->count; ++i)
        replay->places[i].source = sources[i];
    return replay;
}

/* ---- where the last event id stands ---- */

static struct slice id_of(const struct frame *frame)
{
    struct sse_fields fields;
    return sse_check(frame_body(frame), &fields) == NULL ? fields.id : (struct slice){NULL, 0};
}

/* Every event of this millisecond or later. */
static struct position since(struct position time)
{
    return time.ms == 0 ? POSITION_NONE : (struct position){time.ms - 1, UINT64_MAX};
}

static const struct source_shard *shard_at(const struct replay *replay, uint32_t i)
{
    return source_shard(replay->places[i].source);
}

/* Of all channels, or of those of one shard. */
static struct position newest_of(const struct replay *replay, const struct source_shard *shard)
{
    struct position newest = POSITION_NONE;
    for (uint32_t i = 0; i < replay->ask->count; ++i)
        if ((shard == NULL || shard == shard_at(replay, i)) && position_compare(source_last(replay->places[i].source), newest) > 0)
            newest = source_last(replay->places[i].source);
    return newest;
}

static bool spans_shards(const struct replay *replay)
{
    for (uint32_t i = 1; i < replay->ask->count; ++i)
        if (shard_at(replay, i) != shard_at(replay, 0))
            return true;
    return false;
}

/* Where a channel goes on whose own position the time `at`, of the shard `of`, stands for. Nothing orders the events of two shards but their clocks and what had come when. */
static struct position place_of_time(const struct replay *replay, uint32_t i, struct position at, const struct source_shard *of)
{
    uint64_t margin = shard_at(replay, i) == of ? 0 : replay->shared->margin_ms;
    at.ms = at.ms > margin ? at.ms - margin : 0;
    return since(at);
}

/* The id was of channel `found` (or, with count, of no one of them): each other channel goes on from its time. */
static enum replay_need found_at(struct replay *replay, uint32_t found, struct position at)
{
    uint32_t count = replay->ask->count;
    const struct source_shard *of = found != count ? shard_at(replay, found) : spans_shards(replay) ? NULL : shard_at(replay, 0);
    if (!replay->barrier_passed && position_compare(at, newest_of(replay, of)) > 0)
        return REPLAY_BARRIER;
    for (uint32_t i = 0; i < count; ++i) {
        replay->places[i].exact = i == found;
        replay->places[i].after = i == found ? at : place_of_time(replay, i, at, of);
    }
    replay->resolved = true;
    return REPLAY_READY;
}

static enum replay_need not_found(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->ask->count; ++i) {
        replay->places[i].after = source_last(replay->places[i].source);
        replay->places[i].unknown = true;
    }
    replay->resolved = true;
    return REPLAY_READY;
}

static bool in_ring(const struct source *source, struct slice id, struct position *at)
{
    const struct ring *ring = source_ring(source);
    for (uint32_t i = ring->count; i-- != 0;) {
        if (slice_eq(id_of(ring_at(ring, i)), id)) {
            *at = ring_at(ring, i)->at;
            return true;
        }
    }
    return false;
}

static void on_scanned(void *data, const struct history_entry *entries, size_t count, bool more, const char *why);

static enum replay_need scan(struct replay *replay, struct position after)
{
    replay->scanning = source_read_after(replay->places[replay->read_at].source, after, READ_ENTRIES, on_scanned, replay) != NULL;
    return replay->scanning ? REPLAY_READ : REPLAY_RETRY;
}

/* An id of the author's own: looked for in memory, then in what the history holds beyond it. */
static enum replay_need resolve_foreign(struct replay *replay, struct slice id, struct source **wait_at)
{
    struct position at;
    for (uint32_t i = 0; i < replay->ask->count; ++i) {
        *wait_at = replay->places[i].source;
        if (in_ring(*wait_at, id, &at))
            return found_at(replay, i, at);
        if (source_deepen(*wait_at, UINT32_MAX))
            return REPLAY_SOURCE;
    }
    if (!replay->barrier_passed)
        return REPLAY_BARRIER;
    for (; !replay->scanned && replay->read_at < replay->ask->count; ++replay->read_at) {
        const struct ring *ring = source_ring(replay->places[replay->read_at].source);
        if (ring->count != 0 && !position_is_none(ring_at(ring, 0)->prev))
            return scan(replay, POSITION_NONE);
    }
    return not_found(replay);
}

static enum replay_need resolve_id(struct replay *replay, struct source **wait_at)
{
    struct slice id = slice_of(replay->ask->resume_id);
    struct position at;
    for (uint32_t i = 0; i < replay->ask->count; ++i)
        if (event_id_parse(&at, id, source_name(replay->places[i].source)))
            return found_at(replay, i, at);
    if (event_id_parse(&at, id, SLICE("")))
        return found_at(replay, replay->ask->count, at);
    return resolve_foreign(replay, id, wait_at);
}

/* ---- reads for this stream alone ---- */

static void drop_page(const struct replay *replay, struct place *place)
{
    for (uint32_t i = 0; i < place->page_count; ++i)
        frame_unref(place->page[i]);
    free(place->page);
    ring_memory_give(replay->shared->limits.memory, place->page_bytes);
    place->page = NULL;
    place->page_bytes = 0;
    place->page_count = 0;
    place->next = 0;
}

void replay_abandon(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->ask->count; ++i)
        drop_page(replay, &replay->places[i]);
}

/* How many entries make this channel's part of READ_BYTES, if they are like these. */
static size_t limit_for(const struct replay *replay, size_t bytes, size_t entries)
{
    size_t limit = entries == 0 ? READ_ENTRIES : READ_BYTES / replay->ask->count / (bytes / entries + 1);
    return limit < 1 ? 1 : limit < READ_ENTRIES ? limit : READ_ENTRIES;
}

static void take_page(const struct replay *replay, struct place *place, const struct history_entry *entries, size_t count,
                      bool more)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; ++i)
        bytes += entries[i].payload.n;
    place->page = h2o_mem_alloc((count + 1) * sizeof(struct frame *));
    place->page_count = (uint32_t)source_frames(place->source, entries, count, place->page);
    place->page_bytes = count * sizeof(struct frame *);
    for (uint32_t i = 0; i < place->page_count; ++i)
        place->page_bytes += frame_memory(place->page[i]);
    ring_memory_take(replay->shared->limits.memory, place->page_bytes);
    place->page_entries = count;
    place->page_end = count == 0 ? place->after : entries[count - 1].at;
    place->page_full = more;
    place->limit = limit_for(replay, bytes, count);
    place->next = 0;
}

static void on_page(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct replay *replay = data;
    replay->read_failed = why != NULL;
    if (why == NULL)
        take_page(replay, &replay->places[replay->read_at], entries, count, more);
    replay->on_read(replay->data);
}

/* Some of the newest entries were counted: where they begin, `after` ends. */
static void on_newest(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct replay *replay = data;
    struct place *place = &replay->places[replay->read_at];
    replay->read_failed = why != NULL;
    if (why == NULL) {
        if (count != 0)
            place->after = position_before(entries[0].at);
        place->counted += count;
        place->checked = !more || place->counted >= replay->ask->last;
    }
    replay->on_read(replay->data);
}

static void on_scanned(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct replay *replay = data;
    struct slice id = slice_of(replay->ask->resume_id);
    struct message message;
    replay->scanning = false;
    replay->read_failed = why != NULL;
    for (size_t i = 0; i < count && !replay->resolved; ++i)
        if (entries[i].payload.p != NULL && message_decode(&message, entries[i].payload) == NULL && slice_eq(message.id, id))
            found_at(replay, replay->read_at, entries[i].at);
    if (why == NULL && !replay->resolved) {
        if (more && scan(replay, entries[count - 1].at) == REPLAY_READ)
            return;
        replay->scanned = ++replay->read_at == replay->ask->count;
    }
    replay->on_read(replay->data);
}

static enum replay_need read_page(struct replay *replay, uint32_t at)
{
    struct place *place = &replay->places[at];
    const struct ring *newest = source_ring(place->source);
    if (place->limit == 0)
        place->limit = limit_for(replay, newest->bytes, newest->count);
    replay->read_at = at;
    metric_add(COUNT_HISTORY_READS, 1);
    return source_read_after(place->source, place->after, place->limit, on_page, replay) != NULL ? REPLAY_READ : REPLAY_RETRY;
}

/* Beyond the ring the newest events are only counted; what follows where they begin is read page by page, like any other past. */
static enum replay_need count_newest(struct replay *replay, uint32_t at)
{
    struct place *place = &replay->places[at];
    struct position before = place->counted == 0 ? POSITION_MAX : position_next(place->after);
    if (place->counted == 0)
        place->after = source_last(place->source);
    replay->read_at = at;
    metric_add(COUNT_HISTORY_READS, 1);
    size_t limit = replay->ask->last - place->counted;
    return source_read_before(place->source, before, limit, on_newest, replay) != NULL ? REPLAY_READ : REPLAY_RETRY;
}

/* The newest ask->last events of each channel. */
static enum replay_need resolve_last(struct replay *replay, struct source **wait_at)
{
    uint32_t last = replay->ask->last;
    for (uint32_t i = 0; i < replay->ask->count; ++i) {
        struct place *place = &replay->places[i];
        const struct ring *ring = source_ring(place->source);
        *wait_at = place->source;
        if (place->checked)
            continue;
        if (ring->count < last && source_deepen(place->source, last))
            return REPLAY_SOURCE;
        if (ring->count < last && ring->count != 0 && !position_is_none(ring_at(ring, 0)->prev)) {
            return count_newest(replay, i);
        }
        place->after =
            ring->count == 0 ? source_last(place->source) : ring_at(ring, ring->count < last ? 0 : ring->count - last)->prev;
        place->checked = true; /* what is older was not asked for: no gap */
    }
    replay->resolved = true;
    return REPLAY_READY;
}

/* From now on; but a client that has had its head for a while (the bus was away) counts on all since then. */
static enum replay_need resolve_fresh(struct replay *replay)
{
    const struct ask *ask = replay->ask;
    bool head_sent = ask->head_sent || monotonic_ms() - ask->asked_ms >= REPLAY_HEAD_MS;
    for (uint32_t i = 0; i < ask->count; ++i) {
        const struct source_shard *shard = shard_at(replay, i);
        struct position asked = {(uint64_t)((int64_t)ask->asked_ms + shard->clock_ms), 0};
        struct position last = source_last(replay->places[i].source);
        replay->places[i].after = head_sent && shard->clock_known ? since(asked) : last;
        if (position_compare(replay->places[i].after, last) > 0)
            replay->places[i].after = last;
    }
    replay->resolved = true;
    return REPLAY_READY;
}

static enum replay_need resolve(struct replay *replay, struct source **wait_at)
{
    switch (replay->ask->mode) {
    case START_LAST:
        return resolve_last(replay, wait_at);
    case START_RESUME:
        return resolve_id(replay, wait_at);
    case START_FRESH:
        break;
    }
    return resolve_fresh(replay);
}

/* How deep the ring should be read at once when this stream is the first to ask, so that one read does. */
static uint32_t wish(const struct ask *ask)
{
    return ask->mode == START_RESUME ? UINT32_MAX : ask->mode == START_LAST ? ask->last : 0;
}

/* Events that were deleted since are not to be served from memory. False: *wait_at is being asked. */
static bool verify(struct replay *replay, struct source **wait_at)
{
    bool asking = false;
    uint64_t now = monotonic_ms();
    if (replay->ask->mode == START_FRESH)
        return true;
    if (replay->verified_since_ms == 0)
        replay->verified_since_ms = now < VERIFIED_MS ? 0 : now - VERIFIED_MS;
    for (uint32_t i = 0; i < replay->ask->count; ++i) {
        if (!source_verify(replay->places[i].source, replay->verified_since_ms))
            continue;
        *wait_at = replay->places[i].source;
        asking = true;
    }
    return !asking;
}

enum replay_need replay_prepare(struct replay *replay, struct source **wait_at)
{
    if (replay->read_failed) {
        replay->read_failed = false;
        return REPLAY_RETRY;
    }
    for (uint32_t i = 0; i < replay->ask->count; ++i) {
        *wait_at = replay->places[i].source;
        if (source_live(*wait_at))
            continue;
        source_deepen(*wait_at, wish(replay->ask));
        return REPLAY_SOURCE;
    }
    if (!verify(replay, wait_at))
        return REPLAY_SOURCE;
    if (!replay->resolved) {
        enum replay_need need = resolve(replay, wait_at);
        if (need == REPLAY_BARRIER)
            replay->barrier_passed = true; /* when it is called again */
        if (need != REPLAY_READY)
            return need;
    }
    for (uint32_t i = 0; i < replay->ask->count; ++i) {
        *wait_at = replay->places[i].source;
        if (replay->places[i].page != NULL || source_covers(*wait_at, replay->places[i].after))
            continue;
        if (source_deepen(*wait_at, UINT32_MAX))
            return REPLAY_SOURCE;
        return read_page(replay, i);
    }
    return REPLAY_READY;
}

/* ---- making a page ---- */

static struct frame *frame_at(const struct place *place)
{
    if (place->page != NULL)
        return place->next < place->page_count ? place->page[place->next] : NULL;
    const struct ring *ring = source_ring(place->source);
    return place->next < ring->count ? ring_at(ring, place->next) : NULL;
}

/* Whether something between `after` and the first frame to come (or the present) is not in the history any more. */
static bool missed(const struct place *place, const struct frame *first)
{
    if (place->unknown)
        return true;
    if (first == NULL)
        return place->exact && position_compare(place->after, source_last(place->source)) > 0;
    int prev = position_compare(first->prev, place->after);
    return place->exact ? prev != 0 : prev > 0; /* exact: an event that the next one does not name is not in this history */
}

static void begin(struct replay *replay, struct place *place)
{
    if (place->page == NULL)
        place->next = ring_after(source_ring(place->source), place->after);
    if (place->checked)
        return;
    place->checked = true;
    const struct frame *first = frame_at(place);
    if (replay->ask->mode == START_RESUME && missed(place, first)) {
        place->gap = true;
        place->gap_until = first != NULL ? first->prev : source_last(place->source);
    }
}

/* The place's page is used up: goes on in the ring, if that joins on. A read that found nothing where the ring has something later tells that the history was
 * deleted: what is missing then is a gap. */
static bool leave_page(struct replay *replay, struct place *place)
{
    bool deleted = place->page_entries == 0;
    place->after = place->page_end;
    if (!deleted && (place->page_full || !source_covers(place->source, place->after)))
        return false;
    drop_page(replay, place);
    if (deleted)
        place->checked = false;
    begin(replay, place);
    if (deleted && replay->ask->mode == START_RESUME && frame_at(place) == NULL) {
        place->gap = true; /* what is known to have followed is in no memory either */
        place->gap_until = source_last(place->source);
    }
    return true;
}

/* False: the place has no next frame. */
static bool next_at(const struct place *place, struct position *at)
{
    const struct frame *frame = place->gap ? NULL : frame_at(place);
    *at = frame != NULL ? frame->at : place->gap_until;
    return place->gap || frame != NULL;
}

/* The place whose next frame is the oldest; NULL when no place has one, or when a page has run out and it can't be told. */
static struct place *oldest(struct replay *replay, bool *more)
{
    struct place *best = NULL;
    struct position best_at = POSITION_NONE;
    for (uint32_t i = 0; i < replay->ask->count; ++i) {
        struct place *place = &replay->places[i];
        struct position at;
        bool any = next_at(place, &at);
        if (!any && place->page != NULL) {
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

/* The place's next frame, with a reference for the caller. */
static struct frame *take(const struct replay *replay, struct place *place)
{
    if (place->gap) {
        place->gap = false;
        metric_add(COUNT_GAPS, 1);
        return gap_frame(source_name(place->source), slice_of(replay->ask->resume_id), place->gap_until);
    }
    struct frame *frame = frame_at(place);
    assert(frame != NULL); /* oldest() chose the place for it */
    frame_ref(frame);
    ++place->next;
    place->after = frame->at;
    place->exact = true;
    return frame;
}

static void count_resume(struct replay *replay)
{
    bool unknown = false, read = false;
    if (replay->counted || replay->ask->mode != START_RESUME)
        return;
    replay->counted = true;
    for (uint32_t i = 0; i < replay->ask->count; ++i) {
        unknown = unknown || replay->places[i].unknown;
        read = read || replay->places[i].page != NULL;
    }
    metric_add(unknown ? COUNT_RESUMES_UNKNOWN : read ? COUNT_RESUMES_READ : COUNT_RESUMES_MEMORY, 1);
}

/* Milliseconds since 1970 by the clock of the shard that is behind the others; 0: not known. */
static int64_t now_ms(const struct replay *replay)
{
    int64_t now = INT64_MAX;
    for (uint32_t i = 0; i < replay->ask->count; ++i) {
        const struct source_shard *shard = shard_at(replay, i);
        int64_t its = shard->clock_known ? (int64_t)monotonic_ms() + shard->clock_ms : 0;
        now = its < now ? its : now;
    }
    return now;
}

/* The time in several channels that stands for the present: the events of that very millisecond (over several shards: of the margin before it, too) may come (again)
 * to who returns with it, so where the newest event is long past, it is so much after it. */
static struct position present(const struct replay *replay)
{
    struct position newest = newest_of(replay, NULL);
    uint64_t margin = spans_shards(replay) ? replay->shared->margin_ms : 0;
    if (!position_is_none(newest) && (int64_t)(newest.ms + margin) + LONG_PAST_MS < now_ms(replay))
        newest = (struct position){newest.ms + margin + 1, 0};
    return newest;
}

/* The id of the place before `first`, or of the present when nothing is replayed: who returns with it gets what the stream now begins with. */
static void format_place(const struct replay *replay, const struct frame *first, char out[EVENT_ID_LEN + 1])
{
    if (replay->ask->count == 1)
        event_id_format(out, source_name(replay->places[0].source), first != NULL ? first->prev : newest_of(replay, NULL));
    else
        event_id_format(out, SLICE(""), first != NULL ? (struct position){first->at.ms, 0} : present(replay));
}

bool replay_page(struct replay *replay, struct tell *tell)
{
    size_t bytes = 0;
    uint32_t count = 0;
    bool more = false;
    struct frame **frames = h2o_mem_alloc(REPLAY_PAGE_FRAMES * sizeof(*frames));
    replay->verified_since_ms = 0;
    count_resume(replay);
    for (uint32_t i = 0; i < replay->ask->count; ++i)
        begin(replay, &replay->places[i]);
    struct place *place;
    while (!more && (place = oldest(replay, &more)) != NULL) {
        struct frame *frame = frames[count++] = take(replay, place);
        bytes += frame->body;
        more = count == REPLAY_PAGE_FRAMES || bytes >= REPLAY_PAGE_BYTES;
    }
    for (uint32_t i = 0; i < replay->ask->count; ++i)
        drop_page(replay, &replay->places[i]);
    format_place(replay, count == 0 ? NULL : frames[0], tell->page.position);
    if (count == 0) {
        free(frames);
        frames = NULL;
    }
    tell->page.count = count;
    tell->page.frames = frames;
    return !more;
}
