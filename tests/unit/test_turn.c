/* runtime/h2o/turn.c: on a real loop, with more clients that have sent something than a turn takes. */
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/h2o/library.h"
#include "runtime/net/connection.h"
#include "tests/check.h"

enum { CLIENTS = 100, TURN = 32 };

static h2o_loop_t *loop;
static int client_reads, other_reads, most_in_a_turn;
static bool was_read[CLIENTS];

static void on_client(h2o_socket_t *sock, const char *err)
{
    (void)err;
    h2o_buffer_consume(&sock->input, sock->input->size);
    *(bool *)sock->data = true;
    ++client_reads;
}

static void on_other(h2o_socket_t *sock, const char *err)
{
    (void)err;
    h2o_buffer_consume(&sock->input, sock->input->size);
    ++other_reads;
}

static void on_closed(struct connection_owner *owner)
{
    (void)owner;
}

static h2o_socket_t *sockets[CLIENTS + 1];
static size_t socket_count;

/* The other end. */
static int open_socket(h2o_socket_cb on_read, void *data)
{
    static struct connection_owner owner = {.on_closed = on_closed};
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        abort();
    h2o_socket_t *sock = h2o_evloop_socket_create(loop, ends[0], 0);
    sock->data = data;
    sockets[socket_count++] = sock;
    if (on_read == on_client)
        connection_open(sock, &owner);
    h2o_socket_read_start(sock, on_read);
    return ends[1];
}

static void say(int fd)
{
    if (write(fd, "x", 1) != 1)
        abort();
}

static void turn(void)
{
    int before = client_reads;
    h2o_evloop_run(loop, 1000);
    if (client_reads - before > most_in_a_turn)
        most_in_a_turn = client_reads - before;
}

static void test_all_are_taken_in_turn(const int *clients)
{
    for (int i = 0; i < CLIENTS; ++i)
        say(clients[i]);
    while (client_reads < CLIENTS)
        turn();
    int missed = 0;
    for (int i = 0; i < CLIENTS; ++i)
        missed += !was_read[i];
    check(missed == 0, "each client is read");
    check(most_in_a_turn <= TURN, "a turn takes no more clients than %d", TURN);
}

static void test_others_do_not_wait(const int *clients, int other)
{
    for (int i = 0; i < CLIENTS; ++i)
        say(clients[i]);
    say(other);
    turn();
    check(other_reads == 1, "what is no client is read in the first turn, though it was ready last");
    say(other);
    turn();
    check(other_reads == 2, "and in the next, though it was ready last again");
}

/* ---- a connection that is not read for a moment ---- */

static typeof(epoll_ctl) *real_epoll_ctl;
static int changes; /* of what the loop waits for, as the kernel sees them */

static int count_changes(int epoll, int what, int fd, struct epoll_event *event)
{
    ++changes;
    return real_epoll_ctl(epoll, what, fd, event);
}

static int changes_in_a_turn(void)
{
    changes = 0;
    h2o_evloop_run(loop, 0);
    return changes;
}

static void test_a_short_stop_is_free(h2o_socket_t *sock, int client)
{
    bool *read = sock->data;
    *read = false;
    h2o_socket_read_stop(sock);
    check(changes_in_a_turn() == 0, "a connection that is not read stays in the loop");
    h2o_socket_read_start(sock, on_client);
    check(changes_in_a_turn() == 0, "and is read again at no cost");
    say(client);
    turn();
    check(*read, "it is read");
}

static void test_what_comes_too_early_waits(h2o_socket_t *sock, int client)
{
    bool *read = sock->data;
    *read = false;
    h2o_socket_read_stop(sock);
    changes_in_a_turn();
    say(client);
    check(changes_in_a_turn() == 1 && !*read, "what comes while it is not read takes it out of the loop");
    check(changes_in_a_turn() == 0 && !*read, "once: the loop does not spin");
    h2o_socket_read_start(sock, on_client);
    turn();
    check(*read, "and is read later");
}

static bool written;

static void on_written(h2o_socket_t *sock, const char *err)
{
    (void)sock;
    written = err == NULL;
}

static void test_a_write_that_waits(h2o_socket_t *sock, int client)
{
    static char bytes[1 << 20];
    h2o_iovec_t all = h2o_iovec_init(bytes, sizeof(bytes));
    h2o_socket_read_stop(sock);
    changes_in_a_turn();
    h2o_socket_write(sock, &all, 1, on_written);
    check(changes_in_a_turn() == 1 && !written, "a connection that is not read waits until it can be written");
    for (size_t got = 0; got != sizeof(bytes); h2o_evloop_run(loop, 0)) {
        char part[65536];
        ssize_t n = read(client, part, sizeof(part));
        if (n <= 0)
            abort();
        got += (size_t)n;
    }
    h2o_evloop_run(loop, 0);
    check(written, "and is written");
    check(changes_in_a_turn() <= 1 && changes_in_a_turn() == 0, "then it is out of the loop");
    h2o_socket_read_start(sock, on_client);
    changes_in_a_turn();
    test_what_comes_too_early_waits(sock, client);
}

static void test_a_close_takes_it_out(h2o_socket_t *sock, int client)
{
    h2o_socket_read_stop(sock);
    changes_in_a_turn();
    say(client);
    h2o_socket_close(sock);
    h2o_evloop_run(loop, 0);
    check(changes_in_a_turn() == 0, "a connection that is closed while it is not read is forgotten");
}

int main(void)
{
    int clients[CLIENTS];
    loop = h2o_evloop_create();
    for (int i = 0; i < CLIENTS; ++i)
        clients[i] = open_socket(on_client, &was_read[i]);
    int other = open_socket(on_other, NULL);
    test_all_are_taken_in_turn(clients);
    test_others_do_not_wait(clients, other);
    while (client_reads < 2 * CLIENTS)
        turn();
    real_epoll_ctl = library.epoll_ctl;
    library.epoll_ctl = count_changes;
    test_a_short_stop_is_free(sockets[0], clients[0]);
    test_what_comes_too_early_waits(sockets[0], clients[0]);
    test_a_write_that_waits(sockets[0], clients[0]);
    test_a_close_takes_it_out(sockets[CLIENTS - 1], clients[CLIENTS - 1]);
    sockets[CLIENTS - 1] = sockets[--socket_count];
    while (socket_count != 0)
        h2o_socket_close(sockets[--socket_count]);
    h2o_evloop_run(loop, 0);
    return check_end();
}
