#include "gateway/feed/channel.h"

#include "gateway/counters.h"
#include "gateway/feed/channel_inside.h"
#include "gateway/feed/decode.h"
#include "runtime/monotonic.h"

/* Entries asked for in one read of a history: an answer holds fewer when they are large (see history.h). */
enum { PAGE = 1000, SCAN_MOST = 1000 /* nobody's entries among which the newest event is looked for */ };

/* ---- what is missing where the history restarted, or is not there ---- */

static uint64_t horizon_of(uint64_t born_ms, uint64_t time_ms)
{
    uint64_t marked = time_ms > MARKER_MS ? time_ms - MARKER_MS : 0;
    return born_ms > marked ? born_ms : marked;
}

/* Redis's data tells since born_ms, and markers for MARKER_MS: whether that is known as of a time after `time_ms`. The later of two births is believed. */
static bool proof_of(const struct channel *channel, uint64_t time_ms, uint64_t *born_ms)
{
    uint64_t born = channel->shard == NULL ? 0 : channel->shard->born_ms,
             seen = channel->shard == NULL ? 0 : channel->shard->seen_ms;
    *born_ms = born > channel->born_ms ? born : channel->born_ms;
    return seen > time_ms || channel->seen_ms > time_ms;
}

static void want_proof(struct channel *channel, uint64_t time_ms)
{
    channel->marker = channel->marker == MARKER_NONE ? MARKER_FOR_PROOF : channel->marker;
    if (channel->proof_ms <= time_ms)
        channel->proof_ms = time_ms + 1;
}

/* The newest entry, POSITION_NONE where there is no entry, is nobody's event, and so are those before it that were read; `all`: the history has no others. */
static void want_absence(struct channel *channel, struct position newest, bool all)
{
    want_proof(channel, 0);
    channel->marker = MARKER_FOR_ABSENCE;
    channel->strangers = newest;
    channel->all_strangers = all;
}

/* Whether the history is still as it was seen: an event that came since would have a later position than all that was there. */
static bool is_still_absent(const struct channel *channel, const struct marker *marker)
{
    if (position_is_none(channel->strangers))
        return marker->bare;
    return position_compare(marker->last, channel->strangers) < 0 || position_compare(marker->newest, channel->strangers) == 0;
}

/* Older data may have taken over, of which its marker would have been a part. */
static uint64_t earlier_birth(const struct channel *channel)
{
    uint64_t born = channel->shard == NULL ? 0 : channel->shard->born_ms, read = channel->born_ms;
    return born == 0 || (read != 0 && read < born) ? read : born;
}

/* Whether something may have been published, after the last event and while nobody listened, before a history began at time_ms that names nothing before it. The last event's own
 * marker would still be there; where it is too old for one, only what was heard proves. */
static bool is_lost_before(const struct channel *channel, uint64_t time_ms)
{
    uint64_t born_ms = 0;
    const struct channel_shard *shard = channel->shard;
    if (!channel->interrupted)
        return false;
    if (shard == NULL)
        return true;
    if (!position_is_none(channel->last) &&
        channel->last.ms >= clock_steps_since(shard->steps, horizon_of(earlier_birth(channel), time_ms)))
        return true;
    proof_of(channel, 0, &born_ms);
    return clock_steps_since(shard->steps, clock_steps_since(shard->doubts, channel->heard_ms)) < horizon_of(born_ms, time_ms);
}

/* The first read of a history found nobody's events only, and there is more. What the marker names may be there: it is looked for, and its event taken. Without a marker the newest event is
 * looked for. */
static void take_strangers(struct channel *channel, const struct marker *marker)
{
    if (position_is_none(marker->last)) {
        channel->scan_to = channel->strangers;
        return;
    }
    channel_stand_at(channel, marker->last, NULL);
    channel->passed = channel->strangers;
    channel->past = PAST_KNOWN;
    channel->read_us = monotonic_us();
    channel->depth = 1;
    divergence_doubt(&channel->divergence, channel->last);
}

