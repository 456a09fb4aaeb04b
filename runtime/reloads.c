#include "runtime/reloads.h"

#include <time.h>

void reload_count(size_t first, enum reload what, bool good)
{
    metric_add(first + 2 * (size_t)what + !good, 1);
}

static int64_t seconds(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

void certificate_gauge(size_t at, SSL_CTX *ctx)
{
    X509 *own = ctx == NULL ? NULL : SSL_CTX_get0_certificate(ctx);
    STACK_OF(X509) *chain = NULL;
    int64_t first = own == NULL ? 0 : seconds(X509_get0_notAfter(own));
    if (own != NULL)
        SSL_CTX_get0_chain_certs(ctx, &chain);
    for (int i = 0; i < sk_X509_num(chain); ++i) {
        int64_t other = seconds(X509_get0_notAfter(sk_X509_value(chain, i)));
        first = other < first ? other : first;
    }
    metric_set(at, first);
}
