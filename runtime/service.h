/* What the two server programs share: settings, what a start reads and checks of them, ports, the admin port, readiness, signals, reloads, and an end that is
 * certain. Each has a struct service as the member `service` of its struct options. Main thread. */
#pragma once

#include <stddef.h>

#include "runtime/admin.h"
#include "runtime/admin_host.h"
#include "runtime/announce.h"
#include "runtime/auth/access.h"
#include "runtime/config.h"
#include "runtime/limits.h"
#include "runtime/log.h"
#include "runtime/h2o/bodies.h"
#include "runtime/net/cors.h"
#include "runtime/redis/redis_tls.h"
#include "runtime/sandbox.h"

struct service;

/* Rows of the program's table of metrics; the first of each kind. */
struct service_rows {
    size_t h2_abuse, bodies, reloads, refused;
    size_t certificate, redis_certificate, own_certificate; /* CERTIFICATE_ROW; the last one 0: it has none */
    size_t draining;
};

/* What one of the two programs does in its own way. Fixed; all are called with the program's struct service, on the main thread. */
struct service_program {
    const char *name; /* "sse-gateway" */
    struct service_rows rows;
    const struct announce_options *announcement; /* role, rows and groups; the rest is the service's */
    void (*announce)(void *service, struct slice json); /* sends it, see announce_options.send */
    const char *(*bus_why)(void *service); /* the check "bus" of /readyz */
    /* Reads service->own_tls; what can't be read stays as it was. NULL, or a sentence that names the setting. The pointer is NULL where it has none. */
    const char *(*load_own_tls)(struct service *service);
    void (*reload)(struct service *service); /* at SIGHUP */
    /* At SIGTERM or SIGINT, which `signal` names: logs that, and begins to finish what is under way. */
    void (*drain)(struct service *service, const char *signal);
};

enum service_state {
    SERVICE_RUNNING,
    SERVICE_DRAINING, /* told to stop: what is under way is finished */
    SERVICE_DONE, /* finished, or told to stop once more */
};

struct service {
    int64_t port, admin_port;
    const char *host, *admin_host, *admin_hosts;
    const char *tls_cert, *tls_key, *tls_ticket_keys;
    const char *tls_client_ca; /* NULL: the program has no such setting */
    const char *redis_url, *redis_sentinel_password, *redis_prefix;
    struct redis_tls redis_tls;
    int64_t redis_timeout_ms;
    int64_t body_limit, bodies_limit; /* bytes */
    const char *cors_origins, *trusted_proxies;
    bool proxy_protocol;
    struct limits_options limits;
    const char *node_name;
    int64_t status_ms; /* 0: off */
    struct access_options access_options;
    const char *demo_setting;
    struct sandbox_options sandbox;
    const char *log_level, *log_format;

    /* what service_prepare() makes of them */
    const char *node; /* NODE_NAME, or where that is empty the host's name with every byte that it may not have as '-' */
    bool demo; /* the four routes, the page, the tickers and two origins: what an open installation begins with */
    struct redis_url redis;
    const struct proxies *proxies;
    struct access *access; /* NULL: everything is open */
    SSL_CTX *tls, *own_tls; /* of PORT; of the program's own end of another connection; NULL: plain */

    /* what the running program has */
    const struct service_program *program;
    enum service_state state;
    unsigned end_s; /* see service_run() */
    int admin_fd; /* listening, until service_start() */
    h2o_hostconf_t *admin[2]; /* one and NULL */
    h2o_accept_ctx_t admin_accept;
    struct listener *admin_listener;
    struct admin_check checks[4]; /* of /readyz */
    size_t check_count;
    struct timer ready_timer; /* logs each change of readiness */
    enum { READY_UNKNOWN, READY_YES, READY_NO } ready_logged;
    struct announce announce;
};

/* ---- rows for the table of settings of a program whose struct is `struct options` ---- */

/* A setting of both programs: a field above and a row here; a new macro also in both options.c. */

