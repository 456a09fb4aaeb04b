#include "runtime/h2o/h2_timeouts.h"

#include <h2o/http2_internal.h>

enum {
    ANSWER_TURNS = 4, /* answers are looked at every so many turns: there may be a hundred streams, and the time limit is long */
    ANSWER_BYTES = 1024, /* less than this in the whole time is nothing */
};

static void find(struct h2_timeouts_found *found, enum h2_abuse abuse, h2o_http2_stream_t *stream)
{
    found->abuse = abuse;
    if (found->count < H2_TIMEOUTS_FOUND_MAX)
        found->requests[found->count++] = &stream->req;
}

static int64_t age_ms(h2o_http2_conn_t *conn, struct timeval since)
{
    struct timeval now = *h2o_get_timestamp(conn->super.ctx, NULL, NULL);
    return (int64_t)(now.tv_sec - since.tv_sec) * 1000 + (now.tv_usec - since.tv_usec) / 1000;
}

static void check_request(h2o_http2_conn_t *conn, h2o_http2_stream_t *stream, struct h2_timeouts_found *found)
{
    bool head = stream->state == H2O_HTTP2_STREAM_STATE_RECV_HEADERS;
    if (!head && stream->state != H2O_HTTP2_STREAM_STATE_RECV_BODY)
        return;
    if (age_ms(conn, stream->req.timestamps.request_begin_at) <= (int64_t)conn->super.ctx->globalconf->http1.req_timeout)
        return;
    find(found, H2_SLOW_REQUEST, stream);
    found->all = found->all || head; /* what follows of the header block can't be read without its beginning */
}

static bool is_blocked(h2o_http2_conn_t *conn, h2o_http2_stream_t *stream)
{
    bool final = stream->state == H2O_HTTP2_STREAM_STATE_SEND_BODY_IS_FINAL;
    if (!final && !(stream->state == H2O_HTTP2_STREAM_STATE_SEND_BODY && stream->_data.size != 0))
        return false;
    return stream->output_window._avail <= 0 || conn->_write.window._avail <= 0;
}

/* What we know of a blocked stream is kept in the time of its end, which libh2o writes when that comes and reads only after: the
 * bytes that were sent when it was first seen blocked, and for how many looks in a row it has been. */
static void check_answer(h2o_http2_conn_t *conn, h2o_http2_stream_t *stream, uint32_t looks, struct h2_timeouts_found *found)
{
    struct timeval *seen = &stream->req.timestamps.response_end_at;
    if (stream->state != H2O_HTTP2_STREAM_STATE_SEND_BODY && stream->state != H2O_HTTP2_STREAM_STATE_SEND_BODY_IS_FINAL)
        return;
    if (!is_blocked(conn, stream))
        *seen = (struct timeval){0, 0};
    else if (seen->tv_usec == 0 || (int64_t)stream->req.bytes_sent - seen->tv_sec >= ANSWER_BYTES)
        *seen = (struct timeval){(time_t)stream->req.bytes_sent, 1};
    else if (++seen->tv_usec > (suseconds_t)looks)
        find(found, H2_SLOW_ANSWER, stream);
}

static void check_streams(h2o_http2_conn_t *conn, uint32_t looks, struct h2_timeouts_found *found)
{
    for (uint32_t slot = 0; slot < conn->streams->slots; ++slot) {
        if (!KHASH_HOLDS(conn->streams, slot))
            continue;
        h2o_http2_stream_t *stream = conn->streams->values[slot];
        check_request(conn, stream, found);
        if (looks != 0 && found->abuse != H2_SLOW_REQUEST)
            check_answer(conn, stream, looks, found);
    }
}

static void check_idle(struct h2_timeouts *timeouts, h2o_http2_conn_t *conn, uint64_t requests, struct h2_timeouts_found *found)
{
    bool idle = conn->num_streams.pull.open == 0 && requests == timeouts->requests;
    timeouts->requests = requests;
    timeouts->idle_turns = idle ? timeouts->idle_turns + 1 : 0;
    if (timeouts->idle_turns * (uint64_t)H2_TIMEOUTS_PERIOD_MS > conn->super.ctx->globalconf->http2.idle_timeout) {
        found->abuse = H2_IDLE;
        found->all = true;
    }
}

void h2_timeouts_turn(struct h2_timeouts *timeouts, struct st_h2o_http2_conn_t *conn, uint64_t requests, uint32_t answer_ms,
                      struct h2_timeouts_found *found)
{
    bool look = ++timeouts->turns % ANSWER_TURNS == 0 && conn->num_streams.pull.send_body != 0;
    uint32_t looks = look ? answer_ms / (ANSWER_TURNS * H2_TIMEOUTS_PERIOD_MS) : 0;
    *found = (struct h2_timeouts_found){.abuse = H2_NO_ABUSE};
    if (look || conn->num_streams.pull.open > conn->num_streams.pull.half_closed)
        check_streams(conn, looks, found);
    if (found->abuse == H2_NO_ABUSE)
        check_idle(timeouts, conn, requests, found);
}
