/* What a bench publishes. */
#pragma once

#include "proto/cli/bench_state.h"

/* Names the channels, which no earlier run had. */
void bench_post_init(struct bench *bench);

/* Publishes what is due now, `due` events since the beginning, as far as channels are free. */
void bench_post_due(struct bench *bench, uint64_t due);

/* A post's transfer ended. */
void bench_post_end(struct bench_channel *channel, CURLcode code);
