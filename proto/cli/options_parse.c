#include "proto/cli/options_parse.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/cli/option_check.h"
#include "proto/cli/usage.h"

enum { LONG_ONLY = 256, OPTIONS_MAX = 64 };

static int64_t to_int(const struct options *options, const struct option_row *row, const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' || value < row->min || value > row->max) {
        if (row->max == INT64_MAX)
            options_fault(options, "--%s: must be a number from %" PRId64 " up, not '%s'", row->name, row->min, text);
        options_fault(options, "--%s: must be a number from %" PRId64 " to %" PRId64 ", not '%s'", row->name, row->min, row->max,
                      text);
    }
    return value;
}

static void add(const struct options *options, struct option_list *list, const char *name, const char *text)
{
    if (list->count == OPTIONS_LIST_MAX)
        options_fault(options, "%s: at most %d of them", name, OPTIONS_LIST_MAX);
    list->items[list->count++] = text;
}

static void set(struct options *options, const struct option_row *row, const char *text)
{
    void *field = (char *)options + row->at;
    if (row->kind == OPTION_FLAG)
        *(bool *)field = true;
    else if (row->kind == OPTION_INT)
        *(int64_t *)field = to_int(options, row, text);
    else if (row->kind == OPTION_LIST)
        add(options, field, row->name, text);
    else
        *(const char **)field = text;
    if (row->kind == OPTION_FILE && access(text, R_OK) != 0)
        options_fault(options, "--%s: %s can't be read: %s", row->name, text, strerror(errno));
}

/* getopt's own form of the table: only what the command takes. */
static void fill_getopt(enum command command, struct option *longs, char *shorts)
{
    size_t n = 0;
    *shorts++ = ':';
    for (size_t i = 0; i != option_count && n != OPTIONS_MAX - 1; ++i) {
        const struct option_row *row = &option_table[i];
        if ((row->commands & (int)command) == 0)
            continue;
        longs[n++] = (struct option){row->name, row->argument == NULL ? no_argument : required_argument, NULL, LONG_ONLY + (int)i};
        if (row->letter == 0)
            continue;
        *shorts++ = row->letter;
        if (row->argument != NULL)
            *shorts++ = ':';
    }
    longs[n] = (struct option){NULL, 0, NULL, 0};
    *shorts = '\0';
}

static const struct option_row *row_of(int code)
{
    if (code >= LONG_ONLY)
        return &option_table[code - LONG_ONLY];
    for (size_t i = 0; i != option_count; ++i)
        if (option_table[i].letter == code)
            return &option_table[i];
    abort(); /* getopt knows only the letters of the table */
}

static void read_options(struct options *options, int argc, char **argv)
{
    struct option longs[OPTIONS_MAX];
    char shorts[3 * OPTIONS_MAX];
    fill_getopt(options->command, longs, shorts);
    opterr = 0;
    for (int code; (code = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        if (code == ':')
            options_fault(options, "%s needs a value", argv[optind - 1]);
        if (code == '?' && optopt != 0 && optopt < LONG_ONLY)
            options_fault(options, "unknown option -%c", optopt);
        if (code == '?')
            options_fault(options, "%s '%s'", optopt == 0 ? "unknown or ambiguous option" : "no value goes with", argv[optind - 1]);
        set(options, row_of(code), optarg);
    }
    while (optind != argc)
        add(options, &options->arguments, "arguments", argv[optind++]);
}

static void set_defaults(struct options *options)
{
    for (size_t i = 0; i != option_count; ++i)
        if (option_table[i].kind == OPTION_INT)
            *(int64_t *)((char *)options + option_table[i].at) = option_table[i].fallback;
}

static void read_command(struct options *options, const char *name)
{
    for (size_t i = 0; i != COMMAND_COUNT; ++i)
        if (strcmp(command_table[i].name, name) == 0)
            options->command = command_table[i].command;
    if (options->command == 0)
        options_fault(options, "there is no command '%s'", name);
}

/* Arguments that stand in the command's place. */
static void answer_and_exit(const char *argument)
{
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
        usage_print();
    else if (strcmp(argument, "--version") == 0)
        usage_print_version();
    else if (strcmp(argument, "--print-options") == 0)
        usage_print_options();
    else
        return;
    exit(fflush(stdout) != 0);
}

void options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){0};
    if (argc < 2)
        options_fault(options, "what to do? tail, publish or bench");
    answer_and_exit(argv[1]);
    read_command(options, argv[1]);
    set_defaults(options);
    read_options(options, argc - 1, argv + 1);
    if (options->help) {
        usage_print_command(options->command);
        exit(fflush(stdout) != 0);
    }
    option_check(options);
}
