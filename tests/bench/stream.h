/* The event streams that `bench read` holds, whatever carries them, and what is counted of them. */
#pragma once

#include "tests/bench/sse_reader.h"
#include "tests/bench/tally.h"

enum stream_phase { STREAM_NEW, STREAM_WAITING, STREAM_OPEN, STREAM_CLOSED }; /* WAITING: for the head of its answer */

struct stream {
    struct sse_reader sse;
    struct track track;
    uint32_t number;
    uint8_t phase;
};

struct streams {
    const char *pattern; /* of their paths */
    size_t payload; /* bytes of data of an event */
    unsigned channels; /* stream i listens to channel i % channels */
    unsigned count, phases[STREAM_CLOSED + 1]; /* streams; how many of them are in each phase */
    struct stream *all;
    uint64_t now_ns; /* when the bytes were read that are being taken in */
    uint64_t wanted; /* SEQ that every stream is waited for to reach */
    unsigned behind; /* open streams that have not reached it */
    struct tally tally;
};

void streams_create(struct streams *streams, unsigned count, unsigned channels, const char *pattern, size_t payload);

/* The path of a stream; returns its length. Fails if it does not fit. */
size_t stream_path(const struct streams *streams, const struct stream *stream, char *path, size_t size);

void stream_started(struct streams *streams, struct stream *stream);

/* The head of its answer; with another status than 200 it is closed. */
void stream_head(struct streams *streams, struct stream *stream, unsigned status);

/* Bytes of its event stream; nothing if it is closed. */
void stream_body(struct streams *streams, struct stream *stream, const char *p, size_t n);

/* Says so on stderr, once for each stream and not for more than a few of them. */
void stream_close(struct streams *streams, struct stream *stream, const char *reason);

/* From now on `behind` says how many open streams have not reached SEQ `wanted`. */
void streams_expect(struct streams *streams, uint64_t wanted);

/* Forgets the last SEQ of each stream: the channels are numbered from 1 again. */
void streams_reset(struct streams *streams);

/* `wanted`: what no stream should miss, or 0 for what others behind it show to be missing. */
void streams_report(const struct streams *streams, uint64_t wanted);

void streams_dispose(struct streams *streams);
