#include "gateway/lineage.h"

#include "gateway/payload.h"

void lineage_doubt(struct lineage *lineage, struct position last)
{
    lineage->trust = lineage->anew || position_is_none(last) ? LINEAGE_TRUSTED : LINEAGE_DOUBTED;
}

void lineage_challenge(struct lineage *lineage, struct position prev)
{
    lineage->trust = LINEAGE_CHALLENGED;
    lineage->newcomer_prev = prev;
}

/* ---- what to read ---- */

struct lineage_question lineage_ask(struct lineage *lineage, struct position last)
{
    lineage->asked = lineage->trust;
    switch (lineage->trust) {
    case LINEAGE_DOUBTED:
    case LINEAGE_CHALLENGED:
        return (struct lineage_question){.after = position_before(last)};
    case LINEAGE_SEARCHED:
        return (struct lineage_question){.after = lineage->common};
    case LINEAGE_FORGOTTEN:
        return (struct lineage_question){.newest = true};
    case LINEAGE_TRUSTED:
        break;
    }
    return (struct lineage_question){.after = lineage->anew ? POSITION_NONE : last};
}

/* ---- what the entries tell ---- */

/* Whether the entry is an event of the ring, to the byte, since another history can have another event of the same position; or nobody's event. */
static bool is_old(const struct lineage_past *past, const struct history_entry *entry)
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

static bool ends_with_last(const struct lineage_past *past)
{
    return past->ring->count != 0 && position_compare(ring_at(past->ring, past->ring->count - 1)->at, past->last) == 0;
}

/* Whether the history goes past the last event without having it. One that was trimmed since names a later event as the one before its first, one that began anew none. */
static bool is_fork(const struct lineage_past *past, const struct history_entry *entries, size_t count)
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

static struct lineage_answer take_from(struct lineage *lineage, size_t from)
{
    lineage->trust = LINEAGE_TRUSTED;
    return (struct lineage_answer){.what = LINEAGE_TAKE, .from = from};
}

static struct lineage_answer ask_again(struct lineage *lineage, enum lineage_trust trust)
{
    lineage->trust = trust;
    return (struct lineage_answer){.what = LINEAGE_ASK_AGAIN};
}

static struct lineage_answer go_back(struct lineage *lineage, struct position at, size_t from)
{
    lineage->trust = LINEAGE_TRUSTED;
    return (struct lineage_answer){.what = LINEAGE_GO_BACK, .from = from, .at = at};
}

/* Entry `from` is the first that was not handed on. */
static struct lineage_answer branch(struct lineage *lineage, const struct lineage_past *past, const struct history_entry *entries,
                                    size_t from)
{
    struct frame *first = payload_entry_frame(past->channel, &entries[from]);
    struct position at = first == NULL ? lineage->common : first->prev;
    if (first != NULL)
        frame_unref(first);
    return go_back(lineage, at, from);
}

static struct lineage_answer check_last(struct lineage *lineage, const struct lineage_past *past,
                                        const struct history_entry *entries, size_t count)
{
    if (!is_fork(past, entries, count))
        return take_from(lineage, 0); /* the last event itself among them counts as seen */
    lineage->common = past->ring->count != 0 ? ring_at(past->ring, 0)->prev : past->last;
    lineage->found_common = false;
    return ask_again(lineage, LINEAGE_SEARCHED);
}

static struct lineage_answer search(struct lineage *lineage, const struct lineage_past *past, const struct history_entry *entries,
                                    size_t count, bool whole)
{
    size_t at = 0;
    for (; at < count && is_old(past, &entries[at]); ++at) {
        lineage->common = entries[at].at;
        lineage->found_common = true;
    }
    if (at < count)
        return branch(lineage, past, entries, at);
    if (!whole)
        return ask_again(lineage, LINEAGE_SEARCHED);
    return lineage->found_common ? go_back(lineage, lineage->common, count) : ask_again(lineage, LINEAGE_FORGOTTEN);
}

static struct lineage_answer forget(struct lineage *lineage, const struct lineage_past *past, const struct history_entry *entries,
                                    size_t count)
{
    lineage->anew = count == 0;
    if (count == 0)
        return take_from(lineage, 0);
    if (position_compare(entries[0].at, lineage->common) > 0)
        return branch(lineage, past, entries, 0); /* it came since the search */
    return go_back(lineage, entries[0].at, count);
}

/* If the last event stands there, or what follows it does, the newcomer is an old event that came again, or not of this history; else the newcomer is believed. */
static struct lineage_answer decide(struct lineage *lineage, const struct lineage_past *past, const struct history_entry *entries,
                                    size_t count)
{
    lineage->trust = LINEAGE_TRUSTED;
    if (is_fork(past, entries, count))
        return (struct lineage_answer){.what = LINEAGE_START_OVER, .at = lineage->newcomer_prev};
    return take_from(lineage, 0);
}

struct lineage_answer lineage_judge(struct lineage *lineage, const struct lineage_past *past, const struct history_entry *entries,
                                    size_t count, bool whole)
{
    if (lineage->asked != lineage->trust)
        return ask_again(lineage, lineage->trust);
    switch (lineage->trust) {
    case LINEAGE_DOUBTED:
        return check_last(lineage, past, entries, count);
    case LINEAGE_SEARCHED:
        return search(lineage, past, entries, count, whole);
    case LINEAGE_FORGOTTEN:
        return forget(lineage, past, entries, count);
    case LINEAGE_CHALLENGED:
        return decide(lineage, past, entries, count);
    case LINEAGE_TRUSTED:
        break;
    }
    return take_from(lineage, 0);
}
