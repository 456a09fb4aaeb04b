#include "gateway/feed/source.h"

#include "gateway/counters.h"
#include "gateway/feed/source_inside.h"
#include "runtime/monotonic.h"

/* Entries asked for in one read of a history: an answer holds fewer when they are large (see history.h). */
enum { PAGE = 1000 };

/* ---- what is missing where the history begins anew, or is not there ---- */

static uint64_t horizon_of(uint64_t born_ms, uint64_t time_ms)
{
    uint64_t marked = time_ms > MARKER_MS ? time_ms - MARKER_MS : 0;
    return born_ms > marked ? born_ms : marked;
}

/* Redis's data tells since born_ms, and markers for MARKER_MS: whether that is known as of a time after `time_ms`. The later of two births is believed. */
static bool proof_of(const struct source *source, uint64_t time_ms, uint64_t *born_ms)
{
    uint64_t born = source->shard == NULL ? 0 : source->shard->born_ms, seen = source->shard == NULL ? 0 : source->shard->seen_ms;
    *born_ms = born > source->born_ms ? born : source->born_ms;
    return seen > time_ms || source->seen_ms > time_ms;
}

static void want_proof(struct source *source, uint64_t time_ms)
{
    source->marker = source->marker == MARKER_NONE ? MARKER_FOR_PROOF : source->marker;
    if (source->proof_ms <= time_ms)
        source->proof_ms = time_ms + 1;
}

static void want_absence(struct source *source)
{
    want_proof(source, 0);
    source->marker = MARKER_FOR_ABSENCE;
}

/* Whether something may have been published, after the last event and while nobody listened, before a history began at time_ms that names nothing before it. The last event's own
 * marker would still be there; where it is too old for one, only what was heard proves. */
static bool is_lost_before(const struct source *source, uint64_t time_ms)
{
    uint64_t born_ms = 0, horizon_ms;
    if (!source->interrupted)
        return false;
    proof_of(source, 0, &born_ms);
    horizon_ms = horizon_of(born_ms, time_ms);
    if (!position_is_none(source->last) && source->last.ms >= horizon_ms)
        return true;
    return source->heard_ms < horizon_ms;
}

/* The history has no entry. */
static void take_absence(struct source *source, const struct marker *marker)
{
    bool first = source->past == PAST_UNKNOWN, later = position_compare(marker->last, source->last) > 0;
    bool lost = !first && (later || (position_compare(marker->last, source->last) != 0 && is_lost_before(source, marker->now_ms)) ||
                           (position_is_none(source->last) && is_lost_before(source, marker->now_ms)));
    if (lost)
        source_emit_gap(source, marker->last, marker->now_ms);
    if (first || lost)
        source->last = marker->last;
    if (first)
        source->horizon_ms = horizon_of(source->born_ms, marker->now_ms);
    else if (lost)
        source->horizon_ms = marker->now_ms;
    source->past = PAST_BARE;
    source->interrupted = false;
    source->depth = UINT32_MAX;
}

/* Whether these entries, which follow `last`, begin a history that names nothing before them, and more has to be known to tell what is missing. */
static bool lacks_proof(const struct source *source, const struct history_entry *entries, size_t count)
{
    uint64_t born_ms;
    if (!source->interrupted || count == 0)
        return false;
    struct frame *frame = source_frame(source, &entries[0]);
    if (frame == NULL)
        return false;
    bool lacks = position_is_none(frame->prev) && !proof_of(source, frame->at.ms, &born_ms);
    frame_unref(frame);
    return lacks;
}

/* ---- reads ---- */

/* One entry of the history, on the way from `last` to its end. */
static void take_entry(struct source *source, const struct history_entry *entry)
{
    struct frame *frame = source_frame(source, entry);
    if (frame == NULL) {
        source->last = entry->at; /* somebody else's entry: the next one of ours names it as the one before */
        return;
    }
    if (!source_already_seen(source, frame)) {
        if (position_is_none(frame->prev) ? is_lost_before(source, frame->at.ms) : position_compare(frame->prev, source->last) != 0)
            source_emit_gap(source, frame->prev, frame->at.ms);
        else
            source_join_on(source, frame);
        source_emit(source, frame);
    }
    frame_unref(frame);
}

/* The first read of a history: its newest events fill the ring, and nobody is told of them. */
static void take_newest(struct source *source, const struct history_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        struct frame *frame = source_frame(source, &entries[i]);
        source->last = entries[i].at;
        if (frame == NULL)
            continue;
        ring_append(&source->ring, frame, &source->shared->limits);
        frame_unref(frame);
    }
    source->past = PAST_KNOWN;
    source->settled = source->asked_held;
}

