#include "gateway/stream/heads.h"

#include <poll.h>

#include "runtime/h2o/h1_pace.h"

enum {
    HELD_MS = 1000, /* a head is held no longer: the feed then counts the stream as open since it asked; above REPLAY_HEAD_MS */
    LOOK_MS = 5, /* how often clients are looked for */
    LOOKS = 256, /* at so many, those that wait longest */
    LOOK_POLLS_MS = 100, /* how often requests that poll are looked at, and so many of their clients in turn */
};

static void open_old(struct heads *heads, uint64_t now)
{
    while (!h2o_linklist_is_empty(&heads->streams)) {
        struct subscriber *subscriber = H2O_STRUCT_FROM_MEMBER(struct subscriber, slow, heads->streams.next);
        if (subscriber->since_ms + HELD_MS > now)
            break;
        subscriber_open(subscriber);
    }
}

/* Connections whose requests have waited a little; those of HTTP/2 are read all the time. */
static nfds_t list_connections(h2o_linklist_t *list, uint64_t now, struct pollfd *polls, h2o_socket_t **socks)
{
    nfds_t count = 0;
    for (h2o_linklist_t *link = list->next; link != list && count < LOOKS; link = link->next) {
        struct subscriber *subscriber = H2O_STRUCT_FROM_MEMBER(struct subscriber, slow, link);
        if (subscriber->since_ms + LOOK_MS > now)
            break;
        h2o_socket_t *sock = subscriber_held_on(subscriber);
        if (sock == NULL)
            continue;
        polls[count] = (struct pollfd){.fd = h2o_socket_get_fd(sock), .events = POLLRDHUP};
        socks[count++] = sock;
    }
    return count;
}

/* libh2o does not read an HTTP/1.1 connection while its request is under way. So it does not notice that the client is gone, and all that it asked for would wait with the head. */
static void close_hung_up(h2o_linklist_t *list, uint64_t now)
{
    struct pollfd polls[LOOKS];
    h2o_socket_t *socks[LOOKS];
    nfds_t count = list_connections(list, now, polls, socks);
    if (count == 0 || poll(polls, count, 0) <= 0)
        return;
    for (nfds_t i = 0; i < count; ++i)
        if (polls[i].revents != 0)
            h1_hang_up(socks[i]);
}

static void look_at_polls(struct heads *heads, uint64_t now)
{
    heads->polls_ms = now;
    close_hung_up(&heads->polls, now);
    for (h2o_linklist_t *link = heads->polls.next, *next; link != &heads->polls; link = next) {
        struct subscriber *subscriber = H2O_STRUCT_FROM_MEMBER(struct subscriber, slow, link);
        next = link->next;
        if (subscriber->rotate_ms <= now)
            heads->on_due(heads->data, subscriber);
    }
    for (int i = 0; i < LOOKS && !h2o_linklist_is_empty(&heads->polls); ++i) {
        h2o_linklist_t *looked_at = list_take(&heads->polls);
        h2o_linklist_insert(&heads->polls, looked_at);
    }
}

static void look_soon(struct heads *heads)
{
    bool streams = !h2o_linklist_is_empty(&heads->streams), polls = !h2o_linklist_is_empty(&heads->polls);
    timer_stop(&heads->look);
    if (streams || polls)
        timer_start(&heads->look, streams ? LOOK_MS : LOOK_POLLS_MS);
}

static void on_look(void *data)
{
    struct heads *heads = data;
    uint64_t now = h2o_now(heads->look.loop);
    close_hung_up(&heads->streams, now);
    open_old(heads, now);
    if (heads->polls_ms + LOOK_POLLS_MS <= now)
        look_at_polls(heads, now);
    look_soon(heads);
}

void heads_init(struct heads *heads, h2o_loop_t *loop, void (*on_due)(void *data, struct subscriber *subscriber), void *data)
{
    *heads = (struct heads){.on_due = on_due, .data = data};
    h2o_linklist_init_anchor(&heads->streams);
    h2o_linklist_init_anchor(&heads->polls);
    timer_init(&heads->look, loop, on_look, heads);
}

void heads_hold(struct heads *heads, struct subscriber *subscriber, h2o_req_t *req)
{
    subscriber->since_ms = h2o_now(heads->look.loop);
    subscriber_hold(subscriber, req, &heads->streams);
    if (heads->streams.next == &subscriber->slow || !timer_running(&heads->look))
        look_soon(heads);
}

void heads_hold_poll(struct heads *heads, struct subscriber *subscriber, h2o_req_t *req)
{
    subscriber->since_ms = h2o_now(heads->look.loop);
    subscriber_hold(subscriber, req, &heads->polls);
    if (!timer_running(&heads->look))
        look_soon(heads);
}
