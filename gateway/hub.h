/* A worker's half of the bus: which of its streams listen to which channel, what the feed tells, and all that happens to streams over time. One per
 * worker, so no locks. Worker thread only. */
#pragma once

#include "gateway/lag.h"
#include "gateway/subscriber.h"

struct hub_options {
    h2o_loop_t *loop;
    h2o_multithread_queue_t *queue; /* of that loop */
    uint32_t worker; /* its number among the feed's workers */
    struct lag_limits limits; /* of streams that wait for their client */
    uint64_t max_stream_ms; /* 0: as long as it likes */
    uint32_t keepalive_ms;
    uint32_t coalesce_ms; /* events wait this long for others to leave with them; 0: not at all */
    int32_t retry_ms;
};

struct hub *hub_create(const struct hub_options *options);

/* Where the feed sends struct tell, by its outbox. */
h2o_multithread_receiver_t *hub_tells(struct hub *hub);

/* Where the hub sends struct ask, by its outbox; set once, before the first join. `local`: on this same thread. */
void hub_connect(struct hub *hub, h2o_multithread_receiver_t *asks, bool local);

/* Does what the feed told and frees what was closed; after every turn of the worker's loop. A large fan-out is done in slices: true when there
 * is more, so that the loop must not sleep. */
bool hub_turn(struct hub *hub);

/* Whether streams that are over still have channels to leave. */
bool hub_is_behind(struct hub *hub);

/* What a stream wants when it opens. */
struct hub_start {
    enum start_mode mode;
    uint32_t last; /* START_LAST */
    struct slice resume_id; /* START_RESUME; no NUL in it */
    bool head_sent; /* the client already counts on what comes from now on */
    uint64_t life_ms; /* its token is good for so long; 0: for ever */
    uint32_t key; /* by which its token is known; 0: none was needed */
    uint64_t client; /* see struct ask */
    uint32_t promised; /* likewise */
};

/* How many of these channels nobody listens to at this worker; counted only until there are `enough`. */
uint32_t hub_count_fresh(struct hub *hub, const struct slice *names, uint32_t count, uint32_t enough);

/* Asks the feed to open `subscriber` on its channels: names[i] (checked by channel_check(), no name twice) for member i. Its frames follow the answer. */
void hub_join(struct subscriber *subscriber, const struct slice *names, const struct hub_start *start);

/* Ends all streams in order, spread evenly over duration_ms, each with a retry of its own; none may be opened after this. */
void hub_drain(struct hub *hub, uint64_t duration_ms);

/* What keys and policy let in now, for streams that they let in before. */
struct hub_access {
    bool (*knows)(void *data, uint32_t key);
    bool (*closed)(void *data, struct slice channel); /* it was open to anyone, and is not any more */
    void *data;
};

/* Ends the streams that would not be let in any more, evenly over two seconds: those whose key is gone, and those with a channel that was closed. */
void hub_judge(struct hub *hub, const struct hub_access *access);

/* ---- for the subscriber and its transport ---- */

/* Out of all channels and of the keep-alive wheel. */
void hub_part(struct subscriber *subscriber);

/* Its head is held: opened by the feed's answer, or when that takes too long. */
void hub_hold(struct subscriber *subscriber);

/* Its queue or `busy` changed. */
void hub_settle(struct subscriber *subscriber);
void hub_progress(struct subscriber *subscriber);
void hub_count_queued(struct hub *hub, int64_t delta);

/* Its page of history is written: asks for the next. */
void hub_next_page(struct subscriber *subscriber);

/* Frees it soon if it is closed, detached and owed nothing. */
void hub_bury(struct subscriber *subscriber);

/* The empty frame that ends a chunked body; borrowed. */
struct frame *hub_last_chunk(const struct hub *hub);

/* The comment that begins every stream: a proxy passes the head on with the first byte of the body, and a browser fires `open` then. Borrowed. */
const struct frame *hub_comment(const struct hub *hub);

/* When something was last written to this stream, by its channels' fan-outs or its own queue: milliseconds of the loop's clock. */
uint64_t hub_active(const struct subscriber *subscriber);
