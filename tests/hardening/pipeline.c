/* Sends many HTTP/1.1 requests on each of a number of connections without waiting for an answer, and takes the answers:
 *
 * pipeline PORT CONNECTIONS REQUESTS
 *
 * The last request of each connection asks for its end. Prints the bytes sent, and how many answers there were, as one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 1024,
    READ_BYTES = 32768, /* that are waited for: the server's time is to be measured, not this client's */
};

static const char request[] = "GET /no-such-path HTTP/1.1\r\nhost:x\r\n\r\n";
static const char last[] = "GET /no-such-path HTTP/1.1\r\nhost:x\r\nconnection:close\r\n\r\n";
static const char answer[] = "HTTP/1.1 404 ";

static char *bytes;
static size_t length, sent_bytes, answers;
static struct pollfd polls[CONNECTIONS_MAX];
static size_t sent[CONNECTIONS_MAX], matched[CONNECTIONS_MAX]; /* of `answer`, whose first letter comes but once in it */

static void write_requests(size_t count)
{
    bytes = malloc(count * sizeof(request) + sizeof(last));
    if (bytes == NULL)
        abort();
    for (size_t i = 0; i + 1 < count; ++i, length += sizeof(request) - 1)
        memcpy(bytes + length, request, sizeof(request) - 1);
    memcpy(bytes + length, last, sizeof(last) - 1);
    length += sizeof(last) - 1;
}

static int dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), at_once = READ_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &at_once, sizeof(at_once));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        perror("pipeline");
        exit(1);
    }
    return fd;
}

static void count_answers(int i, const char *text, size_t n)
{
    for (size_t at = 0; at < n; ++at) {
        matched[i] = text[at] == answer[matched[i]] ? matched[i] + 1 : text[at] == answer[0];
        if (matched[i] == sizeof(answer) - 1) {
            ++answers;
            matched[i] = 0;
        }
    }
}

/* False when the server has closed. */
static bool read_answers(int i)
{
    static char text[262144];
    ssize_t n = recv(polls[i].fd, text, sizeof(text), MSG_DONTWAIT);
    if (n > 0)
        count_answers(i, text, (size_t)n);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void send_requests(int i)
{
    ssize_t n = send(polls[i].fd, bytes + sent[i], length - sent[i], MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
        sent[i] += (size_t)n;
        sent_bytes += (size_t)n;
    }
    if (sent[i] == length)
        polls[i].events = POLLIN;
}

int main(int argc, char **argv)
{
    int connections = argc < 4 ? 0 : atoi(argv[2]), requests = argc < 4 ? 0 : atoi(argv[3]);
    if (connections < 1 || connections > CONNECTIONS_MAX || requests < 1) {
        fprintf(stderr, "pipeline PORT CONNECTIONS REQUESTS\n");
        return 2;
    }
    write_requests((size_t)requests);
    for (int i = 0; i < connections; ++i)
        polls[i] = (struct pollfd){.fd = dial(atoi(argv[1])), .events = POLLIN | POLLOUT};
    for (int open = connections; open != 0;) {
        poll(polls, (nfds_t)connections, -1);
        for (int i = 0; i < connections; ++i) {
            if ((polls[i].revents & POLLOUT) != 0)
                send_requests(i);
            if ((polls[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_answers(i)) {
                close(polls[i].fd);
                polls[i] = (struct pollfd){.fd = -1};
                --open;
            }
        }
    }
    printf("{\"bytes\":%zu,\"answers\":%zu}\n", sent_bytes, answers);
    free(bytes);
    return 0;
}
