#include "runtime/service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "runtime/h2o/h2_guard.h"
#include "runtime/h2o/h2o_check.h"
#include "runtime/http.h"
#include "runtime/net/listener.h"
#include "runtime/reloads.h"
#include "runtime/signals.h"
#include "runtime/trim.h"

enum {
    BODY_SLACK =
        65536, /* what libh2o takes above BODY_LIMIT, so that the answer is the publisher's 413; over HTTP/2 it only resets the stream */
    IDLE_TIMEOUT_MS = 60000,
    READY_LOOK_MS = 100,
};

/* ---- settings ---- */

const char *service_check_redis_url(const char *value)
{
    struct redis_url url;
    return redis_url_parse(&url, value);
}

const char *service_check_redis_login(const char *value)
{
    struct redis_login login;
    return redis_url_parse_login(&login, value);
}

static const char node_bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
enum { NODE_NAME_MAX = 64 };

const char *service_check_node_name(const char *value)
{
    size_t n = strlen(value);
    return n <= NODE_NAME_MAX && strspn(value, node_bytes) == n ? NULL : "must be 1 to 64 bytes of A-Z a-z 0-9 . _ -";
}

const char *service_check_demo(const char *value)
{
    bool good = strcmp(value, "auto") == 0 || strcmp(value, "on") == 0 || strcmp(value, "off") == 0;
    return good ? NULL : "must be auto, on or off";
}

const char *service_check_log_level(const char *value)
{
    enum log_level level;
    return log_level_parse(&level, value) ? NULL : "must be debug, info, warn or error";
}

const char *service_check_pair(const char *name, const char *value, const char *other, const char *others)
{
    static char sentence[100];
    if ((*value == 0) == (*others == 0))
        return NULL;
    snprintf(sentence, sizeof(sentence), "%s: must be set together with %s", *value == 0 ? name : other,
             *value == 0 ? other : name);
    return sentence;
}

const char *service_check_ports(const char *name, const char *host, int64_t port, const char *other, const char *others_host,
                                int64_t others_port)
{
    static char sentence[100];
    if (port != others_port || port <= 0 || !listener_hosts_meet(host, others_host))
        return NULL;
    snprintf(sentence, sizeof(sentence), "%s: must not be %d, which is the port of %s", name, (int)port, other);
    return sentence;
}

static const char *check_together(const struct service *service)
{
    const char *why = service_check_pair("TLS_CERT", service->tls_cert, "TLS_KEY", service->tls_key);
    if (why != NULL)
        return why;
    if (*service->tls_ticket_keys != 0 && *service->tls_cert == 0)
        return "TLS_TICKET_KEYS_FILE: needs TLS_CERT";
    if (service->proxy_protocol && *service->trusted_proxies == 0)
        return "PROXY_PROTOCOL: needs TRUSTED_PROXIES";
    if (service->status_ms != 0 && service->status_ms < ANNOUNCE_INTERVAL_MIN_MS)
        return "STATUS_MS: must be 0 or a number from 100 to 60000";
    return bodies_check(service->bodies_limit, service->body_limit);
}

static const char *check_drain(void *data)
{
    return ((struct service *)data)->state == SERVICE_RUNNING ? NULL : "shutting down";
}

static const char *node_of(const char *setting)
{
    static char name[NODE_NAME_MAX + 1];
    if (*setting != 0)
        return setting;
    if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == 0)
        snprintf(name, sizeof(name), "node");
    for (char *p = name; *p != 0; ++p)
        if (strchr(node_bytes, *p) == NULL)
            *p = '-';
    return name;
}

static void apply_demo(struct service *service)
{
    bool automatic = strcmp(service->demo_setting, "auto") == 0;
    service->demo = automatic ? *service->access_options.key_file == 0 : strcmp(service->demo_setting, "on") == 0;
    service->access_options.demo = service->demo;
    config_replace(&service->demo_setting, service->demo ? "on" : "off");
    if (*service->cors_origins == 0)
        config_replace(&service->cors_origins, service->demo ? "http://localhost:3000,https://front-end.surge.sh" : "none");
}

const char *service_prepare(struct service *service, const struct service_program *program, bool own_names)
{
    enum log_level level = LOG_INFO;
    log_level_parse(&level, service->log_level);
    log_set_level(level);
    service->program = program;
    service->check_count = 0;
    service_add_check(service, "bus", program->bus_why, service);
    service_add_check(service, "drain", check_drain, service);
    service->node = node_of(service->node_name);
    apply_demo(service);
    const char *error = check_together(service);
    if (error == NULL)
        error = redis_url_load(&service->redis, service->redis_url, service->redis_sentinel_password, own_names);
    if (error != NULL)
        return error;
    service->proxies = proxies_parse(service->trusted_proxies);
    http_trust(service->proxies);
    admin_host_init(service->admin_hosts, service->admin_host);
    bodies_start((size_t)service->bodies_limit, service->proxies, program->rows.bodies);
    h2_guard_count(program->rows.h2_abuse);
    access_count_at(program->rows.refused);
    if ((error = h2o_check()) == NULL)
        error = listener_check_host("HOST", service->host);
    if (error == NULL)
        error = listener_check_host("ADMIN_HOST", service->admin_host);
    if (error == NULL)
        error = service_check_ports("ADMIN_PORT", service->admin_host, service->admin_port, "PORT", service->host, service->port);
    if (error == NULL)
        service->access = access_load(&service->access_options, service->cors_origins, &error);
    return error;
}

