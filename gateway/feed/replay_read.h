/* What a stream reads of its channels' histories for itself, where the rings do not reach back. A part of replay.c. Bus thread only. */
#pragma once

#include "gateway/feed/replay_state.h"

/* Of one place; and of all, with the room that they were promised. */
void replay_drop_page(const struct replay *replay, struct place *place);
void replay_drop_pages(struct replay *replay);

/* Reads what follows places[at].after; replay->on_read is called when the place has a page, or is emptied, or the read failed. */
enum replay_need replay_read_page(struct replay *replay, uint32_t at);

/* Asks for what a page with PAGE_UNKNOWN needs; replay->on_read is called when that is known, or the read failed. */
enum replay_need replay_read_joint(struct replay *replay, uint32_t at);

/* Reads the history from places[at].claimed on; replay->on_read is called when its claim is ABSENT or THERE, or the read failed. */
enum replay_need replay_look_up(struct replay *replay, uint32_t at);

/* … and on, where that found only entries of somebody else and there is more; its claim stays ABSENT. */
enum replay_need replay_look_on(struct replay *replay, uint32_t at);
