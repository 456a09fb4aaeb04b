#include "gateway/connection.h"

#include <string.h>

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
    if (sock != NULL)
        ((struct connection *)listener_connection(sock))->tls = (SSL *)tls;
}

void connection_learn_tls(SSL_CTX *ctx)
{
    SSL_CTX_set_info_callback(ctx, on_info);
}
