#include "gateway/options.h"

#include <stddef.h>
#include <stdio.h>
#include <strings.h>

#include "proto/channel.h"
#include "runtime/admin_host.h"
#include "runtime/announce.h"
#include "runtime/config_main.h"
#include "runtime/demo.h"
#include "runtime/log.h"
#include "runtime/net/bodies.h"
#include "runtime/net/cors.h"
#include "runtime/net/forwarded.h"
#include "runtime/node_name.h"
#include "runtime/redis/read_preference.h"
#include "runtime/redis/redis_url.h"

static const char *check_redis_url(const char *value)
{
    struct redis_url url;
    return redis_url_parse(&url, value);
}

static const char *check_redis_login(const char *value)
{
    struct redis_login login;
    return redis_url_parse_login(&login, value);
}

static const char *check_subscribe_weights(const char *value)
{
    struct read_preference_weights weights;
    return read_preference_weights_parse(&weights, value);
}

static const char *check_publisher_url(const char *value)
{
    h2o_url_t url;
    if (h2o_url_parse(value, SIZE_MAX, &url) != 0 || (url.scheme != &H2O_URL_SCHEME_HTTP && url.scheme != &H2O_URL_SCHEME_HTTPS))
        return "must be http://host:port or https://host:port";
    if (url.path.len > 1)
        return "must be http://host:port or https://host:port, without a path";
    return NULL;
}

static const char *check_log_level(const char *value)
{
    enum log_level level;
    return log_level_parse(&level, value) ? NULL : "must be debug, info, warn or error";
}

#define AT(field) .at = offsetof(struct options, field)
#define TEXT(name_, field, def, doc_)                                               \
    {                                                                               \
        .name = name_, .kind = CONFIG_TEXT, .fallback = def, AT(field), .doc = doc_ \
    }
#define INT(name_, field, def, lo, hi, doc_)                                                             \
    {                                                                                                    \
        .name = name_, .kind = CONFIG_INT, .fallback = def, .min = lo, .max = hi, AT(field), .doc = doc_ \
    }
#define FLAG(name_, field, def, doc_)                                               \
    {                                                                               \
        .name = name_, .kind = CONFIG_FLAG, .fallback = def, AT(field), .doc = doc_ \
    }

