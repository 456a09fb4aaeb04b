/* Follows numbered channels with thousands of HTTP/1.1 streams that come back with their Last-Event-ID, and checks every number.
 *
 *     follow -n STREAMS [-c CHANNELS] [-e EACH] [-p PREFIX] [-d DELAY_MS] [-b RECEIVE_BUFFER] [-s START] [-w WINDOW_MS] ADDRESS:PORT…
 *
 * Stream i follows EACH (1) of the channels PREFIX-0 … PREFIX-(CHANNELS-1), from number i * EACH on: on /channels/NAME, or /subscribe when
 * EACH is more. An event's data is "CHANNEL NUMBER …" and ends in a line "NUMBER"; numbers start at START + 1 (1). Whenever a stream ends, breaks or is
 * refused it goes to the next address, after up to DELAY_MS.
 *
 * Commands come on standard input, see run() in commands.c; each is answered with one line of JSON. `open` and `expect` wait until every
 * stream is open and has a position, or has seen number N. Ends with its input. */
#include "tests/fault/follow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 10, HEAD_MS = 30000, DRIP_MS = 1000, REQUEST_MAX = 32768 };

_Noreturn static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("follow: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

unsigned follow_channel(const struct follow *follow, const struct stream *stream, unsigned i)
{
    return ((unsigned)(stream - follow->streams) * follow->each + i) % follow->channels;
}

/* The milliseconds that an id made by the bus begins with; 0 for another's. */
static uint64_t id_ms(const char *id)
{
    unsigned long long high, low;
    return strlen(id) == 36 && sscanf(id, "%8llx-%4llx-", &high, &low) == 2 ? high << 16 | low : 0;
}

static void watch(struct follow *follow, struct stream *s, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = s};
    if (epoll_ctl(follow->epoll, operation, s->fd, &event) != 0)
        fail("epoll: %s", strerror(errno));
}

static void note_silence(struct follow *follow, struct stream *s)
{
    uint64_t silence = now_ms() - s->heard;
    if (s->phase == READING && s->how == NORMAL && s->opened && silence > follow->silence_ms)
        follow->silence_ms = silence;
}

static void disconnect(struct follow *follow, struct stream *s)
{
    if (s->phase == CONNECTING || s->phase == READING) {
        close(s->fd);
        follow->open -= s->answer.status == 200;
        s->answer.status = 0;
    }
    s->phase = HELD;
}

static void come_back(struct follow *follow, struct stream *s)
{
    disconnect(follow, s);
    unsigned delay = follow->delay_ms;
    s->phase = WAITING;
    s->due = now_ms() + (delay == 0 ? 0 : delay / 2 + (unsigned)rand() % (delay / 2 + 1));
}

static void refused(struct follow *follow, struct stream *s)
{
    ++follow->refused;
    come_back(follow, s);
}

static size_t build_request(const struct follow *follow, const struct stream *s, char *out)
{
    size_t n = (size_t)sprintf(out, "GET %s", follow->each == 1 ? "/channels/" : "/subscribe?");
    for (unsigned i = 0; i < follow->each; ++i)
        n += (size_t)sprintf(out + n, "%s%s%s-%u", i == 0 ? "" : "&", follow->each == 1 ? "" : "channel=", follow->prefix,
                             follow_channel(follow, s, i));
    n += (size_t)sprintf(out + n, " HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n");
    if (s->id[0] != 0)
        n += (size_t)sprintf(out + n, "last-event-id: %s\r\n", s->id);
    return n + (size_t)sprintf(out + n, "\r\n");
}

static void connected(struct follow *follow, struct stream *s)
{
    static char request[REQUEST_MAX];
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    size_t n = build_request(follow, s, request);
    if (error != 0 || send(s->fd, request, n, MSG_NOSIGNAL) != (ssize_t)n) {
        refused(follow, s);
        return;
    }
    answer_start(&s->answer, s->id);
    s->resumed_ms = id_ms(s->id);
    s->phase = READING;
    s->heard = now_ms();
    watch(follow, s, EPOLL_CTL_MOD, s->how == NORMAL ? EPOLLIN : 0);
}

static void dial(struct follow *follow, struct stream *s)
{
    unsigned index = (unsigned)(s - follow->streams);
    struct sockaddr_in *to = &follow->ports[(index + s->attempts++) % follow->port_count];
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0)
        fail("socket: %s", strerror(errno));
    if (follow->receive_buffer != 0)
        setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &follow->receive_buffer, sizeof(follow->receive_buffer));
    s->phase = CONNECTING;
    s->heard = now_ms();
    if (connect(s->fd, (struct sockaddr *)to, sizeof(*to)) != 0 && errno != EINPROGRESS) {
        refused(follow, s);
        return;
    }
    watch(follow, s, EPOLL_CTL_ADD, EPOLLOUT);
}

