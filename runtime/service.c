#include "runtime/service.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime/h2o/h2_guard.h"
#include "runtime/h2o/h2o_check.h"
#include "runtime/http.h"
#include "runtime/net/listener.h"
#include "runtime/redis/redis_reload.h"
#include "runtime/reloads.h"

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

const char *service_prepare(struct service *service, const struct service_rows *rows, bool own_names)
{
    enum log_level level = LOG_INFO;
    log_level_parse(&level, service->log_level);
    log_set_level(level);
    service->reloads = rows->reloads;
    service->demo = service->access_options.demo = demo_on(service->demo_setting, service->access_options.key_file);
    config_replace(&service->demo_setting, service->demo ? "on" : "off");
    config_replace(&service->cors_origins, demo_origins(service->cors_origins, service->demo));
    const char *error = check_together(service);
    if (error == NULL)
        error = redis_url_load(&service->redis, service->redis_url, service->redis_sentinel_password, own_names);
    if (error != NULL)
        return error;
    service->proxies = proxies_parse(service->trusted_proxies);
    http_trust(service->proxies);
    admin_host_init(service->admin_hosts, service->admin_host);
    bodies_start((size_t)service->bodies_limit, service->proxies, rows->bodies);
    h2_guard_count(rows->h2_abuse);
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

SSL_CTX *service_tls(const struct service *service, const char *client_ca, const char **error)
{
    const struct tls_server_files files = {.cert = {"TLS_CERT", service->tls_cert},
                                           .key = {"TLS_KEY", service->tls_key},
                                           .client_ca = {"TLS_CLIENT_CA", client_ca},
                                           .ticket_keys = {"TLS_TICKET_KEYS_FILE", service->tls_ticket_keys}};
    return *service->tls_cert == 0 ? NULL : tls_server(&files, error);
}

int service_bind(const char *listener, const char *setting, const char *host, int64_t port, int *bound)
{
    const char *error;
    int fd = listener_bind(host, (int)port, bound, &error);
    if (fd == -1)
        die("%s: %s", setting, error);
    log_info("listening", log_str("listener", listener), log_int("port", *bound));
    return fd;
}

bool service_reload(struct service *service)
{
    const char *error;
    enum redis_reload outcome = redis_reload(&service->redis, service->redis_url, service->redis_sentinel_password);
    if (outcome != REDIS_RELOAD_NOTHING)
        reload_count(service->reloads, RELOAD_REDIS, outcome == REDIS_RELOAD_DONE);
    if (service->access == NULL)
        return false;
    struct access *access = access_load(&service->access_options, service->cors_origins, &error);
    reload_count(service->reloads, RELOAD_KEYS, access != NULL);
    if (access == NULL) {
        log_error("keys not reloaded", log_str("why", error));
        return false;
    }
    access_free(service->access);
    service->access = access;
    log_info("keys reloaded");
    return true;
}

static void on_alarm(int signo)
{
    (void)signo;
    _exit(0);
}

void service_end_within(unsigned seconds)
{
    signal(SIGALRM, on_alarm);
    alarm(seconds);
}
