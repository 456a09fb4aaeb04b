/* libh2o 2.2.5 has one way to give a socket away, h2o_http1_upgrade(), and that writes a head with "Connection: upgrade" of its own.
 * h2o_socket_write() puts our head in its place for the length of that one call, and one JSON sentence in the place of the 400 that the library
 * writes before there is a request. */
#include "runtime/h2o/takeover.h"

#include <stdlib.h>

#include "runtime/h2o/library.h"
#include "runtime/net/connection.h"

/* Of this thread: what the library's next write writes instead. */
static _Thread_local h2o_iovec_t *instead;

struct handover {
    void (*on_done)(void *data, h2o_socket_t *sock);
    void *data;
};

static void on_upgraded(void *data, h2o_socket_t *sock, size_t reqsize)
{
    struct handover handover = *(struct handover *)data;
    (void)reqsize;
    free(data);
    handover.on_done(handover.data, sock);
}

void takeover(h2o_req_t *req, h2o_iovec_t head, void (*on_done)(void *data, h2o_socket_t *sock), void *data)
{
    struct handover *handover = h2o_mem_alloc(sizeof(*handover));
    *handover = (struct handover){on_done, data};
    instead = &head;
    connection_of_request(req)->taken_over = true;
    h2o_http1_upgrade(req, NULL, 0, on_upgraded, handover);
    if (instead != NULL)
        abort(); /* it was not written, although h2o_check() passed */
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
    library.h2o_socket_write(sock, bufs, bufcnt, cb);
}
