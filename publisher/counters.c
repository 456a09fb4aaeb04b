#include "publisher/counters.h"

#include "runtime/announce.h"

#define PUBLISH(at, outcome)                                                                  \
    [COUNTER_PUBLISH + at] = {"sse_publish_total", "outcome=\"" outcome "\"", METRIC_COUNTER, \
                              "Events that the bus answered for, by outcome; each of a batch counts"}
#define STATUS(hundreds)                                                                                        \
    [COUNTER_STATUS + hundreds - 2] = {"sse_http_requests_total", "status=\"" #hundreds "xx\"", METRIC_COUNTER, \
                                       "Requests answered on the public listener, by class of status"}
#define TICKS(kind, name) \
    [COUNTER_TICKS + kind] = {"sse_ticks_total", "ticker=\"" name "\"", METRIC_COUNTER, "Ticks this replica asked the bus for"}

static const struct metric table[COUNTERS] = {
    PUBLISH(PUBLISH_DONE, "done"),
    PUBLISH(PUBLISH_DUPLICATE, "duplicate"),
    PUBLISH(PUBLISH_UNCHANGED, "unchanged"),
    PUBLISH(PUBLISH_BUS_DOWN, "bus_down"),
    PUBLISH(PUBLISH_UNWRITABLE, "unwritable"),
    PUBLISH(PUBLISH_REFUSED, "refused"),
    PUBLISH(PUBLISH_CONFLICT, "conflict"),
    PUBLISH(PUBLISH_ENDED, "ended"),
    PUBLISH(PUBLISH_FAILED, "failed"),
    STATUS(2),
    STATUS(3),
    STATUS(4),
    STATUS(5),
    TICKS(TICK_LETTERS, "letters"),
    TICKS(TICK_COUNTER, "counter"),
    TICKS(TICK_USD_EUR, "usd_eur"),
    [COUNTER_BUS_UP] = {"sse_bus_up", NULL, METRIC_GAUGE, "1 while Redis takes publishes"},
    [COUNTER_DRAINING] = {"sse_draining", NULL, METRIC_GAUGE, "1 while the process finishes its requests to stop"},
    [COUNTER_CONNECTIONS] = {"sse_connections", NULL, METRIC_GAUGE, "open connections on the public port"},
    [COUNTER_CONNECTIONS_LIMIT] = {"sse_connections_limit", NULL, METRIC_GAUGE, "open connections there may be on the public port"},
    [COUNTER_DURATION] = {"sse_publish_duration_seconds", NULL, METRIC_HISTOGRAM,
                          "from a complete request to Redis's answer, which the HTTP answer waits for"},
    [COUNTER_BUILD] = {"sse_build_info", "program=\"sse-publisher\",version=\"" SSE_VERSION "\"", METRIC_INFO,
                       "which program and version this is"},
    H2_ABUSE_ROWS(COUNTER_H2_ABUSE),
    ACCESS_REFUSAL_ROWS(COUNTER_REFUSED),
    [COUNTER_LIMITED] = {"sse_limited_total", "reason=\"publish rate\"", METRIC_COUNTER,
                         "requests refused with 429 for a limit, by reason"},
    [COUNTER_BAD_PROXY] = {"sse_bad_proxy_headers_total", NULL, METRIC_COUNTER,
                           "connections of trusted proxies closed because their PROXY header was wrong or did not come"},
    BODIES_ROWS(COUNTER_BODIES),
    RELOAD_ROWS(COUNTER_RELOADS),
    CERTIFICATE_ROW(COUNTER_CERTIFICATE, "TLS_CERT"),
    CERTIFICATE_ROW(COUNTER_REDIS_CERTIFICATE, "REDIS_CERT"),
};

static const struct announce_row announced[] = {
    {"connections", COUNTER_CONNECTIONS, 1},
    {"published", COUNTER_PUBLISH + PUBLISH_DONE, 1},
    {"bus_up", COUNTER_BUS_UP, 1},
};

static const struct announce_row outcomes[] = {
    {"duplicate", COUNTER_PUBLISH + PUBLISH_DUPLICATE, 1},   {"unchanged", COUNTER_PUBLISH + PUBLISH_UNCHANGED, 1},
    {"bus down", COUNTER_PUBLISH + PUBLISH_BUS_DOWN, 1},     {"refused", COUNTER_PUBLISH + PUBLISH_REFUSED, 1},
    {"unwritable", COUNTER_PUBLISH + PUBLISH_UNWRITABLE, 1}, {"conflict", COUNTER_PUBLISH + PUBLISH_CONFLICT, 1},
    {"ended", COUNTER_PUBLISH + PUBLISH_ENDED, 1},           {"failed", COUNTER_PUBLISH + PUBLISH_FAILED, 1},
};

const struct announce_options counters_announced = {
    .role = "publisher",
    .rows = announced,
    .row_count = sizeof(announced) / sizeof(announced[0]),
    .group = "not_published",
    .grouped = outcomes,
    .grouped_count = sizeof(outcomes) / sizeof(outcomes[0]),
};

void counters_init(void)
{
    metrics_init(table, COUNTERS);
    metrics_thread();
}
