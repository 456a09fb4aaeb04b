#include "proto/bus/publish_send.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/bus/channel_slot.h"
#include "proto/channel.h"
#include "proto/event.h"
#include "runtime/digits.h"

enum { NUMBERS = 6, NUMBER_MAX = 20 /* bytes of one, in decimal */ };

/* What sse.lua takes where an option is not there: each that is there costs Redis 0.3 us. `maxdata` always is: the library of version 1.0 does not know it, and is replaced for it. */
enum { HISTORY_LEN = 1000, HISTORY_BYTES = 33554432, HISTORY_TTL_S = 86400 };

static void add_option(struct publish_send *send, struct slice name, struct slice value)
{
    assert(send->argc + 2 <= PUBLISH_ARGS_MAX);
    send->argv[send->argc++] = name;
    send->argv[send->argc++] = value;
}

/* Copies s to *end; returns the copy. */
static struct slice keep(char **end, struct slice s)
{
    struct slice copy = slice_make(*end, s.n);
    *end = (char *)h2o_memcpy(*end, s.p, s.n) + s.n;
    return copy;
}

static void add_number(struct publish_send *send, struct slice name, int64_t number, char **end)
{
    size_t n = digits_put(*end, (uint64_t)number);
    add_option(send, name, slice_make(*end, n));
    *end += n;
}

static void add_unless(struct publish_send *send, struct slice name, int64_t number, int64_t usual, char **end)
{
    if (number != usual)
        add_number(send, name, number, end);
}

static void add_options(struct publish_send *send, const struct publish_request *request, char *end)
{
    if (request->type.n != 0)
        add_option(send, SLICE("event"), keep(&end, request->type));
    if (request->id.n != 0)
        add_option(send, SLICE("id"), keep(&end, request->id));
    if (request->key.n != 0)
        add_option(send, SLICE("key"), keep(&end, request->key));
    if (request->key.n != 0 && request->author.n != 0)
        add_option(send, SLICE("author"), keep(&end, request->author));
    if (request->retry_ms != EVENT_RETRY_NONE)
        add_number(send, SLICE("retry"), request->retry_ms, &end);
    add_unless(send, SLICE("maxlen"), request->history_len, HISTORY_LEN, &end);
    add_unless(send, SLICE("maxbytes"), request->history_bytes, HISTORY_BYTES, &end);
    add_number(send, SLICE("maxdata"), request->data_max, &end);
    add_unless(send, SLICE("ttl"), request->history_ttl_s, HISTORY_TTL_S, &end);
    if (request->only_changed)
        add_option(send, SLICE("changed"), SLICE("1"));
    if (request->count)
        add_option(send, SLICE("count"), SLICE("1"));
    if (request->end)
        add_option(send, SLICE("end"), SLICE("1"));
    if (request->lease_s != 0)
        add_number(send, SLICE("lease"), request->lease_s, &end);
}

struct publish_send *publish_send_create(const struct publish_request *request, publish_cb cb, void *data)
{
    size_t room = CHANNEL_KEY_MAX + request->data.n + request->type.n + request->id.n + request->key.n + request->author.n +
                  NUMBERS * NUMBER_MAX;
    struct publish_send *send = h2o_mem_alloc(sizeof(*send) + room);
    *send = (struct publish_send){.cb = cb, .data = data, .slot = channel_slot(request->channel), .room = room};
    size_t key_len = channel_pubsub(send->bytes, request->channel);
    char *end = send->bytes + key_len;
    struct slice event = request->count ? SLICE("") : keep(&end, request->data);
    struct slice words[] = {SLICE("FCALL"), SLICE("sse_publish"), SLICE("1"), slice_make(send->bytes, key_len), event};
    memcpy(send->argv, words, sizeof(words));
    send->argc = sizeof(words) / sizeof(words[0]);
    add_options(send, request, end);
    return send;
}

void publish_send_answer(struct publish_send *send, const struct publish_answer *answer)
{
    send->cb(send->data, answer);
    free(send);
}

void publish_send_fail(struct publish_send *send, enum publish_outcome outcome, const char *why)
{
    publish_send_answer(send, &(struct publish_answer){.outcome = outcome, .why = why});
}
