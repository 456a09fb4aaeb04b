/* The gateway's settings. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/redis/redis_tls.h"

#include "runtime/auth/access.h"
#include "runtime/limits.h"

struct options {
    int64_t port, http_port, admin_port;
    const char *host, *admin_host, *admin_hosts;
    const char *tls_cert, *tls_key, *tls_ticket_keys;
    const char *redis_url, *redis_sentinel_password, *redis_prefix, *publisher_url;
    struct redis_tls redis_tls;
    const char *publisher_ca, *publisher_cert, *publisher_key;
    bool seccomp, core_dumps;
    int64_t threads; /* 0: one for each core */
    int64_t keepalive_ms, retry_ms;
    const char *cors_origins;
    bool force_ssl, http2_cleartext;
    const char *trusted_proxies;
    bool proxy_protocol;
    struct limits_options limits;
    int64_t bodies_limit, body_limit, max_connections, max_channels;
    int64_t queue_bytes, memory_limit, coalesce_ms;
    int64_t write_timeout_s, drain_s, max_stream_s;
    int64_t ring_len, ring_bytes, ring_memory;
    int64_t redis_timeout_ms;
    const char *node_name;
    int64_t status_ms; /* 0: off */
    const char *subscribe_weights; /* "": the primaries */
    struct access_options access;
    const char *log_level, *log_format;
    const char *demo_setting;
    bool demo; /* … what it comes to; options_check() sets it */
};

/* Reads them from the command line and the environment; ends the process on a bad one (see config_main() and config_table.prepare). */
void options_load(struct options *options, int argc, char **argv, const char *(*prepare)(void *options));

/* Settings that must go together, and what one means for another. NULL, or a sentence in a static buffer. */
const char *options_check(struct options *options) __attribute__((warn_unused_result));
