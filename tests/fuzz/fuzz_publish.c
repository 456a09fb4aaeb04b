/* Input: flags (1: Redis answers the loading of the function library by itself), then steps, each a field: "p": an event is published, "h": the peer hangs
 * up, anything else is said by the peer.
 * Each publish is called back once; what counts as published has an outcome and a position, what does not a sentence. */
#include "proto/bus/publish.h"
#include "proto/event.h"

#include "tests/fuzz/peer.h"

enum { PUBLISHES_MAX = 50 };

static size_t answered;

static void on_answer(void *data, const struct publish_answer *answer)
{
    struct text copy = {NULL, 0, 0};
    (void)data;
    ++answered;
    must(answer->outcome <= PUBLISH_FAILED);
    if (answer->outcome >= PUBLISH_BUS_DOWN) {
        must(answer->why != NULL && (answer->why[0] != '\0' || answer->outcome != PUBLISH_BUS_DOWN) && answer->id.p == NULL);
        return;
    }
    must(answer->why == NULL && answer->id.p != NULL);
    text_add(&copy, answer->id);
    text_free(&copy);
}

static void send_event(struct publish *publish, size_t number)
{
    struct publish_request request = {.channel = SLICE("news"),
                                      .data = SLICE("some\r\ndata"),
                                      .type = number % 2 == 0 ? SLICE("") : SLICE("type"),
                                      .id = number % 3 == 0 ? SLICE("") : SLICE("id"),
                                      .key = number % 5 == 0 ? SLICE("key") : SLICE(""),
                                      .author = number % 10 == 0 ? SLICE("somebody") : SLICE(""),
                                      .retry_ms = number % 7 == 0 ? -1 : EVENT_RETRY_MAX,
                                      .count = number % 4 == 3,
                                      .only_changed = number % 4 == 2,
                                      .history_len = INT64_MAX,
                                      .history_bytes = INT64_MAX,
                                      .data_max = INT64_MAX,
                                      .history_ttl_s = INT64_MAX};
    publish_send(publish, &request, on_answer, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice rest = slice_make((const char *)data + 1, size - 1);
    struct redis_options options = peer_options(false, false);
    struct publish *publish = publish_open(&options, 0);
    size_t sent = 0;
    answered = 0;
    peer_greet(false, false);
    if ((data[0] & 1) != 0) {
        peer_say(SLICE("$3\r\nsse\r\n"));
        must(publish_ready(publish));
    }
    while (rest.p != NULL) {
        struct slice step = next_field(&rest);
        must(publish_ready(publish) == (publish_why(publish) == NULL));
        if (slice_eq(step, SLICE("p")) && sent != PUBLISHES_MAX)
            send_event(publish, sent++);
        else if (slice_eq(step, SLICE("h")))
            peer_hang_up();
        else
            peer_say(step);
    }
    publish_close(publish);
    must(answered == sent);
    peer_end();
    return 0;
}
