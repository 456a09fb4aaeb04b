#include "publisher/options.h"

#include "proto/channel.h"
#include "proto/event.h"
#include "runtime/config_main.h"
#include "runtime/digits.h"

static const char *check_tickers(const char *text)
{
    struct tick_plan plan;
    return tick_plan_parse(&plan, text);
}

static const char *read_retry(int32_t *out, const char *text)
{
    uint64_t ms = 0;
    bool none = strcmp(text, "none") == 0;
    if (!none && !digits_decimal(&ms, slice_of(text), EVENT_RETRY_MAX))
        return "is not none, or a whole number from 0 to 3600000";
    *out = none ? EVENT_RETRY_NONE : (int32_t)ms;
    return NULL;
}

static const char *check_retry(const char *text)
{
    int32_t ms;
    return read_retry(&ms, text);
}

static const struct config_option rows[] = {
    SERVICE_PORT("4044"),
    SERVICE_ADMIN("9044", ""),
    SERVICE_TLS,
    TEXT("TLS_CLIENT_CA", service.tls_client_ca, "",
         "CA certificates (PEM); only clients with a certificate signed by one of these are accepted; empty: all clients"),
    SERVICE_TICKET_KEYS,
    SERVICE_REDIS,
    CHANNEL_PREFIX_SETTING,
    SERVICE_REDIS_TLS,
    SERVICE_REDIS_TIMEOUT,
    INT("PUBLISH_REPLICAS", replicas, "0", 0, 16, "Redis replicas that must have an event before it is acknowledged; else 503"),
    SERVICE_BODIES,
    INT("HISTORY_LEN", history_len, "1000", 1, 1000000, "events kept per channel, approximately"),
    INT("HISTORY_BYTES", history_bytes, "33554432", 1, 1099511627776,
        "bytes of events kept per channel at most; the oldest are removed first"),
    INT("HISTORY_TTL", history_ttl_s, "86400", 1, 31536000, "seconds a channel's history is kept after its last event"),
    INT("HISTORY_LEN_MAX", history_len_max, "0", 0, 1000000,
        "events that a POST may ask to be kept (SSE-History-Length); 0: as many as HISTORY_LEN"),
    INT("HISTORY_TTL_MAX", history_ttl_max_s, "0", 0, 31536000,
        "seconds that a POST may ask its channel's history to be kept (SSE-History-TTL); 0: as long as HISTORY_TTL"),
    SETTING(CONFIG_TEXT, "RETRY_MS", retry, "none", check_retry,
            "`retry:` of published events that ask for none themselves: milliseconds that clients wait before they reconnect, up "
            "to 3600000, or none"),
    SETTING(CONFIG_TEXT, "TICKERS", tickers, "letters:5000,counter:2000,usd_eur:1000", check_tickers,
            "tickers to run while DEMO is on, each NAME:MS, or off"),
    INT("MAX_CONNECTIONS", max_connections, "10000", 1, 1000000, "open connections on the public port"),
    SERVICE_STATUS,
    SERVICE_ACCESS,
    SERVICE_CORS,
    SERVICE_PROXIES,
    SERVICE_PUBLISH_RATE,
    SERVICE_SANDBOX,
    SERVICE_LOG,
};

int64_t options_data_max(const struct options *options)
{
    enum { SLACK = 4096 }; /* for a small limit */
    return options->service.body_limit + options->service.body_limit / 4 + SLACK;
}

const char *options_read(struct options *options, const struct service_program *program)
{
    struct service *service = &options->service;
    channel_set_prefix(service->redis_prefix);
    if (*service->tls_client_ca != 0 && *service->tls_cert == 0)
        return "TLS_CLIENT_CA: needs TLS_CERT";
    const char *why = service_prepare(service, program, channel_prefix_is_own(service->redis_prefix));
    read_retry(&options->retry_ms, options->retry);
    if (!service->demo)
        config_replace(&options->tickers, "off");
    return why == NULL ? tick_plan_parse(&options->plan, options->tickers) : why;
}

void options_load(struct options *options, int argc, char **argv, const char *(*prepare)(void *options))
{
    const struct config_table table = {
        .program = "sse-publisher",
        .summary = "takes events over HTTP and from tickers, and publishes them through Redis to every SSE gateway",
        .options = rows,
        .count = sizeof(rows) / sizeof(rows[0]),
        .prepare = prepare,
    };
    config_main(&table, options, argc, argv);
}
