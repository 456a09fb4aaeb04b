/* Turns standard input into bodies of application/x-ndjson. A body has up to 1,000 lines or 256 KiB, and takes the lines that come within 10 ms of its first one. */
#pragma once

#include <stdint.h>

#include "proto/cli/lines.h"

enum { BATCH_LINES_MAX = 1000 };

struct batch {
    /* the owner's to set */
    bool objects; /* the lines are objects already; else each is the data of an event */
    bool patient; /* waits until it is full: the same input makes the same batches */
    struct buffer members; /* of each event, where lines are data: ,"event":"x" */
    /* the batch */
    struct buffer body;
    uint64_t first, last; /* its lines in the input, from 1 */
    size_t events; /* lines that are not blank */
    /* batch.c's */
    struct buffer input; /* from `taken` on not used yet, up to `searched` without a line break */
    size_t taken, searched;
    bool ended;
};

/* LINES_GOT: there is one. LINES_BROKEN also for a signal, see stop.h. */
enum lines batch_next(struct batch *batch);

/* Adds the text as a JSON string. What is not UTF-8 stays so: the server names its line. */
void batch_quote(struct buffer *out, struct slice text);

void batch_free(struct batch *batch);
