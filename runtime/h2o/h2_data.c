#include "runtime/h2o/h2_data.h"

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

bool h2_data(h2o_req_t *req, struct slice bytes)
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

void h2_data_prefetch(const h2o_req_t *req)
{
    const h2o_http2_stream_t *stream = H2O_STRUCT_FROM_MEMBER(h2o_http2_stream_t, req, req);
    __builtin_prefetch(&stream->stream_id);
    __builtin_prefetch(&stream->output_window);
    __builtin_prefetch(&stream->_data);
    __builtin_prefetch(&req->conn);
    __builtin_prefetch(&req->bytes_sent);
}