/* Behind the challenge of an event that is older than the last one, the history was found without that and with nobody's entries only: whether its marker says that the newcomer is of it. */
static bool is_another(const struct channel *channel, const struct marker *marker)
{
    bool known = channel->past != PAST_UNKNOWN && !position_is_none(channel->strangers) && !position_is_none(marker->last);
    return known && !channel->interrupted && position_compare(marker->last, channel->last) < 0;
}

/* Of this history some may have been let go. */
static void start_over(struct channel *channel, struct position prev)
{
    channel->divergence.trust = DIVERGENCE_TRUSTED;
    channel_start_over(channel, channel->reread ? POSITION_NONE : prev);
}

/* The history has no event, or none behind those that it has lost. */
static void take_absence(struct channel *channel, const struct marker *marker)
{
    bool first = channel->past == PAST_UNKNOWN, later = position_compare(marker->last, channel->last) > 0;
    bool other = position_compare(marker->last, channel->last) != 0;
    bool challenged = divergence_challenged(&channel->divergence); /* by an event of which nothing else tells now */
    bool lost = !first && (later || (other && (challenged || is_lost_before(channel, marker->now_ms))) ||
                           (position_is_none(channel->last) && is_lost_before(channel, marker->now_ms)));
    if (lost)
        channel_emit_gap(channel, marker->last, marker->now_ms);
    channel_stand_at(channel, first ? marker->last : channel->last, NULL); /* without its history the channel is new */
    if (first)
        channel->horizon_ms = horizon_of(channel->born_ms, marker->now_ms);
    else if (lost)
        channel->horizon_ms = marker->now_ms;
    channel->passed = channel->strangers;
    if (!position_is_none(channel->strangers) && !lost)
        channel->settled = channel->asked_held;
    else if (challenged)
        channel->settled = channel->asked_held != 0; /* the one that was asked about */
    channel->past = position_is_none(channel->strangers) || position_is_none(channel->last) ? PAST_BARE : PAST_KNOWN;
    channel->divergence.trust = DIVERGENCE_TRUSTED;
    if (!first && !position_is_none(marker->last) && position_compare(marker->last, channel->last) == 0)
        channel->divergence.emptied = false; /* what comes next has a later position, and what is older was held before */
    channel->read_us = monotonic_us();
    channel->bare_ms = marker->now_ms;
    channel->interrupted = false;
    channel->depth = UINT32_MAX;
}

/* Whether these entries, which follow `last`, begin a history that names nothing before its first event, of time_ms, and more has to be known to tell what is missing. */
static bool lacks_proof(const struct channel *channel, const struct history_entry *entries, size_t count, uint64_t *time_ms)
{
    uint64_t born_ms;
    if (!channel->interrupted || count == 0)
        return false;
    struct frame *frame = NULL;
    size_t at = 0;
    while (at < count && (frame = channel_frame(channel, &entries[at])) == NULL)
        ++at;
    if (frame == NULL)
        return false;
    bool restarted = position_is_none(frame->prev) ||
                     (at != 0 && position_is_none(channel->last) && position_compare(frame->prev, entries[at - 1].at) == 0);
    *time_ms = frame->at.ms;
    bool lacks = restarted && !proof_of(channel, frame->at.ms, &born_ms);
    frame_unref(frame);
    return lacks;
}

/* ---- reads ---- */

/* What the history answered. */
struct page {
    const struct history_entry *entries;
    size_t count;
};

/* `frame` NULL: any event there. */
static bool has_event_at(const struct channel *channel, const struct page *page, struct position at, const struct frame *frame)
{
    size_t i = 0;
    while (i < page->count && position_compare(page->entries[i].at, at) < 0)
        ++i;
    if (i == page->count || position_compare(page->entries[i].at, at) != 0)
        return false;
    struct frame *there = channel_frame(channel, &page->entries[i]);
    bool same = there != NULL && (frame == NULL || slice_eq(frame_body(there), frame_body(frame)));
    if (there != NULL)
        frame_unref(there);
    return same;
}

/* Whether the history was replaced while events waited. A new history begins in the answer, and does not have the first event that waited. Its position proves nothing, since the clock may
 * have been set back. Where the history is longer than the answer, a gap that is not needed is better than a missing one. */
