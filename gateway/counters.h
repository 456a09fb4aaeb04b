/* The gateway's metrics: one enum, one table in counters.c, in the same order. */
#pragma once

#include "runtime/auth/access.h"
#include "runtime/h2o/h2_abuse.h"
#include "runtime/http.h"
#include "runtime/limits.h"
#include "runtime/metrics.h"
#include "runtime/h2o/bodies.h"
#include "runtime/reloads.h"
#include "runtime/slice.h"

/* Why a stream was closed: one value, one counter. Behind each, the files that decide it; all are in gateway/stream/. A new one:
 * here, in CLOSE_WORDS, and where it is decided; then `WRITE_METRICS=1 node --test tests/integration/observability.test.mjs` for
 * the documents. */
enum close_reason {
    CLOSE_CLIENT, /* transport_http1.c: the peer closed; subscriber.c: libh2o ended the request, or a write found the peer gone */
    CLOSE_CLIENT_DATA, /* transport_http1.c: the peer kept sending, though a stream's client has nothing to send */
    CLOSE_WRITE_ERROR, /* subscriber.c, subscriber_broken(); transport_http1.c, on_writable() */
    CLOSE_QUEUE_FULL, /* slow.c: too far behind for too long */
    CLOSE_MEMORY, /* slow.c: the slowest, when all queues together pass MEMORY_LIMIT */
    CLOSE_WRITE_TIMEOUT, /* slow.c: no progress for WRITE_TIMEOUT */
    CLOSE_VANISHED, /* keepalive.c: the peer no longer acknowledges anything */
    CLOSE_ROTATE, /* hub.c, set_end(): MAX_STREAM_SECONDS */
    CLOSE_DRAIN, /* hub.c */
    CLOSE_EXPIRED, /* hub.c, set_end(): its token */
    CLOSE_WITHDRAWN, /* hub.c, hub_judge(): its token's key was removed, or its channel is no longer open to anyone */
    CLOSE_ENDED, /* hub.c: all of its channels have ended */
    CLOSE_ANSWERED, /* poll.c: a request that polls has its answer */
    CLOSE_GAP, /* hub.c: events are gone, and it was asked for with gap=close */
    CLOSE_REFUSED, /* subscriber.c, as the feed says: Redis refuses one of its channels, or the bus has no room for them */
    CLOSE_REASONS,
};

/* The words for them in /metrics, in the log and at /status; and whether the gateway forced it, which the log tells at info. */
#define CLOSE_WORDS(X)                             \
    X(CLOSE_CLIENT, "client closed", false)        \
    X(CLOSE_CLIENT_DATA, "client sent data", true) \
    X(CLOSE_WRITE_ERROR, "write error", false)     \
    X(CLOSE_QUEUE_FULL, "queue full", true)        \
    X(CLOSE_MEMORY, "memory limit", true)          \
    X(CLOSE_WRITE_TIMEOUT, "write timeout", true)  \
    X(CLOSE_VANISHED, "peer vanished", true)       \
    X(CLOSE_ROTATE, "rotated", false)              \
    X(CLOSE_DRAIN, "drain", false)                 \
    X(CLOSE_EXPIRED, "token expired", false)       \
    X(CLOSE_WITHDRAWN, "access withdrawn", true)   \
    X(CLOSE_ENDED, "ended", false)                 \
    X(CLOSE_ANSWERED, "answered", false)           \
    X(CLOSE_GAP, "gap", false)                     \
    X(CLOSE_REFUSED, "refused", true)

/* Why events are gone: one value, one counter. */
enum gap_cause {
    GAP_UNKNOWN_ID, /* the client's id stands for no position here */
    GAP_TRIMMED, /* the history begins later than the client's position, or this gateway saw it lose events behind it */
    GAP_VANISHED, /* … has nothing any more that says what is missing: it expired, was deleted or evicted, or Redis lost it */
    GAP_WHILE_OPEN, /* an open stream missed them, and the history does not have them */
    GAP_CAUSES,
};

