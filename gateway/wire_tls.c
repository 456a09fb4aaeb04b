#include <errno.h>
#include <openssl/err.h>

#include "gateway/connection.h"
#include "gateway/wire.h"

enum { GATHER_BYTES = 65536 /* of queued frames made into one run of TLS records */ };

static SSL *session(const struct subscriber *subscriber)
{
    return ((struct connection *)listener_connection(subscriber->sock))->tls;
}

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

static ssize_t write_all(SSL *tls, const char *p, size_t n)
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

static ssize_t tls_send(struct subscriber *subscriber, struct slice bytes)
{
    return write_all(session(subscriber), bytes.p, bytes.n);
}

/* A write that OpenSSL took up but could not finish must be repeated with bytes that begin with the same ones: the queue's front, gathered again, does. */
static ssize_t tls_flush(struct subscriber *subscriber, size_t *wanted)
{
    static _Thread_local char gathered[GATHER_BYTES];
    size_t filled = 0;
    *wanted = 0;
    for (uint32_t i = 0; i < subscriber->queue.count && filled != GATHER_BYTES; ++i) {
        struct slice bytes = wire_bytes(subscriber, subscriber_queued(subscriber, i));
        if (i == 0)
            bytes = slice_from(bytes, subscriber->queue.offset);
        size_t part = bytes.n < GATHER_BYTES - filled ? bytes.n : GATHER_BYTES - filled;
        memcpy(gathered + filled, bytes.p, part);
        filled += part;
    }
    *wanted = filled;
    return write_all(session(subscriber), gathered, filled);
}

/* Counts what came over the socket, not what was in it: a client that only makes us answer key updates sends no data at all. */
static ssize_t tls_drain(struct subscriber *subscriber)
{
    SSL *tls = session(subscriber);
    char scratch[4096];
    uint64_t before = BIO_number_read(SSL_get_rbio(tls));
    ssize_t got = read_some(tls, scratch, sizeof(scratch));
    uint64_t came = BIO_number_read(SSL_get_rbio(tls)) - before;
    if (got == 0 || (got < 0 && errno != EAGAIN) || came == 0)
        return got;
    return (ssize_t)came;
}

/* The writing end first: what is still to be read may call for an answer. */
bool wire_adopt_tls(struct subscriber *subscriber)
{
    SSL *tls = session(subscriber);
    BIO *bio = tls == NULL ? NULL : BIO_new_socket(h2o_socket_get_fd(subscriber->sock), BIO_NOCLOSE);
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

const struct wire wire_tls = {tls_send, tls_flush, tls_drain};
