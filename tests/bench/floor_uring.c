#include "tests/bench/floor.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

enum { BATCH = 256 };

struct io_uring *floor_uring_open(void)
{
    struct io_uring *ring = calloc(1, sizeof(*ring));
    int error = ring == NULL ? -ENOMEM : io_uring_queue_init(BATCH, ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error < 0)
        bench_fail("io_uring: %s", strerror(-error));
    return ring;
}

/* MSG_DONTWAIT makes every send end while it is submitted, MSG_WAITALL makes a short one a failure, and only failures are
 * reported: so after the submission the completion queue holds exactly the streams that need care. */
static void submit(struct floor *floor, const char *p, size_t n)
{
    struct io_uring_cqe *cqe;
    int submitted;
    do
        submitted = io_uring_submit_and_get_events(floor->ring);
    while (submitted == -EINTR || (submitted >= 0 && io_uring_sq_ready(floor->ring) != 0));
    if (submitted < 0)
        bench_fail("io_uring: %s", strerror(-submitted));
    while (io_uring_peek_cqe(floor->ring, &cqe) == 0) {
        ssize_t taken = cqe->res == -EAGAIN || cqe->res == -EINTR ? 0 : cqe->res;
        floor_taken(floor, (int)io_uring_cqe_get_data64(cqe), taken, p, n);
        io_uring_cqe_seen(floor->ring, cqe);
    }
}

void floor_uring_deliver(struct floor *floor, struct floor_channel *channel, const char *p, size_t n)
{
    /* From the end: what a failure removes is filled with a stream that was served. */
    for (uint32_t i = channel->count; i-- != 0;) {
        int fd = channel->fds[i];
        if (fd < 0) {
            floor_keep(floor, ~fd, p, n);
            continue;
        }
        struct io_uring_sqe *sqe = io_uring_get_sqe(floor->ring);
        io_uring_prep_send(sqe, fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL);
        io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
        io_uring_sqe_set_data64(sqe, (uint64_t)fd);
        if (io_uring_sq_space_left(floor->ring) == 0)
            submit(floor, p, n);
    }
    submit(floor, p, n);
}