/* How a POST came out that was passed on to the publisher: one value, one counter. */
enum forward_outcome {
    FORWARD_DONE, /* the publisher took it */
    FORWARD_REFUSED, /* it rejected the request itself (4xx) */
    FORWARD_UNAVAILABLE, /* it was unable to take it (5xx) */
    FORWARD_UNREACHED, /* there was no connection to it */
    FORWARD_BROKEN, /* … and it gave no whole answer: the event may be published or not */
    FORWARD_BUSY, /* too many were under way */
    FORWARD_OUTCOMES,
};

/* What a request was for. */
enum request_kind {
    REQUEST_STREAM,
    REQUEST_PUBLISH,
    REQUEST_PAGE,
    REQUEST_OTHER, /* OPTIONS, no such path, wrong method */
    REQUEST_KINDS,
};

enum counter {
    COUNT_STREAMS,
    COUNT_STREAMS_OPENED,
    COUNT_CLOSES, /* + enum close_reason */
    COUNT_CONNECTIONS = COUNT_CLOSES + CLOSE_REASONS,
    COUNT_PLAIN_CONNECTIONS,
    COUNT_CHANNELS,
    COUNT_EVENTS_IN,
    COUNT_EVENTS_OUT,
    COUNT_BYTES_IN,
    COUNT_BYTES_OUT,
    COUNT_QUEUED_BYTES,
    COUNT_STREAMS_WAITING,
    COUNT_RING_BYTES,
    COUNT_RING_LIMIT,
    COUNT_RING_CUT,
    COUNT_KEEPALIVES,
    COUNT_BUS_UP,
    COUNT_BUS_MALFORMED,
    COUNT_BUS_LOST,
    COUNT_HISTORY_READS,
    COUNT_HOLES,
    COUNT_GAPS, /* + enum gap_cause */
    COUNT_RESUMES_MEMORY = COUNT_GAPS + GAP_CAUSES,
    COUNT_RESUMES_READ,
    COUNT_RESUMES_UNKNOWN,
    COUNT_BUS_ROUND_TRIP, /* a histogram */
    COUNT_BUS_ROUND_TRIP_LAST = COUNT_BUS_ROUND_TRIP + METRIC_HISTOGRAM_ROWS - 1,
    COUNT_CANARY_AGE,
    COUNT_FAN_OUT, /* a histogram */
    COUNT_DRAINING = COUNT_FAN_OUT + METRIC_HISTOGRAM_ROWS,
    COUNT_MAX_CONNECTIONS,
    COUNT_MEMORY_LIMIT,
    COUNT_BUILD,
    COUNT_H2_ABUSE, /* + enum h2_abuse */
    COUNT_REFUSED = COUNT_H2_ABUSE + H2_ABUSES, /* + enum access_refusal */
    COUNT_LIMITED = COUNT_REFUSED + ACCESS_REFUSALS, /* + enum limit - 1 */
    COUNT_BAD_PROXY = COUNT_LIMITED + LIMIT_KINDS,
    COUNT_BODIES, /* + enum bodies_row */
    COUNT_REQUESTS = COUNT_BODIES + BODIES_ROWS_COUNT, /* + enum request_kind × HTTP_CLASSES */
    COUNT_RELOADS = COUNT_REQUESTS + REQUEST_KINDS * HTTP_CLASSES,
    COUNT_CERTIFICATE = COUNT_RELOADS + RELOAD_COUNTERS,
    COUNT_PUBLISHER_CERTIFICATE,
    COUNT_REDIS_CERTIFICATE,
    COUNT_FORWARDED, /* + enum forward_outcome */
    COUNTERS = COUNT_FORWARDED + FORWARD_OUTCOMES,
};

/* The words for them in /metrics. */
struct slice counters_close_reason(enum close_reason reason);
struct slice counters_gap_cause(enum gap_cause cause);

/* Hands the table to runtime/metrics. */
void counters_init(void);

/* What this gateway announces of itself to all nodes: see service_program. */
extern const struct announce_options counters_announced;
