#include "tests/fuzz/request.h"

/* libh2o's own, except that each allocation is a block of its own (the layout is that of its large ones, which h2o_mem_clear_pool() frees): so
 * the sanitizer sees every byte that is read or written beyond one. */
struct st_h2o_mem_pool_direct_t {
    struct st_h2o_mem_pool_direct_t *next;
    size_t dummy; /* keeps the bytes aligned */
    char bytes[];
};

void *h2o_mem_alloc_pool(h2o_mem_pool_t *pool, size_t size)
{
    struct st_h2o_mem_pool_direct_t *block = malloc(sizeof(*block) + size);
    must(block != NULL);
    block->next = pool->directs;
    pool->directs = block;
    return block->bytes;
}

static socklen_t on_get_peername(h2o_conn_t *conn, struct sockaddr *address)
{
    struct request *request = H2O_STRUCT_FROM_MEMBER(struct request, conn, conn);
    memcpy(address, &request->peer, sizeof(request->peer));
    return request->peer.ss_family == AF_UNSPEC ? 0 : sizeof(request->peer);
}

static const h2o_conn_callbacks_t callbacks = {.get_peername = on_get_peername};

void request_open(struct request *request, struct slice method, struct slice target)
{
    *request = (struct request){.req = {NULL}, .conn = {.callbacks = &callbacks}};
    h2o_req_t *req = &request->req;
    h2o_mem_init_pool(&req->pool);
    req->conn = &request->conn;
    req->input.scheme = req->scheme = &H2O_URL_SCHEME_HTTP;
    req->input.method = req->method = iovec_of_slice(method);
    req->input.path = req->path = iovec_of_slice(target);
    req->input.authority = req->authority = h2o_iovec_init(H2O_STRLIT("example.com"));
}

void request_add_header(struct request *request, struct slice line)
{
    struct slice value = line, name = slice_split(&value, ':');
    for (size_t i = 0; i != name.n; ++i)
        if (name.p[i] >= 'A' && name.p[i] <= 'Z')
            return;
    if (name.n == 0 || value.p == NULL)
        return;
    struct slice kept = slice_trim(value);
    h2o_iovec_t copy = h2o_strdup(&request->req.pool, kept.n == 0 ? "" : kept.p, kept.n);
    h2o_add_header_by_str(&request->req.pool, &request->req.headers, name.p, name.n, 1, NULL, copy.base, copy.len);
}

void request_close(struct request *request)
{
    h2o_mem_clear_pool(&request->req.pool);
}