/* What the ring holds is what follows this, and is not older than it but for nobody's events. */
static struct position ring_begin(const struct source *source)
{
    return source->ring.count == 0 ? source->last : ring_at(&source->ring, 0)->prev;
}

/* A deeper read: what is older than the ring goes in front of it. False: there is no room for all. */
static bool take_older(struct source *source, const struct history_entry *entries, size_t count)
{
    bool room = true;
    struct position reached = source->reached;
    for (size_t i = count; i-- != 0 && room;) {
        reached = entries[i].at;
        if (position_compare(entries[i].at, ring_begin(source)) > 0)
            continue;
        struct frame *frame = source_frame(source, &entries[i]);
        if (frame == NULL)
            continue;
        room = ring_prepend(&source->ring, frame, &source->shared->limits);
        frame_unref(frame);
    }
    source->reached = reached;
    source->reached_begin = ring_begin(source);
    return room;
}

/* The deeper read goes on with what stands before this. */
static struct position deeper_before(const struct source *source)
{
    struct position begin = ring_begin(source);
    bool reached = !position_is_none(source->reached) && position_compare(source->reached_begin, begin) == 0;
    return reached ? source->reached : position_next(begin);
}

/* True when the callback of a read has something to go on with. */
static bool read_ended(struct source *source, const char *why)
{
    source->reading = READING_NONE;
    if (why != NULL)
        source->shared->on_read_failed(source->owner, why);
    return why == NULL;
}

static bool read_due(const struct source *source)
{
    return source->state == READING ||
           (source->state == LIVE && (source->marker != MARKER_NONE || source->doubted || source->wanted > source->depth));
}

/* After a read: on to the next, or live. */
static void go_on(struct source *source, bool complete)
{
    switch (source->state) {
    case SUBSCRIBING:
        break;
    case READING:
        if (source->again || !complete) {
            source->again = false;
            source_start_read(source);
        } else {
            source_catch_up(source);
        }
        break;
    case LIVE:
        if (read_due(source))
            source_start_read(source);
        else
            source->shared->on_live(source->owner);
        break;
    }
}

/* The data set's birth, or its stand-in; 0: nobody has noted one yet. */
static uint64_t born_of(const struct source *source, const struct marker *marker)
{
    return marker->born_ms != 0 ? marker->born_ms : source->shard->denied ? source->shard->born_ms : 0;
}

static void take_marker(struct source *source, const struct marker *marker)
{
    bool absent = source->marker == MARKER_FOR_ABSENCE && marker->bare && !source->again;
    source->born_ms = born_of(source, marker);
    source->seen_ms = marker->now_ms > source->proof_ms ? marker->now_ms : source->proof_ms;
    source->marker = MARKER_NONE;
    if (absent)
        take_absence(source, marker);
    go_on(source, absent);
}

static void on_marker(void *data, const struct marker *marker, const char *why)
{
    struct source *source = data;
    source->reading = READING_NONE;
    if (why == NULL && source->state != SUBSCRIBING && born_of(source, marker) == 0)
        why = "nobody has noted yet since when the data in Redis tells";
    if (why != NULL)
        source->shared->on_read_failed(source->owner, why);
    else if (source->state != SUBSCRIBING)
        take_marker(source, marker);
}

static void on_newest(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct source *source = data;
    if (!read_ended(source, why))
        return;
    if (count == 0) {
        want_absence(source);
        go_on(source, false);
        return;
    }
    take_newest(source, entries, count);
    source->depth = more ? (uint32_t)count : UINT32_MAX;
    source->verified_ms = source->asked_ms;
    go_on(source, true);
}

/* Where the history begins: the ring does not go back further. What came since the question was asked may be dropped, too: it is in the history, and is read there. */
static void on_first(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct source *source = data;
    (void)more;
    if (!read_ended(source, why))
        return;
    uint32_t had = source->ring.count;
    ring_drop_before(&source->ring, count == 0 ? POSITION_MAX : entries[0].at);
    if (source->ring.count != had) {
        source->depth = UINT32_MAX;
        source_forget_history(source);
    }
    source->doubted = false;
    source->verified_ms = source->asked_ms;
    go_on(source, false);
}

/* The next answer follows at once, until the ring is as deep as was asked for. */
static void on_older(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct source *source = data;
    if (!read_ended(source, why))
        return;
    if (position_compare(ring_begin(source), source->older_begin) ==
        0) { /* else it lost events meanwhile, and these don't join on */
        bool room = take_older(source, entries, count);
        source->depth = more && room ? source->depth + (uint32_t)count : UINT32_MAX;
    }
    go_on(source, false);
}

