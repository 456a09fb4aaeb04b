#include "runtime/h2o/h2_write.h"

#include <h2o/http2_internal.h>

static bool takes_data(const h2o_http2_conn_t *conn, const h2o_http2_stream_t *stream)
{
    return conn->state < H2O_HTTP2_CONN_STATE_IS_CLOSING && conn->sock->_cb.write == NULL &&
           stream->state == H2O_HTTP2_STREAM_STATE_SEND_BODY && stream->_data.size == 0;
}

/* The buffer is of one size, and what is above it would be memory that grows with what a client does not read. */
static bool has_room(const h2o_http2_conn_t *conn, const h2o_http2_stream_t *stream, size_t n)
{
    return conn->_write.buf->size + H2O_HTTP2_FRAME_HEADER_SIZE + n <= conn->_write.buf->capacity &&
           n <= conn->peer_settings.max_frame_size && (ssize_t)n <= stream->output_window._avail &&
           (ssize_t)n <= conn->_write.window._avail;
}

bool h2_write_data(h2o_req_t *req, struct slice bytes)
{
    h2o_http2_conn_t *conn = (h2o_http2_conn_t *)req->conn;
    h2o_http2_stream_t *stream = H2O_STRUCT_FROM_MEMBER(h2o_http2_stream_t, req, req);
    if (!takes_data(conn, stream) || !has_room(conn, stream, bytes.n))
        return false;
    uint8_t *at = (uint8_t *)h2o_buffer_reserve(&conn->_write.buf, H2O_HTTP2_FRAME_HEADER_SIZE + bytes.n).base;
    memcpy(h2o_http2_encode_frame_header(at, bytes.n, H2O_HTTP2_FRAME_TYPE_DATA, 0, (int32_t)stream->stream_id), bytes.p, bytes.n);
    conn->_write.buf->size += H2O_HTTP2_FRAME_HEADER_SIZE + bytes.n;
    conn->_write.window._avail -= (ssize_t)bytes.n;
    stream->output_window._avail -= (ssize_t)bytes.n;
    req->bytes_sent += bytes.n;
    if (!h2o_timeout_is_linked(&conn->_write.timeout_entry))
        h2o_http2_conn_request_write(conn);
    return true;
}

void h2_write_prefetch(const h2o_req_t *req)
{
    const h2o_http2_stream_t *stream = H2O_STRUCT_FROM_MEMBER(h2o_http2_stream_t, req, req);
    __builtin_prefetch(&stream->stream_id);
    __builtin_prefetch(&stream->output_window);
    __builtin_prefetch(&stream->_data);
    __builtin_prefetch(&req->conn);
    __builtin_prefetch(&req->bytes_sent);
}

void h2_write_reset(h2o_req_t *req)
{
    h2o_http2_conn_t *conn = (h2o_http2_conn_t *)req->conn;
    h2o_http2_stream_t *stream = H2O_STRUCT_FROM_MEMBER(h2o_http2_stream_t, req, req);
    if (conn->state >= H2O_HTTP2_CONN_STATE_IS_CLOSING)
        return;
    h2o_http2_encode_rst_stream_frame(&conn->_write.buf, stream->stream_id, -H2O_HTTP2_ERROR_CANCEL);
    h2o_http2_conn_request_write(conn);
    h2o_http2_stream_reset(conn, stream);
}

bool h2_write_wants_continue(const h2o_req_t *req)
{
    ssize_t at = h2o_find_header(&req->headers, H2O_TOKEN_EXPECT, -1);
    if (at == -1)
        return false;
    h2o_iovec_t value = req->headers.entries[at].value;
    return h2o_lcstris(value.base, value.len, H2O_STRLIT("100-continue"));
}

void h2_write_continue(struct st_h2o_http2_conn_t *conn, uint32_t stream_id, const h2o_req_t *req)
{
    static const uint8_t head[] = {0x08, 3, '1', '0', '0'}; /* :status, not indexed */
    if (conn->state >= H2O_HTTP2_CONN_STATE_HALF_CLOSED || !h2_write_wants_continue(req))
        return;
    uint8_t *out = (uint8_t *)h2o_buffer_reserve(&conn->_write.buf, H2O_HTTP2_FRAME_HEADER_SIZE + sizeof(head)).base;
    out = h2o_http2_encode_frame_header(out, sizeof(head), H2O_HTTP2_FRAME_TYPE_HEADERS, H2O_HTTP2_FRAME_FLAG_END_HEADERS,
                                        (int32_t)stream_id);
    memcpy(out, head, sizeof(head));
    conn->_write.buf->size += H2O_HTTP2_FRAME_HEADER_SIZE + sizeof(head);
    h2o_http2_conn_request_write(conn);
}
