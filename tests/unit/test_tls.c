/* runtime/tls: certificates made on the spot, and a real handshake with a real listener. */
#include "runtime/net/tls.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <signal.h>
#include <sys/stat.h>

#include "runtime/http.h"
#include "runtime/net/connection.h"
#include "server.h"

static char folder[] = "/tmp/test_tls-XXXXXX";

/* A path in the folder, one of a few static buffers. */
static const char *in_folder(const char *name)
{
    static char paths[8][64];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static EVP_PKEY *write_key(const char *name, const char *passphrase)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *file = fopen(in_folder(name), "w");
    PEM_write_PrivateKey(file, key, passphrase == NULL ? NULL : EVP_aes_128_cbc(), NULL, 0, NULL, (void *)passphrase);
    fclose(file);
    return key;
}

static void write_certificate(const char *name, EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, key);
    X509_sign(cert, key, EVP_sha256());
    FILE *file = fopen(in_folder(name), "w");
    PEM_write_X509(file, cert);
    fclose(file);
    X509_free(cert);
}

static void write_files(void)
{
    if (mkdtemp(folder) == NULL)
        exit(2);
    EVP_PKEY *key = write_key("key.pem", NULL);
    write_certificate("cert.pem", key);
    EVP_PKEY_free(key);
    EVP_PKEY_free(write_key("other.pem", NULL));
    key = write_key("locked.pem", "geheim");
    write_certificate("locked-cert.pem", key);
    EVP_PKEY_free(key);
    FILE *file = fopen(in_folder("text.pem"), "w");
    if (file == NULL)
        exit(2);
    fputs("this is no PEM\n", file);
    fclose(file);
}

static void remove_files(void)
{
    static const char *const names[] = {"key.pem", "cert.pem", "other.pem", "locked.pem", "locked-cert.pem", "text.pem"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i)
        unlink(in_folder(names[i]));
    rmdir(folder);
}

static void test_files(void)
{
    static const struct {
        const char *fact, *cert, *key, *named, *why;
    } rows[] = {
        {"an absent certificate", "none.pem", "key.pem", "none.pem", "No such file or directory"},
        {"an absent key", "cert.pem", "none.pem", "none.pem", "No such file or directory"},
        {"a certificate that is none", "text.pem", "key.pem", "text.pem", "no start line"},
        {"a key that is none", "cert.pem", "text.pem", "text.pem", "the private key can't be used"},
        {"a key of another certificate", "cert.pem", "other.pem", "other.pem", "key values mismatch"},
        {"a key with a passphrase, without asking for it", "locked-cert.pem", "locked.pem", "locked.pem",
         "the private key can't be used"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        const char *error = NULL, *named = in_folder(rows[i].named);
        SSL_CTX *ctx = tls_server(
            &(struct tls_server_files){.cert = {"CERT", in_folder(rows[i].cert)}, .key = {"KEY", in_folder(rows[i].key)}}, &error);
        struct slice setting = strcmp(rows[i].named, rows[i].cert) == 0 ? SLICE("CERT: ") : SLICE("KEY: ");
        check(ctx == NULL && error != NULL && slice_starts(slice_of(error), setting) && strstr(error, named) == error + setting.n &&
                  strstr(error, rows[i].why) != NULL,
              "refused: %s (%s)", rows[i].fact, error == NULL ? "no sentence" : error);
        check(ERR_peek_error() == 0, "… and OpenSSL's queue is empty again");
    }
}

static int on_hello(h2o_handler_t *self, h2o_req_t *req)
{
    struct connection *connection = connection_of_request(req);
    (void)self;
    http_send(req, 200, "text/plain", ++connection->streams == 1 ? SLICE("hello 1") : SLICE("hello more"));
    return 0;
}

/* A client of the versions up to `version` that offers `alpn` (wire form); NULL when the handshake fails. */
static SSL *client_handshake(struct server *s, int version, const char *alpn)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(ctx, 0); /* so that it even tries TLS 1.1 */
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, version);
    if (alpn != NULL)
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)alpn, (unsigned)strlen(alpn));
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    int fd = client_connect(s), done;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    uint64_t end = server_now_ms() + 10000;
    while ((done = SSL_do_handshake(ssl)) != 1 && SSL_get_error(ssl, done) == SSL_ERROR_WANT_READ && server_now_ms() < end)
        h2o_evloop_run(s->ctx.loop, 1);
    ERR_clear_error();
    if (done == 1)
        return ssl;
    close(fd);
    SSL_free(ssl);
    return NULL;
}

