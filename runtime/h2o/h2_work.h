/* What HTTP/2 requests under way take of memory: heads whose body is still to come, and answers that their client does not take. A few
 * bytes ask for an answer of kilobytes, and a client that takes none of a hundred answers keeps them all. So they are counted, for
 * each connection and for each thread; over the bound of a thread the connection whose request is the oldest is closed: answers
 * that are taken are gone in milliseconds. Bodies are counted by bodies.h, event streams by their queues. */
#pragma once

#include <stdbool.h>

#include "runtime/h2o.h"

enum {
    H2_WORK_CONNECTION_BYTES = 4 << 20, /* 100 requests with heads of 16 KiB, and their answers */
    H2_WORK_BYTES = 16 << 20, /* of all threads */
    H2_WORK_THREAD_BYTES = 8 << 20, /* of each at least */
};

/* Of one connection; zeroed at first. */
struct h2_work {
    h2o_linklist_t requests;
    size_t bytes;
    size_t borrowed; /* of the answers that are not copied: what a connection's two write buffers hold of them at most */
    bool closed;
};

/* Before the threads start: how many share H2_WORK_BYTES; one by default. */
void h2_work_threads(uint32_t threads);

void h2_work_init(struct h2_work *work);

/* A request whose head takes so many bytes; it is counted until it is gone. */
void h2_work_begin(struct h2_work *work, h2o_req_t *req, size_t head);

/* Its answer; `copied`: into the request's memory. */
void h2_work_answer(struct h2_work *work, const h2o_req_t *req, size_t bytes, bool copied);

/* It is an event stream, which is counted elsewhere. */
void h2_work_release(struct h2_work *work, const h2o_req_t *req);

/* The connection is to be closed: all that it holds is given back now, so that no other is closed for it. */
void h2_work_close(struct h2_work *work);

/* The connection to close while this thread's bound is exceeded; NULL: it is not. */
struct h2_work *h2_work_oldest_if_over(void);