#define SETTING(kind_, name_, field_, fallback_, check_, doc_)                                                                    \
    {                                                                                                                             \
        .name = name_, .kind = kind_, .fallback = fallback_, .check = check_, .at = offsetof(struct options, field_), .doc = doc_ \
    }
#define TEXT(name_, field_, fallback_, doc_) SETTING(CONFIG_TEXT, name_, field_, fallback_, NULL, doc_)
#define FLAG(name_, field_, fallback_, doc_) SETTING(CONFIG_FLAG, name_, field_, fallback_, NULL, doc_)
#define INT(name_, field_, fallback_, min_, max_, doc_)                                     \
    {                                                                                       \
        .name = name_, .kind = CONFIG_INT, .fallback = fallback_, .min = min_, .max = max_, \
        .at = offsetof(struct options, field_), .doc = doc_                                 \
    }

#define SERVICE_PORT(fallback_)                                                                                                   \
    INT("PORT", service.port, fallback_, 0, 65535, "public port; TLS when `TLS_CERT` is set, else plain HTTP; 0: any free port"), \
        TEXT("HOST", service.host, "", "address the public ports listen on; empty: all, IPv4 and IPv6")

/* `paths` is what comes before the paths that both have. */
#define SERVICE_ADMIN(fallback_, paths)                                                                                            \
    INT("ADMIN_PORT", service.admin_port, fallback_, 0, 65535,                                                                     \
        "port of " paths "`/healthz`, `/readyz` and `/metrics`, another than the public ones; keep it private; 0: any free port"), \
        TEXT("ADMIN_HOST", service.admin_host, "127.0.0.1", "address the admin port listens on"),                                  \
        SETTING(CONFIG_TEXT, "ADMIN_HOSTS", service.admin_hosts, "", admin_hosts_check,                                            \
                "further host names that the admin port accepts, comma-separated; `*.example.org`: all names below it; `*`: any; " \
                "addresses, localhost, names without a dot and the host's own name are always accepted")

#define SERVICE_TLS                                                                               \
    TEXT("TLS_CERT", service.tls_cert, "", "PEM file with the certificate chain; empty: no TLS"), \
        TEXT("TLS_KEY", service.tls_key, "", "PEM file with its private key")

#define SERVICE_TICKET_KEYS                                                                                                  \
    TEXT("TLS_TICKET_KEYS_FILE", service.tls_ticket_keys, "",                                                                \
         "file with the keys of TLS session tickets, the same for all replicas: 80 random bytes each, in base64; the first " \
         "encrypts, all decrypt; empty: the process makes a key of its own")

#define SERVICE_REDIS                                                                                                           \
    SETTING(CONFIG_URL, "REDIS_URL", service.redis_url, "redis://127.0.0.1:6379", service_check_redis_url,                      \
            "Redis 7 or Valkey: `redis://[[user]:password@]host[:port][/db]`, `unix://[[user]:password@]/path[?db=N]`, "        \
            "`redis-sentinel://[[user]:password@]host[:port],host[:port]/name[/db]`, or "                                       \
            "`redis-cluster://[[user]:password@]host[:port],host[:port]`; "                                                     \
            "with TLS `rediss://`, `rediss-sentinel://` and `rediss-cluster://`"),                                              \
        SETTING(CONFIG_SECRET, "REDIS_SENTINEL_PASSWORD", service.redis_sentinel_password, "", service_check_redis_login,       \
                "`password` or `user:password` for the sentinels, percent-encoded; empty: those of `REDIS_URL`, if a sentinel " \
                "asks for a password")

#define SERVICE_REDIS_TLS                                                                                  \
    TEXT("REDIS_CA", service.redis_tls.ca, "",                                                             \
         "CA certificates (PEM) that verify Redis's certificate (`rediss://`); empty: the system's"),      \
        TEXT("REDIS_CERT", service.redis_tls.cert, "", "client certificate (PEM) for Redis; empty: none"), \
        TEXT("REDIS_KEY", service.redis_tls.key, "", "PEM file with its private key")

