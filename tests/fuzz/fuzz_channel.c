/* Input: a channel's name, or the name of a pub/sub channel.
 * channel_check() is the grammar of proto/README.md, here as a regular expression; a good name comes back out of its Redis spellings, which no
 * other name has. */
#include "proto/channel.h"

#include <regex.h>

#include "tests/fuzz/fuzz.h"

static bool in_grammar(struct slice name)
{
    static regex_t grammar;
    static bool compiled;
    if (!compiled)
        must(regcomp(&grammar, "^[A-Za-z0-9._~:@+,-][A-Za-z0-9._~:/@+,-]*$", REG_EXTENDED | REG_NOSUB) == 0);
    compiled = true;
    if (name.n < 1 || name.n > 200 || memchr(name.p, 0, name.n) != NULL)
        return false;
    struct slice text = own(name, true);
    bool matches = regexec(&grammar, text.p, 0, NULL, 0) == 0 && memchr(name.p, '\n', name.n) == NULL;
    disown(text);
    return matches;
}

static void check_good(struct slice name)
{
    char *pubsub = malloc(CHANNEL_KEY_MAX), *log = malloc(CHANNEL_KEY_MAX);
    must(pubsub != NULL && log != NULL);
    size_t pubsub_len = channel_pubsub(pubsub, name), log_len = channel_log(log, name);
    must(strlen(pubsub) == pubsub_len && pubsub_len < CHANNEL_KEY_MAX && strlen(log) == log_len && log_len < CHANNEL_KEY_MAX);
    /* Redis Cluster hashes what stands between the first '{' and the first '}' behind it */
    char *open = strchr(log, '{'), *close = open == NULL ? NULL : strchr(open, '}');
    must(open == log && close != NULL);
    must(slice_eq(slice_make(open + 1, (size_t)(close - open) - 1), slice_make(pubsub, pubsub_len)) && strcmp(close, "}:log") == 0);
    free(pubsub);
    free(log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice name = slice_make((const char *)data, size);
    bool good = channel_check(name) == NULL;
    must(good == in_grammar(name));
    if (good)
        check_good(name);
    return 0;
}
