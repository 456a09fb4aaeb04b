/* The publisher's settings. */
#pragma once

#include <stdbool.h>

#include "publisher/tick.h"
#include "runtime/auth/access.h"
#include "runtime/limits.h"
#include "runtime/log.h"
#include "runtime/net/proxies.h"
#include "runtime/redis/redis_tls.h"

struct options {
    int64_t port;
    const char *host;
    int64_t admin_port;
    const char *admin_host, *admin_hosts;
    const char *tls_cert, *tls_key, *tls_client_ca, *tls_ticket_keys;
    bool seccomp, core_dumps;
    const char *redis_url, *redis_sentinel_password, *redis_prefix;
    struct redis_tls redis_tls;
    int64_t redis_timeout_ms, replicas;
    int64_t body_limit; /* bytes */
    int64_t bodies_limit;
    int64_t history_len;
    int64_t history_bytes;
    int64_t history_ttl_s;
    int64_t retry_ms;
    const char *tickers;
    int64_t max_connections;
    struct access_options access;
    const char *cors_origins;
    const char *node_name;
    int64_t status_ms; /* 0: off */
    const char *trusted_proxies;
    bool proxy_protocol;
    struct limits_options limits; /* of which only publish_rate can be set */
    const char *log_level, *log_format;
    const char *demo_setting;
    bool demo; /* … what it comes to */
    /* read from the texts above */
    struct redis_url redis;
    struct tick_plan plan;
    const struct proxies *proxies;
};

/* config_main() over the table. */
void options_load(struct options *options, int argc, char **argv, const char *(*prepare)(void *options));

/* Bytes that an event's data may take on the stream: BODY_LIMIT, and a quarter for what its line breaks and escapes add. */
int64_t options_data_max(const struct options *options);

/* Checks the settings that must go together and reads what the texts stand for. Sets the log's level. NULL, or a sentence in a static buffer. */
const char *options_read(struct options *options) __attribute__((warn_unused_result));
