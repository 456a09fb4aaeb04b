#include "runtime/net/socket_write.h"

#include "runtime/h2o/interpose.h"

typedef void socket_write_fn(h2o_socket_t *sock, h2o_iovec_t *bufs, size_t bufcnt, h2o_socket_cb cb);

static struct {
    socket_write_fn *write;
} library;

static const struct interposed functions[] = {
    {"h2o_socket_write", (void *)h2o_socket_write, (void **)&library.write},
};

enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

static _Thread_local h2o_iovec_t *instead;

__attribute__((constructor)) static void find_library(void)
{
    interpose_find(functions, FUNCTIONS);
}

const char *socket_write_start(void)
{
    return interpose_check(functions, FUNCTIONS);
}

void socket_write_instead(h2o_iovec_t *head)
{
    instead = head;
}

bool socket_write_withdraw(void)
{
    bool waited = instead != NULL;
    instead = NULL;
    return waited;
}

/* http1.c, send_bad_request(): before there is a request that an error could be the answer of. */
static bool is_bad_request(const h2o_iovec_t *bufs, size_t count)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
                               "Content-Length: 11\r\n\r\nBad Request";
    return count == 1 && h2o_memis(bufs[0].base, bufs[0].len, text, sizeof(text) - 1);
}

void h2o_socket_write(h2o_socket_t *sock, h2o_iovec_t *bufs, size_t bufcnt, h2o_socket_cb cb)
{
    static h2o_iovec_t malformed = {H2O_STRLIT("HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
                                               "Content-Length: 54\r\n\r\n"
                                               "{\"error\":\"this is not a well-formed HTTP/1.1 request\"}")};
    if (instead != NULL) {
        bufs = instead;
        bufcnt = 1;
        instead = NULL;
    } else if (is_bad_request(bufs, bufcnt)) {
        bufs = &malformed;
    }
    library.write(sock, bufs, bufcnt, cb);
}
