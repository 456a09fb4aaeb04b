#include "proto/cli/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define AT(field) .at = offsetof(struct options, field)

const struct option_row option_table[] = {
    {COMMAND_TAIL, 0, "channel", OPTION_LIST, "NAME", AT(channels), .doc = "a channel to read; may be given up to 100 times"},
    {COMMAND_TAIL, 0, "last", OPTION_INT, "N", .min = 1, .max = 100000, AT(last), .doc = "begin with the newest N events"},
    {COMMAND_TAIL, 0, "from", OPTION_TEXT, "ID", AT(from), .doc = "begin after the event with this id"},
    {COMMAND_TAIL, 0, "count", OPTION_INT, "N", .min = 1, .max = INT64_MAX, AT(count), .doc = "end after N events"},
    {COMMAND_TAIL | COMMAND_BENCH, 0, "json", OPTION_FLAG, NULL, AT(json),
     .doc = "print JSON lines on a terminal too; in a pipe they are the default"},
    {COMMAND_TAIL, 0, "once", OPTION_FLAG, NULL, AT(once), .doc = "don't reconnect: end with the stream"},
    {COMMAND_TAIL, 0, "idle", OPTION_INT, "SECONDS", .min = 0, .max = 86400, .fallback = 60, AT(idle),
     .doc = "reconnect after this long without data or keep-alive; 0: never"},

    {COMMAND_PUBLISH, 0, "event", OPTION_TEXT, "TYPE", AT(event), .doc = "the event's type"},
    {COMMAND_PUBLISH, 0, "id", OPTION_TEXT, "ID", AT(id), .doc = "the event's id; without it the server makes one"},
    {COMMAND_PUBLISH, 0, "retry", OPTION_INT, "MS", .min = 0, .max = 3600000, .fallback = -1, AT(retry),
     .doc = "how long readers wait before they reconnect"},
    {COMMAND_PUBLISH, 0, "end", OPTION_FLAG, NULL, AT(end),
     .doc = "nothing follows: readers are told the end; without DATA only that, with --lines or --batch after the last line"},
    {COMMAND_PUBLISH, 0, "lease", OPTION_INT, "SECONDS", .min = 1, .max = 86400, AT(lease),
     .doc = "readers are told that the channel was abandoned if no event follows in time"},
    {COMMAND_PUBLISH, 0, "idempotency-key", OPTION_TEXT, "KEY", AT(idempotency_key),
     .doc =
         "idempotency key: a repeat within 5 minutes publishes nothing; with --lines or --batch the line number is appended, and "
         "batches wait until they are full; default: a new key"},
    {COMMAND_PUBLISH, 0, "text", OPTION_FLAG, NULL, AT(text), .doc = "the data is text, sent as it is (default)"},
    {COMMAND_PUBLISH, 0, "json", OPTION_FLAG, NULL, AT(json),
     .doc = "the data is JSON: the server checks it; with --batch each line is an object with data, and event, id, retry, lease if "
            "need be"},
    {COMMAND_PUBLISH, 0, "lines", OPTION_FLAG, NULL, AT(lines),
     .doc = "publish each line of standard input as an event, once the one before it is acknowledged"},
    {COMMAND_PUBLISH, 0, "batch", OPTION_FLAG, NULL, AT(batch),
     .doc = "as --lines, but up to 1,000 lines or 256 KiB together, and what came within 10 ms: all of them or none"},

    {COMMAND_BENCH, 0, "streams", OPTION_INT, "N", .min = 1, .max = 2000, .fallback = 100, AT(streams), .doc = "streams to open"},
    {COMMAND_BENCH, 0, "channels", OPTION_INT, "C", .min = 1, .max = 1000, .fallback = 1, AT(spread),
     .doc = "channels to spread the streams over"},
    {COMMAND_BENCH, 0, "rate", OPTION_INT, "R", .min = 1, .max = 10000, .fallback = 10, AT(rate),
     .doc = "events to publish a second, over all channels"},
    {COMMAND_BENCH, 0, "seconds", OPTION_INT, "S", .min = 1, .max = 3600, .fallback = 10, AT(seconds),
     .doc = "how long to publish"},

    {COMMAND_ALL, 0, "url", OPTION_TEXT, "URL", AT(url), .doc = "the server; default: SSE_URL, else http://localhost:4043"},
    {COMMAND_ALL, 'H', "header", OPTION_LIST, "LINE", AT(headers),
     .doc = "a header to send, 'Name: value'; may be given up to 100 times"},
    {COMMAND_ALL, 0, "token-file", OPTION_FILE, "FILE", AT(token_file),
     .doc = "file with the bearer token; default: the token in SSE_TOKEN"},
    {COMMAND_ALL, 0, "cacert", OPTION_FILE, "FILE", AT(cacert),
     .doc = "CA certificates (PEM) that verify the server's certificate; default: the system's"},
    {COMMAND_ALL, 0, "cert", OPTION_FILE, "FILE", AT(cert), .doc = "client certificate (PEM)"},
    {COMMAND_ALL, 0, "key", OPTION_FILE, "FILE", AT(key), .doc = "PEM file with its private key"},
    {COMMAND_ALL, 0, "http", OPTION_TEXT, "VERSION", AT(http), .doc = "1.1 or 2; without it 2 where TLS agrees on it, else 1.1"},
    {COMMAND_ALL, 0, "location", OPTION_FLAG, NULL, AT(location), .doc = "follow redirects, at most 5"},
    {COMMAND_TAIL | COMMAND_PUBLISH, 0, "tries", OPTION_INT, "N", .min = 0, .max = 1000000, .fallback = -1, AT(tries),
     .doc = "give up after N failures in a row, 0: never; default: never for tail, 5 for publish"},
    {COMMAND_ALL, 'q', "quiet", OPTION_FLAG, NULL, AT(quiet), .doc = "print nothing on standard error except why it failed"},
    {COMMAND_ALL, 'h', "help", OPTION_FLAG, NULL, AT(help), .doc = "this text"},
};

const size_t option_count = sizeof(option_table) / sizeof(option_table[0]);

const struct command_row command_table[COMMAND_COUNT] = {
    {COMMAND_TAIL, "tail", "[OPTION...] CHANNEL... | /PATH | URL",
     "Prints the events of a stream as they arrive. After a lost connection it reconnects and resumes after the last event."},
    {COMMAND_PUBLISH, "publish", "[OPTION...] CHANNEL [DATA | -]",
     "Publishes DATA, or standard input, and prints the event's id once the server has acknowledged it."},
    {COMMAND_BENCH, "bench", "[OPTION...]",
     "Opens streams, publishes to them, and reports losses and latency. For a first impression: the figures include its own work."},
};

const struct command_row *command_find(enum command command)
{
    size_t i = 0;
    while (i != COMMAND_COUNT - 1 && command_table[i].command != command)
        ++i;
    return &command_table[i];
}

void options_fault(const struct options *options, const char *format, ...)
{
    va_list args;
    fputs("sse-cli: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (options->command == 0)
        fputs("; see sse-cli --help\n", stderr);
    else
        fprintf(stderr, "; see sse-cli %s --help\n", command_find(options->command)->name);
    exit(2);
}