static bool is_hole_before(const struct channel *channel, const struct page *page)
{
    const struct frame *first = channel->asked_held == 0 ? NULL : frames_at(&channel->held, 0);
    if (channel->interrupted)
        return false;
    if (channel->reread)
        return !has_event_at(channel, page, channel->let_go, NULL);
    return first != NULL && first->durable && !has_event_at(channel, page, first->at, first);
}

/* Entry i of the history, on the way from `last` to its end. `behind`: an event stands before it in the same answer, so nothing is missing in between. Returns whether it is an event. */
static bool take_entry(struct channel *channel, const struct page *page, size_t i, bool behind)
{
    const struct history_entry *entry = &page->entries[i];
    struct frame *frame = channel_frame(channel, entry);
    if (frame == NULL) {
        channel->passed = position_compare(entry->at, channel->passed) > 0 ? entry->at : channel->passed;
        return false;
    }
    if (channel->ring.count == 0 && position_compare(frame->at, channel->last) == 0 && !channel->divergence.emptied) {
        ring_append(&channel->ring, frame, &channel->shared->limits); /* only its position was known */
        channel_stand_at(channel, frame->at, frame);
    } else if (!channel_already_seen(channel, frame)) {
        if (behind || channel_names_stranger(channel, frame))
            channel_join_on(channel, frame);
        if (position_is_none(frame->prev) ? is_lost_before(channel, frame->at.ms) || is_hole_before(channel, page)
                                          : position_compare(frame->prev, channel->last) != 0)
            channel_emit_gap(channel, frame->prev, frame->at.ms);
        else
            channel_join_on(channel, frame);
        channel_emit(channel, frame);
    }
    frame_unref(frame);
    return true;
}

/* Takes the first read of a history: its newest events fill the ring and are not handed on. False: there was none. */
static bool take_newest(struct channel *channel, const struct history_entry *entries, size_t count)
{
    bool any = false;
    channel->read_us = monotonic_us();
    for (size_t i = 0; i < count; ++i) {
        struct frame *frame = channel_frame(channel, &entries[i]);
        if (frame == NULL) {
            channel->passed = entries[i].at;
            continue;
        }
        if (any)
            channel_join_on(channel, frame);
        channel_stand_at(channel, frame->at, frame);
        ring_append(&channel->ring, frame, &channel->shared->limits);
        frame_unref(frame);
        any = true;
    }
    channel->past = any ? PAST_KNOWN : channel->past;
    if (position_is_none(channel->scan_to)) /* else the search has not reached the events that came meanwhile */
        channel->settled = channel->asked_held;
    return any;
}

/* The deeper read goes on with what stands before this. */
static struct position deeper_before(const struct channel *channel)
{
    struct position begin = channel_ring_begin(channel);
    bool reached = !position_is_none(channel->reached) && position_compare(channel->reached_begin, begin) == 0;
    return reached ? channel->reached : position_next(begin);
}

/* A deeper read: puts what is older than the ring in front of it. An event that finds no room is not reached: it is read again when there is some. One that the ring does not follow is not
 * taken: the history may be another one since, with older positions, whose events are still on their way. False: not all that is older can be taken. */
static bool take_older(struct channel *channel, const struct history_entry *entries, size_t count)
{
    bool taken = true;
    struct position reached = deeper_before(channel), named = POSITION_NONE;
    for (size_t i = count; i-- != 0 && taken;) {
        struct position begin = channel_ring_begin(channel);
        bool older = position_compare(entries[i].at, begin) <= 0;
        struct frame *frame = older ? channel_frame(channel, &entries[i]) : NULL;
        named = position_compare(entries[i].at, begin) == 0
                    ? begin
                    : named; /* by the ring; old versions of the function named nobody's entries, too */
        if (frame != NULL) {
            taken = position_compare(named, begin) == 0 && ring_prepend(&channel->ring, frame, &channel->shared->limits);
            frame_unref(frame);
        }
        reached = taken ? entries[i].at : reached;
    }
    channel->reached = reached;
    channel->reached_begin = channel_ring_begin(channel);
    return taken;
}

