#include "proto/channel.h"

static const struct slice pubsub_prefix = {"sse:", 4};

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._~:/@+,-", c) != NULL);
}

const char *channel_check(struct slice name)
{
    if (name.n == 0)
        return "the channel name is empty";
    if (name.n > CHANNEL_NAME_MAX)
        return "the channel name is longer than 200 bytes";
    if (name.p[0] == '/')
        return "the channel name begins with '/'";
    for (size_t i = 0; i != name.n; ++i)
        if (!name_byte(name.p[i]))
            return "the channel name holds a byte other than A-Z a-z 0-9 . _ ~ : / @ + , -";
    return NULL;
}

static size_t spell(char *out, struct slice before, struct slice name, struct slice after)
{
    memcpy(out, before.p, before.n);
    memcpy(out + before.n, name.p, name.n);
    memcpy(out + before.n + name.n, after.p, after.n);
    out[before.n + name.n + after.n] = '\0';
    return before.n + name.n + after.n;
}

size_t channel_pubsub(char out[CHANNEL_KEY_MAX], struct slice name)
{
    return spell(out, pubsub_prefix, name, SLICE(""));
}

size_t channel_log(char out[CHANNEL_KEY_MAX], struct slice name)
{
    return spell(out, SLICE("{sse:"), name, SLICE("}:log"));
}

struct slice channel_of_pubsub(struct slice pubsub)
{
    if (!slice_starts(pubsub, pubsub_prefix) || channel_check(slice_from(pubsub, pubsub_prefix.n)) != NULL)
        return (struct slice){NULL, 0};
    return slice_from(pubsub, pubsub_prefix.n);
}
