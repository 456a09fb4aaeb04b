/* libh2o 2.2.5 has one way to give a socket away, h2o_http1_upgrade(), and that writes a head with "Connection: upgrade" of its own. The write
 * goes through the library's symbol table, where the executable comes first: so our h2o_socket_write() sees it, and for the length of that one
 * call puts our head in the place of the library's. */
#include "gateway/takeover.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "gateway/connection.h"

typedef void socket_write_fn(h2o_socket_t *sock, h2o_iovec_t *bufs, size_t bufcnt, h2o_socket_cb cb);

static socket_write_fn *library_write;
static _Thread_local h2o_iovec_t *head_instead;

struct handover {
    void (*on_done)(void *data, h2o_socket_t *sock);
    void *data;
};

__attribute__((constructor)) static void find_library_write(void)
{
    library_write = (socket_write_fn *)dlsym(RTLD_NEXT, "h2o_socket_write");
}

void h2o_socket_write(h2o_socket_t *sock, h2o_iovec_t *bufs, size_t bufcnt, h2o_socket_cb cb)
{
    if (head_instead != NULL) {
        bufs = head_instead;
        bufcnt = 1;
        head_instead = NULL;
    }
    library_write(sock, bufs, bufcnt, cb);
}

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
    head_instead = &head;
    connection_of(req)->taken_over = true;
    h2o_http1_upgrade(req, NULL, 0, on_upgraded, handover);
    if (head_instead != NULL)
        abort(); /* takeover_check() passed at the start, so the library cannot have changed */
}

const char *takeover_check(void)
{
    Dl_info ours, theirs;
    if (library_write == NULL)
        return "libh2o does not export h2o_socket_write";
    /* the address that libh2o itself would call: the first definition in the global scope must be the one above */
    void *first = dlsym(RTLD_DEFAULT, "h2o_socket_write");
    if (first != (void *)h2o_socket_write || dladdr(first, &ours) == 0 || dladdr((void *)library_write, &theirs) == 0 ||
        ours.dli_fbase == theirs.dli_fbase)
        return "h2o_socket_write of this program does not come before the library's";
    return NULL;
}
