/* As config_gateway.c. */
#define options_load publisher_options_load
#define options_read publisher_options_read
#include "publisher/options.c" /* NOLINT(bugprone-suspicious-include) */

#include "tests/fuzz/config_tables.h"

const struct config_table *publisher_table(size_t *struct_size)
{
    static const struct config_table config = {
        .program = "sse-publisher", .summary = "", .options = rows, .count = sizeof(rows) / sizeof(rows[0])};
    *struct_size = sizeof(struct options);
    return &config;
}
