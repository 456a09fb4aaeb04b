/* Streams on their way to live: each waits for its channels, for what was published before it, and for its reads, and is answered page by page. Bus thread only. */
#pragma once

#include "gateway/messages.h"
#include "proto/bus/history.h"

struct feed;
struct channel;

void opening_init(struct feed *feed);

/* Begins with an ask that has none; channels[i] is its channel i. */
void opening_start(struct feed *feed, struct ask *ask, struct channel *const *channels);

/* Its ask came back, for the next page. */
void opening_go_on(struct opening *opening);

/* Goes on with all openings of a list where they waited. */
void opening_advance_all(h2o_linklist_t *waiting);

/* Its client is gone: answered at once, wherever it waits. */
void opening_cancel(struct opening *opening);

/* Answers an ask, with or without an opening, that there will be no stream. */
void opening_refuse(struct feed *feed, struct ask *ask, const struct refusal *why);

/* What streams of a channel are told whose history can't be read; NULL: nothing, it may be read later. */
const struct refusal *opening_refusal(enum history_fault fault);

/* NULL while its client is there, else what it is not told any more. */
const struct refusal *opening_abandoned(const struct ask *ask);
