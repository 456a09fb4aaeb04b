#include "runtime/net/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/h2o.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "runtime/net/connection.h"
#include "runtime/net/tls_ticket.h"

/* TLS 1.2 with forward secrecy and authenticated encryption; those of TLS 1.3 all are. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
#define GROUPS "X25519:P-256:P-384"

enum { RETIRED_MS = 60000 /* libh2o closes a connection whose handshake is not done after 10 s */ };

static const char *sentence(const struct tls_file *file, const char *fault)
{
    static char text[1024];
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    snprintf(text, sizeof(text), "%s: %.400s: %s%s%s", file->setting, file->path, fault, reason == NULL ? "" : ": ",
             reason == NULL ? "" : reason);
    ERR_clear_error();
    return text;
}

static bool given(const struct tls_file *file)
{
    return file->path != NULL && file->path[0] != '\0';
}

/* In place of OpenSSL's own, which would ask on the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *data)
{
    (void)buffer, (void)size, (void)writing, (void)data;
    return -1;
}

static const char *load(SSL_CTX *ctx, const struct tls_file *cert, const struct tls_file *key)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, cert->path) != 1)
        return sentence(cert, "the certificate can't be used");
    if (SSL_CTX_use_PrivateKey_file(ctx, key->path, SSL_FILETYPE_PEM) != 1)
        return sentence(key, "the private key can't be used");
    if (SSL_CTX_check_private_key(ctx) != 1)
        return sentence(key, "the private key does not match the certificate");
    return NULL;
}

/* What both ends have in common. */
static SSL_CTX *create(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL)
        h2o_fatal("no TLS context");
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(ctx, CIPHERS);
    SSL_CTX_set1_groups_list(ctx, GROUPS);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    /* Clients resume with tickets; a cache here would be memory for nothing. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    return ctx;
}

/* An SSL_CB_… of an info callback that ends the session. */
static bool is_fatal(int where, int kind, int value)
{
    return (where & kind) == kind && value >> 8 == SSL3_AL_FATAL;
}

/* The context, or NULL for the sentence. */
static SSL_CTX *finish(SSL_CTX *ctx, const char *fault, const char **error)
{
    *error = fault;
    if (fault == NULL)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* ---- the server's end ---- */

/* libh2o gives each session a BIO of its own, whose data is the socket. */
static h2o_socket_t *socket_of(const SSL *tls)
{
    BIO *bio = SSL_get_rbio(tls);
    const char *name = bio == NULL ? NULL : BIO_method_name(bio);
    return name != NULL && strcmp(name, "h2o_socket") == 0 ? BIO_get_data(bio) : NULL;
}

/* libh2o drops the alert that would tell the client, so this line is all there is to find a wrong certificate by. */
static void log_refused(const SSL *tls)
{
    static _Thread_local struct log_limit limit;
    long fault = SSL_get_verify_result(tls);
    X509 *shown = SSL_get0_peer_certificate(tls);
    if (log_allowed(&limit))
        log_warn("client refused: no valid certificate", log_str("why", fault != X509_V_OK ? X509_verify_cert_error_string(fault)
                                                                        : shown == NULL    ? "none was presented"
                                                                                           : "the handshake failed"));
}

/* OpenSSL then takes what else came for the end of the session, and libh2o finds the connection closed. */
static void refuse_key_update(SSL *tls, h2o_socket_t *sock)
{
    static _Thread_local struct log_limit limit;
    if (log_allowed(&limit))
        log_warn("TLS connection closed: the client updates keys too often");
    SSL_set_shutdown(tls, SSL_RECEIVED_SHUTDOWN);
    shutdown(h2o_socket_get_fd(sock), SHUT_RDWR);
}

/* A client may send any number of KeyUpdates, 40,000 of them in a megabyte, and each costs two derivations of keys. One that wants an
 * answer libh2o refuses itself. */
static void on_message(int sent, int version, int type, const void *bytes, size_t n, SSL *tls, void *data)
{
    (void)version, (void)data;
    if (sent || type != SSL3_RT_HANDSHAKE || n == 0 || *(const unsigned char *)bytes != SSL3_MT_KEY_UPDATE)
        return;
    h2o_socket_t *sock = socket_of(tls);
    struct connection *connection = sock == NULL ? NULL : connection_of(sock);
    if (connection != NULL && !connection_takes_key_update(connection))
        refuse_key_update(tls, sock);
}

static void on_info(const SSL *tls, int where, int value)
{
    h2o_socket_t *sock = (where & SSL_CB_HANDSHAKE_DONE) != 0 ? socket_of(tls) : NULL;
    struct connection *connection = sock == NULL ? NULL : connection_of(sock);
    if (connection != NULL)
        connection->tls = (SSL *)tls;
    if (is_fatal(where, SSL_CB_WRITE_ALERT, value) && (SSL_get_verify_mode(tls) & SSL_VERIFY_PEER) != 0)
        log_refused(tls);
}

/* A ticket would let a client in without its certificate being looked at again: withdrawn, expired or not. */
static const char *demand_certificates(SSL_CTX *ctx, const struct tls_file *ca)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca->path);
    if (names == NULL || SSL_CTX_load_verify_file(ctx, ca->path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return sentence(ca, "the certificates can't be used");
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 0);
    return NULL;
}

