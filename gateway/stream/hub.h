/* A worker's half of the bus: which of its streams listen to which channel, what the feed sends, and all that happens to streams over time. One per
 * worker, so no locks. Worker thread only. */
#pragma once

#include "gateway/form.h"
#include "gateway/stream/poll.h"
#include "gateway/stream/slow.h"
#include "gateway/stream/subscriber.h"

struct hub_options {
    h2o_loop_t *loop;
    h2o_multithread_queue_t *queue; /* of that loop */
    uint32_t worker; /* its number among the feed's workers */
    struct slow_limits limits; /* of streams that wait for their client */
    uint64_t max_stream_ms; /* 0: as long as it likes */
    uint32_t keepalive_ms;
    uint32_t coalesce_ms; /* events wait this long for others to leave with them; 0: not at all */
    int32_t retry_ms;
};

struct hub *hub_create(const struct hub_options *options);

/* Where the feed sends struct feed_update, by its outbox. */
h2o_multithread_receiver_t *hub_updates(struct hub *hub);

/* Where the hub sends struct feed_request, by its outbox; set once, before the first join. `local`: on this same thread. */
void hub_connect(struct hub *hub, h2o_multithread_receiver_t *requests, bool local);

/* Handles the messages of the feed and frees what was closed; after every turn of the worker's loop. A large fan-out is done in slices: true when there
 * is more, so that the loop must not sleep. */
bool hub_turn(struct hub *hub);

/* True while streams that are over still have channels to leave. */
bool hub_is_behind(struct hub *hub);

/* What a stream wants when it opens. */
struct hub_spec {
    const struct slice *channels; /* checked by channel_check(), no name twice; borrowed */
    uint32_t count;
    enum welcome welcome;
    enum form form;
    bool gap_closes; /* see struct variant */
    struct slice end_text; /* in place of the event "end"; p NULL: that */
    struct poll_spec poll; /* FORM_JSON */
    enum start_mode mode;
    uint32_t last; /* START_LAST */
    struct slice resume_id; /* START_RESUME; no NUL in it */
    bool head_first; /* sends the head at once: the client counts on what comes from now on. Else with the feed's answer */
    uint64_t life_ms; /* its token is good for so long; 0: for ever */
    uint32_t key; /* by which its token is known; 0: none was needed */
    uint64_t client; /* see struct feed_request */
    uint32_t promised; /* likewise */
    struct client_address address; /* for the log */
    struct stream_log *log; /* the stream's from here on; NULL: it is not logged */
};

/* How many of these channels nobody listens to at this worker; counted only until there are `enough`. */
uint32_t hub_count_fresh(struct hub *hub, const struct slice *names, uint32_t count, uint32_t enough);

/* Opens a stream, for a request that has its response headers; its frames follow the feed's answer. From here on the request is the stream's. */
void hub_open(struct hub *hub, h2o_req_t *req, const struct hub_spec *spec);

/* Ends all streams in order, spread evenly over duration_ms, each with a retry of its own; none may be opened after this. */
void hub_drain(struct hub *hub, uint64_t duration_ms);

/* The keys and policy now in force, for streams that were opened under older ones. */
struct hub_access {
    bool (*knows)(void *data, uint32_t key);
    bool (*closed)(void *data, struct slice channel); /* it was open to anyone, and no longer is */
    void *data;
};

/* Ends the streams that are no longer allowed, evenly over two seconds: those whose key is gone, and those with a channel that was closed. */
void hub_judge(struct hub *hub, const struct hub_access *access);
