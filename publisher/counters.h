/* The publisher's metrics: rows of runtime/metrics.h, all counted on the one thread. */
#pragma once

#include "proto/bus/publish.h"
#include "publisher/tick.h"
#include "runtime/auth/access.h"
#include "runtime/h2o/h2_abuse.h"
#include "runtime/http.h"
#include "runtime/metrics.h"
#include "runtime/h2o/bodies.h"
#include "runtime/reloads.h"

enum counter {
    COUNTER_PUBLISH, /* + enum publish_outcome */
    COUNTER_STATUS = COUNTER_PUBLISH + PUBLISH_FAILED + 1, /* http_count() */
    COUNTER_TICKS = COUNTER_STATUS + HTTP_CLASSES, /* + enum tick_kind */
    COUNTER_BUS_UP = COUNTER_TICKS + TICK_KINDS,
    COUNTER_DRAINING,
    COUNTER_CONNECTIONS,
    COUNTER_CONNECTIONS_LIMIT,
    COUNTER_DURATION, /* a histogram */
    COUNTER_BUILD = COUNTER_DURATION + METRIC_HISTOGRAM_ROWS,
    COUNTER_H2_ABUSE, /* + enum h2_abuse */
    COUNTER_REFUSED = COUNTER_H2_ABUSE + H2_ABUSES, /* + enum access_refusal */
    COUNTER_LIMITED = COUNTER_REFUSED + ACCESS_REFUSALS,
    COUNTER_BAD_PROXY,
    COUNTER_BODIES, /* + enum bodies_row */
    COUNTER_RELOADS = COUNTER_BODIES + BODIES_ROWS_COUNT,
    COUNTER_CERTIFICATE = COUNTER_RELOADS + RELOAD_COUNTERS,
    COUNTER_REDIS_CERTIFICATE,
    COUNTERS,
};

/* Announces the table and gives the calling thread its cells. */
void counters_init(void);

/* What this publisher announces of itself to all nodes: see service_program. */
extern const struct announce_options counters_announced;
