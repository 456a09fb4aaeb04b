/* The publisher's settings. */
#pragma once

#include "publisher/tick.h"
#include "runtime/service.h"

struct options {
    struct service service;
    int64_t replicas; /* that must have an event */
    int64_t history_len, history_bytes, history_ttl_s;
    int64_t history_len_max, history_ttl_max_s; /* what a POST may ask for; 0: as the two above */
    const char *retry; /* ms, or none */
    int32_t retry_ms; /* of it; EVENT_RETRY_NONE */
    const char *tickers;
    int64_t max_connections;
    struct tick_plan plan; /* of tickers */
};

/* config_main() over the table. */
void options_load(struct options *options, int argc, char **argv, const char *(*prepare)(void *options));

/* Bytes that an event's data may take on the stream: BODY_LIMIT, and a quarter for what its line breaks and escapes add. */
int64_t options_data_max(const struct options *options);

/* In prepare(): service_prepare(), and what the publisher's own texts stand for. NULL, or a sentence in a static buffer. */
const char *options_read(struct options *options, const struct service_program *program) __attribute__((warn_unused_result));
