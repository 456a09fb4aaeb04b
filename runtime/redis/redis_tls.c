#include "runtime/redis/redis_tls.h"

#include <string.h>

#include "runtime/h2o.h"

/* What can be said without reading them. */
static const char *check(const struct redis_url *url, const struct redis_tls *files)
{
    if (!url->secure && files->ca[0] != '\0')
        return "REDIS_CA: is for rediss://, which REDIS_URL is not";
    if (!url->secure && files->cert[0] != '\0')
        return "REDIS_CERT: is for rediss://, which REDIS_URL is not";
    if (files->cert[0] == '\0' && files->key[0] != '\0')
        return "REDIS_CERT: must be set together with REDIS_KEY";
    return files->cert[0] != '\0' && files->key[0] == '\0' ? "REDIS_KEY: must be set together with REDIS_CERT" : NULL;
}

const char *redis_tls_load(struct redis_url *url, const struct redis_tls *files)
{
    const struct tls_client_files pem = {
        .ca = {"REDIS_CA", files->ca},
        .cert = {"REDIS_CERT", files->cert},
        .key = {"REDIS_KEY", files->key},
    };
    const char *error = check(url, files);
    if (error != NULL || !url->secure)
        return error;
    SSL_CTX *ctx = tls_client(&pem, url->nodes[0].host, &error);
    if (ctx == NULL)
        return error;
    tls_client_watch(ctx);
    if (url->tls != NULL)
        SSL_CTX_free(url->tls); /* sessions hold it for themselves */
    url->tls = ctx;
    return NULL;
}

/* A session takes its context's parameters along when it is made, so one context serves several hosts, one after the other. */
void redis_tls_expect(SSL_CTX *tls, const char *host, bool is_address)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(tls);
    X509_VERIFY_PARAM_set1_host(param, NULL, 0);
    X509_VERIFY_PARAM_set1_ip(param, NULL, 0);
    if ((is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, host) : X509_VERIFY_PARAM_set1_host(param, host, 0)) != 1)
        h2o_fatal("no host to check a certificate against"); /* else any certificate would do */
}