/* True when the callback of a read has something to go on with. */
static bool read_ended(struct channel *channel, const char *why)
{
    channel->reading = READING_NONE;
    if (why != NULL)
        channel->shared->on_read_failed(channel, why);
    return why == NULL;
}

static bool read_due(const struct channel *channel)
{
    return channel->state == READING ||
           (channel->state == LIVE && (channel->marker != MARKER_NONE || channel->doubted || channel->wanted > channel->depth));
}

/* After a read: on to the next, or live. */
static void go_on(struct channel *channel, bool complete)
{
    switch (channel->state) {
    case SUBSCRIBING:
        break;
    case READING:
        if (channel->again || !complete) {
            channel->again = false;
            channel_start_read(channel);
        } else {
            channel_catch_up(channel);
        }
        break;
    case LIVE:
        if (read_due(channel))
            channel_start_read(channel);
        else
            channel->shared->on_live(channel);
        break;
    }
}

/* The data set's birth, or its stand-in; 0: nobody has noted one yet. */
static uint64_t born_of(const struct channel *channel, const struct marker *marker)
{
    return marker->born_ms != 0 ? marker->born_ms : channel->shard->denied ? channel->shard->born_ms : 0;
}

static void take_marker(struct channel *channel, const struct marker *marker)
{
    channel->scan_to = POSITION_NONE;
    bool absent = channel->marker == MARKER_FOR_ABSENCE && is_still_absent(channel, marker) && !channel->again;
    bool more = absent && channel->past == PAST_UNKNOWN && !position_is_none(channel->strangers) && !channel->all_strangers;
    channel->born_ms = born_of(channel, marker);
    channel->seen_ms = marker->now_ms > channel->proof_ms ? marker->now_ms : channel->proof_ms;
    channel->marker = MARKER_NONE;
    bool another = absent && is_another(channel, marker);
    if (another)
        start_over(channel, channel->divergence.newcomer_prev);
    else if (more)
        take_strangers(channel, marker);
    else if (absent)
        take_absence(channel, marker);
    go_on(channel, absent && !more && !another);
}

static void on_marker(void *data, const struct marker *marker, const char *why)
{
    struct channel *channel = data;
    channel->reading = READING_NONE;
    if (why == NULL && channel->state != SUBSCRIBING && born_of(channel, marker) == 0)
        why = "the birth of the data in Redis is not known yet";
    if (why != NULL)
        channel->shared->on_read_failed(channel, why);
    else if (channel->state != SUBSCRIBING)
        take_marker(channel, marker);
}

static void on_newest(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct channel *channel = data;
    if (!read_ended(channel, why))
        return;
    bool scans = !position_is_none(channel->scan_to);
    if (take_newest(channel, entries, count)) {
        channel->passed = scans ? channel->strangers : channel->passed;
    } else if (scans && more && channel->scanned < SCAN_MOST) {
        channel->scan_to = entries[0].at;
        channel->scanned += (uint32_t)count;
        go_on(channel, false);
        return;
    } else if (scans) {
        want_absence(channel, channel->strangers, true);
        go_on(channel, false);
        return;
    } else {
        want_absence(channel, count == 0 ? POSITION_NONE : entries[count - 1].at, !more);
        go_on(channel, false);
        return;
    }
    channel->scan_to = POSITION_NONE;
    channel->depth = more ? (uint32_t)count : UINT32_MAX;
    channel->verified_ms = channel->asked_ms;
    go_on(channel, true);
}

/* True: the ring had such events. */
static bool drop_before(struct channel *channel, struct position first)
{
    uint32_t had = channel->ring.count;
    ring_drop_before(&channel->ring, first);
    if (channel->ring.count == had)
        return false;
    channel->depth = UINT32_MAX;
    channel_forget_history(channel);
    return true;
}

/* What has come since the question was asked may be in the history, unless that begins behind it. */
void channel_forget_end(struct channel *channel, struct position first, struct position newest)
{
    bool none = position_compare(first, POSITION_MAX) == 0;
    if (channel->state == LIVE &&
        (none ? position_compare(channel->last, newest) == 0 : position_compare(first, channel->last) > 0))
        channel_stand_at(channel, channel->last, NULL);
}

