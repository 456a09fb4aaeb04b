#include "gateway/counters.h"

#include "runtime/announce.h"

#define CLOSES(reason, text, forced) \
    [COUNT_CLOSES + reason] = {"sse_stream_closes_total", "reason=\"" text "\"", METRIC_COUNTER, "streams closed, by reason"},

#define REQUEST(kind, name, hundreds)                                                                   \
    [COUNT_REQUESTS + kind * HTTP_CLASSES + hundreds -                                                  \
        2] = {"sse_http_requests_total", "for=\"" name "\",status=\"" #hundreds "xx\"", METRIC_COUNTER, \
              "requests answered on the public ports, by what they were for and class of status"}
#define REQUESTS(kind, name) REQUEST(kind, name, 2), REQUEST(kind, name, 3), REQUEST(kind, name, 4), REQUEST(kind, name, 5)
#define FORWARDED(outcome, name) \
    [COUNT_FORWARDED +           \
        outcome] = {"sse_forwarded_posts_total", "outcome=\"" name "\"", METRIC_COUNTER, "POSTs for the publisher, by outcome"}

#define GAPS(cause, text) \
    [COUNT_GAPS +         \
        cause] = {"sse_gaps_total", "cause=\"" text "\"", METRIC_COUNTER, "gap events sent to a channel or a resuming stream"}

static const struct metric table[COUNTERS] = {
    [COUNT_STREAMS] = {"sse_streams", NULL, METRIC_GAUGE, "open streams"},
    [COUNT_STREAMS_OPENED] = {"sse_streams_opened_total", NULL, METRIC_COUNTER, "streams opened"},
    CLOSE_WORDS(CLOSES)[COUNT_CONNECTIONS] = {"sse_connections", NULL, METRIC_GAUGE, "open connections on the public ports"},
    [COUNT_PLAIN_CONNECTIONS] = {"sse_plain_connections", NULL, METRIC_GAUGE,
                                 "… of them on HTTP_PORT, which has half of the limit"},
    [COUNT_CHANNELS] = {"sse_channels", NULL, METRIC_GAUGE, "channels with a listener here"},
    [COUNT_EVENTS_IN] = {"sse_events_received_total", NULL, METRIC_COUNTER, "events from the bus"},
    [COUNT_EVENTS_OUT] = {"sse_deliveries_total", NULL, METRIC_COUNTER, "events handed to streams, once for each stream"},
    [COUNT_BYTES_IN] = {"sse_received_bytes_total", NULL, METRIC_COUNTER, "bytes of events from the bus"},
    [COUNT_BYTES_OUT] = {"sse_sent_bytes_total", NULL, METRIC_COUNTER, "bytes of events handed to the kernel or the HTTP/2 layer"},
    [COUNT_QUEUED_BYTES] = {"sse_queued_bytes", NULL, METRIC_GAUGE,
                            "memory of what waits in the queues of slow streams, each event counted once"},
    [COUNT_STREAMS_WAITING] = {"sse_streams_waiting", NULL, METRIC_GAUGE, "open streams that wait for their client to read"},
    [COUNT_RING_BYTES] = {"sse_ring_bytes", NULL, METRIC_GAUGE, "bytes of the events kept in memory to answer reconnects"},
    [COUNT_RING_LIMIT] = {"sse_ring_limit_bytes", NULL, METRIC_GAUGE, "bytes that they may take (RING_MEMORY)"},
    [COUNT_RING_CUT] = {"sse_ring_cut_total", NULL, METRIC_COUNTER,
                        "events let go from memory because those of all channels reached RING_MEMORY"},
    [COUNT_KEEPALIVES] = {"sse_keepalives_total", NULL, METRIC_COUNTER, "comments sent to idle streams"},
    [COUNT_BUS_UP] = {"sse_bus_up", NULL, METRIC_GAUGE, "1 while all connections to Redis are ready"},
    [COUNT_BUS_MALFORMED] = {"sse_bus_malformed_total", NULL, METRIC_COUNTER,
                             "bus messages that look like ours and are not, dropped"},
    [COUNT_BUS_LOST] = {"sse_bus_lost_total", NULL, METRIC_COUNTER, "times a subscriber connection was lost"},
    [COUNT_HISTORY_READS] = {"sse_history_reads_total", NULL, METRIC_COUNTER, "reads of a channel's stream in Redis"},
    [COUNT_HOLES] = {"sse_holes_filled_total", NULL, METRIC_COUNTER, "holes in a channel that were read from its stream"},
    GAPS(GAP_UNKNOWN_ID, "unknown id"),
    GAPS(GAP_TRIMMED, "history trimmed"),
    GAPS(GAP_VANISHED, "history vanished"),
    GAPS(GAP_WHILE_OPEN, "while open"),
    [COUNT_RESUMES_MEMORY] = {"sse_resumes_total", "source=\"memory\"", METRIC_COUNTER, "streams resumed from a last event id"},
    [COUNT_RESUMES_READ] = {"sse_resumes_total", "source=\"redis\"", METRIC_COUNTER, "streams resumed from a last event id"},
    [COUNT_RESUMES_UNKNOWN] = {"sse_resumes_total", "source=\"unknown\"", METRIC_COUNTER, "streams resumed from a last event id"},
    [COUNT_BUS_ROUND_TRIP] = {"sse_bus_round_trip_seconds", NULL, METRIC_HISTOGRAM, "from publishing a canary to receiving it"},
    [COUNT_CANARY_AGE] = {"sse_bus_canary_age_seconds", NULL, METRIC_GAUGE_SECONDS,
                          "since the newest canary that came back was sent"},
    [COUNT_FAN_OUT] = {"sse_fan_out_seconds", NULL, METRIC_HISTOGRAM,
                       "from an event's coming from the bus to its being handed to the last stream of a worker"},
    [COUNT_DRAINING] = {"sse_draining", NULL, METRIC_GAUGE, "1 while the process ends its streams to stop"},
    [COUNT_MAX_CONNECTIONS] = {"sse_connections_limit", NULL, METRIC_GAUGE, "open connections there may be on the public ports"},
    [COUNT_MEMORY_LIMIT] = {"sse_queued_limit_bytes", NULL, METRIC_GAUGE, "bytes that all queues may hold (MEMORY_LIMIT)"},
    [COUNT_BUILD] = {"sse_build_info", "program=\"sse-gateway\",version=\"" SSE_VERSION "\"", METRIC_INFO,
                     "which program and version this is"},
    H2_ABUSE_ROWS(COUNT_H2_ABUSE),
    ACCESS_REFUSAL_ROWS(COUNT_REFUSED),
    LIMIT_ROWS(COUNT_LIMITED),
    [COUNT_BAD_PROXY] = {"sse_bad_proxy_headers_total", NULL, METRIC_COUNTER,
                         "connections of trusted proxies closed because their PROXY header was wrong or did not come"},
    BODIES_ROWS(COUNT_BODIES),
    REQUESTS(REQUEST_STREAM, "stream"),
    REQUESTS(REQUEST_PUBLISH, "publish"),
    REQUESTS(REQUEST_PAGE, "page"),
    REQUESTS(REQUEST_OTHER, "other"),
    RELOAD_ROWS(COUNT_RELOADS),
    CERTIFICATE_ROW(COUNT_CERTIFICATE, "TLS_CERT"),
    CERTIFICATE_ROW(COUNT_PUBLISHER_CERTIFICATE, "PUBLISHER_CERT"),
    CERTIFICATE_ROW(COUNT_REDIS_CERTIFICATE, "REDIS_CERT"),
    FORWARDED(FORWARD_DONE, "done"),
    FORWARDED(FORWARD_REFUSED, "refused"),
    FORWARDED(FORWARD_UNAVAILABLE, "unavailable"),
    FORWARDED(FORWARD_UNREACHED, "not reached"),
    FORWARDED(FORWARD_BROKEN, "no whole answer"),
    FORWARDED(FORWARD_BUSY, "too many"),
};