static const struct config_option table[] = {
    INT("PORT", port, "4043", 0, 65535, "the public port: TLS when `TLS_CERT` is set, else plain; 0 picks a free one"),
    TEXT("HOST", host, "", "address the public ports listen on; empty: all, IPv4 and IPv6"),
    INT("HTTP_PORT", http_port, "-1", -1, 65535, "a plain port beside a TLS `PORT`; -1: none, 0: a free one"),
    INT("ADMIN_PORT", admin_port, "9043", 0, 65535, "port of `/status`, `/healthz`, `/readyz` and `/metrics`; keep it private"),
    TEXT("ADMIN_HOST", admin_host, "127.0.0.1", "address the admin port listens on"),
    ADMIN_HOSTS_SETTING(offsetof(struct options, admin_hosts)),
    TEXT("TLS_CERT", tls_cert, "", "PEM file with the certificate chain; empty: no TLS"),
    TEXT("TLS_KEY", tls_key, "", "PEM file with its private key"),
    TEXT("TLS_TICKET_KEYS_FILE", tls_ticket_keys, "",
         "keys of session tickets, the same file for all replicas: 80 random bytes each, in base64; the first seals, all open; "
         "empty: one made by the process"),
    {.name = "REDIS_URL",
     .kind = CONFIG_URL,
     .fallback = "redis://127.0.0.1:6379",
     AT(redis_url),
     .check = check_redis_url,
     .doc = "the bus: `redis://[user:password@]host:port/db`, `unix:///path`, "
            "`redis-sentinel://[user:password@]host:port,host:port/name/db`, or "
            "`redis-cluster://[user:password@]host:port,host:port`; "
            "with TLS `rediss://`, `rediss-sentinel://` and `rediss-cluster://`"},
    {.name = "REDIS_SENTINEL_PASSWORD",
     .kind = CONFIG_SECRET,
     .fallback = "",
     AT(redis_sentinel_password),
     .check = check_redis_login,
     .doc =
         "`password` or `user:password` for the sentinels, percent-encoded; empty: those of `REDIS_URL`, if a sentinel wants any"},
    {.name = "REDIS_PREFIX",
     .kind = CONFIG_TEXT,
     .fallback = CHANNEL_PREFIX_DEFAULT,
     AT(redis_prefix),
     .check = channel_prefix_check,
     .doc =
         "what the names of all keys and channels in Redis begin with, the same for all gateways and publishers of a deployment: "
         "1 to 32 letters, digits, `_` or `-`, and a `:`"},
    {.name = "SUBSCRIBE_WEIGHTS",
     .kind = CONFIG_TEXT,
     .fallback = "primary=1",
     AT(subscribe_weights),
     .check = check_subscribe_weights,
     .doc = "of a cluster: at which node of each shard it listens, by chance; `primary=0,replica=1`: at a replica, where there is "
            "one"},
    TEXT("REDIS_CA", redis_tls.ca, "", "PEM file with who vouches for Redis's certificate (`rediss://`); empty: the system's"),
    TEXT("REDIS_CERT", redis_tls.cert, "", "PEM file with the certificate shown to Redis; empty: none"),
    TEXT("REDIS_KEY", redis_tls.key, "", "PEM file with its private key"),
    {.name = "PUBLISHER_URL",
     .kind = CONFIG_TEXT,
     .fallback = "http://127.0.0.1:4044",
     AT(publisher_url),
     .check = check_publisher_url,
     .doc = "where POSTs on channel paths are passed to, `http://host:port` or `https://host:port`"},
    TEXT("PUBLISHER_CA", publisher_ca, "",
         "PEM file with who vouches for the publisher's certificate (`https://`); empty: the system's"),
    TEXT("PUBLISHER_CERT", publisher_cert, "", "PEM file with the certificate shown to the publisher; empty: none"),
    TEXT("PUBLISHER_KEY", publisher_key, "", "PEM file with its private key"),
    INT("THREADS", threads, "0", 0, 256, "worker threads; 0: one for each core; 1: the whole process is one thread"),
    {.name = "KEEPALIVE_MS",
     .alias = "SSE_KEEP_ALIVE_IN_MS",
     .kind = CONFIG_INT,
     .fallback = "15000",
     .min = 50,
     .max = 3600000,
     AT(keepalive_ms),
     .doc = "milliseconds a stream may be silent before a comment keeps it alive"},
    INT("RETRY_MS", retry_ms, "6000", 0, 86400000, "the `retry:` of the events that the gateway itself writes, ms"),
    {.name = "CORS_ORIGINS",
     .kind = CONFIG_TEXT,
     .fallback = "",
     AT(cors_origins),
     .check = cors_origins_check,
     .doc = "origins whose pages may read and publish, comma-separated; `*`: any, without credentials; `none`; empty: "
            "`http://localhost:3000,https://front-end.surge.sh` while `DEMO` is on, else none"},
    FLAG("FORCE_SSL", force_ssl, "off", "redirect plain requests to https and send HSTS"),
    {.name = "TRUSTED_PROXIES",
     .kind = CONFIG_TEXT,
     .fallback = "",
     AT(trusted_proxies),
     .check = proxies_check,
     .doc = "addresses or networks whose `X-Forwarded-*` headers count, e.g. `10.0.0.0/8,::1`"},
    FLAG("PROXY_PROTOCOL", proxy_protocol, "off",
         "connections from `TRUSTED_PROXIES` to the public ports begin with a PROXY header, version 1 or 2, and no other does"),
    INT("MAX_STREAMS", limits.streams, "0", 0, 10000000, "open streams of the process; 0: no limit"),
    INT("MAX_STREAMS_PER_ADDRESS", limits.address_streams, "0", 0, 10000000,
        "open streams of one client address (IPv6: of one /64); 0: no limit"),
    INT("MAX_STREAMS_PER_SUBJECT", limits.subject_streams, "0", 0, 10000000,
        "open streams of one subject (`sub`) of tokens; 0: no limit"),
    INT("STREAM_RATE", limits.stream_rate, "0", 0, 100000,
        "streams that one client address may open a second, at once up to ten seconds' worth; 0: no limit"),
    INT("CHANNEL_RATE", limits.channel_rate, "2000", 0, 100000,
        "channels nobody listens to yet that one client address may bring up a second, at once up to ten seconds' worth; 0: no "
        "limit"),
    INT("MAX_CHANNELS", max_channels, "200000", 0, 10000000,
        "channels the process may listen to, about 1 KB each; above it streams of new channels are refused; 0: no limit"),
    INT("PUBLISH_RATE", limits.publish_rate, "0", 0, 100000,
        "requests to publish that one client address may send a second, at once up to ten seconds' worth; 0: no limit"),
    FLAG("HTTP2_CLEARTEXT", http2_cleartext, "off", "HTTP/2 with prior knowledge and `Upgrade: h2c` on plain ports"),
    INT("BODY_LIMIT", body_limit, "1048576", 1, 67108864, "largest request body passed on, bytes"),
    BODIES_SETTING(offsetof(struct options, bodies_limit)),
    INT("MAX_CONNECTIONS", max_connections, "0", 0, 10000000,
        "open connections; more wait in the kernel's queue; 0: what the descriptor limit allows"),
    INT("QUEUE_BYTES", queue_bytes, "1048576", 4096, 1073741824,
        "bytes a slow stream may lag behind, beside the event under way and the newest; it is closed when it is further behind for "
        "5 seconds"),
    INT("MEMORY_LIMIT", memory_limit, "268435456", 65536, 1099511627776,
        "bytes the queues of the process may hold together, each event counted once; above it the slowest streams are closed"),
    INT("COALESCE_MS", coalesce_ms, "0", 0, 1000,
        "events wait this long for others of their channel, to leave in one write: less CPU, more latency"),
    INT("WRITE_TIMEOUT", write_timeout_s, "30", 1, 3600, "seconds a client may read nothing of what waits for it"),
    INT("MAX_STREAM_SECONDS", max_stream_s, "0", 0, 31536000,
        "a stream is ended after this, less up to a fifth by chance; 0: never"),
    INT("DRAIN_SECONDS", drain_s, "20", 0, 3600, "after SIGTERM the open streams are closed evenly over this time"),
    INT("RING_LEN", ring_len, "1000", 1, 10000, "events of a channel kept in memory to answer reconnects without Redis"),
    INT("RING_BYTES", ring_bytes, "4194304", 4096, 1073741824, "… and their bytes, for each channel"),
    INT("RING_MEMORY", ring_memory, "134217728", 65536, 1099511627776,
        "bytes that these events take together, of all channels; above it the channels used longest ago keep fewer"),
    INT("REDIS_TIMEOUT_MS", redis_timeout_ms, "5000", 100, 600000, "silence after which a Redis connection counts as dead"),
    {.name = "NODE_NAME",
     .kind = CONFIG_TEXT,
     .fallback = "",
     AT(node_name),
     .check = node_name_check,
     .doc = "what this gateway is called in the response header `sse-gateway` and at `/status`; empty: the host's name"},
    INT("STATUS_MS", status_ms, "2000", 0, ANNOUNCE_INTERVAL_MAX_MS,
        "how often it tells all nodes how it is, ms, at least 100; 0: not at all, and no `/status`"),
    ACCESS_SETTINGS(offsetof(struct options, access)),
    DEMO_SETTING(offsetof(struct options, demo_setting)),
    FLAG("SECCOMP", seccomp, "on", "the kernel refuses all system calls but those a running gateway needs"),
    FLAG("CORE_DUMPS", core_dumps, "off", "allow core dumps, which hold keys, passwords and tokens"),
    {.name = "LOG_LEVEL",
     .kind = CONFIG_TEXT,
     .fallback = "info",
     AT(log_level),
     .check = check_log_level,
     .doc = "`debug`, `info`, `warn` or `error`"},
    LOG_FORMAT_SETTING(offsetof(struct options, log_format)),
};