void channel_begins_with(struct channel *channel, struct position first, struct position newest)
{
    channel_forget_end(channel, first, newest);
    if (channel->state == LIVE && drop_before(channel, first))
        channel_wake(channel);
}

/* Where the history begins: the ring does not go back further. What came since the question was asked may be dropped, too: it is in the history, and is read there. */
static void on_first(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct channel *channel = data;
    (void)more;
    if (!read_ended(channel, why))
        return;
    struct position first = count == 0 ? POSITION_MAX : entries[0].at;
    drop_before(channel, first);
    channel_forget_end(channel, first, channel->asked_last);
    channel->doubted = false;
    channel->verified_ms = channel->asked_ms;
    go_on(channel, false);
}

/* The next answer follows at once, until the ring is as deep as was asked for. */
static void on_older(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct channel *channel = data;
    if (!read_ended(channel, why))
        return;
    if (position_compare(channel_ring_begin(channel), channel->older_begin) ==
        0) { /* else it lost events meanwhile, and these don't join on */
        bool taken = take_older(channel, entries, count);
        channel->depth = more && taken ? channel->depth + (uint32_t)count : UINT32_MAX;
    }
    go_on(channel, false);
}

static bool has_event(const struct history_entry *entries, size_t count)
{
    struct message message;
    for (size_t i = count; i-- != 0;)
        if (payload_is_event(&entries[i], &message))
            return true;
    return false;
}

/* What was missed. True when all of it was taken. */
static bool take_missed(struct channel *channel, const struct history_entry *entries, size_t count, bool more, bool from_start)
{
    const struct divergence_past past = {channel_name(channel), &channel->ring, channel->last};
    channel->read_us = monotonic_us();
    enum divergence_trust asked = channel->divergence.asked;
    bool goes_on = asked == DIVERGENCE_TRUSTED && !position_is_none(channel->read_to);
    channel->read_to = POSITION_NONE;
    bool about_last = count != 0 && (asked == DIVERGENCE_DOUBTED || asked == DIVERGENCE_CHALLENGED);
    struct divergence_answer answer = divergence_judge(&channel->divergence, &past, entries, count, !more);
    switch (answer.what) {
    case DIVERGENCE_ASK_AGAIN:
        return false;
    case DIVERGENCE_ASK_MARKER:
        want_absence(channel, count == 0 ? POSITION_NONE : entries[count - 1].at, count == 0);
        return false;
    case DIVERGENCE_START_OVER:
        start_over(channel, answer.at);
        return false;
    case DIVERGENCE_GO_BACK:
        channel->settled = 0;
        channel_emit_gap(channel, answer.at, answer.from < count ? entries[answer.from].at.ms : 0);
        break;
    case DIVERGENCE_TAKE:
        if (about_last || asked == DIVERGENCE_SEARCHED || (from_start && count != 0))
            channel->settled = more && channel->ends ? 0 : channel->asked_held; /* the end is not read once more */
        else if (count == 0 && goes_on)
            channel->settled = 0; /* all went since the answer before */
        if (channel->divergence.emptied)
            channel->passed = channel->last;
        break;
    }
    more = more && !(channel->ends && about_last && answer.what == DIVERGENCE_TAKE);
    channel->ends = false;
    channel->read_to = more ? entries[count - 1].at : POSITION_NONE;
    const struct page page = {entries, count};
    bool behind = has_event(entries, answer.from);
    for (size_t i = answer.from; i < count; ++i)
        behind = take_entry(channel, &page, i, behind) || behind;
    return !more;
}

/* After a complete read that brought no event: what may have gone meanwhile. False: more is to be read. */
static bool prove_end(struct channel *channel, const struct history_entry *entries, size_t count, bool from_start)
{
    struct position newest = count != 0                                             ? entries[count - 1].at
                             : position_compare(channel->passed, channel->last) > 0 ? channel->passed
                                                                                    : POSITION_NONE;
    if (!channel->interrupted || (!from_start && channel->divergence.asked != DIVERGENCE_TRUSTED))
        return true;
    if (from_start)
        want_absence(channel, newest, true);
    else
        divergence_doubt(&channel->divergence, channel->last); /* the answer before, in which that stood, was another one */
    channel->ends = !from_start && !position_is_none(newest);
    return false;
}

