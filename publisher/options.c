#include "publisher/options.h"

#include <stddef.h>

#include "proto/channel.h"
#include "proto/event.h"
#include "runtime/admin_host.h"
#include "runtime/announce.h"
#include "runtime/config_main.h"
#include "runtime/demo.h"
#include "runtime/http.h"
#include "runtime/net/bodies.h"
#include "runtime/net/cors.h"
#include "runtime/node_name.h"

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

static const char *check_login(const char *text)
{
    struct redis_login login;
    return redis_url_parse_login(&login, text);
}

static const char *check_tickers(const char *text)
{
    struct tick_plan plan;
    return tick_plan_parse(&plan, text);
}

#define AT(field) .at = offsetof(struct options, field)
#define TEXT(name_, field, doc_)                                                   \
    {                                                                              \
        .name = name_, .fallback = "", .kind = CONFIG_TEXT, AT(field), .doc = doc_ \
    }
#define INT(field, low, high) .kind = CONFIG_INT, .min = low, .max = high, AT(field)

static const struct config_option rows[] = {
    {.name = "PORT", .fallback = "4044", INT(port, 0, 65535), .doc = "port of the public listener, 0 for a free one"},
    {.name = "HOST", .fallback = "", .kind = CONFIG_TEXT, AT(host), .doc = "its address, empty for every one"},
    {.name = "ADMIN_PORT",
     .fallback = "9044",
     INT(admin_port, 0, 65535),
     .doc = "port of /healthz, /readyz and /metrics, 0 for a free one"},
    {.name = "ADMIN_HOST",
     .fallback = "127.0.0.1",
     .kind = CONFIG_TEXT,
     AT(admin_host),
     .doc = "its address; 0.0.0.0 or :: for every one"},
    ADMIN_HOSTS_SETTING(offsetof(struct options, admin_hosts)),
    TEXT("TLS_CERT", tls_cert, "PEM file with the certificate chain of the public listener, empty for no TLS"),
    TEXT("TLS_KEY", tls_key, "PEM file with its private key"),
    TEXT("TLS_CLIENT_CA", tls_client_ca, "PEM file: only clients with a certificate of one of these are let in; empty for all"),
    TEXT("TLS_TICKET_KEYS_FILE", tls_ticket_keys,
         "keys of session tickets, the same file for all replicas: 80 random bytes each, in base64; the first seals, all open; "
         "empty for one made by the process"),
    {.name = "REDIS_URL",
     .fallback = "redis://127.0.0.1:6379",
     .kind = CONFIG_URL,
     AT(redis_url),
     .check = check_redis,
     .doc = "Redis 7 or Valkey: redis://[[user]:password@]host[:port][/db], unix://[[user]:password@]/path[?db=N], "
            "redis-sentinel://[[user]:password@]host[:port],host[:port]/name[/db], or "
            "redis-cluster://[[user]:password@]host[:port],host[:port]; "
            "with TLS rediss://, rediss-sentinel:// and rediss-cluster://"},
    {.name = "REDIS_SENTINEL_PASSWORD",
     .fallback = "",
     .kind = CONFIG_SECRET,
     AT(redis_sentinel_password),
     .check = check_login,
     .doc = "password or user:password for the sentinels, percent-encoded; empty: those of REDIS_URL, if a sentinel wants any"},
    {.name = "REDIS_PREFIX",
     .fallback = CHANNEL_PREFIX_DEFAULT,
     .kind = CONFIG_TEXT,
     AT(redis_prefix),
     .check = channel_prefix_check,
     .doc =
         "what the names of all keys and channels in Redis begin with, the same for all gateways and publishers of a deployment: "
         "1 to 32 letters, digits, `_` or `-`, and a `:`"},
    TEXT("REDIS_CA", redis_tls.ca, "PEM file with who vouches for Redis's certificate (rediss://), empty for the system's"),
    TEXT("REDIS_CERT", redis_tls.cert, "PEM file with the certificate shown to Redis, empty for none"),
    TEXT("REDIS_KEY", redis_tls.key, "PEM file with its private key"),
    {.name = "REDIS_TIMEOUT_MS",
     .fallback = "5000",
     INT(redis_timeout_ms, 100, 600000),
     .doc = "ms until a Redis that does not answer counts as lost"},
    {.name = "PUBLISH_REPLICAS",
     .fallback = "0",
     INT(replicas, 0, 16),
     .doc = "Redis replicas that must have an event before it is acknowledged; else 503"},
    {.name = "BODY_LIMIT",
     .fallback = "1048576",
     INT(body_limit, 1, 67108864),
     .doc = "bytes a request's body may have; its event may take a quarter more"},
    BODIES_SETTING(offsetof(struct options, bodies_limit)),
    {.name = "HISTORY_LEN", .fallback = "1000", INT(history_len, 1, 1000000), .doc = "events kept of each channel, approximately"},
    {.name = "HISTORY_BYTES",
     .fallback = "33554432",
     INT(history_bytes, 1, 1099511627776),
     .doc = "bytes of events kept of each channel, at most; the oldest go first"},
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
     .doc = "tickers to run while DEMO is on, each NAME:MS, or off"},
    {.name = "MAX_CONNECTIONS",
     .fallback = "10000",
     INT(max_connections, 1, 1000000),
     .doc = "open connections of the public listener"},
    {.name = "NODE_NAME",
     .fallback = "",
     .kind = CONFIG_TEXT,
     AT(node_name),
     .check = node_name_check,
     .doc = "what this publisher is called at the gateways' /status, empty for the host's name"},
    {.name = "STATUS_MS",
     .fallback = "2000",
     INT(status_ms, 0, ANNOUNCE_INTERVAL_MAX_MS),
     .doc = "how often it tells all nodes how it is, ms, at least 100; 0 for not at all"},
    ACCESS_SETTINGS(offsetof(struct options, access)),
    DEMO_SETTING(offsetof(struct options, demo_setting)),
    {.name = "CORS_ORIGINS",
     .fallback = "",
     .kind = CONFIG_TEXT,
     AT(cors_origins),
     .check = cors_origins_check,
     .doc = "origins whose pages may publish, comma-separated; `*`: any; `none`; pages of the publisher's own host always may; set "
            "it as the gateways'; empty: "
            "http://localhost:3000,https://front-end.surge.sh while DEMO is on, else none"},
    {.name = "TRUSTED_PROXIES",
     .fallback = "",
     .kind = CONFIG_TEXT,
     AT(trusted_proxies),
     .check = proxies_check,
     .doc = "addresses or networks whose X-Forwarded-For counts, e.g. 10.0.0.0/8,::1: the gateways', and proxies before them"},
    {.name = "PROXY_PROTOCOL",
     .fallback = "off",
     .kind = CONFIG_FLAG,
     AT(proxy_protocol),
     .doc = "connections from TRUSTED_PROXIES to the public port begin with a PROXY header, version 1 or 2, and no other does"},
    {.name = "PUBLISH_RATE",
     .fallback = "0",
     INT(limits.publish_rate, 0, 100000),
     .doc = "requests to publish that one client address (IPv6: one /64) may send a second, at once up to ten seconds' worth, 0 "
            "for no limit"},
    {.name = "SECCOMP",
     .fallback = "on",
     .kind = CONFIG_FLAG,
     AT(seccomp),
     .doc = "the kernel refuses all system calls but those a running publisher needs"},
    {.name = "CORE_DUMPS",
     .fallback = "off",
     .kind = CONFIG_FLAG,
     AT(core_dumps),
     .doc = "allow core dumps, which hold keys, passwords and tokens"},
    {.name = "LOG_LEVEL",
     .fallback = "info",
     .kind = CONFIG_TEXT,
     AT(log_level),
     .check = check_level,
     .doc = "debug, info, warn or error"},
    LOG_FORMAT_SETTING(offsetof(struct options, log_format)),
};

