/* Histories of channels as Redis would tell them, without Redis: what history.h and marker.h ask is answered when the test says so. Event N stands at position N-0 and has the bus's own id, or an author's. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "gateway/frame.h"
#include "proto/bus/history.h"
#include "proto/bus/marker.h"
#include "proto/event_id.h"
#include "proto/message.h"
#include "tests/check.h"
#include "tests/message.h"

enum { FAKE_CHANNELS = 26, FAKE_EVENTS = 64, FAKE_PAYLOAD = 192, FAKE_READS = 16 };

struct fake_stream {
    char name[16];
    struct history_entry entries[FAKE_EVENTS]; /* that the history has */
    char payloads[FAKE_EVENTS][FAKE_PAYLOAD]; /* of all events there ever were, by number */
    size_t sizes[FAKE_EVENTS];
    size_t count;
    uint64_t marked; /* the marker's event; 0: no marker */
};

/* That waits for its answer. */
struct history_read {
    struct fake_stream *stream;
    bool backwards, marker, cancelled;
    bool done; /* Redis has answered, and what follows is on its way */
    struct history_entry entries[FAKE_EVENTS];
    size_t count;
    bool more;
    struct position from;
    size_t limit;
    history_cb cb;
    marker_cb marker_cb;
    void *data;
};

struct history {
    struct fake_stream streams[FAKE_CHANNELS];
    struct history_read *reads[FAKE_READS]; /* the oldest first */
    size_t waiting;
    size_t page_most; /* entries of one answer, at most; 0: as many as were asked for */
    bool away; /* no connection */
    bool authors_ids; /* events have the ids "id N" */
    bool names_strangers; /* an event names the entry before it, also one of somebody else, as old versions of sse_publish did */
    uint32_t lease_s; /* of what is published from now on; 0: none */
    uint64_t ends; /* a bit for each number whose events are ends */
    uint64_t now_ms, born_ms; /* what markers say */
    uint32_t asked; /* reads of histories so far */
};

static struct history fake;

static struct position fake_at(uint64_t event)
{
    return (struct position){event, 0};
}

static struct fake_stream *fake_stream(struct slice name)
{
    for (size_t i = 0; i < FAKE_CHANNELS; ++i) {
        struct fake_stream *stream = &fake.streams[i];
        if (stream->name[0] == 0)
            memcpy(stream->name, name.p, name.n);
        if (slice_eq(slice_of(stream->name), name))
            return stream;
    }
    abort();
}

/* Makes the message of an event, without publishing it; `prev` 0: it names none before it. */
static struct slice fake_message(struct fake_stream *stream, uint64_t event, uint64_t prev)
{
    char id[EVENT_ID_LEN + 1], sse[FAKE_PAYLOAD / 2];
    event_id_format(id, slice_of(stream->name), fake_at(event));
    if (fake.authors_ids)
        snprintf(id, sizeof(id), "id %u", (unsigned)event);
    bool end = (fake.ends >> event & 1) != 0;
    int n = snprintf(sse, sizeof(sse), "event: %s\ndata: x\nid: %s\n\n", end ? "end" : "message", id);
    stream->sizes[event] = message_encode(
        stream->payloads[event],
        &(struct message){
            .at = fake_at(event), .prev = fake_at(prev), .end = end, .lease_s = fake.lease_s, .body = slice_make(sse, (size_t)n)});
    return slice_make(stream->payloads[event], stream->sizes[event]);
}

/* Publishes it: in the history, and in the marker. Returns the message. */
static struct slice fake_publish(struct fake_stream *stream, uint64_t event)
{
    const struct history_entry *newest = stream->count == 0 ? NULL : &stream->entries[stream->count - 1];
    bool named = newest != NULL && (newest->payload.p != NULL || fake.names_strangers);
    uint64_t prev = named ? newest->at.ms : stream->marked;
    struct slice payload = fake_message(stream, event, prev);
    stream->entries[stream->count++] = (struct history_entry){fake_at(event), payload};
    stream->marked = event;
    return payload;
}

/* Somebody adds an entry by hand. */
CHECK_UNUSED static void fake_stranger(struct fake_stream *stream, uint64_t at)
{
    stream->entries[stream->count++] = (struct history_entry){.at = fake_at(at)};
}

/* Keeps the entries first ≤ event < end. */
CHECK_UNUSED static void fake_trim(struct fake_stream *stream, uint64_t first, uint64_t end)
{
    size_t kept = 0;
    for (size_t i = 0; i < stream->count; ++i)
        if (stream->entries[i].at.ms >= first && stream->entries[i].at.ms < end)
            stream->entries[kept++] = stream->entries[i];
    stream->count = kept;
}

