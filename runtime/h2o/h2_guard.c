#include "runtime/h2o/h2_guard.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "runtime/h2o/bodies.h"
#include "runtime/h2o/h1_pace.h"
#include "runtime/h2o/h2_head.h"
#include "runtime/h2o/h2_rates.h"
#include "runtime/h2o/h2_timeouts.h"
#include "runtime/h2o/h2_work.h"
#include "runtime/h2o/h2_write.h"
#include "runtime/h2o/library.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "runtime/net/connection.h"
#include "runtime/pace.h"

enum {
    HEAD_BYTES_MAX = 65536, /* of a header block as it comes; a head of HTTP_HEADERS_MAX takes less in any encoding */
    HEAD_FIELDS_MAX = 256, /* browsers send every cookie as a field of its own, and keep at most 180 for a site */
    HEAD_FRAMES_MAX = 64,
    BODIES_MAX = 16, /* as large as one may be */
    BODIES_LOOK_BYTES = 1 << 20, /* they are added up when so much came in */
    SMALL_DATA_BYTES = 64,
    WINDOW_UPDATE_BYTES =
        16, /* one WINDOW_UPDATE is fair for so many bytes sent: the least DATA frame with an event in it is twice that */
    OPEN_WINDOW = 1 << 30,
    /* pseudo-headers without which the library resets the stream */
    REQUEST_LINE =
        H2O_HPACK_PARSE_HEADERS_METHOD_EXISTS | H2O_HPACK_PARSE_HEADERS_PATH_EXISTS | H2O_HPACK_PARSE_HEADERS_SCHEME_EXISTS,
    FIELD_BYTES = 130, /* that the library takes for a field of a head beside its text */
};

enum state { GUARD_EXPECTED, GUARD_ON, GUARD_OVER };

struct h2_guard {
    enum state state; /* on: between the library's first and last use of the connection */
    enum h2_abuse abuse; /* what it is closed for */
    h2o_socket_t *sock;
    h2o_http2_conn_t *conn;
    struct h2_rates rates;
    uint64_t sent_bytes; /* as the kernel counted them when WINDOW_UPDATEs were last allowed for it */
    uint64_t requests;
    uint32_t body_bytes; /* since the bodies were last added up */
    uint32_t head_bytes, head_frames; /* of the header block that is under way */
    uint32_t head_stream;
    uint32_t dropping; /* the stream of the last DATA frame, if its body is refused; else 0 */
    bool head_ends_request;
    struct h2_work work;
    struct h2_timeouts timeouts;
    h2o_timeout_entry_t turn;
    struct pace pace;
};

/* The connection whose input is being read on this thread; NULL when none is, or it was closed meanwhile. */
static _Thread_local struct h2_guard *current;
static _Thread_local h2o_socket_cb library_on_read; /* of HTTP/2 connections; learnt from the first */
static _Thread_local struct log_limit abuse_limit;
static size_t first_row = SIZE_MAX;

void h2_guard_count(size_t first)
{
    first_row = first;
}

/* --- a connection's life --- */

/* Beside the reasons, what a build for tests/hardening can leave out. */
enum { PART_CLOSING = H2_ABUSES, PART_WINDOWS, PART_PACE };

static bool is_left_out(unsigned part)
{
#ifdef H2_GUARD_TESTING
    const char *off = getenv("H2_GUARD_OFF");
    return off != NULL && (strtoul(off, NULL, 0) >> part & 1) != 0;
#else
    (void)part;
    return false;
#endif
}

static void report(struct h2_guard *guard, enum h2_abuse abuse, const char *what)
{
#define NAME(first, abuse, name) [abuse] = name
    static const char *const names[] = {H2_ABUSE_EACH(NAME, 0)};
#undef NAME
    struct sockaddr_storage peer;
    char host[NI_MAXHOST] = "";
    socklen_t length = h2o_socket_getpeername(guard->sock, (struct sockaddr *)&peer);
    size_t n = length == 0 ? SIZE_MAX : h2o_socket_getnumerichost((struct sockaddr *)&peer, length, host);
    if (first_row != SIZE_MAX)
        metric_add(first_row + abuse, 1);
    if (log_allowed(&abuse_limit))
        log_warn(what, log_str("abuse", names[abuse]), log_slice("client", slice_make(host, n == SIZE_MAX ? 0 : n)));
}

