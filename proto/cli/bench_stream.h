/* The streams of a bench. */
#pragma once

#include "proto/cli/bench_state.h"

enum { BENCH_OPENING_MAX = 100 }; /* streams that are being opened at the same time */

/* Starts the next ones, as many as may be opening. */
void bench_stream_start(struct bench *bench);

/* Its transfer ended, which a stream of a bench should not. */
void bench_stream_end(struct bench_stream *stream, CURLcode code);

/* How many of the acknowledged events have not come. */
uint64_t bench_stream_missing(const struct bench_stream *stream);
