#include "runtime/h2o/bodies.h"

#include <h2o/http2_internal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/h2o/h2o_check.h"
#include "tests/unit/vectors.h"

enum { LIMIT = 1 << 20, SHARE = LIMIT / 4, SMALL = 32768, SOCKETS = 6, ROUNDS = 20000 };

static const struct metric table[] = {BODIES_ROWS(0)};

static size_t counted(const h2o_buffer_t *buffer)
{
    return buffer->bytes != NULL && buffer->capacity > BODIES_FREE_BYTES ? buffer->capacity : 0;
}

static h2o_socket_t *open_socket(h2o_loop_t *loop)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        exit(2);
    close(fds[1]);
    h2o_socket_t *sock = h2o_evloop_socket_create(loop, fds[0], H2O_SOCKET_FLAG_DONT_READ);
    bodies_own(sock);
    return sock;
}

/* One step of what libh2o does with a buffer: it takes room, fills some of it, and consumes from the front. False where there was no room. */
static bool step(uint64_t *seed, h2o_buffer_t **slot)
{
    size_t wanted = 1 + random_next(seed) % (random_next(seed) % 8 == 0 ? 100000 : 5000);
    if (random_next(seed) % 3 == 0 && (*slot)->size != 0) {
        h2o_buffer_consume(slot, random_next(seed) % 2 == 0 ? (*slot)->size : 1 + random_next(seed) % (*slot)->size);
        return true;
    }
    h2o_iovec_t room = h2o_buffer_reserve(slot, wanted);
    if (room.base == NULL || room.len < wanted)
        return false;
    (*slot)->size += random_next(seed) % (wanted + 1);
    return true;
}

/* Inputs and bodies of one address, which all these sockets without one are. */
static void test_account(h2o_loop_t *loop)
{
    h2o_socket_t *socks[SOCKETS];
    h2o_buffer_t *bodies[SOCKETS], **slots[2 * SOCKETS];
    uint64_t seed = 20261129;
    unsigned wrong = 0, refused = 0, most = 0;
    for (size_t i = 0; i < SOCKETS; ++i) {
        socks[i] = open_socket(loop);
        slots[i] = &socks[i]->input;
        h2o_buffer_init(&bodies[i], &h2o_socket_buffer_prototype);
        bodies_on_data(socks[i], &bodies[i]);
        slots[SOCKETS + i] = &bodies[i];
    }
    for (int round = 0; round < ROUNDS; ++round) {
        size_t sum = 0;
        refused += !step(&seed, slots[random_next(&seed) % (2 * SOCKETS)]);
        for (size_t i = 0; i < 2 * SOCKETS; ++i)
            sum += counted(*slots[i]);
        wrong += metric_sum(BODIES_BYTES) != (int64_t)sum || sum > SHARE + SHARE / 4;
        most = sum > most ? (unsigned)sum : most;
    }
    check(wrong == 0, "in %d steps the account is what the buffers take, and never above the share (%u were not)", ROUNDS, wrong);
    check(refused > 100 && most > SHARE / 2, "the share was reached (%u refused, %u bytes at most)", refused, most);
    for (size_t i = 0; i < SOCKETS; ++i) {
        h2o_buffer_dispose(&bodies[i]);
        h2o_socket_close(socks[i]);
    }
    h2o_evloop_run(loop, 0);
    check(metric_sum(BODIES_BYTES) == 0, "what is closed is given back");
}

static void test_small(h2o_loop_t *loop)
{
    h2o_socket_t *full = open_socket(loop), *other = open_socket(loop), *frame = open_socket(loop);
    while (h2o_buffer_reserve(&full->input, 4096).len >= 4096)
        full->input->size += 4096;
    int64_t before = metric_sum(BODIES_REFUSED_ADDRESS);
    check(full->input->capacity == SHARE, "one buffer has the whole share");
    check(h2o_buffer_reserve(&full->input, 4096).len < 4096, "and no more");
    check(h2o_buffer_reserve(&other->input, 4096).len >= 4096, "the first buffer of another connection is not refused");
    other->input->size = 4096;
    check(h2o_buffer_reserve(&other->input, 4096).len >= 4096, "nor its second");
    other->input->size = 8192;
    check(h2o_buffer_reserve(&other->input, 4096).len >= 4096, "a small one may take a quarter more");
    check(h2o_buffer_reserve(&frame->input, SMALL).len >= SMALL, "so may a frame");
    h2o_buffer_t *body;
    h2o_buffer_init(&body, &h2o_socket_buffer_prototype);
    bodies_on_data(full, &body);
    check(h2o_buffer_reserve(&body, SMALL + 1).base == NULL, "a large body has no room at all");
    check(metric_sum(BODIES_REFUSED_ADDRESS) > before, "what is refused is counted");
    h2o_socket_close(full);
    check(h2o_buffer_reserve(&body, SMALL + 1).base != NULL, "once there is room it has");
    h2o_buffer_dispose(&body);
    h2o_socket_close(other);
    h2o_socket_close(frame);
    h2o_evloop_run(loop, 0);
    check(metric_sum(BODIES_BYTES) == 0, "all is given back");
}

enum { TOLD = 5, MOST = 190000 };

static h2o_socket_t *told_sock;

static h2o_socket_t *get_socket(h2o_conn_t *conn)
{
    (void)conn;
    return told_sock;
}

