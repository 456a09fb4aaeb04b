#include "gateway/certificates.h"

#include "gateway/counters.h"
#include "runtime/log.h"

static void replace(SSL_CTX **ctx, SSL_CTX *next)
{
    SSL_CTX_free(*ctx);
    *ctx = next;
}

static const char *load_server(struct certificates *certificates)
{
    const char *error = NULL;
    SSL_CTX *ctx = service_tls(&certificates->options->service, "", &error);
    if (ctx != NULL)
        replace(&certificates->server, ctx);
    return error;
}

static const char *load_publisher(struct certificates *certificates)
{
    const struct options *options = certificates->options;
    const struct tls_client_files files = {.ca = {"PUBLISHER_CA", options->publisher_ca},
                                           .cert = {"PUBLISHER_CERT", options->publisher_cert},
                                           .key = {"PUBLISHER_KEY", options->publisher_key}};
    const h2o_url_t *url = certificates->publisher_url;
    const char *error = NULL;
    char host[256];
    if (url->scheme != &H2O_URL_SCHEME_HTTPS)
        return NULL;
    snprintf(host, sizeof(host), "%.*s", (int)url->host.len, url->host.base);
    SSL_CTX *ctx = tls_client(&files, host, &error);
    if (ctx == NULL)
        return error;
    tls_client_log(ctx);
    replace(&certificates->publisher, ctx);
    return NULL;
}

static const char *load_redis(struct certificates *certificates)
{
    return redis_tls_load(&certificates->options->service.redis, &certificates->options->service.redis_tls);
}

static const char *(*const loads[])(struct certificates *certificates) = {load_server, load_publisher, load_redis};

const char *certificates_load(struct certificates *certificates)
{
    const char *error = NULL;
    for (size_t i = 0; error == NULL && i < sizeof(loads) / sizeof(loads[0]); ++i)
        error = loads[i](certificates);
    return error;
}

void certificates_count(const struct certificates *certificates)
{
    certificate_gauge(COUNT_CERTIFICATE, certificates->server);
    certificate_gauge(COUNT_PUBLISHER_CERTIFICATE, certificates->publisher);
    certificate_gauge(COUNT_REDIS_CERTIFICATE, certificates->options->service.redis.tls);
}

bool certificates_reload(struct certificates *certificates)
{
    bool good = true;
    if (certificates->server == NULL && certificates->publisher == NULL && !certificates->options->service.redis.secure)
        return false;
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); ++i) {
        const char *error = loads[i](certificates);
        good = good && error == NULL;
        if (error != NULL)
            log_error("certificate not reloaded", log_str("why", error));
    }
    certificates_count(certificates);
    reload_count(COUNT_RELOADS, RELOAD_CERTIFICATES, good);
    if (good)
        log_info("certificate reloaded");
    return true;
}
