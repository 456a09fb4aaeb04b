/* Random commands for model_check: all from a seed, with a memory of the ids that were answered. */
#pragma once

#include <hiredis/hiredis.h>
#include <stdint.h>

#include "runtime/slice.h"

enum {
    DRAW_WORDS = 48,
    DRAW_BYTES = 1 << 16,
    DRAW_IDS = 24, /* remembered */
    DRAW_CHANNELS = 3,
    DRAW_KEYS = DRAW_CHANNELS * 10, /* that commands name */
};

struct drawing {
    uint64_t seed;
    size_t favourite; /* the channel of half of the commands */
    uint64_t now_us; /* of the servers, for times that are drawn near it */
    struct slice argv[DRAW_WORDS];
    size_t argc;
    char bytes[DRAW_BYTES]; /* of the words */
    size_t used;
    char ids[DRAW_IDS][44]; /* positions and event ids that were answered lately; "" for none */
    size_t next_id;
};

void draw_begin(struct drawing *drawing, uint64_t seed);

uint64_t draw_number(struct drawing *drawing, uint64_t below);

/* The next command, in argv until the next call. */
void draw_command(struct drawing *drawing);

/* Remembers ids of an answer. */
void draw_learn(struct drawing *drawing, const redisReply *reply);

/* One of the keys, for number < DRAW_KEYS; valid until the next call. The first of each channel is its history. */
struct slice draw_key(size_t number);