static struct h2_guard *guard_of(h2o_socket_t *sock)
{
    struct connection *connection = connection_of(sock);
    return connection == NULL ? NULL : connection->guard;
}

static void expect(h2o_socket_t *sock)
{
    struct connection *connection = connection_of(sock);
    struct sockaddr_storage peer;
    if (connection == NULL || connection->guard != NULL)
        return;
    /* libh2o keeps it for report(): after a reset the kernel knows no address any more */
    h2o_socket_getpeername(sock, (struct sockaddr *)&peer);
    connection->guard = h2o_mem_alloc(sizeof(*connection->guard));
    *connection->guard = (struct h2_guard){.state = GUARD_EXPECTED, .sock = sock, .abuse = H2_NO_ABUSE};
}

static void forget(h2o_socket_t *sock)
{
    struct connection *connection = connection_of(sock);
    if (connection == NULL)
        return;
    free(connection->guard);
    connection->guard = NULL;
}

static void on_turn(h2o_timeout_entry_t *entry);

static void begin(struct h2_guard *guard)
{
    guard->state = GUARD_ON;
    guard->conn = guard->sock->data;
    guard->turn.cb = on_turn;
    h2_rates_init(&guard->rates, monotonic_ms());
    h2_work_init(&guard->work);
    h2o_timeout_link(guard->conn->super.ctx->loop, &guard->conn->super.ctx->one_sec_timeout, &guard->turn);
}

static void end(struct h2_guard *guard)
{
    h2o_timeout_unlink(&guard->turn);
    pace_forget(&guard->pace);
    h2_work_close(&guard->work);
    guard->state = GUARD_OVER;
    if (current == guard)
        current = NULL;
}

void h2o_http2_accept(h2o_accept_ctx_t *ctx, h2o_socket_t *sock, struct timeval connected_at)
{
    expect(sock);
    library.h2o_http2_accept(ctx, sock, connected_at);
    current = NULL;
}

int h2o_http2_handle_upgrade(h2o_req_t *req, struct timeval connected_at)
{
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    expect(sock);
    int result = library.h2o_http2_handle_upgrade(req, connected_at);
    if (result != 0)
        forget(sock);
    return result;
}

/* Reading or writing, the library will find the connection closed. */
static void cut(struct h2_guard *guard)
{
    shutdown(h2o_socket_get_fd(guard->sock), SHUT_RDWR);
}

/* NULL: there is none whose body is being received. */
static h2o_http2_stream_t *receiving(const h2o_http2_conn_t *conn, uint32_t stream_id)
{
    for (uint32_t slot = 0; slot < conn->streams->slots; ++slot) {
        h2o_http2_stream_t *stream = KHASH_HOLDS(conn->streams, slot) ? conn->streams->values[slot] : NULL;
        if (stream != NULL && stream->stream_id == stream_id && stream->state == H2O_HTTP2_STREAM_STATE_RECV_BODY)
            return stream;
    }
    return NULL;
}

/* What the library has taken of a body that is refused. */
static void drop_body(struct h2_guard *guard)
{
    h2o_http2_stream_t *stream = guard->dropping == 0 ? NULL : receiving(guard->conn, guard->dropping);
    guard->dropping = 0;
    if (stream != NULL)
        bodies_drop(&stream->_req_body);
}

/* A connection that is closing and still there waits for its client to take what is being written; the library would go on reading
 * it, into memory. */
