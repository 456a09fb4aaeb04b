/* As config_gateway.c. */
#define options_load publisher_options_load
#define options_table publisher_options_table
#include "publisher/options.c" /* NOLINT(bugprone-suspicious-include) */

#include "tests/fuzz/config_tables.h"

const struct config_table *publisher_table(size_t *struct_size)
{
    *struct_size = sizeof(struct options);
    return &publisher_options_table;
}
