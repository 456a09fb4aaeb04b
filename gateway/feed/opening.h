/* Streams on their way to live: each waits for its channels, for what was published before it, and for its reads, and is answered page by page. Bus thread only. */
#pragma once

#include "gateway/feed/channel_view.h"
#include "gateway/messages.h"
#include "proto/bus/history.h"

/* What all openings of a feed share. */
struct openings {
    struct channel_shared *shared;
    void (*send)(void *data, uint32_t worker, struct feed_update update);
    void (*retry_soon)(void *data); /* openings_retry() is to be called, soon, and each time later while nothing succeeds */
    void *data;
    h2o_linklist_t turns; /* those that wait for room for their pages */
    bool giving_turns;
    h2o_linklist_t retrying; /* those whose read failed */
    h2o_linklist_t ready; /* those that have what they waited for: openings_run() goes on with them */
};

void openings_init(struct openings *openings, struct channel_shared *shared,
                   void (*send)(void *data, uint32_t worker, struct feed_update update), void (*retry_soon)(void *data),
                   void *data);

/* Begins one for a request that has none; its channels are known to be listened to. It goes with its last answer, or when it is cancelled. */
void opening_start(struct openings *openings, struct feed_request *request);

/* Its request came back, for the next page. */
void opening_go_on(struct opening *opening);

/* Goes on with those that have what they waited for, the first one first, until `until_us` of monotonic_us(): one step may look through 100 channels' events. True: some are left. */
bool openings_run(struct openings *openings, uint64_t until_us);

/* All that wait for this channel have what they waited for: fresh streams take their places in it now, the others are ready. Or they are refused. */
void openings_set_ready(struct openings *openings, struct channel *channel);
void openings_refuse(struct channel *channel, const struct refusal *why);

/* Those whose reads failed may try again. */
void openings_retry(struct openings *openings);

/* Its client is gone: answered at once, wherever it waits. If its request is away with a page, there is nothing to answer. */
void opening_cancel(struct opening *opening);

/* Answers a request, with or without an opening, that there will be no stream. */
void opening_refuse(struct openings *openings, struct feed_request *request, const struct refusal *why);

/* The answer to streams of a channel whose history cannot be read; NULL: none, it may be readable later. */
const struct refusal *opening_refusal(enum history_fault fault);

/* NULL while its client is there, else the refusal that ends it. */
const struct refusal *opening_abandoned(const struct feed_request *request);
