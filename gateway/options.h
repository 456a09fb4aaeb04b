/* The gateway's settings. */
#pragma once

#include "runtime/service.h"

struct options {
    struct service service;
    int64_t http_port; /* -1: none */
    const char *subscribe_weights; /* "": the primaries */
    const char *publisher_url, *publisher_ca, *publisher_cert, *publisher_key;
    int64_t threads; /* 0: one for each core */
    int64_t keepalive_ms, retry_ms;
    bool force_ssl, http2_cleartext;
    int64_t max_connections, max_channels;
    int64_t queue_bytes, memory_limit, coalesce_ms;
    int64_t write_timeout_s, drain_s, max_stream_s;
    bool log_streams; /* at info */
    int64_t ring_len, ring_bytes, ring_memory;
};

/* Reads them from the command line and the environment; ends the process on a bad one (see config_main() and config_table.prepare). */
void options_load(struct options *options, int argc, char **argv, const char *(*prepare)(void *options));

/* Whether the ports go together, and the settings of PUBLISHER_URL. NULL, or a sentence in a static buffer. */
const char *options_check(const struct options *options) __attribute__((warn_unused_result));
