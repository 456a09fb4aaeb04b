/* bench read: holds event streams open, checks every event and measures its latency. Its commands are read from standard input:
 *
 *     mark               forgets all counts, keeps each stream's last SEQ; a measured window starts here
 *     reset              forgets the last SEQs too: the publisher starts from 1 again
 *     expect K SECONDS   reports once every open stream has SEQ K, or after that long
 *     report             reports
 *     end */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/options.h"
#include "tests/bench/payload.h"
#include "tests/bench/reader.h"

enum { STREAMS_MAX = 1000000, COMMANDS_MAX = 4096, TIMEOUT_MAX_MS = 1000 };

/* Commands that were not executed yet. */
struct commands {
    char bytes[COMMANDS_MAX];
    size_t n;
    bool waiting, ended; /* for `expect`; at `end` or the end of the input */
    uint64_t deadline_ns; /* of `expect` */
};

static void expect(struct commands *commands, struct streams *streams, const char *arguments)
{
    uint64_t wanted;
    double seconds;
    if (sscanf(arguments, "%" SCNu64 " %lf", &wanted, &seconds) != 2 || seconds < 0 || seconds > 1e6)
        bench_fail("expect K SECONDS");
    streams_expect(streams, wanted);
    commands->waiting = true;
    commands->deadline_ns = bench_now_ns() + (uint64_t)(seconds * 1e9);
}

static void marked(struct streams *streams)
{
    tally_mark(&streams->tally);
    puts("{\"marked\":true}");
    fflush(stdout);
}

static void execute(struct commands *commands, struct streams *streams, const char *command)
{
    if (strcmp(command, "mark") == 0) {
        marked(streams);
    } else if (strcmp(command, "reset") == 0) {
        streams_reset(streams);
        marked(streams);
    } else if (strcmp(command, "report") == 0) {
        streams_report(streams, 0);
    } else if (strncmp(command, "expect ", 7) == 0) {
        expect(commands, streams, command + 7);
    } else if (strcmp(command, "end") == 0) {
        commands->ended = true;
    } else {
        bench_fail("no command: %s", command);
    }
}

/* As many as there are, up to one that has to wait. */
static void execute_all(struct commands *commands, struct streams *streams)
{
    char *end;
    while (!commands->waiting && !commands->ended && (end = memchr(commands->bytes, '\n', commands->n)) != NULL) {
        *end = 0;
        execute(commands, streams, commands->bytes);
        size_t used = (size_t)(end + 1 - commands->bytes);
        commands->n -= used;
        memmove(commands->bytes, end + 1, commands->n);
    }
}

static void read_input(struct commands *commands)
{
    if (commands->n == COMMANDS_MAX)
        bench_fail("too many commands at a time");
    ssize_t n = read(STDIN_FILENO, commands->bytes + commands->n, COMMANDS_MAX - commands->n);
    if (n < 0)
        bench_fail("standard input: %s", strerror(errno));
    commands->ended = n == 0;
    commands->n += (size_t)n;
}

static int timeout_ms(const struct commands *commands)
{
    uint64_t now = bench_now_ns();
    if (!commands->waiting)
        return -1;
    uint64_t left = commands->deadline_ns > now ? (commands->deadline_ns - now) / 1000000 + 1 : 0;
    return left < TIMEOUT_MAX_MS ? (int)left : TIMEOUT_MAX_MS;
}

static void serve(struct reader *reader)
{
    struct commands commands = {0};
    struct streams *streams = &reader->streams;
    struct epoll_event input = {.events = EPOLLIN};
    if (epoll_ctl(reader->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0)
        bench_fail("standard input must be a pipe: %s", strerror(errno));
    while (!commands.ended) {
        if (reader_turn(reader, timeout_ms(&commands)))
            read_input(&commands);
        if (commands.waiting && (streams->behind == 0 || bench_now_ns() >= commands.deadline_ns)) {
            commands.waiting = false;
            streams_report(streams, streams->wanted);
        }
        execute_all(&commands, streams);
    }
}

static void open_all(struct reader *reader)
{
    uint64_t start_ns = bench_now_ns(), start_us = bench_cpu_us();
    reader_open(reader);
    printf("{\"open\":%u,\"ms\":%.1f,\"us_cpu\":%" PRIu64 "}\n", reader->streams.phases[STREAM_OPEN],
           (double)(bench_now_ns() - start_ns) / 1e6, bench_cpu_us() - start_us);
    fflush(stdout);
}

struct settings {
    const char *to, *path, *protocol, *header_file;
    uint64_t streams, channels, bytes, per_connection, opening;
    bool tls;
    struct sockaddr_in address;
};

static void parse(struct settings *settings, int argc, char **argv)
{
    const struct bench_option options[] = {
        {"to", .needed = true, .text = &settings->to, .address = &settings->address},
        {"path", .needed = true, .text = &settings->path},
        {"streams", .needed = true, .number = &settings->streams, .min = 1, .max = STREAMS_MAX},
        {"channels", .number = &settings->channels, .min = 1, .max = STREAMS_MAX},
        {"bytes", .number = &settings->bytes, .min = PAYLOAD_MIN, .max = PAYLOAD_MAX},
        {"protocol", .text = &settings->protocol},
        {"per-connection", .number = &settings->per_connection, .min = 1, .max = 100},
        {"opening", .number = &settings->opening, .min = 1, .max = STREAMS_MAX},
        {"header-file", .text = &settings->header_file},
        {"tls", .flag = &settings->tls},
    };
    bench_options(options, sizeof(options) / sizeof(options[0]), argc, argv);
    if (strcmp(settings->protocol, "h1") != 0 && strcmp(settings->protocol, "h2") != 0)
        bench_fail("--protocol is h1 or h2");
    if (settings->header_file != NULL && strcmp(settings->protocol, "h1") != 0)
        bench_fail("--header-file is for --protocol h1");
    bench_pattern(settings->path);
}

int bench_read(int argc, char **argv)
{
    struct settings settings = {.protocol = "h1", .channels = 1, .bytes = PAYLOAD_SIZE, .per_connection = 90, .opening = 256};
    parse(&settings, argc, argv);
    bool http2 = strcmp(settings.protocol, "h2") == 0;
    struct reader reader = {
        .to = settings.address,
        .authority = settings.to,
        .http2 = http2,
        .per_connection = http2 ? settings.per_connection : 1,
        .opening_max = settings.opening,
        .tls = settings.tls ? link_tls(http2 ? "h2" : "http/1.1") : NULL,
    };
    if (settings.header_file != NULL)
        header_file_read(&reader.headers, settings.header_file);
    streams_create(&reader.streams, settings.streams, settings.channels, settings.path, settings.bytes);
    reader_create(&reader);
    open_all(&reader);
    serve(&reader);
    reader_dispose(&reader);
    return 0;
}
