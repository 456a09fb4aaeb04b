#include "tests/bench/stream.h"

#include <stdlib.h>

#include "tests/bench/bench.h"

enum { NAMED_MAX = 5 };

void streams_create(struct streams *streams, unsigned count, unsigned channels, const char *pattern, size_t payload)
{
    *streams = (struct streams){.pattern = pattern, .payload = payload, .channels = channels, .count = count};
    streams->all = calloc(count, sizeof(*streams->all));
    if (streams->all == NULL)
        bench_fail("no memory for %u streams", count);
    for (unsigned i = 0; i < count; ++i)
        streams->all[i] = (struct stream){.number = i, .track = TRACK_START};
    streams->phases[STREAM_NEW] = count;
    tally_mark(&streams->tally);
}

size_t stream_path(const struct streams *streams, const struct stream *stream, char *path, size_t size)
{
    int n = snprintf(path, size, streams->pattern, (int)(stream->number % streams->channels));
    if (n < 0 || (size_t)n >= size)
        bench_fail("the path is too long");
    return (size_t)n;
}

static void move(struct streams *streams, struct stream *stream, enum stream_phase phase)
{
    --streams->phases[stream->phase];
    ++streams->phases[phase];
    stream->phase = (uint8_t)phase;
}

void stream_started(struct streams *streams, struct stream *stream)
{
    move(streams, stream, STREAM_WAITING);
}

void stream_head(struct streams *streams, struct stream *stream, unsigned status)
{
    char reason[32];
    snprintf(reason, sizeof(reason), "answered with %u", status);
    if (status != 200)
        stream_close(streams, stream, reason);
    else
        move(streams, stream, STREAM_OPEN);
}

static void payload(struct streams *streams, struct stream *stream, const struct sse_event *event)
{
    uint64_t before = stream->track.last;
    tally_event(&streams->tally, &stream->track, event->seq, event->time_ns, streams->now_ns);
    if (before < streams->wanted && stream->track.last >= streams->wanted)
        --streams->behind;
}

void stream_body(struct streams *streams, struct stream *stream, const char *p, size_t n)
{
    const char *end = p + n;
    struct sse_event event;
    if (stream->phase != STREAM_OPEN)
        return;
    while (sse_reader_next(&stream->sse, &p, end, streams->payload, &event)) {
        if (event.data == SSE_PAYLOAD)
            payload(streams, stream, &event);
        else
            ++streams->tally.foreign;
    }
}

void stream_close(struct streams *streams, struct stream *stream, const char *reason)
{
    if (stream->phase == STREAM_CLOSED)
        return;
    if (stream->phase == STREAM_OPEN && stream->track.last < streams->wanted)
        --streams->behind;
    move(streams, stream, STREAM_CLOSED);
    sse_reader_dispose(&stream->sse);
    unsigned closed = streams->phases[STREAM_CLOSED];
    if (closed <= NAMED_MAX)
        fprintf(stderr, "bench read: stream %u (channel %u): %s\n", stream->number, stream->number % streams->channels, reason);
    if (closed == NAMED_MAX)
        fprintf(stderr, "bench read: further closed streams are only counted\n");
}

void streams_expect(struct streams *streams, uint64_t wanted)
{
    streams->wanted = wanted;
    streams->behind = 0;
    for (unsigned i = 0; i < streams->count; ++i)
        streams->behind += streams->all[i].phase == STREAM_OPEN && streams->all[i].track.last < wanted;
}

void streams_reset(struct streams *streams)
{
    streams_expect(streams, 0);
    for (unsigned i = 0; i < streams->count; ++i)
        streams->all[i].track = TRACK_START;
}

void streams_report(const struct streams *streams, uint64_t wanted)
{
    uint64_t missing = 0;
    for (unsigned i = 0; i < streams->count; ++i) {
        uint64_t last = streams->all[i].track.last;
        missing += last < wanted ? wanted - last : 0;
    }
    tally_report(&streams->tally, missing, streams->count, streams->phases[STREAM_CLOSED], stdout);
}

void streams_dispose(struct streams *streams)
{
    for (unsigned i = 0; i < streams->count; ++i)
        sse_reader_dispose(&streams->all[i].sse);
    free(streams->all);
}