/* A stream whose head told this length; false where it was refused. */
static bool expect(h2o_http2_stream_t *stream, h2o_conn_t *conn, size_t length)
{
    memset(stream, 0, sizeof(*stream));
    h2o_mem_init_pool(&stream->req.pool);
    stream->req.conn = conn;
    stream->req.version = 0x200;
    h2o_buffer_init(&stream->_req_body, &h2o_socket_buffer_prototype);
    bool good = bodies_expect(&stream->req, &stream->_req_body, length);
    stream->_expected_content_length = good ? length : SIZE_MAX;
    return good;
}

/* A DATA frame of so many bytes; false where the library has no memory for it. */
static bool data(h2o_http2_stream_t *stream, size_t bytes)
{
    bodies_on_data(told_sock, &stream->_req_body);
    h2o_iovec_t room = h2o_buffer_reserve(&stream->_req_body, bytes);
    if (room.base != NULL)
        stream->_req_body->size += bytes;
    return room.base != NULL;
}

static void end(h2o_http2_stream_t *stream)
{
    h2o_buffer_dispose(&stream->_req_body);
    h2o_mem_clear_pool(&stream->req.pool);
}

static const char *refusal(h2o_http2_stream_t *stream, int *status)
{
    const char *why = bodies_refusal(&stream->req, status);
    return why == NULL ? "" : why;
}

/* Bodies of which the length is known: each has its room from its head on, and takes no more memory than that; the sum of all counts what has come. */
static void test_told(h2o_loop_t *loop)
{
    static h2o_globalconf_t conf = {.max_request_entity_size = MOST};
    static h2o_context_t ctx = {.globalconf = &conf};
    static const h2o_conn_callbacks_t callbacks = {.get_socket = get_socket};
    h2o_conn_t conn = {.ctx = &ctx, .callbacks = &callbacks};
    static h2o_http2_stream_t streams[TOLD], one;
    enum { FRAME = 16000, LENGTH = 2 * FRAME + 1001 }; /* odd, so that no doubling meets it */
    int status = 0;
    told_sock = open_socket(loop);
    for (int i = 0; i < TOLD; ++i)
        check(expect(&streams[i], &conn, LENGTH), "body %d of a sixth of what they may have fits", i);
    check(metric_sum(BODIES_BYTES) == 0, "nothing has come yet, so the sum of all is nothing");
    int64_t before = metric_sum(BODIES_REFUSED_ADDRESS);
    check(!expect(&one, &conn, LENGTH) && metric_sum(BODIES_REFUSED_ADDRESS) == before + 1, "one more does not, and is counted");
    check(data(&one, FRAME) && bodies_drop(&one._req_body) && one._req_body->size == 0, "what comes of it is dropped");
    check(data(&one, FRAME) && metric_sum(BODIES_BYTES) == 0, "… and never counted");
    check_slice(slice_of(refusal(&one, &status)), SLICE("your address is sending too many bytes of requests at once; retry later"),
                "the answer says so");
    check(status == 429 && one._req_body->bytes == NULL, "… and nothing of it is left");
    end(&one);
    check(expect(&one, &conn, 2 * BODIES_FREE_BYTES), "a small one may have a quarter more");
    end(&one);
    for (int i = 0; i < TOLD; ++i)
        check(data(&streams[i], FRAME) && data(&streams[i], FRAME) && data(&streams[i], 1001), "all of body %d comes", i);
    check(metric_sum(BODIES_BYTES) >= TOLD * LENGTH && metric_sum(BODIES_BYTES) < TOLD * (LENGTH + 16),
          "none takes more than it told, but for bytes (%d of %d)", (int)metric_sum(BODIES_BYTES), TOLD * LENGTH);
    check(!data(&streams[0], FRAME), "no more than was told may come");
    end(&streams[0]);
    check(expect(&streams[0], &conn, LENGTH), "a request that is gone leaves its room");
    check(refusal(&streams[0], &status)[0] == 0, "one that has room has no refusal");
    check(!expect(&one, &conn, MOST + 1), "a body above the largest is refused");
    check_slice(slice_of(refusal(&one, &status)), SLICE("the body is larger than this server accepts (BODY_LIMIT)"), "… and told");
    check(status == 413, "… as that");
    end(&one);
    for (int i = 0; i < TOLD; ++i)
        end(&streams[i]);
    check(metric_sum(BODIES_BYTES) == 0, "all is given back");
    check(expect(&one, &conn, MOST), "… the rooms, too");
    end(&one);
    h2o_socket_close(told_sock);
    h2o_evloop_run(loop, 0);
}

static void test_check(void)
{
    const char *why = bodies_check((8 << 20) - 1, 1 << 20);
    check(bodies_check(8 << 20, 1 << 20) == NULL,
          "an address can send one body of the largest size, over HTTP/1.1, where buffers double");
    check_slice(slice_of(why == NULL ? "" : why),
                SLICE("BODIES_LIMIT: must be at least 8388608, so that an address may send a body of BODY_LIMIT"),
                "with less it can never");
}

int main(void)
{
    metrics_init(table, BODIES_ROWS_COUNT);
    metrics_thread();
    const char *error = h2o_check();
    check(error == NULL, "the library calls the functions that replace its own %s", error);
    bodies_start(LIMIT, proxies_parse(""), 0);
    h2o_socket_buffer_prototype._initial_buf.capacity = BODIES_FIRST_BYTES;
    static h2o_loop_t *loop; /* as long as the process */
    loop = h2o_evloop_create();
    test_account(loop);
    test_small(loop);
    test_told(loop);
    test_check();
    return check_end();
}
