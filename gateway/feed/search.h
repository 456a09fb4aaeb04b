/* Finds authors' own ids in a channel's history. One scan at a time reads what the history holds beyond the ring, for all ids that were asked for when it began; what was asked for since waits
 * for the next. What was found, or not, is remembered for a moment. Bus thread only. */
#pragma once

#include "gateway/feed/channel_view.h"

struct search;

struct search *search_create(struct channel *channel);

/* Frees it; its result is dropped. */
void search_close(struct search *search);

enum search_result {
    SEARCH_FOUND,
    SEARCH_NOT_FOUND,
    SEARCH_WAIT, /* the channel's on_live tells when to ask again */
};

/* The earliest event that has this id, if several have. Only while channel_live(). */
enum search_result search_find(struct search *search, struct slice id, struct position *at);

/* See channel_retry(). */
void search_retry(struct search *search);
