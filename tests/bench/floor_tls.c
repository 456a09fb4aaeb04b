#include "tests/bench/floor.h"

#include <openssl/err.h>

#include "tests/bench/bench.h"

SSL_CTX *floor_tls_context(const char *cert, const char *key)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL || SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        bench_fail("TLS: %s", ERR_reason_error_string(ERR_peek_last_error()));
    SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(tls, 0);
    return tls;
}

void floor_tls_open(struct floor *floor, int fd)
{
    SSL *ssl = SSL_new(floor->tls);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1)
        bench_fail("TLS: out of memory");
    SSL_set_accept_state(ssl);
    floor->streams[fd].ssl = ssl;
}

static ssize_t outcome(SSL *ssl, int result)
{
    if (result > 0)
        return result;
    int error = SSL_get_error(ssl, result);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* Does the handshake too; its flights are far below a fresh socket's buffer, so it never waits to write. */
ssize_t floor_tls_read(struct floor_stream *stream, char *p, size_t n)
{
    return outcome(stream->ssl, SSL_read(stream->ssl, p, (int)n));
}

ssize_t floor_tls_write(struct floor_stream *stream, const char *p, size_t n)
{
    return outcome(stream->ssl, SSL_write(stream->ssl, p, (int)n));
}

void floor_tls_deliver(struct floor *floor, struct floor_channel *channel, const char *p, size_t n)
{
    for (uint32_t i = 0; i < channel->count;) {
        int fd = channel->fds[i];
        if (fd < 0) {
            floor_keep(floor, ~fd, p, n);
            ++i;
        } else {
            i += floor_taken(floor, fd, floor_tls_write(&floor->streams[fd], p, n), p, n);
        }
    }
}
