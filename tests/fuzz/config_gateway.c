/* The table is static in its file, and the two programs' functions have the same names. */
#define options_load gateway_options_load
#define options_check gateway_options_check
#include "gateway/options.c" /* NOLINT(bugprone-suspicious-include): see above */

#include "tests/fuzz/config_tables.h"

const struct config_table *gateway_table(size_t *struct_size)
{
    static const struct config_table config = {
        .program = "sse-gateway", .summary = "", .options = table, .count = sizeof(table) / sizeof(table[0])};
    *struct_size = sizeof(struct options);
    return &config;
}
