/* Clients: each follows some channels, comes back with the last id it was given, and may be slow, leave or vanish. The HTTP side of a gateway ends here as well: the transports of
 * gateway/stream/transport.h write into a wire, from which the client reads. */
#pragma once

#include "gateway/stream/hub.h"
#include "tests/simulation/facts.h"
#include "tests/simulation/node.h"

enum { CLIENTS = 10, SEEN_WORDS = FACTS / 64, ID_MAX = 200 };

/* What a client has of a channel, and what it is owed. */
struct track {
    bool followed;
    bool begun; /* from now on it is owed all */
    bool owes_gap; /* its id stands for nothing: a gap has to come first */
    uint32_t from; /* with `last` NULL: it is owed what stands at this index of the line and later */
    struct fact *last; /* the furthest it has */
    uint64_t gap_us; /* a gap was told since then, of all that was published before this time; 0: none */
    uint64_t begun_us; /* since when */
    uint64_t doubt_us; /* what was published before may be missing: its id could not be relied on; 0: none */
    uint64_t passed_ms; /* … up to this time: an id that it came with was ahead of the clock, which was set back, or by an entry by hand; 0: none was */
    uint64_t twice_since; /* of the stream: the times of events that may come again */
    struct position twice_after; /* … */
    uint64_t over_ms; /* of an id that it came with, behind the ends of all its channels; 0: with none */
    struct fact *last_here; /* of the stream */
    bool gap_behind; /* … which told a gap since */
    struct fact *lost_id; /* that its id named, and Redis had lost when it asked */
    struct fact *
        anchor; /* of the stream, which told a gap since events behind this are lost: its gateway has it in memory; NULL: none is sure to be */
    const struct fact *abandoned,
        *abandoned_here; /* the last event behind which it was told that nobody goes on; … of the stream */
    bool moves; /* a channel of its stream has changed its shard, or a clock was set */
    bool gap_here; /* … has told one */
    uint64_t
        astray_us; /* … took events of a history that was deleted for new ones, then: what was published before may come again; 0: it has not */
    uint64_t seen[SEEN_WORDS];
};

struct wire;

struct client {
    uint32_t number;
    struct slice names[CHANNELS];
    uint32_t channels[CHANNELS], count;
    struct wire *wire; /* NULL: not connected */
    bool away; /* it does not want to be connected now */
    bool gone; /* it never comes back */
    enum start_mode mode; /* while it has no id */
    uint32_t last; /* START_LAST */
    bool fresh; /* this stream was asked for without an id */
    bool head_first; /* its head may have been sent before its place was known */
    bool over; /* it was told that all its channels have ended */
    uint64_t over_us; /* when the client was last told that */
    bool polls, polls_only; /* it asks for its events as JSON, now and then; always */
    bool asked_poll; /* this time */
    char tag[24], tag_of[24]; /* of its last answer, that said that nothing is new; … that it names in this request */
    bool tag_over; /* that one said that its channels have ended */
    bool gap_in_answer; /* the one that is taken apart tells one, between any of its events */
    uint32_t limit; /* of this request */
    const char *end_text; /* what it asks to be told in place of an end; NULL: nothing */
    char id[ID_MAX + 1], older_id[ID_MAX + 1];
    char foreign_id[ID_MAX + 1]; /* that stands for nothing; "": it had none */
    char asked_id[ID_MAX + 1]; /* with which this stream was asked for */
    uint64_t place_us; /* when it was given that id */
    uint32_t read_most; /* bytes at a time */
    uint64_t read_us; /* between two reads */
    struct due connects;
    uint64_t asked_us, head_us,
        placed_us; /* of the stream: when it was asked for; when its head came, and its place; 0: it has not */
    uint16_t gateway; /* that serves it */
    uint64_t gateway_us; /* … when that began */
    struct track tracks[CHANNELS];
};

extern struct client clients[CLIENTS];
extern uint32_t client_count;

void clients_reset(void);

/* Lets it connect after that time. */
void client_connect(struct client *client, uint64_t after_us);

/* It hangs up, or vanishes without a word. Comes back after `back_us`. */
void client_leave(struct client *client, bool vanishes, uint64_t back_us);

/* Its gateway was killed. */
void clients_lost(uint16_t gateway);

/* What the bytes said. */
void client_takes_head(struct client *client);
void client_takes(struct client *client, struct slice type, struct slice data, const struct slice *id);
void client_ends(struct client *client, const char *how);
void client_takes_204(struct client *client);

/* What it polled for has come (answer.c): status 200 or 304. */
void client_takes_answer(struct client *client, int status, struct slice body, const char *tag);

/* For answer.c: the id to go on from; its channels have ended; it asks again. */
void client_takes_id(struct client *client, struct slice id);
void client_rests(struct client *client);
