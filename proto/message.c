#include "proto/message.h"

#include "proto/event_id.h"
#include "runtime/digits.h"

static const struct slice version1 = {"\x1esse1 ", 6}, version2 = {"\x1esse2 ", 6}, version3 = {"\x1esse3 ", 6},
                          end_word = {"end", 3}, lease_word = {"lease=", 6};

static bool read_lease(struct message *out, struct slice text)
{
    uint64_t seconds = 0;
    bool fine = text.n != 0 && text.p[0] != '0' && digits_decimal(&seconds, text, MESSAGE_LEASE_MAX);
    out->lease_s = (uint32_t)seconds;
    return fine;
}

/* `words`: what follows the positions. At least one; each once, in their order, one blank between two. */
static bool read_words(struct message *out, struct slice words)
{
    struct slice word = slice_split(&words, ' ');
    out->end = slice_eq(word, end_word);
    if (out->end && words.p == NULL)
        return true;
    if (out->end)
        word = slice_split(&words, ' ');
    return words.p == NULL && slice_starts(word, lease_word) && read_lease(out, slice_from(word, lease_word.n));
}

static const char *decode_header(struct message *out, struct slice line, bool has_words)
{
    struct slice at = slice_split(&line, ' '), prev = has_words ? slice_split(&line, ' ') : line;
    if (line.p == NULL || !position_parse(&out->at, at) || !position_parse(&out->prev, prev))
        return "the message's header line is broken";
    if (out->at.ms >> 48 != 0 || out->at.seq > EVENT_ID_SEQ_MAX)
        return "the message's position is beyond what an event id can hold";
    if (position_compare(out->at, out->prev) <= 0)
        return "the message's position is not above the one before it";
    return !has_words || read_words(out, line) ? NULL : "the message's header line holds an unknown word";
}

/* `rest`: what follows the version. */
static const char *decode_durable(struct message *out, struct slice rest, bool has_words)
{
    struct slice header = slice_split(&rest, '\n');
    struct sse_fields fields;
    const char *why;
    if (rest.p == NULL)
        return "the message's header line has no end";
    if ((why = decode_header(out, header, has_words)) != NULL || (why = sse_check(rest, &fields)) != NULL)
        return why;
    if (out->end && !slice_eq(fields.type, end_word))
        return "the message ends the channel and is not of the type end";
    out->kind = MESSAGE_DURABLE;
    out->body = rest;
    out->id = fields.id;
    out->retry = fields.retry;
    return NULL;
}

const char *message_decode(struct message *out, struct slice payload)
{
    *out = (struct message){.kind = MESSAGE_PLAIN, .at = POSITION_NONE, .prev = POSITION_NONE, .body = payload};
    if (payload.n == 0 || payload.p[0] != version1.p[0])
        return NULL;
    if (slice_starts(payload, version2))
        return decode_durable(out, slice_from(payload, version2.n), true);
    if (message_is_batch(payload))
        return "the message is a batch, where one event stands";
    if (!slice_starts(payload, version1))
        return "the message's version is unknown";
    return decode_durable(out, slice_from(payload, version1.n), false);
}

bool message_is_batch(struct slice payload)
{
    return slice_starts(payload, version3);
}

const char *message_batch_open(struct message_batch *batch, struct slice payload)
{
    struct slice rest = slice_from(payload, version3.n), count = slice_split(&rest, '\n');
    uint64_t left = 0;
    bool fine = rest.p != NULL && count.n != 0 && count.p[0] != '0' && digits_decimal(&left, count, MESSAGE_BATCH_MAX);
    *batch = (struct message_batch){.rest = rest, .left = (uint32_t)left, .last = POSITION_NONE};
    return fine ? NULL : "the batch's header line is broken";
}

/* The first message of several: up to its blank line, or up to the end where it has none. */
static struct slice first_message(struct slice messages)
{
    const char *line = memchr(messages.p, '\n', messages.n), *end = messages.p + messages.n;
    while (line != NULL && ++line != end && *line != '\n')
        line = memchr(line, '\n', (size_t)(end - line));
    return line == NULL || line == end ? messages : slice_make(messages.p, (size_t)(line + 1 - messages.p));
}

const char *message_batch_next(struct message_batch *batch, struct message *out)
{
    if (batch->rest.n == 0)
        return "the batch holds fewer messages than it says";
    struct slice first = batch->left == 1 ? batch->rest : first_message(batch->rest); /* the last one may leave nothing */
    const char *why = message_decode(out, first);
    if (why != NULL)
        return why;
    if (out->kind != MESSAGE_DURABLE)
        return "the batch holds plain data";
    if (batch->ended)
        return "the batch goes on behind the end";
    if (!position_is_none(batch->last) && position_compare(out->prev, batch->last) != 0)
        return "a message of the batch does not name the one before it";
    *batch = (struct message_batch){slice_from(batch->rest, first.n), batch->left - 1, out->at, out->end};
    return NULL;
}
