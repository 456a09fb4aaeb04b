#include "gateway/feed/channel_view.h"

#include "gateway/feed/decode.h"
#include "gateway/feed/channel_inside.h"

struct slice channel_name(const struct channel *channel)
{
    return channel->name;
}

struct channel_shared *channel_shared(const struct channel *channel)
{
    return channel->shared;
}

const struct channel_shard *channel_shard(const struct channel *channel)
{
    return channel->shard;
}

bool channel_live(const struct channel *channel)
{
    return channel->state == LIVE;
}

bool channel_bare(const struct channel *channel)
{
    return channel->past == PAST_BARE;
}

const struct ring *channel_ring(const struct channel *channel)
{
    return &channel->ring;
}

struct position channel_newest(const struct channel *channel)
{
    return channel->last;
}

uint64_t channel_ended_ms(const struct channel *channel)
{
    return channel->abandoned || position_compare(channel->before_end, POSITION_MAX) != 0 ? channel->last.ms : 0;
}

bool channel_abandoned(const struct channel *channel)
{
    return channel->abandoned;
}

struct position channel_before_end(const struct channel *channel)
{
    return position_compare(channel->before_end, POSITION_MAX) == 0 ? channel->last : channel->before_end;
}

struct position channel_ring_begin(const struct channel *channel)
{
    return channel->ring.count == 0 ? channel->last : ring_at(&channel->ring, 0)->prev;
}

uint64_t channel_read_us(const struct channel *channel)
{
    return channel->read_us;
}

bool channel_covers(const struct channel *channel, struct position after)
{
    return channel_bare(channel) || position_compare(channel->last, after) <= 0 ||
           position_compare(channel_ring_begin(channel), after) <= 0;
}

bool channel_lost_after(const struct channel *channel, struct position after, bool exact)
{
    return channel->broken && (exact ? position_compare(after, channel->broken_at) <= 0 : after.ms < channel->broken_ms);
}

bool channel_was_ahead(const struct channel *channel, uint64_t ms, uint64_t *since_ms)
{
    const struct channel_shard *shard = channel->shard;
    *since_ms = channel->ahead.since_ms;
    return shard != NULL && channel->ahead.to_ms != 0 && ms >= channel->ahead.first_ms && ms <= channel->ahead.to_ms &&
           !clock_steps_is_time(shard->steps, channel->ahead.first_ms, channel->ahead.mono_ms); /* else the clock was set forward */
}

uint32_t channel_breaks(const struct channel *channel, struct position *at)
{
    *at = channel->broken_at;
    return channel->breaks;
}

struct history_read *channel_read_after(const struct channel *channel, struct position after, size_t limit, history_cb cb,
                                        void *data)
{
    return channel->shard == NULL ? NULL : history_after(channel->shard->history, channel_name(channel), after, limit, cb, data);
}

struct history_read *channel_read_before(const struct channel *channel, struct position before, size_t limit, history_cb cb,
                                         void *data)
{
    return channel->shard == NULL ? NULL : history_before(channel->shard->history, channel_name(channel), before, limit, cb, data);
}

size_t channel_entry_size(const struct channel *channel)
{
    return channel->shard == NULL ? 1 : history_entry_size(channel->shard->history, channel_name(channel));
}

const char *channel_left_alone(const struct channel *channel)
{
    return channel->shard == NULL ? NULL : history_left_alone(channel->shard->history, channel_name(channel));
}

struct frame *channel_frame(const struct channel *channel, const struct history_entry *entry)
{
    return payload_entry_frame(channel_name(channel), entry);
}

size_t channel_frames(struct channel *channel, const struct history_entry *entries, size_t count, struct frame **out)
{
    size_t n = 0;
    for (size_t i = 0; i < count; ++i) {
        struct frame *frame = channel_frame(channel, &entries[i]);
        if (frame == NULL)
            continue;
        if (n != 0 && (position_is_none(frame->prev) || position_compare(frame->prev, entries[i - 1].at) == 0))
            frame->prev = out[n - 1]->at; /* it may name an entry of somebody else, or none behind one */
        out[n++] = frame;
    }
    return n;
}

void channel_wake(struct channel *channel)
{
    if (channel->state == LIVE)
        channel->shared->on_live(channel);
}

void channel_read_failed(struct channel *channel, const char *why)
{
    channel->shared->on_read_failed(channel, why);
}
