/* What oracle.c and its parts share. */
#pragma once

#include "tests/simulation/oracle.h"
#include "tests/simulation/plan.h"

/* What may keep a place from a stream whose head is out: it counts on all since it asked, as far as that can be told. */
#define DISTURBS                                                                                                             \
    ((UINT64_C(1) << STEP_CUT | UINT64_C(1) << STEP_STALL | UINT64_C(1) << STEP_DOWN | UINT64_C(1) << STEP_KILL |            \
      UINT64_C(1) << STEP_DRAIN | UINT64_C(1) << STEP_FREEZE | UINT64_C(1) << STEP_FAIL_OVER | UINT64_C(1) << STEP_RESTART | \
      UINT64_C(1) << STEP_MOVE | UINT64_C(1) << STEP_CLOCK))

enum { DEAF_US = 4000000 }; /* nothing comes over a connection any more, that long */

/* The data that Redis has now. */
const struct line *line_of(uint32_t channel);
struct position first_kept(uint32_t channel); /* the first entry of the history; POSITION_MAX: none */
bool is_kept(const struct fact *fact, struct position first);

/* All events that any server took. Returns their count; one may be NULL. */
uint32_t facts_of(uint32_t channel, struct fact ***all);

/* Since then the channel's data are the same, at the same shard, with their marker. */
bool is_data_steady(uint32_t channel, uint64_t since_us);
bool was_clock_set(uint32_t channel); /* at any time */
bool was_ahead(uint32_t channel); /* of the clock, by an entry by hand, at any time */
bool was_emptied_since(uint32_t channel, uint64_t since_us);

bool has_seen(const struct track *track, const struct fact *fact);

/* An event that the client is owed and does not have, before this one comes; NULL: none is missing. */
const struct fact *missing_before(const struct client *client, const struct track *track, const struct fact *fact);

/* What it is owed up to this one, itself included; NULL: it has all. */
const struct fact *missing_up_to(const struct client *client, const struct fact *last);

/* It has come: all that holds for events and ends alike. */
void oracle_take(struct client *client, struct fact *fact);

/* ---- oracle_ends.c ---- */

void ends_reset(void);

/* Of a stream of several channels: this event, or end, may never come. */
bool ends_may_skip(const struct client *client, const struct fact *fact);
void ends_note_asked(struct client *client);

/* The client knows of all ends that there are. False: not yet; *channel is one that has ended. */
bool ends_known(const struct client *client, uint32_t *channel);

/* Such a client is asked nothing more; one whose channels have all ended must not have an open stream. */
bool ends_due(uint32_t channel);