static char sentence[200];

static const char *check_pair(const char *one, const char *its, const char *other, const char *others)
{
    if ((*its == 0) == (*others == 0))
        return NULL;
    snprintf(sentence, sizeof(sentence), "%s: must be set together with %s", *its == 0 ? one : other, *its == 0 ? other : one);
    return sentence;
}

static const char *check_publisher(const struct options *options)
{
    if (strncasecmp(options->publisher_url, "https:", 6) == 0)
        return check_pair("PUBLISHER_CERT", options->publisher_cert, "PUBLISHER_KEY", options->publisher_key);
    return *options->publisher_ca != 0     ? "PUBLISHER_CA: is for https://, which PUBLISHER_URL is not"
           : *options->publisher_cert != 0 ? "PUBLISHER_CERT: is for https://, which PUBLISHER_URL is not"
           : *options->publisher_key != 0  ? "PUBLISHER_KEY: is for https://, which PUBLISHER_URL is not"
                                           : NULL;
}

const char *options_check(struct options *options)
{
    options->demo = options->access.demo = demo_on(options->demo_setting, options->access.key_file);
    config_replace(&options->demo_setting, options->demo ? "on" : "off");
    config_replace(&options->cors_origins, demo_origins(options->cors_origins, options->demo));
    const char *why = check_pair("TLS_CERT", options->tls_cert, "TLS_KEY", options->tls_key);
    if (why == NULL)
        why = check_publisher(options);
    if (why == NULL && options->proxy_protocol && *options->trusted_proxies == 0)
        why = "PROXY_PROTOCOL: needs TRUSTED_PROXIES";
    if (why == NULL)
        why = bodies_check(options->bodies_limit, options->body_limit);
    if (why == NULL && *options->tls_ticket_keys != 0 && *options->tls_cert == 0)
        why = "TLS_TICKET_KEYS_FILE: needs TLS_CERT";
    if (why == NULL && options->status_ms != 0 && options->status_ms < ANNOUNCE_INTERVAL_MIN_MS)
        why = "STATUS_MS: must be 0 or a number from 100 to 60000";
    return why;
}

void options_load(struct options *options, int argc, char **argv, const char *(*prepare)(void *options))
{
    const struct config_table config = {
        .program = "sse-gateway",
        .summary = "Holds Server-Sent Events streams and feeds them from Redis.",
        .options = table,
        .count = sizeof(table) / sizeof(table[0]),
        .prepare = prepare,
    };
    config_main(&config, options, argc, argv);
}
