/* The command line and the environment, all from one table: it drives parsing, bounds, --help, the manual page and the test of the shell completion. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OPTIONS_LIST_MAX = 100, OPTIONS_TOKEN_MAX = 16384 };

enum command { COMMAND_TAIL = 1, COMMAND_PUBLISH = 2, COMMAND_BENCH = 4, COMMAND_ALL = 7 };

struct option_list {
    const char *items[OPTIONS_LIST_MAX];
    size_t count;
};

struct options {
    enum command command;
    struct option_list arguments; /* what is no option: channels or a URL, or a channel and its data */
    /* every command; texts are NULL when they are not given */
    const char *url; /* of the server, without a slash at its end; never NULL */
    char *token; /* never from the command line; NULL: none */
    struct option_list headers; /* "Name: value" */
    const char *token_file, *cacert, *cert, *key, *http;
    bool location, quiet, help;
    int64_t tries;
    /* tail */
    struct option_list channels;
    const char *from;
    int64_t last, count, idle; /* 0: not given */
    bool json, once;
    /* publish */
    const char *event, *id, *idempotency_key;
    int64_t retry; /* ms; -1: not given */
    bool text, lines;
    /* bench */
    int64_t streams, spread, rate, seconds;
};

/* Fills *options, or prints what was asked for and exits with 0, or says in one sentence what is wrong and exits with 2. */
void options_parse(struct options *options, int argc, char **argv);

/* "sse-cli: sentence; see sse-cli tail --help" on stderr, exit 2. */
_Noreturn void options_fault(const struct options *options, const char *format, ...) __attribute__((format(printf, 2, 3)));