#define SERVICE_REDIS_TIMEOUT                                              \
    INT("REDIS_TIMEOUT_MS", service.redis_timeout_ms, "5000", 100, 600000, \
        "milliseconds of silence after which a Redis connection is considered dead")

#define SERVICE_BODIES                                                                                                     \
    INT("BODY_LIMIT", service.body_limit, "1048576", 1, 67108864,                                                          \
        "largest request body, in bytes; the event made of it may take a quarter more"),                                   \
        INT("BODIES_LIMIT", service.bodies_limit, "33554432", 65536, 1099511627776,                                        \
            "memory for all requests being received, in bytes, at least 8 times BODY_LIMIT and a little more; one client " \
            "address (IPv6: one /64) may use a quarter of it; above this, requests get 503 or 429")

#define SERVICE_CORS                                                                                                       \
    SETTING(CONFIG_TEXT, "CORS_ORIGINS", service.cors_origins, "", cors_origins_check,                                     \
            "origins whose pages may read and publish, comma-separated; `*`: any, without credentials; `none`; empty: "    \
            "`http://localhost:3000,https://front-end.surge.sh` while `DEMO` is on, else none; pages of the server's own " \
            "host always may; the same for gateways and publishers")

#define SERVICE_PROXIES                                                                                                          \
    SETTING(CONFIG_TEXT, "TRUSTED_PROXIES", service.trusted_proxies, "", proxies_check,                                          \
            "addresses or networks of proxies whose `X-Forwarded-*` headers are trusted, e.g. `10.0.0.0/8,::1`; at a publisher " \
            "also those of the gateways"),                                                                                       \
        FLAG("PROXY_PROTOCOL", service.proxy_protocol, "off",                                                                    \
             "expect a PROXY header, version 1 or 2, on each connection from `TRUSTED_PROXIES` to a public port, and on no other")

#define SERVICE_PUBLISH_RATE                                                                                       \
    INT("PUBLISH_RATE", service.limits.publish_rate, "0", 0, 100000,                                               \
        "publish requests per second and client address (IPv6: per /64), with bursts of ten seconds' worth; at a " \
        "publisher each event of a batch counts, and the next request waits until all are paid for; 0: no limit")

#define SERVICE_STATUS                                                                                                         \
    SETTING(CONFIG_TEXT, "NODE_NAME", service.node_name, "", service_check_node_name,                                          \
            "name of this process at `/status`, and of a gateway in the response header `sse-gateway`; empty: the host name"), \
        INT("STATUS_MS", service.status_ms, "2000", 0, ANNOUNCE_INTERVAL_MAX_MS,                                               \
            "interval at which the process announces its state to all nodes, in milliseconds, at least 100; 0: never, and a "  \
            "gateway has no `/status`")

#define SERVICE_ACCESS                                                                                                           \
    SETTING(CONFIG_TEXT, "JWT_KEY_FILE", service.access_options.key_file, "", access_check_key_file,                             \
            "file with the key that verifies tokens: PEM public key or certificate, JWKS, or a secret of at least 32 bytes; "    \
            "empty: everything is open"),                                                                                        \
        TEXT("JWT_ISSUER", service.access_options.issuer, "", "required `iss` of tokens; empty: any"),                           \
        TEXT("JWT_AUDIENCE", service.access_options.audience, "",                                                                \
             "required `aud` of tokens (the value, or one of its list); empty: any"),                                            \
        SETTING(CONFIG_TEXT, "JWT_COOKIE", service.access_options.cookie, "", access_check_cookie,                               \
                "name of a cookie that may carry the token; empty: none"),                                                       \
        FLAG("JWT_QUERY", service.access_options.query, "off",                                                                   \
             "also accept tokens in the query parameter `access_token`; note that proxies log URLs"),                            \
        SETTING(                                                                                                                 \
            CONFIG_TEXT, "POLICY_FILE", service.access_options.policy_file, "", access_check_policy_file,                        \
            "file that lists the channels open without a token; empty: none, except the demo's for reading while `DEMO` is on"), \
        SETTING(CONFIG_TEXT, "DEMO", service.demo_setting, "auto", service_check_demo,                                           \
                "the demo: the page, `/sse`, `/post`, `/events`, `/exchange_rates/usd_eur`, the tickers, and the two origins "   \
                "of `CORS_ORIGINS`; `on`, `off`, or `auto`: on while `JWT_KEY_FILE` is not set")