static void on_read(h2o_socket_t *sock, const char *err)
{
    current = guard_of(sock);
    library_on_read(sock, err);
    struct h2_guard *guard = current;
    current = NULL;
    if (guard != NULL)
        drop_body(guard);
    if (guard != NULL && guard->conn->state == H2O_HTTP2_CONN_STATE_IS_CLOSING && !is_left_out(PART_CLOSING)) {
        h2o_socket_read_stop(sock);
        cut(guard);
    }
}

/* The library calls it for an HTTP/2 connection when that begins, and after it had stopped reading. It may then read what had come
 * before by itself, so this connection is the current one. */
void h2o_socket_read_start(h2o_socket_t *sock, h2o_socket_cb cb)
{
    struct h2_guard *guard = guard_of(sock);
    if (guard != NULL && guard->state == GUARD_EXPECTED) {
        library_on_read = cb;
        begin(guard);
        current = guard;
    }
    bool is_on = guard != NULL && guard->state == GUARD_ON;
    h2o_socket_cb reader = is_on && cb == library_on_read ? on_read : h1_pace_reader(sock, cb);
    if (reader != NULL)
        library.h2o_socket_read_start(sock, reader);
}

/* The end of every connection of the library's; its socket may live on, to close TLS. */
void h2o_http2_scheduler_dispose(h2o_http2_scheduler_node_t *root)
{
    h2o_http2_conn_t *conn = H2O_STRUCT_FROM_MEMBER(h2o_http2_conn_t, scheduler, root);
    struct h2_guard *guard = conn->sock == NULL ? NULL : guard_of(conn->sock);
    if (guard != NULL && guard->state == GUARD_ON)
        end(guard);
    library.h2o_http2_scheduler_dispose(root);
}

/* --- what the client sends --- */

/* WINDOW_UPDATEs are answers to what we send. The kernel knows how much that was, so sending need not count. */
static uint64_t earn_window_updates(struct h2_guard *guard)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);
    getsockopt(h2o_socket_get_fd(guard->sock), IPPROTO_TCP, TCP_INFO, &info, &length);
    uint64_t before = guard->sent_bytes;
    guard->sent_bytes = info.tcpi_bytes_acked;
    return (guard->sent_bytes - before) / WINDOW_UPDATE_BYTES;
}

static enum h2_abuse spend(struct h2_guard *guard, enum h2_abuse kind)
{
    if (h2_rates_take(&guard->rates, kind))
        return H2_NO_ABUSE;
    uint64_t earned = kind == H2_WINDOW_UPDATES ? earn_window_updates(guard) : 0;
    if (h2_rates_refill(&guard->rates, kind, monotonic_ms(), earned) || is_left_out(kind))
        return H2_NO_ABUSE;
    return kind;
}

/* The library's update_stream_output_window() asserts that a stream which waits for its write to complete (streams_to_proceed) is
 * not to be sent again, but takes one that has sent its last byte for such when the client's frame opens its window. With a window
 * that is open already it leaves it alone. */
static void open_ended_windows(h2o_http2_conn_t *conn)
{
    h2o_linklist_t *all = &conn->_write.streams_to_proceed;
    if (is_left_out(PART_WINDOWS))
        return;
    for (h2o_linklist_t *link = all->next; link != all; link = link->next) {
        h2o_http2_stream_t *stream = H2O_STRUCT_FROM_MEMBER(h2o_http2_stream_t, _refs.link, link);
        if (stream->state == H2O_HTTP2_STREAM_STATE_END_STREAM)
            stream->output_window._avail = OPEN_WINDOW;
    }
}

/* The library reopens a body's window as fast as it arrives, and buffers the body until it is complete. */
static bool are_bodies_too_large(h2o_http2_conn_t *conn)
{
    size_t sum = 0;
    for (uint32_t slot = 0; slot < conn->streams->slots; ++slot) {
        const h2o_http2_stream_t *stream = KHASH_HOLDS(conn->streams, slot) ? conn->streams->values[slot] : NULL;
        if (stream != NULL && stream->state == H2O_HTTP2_STREAM_STATE_RECV_BODY)
            sum += stream->_req_body->size;
    }
    return sum / BODIES_MAX > conn->super.ctx->globalconf->max_request_entity_size;
}

