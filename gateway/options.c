#include "gateway/options.h"

#include <strings.h>

#include "proto/channel.h"
#include "proto/event.h"
#include "runtime/config_main.h"
#include "runtime/redis/read_preference.h"

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

static const struct config_option table[] = {
    SERVICE_PORT("4043"),
    INT("HTTP_PORT", http_port, "-1", -1, 65535,
        "second public port, without TLS, beside a TLS `PORT`; -1: none; 0: any free port"),
    SERVICE_ADMIN("9043", "`/status`, "),
    SERVICE_TLS,
    SERVICE_TICKET_KEYS,
    SERVICE_REDIS,
    CHANNEL_PREFIX_SETTING,
    SETTING(CONFIG_TEXT, "SUBSCRIBE_WEIGHTS", subscribe_weights, "primary=1", check_subscribe_weights,
            "Redis Cluster: weights for choosing the node of each shard to subscribe at; `primary=0,replica=1`: a replica, where "
            "there is one"),
    SERVICE_REDIS_TLS,
    SETTING(CONFIG_TEXT, "PUBLISHER_URL", publisher_url, "http://127.0.0.1:4044", check_publisher_url,
            "publisher that POSTs on channel paths are forwarded to, `http://host:port` or `https://host:port`"),
    TEXT("PUBLISHER_CA", publisher_ca, "",
         "CA certificates (PEM) that verify the publisher's certificate (`https://`); empty: the system's"),
    TEXT("PUBLISHER_CERT", publisher_cert, "", "client certificate (PEM) for the publisher; empty: none"),
    TEXT("PUBLISHER_KEY", publisher_key, "", "PEM file with its private key"),
    INT("THREADS", threads, "0", 0, 256, "worker threads; 0: one per core; 1: the whole process is one thread"),
    {.name = "KEEPALIVE_MS",
     .alias = "SSE_KEEP_ALIVE_IN_MS",
     .kind = CONFIG_INT,
     .fallback = "15000",
     .min = 50,
     .max = 3600000,
     .at = offsetof(struct options, keepalive_ms),
     .doc = "milliseconds of silence after which a comment is sent to keep a stream alive"},
    INT("RETRY_MS", retry_ms, "6000", 0, EVENT_RETRY_MAX, "`retry:` of the events that the gateway itself writes, in milliseconds"),
    SERVICE_CORS,
    FLAG("FORCE_SSL", force_ssl, "off", "redirect plain requests to https and send HSTS"),
    SERVICE_PROXIES,
    INT("MAX_STREAMS", service.limits.streams, "0", 0, 10000000, "open streams of the process; 0: no limit"),
    INT("MAX_STREAMS_PER_ADDRESS", service.limits.address_streams, "0", 0, 10000000,
        "open streams per client address (IPv6: per /64); 0: no limit"),
    INT("MAX_STREAMS_PER_SUBJECT", service.limits.subject_streams, "0", 0, 10000000,
        "open streams per subject (`sub`) of tokens; 0: no limit"),
    INT("STREAM_RATE", service.limits.stream_rate, "0", 0, 100000,
        "new streams per second and client address, with bursts of ten seconds' worth; 0: no limit"),
    INT("CHANNEL_RATE", service.limits.channel_rate, "2000", 0, 100000,
        "new channels (no stream listens to them yet) per second and client address, with bursts of ten seconds' worth; 0: no "
        "limit"),
    INT("MAX_CHANNELS", max_channels, "200000", 0, 10000000,
        "channels that the process listens to at most, about 1 KB each; above this, streams of new channels are refused; 0: no "
        "limit"),
    SERVICE_PUBLISH_RATE,
    FLAG("HTTP2_CLEARTEXT", http2_cleartext, "off", "accept HTTP/2 on plain ports, by prior knowledge and by `Upgrade: h2c`"),
    SERVICE_BODIES,
    INT("MAX_CONNECTIONS", max_connections, "0", 0, 10000000,
        "open connections; further ones wait in the kernel's queue; 0: as many as the descriptor limit allows"),
    INT("QUEUE_BYTES", queue_bytes, "1048576", 4096, 1073741824,
        "bytes that may wait for a slow stream, besides the event being sent and the newest; a stream that stays above this for 5 "
        "seconds is closed"),
    INT("MEMORY_LIMIT", memory_limit, "268435456", 65536, 1099511627776,
        "bytes that the queues of all streams may hold together, each event counted once; above this, the slowest streams are "
        "closed"),
    INT("COALESCE_MS", coalesce_ms, "0", 0, 1000,
        "milliseconds to hold events back so that several of a channel leave in one write: less CPU, more latency"),
    INT("WRITE_TIMEOUT", write_timeout_s, "30", 1, 3600,
        "close a stream when data waits for its client and the client has read nothing for this many seconds"),
    INT("MAX_STREAM_SECONDS", max_stream_s, "0", 0, 31536000,
        "end each stream after this many seconds, less a random part of up to a fifth; 0: never"),
    INT("DRAIN_SECONDS", drain_s, "20", 0, 3600, "seconds over which the open streams are closed evenly after SIGTERM"),
    INT("RING_LEN", ring_len, "1000", 1, 10000, "events per channel kept in memory to answer reconnects without Redis"),
    INT("RING_BYTES", ring_bytes, "4194304", 4096, 1073741824, "bytes of these events per channel"),
    INT("RING_MEMORY", ring_memory, "134217728", 65536, 1099511627776,
        "bytes of these events of all channels together; above this, the least recently used channels keep fewer"),
    SERVICE_REDIS_TIMEOUT,
    SERVICE_STATUS,
    SERVICE_ACCESS,
    SERVICE_SANDBOX,
    SERVICE_LOG,
    FLAG("LOG_STREAMS", log_streams, "off", "log each stream that opens, resumes, is refused or closes, at info; off: at debug"),
};

const char *options_check(const struct options *options)
{
    const struct service *service = &options->service;
    const char *host = service->host;
    const char *why = service_check_ports("HTTP_PORT", host, options->http_port, "PORT", host, service->port);
    if (why == NULL)
        why = service_check_ports("HTTP_PORT", host, options->http_port, "ADMIN_PORT", service->admin_host, service->admin_port);
    if (why != NULL)
        return why;
    if (strncasecmp(options->publisher_url, "https:", 6) == 0)
        return service_check_pair("PUBLISHER_CERT", options->publisher_cert, "PUBLISHER_KEY", options->publisher_key);
    return *options->publisher_ca != 0     ? "PUBLISHER_CA: is for https://, which PUBLISHER_URL is not"
           : *options->publisher_cert != 0 ? "PUBLISHER_CERT: is for https://, which PUBLISHER_URL is not"
           : *options->publisher_key != 0  ? "PUBLISHER_KEY: is for https://, which PUBLISHER_URL is not"
                                           : NULL;
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