#define SERVICE_SANDBOX                                                                                                            \
    FLAG("SECCOMP", service.sandbox.seccomp, "on", "let the kernel refuse all system calls that a running program does not need"), \
        FLAG("CORE_DUMPS", service.sandbox.core_dumps, "off", "allow core dumps; they contain keys, passwords and tokens")

#define SERVICE_LOG                                                                                                              \
    SETTING(CONFIG_TEXT, "LOG_LEVEL", service.log_level, "info", service_check_log_level, "`debug`, `info`, `warn` or `error`"), \
        SETTING(CONFIG_TEXT, "LOG_FORMAT", service.log_format, "text", log_format_check,                                         \
                "format of log lines: `text` (key=value) or `json` (one object per line)")

const char *service_check_redis_url(const char *value);
const char *service_check_redis_login(const char *value);
const char *service_check_node_name(const char *value);
const char *service_check_demo(const char *value);
const char *service_check_log_level(const char *value);

/* ---- what the programs do with them ---- */

/* In config_table.prepare: applies LOG_LEVEL and DEMO, checks the settings that must go together, makes libh2o ready and reads texts, key and policy files.
 * `own_names`: see redis_url_load(). NULL, or a sentence in a static buffer that names a setting. */
const char *service_prepare(struct service *service, const struct service_program *program, bool own_names)
    __attribute__((warn_unused_result));

/* … and last there, when the program's own settings were read: service->tls and own_tls, and Redis's. */
const char *service_load_certificates(struct service *service) __attribute__((warn_unused_result));

/* NULL when both or neither of two settings are set (not ""), or a sentence in a static buffer. */
const char *service_check_pair(const char *name, const char *value, const char *other, const char *others)
    __attribute__((warn_unused_result));

/* NULL, or a sentence in a static buffer when both listeners would want the same port. A port of 0 is any free one, -1 none. */
const char *service_check_ports(const char *name, const char *host, int64_t port, const char *other, const char *others_host,
                                int64_t others_port) __attribute__((warn_unused_result));

/* A listening socket; *bound is the real port. Dies with a sentence that begins with the setting. */
int service_bind(const char *listener, const char *setting, const char *host, int64_t port, int *bound);

/* Adds a check to /readyz, behind "bus" and "drain". Before service_register_admin(). */
void service_add_check(struct service *service, const char *name, const char *(*run)(void *data), void *data);

/* Initializes the configuration of public ports with what both programs want. */
void service_configure(const struct service *service, h2o_globalconf_t *conf);

/* Makes service->admin, the host of the admin port, of this configuration; the options' checks of /readyz are the service's. */
void service_register_admin(struct service *service, h2o_globalconf_t *conf, struct admin_options options);

/* When the bus is there: announces the program, watches whether it is ready, and opens the admin port, for so many connections. */
void service_start(struct service *service, h2o_context_t *ctx, size_t admin_connections);

/* From now on signals are answered: service->state says what is to be done. Once told to stop the process ends after so many seconds, even if its loops
 * never come back. */
void service_run(struct service *service, h2o_loop_t *loop, unsigned end_s);

/* What was under way when it was told to stop is finished. */
void service_finished(struct service *service);

/* At SIGHUP: reads the certificates, the Redis login, the keys and the policies again, logs and counts how it came out; what is broken changes nothing. */
struct service_reloaded {
    bool certificates; /* there are some, and they were read again: contexts may be other ones now */
    bool access; /* service->access is another one now */
};
struct service_reloaded service_reload(struct service *service);
