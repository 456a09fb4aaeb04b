/* The parsed command line of sse-cli, and the table of every option and command, which drives parsing, bounds, --help, the manual page and the test of the shell
 * completion. */
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
    int64_t lease; /* seconds; 0: none */
    bool text, lines, batch, end;
    /* bench */
    int64_t streams, spread, rate, seconds;
};

enum option_kind {
    OPTION_TEXT, /* const char * */
    OPTION_FILE, /* the same, of a file that can be read */
    OPTION_LIST, /* struct option_list: may be given more than once */
    OPTION_INT, /* int64_t, min..max */
    OPTION_FLAG, /* bool */
};

struct option_row {
    int commands; /* of enum command, or'ed */
    char letter; /* its short form, or 0 */
    const char *name;
    enum option_kind kind;
    const char *argument; /* what stands for its value in the help; NULL for flags */
    int64_t min, max, fallback; /* OPTION_INT only */
    size_t at; /* offsetof in struct options */
    const char *doc; /* one phrase */
};

extern const struct option_row option_table[];
extern const size_t option_count;

struct command_row {
    enum command command;
    const char *name, *usage, *doc;
};

extern const struct command_row command_table[];
enum { COMMAND_COUNT = 3 };

const struct command_row *command_find(enum command command);

/* "sse-cli: sentence; see sse-cli tail --help" on stderr, exit 2. */
_Noreturn void options_fault(const struct options *options, const char *format, ...) __attribute__((format(printf, 2, 3)));
