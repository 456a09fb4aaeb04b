#include "gateway/http/status.h"

#include <stdlib.h>

#include "gateway/http/page.h"
#include "proto/sse.h"
#include "runtime/admin.h"
#include "runtime/http.h"

enum {
    WATCHERS_MAX = 16, /* of the admin port's 64 connections */
    PENDING_MAX = 1048576, /* a watcher that lags further behind misses announcements: the next one of that node makes up for it */
    RETRY_MS = 1000,
};

/* An open stream of announcements; in its request's pool. */
struct watcher {
    h2o_generator_t super;
    struct status *status;
    h2o_req_t *req;
    h2o_linklist_t link;
    h2o_doublebuffer_t sending;
    h2o_buffer_t *pending;
};

struct status {
    h2o_linklist_t watchers;
    size_t count;
    void (*on_watched)(void *data, bool watched);
    void *data;
    size_t own_len; /* 0: none yet */
    char own[ANNOUNCE_MAX];
};

/* ---- the streams ---- */

static void send_pending(struct watcher *watcher)
{
    h2o_iovec_t bytes = h2o_doublebuffer_prepare(&watcher->sending, &watcher->pending, SIZE_MAX);
    if (bytes.len != 0)
        h2o_send(watcher->req, &bytes, 1, H2O_SEND_STATE_IN_PROGRESS);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct watcher *watcher = H2O_STRUCT_FROM_MEMBER(struct watcher, super, generator);
    (void)req;
    if (watcher->sending.bytes_inflight != 0)
        h2o_doublebuffer_consume(&watcher->sending);
    send_pending(watcher);
}

static void push(struct watcher *watcher, struct slice json)
{
    struct event event = {.data = &json, .data_count = 1, .retry_ms = RETRY_MS};
    size_t n = sse_size(&event);
    if (watcher->pending->size + n > PENDING_MAX)
        return;
    sse_write(h2o_buffer_reserve(&watcher->pending, n).base, &event);
    watcher->pending->size += n;
    if (watcher->sending.bytes_inflight == 0)
        send_pending(watcher);
}

static void on_watcher_gone(void *memory)
{
    struct watcher *watcher = memory;
    struct status *status = watcher->status;
    h2o_linklist_unlink(&watcher->link);
    h2o_doublebuffer_dispose(&watcher->sending);
    h2o_buffer_dispose(&watcher->pending);
    if (--status->count == 0)
        status->on_watched(status->data, false);
}

static void watch(struct status *status, h2o_req_t *req)
{
    struct watcher *watcher = h2o_mem_alloc_shared(&req->pool, sizeof(*watcher), on_watcher_gone);
    *watcher = (struct watcher){.super = {.proceed = on_proceed}, .status = status, .req = req};
    h2o_doublebuffer_init(&watcher->sending, &h2o_socket_buffer_prototype);
    h2o_buffer_init(&watcher->pending, &h2o_socket_buffer_prototype);
    h2o_linklist_insert(&status->watchers, &watcher->link);
    if (status->count++ == 0)
        status->on_watched(status->data, true);
    req->res.status = 200;
    req->res.reason = "OK";
    http_add_header(req, "content-type", SLICE(SSE_CONTENT_TYPE));
    http_add_header(req, "x-accel-buffering", SLICE("no"));
    h2o_start_response(req, &watcher->super);
    push(watcher, slice_make(status->own, status->own_len));
}

static void tell(struct status *status, struct slice json)
{
    for (h2o_linklist_t *node = status->watchers.next, *next; node != &status->watchers; node = next) {
        next = node->next;
        push(H2O_STRUCT_FROM_MEMBER(struct watcher, link, node), json);
    }
}

void status_own(struct status *status, struct slice json)
{
    memcpy(status->own, json.p, json.n);
    status->own_len = json.n;
    tell(status, json);
}

void status_heard(struct status *status, struct slice text)
{
    if (text.n < 2 || text.n > ANNOUNCE_MAX || text.p[0] != '{' || text.p[text.n - 1] != '}')
        return;
    for (size_t i = 0; i < text.n; ++i)
        if ((unsigned char)text.p[i] < 0x20)
            return;
    tell(status, text);
}

/* ---- the admin port ---- */

struct handler {
    h2o_handler_t super;
    struct status *status;
};

static void serve_events(struct status *status, h2o_req_t *req)
{
    bool full = status->own_len == 0 || status->count == WATCHERS_MAX, head = http_method_is(req, "HEAD");
    http_add_header(req, "cache-control", head || !full ? SLICE(SSE_CACHE_CONTROL) : SLICE("no-store"));
    if (head) {
        http_send(req, 200, SSE_CONTENT_TYPE, SLICE(""));
    } else if (full) {
        http_error_later(req, 503, 1, "16 streams of /status/events are open, which is all there may be");
    } else {
        watch(status, req);
    }
}

static int on_req(h2o_handler_t *self, h2o_req_t *req)
{
    struct handler *handler = (struct handler *)self;
    struct slice path = http_path(req), asset = {NULL, 0};
    if (path.p != NULL && slice_starts(path, SLICE(PAGE_ASSETS)))
        asset = slice_from(path, sizeof(PAGE_ASSETS) - 1);
    bool page = path.p != NULL && slice_eq(path, SLICE("/status")),
         events = path.p != NULL && slice_eq(path, SLICE("/status/events"));
    if (!page && !events && asset.p == NULL)
        return -1;
    if (admin_refuse(req))
        return 0;
    if (page)
        page_serve(req, "status.html");
    else if (asset.p != NULL)
        page_serve_asset(req, asset);
    else
        serve_events(handler->status, req);
    return 0;
}

struct status *status_register(h2o_hostconf_t *host, void (*on_watched)(void *data, bool watched), void *data)
{
    static const char *const paths[] = {"/status", PAGE_ASSETS};
    struct status *status = h2o_mem_alloc(sizeof(*status));
    *status = (struct status){.on_watched = on_watched, .data = data};
    h2o_linklist_init_anchor(&status->watchers);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); ++i) {
        struct handler *handler =
            (struct handler *)h2o_create_handler(h2o_config_register_path(host, paths[i], 0), sizeof(*handler));
        handler->super.on_req = on_req;
        handler->status = status;
    }
    return status;
}
