#include "runtime/tls.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "runtime/h2o.h"
#include "runtime/listener.h"

/* TLS 1.2 with forward secrecy and authenticated encryption; those of TLS 1.3 all are. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"

static const char *sentence(const char *file, const char *fault)
{
    static char text[1024];
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    snprintf(text, sizeof(text), "%.400s: %s%s%s", file, fault, reason == NULL ? "" : ": ", reason == NULL ? "" : reason);
    ERR_clear_error();
    return text;
}

/* In place of OpenSSL's own, which would ask on the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *data)
{
    (void)buffer, (void)size, (void)writing, (void)data;
    return -1;
}

static const char *load(SSL_CTX *ctx, const char *cert_file, const char *key_file)
{
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        return sentence(cert_file, "the certificate can't be used");
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
        return sentence(key_file, "the private key can't be used");
    if (SSL_CTX_check_private_key(ctx) != 1)
        return sentence(key_file, "the private key is not that of the certificate");
    return NULL;
}

/* libh2o gives each session a BIO of its own, whose data is the socket. */
static h2o_socket_t *socket_of(const SSL *tls)
{
    BIO *bio = SSL_get_rbio(tls);
    const char *name = bio == NULL ? NULL : BIO_method_name(bio);
    return name != NULL && strcmp(name, "h2o_socket") == 0 ? BIO_get_data(bio) : NULL;
}

static void on_info(const SSL *tls, int where, int value)
{
    h2o_socket_t *sock = (where & SSL_CB_HANDSHAKE_DONE) != 0 ? socket_of(tls) : NULL;
    (void)value;
    if (sock != NULL && sock->on_close.data != NULL)
        listener_set_tls(sock, (SSL *)tls);
}

static void harden(SSL_CTX *ctx)
{
    static const unsigned char session_context[] = "sse";
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(ctx, CIPHERS);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_info_callback(ctx, on_info);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1);
    /* Clients resume with tickets; a cache here would be memory for nothing. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    h2o_ssl_register_alpn_protocols(ctx, h2o_alpn_protocols);
}

SSL_CTX *tls_server(const char *cert_file, const char *key_file, const char **error)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        *error = sentence("OpenSSL", "no context");
        return NULL;
    }
    harden(ctx);
    *error = load(ctx, cert_file, key_file);
    if (*error == NULL)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}