static enum h2_abuse judge_data(struct h2_guard *guard, const h2o_http2_frame_t *frame)
{
    bool padded = (frame->flags & H2O_HTTP2_FRAME_FLAG_PADDED) != 0 && frame->length != 0;
    uint32_t bytes =
        padded ? frame->length - 1 - frame->payload[0] : frame->length; /* a wrong padding wraps; the library refuses it */
    guard->body_bytes += frame->length;
    if (guard->body_bytes > BODIES_LOOK_BYTES) {
        guard->body_bytes = 0;
        if (are_bodies_too_large(guard->conn) && !is_left_out(H2_BODIES))
            return H2_BODIES;
    }
    if (bytes >= SMALL_DATA_BYTES || (frame->flags & H2O_HTTP2_FRAME_FLAG_END_STREAM) != 0)
        return H2_NO_ABUSE;
    return spend(guard, H2_SMALL_DATA);
}

static enum h2_abuse judge_head(struct h2_guard *guard, const h2o_http2_frame_t *frame)
{
    if (frame->type == H2O_HTTP2_FRAME_TYPE_HEADERS) {
        ++guard->requests;
        guard->head_stream = frame->stream_id;
        guard->head_ends_request = (frame->flags & H2O_HTTP2_FRAME_FLAG_END_STREAM) != 0;
        guard->head_bytes = guard->head_frames = 0;
    } else if (guard->conn->state >= H2O_HTTP2_CONN_STATE_HALF_CLOSED && !is_left_out(H2_CONTINUATIONS)) {
        return H2_CONTINUATIONS;
    }
    guard->head_bytes += frame->length;
    if (guard->head_bytes > HEAD_BYTES_MAX && !is_left_out(H2_HEAD_BYTES))
        return H2_HEAD_BYTES;
    return ++guard->head_frames > HEAD_FRAMES_MAX && !is_left_out(H2_CONTINUATIONS) ? H2_CONTINUATIONS : H2_NO_ABUSE;
}

/* The library prints a line to stderr for every frame of a type it does not know, and browsers send such: it gets the answer to a
 * PING that it never sent. */
static void make_harmless(h2o_http2_frame_t *frame)
{
    static const uint8_t zeros[8];
    *frame = (h2o_http2_frame_t){
        .length = sizeof(zeros), .type = H2O_HTTP2_FRAME_TYPE_PING, .flags = H2O_HTTP2_FRAME_FLAG_ACK, .payload = zeros};
}

static enum h2_abuse judge(struct h2_guard *guard, h2o_http2_frame_t *frame)
{
    switch (frame->type) {
    case H2O_HTTP2_FRAME_TYPE_DATA:
        return judge_data(guard, frame);
    case H2O_HTTP2_FRAME_TYPE_HEADERS:
    case H2O_HTTP2_FRAME_TYPE_CONTINUATION:
        return judge_head(guard, frame);
    case H2O_HTTP2_FRAME_TYPE_PRIORITY:
        return spend(guard, H2_PRIORITIES);
    case H2O_HTTP2_FRAME_TYPE_RST_STREAM:
        return spend(guard, H2_RESETS);
    case H2O_HTTP2_FRAME_TYPE_SETTINGS:
        open_ended_windows(guard->conn);
        return spend(guard, H2_SETTINGS);
    case H2O_HTTP2_FRAME_TYPE_PING:
        return spend(guard, H2_PINGS);
    case H2O_HTTP2_FRAME_TYPE_WINDOW_UPDATE:
        open_ended_windows(guard->conn);
        return spend(guard, H2_WINDOW_UPDATES);
    default:
        if (frame->type > H2O_HTTP2_FRAME_TYPE_CONTINUATION)
            make_harmless(frame);
        return spend(guard, H2_OTHER_FRAMES);
    }
}

