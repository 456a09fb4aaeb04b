#include "tests/bench/http2.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

enum { WINDOW_MAX = 0x7fffffff };

struct http2 {
    nghttp2_session *session;
    struct link *link;
    struct streams *streams;
    struct stream *first; /* its id is 1, the next one's 3 … */
    unsigned count;
};

static struct stream *stream_of(const struct http2 *http2, int32_t id)
{
    unsigned i = (unsigned)id / 2;
    return id > 0 && i < http2->count ? http2->first + i : NULL;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value,
                     size_t value_n, uint8_t flags, void *data)
{
    (void)session, (void)flags, (void)value_n;
    struct http2 *http2 = data;
    struct stream *stream = stream_of(http2, frame->hd.stream_id);
    if (stream != NULL && stream->phase == STREAM_WAITING && name_n == 7 && memcmp(name, ":status", 7) == 0 && value[0] != '1')
        stream_head(http2->streams, stream, (unsigned)atoi((const char *)value));
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *data)
{
    (void)session, (void)flags;
    struct http2 *http2 = data;
    struct stream *stream = stream_of(http2, id);
    if (stream != NULL)
        stream_body(http2->streams, stream, (const char *)p, n);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *data)
{
    (void)session;
    struct http2 *http2 = data;
    struct stream *stream = stream_of(http2, id);
    if (stream != NULL)
        stream_close(http2->streams, stream, error == NGHTTP2_NO_ERROR ? "the server ended it" : nghttp2_http2_strerror(error));
    return 0;
}

static const char *send_all(struct http2 *http2)
{
    const uint8_t *p;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(http2->session, &p)) > 0)
        if (!link_write(http2->link, p, (size_t)n))
            return "the connection broke";
    return n < 0 ? nghttp2_strerror((int)n) : NULL;
}

static nghttp2_nv field(const char *name, const char *value, size_t value_n)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), value_n, NGHTTP2_NV_FLAG_NONE};
}

static void request(struct http2 *http2, const struct stream *stream, const char *authority)
{
    char path[512];
    size_t path_n = stream_path(http2->streams, stream, path, sizeof(path));
    nghttp2_nv fields[] = {
        field(":method", "GET", 3),
        field(":scheme", http2->link->ssl == NULL ? "http" : "https", http2->link->ssl == NULL ? 4 : 5),
        field(":authority", authority, strlen(authority)),
        field(":path", path, path_n),
        field("accept", "text/event-stream", 17),
    };
    int id = nghttp2_submit_request(http2->session, NULL, fields, sizeof(fields) / sizeof(fields[0]), NULL, NULL);
    if (id < 0)
        bench_fail("HTTP/2: %s", nghttp2_strerror(id));
}

static nghttp2_session *create_session(struct http2 *http2)
{
    static nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    if (callbacks == NULL) {
        if (nghttp2_session_callbacks_new(&callbacks) != 0)
            bench_fail("no memory");
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    }
    if (nghttp2_session_client_new(&session, callbacks, http2) != 0)
        bench_fail("no memory");
    return session;
}

struct http2 *http2_create(struct link *link, struct streams *streams, struct stream *first, unsigned count, const char *authority)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_MAX},
    };
    struct http2 *http2 = malloc(sizeof(*http2));
    if (http2 == NULL)
        bench_fail("no memory");
    *http2 = (struct http2){.link = link, .streams = streams, .first = first, .count = count};
    http2->session = create_session(http2);
    if (nghttp2_submit_settings(http2->session, NGHTTP2_FLAG_NONE, settings, 2) != 0 ||
        nghttp2_session_set_local_window_size(http2->session, NGHTTP2_FLAG_NONE, 0, WINDOW_MAX) != 0)
        bench_fail("no memory");
    for (unsigned i = 0; i < count; ++i)
        request(http2, first + i, authority);
    send_all(http2); /* a broken connection shows when it is read */
    return http2;
}

const char *http2_take(struct http2 *http2, const char *p, size_t n)
{
    ssize_t taken = nghttp2_session_mem_recv(http2->session, (const uint8_t *)p, n);
    if (taken < 0)
        return nghttp2_strerror((int)taken);
    if (nghttp2_session_want_write(http2->session))
        return send_all(http2);
    return nghttp2_session_want_read(http2->session) ? NULL : "the server ended the connection";
}

void http2_destroy(struct http2 *http2)
{
    if (http2 == NULL)
        return;
    nghttp2_session_del(http2->session);
    free(http2);
}
