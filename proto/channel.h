/* Channel names, and the only place where they are spelt into Redis channels and keys. */
#pragma once

#include <inttypes.h>

#include "runtime/slice.h"

#define CHANNEL_PREFIX_DEFAULT "sse:"

enum {
    CHANNEL_NAME_MAX = 200,
    CHANNEL_PREFIX_MAX = 33, /* with its colon */
    /* "{" PREFIX NAME "}:log" and PREFIX NAME both fit, with a NUL */
    CHANNEL_KEY_MAX = CHANNEL_PREFIX_MAX + CHANNEL_NAME_MAX + 8,
};

/* Its row in the programs' tables of settings, see runtime/service.h. */
#define CHANNEL_PREFIX_SETTING                                                                                             \
    SETTING(CONFIG_TEXT, "REDIS_PREFIX", service.redis_prefix, CHANNEL_PREFIX_DEFAULT, channel_prefix_check,               \
            "prefix of all keys and channels in Redis, the same for all gateways and publishers of a deployment: 1 to 32 " \
            "letters, digits, `_` or `-`, and a `:`")

/* NULL when `prefix` can begin the names of a deployment: 1-32 bytes of A-Z a-z 0-9 _ - and one ':', so that a key's first colon ends its prefix. Else a static
 * sentence. */
const char *channel_prefix_check(const char *prefix);

/* What all names below begin with from now on (REDIS_PREFIX); before any thread that spells one. Trusts channel_prefix_check(). */
void channel_set_prefix(const char *prefix);

/* NULL when `name` is a channel name: 1-200 bytes of A-Z a-z 0-9 . _ ~ : / @ + , - with no leading '/'. Else a static sentence that
 * names the fault. */
const char *channel_check(struct slice name);

/* "sse:NAME" (or another prefix), the pub/sub channel and the key that FCALL names. Writes it and a NUL, returns its length. Trusts channel_check(). */
size_t channel_pubsub(char out[CHANNEL_KEY_MAX], struct slice name);

/* "{sse:NAME}:log", the Redis stream that holds the history, in the same cluster slot as "sse:NAME". As above. */
size_t channel_log(char out[CHANNEL_KEY_MAX], struct slice name);

/* "{sse:NAME}:last", the marker: the position of the channel's last event, which outlives the history. As above. */
size_t channel_last(char out[CHANNEL_KEY_MAX], struct slice name);

/* True when channel_set_prefix() was given, or would be, another prefix than the default. */
bool channel_prefix_is_own(const char *prefix);

/* Names of the bus's own: '!' is in no channel's name, so no client can listen to them or publish there. */
#define ANNOUNCE_CHANNEL SLICE("!nodes") /* what programs tell of themselves */
#define CANARY_NAME "!canary.%016" PRIx64
#define BORN_NAME "!born.%" PRIu32

/* "{sse:NAME}" for a name that is in no channel's grammar. */
size_t channel_own_key(char out[CHANNEL_KEY_MAX], struct slice name);