SSL_CTX *tls_server(const struct tls_server_files *files, const char **error)
{
    static const unsigned char session_context[] = "sse";
    ERR_clear_error();
    SSL_CTX *ctx = create(TLS_server_method());
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_info_callback(ctx, on_info);
    SSL_CTX_set_msg_callback(ctx, on_message);
    SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1);
    h2o_ssl_register_alpn_protocols(ctx, h2o_alpn_protocols);
    const char *fault = load(ctx, &files->cert, &files->key);
    if (fault == NULL && given(&files->client_ca))
        fault = demand_certificates(ctx, &files->client_ca);
    if (fault == NULL)
        fault = tls_ticket_keys(ctx, files->ticket_keys.setting, given(&files->ticket_keys) ? files->ticket_keys.path : NULL);
    return finish(ctx, fault, error);
}

struct tls_retired {
    SSL_CTX *ctx;
    uint64_t since_ms;
    struct tls_retired *older;
};

static void free_retired(struct tls_retired **list)
{
    while (*list != NULL) {
        struct tls_retired *retired = *list;
        if (monotonic_ms() - retired->since_ms < RETIRED_MS) {
            list = &retired->older;
            continue;
        }
        *list = retired->older;
        SSL_CTX_free(retired->ctx);
        free(retired);
    }
}

void tls_slot_set(struct tls_slot *slot, SSL_CTX *ctx)
{
    free_retired(&slot->retired);
    if (slot->ctx != NULL) {
        struct tls_retired *retired = h2o_mem_alloc(sizeof(*retired));
        *retired = (struct tls_retired){.ctx = slot->ctx, .since_ms = monotonic_ms(), .older = slot->retired};
        slot->retired = retired;
    }
    slot->ctx = ctx;
}

/* ---- the client's end ---- */

static const char *alert_text(int alert)
{
    const char *text = SSL_alert_desc_string_long(alert);
    if (alert == TLS13_AD_CERTIFICATE_REQUIRED) /* OpenSSL 3.0 has no text for it */
        return "certificate required";
    return strcmp(text, "unknown") == 0 ? "an alert without a name" : text;
}

static void on_watched_info(const SSL *tls, int where, int value)
{
    if (is_fatal(where, SSL_CB_READ_ALERT, value))
        SSL_CTX_set_app_data(SSL_get_SSL_CTX(tls), (void *)alert_text(value & 0xff));
    else if ((where & SSL_CB_HANDSHAKE_START) != 0)
        SSL_CTX_set_app_data(SSL_get_SSL_CTX(tls), NULL);
}

void tls_client_watch(SSL_CTX *client)
{
    SSL_CTX_set_info_callback(client, on_watched_info);
}

const char *tls_client_alert(SSL_CTX *client)
{
    return SSL_CTX_get_app_data(client);
}

static void on_logged_info(const SSL *tls, int where, int value)
{
    static _Thread_local struct log_limit limit;
    bool theirs = is_fatal(where, SSL_CB_READ_ALERT, value), ours = is_fatal(where, SSL_CB_WRITE_ALERT, value);
    if ((!theirs && !ours) || !log_allowed(&limit))
        return;
    long fault = SSL_get_verify_result(tls);
    log_error(theirs ? "the publisher refused the TLS session" : "the publisher's TLS session was refused",
              log_str("why", ours && fault != X509_V_OK ? X509_verify_cert_error_string(fault) : alert_text(value & 0xff)));
}

void tls_client_log(SSL_CTX *client)
{
    SSL_CTX_set_info_callback(client, on_logged_info);
}

static void expect_host(SSL_CTX *ctx, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1)
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    ERR_clear_error(); /* of a name that is no address */
}

SSL_CTX *tls_client(const struct tls_client_files *files, const char *host, const char **error)
{
    const char *fault = NULL;
    ERR_clear_error();
    SSL_CTX *ctx = create(TLS_client_method());
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    expect_host(ctx, host);
    if (!given(&files->ca))
        SSL_CTX_set_default_verify_paths(ctx);
    else if (SSL_CTX_load_verify_file(ctx, files->ca.path) != 1)
        fault = sentence(&files->ca, "the certificates can't be used");
    if (fault == NULL && given(&files->cert))
        fault = load(ctx, &files->cert, &files->key);
    return finish(ctx, fault, error);
}
