#include "runtime/net/tls_wire.h"

#include <errno.h>
#include <openssl/err.h>

/* OpenSSL's outcome as that of send(2) or recv(2). */
static ssize_t outcome(SSL *tls, int result)
{
    if (result > 0)
        return result;
    switch (SSL_get_error(tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        if (errno == 0)
            errno = ECONNRESET; /* ended without a close_notify */
        return -1;
    default:
        errno = EPROTO;
        return -1;
    }
}

static ssize_t read_some(SSL *tls, char *out, size_t room)
{
    ERR_clear_error();
    errno = 0;
    return outcome(tls, SSL_read(tls, out, (int)room));
}

ssize_t tls_wire_send(SSL *tls, const char *p, size_t n)
{
    size_t sent = 0;
    ERR_clear_error();
    errno = 0;
    while (sent != n) { /* SSL_MODE_ENABLE_PARTIAL_WRITE: a record at a time */
        ssize_t wrote = outcome(tls, SSL_write(tls, p + sent, (int)(n - sent)));
        if (wrote <= 0)
            return sent != 0 ? (ssize_t)sent : wrote;
        sent += (size_t)wrote;
    }
    return (ssize_t)sent;
}

ssize_t tls_wire_drain(SSL *tls)
{
    char scratch[4096];
    uint64_t before = BIO_number_read(SSL_get_rbio(tls));
    ssize_t got = read_some(tls, scratch, sizeof(scratch));
    uint64_t came = BIO_number_read(SSL_get_rbio(tls)) - before;
    if (got == 0 || (got < 0 && errno != EAGAIN) || came == 0)
        return got;
    return (ssize_t)came;
}

/* The writing end first: what is still to be read may call for an answer. */
bool tls_wire_adopt(SSL *tls, int fd)
{
    BIO *bio = BIO_new_socket(fd, BIO_NOCLOSE);
    char scratch[4096];
    ssize_t got;
    if (bio == NULL)
        return false;
    BIO_up_ref(bio);
    SSL_set0_wbio(tls, bio);
    while ((got = read_some(tls, scratch, sizeof(scratch))) > 0) /* of what libh2o took from the socket and has not decrypted */
        ;
    SSL_set0_rbio(tls, bio);
    SSL_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return got < 0 && errno == EAGAIN;
}
