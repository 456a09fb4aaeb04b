#include "gateway/feed/divergence.h"

#include "gateway/feed/decode.h"

void divergence_doubt(struct divergence *divergence, struct position last)
{
    divergence->trust = divergence->emptied || position_is_none(last) ? DIVERGENCE_TRUSTED : DIVERGENCE_DOUBTED;
}

void divergence_doubt_for(struct divergence *divergence, struct position last, struct position prev)
{
    divergence_doubt(divergence, last);
    divergence->newcomer_prev = prev;
}

void divergence_challenge(struct divergence *divergence, struct position prev)
{
    divergence->trust = DIVERGENCE_CHALLENGED;
    divergence->newcomer_prev = prev;
}

bool divergence_challenged(const struct divergence *divergence)
{
    return divergence->trust == DIVERGENCE_BEREFT || (divergence->trust == DIVERGENCE_FORGOTTEN && divergence->challenged);
}

/* ---- what to read ---- */

struct divergence_question divergence_ask(struct divergence *divergence, struct position last)
{
    divergence->asked = divergence->trust;
    switch (divergence->trust) {
    case DIVERGENCE_DOUBTED:
    case DIVERGENCE_CHALLENGED:
        return (struct divergence_question){.after = position_before(last)};
    case DIVERGENCE_SEARCHED:
        return (struct divergence_question){.after = divergence->searched};
    case DIVERGENCE_FORGOTTEN:
    case DIVERGENCE_BEREFT:
        return (struct divergence_question){.newest = true};
    case DIVERGENCE_TRUSTED:
        break;
    }
    return (struct divergence_question){.after = divergence->emptied ? POSITION_NONE : last};
}

/* ---- what the entries tell ---- */

/* The first event among the entries from *at on, with a reference; *at becomes its index. NULL: they are all nobody's. */
static struct frame *next_event(const struct divergence_past *past, const struct history_entry *entries, size_t count, size_t *at)
{
    for (; *at < count; ++*at) {
        struct frame *frame = payload_entry_frame(past->channel, &entries[*at]);
        if (frame != NULL)
            return frame;
    }
    return NULL;
}

/* What stands before the oldest event that is known. */
static struct position begin_of(const struct divergence_past *past)
{
    if (past->ring->count != 0)
        return ring_at(past->ring, 0)->prev;
    return ring_knows(past->ring, past->last) ? past->ring->gone.prev : past->last;
}

/* Whether the history goes past the last event without having it. The first event of one that was trimmed since names a later event before it, that of one that restarted names none. Behind
 * nobody's entries only an event that names the last one follows it. One of these at the very position of the last event is not that, whether the ring has it or not. */
static bool is_fork(const struct divergence_past *past, const struct history_entry *entries, size_t count)
{
    size_t at = 0;
    struct frame *first = next_event(past, entries, count, &at);
    bool fork = true;
    if (count != 0 && position_compare(entries[0].at, past->last) == 0)
        fork = at != 0 || (ring_knows(past->ring, past->last) && !ring_is_known(past->ring, first));
    else if (first != NULL && at == 0)
        fork = !position_is_none(first->prev) && position_compare(first->prev, past->last) < 0;
    else if (first != NULL)
        fork = !position_is_none(first->prev) && position_compare(first->prev, past->last) != 0;
    if (first != NULL)
        frame_unref(first);
    return fork;
}

static struct divergence_answer take_from(struct divergence *divergence, size_t from)
{
    divergence->trust = DIVERGENCE_TRUSTED;
    return (struct divergence_answer){.what = DIVERGENCE_TAKE, .from = from};
}

static struct divergence_answer ask_again(struct divergence *divergence, enum divergence_trust trust)
{
    divergence->trust = trust;
    return (struct divergence_answer){.what = DIVERGENCE_ASK_AGAIN};
}

static struct divergence_answer go_back(struct divergence *divergence, struct position at, size_t from)
{
    divergence->trust = DIVERGENCE_TRUSTED;
    return (struct divergence_answer){.what = DIVERGENCE_GO_BACK, .from = from, .at = at};
}

static struct divergence_answer start_over(struct divergence *divergence)
{
    divergence->trust = DIVERGENCE_TRUSTED;
    return (struct divergence_answer){.what = DIVERGENCE_START_OVER, .at = divergence->newcomer_prev};
}

/* `prev`: what the first event that was not handed on names before it; entry `from` is that, or the first of nobody's before it. It may follow the last event, where that was deleted meanwhile. */
static struct divergence_answer branch(struct divergence *divergence, const struct divergence_past *past, struct position prev,
                                       size_t from)
{
    return position_compare(prev, past->last) == 0 ? take_from(divergence, from) : go_back(divergence, prev, from);
}

static struct divergence_answer begin_search(struct divergence *divergence, const struct divergence_past *past, bool challenged)
{
    divergence->challenged = challenged;
    divergence->common = divergence->searched = begin_of(past);
    divergence->found_common = false;
    return ask_again(divergence, DIVERGENCE_SEARCHED);
}