static void client_free(SSL *ssl)
{
    if (ssl == NULL)
        return;
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
}

static bool client_gets(struct server *s, SSL *ssl, const char *want)
{
    static const char request[] = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    char answer[4096];
    size_t n = 0, got;
    SSL_write(ssl, request, sizeof(request) - 1);
    for (uint64_t end = server_now_ms() + 10000; server_now_ms() < end && memmem(answer, n, want, strlen(want)) == NULL;) {
        h2o_evloop_run(s->ctx.loop, 1);
        if (SSL_read_ex(ssl, answer + n, sizeof(answer) - n, &got) == 1)
            n += got;
    }
    ERR_clear_error();
    return memmem(answer, n, want, strlen(want)) != NULL;
}

static bool selected(SSL *ssl, const char *want)
{
    const unsigned char *name;
    unsigned length;
    SSL_get0_alpn_selected(ssl, &name, &length);
    return length == strlen(want) && (length == 0 || memcmp(name, want, length) == 0);
}

static void test_handshakes(struct server *s)
{
    SSL *ssl = client_handshake(s, TLS1_3_VERSION, "\x08http/1.1");
    check(ssl != NULL && SSL_version(ssl) == TLS1_3_VERSION && selected(ssl, "http/1.1"), "TLS 1.3 with HTTP/1.1 by ALPN");
    check(client_gets(s, ssl, "hello 1"), "requests are answered");
    check(client_gets(s, ssl, "hello more"), "the connection's memory survives the handshake");
    client_free(ssl);
    ssl = client_handshake(s, TLS1_3_VERSION, "\x08http/1.1\x02h2");
    check(ssl != NULL && selected(ssl, "h2"), "HTTP/2 comes first when both are offered");
    client_free(ssl);
    ssl = client_handshake(s, TLS1_2_VERSION, NULL);
    check(ssl != NULL && SSL_version(ssl) == TLS1_2_VERSION && selected(ssl, ""), "TLS 1.2 without ALPN");
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    check(SSL_CIPHER_is_aead(cipher) && strstr(SSL_CIPHER_get_name(cipher), "ECDHE") != NULL, "with forward secrecy: %s",
          SSL_CIPHER_get_name(cipher));
    check(client_gets(s, ssl, "hello 1"), "is HTTP/1.1");
    SSL_renegotiate(ssl);
    bool again = SSL_do_handshake(ssl) == 1;
    server_settle(s);
    again = again && SSL_do_handshake(ssl) == 1 && !SSL_renegotiate_pending(ssl);
    ERR_clear_error();
    check(!again, "a client can't renegotiate");
    client_free(ssl);
    ssl = client_handshake(s, TLS1_1_VERSION, NULL);
    check(ssl == NULL, "TLS 1.1 is refused");
    client_free(ssl);
}

int main(void)
{
    struct server s;
    const char *error;
    signal(SIGPIPE, SIG_IGN);
    write_files();
    test_files();
    SSL_CTX *ctx = tls_server(
        &(struct tls_server_files){.cert = {"CERT", in_folder("cert.pem")}, .key = {"KEY", in_folder("key.pem")}}, &error);
    if (check(ctx != NULL, "a certificate and its key are taken")) {
        /* OpenSSL's build or its openssl.cnf may ask for the same: it must hold without them. */
        check((SSL_CTX_get_options(ctx) & SSL_OP_NO_RENEGOTIATION) != 0, "renegotiation is off by our own choice");
        check(SSL_CTX_get_min_proto_version(ctx) == TLS1_2_VERSION, "so is all below TLS 1.2");
        check(SSL_CTX_get_default_passwd_cb(ctx) != NULL, "nothing asks for a passphrase on the terminal");
        check((SSL_CTX_get_mode(ctx) & SSL_MODE_RELEASE_BUFFERS) != 0, "idle connections hold no buffers");
        server_init(&s);
        h2o_create_handler(h2o_config_register_path(s.host, "/", 0), sizeof(h2o_handler_t))->on_req = on_hello;
        s.accept.ssl_ctx = ctx;
        server_open(&s, 10);
        test_handshakes(&s);
        check(server_close(&s), "all connections are gone at the end");
        SSL_CTX_free(ctx);
    }
    remove_files();
    return check_end();
}
