#include "gateway/feed/divergence.h"

#include "gateway/feed/decode.h"

void divergence_doubt(struct divergence *divergence, struct position last)
{
    divergence->trust = divergence->emptied || position_is_none(last) ? DIVERGENCE_TRUSTED : DIVERGENCE_DOUBTED;
}

void divergence_challenge(struct divergence *divergence, struct position prev)
{
    divergence->trust = DIVERGENCE_CHALLENGED;
    divergence->newcomer_prev = prev;
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
        return (struct divergence_question){.after = divergence->common};
    case DIVERGENCE_FORGOTTEN:
    case DIVERGENCE_BEREFT:
        return (struct divergence_question){.newest = true};
    case DIVERGENCE_TRUSTED:
        break;
    }
    return (struct divergence_question){.after = divergence->emptied ? POSITION_NONE : last};
}

/* ---- what the entries tell ---- */

/* Whether the entry is an event of the ring, to the byte, since another history can have another event of the same position; or nobody's event. */
static bool is_old(const struct divergence_past *past, const struct history_entry *entry)
{
    uint32_t next = ring_after(past->ring, entry->at);
    const struct frame *mine = next == 0 ? NULL : ring_at(past->ring, next - 1);
    struct frame *frame = payload_entry_frame(past->channel, entry);
    if (frame == NULL)
        return true;
    bool same = mine != NULL && position_compare(mine->at, frame->at) == 0 && slice_eq(frame_body(frame), frame_body(mine));
    frame_unref(frame);
    return same;
}

static bool ends_with_last(const struct divergence_past *past)
{
    return past->ring->count != 0 && position_compare(ring_at(past->ring, past->ring->count - 1)->at, past->last) == 0;
}

/* Whether the history goes past the last event without having it. The first event of one that was trimmed since names a later event before it, that of one that restarted names none. */
static bool is_fork(const struct divergence_past *past, const struct history_entry *entries, size_t count)
{
    if (count == 0)
        return true;
    if (position_compare(entries[0].at, past->last) == 0)
        return ends_with_last(past) && !is_old(past, &entries[0]);
    struct frame *first = payload_entry_frame(past->channel, &entries[0]);
    if (first == NULL)
        return false;
    bool fork = !position_is_none(first->prev) && position_compare(first->prev, past->last) < 0;
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

/* Entry `from` is the first that was not handed on. It may follow the last event, where that was deleted meanwhile. */
static struct divergence_answer branch(struct divergence *divergence, const struct divergence_past *past,
                                       const struct history_entry *entries, size_t from)
{
    struct frame *first = payload_entry_frame(past->channel, &entries[from]);
    struct position at = first == NULL ? divergence->common : first->prev;
    if (first != NULL)
        frame_unref(first);
    return position_compare(at, past->last) == 0 ? take_from(divergence, from) : go_back(divergence, at, from);
}

static struct divergence_answer check_last(struct divergence *divergence, const struct divergence_past *past,
                                           const struct history_entry *entries, size_t count)
{
    if (!is_fork(past, entries, count))
        return take_from(divergence, 0); /* the last event itself among them counts as seen */
    divergence->common = past->ring->count != 0 ? ring_at(past->ring, 0)->prev : past->last;
    divergence->found_common = false;
    return ask_again(divergence, DIVERGENCE_SEARCHED);
}

static struct divergence_answer search(struct divergence *divergence, const struct divergence_past *past,
                                       const struct history_entry *entries, size_t count, bool whole)
{
    size_t at = 0;
    if (past->ring->count != 0 && position_compare(ring_at(past->ring, 0)->prev, divergence->common) > 0) {
        divergence->common = ring_at(past->ring, 0)->prev; /* it was shortened since: what it let go would not be known again */
        return ask_again(divergence, DIVERGENCE_SEARCHED);
    }
    for (; at < count && is_old(past, &entries[at]); ++at) {
        divergence->common = entries[at].at;
        divergence->found_common = true;
    }
    if (at < count)
        return branch(divergence, past, entries, at);
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
    if (position_compare(entries[0].at, divergence->common) > 0)
        return branch(divergence, past, entries, 0); /* it came since the search */
    return go_back(divergence, entries[0].at, count);
}

static struct divergence_answer start_over(struct divergence *divergence)
{
    divergence->trust = DIVERGENCE_TRUSTED;
    return (struct divergence_answer){.what = DIVERGENCE_START_OVER, .at = divergence->newcomer_prev};
}

/* If the last event stands there, or what follows it does, the newcomer is an old event that came again, or not of this history; else the newcomer is believed. */
static struct divergence_answer decide(struct divergence *divergence, const struct divergence_past *past,
                                       const struct history_entry *entries, size_t count)
{
    if (count == 0)
        return ask_again(divergence, DIVERGENCE_BEREFT);
    if (!is_fork(past, entries, count))
        return take_from(divergence, 0);
    return start_over(divergence);
}

/* If the history ends before the last event, it is another one, of an earlier clock. If it has nothing at all, it went since, with the newcomer, which was an old event. */
static struct divergence_answer decide_by_end(struct divergence *divergence, const struct divergence_past *past,
                                              const struct history_entry *entries, size_t count)
{
    if (count == 0)
        return take_from(divergence, 0);
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