/* The value of the row's one label. */
static struct slice label(size_t row)
{
    struct slice value = slice_of(table[row].labels);
    slice_split(&value, '"');
    return slice_split(&value, '"');
}

struct slice counters_close_reason(enum close_reason reason)
{
    return label((size_t)COUNT_CLOSES + reason);
}

struct slice counters_gap_cause(enum gap_cause cause)
{
    return label((size_t)COUNT_GAPS + cause);
}

static const struct announce_row announced[] = {
    {"streams", COUNT_STREAMS, 1},
    {"opened", COUNT_STREAMS_OPENED, 1},
    {"connections", COUNT_CONNECTIONS, 1},
    {"channels", COUNT_CHANNELS, 1},
    {"events_in", COUNT_EVENTS_IN, 1},
    {"events_out", COUNT_EVENTS_OUT, 1},
    {"bytes_out", COUNT_BYTES_OUT, 1},
    {"queued_bytes", COUNT_QUEUED_BYTES, 1},
    {"gaps", COUNT_GAPS, GAP_CAUSES},
    {"bus_up", COUNT_BUS_UP, 1},
    {"bus_lost", COUNT_BUS_LOST, 1},
    {"bus_round_trips", COUNT_BUS_ROUND_TRIP, METRIC_BOUNDS + 1},
    {"bus_round_trips_us", COUNT_BUS_ROUND_TRIP_LAST, 1},
    {"bus_age_us", COUNT_CANARY_AGE, 1},
};

#define ANNOUNCED(reason, text, forced) [reason] = {text, COUNT_CLOSES + reason, 1},
static const struct announce_row closes[CLOSE_REASONS] = {CLOSE_WORDS(ANNOUNCED)};

const struct announce_options counters_announced = {
    .role = "gateway",
    .rows = announced,
    .row_count = sizeof(announced) / sizeof(announced[0]),
    .group = "closes",
    .grouped = closes,
    .grouped_count = CLOSE_REASONS,
};

void counters_init(void)
{
    metrics_init(table, COUNTERS);
}
