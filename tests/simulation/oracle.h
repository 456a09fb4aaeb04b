/* What must hold. The oracle knows each event that a server took, and what each client has of it; it is asked at each step, and once more at the end. */
#pragma once

#include "tests/simulation/client.h"

struct server;

void oracle_reset(uint32_t channels);

/* A server has taken an event: what FCALL answered. */
struct fact *oracle_published(struct server *server, uint32_t channel, uint32_t number, struct slice id, struct slice position,
                              uint32_t size);

/* So many events of a channel were sent to servers; the next one's number. */
uint32_t oracle_next(uint32_t channel);

/* The data of a channel are about to be others. */
void oracle_line_changes(uint32_t channel);

/* The data that Redis has now: events that this line does not have are lost. */
void oracle_line_changed(struct server *server, uint32_t channel);

/* Somebody is about to add an entry to a channel's history, which is no event. */
void oracle_stranger(struct server *server, uint32_t channel);

/* The history of a channel was deleted. */
void oracle_emptied(uint32_t channel);

/* … or will be, unless an event comes before. */
void oracle_expires(uint32_t channel, uint64_t at_us);
void oracle_trimmed(uint32_t channel); /* by hand, from its beginning on */

/* Other data than before, all of a shard: gaps may be told that no event explains. */
void oracle_data_changed(uint32_t shard);
void oracle_moved(uint32_t channel);

/* A channel's marker is gone, or the clock was set. */
void oracle_marker_gone(uint32_t channel);
void oracle_clock_set(uint32_t shard, bool back);

/* A stream was asked for (with client->id, "" for none); its head came; its place; an event; a gap; the end of it. */
void oracle_asks(struct client *client);
void oracle_head(struct client *client);
void oracle_place(struct client *client);
void oracle_event(struct client *client, struct slice data, const struct slice *id);

/* Ends (oracle_ends.c). A server has taken one, behind all else that its history has; an author was refused since there is one. */
void oracle_ended(struct server *server, uint32_t channel);
void oracle_ended_at(struct server *server, uint32_t channel, struct position at);
void oracle_refused_ended(const struct server *server, uint32_t channel);

/* A stream was told an end: with `data`, or with its own text in place of it (`data` p NULL). It has ended in order; and the answer 204. */
void oracle_told_end(struct client *client, struct slice data, const struct slice *id);
void oracle_answered_204(struct client *client);

/* An answer to a client that polls: it said that something is gone, of which channels it does not say; that all its channels have ended. */
void oracle_gap_of_some(struct client *client);
void oracle_answer_stands_at(struct client *client, const struct slice *id); /* which may be an end's */
void oracle_answered_over(struct client *client, const struct slice *id);
void oracle_head_of_ends(const struct client *client);
void oracle_gap(struct client *client, struct slice data, const struct slice *id);

/* The client is another one from now on: it goes on from an id that it had before (false: not from this one), or with one that stands for nothing. */
bool oracle_goes_back(struct client *client, const char *id);
void oracle_foreign(struct client *client);

/* From now on there are no faults. */
void oracle_healed(void);

/* Everything was healed and each client had time to get the last event of each of its channels. */
void oracle_end(void);
bool oracle_complete(void);
