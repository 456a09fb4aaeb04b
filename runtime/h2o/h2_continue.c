#include "runtime/h2o/h2_continue.h"

#include <h2o/http2_internal.h>

bool h2_continue_is_asked(const h2o_req_t *req)
{
    ssize_t at = h2o_find_header(&req->headers, H2O_TOKEN_EXPECT, -1);
    if (at == -1)
        return false;
    h2o_iovec_t value = req->headers.entries[at].value;
    return h2o_lcstris(value.base, value.len, H2O_STRLIT("100-continue"));
}

void h2_continue(struct st_h2o_http2_conn_t *conn, uint32_t stream_id, const h2o_req_t *req)
{
    static const uint8_t head[] = {0x08, 3, '1', '0', '0'}; /* :status, not indexed */
    if (conn->state >= H2O_HTTP2_CONN_STATE_HALF_CLOSED || !h2_continue_is_asked(req))
        return;
    uint8_t *out = (uint8_t *)h2o_buffer_reserve(&conn->_write.buf, H2O_HTTP2_FRAME_HEADER_SIZE + sizeof(head)).base;
    out = h2o_http2_encode_frame_header(out, sizeof(head), H2O_HTTP2_FRAME_TYPE_HEADERS, H2O_HTTP2_FRAME_FLAG_END_HEADERS,
                                        (int32_t)stream_id);
    memcpy(out, head, sizeof(head));
    conn->_write.buf->size += H2O_HTTP2_FRAME_HEADER_SIZE + sizeof(head);
    h2o_http2_conn_request_write(conn);
}
