/* Limits how many client connections one turn of the loop reads. libh2o reads up to 256 sockets before anything else runs, so events from
 * Redis wait behind a burst of requests. Here a turn reads CLIENTS_MAX clients; the kernel gives the others first in the next turn. The few
 * other sockets (Redis, other threads' messages, listeners) are read in every turn. And a connection that the library does not read for a
 * moment stays in the loop. Nothing to call: linking it does it. */
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "runtime/h2o/library.h"
#include "runtime/net/connection.h"

enum { CLIENTS_MAX = 32 };

const int turn_clients_max = CLIENTS_MAX;

/* An epoll instance of this thread's sockets that are not client connections, with the same events as in its loop; a thread has one loop. */
static _Thread_local int others = -1;

/* libh2o takes an HTTP/1.1 connection out of the loop for each request and puts it back behind the answer: two system calls, an eighth of what a POST costs the publisher. So it stays in until
 * something comes on it too early. */
static int watch(int loop, int what, int fd, struct epoll_event *event, struct connection *connection)
{
    bool was_unread = connection->unread;
    connection->unread = what == EPOLL_CTL_DEL;
    if (connection->unread || (was_unread && event->events == connection->watched))
        return 0;
    connection->watched = event->events;
    return library.epoll_ctl(loop, was_unread ? EPOLL_CTL_MOD : what, fd, event);
}

int epoll_ctl(int loop, int what, int fd, struct epoll_event *event)
{
    if (others == -1 && (others = epoll_create1(EPOLL_CLOEXEC)) == -1)
        return -1;
    /* libh2o passes no event when it closes a socket, which may be either kind: an error here means that it was a client */
    struct connection *connection = event == NULL ? NULL : connection_of(event->data.ptr);
    if (connection != NULL)
        return watch(loop, what, fd, event, connection);
    library.epoll_ctl(others, what, fd, event);
    return library.epoll_ctl(loop, what, fd, event);
}

/* Takes out of the loop what came too early, and out of the list; how many events are left. */
static int drop_unread(int loop, struct epoll_event *events, int count)
{
    int left = 0;
    for (int i = 0; i < count; ++i) {
        struct connection *connection = connection_of(events[i].data.ptr);
        if (connection == NULL || !connection->unread) {
            events[left++] = events[i];
            continue;
        }
        connection->unread = false;
        library.epoll_ctl(loop, EPOLL_CTL_DEL, h2o_socket_get_fd(events[i].data.ptr), &events[i]);
    }
    return left;
}

int epoll_wait(int loop, struct epoll_event *events, int max, int timeout_ms)
{
    int clients = max < CLIENTS_MAX ? max : CLIENTS_MAX;
    int count = library.epoll_wait(loop, events, clients, timeout_ms);
    if (count <= 0)
        return count;
    int left = drop_unread(loop, events, count);
    if (count < clients)
        return left;
    int more = library.epoll_wait(others, events + left, max - left, 0); /* one that is given twice is taken once */
    return more > 0 ? left + more : left;
}