static int refuse(struct h2_guard *guard, enum h2_abuse abuse, const char **why)
{
    if (guard->abuse == H2_NO_ABUSE)
        report(guard, abuse, "HTTP/2 connection closed: the client exceeded a limit");
    guard->abuse = abuse;
    *why = "this client asks for too much";
    return H2O_HTTP2_ERROR_ENHANCE_YOUR_CALM;
}

static void own_body(struct h2_guard *guard, uint32_t stream_id)
{
    drop_body(guard);
    h2o_http2_stream_t *stream = receiving(guard->conn, stream_id);
    if (stream == NULL)
        return;
    bodies_on_data(guard->sock, &stream->_req_body);
    guard->dropping = bodies_drop(&stream->_req_body) ? stream_id : 0;
}

static void resume(struct pace *pace)
{
    h2o_socket_t *sock = H2O_STRUCT_FROM_MEMBER(struct h2_guard, pace, pace)->sock;
    library.h2o_socket_read_start(sock, on_read);
    on_read(sock, NULL);
}

/* Whether the next request must wait; meanwhile its connection is not read. */
static bool waits_for_a_turn(struct h2_guard *guard)
{
    if (is_left_out(PART_PACE) || !pace_must_wait(h2o_socket_get_loop(guard->sock), guard->sock))
        return false;
    pace_wait(&guard->pace, h2o_socket_get_loop(guard->sock), guard->sock, resume);
    h2o_socket_read_stop(guard->sock);
    return true;
}

ssize_t h2o_http2_decode_frame(h2o_http2_frame_t *frame, const uint8_t *src, size_t len, const h2o_http2_settings_t *host,
                               const char **why)
{
    ssize_t consumed = library.h2o_http2_decode_frame(frame, src, len, host, why);
    if (consumed <= 0 || current == NULL)
        return consumed;
    if (frame->type == H2O_HTTP2_FRAME_TYPE_DATA)
        own_body(current, frame->stream_id);
    if (frame->type == H2O_HTTP2_FRAME_TYPE_HEADERS && waits_for_a_turn(current))
        return H2O_HTTP2_ERROR_INCOMPLETE;
    enum h2_abuse abuse = current->abuse != H2_NO_ABUSE ? current->abuse : judge(current, frame);
    return abuse == H2_NO_ABUSE ? consumed : refuse(current, abuse, why);
}

/* A reset that the library sends while it reads is one the client asked for: by a frame that is wrong for its stream, or by more
 * streams than there may be. The next frame ends the connection when it was one too many. */
void h2o_http2__encode_rst_stream_frame(h2o_buffer_t **buf, uint32_t stream_id, int code)
{
    library.h2o_http2__encode_rst_stream_frame(buf, stream_id, code);
    if (current == NULL || buf != &current->conn->_write.buf || current->abuse != H2_NO_ABUSE ||
        spend(current, H2_RESETS) == H2_NO_ABUSE)
        return;
    current->abuse = H2_RESETS;
    report(current, H2_RESETS, "HTTP/2 connection closed: the client exceeded a limit");
}

/* --- what requests under way take --- */

/* Frees the requests of a connection that is to be closed; the library itself would free them with it, a turn of the loop later, when
 * a hundred other connections have asked for as much. Not those that are being read (HTTP/2 or ours) or written. */
static void drop_requests(struct h2_guard *guard)
{
    h2o_http2_conn_t *conn = guard->conn;
    if (guard == current || conn->state >= H2O_HTTP2_CONN_STATE_IS_CLOSING)
        return;
    for (uint32_t slot = 0; slot < conn->streams->slots; ++slot)
        if (KHASH_HOLDS(conn->streams, slot))
            h2o_http2_stream_reset(conn, conn->streams->values[slot]);
}

/* Closes connections until there is room again, the oldest request's first. `req` is in use. The library finds a connection closed in
 * the loop's next turn. */
