/* Limits how many client connections one turn of the loop reads. libh2o reads up to 256 sockets before anything else runs, so events from
 * Redis wait behind a burst of requests. Here a turn reads CLIENTS_MAX clients; the kernel gives the others first in the next turn. The few
 * other sockets (Redis, other threads' messages, listeners) are read in every turn. Nothing to call: linking it does it. */
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "runtime/h2o/library.h"
#include "runtime/net/connection.h"

enum { CLIENTS_MAX = 32 };

const int turn_clients_max = CLIENTS_MAX;

/* An epoll instance of this thread's sockets that are not client connections, with the same events as in its loop; a thread has one loop. */
static _Thread_local int others = -1;

int epoll_ctl(int loop, int what, int fd, struct epoll_event *event)
{
    if (others == -1 && (others = epoll_create1(EPOLL_CLOEXEC)) == -1)
        return -1;
    /* libh2o passes no event when it closes a socket, which may be either kind: an error here means that it was a client */
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
