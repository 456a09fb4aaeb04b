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

#define CLOSES(reason, text) [reason] = {text, COUNT_CLOSES + reason, 1},
static const struct announce_row closes[CLOSE_REASONS] = {CLOSE_WORDS(CLOSES)};

void announcement_start(struct announce *announce, struct announce_options options)
{
    options.role = "gateway";
    options.rows = rows;
    options.row_count = sizeof(rows) / sizeof(rows[0]);
    options.group = "closes";
    options.grouped = closes;
    options.grouped_count = CLOSE_REASONS;
    announce_start(announce, &options);
}
