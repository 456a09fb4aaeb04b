#include "proto/bus/publish_send.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/bus/channel_slot.h"
#include "proto/channel.h"
#include "proto/event.h"
#include "runtime/digits.h"

enum {
    NUMBERS = 6, /* of an event and its channel */
    NUMBER_MAX = 20, /* bytes of one, in decimal */
    ARGS_MAX = 5 + 2 * 12, /* FCALL sse_publish 1 KEY DATA, and twelve options of two words: end and lease exclude others */
    BATCH_ARGS_MAX = 4 + 2 * 6, /* FCALL sse_publish_many 1 KEY, and the options of all events together */
    EVENT_ARGS_MAX = 2 * 5, /* of one of them: end and lease exclude each other */
    ID_MAX = 40, /* bytes of an id that the function makes, and some */
};

/* What sse.lua takes where an option is not there: each that is there costs Redis 0.3 us. `maxdata` always is: the library of version 1.0 does not know it, and is replaced for it. */
enum { HISTORY_LEN = 1000, HISTORY_BYTES = 33554432, HISTORY_TTL_S = 86400 };

/* Room for so many words, and so many bytes of them beside the name of the channel. */
static struct publish_send *create(const struct publish_request *request, size_t args, size_t bytes, publish_cb cb, void *data)
{
    size_t room = CHANNEL_KEY_MAX + bytes + request->key.n + request->author.n + NUMBERS * NUMBER_MAX;
    size_t size = args * sizeof(struct slice) + room;
    struct publish_send *send = h2o_mem_alloc(sizeof(*send) + size);
    *send = (struct publish_send){.cb = cb, .data = data, .slot = channel_slot(request->channel), .size = size, .room = room};
    send->bytes = (char *)(send->argv + args);
    return send;
}

static void add(struct publish_send *send, struct slice word)
{
    assert((char *)(send->argv + send->argc) < send->bytes);
    send->argv[send->argc++] = word;
}

static void add_option(struct publish_send *send, struct slice name, struct slice value)
{
    add(send, name);
    add(send, value);
}

/* Copies s to *end; returns the copy. */
static struct slice keep(char **end, struct slice s)
{
    struct slice copy = slice_make(*end, s.n);
    *end = (char *)h2o_memcpy(*end, s.p, s.n) + s.n;
    return copy;
}

static void add_text(struct publish_send *send, struct slice name, struct slice text, char **end)
{
    if (text.n != 0)
        add_option(send, name, keep(end, text));
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

/* FCALL and the function's key. */
static char *add_call(struct publish_send *send, const struct publish_request *request, struct slice function)
{
    size_t key_len = channel_pubsub(send->bytes, request->channel);
    add_option(send, SLICE("FCALL"), function);
    add_option(send, SLICE("1"), slice_make(send->bytes, key_len));
    return send->bytes + key_len;
}

static void add_key(struct publish_send *send, const struct publish_request *request, char **end)
{
    add_text(send, SLICE("key"), request->key, end);
    if (request->key.n != 0)
        add_text(send, SLICE("author"), request->author, end);
}

static void add_history(struct publish_send *send, const struct publish_request *request, char **end)
{
    add_unless(send, SLICE("maxlen"), request->history_len, HISTORY_LEN, end);
    add_unless(send, SLICE("maxbytes"), request->history_bytes, HISTORY_BYTES, end);
    add_number(send, SLICE("maxdata"), request->data_max, end);
    add_unless(send, SLICE("ttl"), request->history_ttl_s, HISTORY_TTL_S, end);
}

static void add_options(struct publish_send *send, const struct publish_request *request, char *end)
{
    add_text(send, SLICE("event"), request->type, &end);
    add_text(send, SLICE("id"), request->id, &end);
    add_key(send, request, &end);
    add_unless(send, SLICE("retry"), request->retry_ms, EVENT_RETRY_NONE, &end);
    add_history(send, request, &end);
    if (request->only_changed)
        add_option(send, SLICE("changed"), SLICE("1"));
    if (request->count)
        add_option(send, SLICE("count"), SLICE("1"));
    if (request->end)
        add_option(send, SLICE("end"), SLICE("1"));
    add_unless(send, SLICE("lease"), request->lease_s, 0, &end);
}

struct publish_send *publish_send_create(const struct publish_request *request, publish_cb cb, void *data)
{
    size_t bytes = request->data.n + request->type.n + request->id.n;
    struct publish_send *send = create(request, ARGS_MAX, bytes, cb, data);
    char *end = add_call(send, request, SLICE("sse_publish"));
    add(send, request->count ? SLICE("") : keep(&end, request->data));
    add_options(send, request, end);
    return send;
}

static void add_event(struct publish_send *send, const struct publish_event *event, char **end)
{
    add_option(send, SLICE("data"), keep(end, event->data));
    add_text(send, SLICE("event"), event->type, end);
    add_text(send, SLICE("id"), event->id, end);
    add_unless(send, SLICE("retry"), event->retry_ms, EVENT_RETRY_NONE, end);
    if (event->end)
        add_option(send, SLICE("end"), SLICE("1"));
    add_unless(send, SLICE("lease"), event->lease_s, 0, end);
}

struct publish_send *publish_send_create_many(const struct publish_request *request, const struct publish_event *const *events,
                                              size_t count, publish_cb cb, void *data)
{
    size_t bytes = 0;
    for (size_t i = 0; i != count; ++i)
        bytes += events[i]->data.n + events[i]->type.n + events[i]->id.n + 2 * NUMBER_MAX + ID_MAX;
    struct publish_send *send = create(request, BATCH_ARGS_MAX + count * EVENT_ARGS_MAX, bytes, cb, data);
    char *end = add_call(send, request, SLICE("sse_publish_many"));
    send->events = count;
    add_key(send, request, &end);
    add_history(send, request, &end);
    for (size_t i = 0; i != count; ++i)
        add_event(send, events[i], &end);
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
