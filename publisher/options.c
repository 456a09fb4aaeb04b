#include "publisher/options.h"

#include <stddef.h>

#include "proto/event.h"

static const char *check_level(const char *text)
{
    enum log_level level;
    return log_level_parse(&level, text) ? NULL : "must be debug, info, warn or error";
}

static const char *check_redis(const char *text)
{
    struct redis_url url;
    return redis_url_parse(&url, text);
}

static const char *check_tickers(const char *text)
{
    struct tick_plan plan;
    return tick_plan_parse(&plan, text);
}

#define AT(field) .at = offsetof(struct options, field)
#define INT(field, low, high) .kind = CONFIG_INT, .min = low, .max = high, AT(field)

static const struct config_option rows[] = {
    {.name = "PORT", .fallback = "4044", INT(port, 0, 65535), .doc = "port of the public listener, 0 for a free one"},
    {.name = "HOST", .fallback = "", .kind = CONFIG_TEXT, AT(host), .doc = "its address, empty for every one"},
    {.name = "ADMIN_PORT",
     .fallback = "9044",
     INT(admin_port, 0, 65535),
     .doc = "port of /healthz, /readyz and /metrics, 0 for a free one"},
    {.name = "ADMIN_HOST", .fallback = "127.0.0.1", .kind = CONFIG_TEXT, AT(admin_host), .doc = "its address, empty for every one"},
    {.name = "REDIS_URL",
     .fallback = "redis://127.0.0.1:6379",
     .kind = CONFIG_URL,
     AT(redis_url),
     .check = check_redis,
     .doc = "Redis 7 or Valkey: redis://[[user]:password@]host[:port][/db] or unix://[[user]:password@]/path[?db=N]"},
    {.name = "REDIS_TIMEOUT_MS",
     .fallback = "5000",
     INT(redis_timeout_ms, 100, 600000),
     .doc = "ms until a Redis that does not answer counts as lost"},
    {.name = "BODY_LIMIT", .fallback = "1048576", INT(body_limit, 1, 67108864), .doc = "bytes a request's body may have"},
    {.name = "HISTORY_LEN", .fallback = "1000", INT(history_len, 1, 1000000), .doc = "events kept of each channel, approximately"},
    {.name = "HISTORY_TTL",
     .fallback = "86400",
     INT(history_ttl_s, 1, 31536000),
     .doc = "seconds a channel is kept after its last event"},
    {.name = "RETRY_MS",
     .fallback = "6000",
     INT(retry_ms, 0, EVENT_RETRY_MAX),
     .doc = "ms clients wait before they reconnect: the retry line of published events"},
    {.name = "TICKERS",
     .fallback = "letters:5000,counter:2000,usd_eur:1000",
     .kind = CONFIG_TEXT,
     AT(tickers),
     .check = check_tickers,
     .doc = "tickers to run, each NAME:MS, or off"},
    {.name = "MAX_CONNECTIONS",
     .fallback = "10000",
     INT(max_connections, 1, 1000000),
     .doc = "open connections of the public listener"},
    {.name = "LOG_LEVEL",
     .fallback = "info",
     .kind = CONFIG_TEXT,
     AT(log_level),
     .check = check_level,
     .doc = "debug, info, warn or error"},
};

const struct config_table options_table = {
    .program = "sse-publisher",
    .summary = "takes events over HTTP and from tickers, and publishes them through Redis to every SSE gateway",
    .options = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};

void options_load(struct options *options, int argc, char **argv)
{
    config_main(&options_table, options, argc, argv);
    const char *why = redis_url_parse(&options->redis, options->redis_url);
    if (why == NULL)
        why = tick_plan_parse(&options->plan, options->tickers);
    if (why != NULL)
        die("%s", why);
    enum log_level level = LOG_INFO;
    log_level_parse(&level, options->log_level);
    log_set_level(level);
}
