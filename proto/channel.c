#include "proto/channel.h"

static char prefix_text[CHANNEL_PREFIX_MAX + 1] = CHANNEL_PREFIX_DEFAULT;
static size_t prefix_len = sizeof(CHANNEL_PREFIX_DEFAULT) - 1;

const char *channel_prefix_check(const char *prefix)
{
    size_t n = strspn(prefix, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
    if (n == 0 || prefix[n] != ':' || prefix[n + 1] != '\0')
        return "must be letters, digits, '_' or '-' and one ':' at the end, as in sse:";
    return n + 1 > CHANNEL_PREFIX_MAX ? "is longer than 32 bytes and its ':'" : NULL;
}

void channel_set_prefix(const char *prefix)
{
    prefix_len = strlen(prefix);
    memcpy(prefix_text, prefix, prefix_len + 1);
}

bool channel_prefix_is_own(const char *prefix)
{
    return strcmp(prefix, CHANNEL_PREFIX_DEFAULT) != 0;
}

static const bool name_bytes[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['.'] = true, ['_'] = true, ['~'] = true,
    [':'] = true,         ['/'] = true,         ['@'] = true,         ['+'] = true, [','] = true, ['-'] = true,
};

const char *channel_check(struct slice name)
{
    if (name.n == 0)
        return "the channel name is empty";
    if (name.n > CHANNEL_NAME_MAX)
        return "the channel name is longer than 200 bytes";
    if (name.p[0] == '/')
        return "the channel name begins with '/'";
    for (size_t i = 0; i != name.n; ++i)
        if (!name_bytes[(unsigned char)name.p[i]])
            return "the channel name holds a byte other than A-Z a-z 0-9 . _ ~ : / @ + , -";
    return NULL;
}

static size_t spell(char *out, struct slice before, struct slice name, struct slice after)
{
    const struct slice parts[] = {before, slice_make(prefix_text, prefix_len), name, after};
    size_t n = 0;
    for (size_t i = 0; i != sizeof(parts) / sizeof(parts[0]); n += parts[i++].n)
        memcpy(out + n, parts[i].p, parts[i].n);
    out[n] = '\0';
    return n;
}

size_t channel_pubsub(char out[CHANNEL_KEY_MAX], struct slice name)
{
    return spell(out, SLICE(""), name, SLICE(""));
}

size_t channel_log(char out[CHANNEL_KEY_MAX], struct slice name)
{
    return spell(out, SLICE("{"), name, SLICE("}:log"));
}

size_t channel_last(char out[CHANNEL_KEY_MAX], struct slice name)
{
    return spell(out, SLICE("{"), name, SLICE("}:last"));
}

size_t channel_own_key(char out[CHANNEL_KEY_MAX], struct slice name)
{
    return spell(out, SLICE("{"), name, SLICE("}"));
}