/* Of stream `s`, as answer_feed() hands it over. */
struct context {
    struct follow *follow;
    struct stream *s;
};

static struct track *track_of(const struct context *context, unsigned channel)
{
    for (unsigned i = 0; i < context->follow->each; ++i)
        if (follow_channel(context->follow, context->s, i) == channel)
            return &context->s->tracks[i];
    return NULL;
}

/* {"channel":"PREFIX-N",…} */
static void on_gap(struct context *context, const struct answer_event *event)
{
    const char *name = strstr(event->first, "\"channel\":\"");
    unsigned channel;
    size_t prefix = strlen(context->follow->prefix);
    struct track *track = NULL;
    if (name != NULL && strncmp(name + 11, context->follow->prefix, prefix) == 0 &&
        sscanf(name + 11 + prefix, "-%u\"", &channel) == 1)
        track = track_of(context, channel);
    if (track == NULL)
        ++context->follow->tally.malformed;
    else
        track_gap(track, &context->follow->tally);
}

/* Nothing orders several channels' events of one millisecond, nor, over several shards, those of the gateway's margin: the id can't tell which of them were seen. */
static bool undecided(const struct context *context, uint64_t ms)
{
    uint64_t resumed = context->s->resumed_ms;
    return context->follow->each > 1 && (ms > resumed ? ms - resumed : resumed - ms) <= context->follow->window_ms;
}

static void on_number(struct context *context, const struct answer_event *event)
{
    struct tally *tally = &context->follow->tally;
    unsigned channel, n, n_again;
    struct track *track = NULL;
    if (event->lines == 2 && sscanf(event->first, "%u %u", &channel, &n) == 2 && sscanf(event->last, "%u", &n_again) == 1 &&
        n == n_again)
        track = track_of(context, channel);
    if (track == NULL)
        ++tally->malformed;
    else
        track_event(track, tally, n, undecided(context, id_ms(event->id)));
}

static void on_event(void *data, const struct answer_event *event)
{
    struct context *context = data;
    struct stream *s = context->s;
    memcpy(s->id, event->id, sizeof(s->id));
    if (!s->positioned && s->id[0] != 0) {
        s->positioned = true;
        ++context->follow->positioned;
    }
    if (event->lines == 0)
        return;
    if (strcmp(event->type, "gap") == 0)
        on_gap(context, event);
    else
        on_number(context, event);
}

static void received(struct follow *follow, struct stream *s, const char *bytes, size_t n)
{
    struct context context = {follow, s};
    bool head = s->answer.status == 0;
    enum answer_result result = answer_feed(&s->answer, bytes, n, on_event, &context);
    if (head && s->answer.status != 0 && s->answer.status != 200) {
        refused(follow, s);
        return;
    }
    if (head && s->answer.status == 200) {
        s->opened = true;
        ++follow->connects;
        ++follow->open;
    }
    if (result == ANSWER_MORE)
        return;
    follow->ended += result == ANSWER_ENDED;
    follow->tally.malformed += result == ANSWER_BROKEN;
    come_back(follow, s);
}

