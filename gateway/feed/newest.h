/* Where the newest N events of a channel begin, when its ring does not go back so far: counts them backwards in the history, once for all that ask. Keeps the position of
 * each 128th, and those of some channels, for whoever asks next; the others are read again. Bus thread only. */
#pragma once

#include "gateway/feed/channel_view.h"

struct newest;

struct newest *newest_create(struct channel *channel);

/* Frees it; its result is dropped. */
void newest_close(struct newest *newest);

/* Sets *after to what the newest `n` events follow, or all where there are fewer. `handed_on`: how many events the channel has handed on. False: the channel's on_live tells
 * when to ask again. Only while channel_live(). */
bool newest_find(struct newest *newest, uint32_t n, uint64_t handed_on, struct position *after);

/* See channel_retry(). */
void newest_retry(struct newest *newest);