/* ---- certificates ---- */

/* NULL, or a sentence that names the setting; what could not be read stays as it was. */
static const char *load_server(struct service *service)
{
    const struct tls_server_files files = {
        .cert = {"TLS_CERT", service->tls_cert},
        .key = {"TLS_KEY", service->tls_key},
        .client_ca = {"TLS_CLIENT_CA", service->tls_client_ca == NULL ? "" : service->tls_client_ca},
        .ticket_keys = {"TLS_TICKET_KEYS_FILE", service->tls_ticket_keys}};
    const char *error = NULL;
    SSL_CTX *ctx = *service->tls_cert == 0 ? NULL : tls_server(&files, &error);
    if (ctx == NULL)
        return error;
    SSL_CTX_free(service->tls);
    service->tls = ctx;
    return NULL;
}

static void count_reload(const struct service *service, enum reload what, bool good)
{
    metric_add(service->program->rows.reloads + 2 * (size_t)what + !good, 1);
}

enum { CERTIFICATES = 3 };

static const char *load(struct service *service, int which)
{
    const char *(*own)(struct service * service) = service->program->load_own_tls;
    return which == 0   ? load_server(service)
           : which == 1 ? (own == NULL ? NULL : own(service))
                        : redis_tls_load(&service->redis, &service->redis_tls);
}

