/* Every option of sse-cli. */
#pragma once

#include "proto/cli/options.h"

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
