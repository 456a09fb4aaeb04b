#include "publisher/announcement.h"

#include "publisher/counters.h"

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

void announcement_start(struct announce *announce, struct announce_options options)
{
    options.role = "publisher";
    options.rows = rows;
    options.row_count = sizeof(rows) / sizeof(rows[0]);
    options.group = "not_published";
    options.grouped = outcomes;
    options.grouped_count = sizeof(outcomes) / sizeof(outcomes[0]);
    announce_start(announce, &options);
}
