#include "gateway/feed/source_view.h"

#include "gateway/feed/decode.h"
#include "gateway/feed/source_inside.h"

struct slice source_name(const struct source *source)
{
    return slice_make(source->name, source->name_len);
}

void *source_owner(const struct source *source)
{
    return source->owner;
}

struct source_shared *source_shared(const struct source *source)
{
    return source->shared;
}

const struct source_shard *source_shard(const struct source *source)
{
    return source->shard;
}

bool source_live(const struct source *source)
{
    return source->state == LIVE;
}

bool source_bare(const struct source *source)
{
    return source->past == PAST_BARE;
}

const struct ring *source_ring(const struct source *source)
{
    return &source->ring;
}

struct position source_last(const struct source *source)
{
    return source->last;
}

bool source_covers(const struct source *source, struct position after)
{
    return source_bare(source) || position_compare(source->last, after) <= 0 ||
           (source->ring.count != 0 && position_compare(ring_at(&source->ring, 0)->prev, after) <= 0);
}

bool source_lost_after(const struct source *source, struct position after, bool exact)
{
    return source->broken && (exact ? position_compare(after, source->broken_at) <= 0 : after.ms < source->broken_ms);
}

struct history_read *source_read_after(const struct source *source, struct position after, size_t limit, history_cb cb, void *data)
{
    return source->shard == NULL ? NULL : history_after(source->shard->history, source_name(source), after, limit, cb, data);
}

struct history_read *source_read_before(const struct source *source, struct position before, size_t limit, history_cb cb,
                                        void *data)
{
    return source->shard == NULL ? NULL : history_before(source->shard->history, source_name(source), before, limit, cb, data);
}

size_t source_entry_size(const struct source *source)
{
    return source->shard == NULL ? 1 : history_entry_size(source->shard->history, source_name(source));
}

const char *source_left_alone(const struct source *source)
{
    return source->shard == NULL ? NULL : history_left_alone(source->shard->history, source_name(source));
}

struct frame *source_frame(const struct source *source, const struct history_entry *entry)
{
    return payload_entry_frame(source_name(source), entry);
}

size_t source_frames(struct source *source, const struct history_entry *entries, size_t count, struct frame **out)
{
    size_t n = 0;
    for (size_t i = 0; i < count; ++i) {
        struct frame *frame = source_frame(source, &entries[i]);
        if (frame != NULL)
            out[n++] = frame;
    }
    return n;
}

void source_wake(struct source *source)
{
    if (source->state == LIVE)
        source->shared->on_live(source->owner);
}

void source_read_failed(struct source *source, const char *why)
{
    source->shared->on_read_failed(source->owner, why);
}
