/* Where a stream goes on in each of its channels, found from its last event id. A part of replay.c. Bus thread only.
 *
 * What an id stands for is looked up, not concluded from its form: an id of the bus's own form stands for its position only where an event of the history is there, or names it as the one
 * before; else it may be an author's own, and is looked for among those. Where an id stands for several places, each channel goes on from the earliest of them: events may come again, none
 * is left out. */
#pragma once

#include "gateway/feed/replay_state.h"

/* Finds the places of request->resume_id. READY: each is known. */
enum replay_need places_find(struct replay *replay, struct channel **wait_at);

/* Whether something is lost behind `after` that no event tells of. */
bool places_knows_of_loss(const struct place *place);

/* What the stream misses before `first`, its next frame here, or NULL; with PLACE_GAP_BY_TIME, gap_at is set. False: something has to be read first, wait at the channel. */
bool places_find_gap(struct place *place, const struct frame *first, enum place_gap *gap);

/* A time of Redis's clock before which all that was published in these channels has come; 0: not known. */
uint64_t places_present_ms(const struct replay *replay);

/* Every event of this millisecond or later. */
struct position places_since(uint64_t ms);
