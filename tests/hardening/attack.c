/* Attacks a cleartext HTTP/2 port:
 *
 * attack PORT KIND SECONDS [again]
 *
 * One connection sends frames of the kind (kinds.c) as fast as they are taken, and reads what comes back, until the server closes
 * it or the time is over; with "again" a new connection follows at once. Prints what happened as one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/hardening/kinds.h"

struct attacker {
    int fd;
    struct wire wire;
    size_t sent; /* of wire.bytes */
    uint8_t head[9]; /* of the frame that is coming in */
    size_t have, skip;
    uint32_t goaway; /* error code */
    bool goodbye, closed;
};

struct totals {
    uint64_t connections, closed, goodbyes, frames, first_frames, answers, resets;
    uint32_t goaway;
    double first_close;
};

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int dial(int port, bool deaf)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int least = 1;
    if (deaf)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* After a frame's nine bytes: its payload follows and is skipped, but for the first four bytes of GOAWAY's code. */
static void on_frame(struct attacker *attacker, struct totals *totals)
{
    attacker->skip = (size_t)attacker->head[0] << 16 | (size_t)attacker->head[1] << 8 | attacker->head[2];
    totals->answers += attacker->head[3] == HEADERS;
    totals->resets += attacker->head[3] == RST_STREAM;
    attacker->goodbye = attacker->goodbye || attacker->head[3] == GOAWAY;
}

static void take(struct attacker *attacker, const uint8_t *bytes, size_t n, struct totals *totals)
{
    for (size_t i = 0; i < n;) {
        if (attacker->skip != 0) {
            size_t part = attacker->skip < n - i ? attacker->skip : n - i;
            if (attacker->goodbye && attacker->head[3] == GOAWAY && part >= 8)
                attacker->goaway = (uint32_t)bytes[i + 7];
            attacker->skip -= part;
            i += part;
        } else {
            attacker->head[attacker->have++] = bytes[i++];
            if (attacker->have == sizeof(attacker->head)) {
                attacker->have = 0;
                on_frame(attacker, totals);
            }
        }
    }
}

static void read_some(struct attacker *attacker, struct totals *totals)
{
    static uint8_t bytes[65536];
    ssize_t n = recv(attacker->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n > 0)
        take(attacker, bytes, (size_t)n, totals);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        attacker->closed = true;
}

/* What the server sent last may still be there when it no longer takes anything. */
static void read_rest(struct attacker *attacker, struct totals *totals)
{
    struct pollfd poller = {.fd = attacker->fd, .events = POLLIN};
    attacker->closed = false;
    while (!attacker->closed && poll(&poller, 1, 200) > 0)
        read_some(attacker, totals);
    attacker->closed = true;
}

static void write_some(struct attacker *attacker, const struct kind *kind)
{
    struct wire *wire = &attacker->wire;
    if (attacker->sent == wire->n) {
        attacker->sent = wire->n = 0;
        for (size_t before = SIZE_MAX; kind->more != NULL && wire->n < 65536 && wire->n != before;) {
            before = wire->n;
            kind->more(wire);
        }
    }
    if (wire->n == 0)
        return;
    ssize_t n = send(attacker->fd, wire->bytes + attacker->sent, wire->n - attacker->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        attacker->sent += (size_t)n;
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        attacker->closed = true;
}

static void run(struct attacker *attacker, const struct kind *kind, double end, struct totals *totals)
{
    wire_open(&attacker->wire);
    if (kind->begin != NULL)
        kind->begin(&attacker->wire);
    while (!attacker->closed && now() < end) {
        bool writes = kind->more != NULL || attacker->sent != attacker->wire.n;
        struct pollfd poller = {.fd = attacker->fd, .events = (short)((kind->deaf ? 0 : POLLIN) | (writes ? POLLOUT : 0))};
        poll(&poller, 1, 100);
        if ((poller.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
            read_some(attacker, totals);
        if (!attacker->closed && (poller.revents & POLLOUT) != 0)
            write_some(attacker, kind);
        if (attacker->sent == attacker->wire.n)
            usleep(kind->deaf ? 2000 : 0);
    }
    if (attacker->closed)
        read_rest(attacker, totals);
}

static void count(const struct attacker *attacker, struct totals *totals, double start)
{
    ++totals->connections;
    totals->frames += attacker->wire.frames;
    totals->closed += attacker->closed;
    totals->goodbyes += attacker->goodbye;
    if (attacker->goodbye)
        totals->goaway = attacker->goaway;
    if (totals->connections == 1) {
        totals->first_frames = attacker->wire.frames;
        totals->first_close = attacker->closed ? now() - start : -1;
    }
}

static void print(const struct totals *totals)
{
    printf("{\"connections\":%llu,\"closed\":%llu,\"goodbyes\":%llu,\"code\":%u,\"frames\":%llu,\"first_frames\":%llu,\"first_ms\":"
           "%.1f,"
           "\"answers\":%llu,\"resets\":%llu}\n",
           (unsigned long long)totals->connections, (unsigned long long)totals->closed, (unsigned long long)totals->goodbyes,
           totals->goaway, (unsigned long long)totals->frames, (unsigned long long)totals->first_frames, totals->first_close * 1000,
           (unsigned long long)totals->answers, (unsigned long long)totals->resets);
}

int main(int argc, char **argv)
{
    static struct attacker attacker;
    struct totals totals = {0};
    const struct kind *kind = argc < 4 ? NULL : kind_find(argv[2]);
    if (kind == NULL) {
        fprintf(stderr, "attack PORT KIND SECONDS [again]\n");
        return 2;
    }
    bool again = argc > 4 && strcmp(argv[4], "again") == 0;
    double start = now(), end = start + atof(argv[3]);
    do {
        memset(&attacker, 0, sizeof(attacker));
        if ((attacker.fd = dial(atoi(argv[1]), kind->deaf)) < 0)
            break;
        run(&attacker, kind, end, &totals);
        count(&attacker, &totals, start);
        close(attacker.fd);
    } while (again && now() < end);
    print(&totals);
    return 0;
}
