#include "publisher/announcement.h"

#include "publisher/counters.h"
#include "proto/channel.h"
#include "runtime/node_name.h"

static const struct announce_row rows[] = {
    {"connections", COUNTER_CONNECTIONS, 1},
    {"published", COUNTER_PUBLISH + PUBLISH_DONE, 1},
    {"bus_up", COUNTER_BUS_UP, 1},
};

static const struct announce_row outcomes[] = {
    {"duplicate", COUNTER_PUBLISH + PUBLISH_DUPLICATE, 1},   {"unchanged", COUNTER_PUBLISH + PUBLISH_UNCHANGED, 1},
    {"bus down", COUNTER_PUBLISH + PUBLISH_BUS_DOWN, 1},     {"refused", COUNTER_PUBLISH + PUBLISH_REFUSED, 1},
    {"unwritable", COUNTER_PUBLISH + PUBLISH_UNWRITABLE, 1}, {"conflict", COUNTER_PUBLISH + PUBLISH_CONFLICT, 1},
    {"failed", COUNTER_PUBLISH + PUBLISH_FAILED, 1},
};

static void on_announce(void *data, struct slice json)
{
    struct publisher *publisher = data;
    publish_tell(publisher->bus, ANNOUNCE_CHANNEL, json);
}

void announcement_start(struct publisher *publisher)
{
    const struct options *options = &publisher->options;
    announce_start(&publisher->announce,
                   &(struct announce_options){.loop = publisher->ctx.loop,
                                              .node = node_name(options->node_name),
                                              .role = "publisher",
                                              .interval_ms = (uint64_t)options->status_ms,
                                              .rows = rows,
                                              .row_count = sizeof(rows) / sizeof(rows[0]),
                                              .group = "not_published",
                                              .grouped = outcomes,
                                              .grouped_count = sizeof(outcomes) / sizeof(outcomes[0]),
                                              .checks = publisher->checks,
                                              .check_count = sizeof(publisher->checks) / sizeof(publisher->checks[0]),
                                              .send = on_announce,
                                              .data = publisher});
}