const char *service_load_certificates(struct service *service)
{
    const char *error = NULL;
    for (int i = 0; error == NULL && i < CERTIFICATES; ++i)
        error = load(service, i);
    return error;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

/* When the first certificate of the chain expires. */
static void show_certificate(size_t at, SSL_CTX *ctx)
{
    X509 *own = ctx == NULL ? NULL : SSL_CTX_get0_certificate(ctx);
    STACK_OF(X509) *chain = NULL;
    int64_t first = own == NULL ? 0 : seconds_of(X509_get0_notAfter(own));
    if (own != NULL)
        SSL_CTX_get0_chain_certs(ctx, &chain);
    for (int i = 0; i < sk_X509_num(chain); ++i) {
        int64_t other = seconds_of(X509_get0_notAfter(sk_X509_value(chain, i)));
        first = other < first ? other : first;
    }
    metric_set(at, first);
}

static void show_certificates(const struct service *service)
{
    const struct service_rows *rows = &service->program->rows;
    show_certificate(rows->certificate, service->tls);
    show_certificate(rows->redis_certificate, service->redis.tls);
    if (rows->own_certificate != 0)
        show_certificate(rows->own_certificate, service->own_tls);
}

static void reload_certificates(struct service *service)
{
    bool good = true;
    for (int i = 0; i < CERTIFICATES; ++i) {
        const char *error = load(service, i);
        good = good && error == NULL;
        if (error != NULL)
            log_error("certificate not reloaded", log_str("why", error));
    }
    show_certificates(service);
    count_reload(service, RELOAD_CERTIFICATES, good);
    if (good)
        log_info("certificate reloaded");
}

static bool same_place(const struct redis_url *a, const struct redis_url *b)
{
    bool same = a->kind == b->kind && a->secure == b->secure && a->db == b->db && a->node_count == b->node_count &&
                strcmp(a->path, b->path) == 0 && strcmp(a->name, b->name) == 0;
    for (size_t i = 0; same && i < a->node_count; ++i)
        same = redis_node_eq(&a->nodes[i], &b->nodes[i]);
    return same;
}

static const char *take_login(struct redis_url *url, const char *url_text, const char *sentinel_password)
{
    struct redis_url read;
    const char *why = redis_url_load(&read, url_text, sentinel_password, true); /* its place was good at the start */
    if (why == NULL && !same_place(url, &read))
        why = "REDIS_URL_FILE: only user and password may change while the program runs";
    if (why == NULL) {
        url->login = read.login;
        url->sentinel_login = read.sentinel_login;
    }
    OPENSSL_cleanse(&read, sizeof(read));
    return why;
}

static void forget(char *secret)
{
    if (secret != NULL)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

/* REDIS_URL_FILE and REDIS_SENTINEL_PASSWORD_FILE: new connections log in with what they hold now, open ones stay. */
static void reload_login(struct service *service)
{
    char *url = NULL, *password = NULL;
    const char *why = config_read_file("REDIS_URL", &url);
    if (why == NULL)
        why = config_read_file("REDIS_SENTINEL_PASSWORD", &password);
    if (why == NULL && url == NULL && password == NULL)
        return;
    if (why == NULL)
        why = take_login(&service->redis, url != NULL ? url : service->redis_url,
                         password != NULL ? password : service->redis_sentinel_password);
    forget(url);
    forget(password);
    count_reload(service, RELOAD_REDIS, why == NULL);
    if (why != NULL)
        log_error("redis login not reloaded", log_str("why", why));
    else
        log_info("redis login reloaded");
}

/* True: service->access is another one now. */
static bool reload_access(struct service *service)
{
    const char *error;
    if (service->access == NULL)
        return false;
    struct access *access = access_load(&service->access_options, service->cors_origins, &error);
    count_reload(service, RELOAD_KEYS, access != NULL);
    if (access == NULL) {
        log_error("keys not reloaded", log_str("why", error));
        return false;
    }
    access_free(service->access);
    service->access = access;
    log_info("keys reloaded");
    return true;
}

struct service_reloaded service_reload(struct service *service)
{
    struct service_reloaded reloaded = {.certificates = service->own_tls != NULL || service->tls != NULL || service->redis.secure};
    if (reloaded.certificates)
        reload_certificates(service);
    reload_login(service);
    reloaded.access = reload_access(service);
    return reloaded;
}

/* ---- the running program ---- */

int service_bind(const char *listener, const char *setting, const char *host, int64_t port, int *bound)
{
    const char *error;
    int fd = listener_bind(host, (int)port, bound, &error);
    if (fd == -1)
        die("%s: %s", setting, error);
    log_info("listening", log_str("listener", listener), log_int("port", *bound));
    return fd;
}

void service_add_check(struct service *service, const char *name, const char *(*run)(void *data), void *data)
{
    service->checks[service->check_count++] = (struct admin_check){.name = name, .run = run, .data = data};
}

void service_configure(const struct service *service, h2o_globalconf_t *conf)
{
    h2o_config_init(conf);
    conf->server_name = h2o_iovec_init(service->program->name, strlen(service->program->name));
    conf->max_request_entity_size = (size_t)service->body_limit + BODY_SLACK;
    conf->http2.idle_timeout = IDLE_TIMEOUT_MS;
}

void service_register_admin(struct service *service, h2o_globalconf_t *conf, struct admin_options options)
{
    service->admin[0] = h2o_config_register_host(conf, h2o_iovec_init(H2O_STRLIT("admin")), 65535);
    options.ready = service->checks;
    options.ready_count = service->check_count;
    admin_register(service->admin[0], &options);
}

/* The answer of /readyz, with the reason when it is not ready, whenever it is another one than before. */
static void log_readiness(void *data)
{
    struct service *service = data;
    const char *why = admin_first_failure(service->checks, service->check_count);
    if (why == NULL && service->ready_logged != READY_YES)
        log_info("ready");
    else if (why != NULL && service->ready_logged != READY_NO)
        log_warn("not ready", log_str("why", why));
    service->ready_logged = why == NULL ? READY_YES : READY_NO;
    timer_start(&service->ready_timer, READY_LOOK_MS);
}

void service_start(struct service *service, h2o_context_t *ctx, size_t admin_connections)
{
    struct announce_options announcement = *service->program->announcement;
    announcement.loop = ctx->loop;
    announcement.node = service->node;
    announcement.interval_ms = (uint64_t)service->status_ms;
    announcement.checks = service->checks;
    announcement.check_count = service->check_count;
    announcement.send = service->program->announce;
    announcement.data = service;
    announce_start(&service->announce, &announcement);
    timer_init(&service->ready_timer, ctx->loop, log_readiness, service);
    timer_start(&service->ready_timer, READY_LOOK_MS);
    show_certificates(service);
    service->admin_accept = (h2o_accept_ctx_t){.ctx = ctx, .hosts = service->admin};
    struct listener_options listener = {
        .accept = &service->admin_accept, .name = "admin", .max_connections = admin_connections, .total = admin_connections};
    service->admin_listener = listener_start(service->admin_fd, &listener);
    close(service->admin_fd);
    if (service->access == NULL)
        access_warn_open();
}

static void on_alarm(int signo)
{
    (void)signo;
    _exit(0);
}

void service_finished(struct service *service)
{
    service->state = SERVICE_DONE;
}

static void on_signal(void *data, int signo)
{
    struct service *service = data;
    if (signo == SIGHUP) {
        service->program->reload(service);
    } else if (service->state == SERVICE_RUNNING) {
        service->state = SERVICE_DRAINING;
        metric_set(service->program->rows.draining, 1);
        signal(SIGALRM, on_alarm);
        alarm(service->end_s);
        service->program->drain(service, signo == SIGTERM ? "SIGTERM" : "SIGINT");
    } else {
        service_finished(service);
    }
}

void service_run(struct service *service, h2o_loop_t *loop, unsigned end_s)
{
    service->end_s = end_s;
    signals_watch(loop, on_signal, service);
    trim_start(loop);
}
