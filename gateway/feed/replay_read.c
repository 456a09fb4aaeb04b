#include "gateway/feed/replay_read.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/feed/decode.h"

enum {
    READ_ENTRIES = 1000, /* of one read, at most */
    READ_BYTES =
        2 * REPLAY_PAGE_BYTES, /* … and about so much of all channels: what does not fit the page is read again for the next one */
};

void replay_drop_page(const struct replay *replay, struct place *place)
{
    for (uint32_t i = 0; i < place->page_count; ++i)
        frame_unref(place->page_frames[i]);
    free(place->page_frames);
    ring_memory_give(replay->shared->limits.memory, place->page_bytes);
    place->page = PAGE_NONE;
    place->page_more = place->page_heard = false;
    place->page_frames = NULL;
    place->page_bytes = 0;
    place->page_count = 0;
    place->next = 0;
}

void replay_drop_pages(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->request->count; ++i)
        replay_drop_page(replay, &replay->places[i]);
    replay->shared->pages->promised -= replay->promised;
    replay->promised = 0;
}

/* How many entries make this channel's part of READ_BYTES. */
static size_t limit_for(const struct replay *replay, const struct place *place)
{
    size_t limit = READ_BYTES / replay->request->count / channel_entry_size(place->channel);
    return limit < 1 ? 1 : limit < READ_ENTRIES ? limit : READ_ENTRIES;
}

/* Bytes of the pages that it is going to read; of each channel one event at least. */
static size_t pages_estimate(const struct replay *replay)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < replay->request->count; ++i) {
        const struct place *place = &replay->places[i];
        size_t size = channel_entry_size(place->channel), part = READ_BYTES / replay->request->count;
        if (!channel_covers(place->channel, place->after))
            bytes += size > part ? size : part;
    }
    return bytes == 0 ? 1 : bytes;
}

/* All of a page's reads are promised room at once, so that streams which hold a part can't wait for each other. */
static bool promise_room(struct replay *replay)
{
    if (replay->promised != 0)
        return true;
    if (!page_budget_room(replay->shared->pages))
        return false;
    replay->promised = pages_estimate(replay);
    replay->shared->pages->promised += replay->promised;
    return true;
}

/* Of the entries behind `after`, which is an event or nothing but a time. */
static enum place_page joint_of(const struct place *place, const struct history_entry *entries)
{
    const struct frame *first = place->page_count == 0 ? NULL : place->page_frames[0];
    if (first == NULL || place->stance != STANCE_EVENT)
        return PAGE_BY_PREV;
    bool passed = position_compare(first->at, entries[0].at) != 0 || position_compare(place->read_to, place->after) > 0;
    bool names_nobodys = position_compare(first->prev, place->after) > 0 &&
                         (position_compare(first->prev, place->read_to) <= 0 || position_compare(first->prev, entries[0].at) >= 0);
    return passed && (names_nobodys || position_is_none(first->prev)) ? PAGE_UNKNOWN : PAGE_BY_PREV;
}

/* A read that looks an id up begins with its position, whose event is not wanted again. */
static void take_page(const struct replay *replay, struct place *place, const struct history_entry *entries, size_t count,
                      size_t skip, bool more)
{
    place->page_frames = h2o_mem_alloc((count + 1) * sizeof(struct frame *));
    place->page_count = (uint32_t)channel_frames(place->channel, entries + skip, count - skip, place->page_frames);
    if (place->page_count == 0 && !more) { /* what is missing is a gap, and the ring may have the newest yet */
        replay_drop_page(replay, place);
        place->page = PAGE_EMPTIED;
        place->page_end = replay->newest_asked;
        return;
    }
    place->page_bytes = count * sizeof(struct frame *);
    for (uint32_t i = 0; i < place->page_count; ++i)
        place->page_bytes += frame_memory(place->page_frames[i]);
    ring_memory_take(replay->shared->limits.memory, place->page_bytes);
    place->page_end = entries[count - 1].at;
    place->page_more = more;
    place->page = skip != 0 ? PAGE_PROVEN : joint_of(place, entries);
    place->next = 0;
}

