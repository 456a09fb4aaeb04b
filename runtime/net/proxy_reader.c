#include "runtime/net/proxy_reader.h"

#include <stdlib.h>

#include "runtime/net/proxy_protocol.h"

/* A connection whose header is not complete. */
struct reader {
    h2o_socket_t *sock;
    h2o_timeout_entry_t timeout;
    void (*on_done)(void *data, h2o_socket_t *sock, bool good);
    void *data;
};

static void finish(struct reader *reader, bool good)
{
    struct reader done = *reader;
    h2o_timeout_unlink(&reader->timeout);
    free(reader);
    h2o_socket_read_stop(done.sock);
    done.sock->data = NULL;
    done.on_done(done.data, done.sock, good);
}

static void on_timeout(h2o_timeout_entry_t *entry)
{
    finish(H2O_STRUCT_FROM_MEMBER(struct reader, timeout, entry), false);
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    struct reader *reader = sock->data;
    struct sockaddr_storage client;
    socklen_t length;
    size_t used;
    if (err != NULL) {
        finish(reader, false);
        return;
    }
    enum proxy_protocol result = proxy_protocol_read(slice_make(sock->input->bytes, sock->input->size), &client, &length, &used);
    if (result == PROXY_PROTOCOL_MORE)
        return;
    if (result == PROXY_PROTOCOL_CLIENT)
        h2o_socket_setpeername(sock, (void *)&client, length);
    h2o_buffer_consume(&sock->input, used);
    finish(reader, result != PROXY_PROTOCOL_BAD);
}

void proxy_reader_start(h2o_context_t *ctx, h2o_socket_t *sock, void (*on_done)(void *data, h2o_socket_t *sock, bool good),
                        void *data)
{
    struct reader *reader = h2o_mem_alloc(sizeof(*reader));
    *reader = (struct reader){.sock = sock, .timeout = {.cb = on_timeout}, .on_done = on_done, .data = data};
    h2o_timeout_link(ctx->loop, &ctx->handshake_timeout, &reader->timeout);
    sock->data = reader;
    h2o_socket_read_start(sock, on_read);
}