/* The streams are told, since their clients' ids stand for nothing now, and go on from here. Nothing in the history tells of what was lost behind `at`, so it is remembered. */
static void go_back_to(struct source *source, struct position at, uint64_t time_ms)
{
    source_emit_gap(source, at, time_ms);
    source->last = at;
    source->broken = true;
    source->broken_at = at;
    source->broken_ms =
        source->shard != NULL && source->shard->clock_known ? (uint64_t)((int64_t)monotonic_ms() + source->shard->clock_ms) : 0;
}

/* What was missed. True when all of it was taken. */
static bool take_missed(struct source *source, const struct history_entry *entries, size_t count, bool more)
{
    const struct divergence_past past = {source_name(source), &source->ring, source->last};
    bool about_last = source->divergence.asked == DIVERGENCE_DOUBTED || source->divergence.asked == DIVERGENCE_CHALLENGED;
    struct divergence_answer answer = divergence_judge(&source->divergence, &past, entries, count, !more);
    switch (answer.what) {
    case DIVERGENCE_ASK_AGAIN:
        return false;
    case DIVERGENCE_START_OVER:
        source_start_over(source, answer.at);
        return false;
    case DIVERGENCE_GO_BACK:
        source->settled = 0;
        go_back_to(source, answer.at, answer.from < count ? entries[answer.from].at.ms : 0);
        break;
    case DIVERGENCE_TAKE:
        source->settled = about_last && count != 0 ? source->asked_held : source->settled;
        break;
    }
    for (size_t i = answer.from; i < count; ++i)
        take_entry(source, &entries[i]);
    return !more;
}

static void on_missed(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct source *source = data;
    bool from_start = source->reading == READING_MISSED_FROM_START;
    if (!read_ended(source, why))
        return;
    if (lacks_proof(source, entries, count)) {
        want_proof(source, entries[0].at.ms);
        go_on(source, false);
        return;
    }
    bool complete = !source->again && take_missed(source, entries, count, more);
    bool absent = complete && count == 0 && from_start && source->interrupted;
    if (absent)
        want_absence(source);
    go_on(source, complete && !absent);
}

static enum channel_read what_to_read(const struct source *source)
{
    if (source->marker != MARKER_NONE)
        return READING_MARKER;
    if (source->past == PAST_UNKNOWN)
        return READING_NEWEST;
    if (source->state == READING)
        return READING_MISSED;
    return source->doubted ? READING_BEGIN : READING_OLDER;
}

static struct history_read *read_missed(struct source *source)
{
    struct divergence_question question = divergence_ask(&source->divergence, source->last);
    if (question.newest || position_is_none(question.after))
        source->reading = READING_MISSED_FROM_START;
    if (question.newest)
        return source_read_before(source, POSITION_MAX, 1, on_missed, source);
    return source_read_after(source, question.after, PAGE, on_missed, source);
}

static struct history_read *read_history(struct source *source)
{
    switch (source->reading) {
    case READING_NEWEST:
        return source_read_before(source, POSITION_MAX, source->wanted, on_newest, source);
    case READING_MISSED:
        return read_missed(source);
    case READING_BEGIN:
        return source_read_after(source, POSITION_NONE, 1, on_first, source);
    default:
        source->older_begin = ring_begin(source);
        return source_read_before(source, deeper_before(source), source->wanted - source->depth, on_older, source);
    }
}

static bool send_read(struct source *source)
{
    struct redis *commands = source->shard == NULL ? NULL : source->shard->commands;
    if (source->reading == READING_MARKER) {
        source->marker_read =
            commands == NULL ? NULL : marker_read(commands, source_name(source), source->shard->born_key, on_marker, source);
        return source->marker_read != NULL;
    }
    source->asked_held = source->held.count;
    source->asked_ms = monotonic_ms();
    source->history_read = read_history(source);
    if (source->history_read != NULL)
        history_hurry(source->history_read); /* before those of single streams */
    return source->history_read != NULL;
}

void source_start_read(struct source *source)
{
    if (source->reading != READING_NONE || !read_due(source))
        return;
    const char *why = source_left_alone(source);
    source->reading = what_to_read(source);
    if (send_read(source)) {
        metric_add(COUNT_HISTORY_READS, 1);
        return;
    }
    source->reading = READING_NONE;
    if (why != NULL)
        source->shared->on_read_failed(source->owner, why);
}

bool source_horizon(struct source *source, const struct frame *first, bool in_ring, uint64_t *horizon_ms)
{
    uint64_t born_ms;
    bool own = (first == NULL || in_ring) && source->horizon_ms != 0;
    if (own) {
        *horizon_ms = source->horizon_ms;
        return true;
    }
    uint64_t time_ms = first == NULL ? 0 : first->at.ms;
    if (proof_of(source, time_ms, &born_ms)) {
        *horizon_ms = horizon_of(born_ms, time_ms);
        return true;
    }
    want_proof(source, time_ms);
    source_start_read(source);
    return false;
}
