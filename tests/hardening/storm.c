/* Asks for channels that nobody ever asked for, as fast as they are taken:
 *
 * storm PORT h2|h1|gone SECONDS CONNECTIONS STREAMS BYTES [forwarded]
 *
 * BYTES a second at most, all connections together. "h2": each of CONNECTIONS cleartext HTTP/2 connections asks for STREAMS streams of 100 new channels and holds them; when
 * all have asked they hang up and come anew. "h1": so many HTTP/1.1 connections at a time each ask
 * for one such stream, and the client closes it when the head of the answer is there; then the next follows. "gone":
 * the same, but the client closes as soon as it has asked. With "forwarded" each request names another client in
 * X-Forwarded-For. Prints what happened as one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/hardening/wire.h"

enum { CHANNELS = 100, CONNECTIONS_MAX = 4096, PATH_MAX_BYTES = 4096 };

struct connection {
    int fd; /* -1: none */
    uint8_t *bytes; /* to be sent */
    size_t n, sent;
    uint32_t stream;
    int left; /* streams to ask for */
};

static struct connection connections[CONNECTIONS_MAX];
static struct pollfd polls[CONNECTIONS_MAX];
static uint64_t channel_number, request_number, sent_bytes, opened, closed, answers;
static bool forwarded, gone;

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t write_path(char *out)
{
    size_t n = (size_t)sprintf(out, "/subscribe?");
    for (int i = 0; i < CHANNELS; ++i)
        n += (size_t)sprintf(out + n, "channel=%x%llx&", (unsigned)getpid() & 0xfff, (unsigned long long)channel_number++);
    return n - 1;
}

static size_t write_forwarded(char *out)
{
    uint64_t number = request_number++;
    return (size_t)sprintf(out, "10.%u.%u.%u", (unsigned)(number >> 16 & 255), (unsigned)(number >> 8 & 255),
                           (unsigned)(number & 255));
}

static void add(struct connection *connection, const void *bytes, size_t n)
{
    connection->bytes = realloc(connection->bytes, connection->n + n);
    if (connection->bytes == NULL)
        abort();
    memcpy(connection->bytes + connection->n, bytes, n);
    connection->n += n;
}

/* An integer of HPACK with a prefix of 7 bits (RFC 7541 section 5.1). */
static size_t write_length(uint8_t *out, size_t n)
{
    if (n < 127) {
        out[0] = (uint8_t)n;
        return 1;
    }
    size_t at = 0;
    out[at++] = 127;
    for (n -= 127; n >= 128; n >>= 7)
        out[at++] = (uint8_t)(n & 127) | 128;
    out[at++] = (uint8_t)n;
    return at;
}

static size_t write_text(uint8_t *out, const char *text, size_t n)
{
    size_t at = write_length(out, n);
    memcpy(out + at, text, n);
    return at + n;
}

