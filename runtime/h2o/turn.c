/* How many connections a turn of the loop takes. libh2o reads what came on up to 256 sockets before anything else runs: events that have come from Redis wait until
 * it is done with a burst of requests. Here a turn takes CLIENTS_MAX client connections; those left over are the first of the next turn, as the kernel gives ready sockets in turn. The other sockets, which are
 * few (Redis, other threads' messages, listeners), are looked at in every turn, so that they never wait behind clients. Nothing to call: linking it does it. */
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "runtime/h2o/library.h"
#include "runtime/net/connection.h"

enum { CLIENTS_MAX = 32 };

const int turn_clients_max = CLIENTS_MAX;

/* The sockets of this thread's loop that are not client connections, polled for the same as there. 0: not made yet; a thread has one loop. */
static _Thread_local int others;

int epoll_ctl(int loop, int what, int fd, struct epoll_event *event)
{
    if (others == 0 && (others = epoll_create1(EPOLL_CLOEXEC)) == -1)
        return -1;
    /* libh2o gives no event when it closes a socket, and then it need not be there */
    if (event == NULL || connection_of(event->data.ptr) == NULL)
        library.epoll_ctl(others, what, fd, event);
    return library.epoll_ctl(loop, what, fd, event);
}

int epoll_wait(int loop, struct epoll_event *events, int max, int timeout_ms)
{
    int clients = max < CLIENTS_MAX ? max : CLIENTS_MAX;
    int count = library.epoll_wait(loop, events, clients, timeout_ms);
    if (count < clients)
        return count;
    int more = library.epoll_wait(others, events + count, max - count, 0); /* one that is given twice is taken once */
    return more > 0 ? count + more : count;
}