static struct divergence_answer check_last(struct divergence *divergence, const struct divergence_past *past,
                                           const struct history_entry *entries, size_t count)
{
    if (!is_fork(past, entries, count))
        return take_from(divergence, 0); /* the last event itself among them counts as seen */
    return begin_search(divergence, past, false);
}

/* Of an event behind `common`, which may name none, or nobody's entry between the two, as old versions of the function did. */
static struct position prev_of(const struct divergence *divergence, const struct frame *frame)
{
    bool nobodys =
        position_compare(frame->prev, divergence->common) > 0 && position_compare(frame->prev, divergence->searched) == 0;
    return divergence->found_common && (nobodys || position_is_none(frame->prev)) ? divergence->common : frame->prev;
}

static struct divergence_answer search(struct divergence *divergence, const struct divergence_past *past,
                                       const struct history_entry *entries, size_t count, bool whole)
{
    size_t at = 0, behind_common = 0;
    if (position_compare(begin_of(past), divergence->common) > 0)
        return begin_search(divergence, past,
                            divergence->challenged); /* it was shortened since: what it let go would not be known again */
    for (struct frame *frame; (frame = next_event(past, entries, count, &at)) != NULL; behind_common = ++at) {
        bool old = ring_is_known(past->ring, frame);
        divergence->searched = at == 0 ? divergence->searched : entries[at - 1].at;
        struct position prev = prev_of(divergence, frame);
        frame_unref(frame);
        if (!old && divergence->challenged && !divergence->found_common && position_compare(prev, past->last) != 0)
            return start_over(divergence);
        if (!old)
            return branch(divergence, past, prev, behind_common);
        divergence->common = divergence->searched = entries[at].at;
        divergence->found_common = true;
    }
    divergence->searched = count == 0 ? divergence->searched : entries[count - 1].at;
    if (!whole)
        return ask_again(divergence, DIVERGENCE_SEARCHED);
    return divergence->found_common ? go_back(divergence, divergence->common, count) : ask_again(divergence, DIVERGENCE_FORGOTTEN);
}

static struct divergence_answer forget(struct divergence *divergence, const struct divergence_past *past,
                                       const struct history_entry *entries, size_t count)
{
    divergence->emptied = count == 0;
    if (count == 0)
        return take_from(divergence, 0);
    struct frame *newest = payload_entry_frame(past->channel, &entries[0]);
    if (newest == NULL)
        return (struct divergence_answer){.what = DIVERGENCE_ASK_MARKER};
    frame_unref(newest);
    if (position_compare(entries[0].at, divergence->common) > 0)
        return begin_search(divergence, past, divergence->challenged); /* it came since, and so may others before it have */
    return go_back(divergence, entries[0].at, count);
}

/* If the last event stands there, or what follows it does, the newcomer is an old event that came again, or not of this history; else the newcomer is believed. Where nobody's entries stand
 * instead, more is read to tell. */
static struct divergence_answer decide(struct divergence *divergence, const struct divergence_past *past,
                                       const struct history_entry *entries, size_t count)
{
    if (count == 0)
        return ask_again(divergence, DIVERGENCE_BEREFT);
    if (!is_fork(past, entries, count))
        return take_from(divergence, 0);
    struct frame *first = payload_entry_frame(past->channel, &entries[0]);
    if (first == NULL)
        return begin_search(divergence, past, true);
    frame_unref(first);
    return start_over(divergence);
}

/* If the history ends before the last event, it is another one, of an earlier clock. If it has nothing at all, it went since, and the marker tells whether the newcomer was an old event. */
static struct divergence_answer decide_by_end(struct divergence *divergence, const struct divergence_past *past,
                                              const struct history_entry *entries, size_t count)
{
    if (count == 0)
        return (struct divergence_answer){.what = DIVERGENCE_ASK_MARKER};
    if (position_compare(entries[0].at, past->last) < 0)
        return start_over(divergence);
    return ask_again(divergence, DIVERGENCE_CHALLENGED); /* it came since */
}

struct divergence_answer divergence_judge(struct divergence *divergence, const struct divergence_past *past,
                                          const struct history_entry *entries, size_t count, bool whole)
{
    if (divergence->asked != divergence->trust)
        return ask_again(divergence, divergence->trust);
    switch (divergence->trust) {
    case DIVERGENCE_DOUBTED:
        return check_last(divergence, past, entries, count);
    case DIVERGENCE_SEARCHED:
        return search(divergence, past, entries, count, whole);
    case DIVERGENCE_FORGOTTEN:
        return forget(divergence, past, entries, count);
    case DIVERGENCE_CHALLENGED:
        return decide(divergence, past, entries, count);
    case DIVERGENCE_BEREFT:
        return decide_by_end(divergence, past, entries, count);
    case DIVERGENCE_TRUSTED:
        break;
    }
    return take_from(divergence, 0);
}
