/* Input: flags (1: the newest entries, 2: a second request follows), then what Redis answers, in pieces: each field arrives by itself.
 * Each request is called back once: with entries that are those of the reply, oldest first, or with none and a sentence. */
#include "proto/bus/history.h"

#include "tests/fuzz/peer.h"

enum { LIMIT = 10 };

static size_t called;

static void on_history(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    (void)data;
    ++called;
    must(!more || (why == NULL && count != 0));
    must((entries == NULL) == (why != NULL) && (why == NULL || (count == 0 && why[0] != '\0')));
    must(count <= LIMIT);
    for (size_t i = 0; i != count; ++i) {
        char text[POSITION_TEXT_MAX];
        struct text copy = {NULL, 0, 0};
        must(position_format(text, entries[i].at) < POSITION_TEXT_MAX);
        must(i == 0 || position_compare(entries[i - 1].at, entries[i].at) < 0);
        text_add(&copy, entries[i].payload);
        text_free(&copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice rest = slice_make((const char *)data + 1, size - 1);
    struct redis_options options = peer_options(false, false);
    struct redis *redis = redis_open(&options);
    struct history *history = history_open(redis);
    size_t asked = 1 + ((data[0] & 2) != 0);
    called = 0;
    peer_greet(false, false);
    for (size_t i = 0; i != asked; ++i)
        must(((data[0] & 1) != 0
                  ? history_before(history, SLICE("news"), POSITION_MAX, LIMIT, on_history, NULL)
                  : history_after(history, SLICE("news"), (struct position){1, i}, LIMIT, on_history, NULL)) != NULL);
    peer_settle();
    must(peer_commands() == 3 + asked);
    while (rest.p != NULL)
        peer_say(next_field(&rest));
    redis_close(redis);
    history_close(history);
    must(called == asked);
    peer_end();
    return 0;
}