int64_t options_data_max(const struct options *options)
{
    enum { SLACK = 4096 }; /* for a small limit */
    return options->body_limit + options->body_limit / 4 + SLACK;
}

/* Settings that must go together, and what one means for another. */
static const char *check_together(struct options *options)
{
    bool tls = options->tls_cert[0] != '\0';
    if (tls != (options->tls_key[0] != '\0'))
        return tls ? "TLS_KEY: must be set together with TLS_CERT" : "TLS_CERT: must be set together with TLS_KEY";
    if (!tls && options->tls_client_ca[0] != '\0')
        return "TLS_CLIENT_CA: needs TLS_CERT";
    if (!tls && options->tls_ticket_keys[0] != '\0')
        return "TLS_TICKET_KEYS_FILE: needs TLS_CERT";
    if (options->status_ms != 0 && options->status_ms < ANNOUNCE_INTERVAL_MIN_MS)
        return "STATUS_MS: must be 0 or a number from 100 to 60000";
    if (options->proxy_protocol && options->trusted_proxies[0] == '\0')
        return "PROXY_PROTOCOL: needs TRUSTED_PROXIES";
    return bodies_check(options->bodies_limit, options->body_limit);
}

static void apply_demo(struct options *options)
{
    options->demo = options->access.demo = demo_on(options->demo_setting, options->access.key_file);
    config_replace(&options->demo_setting, options->demo ? "on" : "off");
    config_replace(&options->cors_origins, demo_origins(options->cors_origins, options->demo));
    if (!options->demo)
        config_replace(&options->tickers, "off");
}

const char *options_read(struct options *options)
{
    apply_demo(options);
    enum log_level level = LOG_INFO;
    log_level_parse(&level, options->log_level);
    log_set_level(level);
    const char *why = check_together(options);
    if (why == NULL)
        why = redis_url_load(&options->redis, options->redis_url, options->redis_sentinel_password,
                             channel_prefix_is_own(options->redis_prefix));
    if (why == NULL)
        why = tick_plan_parse(&options->plan, options->tickers);
    channel_set_prefix(options->redis_prefix);
    options->proxies = proxies_parse(options->trusted_proxies);
    http_trust(options->proxies);
    admin_host_init(options->admin_hosts, options->admin_host);
    return why;
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