static void read_ended(struct replay *replay, const char *why)
{
    replay->reading = NULL;
    replay->failed = why;
}

static void on_page(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct replay *replay = data;
    struct place *place = &replay->places[replay->read_at];
    read_ended(replay, why);
    if (why == NULL) {
        take_page(replay, place, entries, count, 0, more);
        channel_begins_with(place->channel, count == 0 ? POSITION_MAX : entries[0].at, replay->newest_asked);
    }
    replay->on_read(replay->data);
}

/* An entry of somebody else may have the position of an event that was lost. */
static bool is_event_at(const struct history_entry *entries, size_t count, struct position at)
{
    struct message message;
    return count != 0 && position_compare(entries[0].at, at) == 0 && payload_is_event(&entries[0], &message);
}

/* Of what was read a moment ago, nothing that stood behind `after` was gone then if `after` is there even now. */
static void on_joint(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct replay *replay = data;
    struct place *place = &replay->places[replay->read_at];
    (void)more;
    read_ended(replay, why);
    if (why == NULL)
        place->page = is_event_at(entries, count, place->after) ? PAGE_PROVEN : PAGE_BY_PREV;
    replay->on_read(replay->data);
}

static void on_looked_up(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct replay *replay = data;
    struct place *place = &replay->places[replay->read_at];
    read_ended(replay, why);
    if (why == NULL) {
        bool there = is_event_at(entries, count, place->claimed);
        place->claim = there ? CLAIM_THERE : CLAIM_ABSENT;
        take_page(replay, place, entries, count, there ? 1 : 0, more);
        if (position_compare(place->claimed, replay->newest_asked) <= 0)
            channel_forget_end(place->channel, count == 0 ? POSITION_MAX : entries[0].at, replay->newest_asked);
    }
    replay->on_read(replay->data);
}

/* Behind entries of somebody else alone, which say nothing of the claimed position. */
static void on_looked_on(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct replay *replay = data;
    read_ended(replay, why);
    if (why == NULL)
        take_page(replay, &replay->places[replay->read_at], entries, count, 0, more);
    replay->on_read(replay->data);
}

static enum replay_need wait_for(struct replay *replay, const struct channel *channel, struct history_read *read)
{
    replay->reading = read;
    if (read != NULL)
        return REPLAY_READ;
    replay->fault = channel_left_alone(channel) != NULL ? HISTORY_DEADLY : HISTORY_UNREAD;
    return replay->fault == HISTORY_UNREAD ? REPLAY_RETRY : REPLAY_REFUSED;
}

static enum replay_need read_after(struct replay *replay, uint32_t at, struct position after, size_t limit, history_cb cb)
{
    struct place *place = &replay->places[at];
    if (!promise_room(replay))
        return REPLAY_TURN;
    replay->read_at = at;
    replay->newest_asked = channel_newest(place->channel);
    metric_add(COUNT_HISTORY_READS, 1);
    return wait_for(replay, place->channel, channel_read_after(place->channel, after, limit, cb, replay));
}

enum replay_need replay_read_page(struct replay *replay, uint32_t at)
{
    struct place *place = &replay->places[at];
    bool passed = position_compare(place->read_to, place->after) > 0;
    return read_after(replay, at, passed ? place->read_to : place->after, limit_for(replay, place), on_page);
}

enum replay_need replay_read_joint(struct replay *replay, uint32_t at)
{
    return read_after(replay, at, position_before(replay->places[at].after), 1, on_joint);
}

enum replay_need replay_look_up(struct replay *replay, uint32_t at)
{
    struct place *place = &replay->places[at];
    place->read_to = POSITION_NONE;
    return read_after(replay, at, position_before(place->claimed), limit_for(replay, place), on_looked_up);
}

enum replay_need replay_look_on(struct replay *replay, uint32_t at)
{
    struct place *place = &replay->places[at];
    place->read_to = place->page_end;
    replay_drop_page(replay, place);
    return read_after(replay, at, place->read_to, limit_for(replay, place), on_looked_on);
}
