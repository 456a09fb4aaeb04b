#include "gateway/stream/hub_channel.h"

#include <stdlib.h>

struct hub_channel *hub_channel_find(struct hub_channel *channels, struct slice name)
{
    struct hub_channel *channel;
    HASH_FIND(hh, channels, name.p, name.n, channel);
    return channel;
}

struct hub_channel *hub_channel_find_or_create(struct hub_channel **channels, struct slice name)
{
    struct hub_channel *channel = hub_channel_find(*channels, name);
    if (channel != NULL)
        return channel;
    channel = h2o_mem_alloc(sizeof(*channel) + name.n);
    memset(channel, 0, sizeof(*channel));
    channel->fanout.channel = channel;
    channel->name_len = name.n;
    memcpy(channel->name, name.p, name.n);
    HASH_ADD_KEYPTR(hh, *channels, channel->name, channel->name_len, channel);
    return channel;
}

static void free_if_unused(struct hub_channel **channels, struct hub_channel *channel)
{
    if (channel->refs != 0 || channel->leaves != 0)
        return;
    HASH_DEL(*channels, channel);
    for (struct fanout *fanout = channel->fanout.next, *next; fanout != NULL; fanout = next) {
        next = fanout->next;
        fanout_dispose(fanout);
        free(fanout);
    }
    fanout_dispose(&channel->fanout);
    free(channel);
}

struct fanout *hub_channel_fanout(struct hub_channel *channel, struct variant variant)
{
    struct fanout *fanout = &channel->fanout;
    for (; !variant_eq(fanout->variant, variant); fanout = fanout->next) {
        if (fanout->next != NULL)
            continue;
        fanout->next = h2o_mem_alloc(sizeof(*fanout));
        *fanout->next = (struct fanout){.channel = channel, .variant = variant};
    }
    return fanout;
}

bool hub_channel_is_shared(const struct hub_channel *channel)
{
    for (const struct fanout *fanout = &channel->fanout; fanout != NULL; fanout = fanout->next)
        if (fanout->variant.several && fanout->count != 0)
            return true;
    return false;
}

bool hub_channel_release(struct hub_channel **channels, struct hub_channel *channel, bool listened)
{
    channel->listened |= listened;
    if (--channel->refs != 0)
        return false;
    bool leaves = channel->listened;
    channel->listened = false;
    channel->leaves += leaves;
    free_if_unused(channels, channel);
    return leaves;
}

void hub_channel_left(struct hub_channel **channels, struct hub_channel *channel)
{
    --channel->leaves;
    free_if_unused(channels, channel);
}