static void on_missed(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct channel *channel = data;
    bool from_start = channel->reading == READING_MISSED_FROM_START;
    if (!read_ended(channel, why))
        return;
    uint64_t time_ms;
    if (lacks_proof(channel, entries, count, &time_ms)) {
        want_proof(channel, time_ms);
        go_on(channel, false);
        return;
    }
    bool complete = !channel->again && take_missed(channel, entries, count, more, from_start);
    go_on(channel, complete && (has_event(entries, count) || prove_end(channel, entries, count, from_start)));
}

static enum channel_read what_to_read(const struct channel *channel)
{
    if (channel->marker != MARKER_NONE)
        return READING_MARKER;
    if (channel->past == PAST_UNKNOWN)
        return READING_NEWEST;
    if (channel->state == READING)
        return READING_MISSED;
    return channel->doubted ? READING_BEGIN : READING_OLDER;
}

static struct history_read *read_missed(struct channel *channel)
{
    struct divergence_question question = divergence_ask(&channel->divergence, channel->last);
    if (question.newest || position_is_none(question.after))
        channel->reading = READING_MISSED_FROM_START;
    if (question.newest)
        return channel_read_before(channel, POSITION_MAX, 1, on_missed, channel);
    if (channel->divergence.asked == DIVERGENCE_TRUSTED && !position_is_none(channel->read_to))
        question.after = channel->read_to;
    return channel_read_after(channel, question.after, PAGE, on_missed, channel);
}

static struct history_read *read_history(struct channel *channel)
{
    switch (channel->reading) {
    case READING_NEWEST:
        if (!position_is_none(channel->scan_to))
            return channel_read_before(channel, channel->scan_to, PAGE, on_newest, channel);
        channel->scanned = 0;
        return channel_read_before(channel, POSITION_MAX, channel->wanted, on_newest, channel);
    case READING_MISSED:
        return read_missed(channel);
    case READING_BEGIN:
        return channel_read_after(channel, POSITION_NONE, 1, on_first, channel);
    default:
        channel->older_begin = channel_ring_begin(channel);
        return channel_read_before(channel, deeper_before(channel), channel->wanted - channel->depth, on_older, channel);
    }
}

static bool send_read(struct channel *channel)
{
    struct redis *commands = channel->shard == NULL ? NULL : channel->shard->commands;
    if (channel->reading == READING_MARKER) {
        channel->marker_read =
            commands == NULL ? NULL : marker_read(commands, channel_name(channel), channel->shard->born_key, on_marker, channel);
        return channel->marker_read != NULL;
    }
    channel->asked_held = channel->held.count;
    channel->asked_last = channel->last;
    channel->asked_ms = monotonic_ms();
    channel->history_read = read_history(channel);
    if (channel->history_read != NULL)
        history_hurry(channel->history_read); /* before those of single streams */
    return channel->history_read != NULL;
}

void channel_start_read(struct channel *channel)
{
    if (channel->reading != READING_NONE || !read_due(channel))
        return;
    const char *why = channel_left_alone(channel);
    channel->reading = what_to_read(channel);
    if (send_read(channel)) {
        metric_add(COUNT_HISTORY_READS, 1);
        return;
    }
    channel->reading = READING_NONE;
    if (why != NULL)
        channel->shared->on_read_failed(channel, why);
}

bool channel_horizon(struct channel *channel, const struct frame *first, bool in_ring, uint64_t *horizon_ms)
{
    uint64_t born_ms;
    bool own = (first == NULL || in_ring) && channel->horizon_ms != 0;
    if (own) {
        *horizon_ms = channel->horizon_ms;
        return true;
    }
    uint64_t time_ms = first == NULL ? 0 : first->at.ms;
    if (proof_of(channel, time_ms, &born_ms)) {
        *horizon_ms = horizon_of(born_ms, time_ms);
        return true;
    }
    want_proof(channel, time_ms);
    channel_start_read(channel);
    return false;
}