static void make_room(const h2o_req_t *req)
{
    for (struct h2_work *work; (work = h2_work_oldest_if_over()) != NULL;) {
        struct h2_guard *guard = H2O_STRUCT_FROM_MEMBER(struct h2_guard, work, work);
        h2_work_close(work);
        guard->abuse = H2_WORK;
        report(guard, H2_WORK, "HTTP/2 connection closed: too many requests under way");
        if (&guard->conn->super != req->conn)
            drop_requests(guard);
        cut(guard);
    }
}

static struct h2_guard *working_guard(h2o_req_t *req)
{
    struct h2_guard *guard = req->version < 0x200 ? NULL : guard_of(req->conn->callbacks->get_socket(req->conn));
    return guard != NULL && guard->state == GUARD_ON && !is_left_out(H2_WORK) ? guard : NULL;
}

void h2_guard_answer(h2o_req_t *req, size_t bytes, bool copied)
{
    struct h2_guard *guard = working_guard(req);
    if (guard == NULL)
        return;
    h2_work_answer(&guard->work, req, bytes, copied);
    if (guard->work.bytes > H2_WORK_CONNECTION_BYTES && guard->abuse == H2_NO_ABUSE) {
        guard->abuse = H2_WORK; /* the next frame ends the connection */
        report(guard, H2_WORK, "HTTP/2 connection closed: the client exceeded a limit");
    }
    make_room(req);
}

void h2_guard_stream(h2o_req_t *req)
{
    struct h2_guard *guard = working_guard(req);
    if (guard != NULL)
        h2_work_release(&guard->work, req);
}

/* Empty: the library decodes the field cache-digest at each reference to it, up to 190 KB for a byte of the head, and uses it only
 * to push files, of which we have none. */
void h2o_cache_digests_load_header(h2o_cache_digests_t **digests, const char *value, size_t len)
{
    (void)digests, (void)value, (void)len;
}

/* The scheme is the connection's, whatever the client says: FORCE_SSL and the way to the publisher go by it. */
static void set_scheme(struct h2_guard *guard, h2o_req_t *req)
{
    if (req->input.scheme != NULL)
        req->input.scheme = guard->sock->ssl != NULL ? &H2O_URL_SCHEME_HTTPS : &H2O_URL_SCHEME_HTTP;
}

/* The fields behind a body (RFC 9113 section 8.1) are dropped: the library would take them for fields of the head, which say who the
 * client is and what it may do. */
static int parse_trailers(h2o_req_t *req, h2o_hpack_header_table_t *table, const uint8_t *src, size_t len, size_t *content_length,
                          const char **why)
{
    size_t before = req->headers.size;
    int result = library.h2o_hpack_parse_headers(req, table, src, len, NULL, content_length, NULL, why);
    req->headers.size = before;
    return result == H2O_HTTP2_ERROR_INVALID_HEADER_CHAR ? 0 : result;
}

/* Without this the library drops the field Host of HTTP/2, unseen. */
__attribute__((constructor)) static void keep_host(void)
{
    H2O_TOKEN_HOST->http2_should_reject = 0;
}

/* The library reads each content-length of a head with it, and keeps the last. */
static _Thread_local size_t lengths_read;

size_t h2o_strtosize(const char *text, size_t len)
{
    ++lengths_read;
    return library.h2o_strtosize(text, len);
}

/* A client that waits for leave to send its body hears at once that it is refused; the answer to others has to wait for the body's end, since the library takes what comes
 * behind an answer for a fault. A sentence, or NULL. */
static const char *expect_body(struct h2_guard *guard, h2o_req_t *req, size_t *content_length)
{
    h2o_http2_stream_t *stream = H2O_STRUCT_FROM_MEMBER(h2o_http2_stream_t, req, req);
    bool is_refused = *content_length != SIZE_MAX && !bodies_expect(req, &stream->_req_body, *content_length);
    if (!is_refused) {
        h2_write_continue(guard->conn, guard->head_stream, req);
        return NULL;
    }
    *content_length = SIZE_MAX;
    return h2_write_wants_continue(req) ? "the body is refused" : NULL;
}

