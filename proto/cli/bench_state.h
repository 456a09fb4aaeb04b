/* A bench under way: its channels, its streams and what was counted. */
#pragma once

#include "proto/cli/client.h"
#include "proto/cli/latency.h"
#include "proto/cli/sse_parser.h"

/* Its events are numbered from 1, and say when they were first sent: "SEQ MICROSECONDS" by monotonic_us(). One is on its way at a time. */
struct bench_channel {
    struct bench *bench;
    char name[64];
    struct buffer url, data;
    char key[80];
    struct request post;
    bool busy; /* the post is on its way */
    bool again; /* it failed and is to be repeated as it was */
    uint64_t sent; /* the last one that was acknowledged */
};

struct bench_stream {
    struct bench *bench;
    struct bench_channel *channel;
    struct request request;
    struct sse_parser parser;
    bool started, open, ended;
    uint64_t last, got; /* the last event's number, and how many there were, twins not counted */
};

struct bench {
    const struct options *options;
    struct client client;
    struct bench_channel *channels;
    struct bench_stream *streams;
    size_t started, open, ended; /* streams */
    size_t next_channel;
    uint64_t posts, published, failed; /* tries; acknowledged; not acknowledged */
    uint64_t delivered, twice;
    struct latency latency;
    struct buffer why; /* what the last failure said */
    uint64_t began_us, took_us; /* publishing */
};
