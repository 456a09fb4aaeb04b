#include "gateway/announcement.h"

#include "gateway/counters.h"

static const struct announce_row rows[] = {
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

/* By the reasons that /metrics has. */
static const struct announce_row closes[CLOSE_REASONS] = {
    [CLOSE_CLIENT] = {"client closed", COUNT_CLOSES + CLOSE_CLIENT, 1},
    [CLOSE_CLIENT_DATA] = {"client sent data", COUNT_CLOSES + CLOSE_CLIENT_DATA, 1},
    [CLOSE_WRITE_ERROR] = {"write error", COUNT_CLOSES + CLOSE_WRITE_ERROR, 1},
    [CLOSE_QUEUE_FULL] = {"queue full", COUNT_CLOSES + CLOSE_QUEUE_FULL, 1},
    [CLOSE_MEMORY] = {"memory limit", COUNT_CLOSES + CLOSE_MEMORY, 1},
    [CLOSE_WRITE_TIMEOUT] = {"write timeout", COUNT_CLOSES + CLOSE_WRITE_TIMEOUT, 1},
    [CLOSE_VANISHED] = {"peer vanished", COUNT_CLOSES + CLOSE_VANISHED, 1},
    [CLOSE_ROTATE] = {"rotated", COUNT_CLOSES + CLOSE_ROTATE, 1},
    [CLOSE_DRAIN] = {"drain", COUNT_CLOSES + CLOSE_DRAIN, 1},
    [CLOSE_WITHDRAWN] = {"access withdrawn", COUNT_CLOSES + CLOSE_WITHDRAWN, 1},
    [CLOSE_EXPIRED] = {"token expired", COUNT_CLOSES + CLOSE_EXPIRED, 1},
    [CLOSE_REFUSED] = {"refused", COUNT_CLOSES + CLOSE_REFUSED, 1},
};

/* Its own page hears it even while the bus is away, and once more over the bus; the page tells twins by their number. */
static void on_announce(void *data, struct slice json)
{
    struct gateway *gateway = data;
    status_own(gateway->status, json);
    feed_announce(gateway->feed, json);
}

static void on_watched(void *data, bool watched)
{
    struct gateway *gateway = data;
    feed_hear_nodes(gateway->feed, watched);
}

void announcement_register(struct gateway *gateway)
{
    if (gateway->options.status_ms != 0)
        gateway->status = status_register(gateway->admin_hosts[0], on_watched, gateway);
}

void announcement_start(struct gateway *gateway)
{
    announce_start(&gateway->announce, &(struct announce_options){.loop = gateway->ctx.loop,
                                                                  .node = gateway->node,
                                                                  .role = "gateway",
                                                                  .interval_ms = (uint64_t)gateway->options.status_ms,
                                                                  .rows = rows,
                                                                  .row_count = sizeof(rows) / sizeof(rows[0]),
                                                                  .group = "closes",
                                                                  .grouped = closes,
                                                                  .grouped_count = CLOSE_REASONS,
                                                                  .checks = gateway->checks,
                                                                  .check_count = gateway->check_count,
                                                                  .send = on_announce,
                                                                  .data = gateway});
}
