#include "gateway/certificates.h"

#include "gateway/counters.h"
#include "gateway/worker.h"
#include "runtime/log.h"

static void replace(SSL_CTX **ctx, SSL_CTX *next)
{
    SSL_CTX_free(*ctx);
    *ctx = next;
}

static const char *load_server(struct gateway *gateway)
{
    const struct options *options = &gateway->options;
    const struct tls_server_files files = {.cert = {"TLS_CERT", options->tls_cert},
                                           .key = {"TLS_KEY", options->tls_key},
                                           .ticket_keys = {"TLS_TICKET_KEYS_FILE", options->tls_ticket_keys}};
    const char *error = NULL;
    SSL_CTX *ctx = *options->tls_cert == 0 ? NULL : tls_server(&files, &error);
    if (ctx != NULL)
        replace(&gateway->tls, ctx);
    return error;
}

static const char *load_publisher(struct gateway *gateway)
{
    const struct options *options = &gateway->options;
    const struct tls_client_files files = {.ca = {"PUBLISHER_CA", options->publisher_ca},
                                           .cert = {"PUBLISHER_CERT", options->publisher_cert},
                                           .key = {"PUBLISHER_KEY", options->publisher_key}};
    const h2o_url_t *url = &gateway->publisher_url;
    const char *error = NULL;
    char host[256];
    if (url->scheme != &H2O_URL_SCHEME_HTTPS)
        return NULL;
    snprintf(host, sizeof(host), "%.*s", (int)url->host.len, url->host.base);
    SSL_CTX *ctx = tls_client(&files, host, &error);
    if (ctx == NULL)
        return error;
    tls_client_log(ctx);
    replace(&gateway->publisher_tls, ctx);
    return NULL;
}

static const char *load_redis(struct gateway *gateway)
{
    return redis_tls_load(&gateway->redis_url, &gateway->options.redis_tls);
}

static const char *(*const loads[])(struct gateway *gateway) = {load_server, load_publisher, load_redis};

const char *certificates_load(struct gateway *gateway)
{
    const char *error = NULL;
    for (size_t i = 0; error == NULL && i < sizeof(loads) / sizeof(loads[0]); ++i)
        error = loads[i](gateway);
    return error;
}

void certificates_count(const struct gateway *gateway)
{
    certificate_gauge(COUNT_CERTIFICATE, gateway->tls);
    certificate_gauge(COUNT_PUBLISHER_CERTIFICATE, gateway->publisher_tls);
    certificate_gauge(COUNT_REDIS_CERTIFICATE, gateway->redis_url.tls);
}

void certificates_reload(struct gateway *gateway)
{
    bool good = true;
    if (gateway->tls == NULL && gateway->publisher_tls == NULL && !gateway->redis_url.secure)
        return;
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); ++i) {
        const char *error = loads[i](gateway);
        good = good && error == NULL;
        if (error != NULL)
            log_error("certificate not reloaded", log_str("why", error));
    }
    certificates_count(gateway);
    reload_count(COUNT_RELOADS, RELOAD_CERTIFICATES, good);
    for (uint32_t i = 0; i < gateway->worker_count; ++i)
        worker_set_tls(&gateway->workers[i], gateway->tls, gateway->publisher_tls);
    if (good)
        log_info("certificate reloaded");
}
