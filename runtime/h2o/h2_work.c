#include "runtime/h2o/h2_work.h"

#include <h2o/http2_internal.h>

enum {
    REQUEST_BYTES = 6144, /* of libh2o's for any request: 5.4 KB were measured */
    WRITE_BUFFERS_BYTES = 2 * H2O_HTTP2_DEFAULT_OUTBUF_SIZE,
};

/* In the request's memory, and gone with it. */
struct request {
    h2o_linklist_t on_connection, on_thread; /* the oldest first */
    struct h2_work *work; /* NULL: no longer counted */
    const h2o_req_t *req;
    size_t bytes, borrowed;
};

static size_t thread_limit = H2_WORK_BYTES;
static _Thread_local struct {
    h2o_linklist_t requests;
    size_t bytes;
} thread;

void h2_work_threads(uint32_t threads)
{
    size_t share = H2_WORK_BYTES / (threads == 0 ? 1 : threads);
    thread_limit = share < H2_WORK_THREAD_BYTES ? H2_WORK_THREAD_BYTES : share;
}

void h2_work_init(struct h2_work *work)
{
    *work = (struct h2_work){.closed = false};
    h2o_linklist_init_anchor(&work->requests);
    if (thread.requests.next == NULL)
        h2o_linklist_init_anchor(&thread.requests);
}

static void add(struct request *request, size_t bytes)
{
    request->bytes += bytes;
    request->work->bytes += bytes;
    thread.bytes += bytes;
}

static void give_back(struct request *request)
{
    if (request->work == NULL)
        return;
    request->work->bytes -= request->bytes;
    request->work->borrowed -= request->borrowed;
    thread.bytes -= request->bytes;
    request->work = NULL;
    h2o_linklist_unlink(&request->on_connection);
    h2o_linklist_unlink(&request->on_thread);
}

static void on_request_gone(void *memory)
{
    give_back(memory);
}

/* A connection has a hundred at most, and it is mostly the newest that is asked for. */
static struct request *find(struct h2_work *work, const h2o_req_t *req)
{
    for (h2o_linklist_t *link = work->requests.prev; link != &work->requests; link = link->prev) {
        struct request *request = H2O_STRUCT_FROM_MEMBER(struct request, on_connection, link);
        if (request->req == req)
            return request;
    }
    return NULL;
}

void h2_work_begin(struct h2_work *work, h2o_req_t *req, size_t head)
{
    if (work->closed)
        return;
    struct request *request = h2o_mem_alloc_shared(&req->pool, sizeof(*request), on_request_gone);
    *request = (struct request){.work = work, .req = req};
    h2o_linklist_insert(&work->requests, &request->on_connection);
    h2o_linklist_insert(&thread.requests, &request->on_thread);
    add(request, REQUEST_BYTES + head);
}

void h2_work_answer(struct h2_work *work, const h2o_req_t *req, size_t bytes, bool copied)
{
    struct request *request = find(work, req);
    if (request == NULL)
        return;
    if (!copied) {
        size_t room = WRITE_BUFFERS_BYTES - work->borrowed;
        bytes = bytes < room ? bytes : room;
        work->borrowed += bytes;
        request->borrowed += bytes;
    }
    add(request, bytes);
}

void h2_work_release(struct h2_work *work, const h2o_req_t *req)
{
    struct request *request = find(work, req);
    if (request != NULL)
        give_back(request);
}

void h2_work_close(struct h2_work *work)
{
    work->closed = true;
    while (!h2o_linklist_is_empty(&work->requests))
        give_back(H2O_STRUCT_FROM_MEMBER(struct request, on_connection, work->requests.next));
}

struct h2_work *h2_work_oldest_if_over(void)
{
    if (thread.bytes <= thread_limit)
        return NULL;
    return H2O_STRUCT_FROM_MEMBER(struct request, on_thread, thread.requests.next)->work;
}