static int parse_head(struct h2_guard *guard, h2o_req_t *req, h2o_hpack_header_table_t *table, const uint8_t *src, size_t len,
                      int *pseudo, size_t *content_length, const char **why)
{
    lengths_read = 0;
    int result = library.h2o_hpack_parse_headers(req, table, src, len, pseudo, content_length, NULL, why);
    const char *fault = result == 0 && (*pseudo & REQUEST_LINE) == REQUEST_LINE ? h2_head_check(req, lengths_read) : NULL;
    if (guard != NULL) {
        set_scheme(guard, req);
        if (!is_left_out(H2_WORK))
            h2_work_begin(&guard->work, req, 2 * len + req->headers.size * FIELD_BYTES);
        make_room(req);
    }
    if (fault == NULL && result == 0 && guard != NULL && !guard->head_ends_request)
        fault = expect_body(guard, req, content_length);
    if (fault == NULL)
        return result;
    *why = fault;
    return H2O_HTTP2_ERROR_INVALID_HEADER_CHAR;
}

/* The library answers INVALID_HEADER_CHAR with 400 and *why. */
int h2o_hpack_parse_headers(h2o_req_t *req, h2o_hpack_header_table_t *table, const uint8_t *src, size_t len, int *pseudo,
                            size_t *content_length, h2o_cache_digests_t **digests, const char **why)
{
    (void)digests;
    if (current != NULL && h2_head_instructions(src, len, HEAD_FIELDS_MAX) > HEAD_FIELDS_MAX && !is_left_out(H2_HEAD_FIELDS))
        return refuse(current, H2_HEAD_FIELDS, why);
    if (pseudo == NULL)
        return parse_trailers(req, table, src, len, content_length, why);
    return parse_head(current, req, table, src, len, pseudo, content_length, why);
}

/* --- what the client does not do --- */

/* As the library itself ends a connection: GOAWAY, and it closes once that is written and no request is being answered. */
static void say_goodbye(h2o_http2_conn_t *conn)
{
    h2o_http2_encode_goaway_frame(&conn->_write.buf, conn->pull_stream_ids.max_open, H2O_HTTP2_ERROR_NONE,
                                  h2o_iovec_init(H2O_STRLIT("idle")));
    h2o_http2_conn_request_write(conn);
    conn->state = H2O_HTTP2_CONN_STATE_HALF_CLOSED;
}

static void end_slow(struct h2_guard *guard, const struct h2_timeouts_found *found)
{
    if (found->abuse == H2_IDLE && guard->conn->state == H2O_HTTP2_CONN_STATE_OPEN) {
        report(guard, H2_IDLE, "HTTP/2 connection closed: no requests");
        say_goodbye(guard->conn);
    } else if (found->all) {
        report(guard, found->abuse, "HTTP/2 connection closed: the client exceeded a limit");
        cut(guard);
    } else {
        report(guard, found->abuse, "HTTP/2 streams reset: the client is too slow");
        for (size_t i = 0; i < found->count; ++i)
            h2_write_reset(found->requests[i]);
    }
}

static void on_turn(h2o_timeout_entry_t *entry)
{
    struct h2_guard *guard = H2O_STRUCT_FROM_MEMBER(struct h2_guard, turn, entry);
    h2o_context_t *ctx = guard->conn->super.ctx;
    struct h2_timeouts_found found;
    h2o_timeout_link(ctx->loop, &ctx->one_sec_timeout, &guard->turn);
    if (guard->conn->state == H2O_HTTP2_CONN_STATE_IS_CLOSING)
        return;
    h2_timeouts_turn(&guard->timeouts, guard->conn, guard->requests, connection_of(guard->sock)->owner->user_timeout_ms, &found);
    if (found.abuse != H2_NO_ABUSE && !is_left_out(found.abuse))
        end_slow(guard, &found);
}