static void add_frame(struct connection *connection, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t n)
{
    uint8_t head[9] = {(uint8_t)(n >> 16),      (uint8_t)(n >> 8),      (uint8_t)n,     type, flags, (uint8_t)(stream >> 24),
                       (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    add(connection, head, sizeof(head));
    add(connection, payload, n);
}

static void ask_h2(struct connection *connection)
{
    static uint8_t block[PATH_MAX_BYTES + 256];
    char path[PATH_MAX_BYTES], address[32];
    size_t n = 0, path_len = write_path(path);
    block[n++] = 0x82; /* GET */
    block[n++] = 0x86; /* http */
    block[n++] = 0x04; /* :path, not kept */
    n += write_text(block + n, path, path_len);
    block[n++] = 0x01; /* :authority, not kept */
    n += write_text(block + n, "x", 1);
    if (forwarded) {
        block[n++] = 0;
        n += write_text(block + n, "x-forwarded-for", 15);
        n += write_text(block + n, address, write_forwarded(address));
    }
    connection->stream = connection->stream == 0 ? 1 : connection->stream + 2;
    add_frame(connection, HEADERS, END_STREAM | END_HEADERS, connection->stream, block, n);
}

static void ask_h1(struct connection *connection)
{
    char path[PATH_MAX_BYTES], address[32], head[PATH_MAX_BYTES + 128];
    path[write_path(path)] = 0;
    if (forwarded)
        write_forwarded(address);
    size_t n = (size_t)sprintf(head, "GET %s HTTP/1.1\r\nhost: x\r\n%s%s%s\r\n", path, forwarded ? "x-forwarded-for: " : "",
                               forwarded ? address : "", forwarded ? "\r\n" : "");
    add(connection, head, n);
}

static bool dial(struct connection *connection, int port, bool h2, int streams)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    connection->n = connection->sent = 0;
    connection->stream = 0;
    connection->left = streams;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd == -1)
        return false;
    if (connect(connection->fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        close(connection->fd);
        connection->fd = -1;
        return false;
    }
    ++opened;
    if (h2) {
        add(connection, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
        add_frame(connection, SETTINGS, 0, 0, "", 0);
    } else {
        ask_h1(connection);
    }
    return true;
}

static void hang_up(struct connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
    ++closed;
}

static void on_readable(struct connection *connection, bool h2)
{
    static char bytes[65536];
    ssize_t n = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    answers += n > 0;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || (n > 0 && !h2))
        hang_up(connection);
}

static void on_writable(struct connection *connection, bool h2)
{
    if (connection->sent == connection->n) {
        connection->sent = connection->n = 0;
        for (int i = 0; h2 && i < 8 && connection->left > 0; ++i, --connection->left)
            ask_h2(connection);
        if (connection->n == 0)
            return;
    }
    ssize_t n =
        send(connection->fd, connection->bytes + connection->sent, connection->n - connection->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
        connection->sent += (size_t)n;
        sent_bytes += (size_t)n;
        if (gone && connection->sent == connection->n)
            hang_up(connection);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        hang_up(connection);
    }
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr, "storm PORT h2|h1|gone SECONDS CONNECTIONS STREAMS BYTES [forwarded]\n");
        return 2;
    }
    int port = atoi(argv[1]), count = atoi(argv[4]), streams = atoi(argv[5]);
    bool h2 = strcmp(argv[2], "h2") == 0;
    gone = strcmp(argv[2], "gone") == 0;
    double rate = atof(argv[6]), start = now();
    forwarded = argc > 7;
    count = count < CONNECTIONS_MAX ? count : CONNECTIONS_MAX;
    double end = start + atof(argv[3]);
    for (int i = 0; i < count; ++i)
        dial(&connections[i], port, h2, streams);
    while (now() < end) {
        bool may_send = (double)sent_bytes < (now() - start) * rate, all_asked = h2;
        for (int i = 0; i < count; ++i)
            all_asked = all_asked && connections[i].left == 0 && connections[i].sent == connections[i].n;
        for (int i = 0; i < count; ++i) {
            struct connection *connection = &connections[i];
            if (connection->fd != -1 && all_asked)
                hang_up(connection);
            if (connection->fd == -1 && may_send)
                dial(connection, port, h2, streams);
            bool writes = may_send && (connection->sent != connection->n || (h2 && connection->left > 0));
            polls[i] = (struct pollfd){.fd = connection->fd, .events = (short)(POLLIN | (writes ? POLLOUT : 0))};
        }
        poll(polls, (nfds_t)count, may_send ? 20 : 1);
        for (int k = 0, from = rand() % count; k < count; ++k) {
            int i = (from + k) % count;
            if (connections[i].fd != -1 && (polls[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
                on_readable(&connections[i], h2);
            if (connections[i].fd != -1 && (polls[i].revents & POLLOUT) != 0 && (double)sent_bytes < (now() - start) * rate)
                on_writable(&connections[i], h2);
        }
    }
    printf("{\"channels\":%llu,\"bytes\":%llu,\"opened\":%llu,\"closed\":%llu,\"reads\":%llu}\n",
           (unsigned long long)channel_number, (unsigned long long)sent_bytes, (unsigned long long)opened,
           (unsigned long long)closed, (unsigned long long)answers);
    return 0;
}
