/* The option tables of both programs side by side, which no program has. */
#pragma once

#include "runtime/config.h"

const struct config_table *gateway_table(size_t *struct_size);
const struct config_table *publisher_table(size_t *struct_size);
