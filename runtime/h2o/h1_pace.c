#include "runtime/h2o/h1_pace.h"

#include <stdlib.h>

#include "runtime/h2o/library.h"
#include "runtime/net/connection.h"
#include "runtime/pace.h"

struct h1_pace {
    struct pace pace;
    h2o_socket_t *sock;
    h2o_buffer_t *input; /* what came behind the last request, while it waits; else NULL */
};

static _Thread_local struct {
    bool accepts; /* the library is about to read an HTTP/1 connection for the first time */
    const void *between; /* the connection of the request that was made last, until that is read */
    h2o_socket_cb on_read; /* of HTTP/1 connections; learnt when one is accepted */
} library_state;

/* --- waiting --- */

static void drop(h2o_socket_t *sock)
{
    struct connection *connection = connection_of(sock);
    struct h1_pace *h1 = connection == NULL ? NULL : connection->h1_pace;
    if (h1 == NULL)
        return;
    pace_forget(&h1->pace);
    if (h1->input != NULL)
        h2o_buffer_dispose(&h1->input);
    free(h1);
    connection->h1_pace = NULL;
}

static void resume(struct pace *pace)
{
    struct h1_pace *h1 = H2O_STRUCT_FROM_MEMBER(struct h1_pace, pace, pace);
    h2o_socket_t *sock = h1->sock;
    if (h1->input != NULL) {
        h2o_buffer_dispose(&sock->input);
        sock->input = h1->input;
        h1->input = NULL;
    }
    h2o_socket_read_start(sock, library_state.on_read);
    library_state.on_read(sock, NULL);
}

static struct h1_pace *line_up(h2o_socket_t *sock)
{
    struct connection *connection = connection_of(sock);
    if (connection->h1_pace == NULL) {
        connection->h1_pace = h2o_mem_alloc(sizeof(*connection->h1_pace));
        *connection->h1_pace = (struct h1_pace){.sock = sock};
    }
    pace_wait(&connection->h1_pace->pace, h2o_socket_get_loop(sock), sock, resume);
    return connection->h1_pace;
}

/* The library begins the next request as soon as it has started to read, when it finds input. So it finds none. */
static void hide_input(h2o_socket_t *sock, struct h1_pace *h1)
{
    h1->input = sock->input;
    h2o_buffer_init(&sock->input, h1->input->_prototype);
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    if (err == NULL && pace_must_wait(h2o_socket_get_loop(sock), sock)) {
        h2o_socket_read_stop(sock);
        line_up(sock);
    } else {
        library_state.on_read(sock, err);
    }
}

h2o_socket_cb h1_pace_reader(h2o_socket_t *sock, h2o_socket_cb cb)
{
    bool is_between = sock->data != NULL && sock->data == library_state.between;
    library_state.between = NULL;
    if (library_state.accepts)
        library_state.on_read = cb;
    library_state.accepts = false;
    if (cb != library_state.on_read || connection_of(sock) == NULL) {
        drop(sock);
        return cb;
    }
    if (!is_between || sock->input->size == 0 || !pace_must_wait(h2o_socket_get_loop(sock), sock))
        return on_read;
    hide_input(sock, line_up(sock));
    return NULL;
}

/* --- a connection's life --- */

void h1_hang_up(h2o_socket_t *sock)
{
    library_state.on_read(sock, h2o_socket_error_closed);
}

void h2o_http1_accept(h2o_accept_ctx_t *ctx, h2o_socket_t *sock, struct timeval connected_at)
{
    library_state.accepts = true;
    library.h2o_http1_accept(ctx, sock, connected_at);
}

/* The library makes the next request of a connection before it reads on. It also reads on for a body; then the request is not new. */
void h2o_init_request(h2o_req_t *req, h2o_conn_t *conn, h2o_req_t *src)
{
    library.h2o_init_request(req, conn, src);
    library_state.between = conn;
}

/* Over TLS the socket lives on until the client knows; its connection does not. */
void h2o_socket_close(h2o_socket_t *sock)
{
    drop(sock);
    library.h2o_socket_close(sock);
}
