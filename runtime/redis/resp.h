/* Redis's request format, RESP2: an array of bulk strings. https://redis.io/docs/latest/develop/reference/protocol-spec/ */
#pragma once

#include "runtime/h2o.h"

/* Appends a command to the buffer; argv is copied. */
void resp_write(h2o_buffer_t **out, const struct slice *argv, size_t argc);
