#include "proto/cli/usage.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/cli/buffer.h"
#include "runtime/config_print.h"

enum { INDENT = 32 };

static void describe(struct buffer *out, const struct option_row *row)
{
    buffer_print(out, "%s", row->doc);
    if (row->kind != OPTION_INT)
        return;
    if (row->max == INT64_MAX)
        buffer_print(out, " (%" PRId64 " or more", row->min);
    else
        buffer_print(out, " (%" PRId64 " to %" PRId64, row->min, row->max);
    if (row->fallback > 0)
        buffer_print(out, ", default %" PRId64, row->fallback);
    buffer_print(out, ")");
}

static void print_row(const struct option_row *row)
{
    struct buffer name = {NULL, 0, 0}, text = {NULL, 0, 0};
    if (row->letter != 0)
        buffer_print(&name, "-%c, ", row->letter);
    else
        buffer_print(&name, "    ");
    buffer_print(&name, "--%s%s%s", row->name, row->argument == NULL ? "" : " ", row->argument == NULL ? "" : row->argument);
    describe(&text, row);
    printf("  %-*s", INDENT - 2, name.p);
    config_print_wrapped(text.p, INDENT);
    buffer_free(&name);
    buffer_free(&text);
}

static void print_rows(int command, bool common)
{
    for (size_t i = 0; i != option_count; ++i)
        if ((option_table[i].commands & command) != 0 && (option_table[i].commands == COMMAND_ALL) == common)
            print_row(&option_table[i]);
}

void usage_print_command(enum command command)
{
    const struct command_row *row = command_find(command);
    printf("Usage: sse-cli %s %s\n\n", row->name, row->usage);
    config_print_wrapped(row->doc, 0);
    puts("\nOptions:");
    print_rows(command, false);
    puts("\nOptions of every command:");
    print_rows(command, true);
}

void usage_print(void)
{
    printf("sse-cli %s: reads and publishes Server-Sent Events\n\nUsage:\n", SSE_VERSION);
    for (size_t i = 0; i != COMMAND_COUNT; ++i)
        printf("  sse-cli %s %s\n", command_table[i].name, command_table[i].usage);
    puts("  sse-cli COMMAND --help\n  sse-cli --help | --version\n");
    for (size_t i = 0; i != COMMAND_COUNT; ++i) {
        printf("%-9s", command_table[i].name);
        config_print_wrapped(command_table[i].doc, 9);
    }
    puts("\nOptions of every command:");
    print_rows(COMMAND_ALL, true);
    puts("\nExit status: 0 done, 1 it failed, 2 the command line is wrong. Ctrl-C ends tail with 0.");
}

static void print_options_of(const struct command_row *command)
{
    printf("%s\t\t\t%s\n", command->name, command->doc);
    for (size_t i = 0; i != option_count; ++i) {
        const struct option_row *row = &option_table[i];
        struct buffer text = {NULL, 0, 0};
        if ((row->commands & (int)command->command) == 0)
            continue;
        describe(&text, row);
        printf("%s\t", command->name);
        if (row->letter != 0)
            printf("-%c,", row->letter);
        printf("--%s\t%s\t%s\n", row->name, row->argument == NULL ? "" : row->argument, text.p);
        buffer_free(&text);
    }
}

void usage_print_options(void)
{
    for (size_t i = 0; i != COMMAND_COUNT; ++i)
        print_options_of(&command_table[i]);
}

void usage_print_version(void)
{
    printf("sse-cli %s (libcurl %s)\n", SSE_VERSION, curl_version_info(CURLVERSION_NOW)->version);
}