static void readable(struct follow *follow, struct stream *s, size_t limit)
{
    static char buf[65536];
    ssize_t n = recv(s->fd, buf, limit < sizeof(buf) ? limit : sizeof(buf), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    note_silence(follow, s);
    s->heard = now_ms();
    if (n > 0) {
        received(follow, s, buf, (size_t)n);
        return;
    }
    if (s->answer.status == 200)
        ++follow->cut;
    else
        ++follow->refused;
    come_back(follow, s);
}

static void on_ready(struct follow *follow, struct stream *s)
{
    if (s->phase == CONNECTING)
        connected(follow, s);
    else if (s->phase == READING && s->how == NORMAL)
        readable(follow, s, SIZE_MAX);
    else if (s->phase == READING) /* an error on a stream that does not read: nothing more to find out until it does */
        watch(follow, s, EPOLL_CTL_DEL, 0);
}

void follow_hold(struct follow *follow)
{
    for (unsigned i = 0; i < follow->count; ++i)
        disconnect(follow, &follow->streams[i]);
}

void follow_go(struct follow *follow)
{
    for (unsigned i = 0; i < follow->count; ++i)
        if (follow->streams[i].phase == HELD)
            follow->streams[i].phase = WAITING, follow->streams[i].due = 0;
}

void follow_read(struct follow *follow, unsigned n, enum reading how)
{
    for (unsigned i = 0; i < n && i < follow->count; ++i) {
        struct stream *s = &follow->streams[i];
        s->how = how;
        s->heard = now_ms();
        if (s->phase != READING)
            continue;
        struct epoll_event event = {.events = how == NORMAL ? EPOLLIN : 0, .data.ptr = s};
        if (epoll_ctl(follow->epoll, EPOLL_CTL_MOD, s->fd, &event) != 0)
            watch(follow, s, EPOLL_CTL_ADD, event.events);
    }
}

uint64_t follow_silence(struct follow *follow)
{
    for (unsigned i = 0; i < follow->count; ++i)
        note_silence(follow, &follow->streams[i]);
    return follow->silence_ms;
}

static void tick(struct follow *follow)
{
    uint64_t now = now_ms();
    for (unsigned i = 0; i < follow->count; ++i) {
        struct stream *s = &follow->streams[i];
        if (s->phase == WAITING && s->due <= now)
            dial(follow, s);
        else if (s->phase == READING && s->how == DRIPPING && s->heard + DRIP_MS <= now)
            readable(follow, s, 1);
        else if ((s->phase == CONNECTING || (s->phase == READING && s->answer.status == 0)) && s->heard + HEAD_MS <= now)
            refused(follow, s);
    }
}

static void run(struct follow *follow)
{
    struct commands *commands = commands_create(follow);
    struct epoll_event events[512];
    uint64_t next = 0;
    for (;;) {
        int n = epoll_wait(follow->epoll, events, 512, TICK_MS);
        for (int i = 0; i < n; ++i) {
            if (events[i].data.ptr != NULL)
                on_ready(follow, events[i].data.ptr);
            else if (!commands_read(commands))
                return;
        }
        if (now_ms() < next)
            continue;
        next = now_ms() + TICK_MS;
        tick(follow);
        commands_tick(commands);
    }
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void add_port(struct follow *follow, char *text)
{
    char *colon = strchr(text, ':');
    if (colon == NULL || follow->port_count == sizeof(follow->ports) / sizeof(follow->ports[0]))
        fail("addresses are up to 16, each IPV4:PORT");
    *colon = 0;
    struct sockaddr_in *port = &follow->ports[follow->port_count++];
    *port = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    if (inet_pton(AF_INET, text, &port->sin_addr) != 1)
        fail("%s is no IPv4 address", text);
}

static void read_options(struct follow *follow, int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "n:c:e:p:d:b:s:w:")) != -1) {
        switch (option) {
        case 'n':
            follow->count = (unsigned)atoi(optarg);
            break;
        case 'c':
            follow->channels = (unsigned)atoi(optarg);
            break;
        case 'e':
            follow->each = (unsigned)atoi(optarg);
            break;
        case 'p':
            follow->prefix = optarg;
            break;
        case 'd':
            follow->delay_ms = (unsigned)atoi(optarg);
            break;
        case 'b':
            follow->receive_buffer = atoi(optarg);
            break;
        case 's':
            follow->start = (uint32_t)atoi(optarg);
            break;
        case 'w':
            follow->window_ms = (uint64_t)atoi(optarg);
            break;
        default:
            fail("see the top of follow.c");
        }
    }
    for (; optind < argc; ++optind)
        add_port(follow, argv[optind]);
    if (follow->count == 0 || follow->channels == 0 || follow->each == 0 || follow->each > 100 || follow->port_count == 0 ||
        strlen(follow->prefix) > 100)
        fail("see the top of follow.c");
}

int main(int argc, char **argv)
{
    struct follow follow = {.channels = 1, .each = 1, .prefix = "fault", .delay_ms = 200};
    read_options(&follow, argc, argv);
    raise_descriptor_limit();
    srand((unsigned)getpid());
    follow.epoll = epoll_create1(EPOLL_CLOEXEC);
    follow.streams = calloc(follow.count, sizeof(follow.streams[0]));
    struct track *tracks = calloc((size_t)follow.count * follow.each, sizeof(*tracks));
    if (follow.epoll < 0 || follow.streams == NULL || tracks == NULL)
        fail("out of resources");
    for (unsigned i = 0; i < follow.count; ++i) {
        follow.streams[i].phase = WAITING;
        follow.streams[i].tracks = tracks + (size_t)i * follow.each;
    }
    for (size_t i = 0; i < (size_t)follow.count * follow.each; ++i)
        tracks[i].last = follow.start;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(follow.epoll, EPOLL_CTL_ADD, 0, &event) != 0)
        fail("standard input: %s", strerror(errno));
    run(&follow);
    return 0;
}