static struct history_read *fake_ask(struct history_read read)
{
    if (fake.away || fake.waiting == FAKE_READS)
        return NULL;
    struct history_read *copy = malloc(sizeof(*copy));
    *copy = read;
    fake.reads[fake.waiting++] = copy;
    fake.asked += !read.marker;
    return copy;
}

static void fake_answer_marker(const struct history_read *read, const char *why)
{
    const struct fake_stream *stream = read->stream;
    struct marker marker = {fake.now_ms, fake.born_ms, fake_at(stream->marked), stream->count == 0,
                            stream->count == 0 ? POSITION_NONE : stream->entries[stream->count - 1].at};
    read->marker_cb(read->data, why == NULL ? &marker : NULL, why);
}

/* Redis answers a read of a history: what changes there from now on, it does not tell. */
static void fake_execute(struct history_read *read)
{
    const struct fake_stream *stream = read->stream;
    size_t limit = fake.page_most != 0 && fake.page_most < read->limit ? fake.page_most : read->limit;
    size_t first = 0, end = stream->count;
    while (!read->backwards && first < stream->count && position_compare(stream->entries[first].at, read->from) <= 0)
        ++first;
    while (read->backwards && end > 0 && position_compare(stream->entries[end - 1].at, read->from) >= 0)
        --end;
    read->count = end - first < limit ? end - first : limit;
    read->more = read->count < end - first;
    read->done = true;
    memcpy(read->entries, stream->entries + (read->backwards ? end - read->count : first), read->count * sizeof(read->entries[0]));
}

CHECK_UNUSED static void fake_execute_all(void)
{
    for (size_t i = 0; i < fake.waiting; ++i)
        if (!fake.reads[i]->marker)
            fake_execute(fake.reads[i]);
}

static void fake_answer_entries(struct history_read *read, const char *why)
{
    if (!read->done)
        fake_execute(read);
    if (why != NULL)
        read->cb(read->data, NULL, 0, false, why);
    else
        read->cb(read->data, read->entries, read->count, read->more, NULL);
}

/* Answers the oldest read; `why`: it fails. False: none waits. */
CHECK_UNUSED static bool fake_answer(const char *why)
{
    if (fake.waiting == 0)
        return false;
    struct history_read *read = fake.reads[0];
    memmove(fake.reads, fake.reads + 1, --fake.waiting * sizeof(fake.reads[0]));
    if (!read->cancelled && read->marker)
        fake_answer_marker(read, why);
    else if (!read->cancelled)
        fake_answer_entries(read, why);
    free(read);
    return true;
}

struct history_read *history_after(struct history *history, struct slice channel, struct position after, size_t limit,
                                   history_cb cb, void *data)
{
    (void)history;
    return fake_ask((struct history_read){.stream = fake_stream(channel), .from = after, .limit = limit, .cb = cb, .data = data});
}

struct history_read *history_before(struct history *history, struct slice channel, struct position before, size_t limit,
                                    history_cb cb, void *data)
{
    (void)history;
    return fake_ask((struct history_read){
        .stream = fake_stream(channel), .backwards = true, .from = before, .limit = limit, .cb = cb, .data = data});
}

struct marker_read *marker_read(struct redis *redis, struct slice channel, const char *born_key, marker_cb cb, void *data)
{
    (void)redis, (void)born_key;
    return (struct marker_read *)fake_ask(
        (struct history_read){.stream = fake_stream(channel), .marker = true, .marker_cb = cb, .data = data});
}

void history_cancel(struct history_read *read)
{
    read->cancelled = true;
}

void marker_cancel(struct marker_read *read)
{
    ((struct history_read *)read)->cancelled = true;
}

void history_hurry(struct history_read *read)
{
    (void)read;
}

size_t history_entry_size(const struct history *history, struct slice channel)
{
    (void)history, (void)channel;
    return 100;
}

const char *history_left_alone(const struct history *history, struct slice channel)
{
    (void)history, (void)channel;
    return NULL;
}

enum history_fault history_fault(const char *why)
{
    return strcmp(why, "forbidden") == 0 ? HISTORY_FORBIDDEN : HISTORY_UNREAD;
}

/* Appends "7 " for event 7, "gap " for a gap, and "end " where the channel was abandoned. */
CHECK_UNUSED static void fake_note(char *text, size_t size, const struct frame *frame)
{
    size_t n = strlen(text);
    if (frame->durable)
        snprintf(text + n, size - n, "%u ", (unsigned)frame->at.ms);
    else
        snprintf(text + n, size - n, "%.3s ", frame_body(frame).p + strlen("event: "));
}

/* Nothing crosses between threads here. */
void h2o_multithread_send_message(h2o_multithread_receiver_t *receiver, h2o_multithread_message_t *message)
{
    (void)receiver, (void)message;
    abort();
}
