/* runtime/h2o/turn.c: on a real loop, with more clients that have sent something than a turn takes. */
#include <sys/socket.h>
#include <unistd.h>

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

int main(void)
{
    int clients[CLIENTS];
    loop = h2o_evloop_create();
    for (int i = 0; i < CLIENTS; ++i)
        clients[i] = open_socket(on_client, &was_read[i]);
    int other = open_socket(on_other, NULL);
    test_all_are_taken_in_turn(clients);
    test_others_do_not_wait(clients, other);
    while (socket_count != 0)
        h2o_socket_close(sockets[--socket_count]);
    h2o_evloop_run(loop, 0);
    return check_end();
}
