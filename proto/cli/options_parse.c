#include "proto/cli/options_parse.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "proto/channel.h"
#include "proto/cli/address.h"
#include "proto/cli/usage.h"
#include "proto/event.h"
#include "runtime/read_file.h"

/* ---- the command line ---- */

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

/* ---- what the options say ---- */

static void check_address(const struct options *options, const char *name, const char *url)
{
    const char *fault = address_check(url);
    if (fault != NULL)
        options_fault(options, "%s: %s", name, fault);
}

static void check_url(struct options *options)
{
    const char *name = options->url != NULL ? "--url" : "SSE_URL", *set = getenv("SSE_URL");
    if (options->url == NULL)
        options->url = set != NULL && set[0] != '\0' ? set : "http://localhost:4043";
    check_address(options, name, options->url);
    if (strpbrk(options->url, "?#") != NULL)
        options_fault(options, "%s: must be the server's address alone, without '?' or '#'", name);
}

/* Headers that this program writes itself, and what sets them. */
static void check_header(const struct options *options, const char *line)
{
    static const struct {
        const char *name, *instead;
    } ours[] = {
        {"authorization:", "do not put secrets on a command line: use --token-file or SSE_TOKEN"},
        {"last-event-id:", "use --from"},
        {"idempotency-key:", "use --idempotency-key"},
        {"content-type:", "use --text or --json"},
        {"accept:", "it is always text/event-stream"},
    };
    size_t name = strcspn(line, ":");
    if (line[name] != ':' || name == 0 || strcspn(line, " \t\r\n\"(),/;<=>?@[\\]{}") < name || strpbrk(line, "\r\n") != NULL)
        options_fault(options, "--header: must be 'Name: value'");
    for (size_t i = 0; i != sizeof(ours) / sizeof(ours[0]); ++i)
        if (strncasecmp(line, ours[i].name, strlen(ours[i].name)) == 0)
            options_fault(options, "--header: %s", ours[i].instead);
}

static void check_token(struct options *options)
{
    const char *set = getenv("SSE_TOKEN"), *name = options->token_file != NULL ? "--token-file" : "SSE_TOKEN", *fault = NULL;
    size_t n = 0;
    if (options->token_file != NULL) {
        options->token = read_file(options->token_file, OPTIONS_TOKEN_MAX, &n, &fault);
        if (options->token == NULL)
            options_fault(options, "%s: %s %s", name, options->token_file, fault);
    } else if (set != NULL && set[0] != '\0') {
        options->token = strdup(set);
    }
    if (options->token == NULL)
        return;
    for (n = strlen(options->token); n != 0 && strchr(" \t\r\n", options->token[n - 1]) != NULL; --n)
        options->token[n - 1] = '\0';
    for (size_t i = 0; i != n; ++i)
        if (options->token[i] <= ' ' || options->token[i] > '~')
            options_fault(options, "%s: holds something that is no token", name);
    if (n == 0 || n > OPTIONS_TOKEN_MAX)
        options_fault(options, "%s: is %s", name, n == 0 ? "empty" : "too long for a token");
}

static void check_channel(const struct options *options, const char *name)
{
    const char *fault = channel_check(slice_of(name));
    if (fault != NULL)
        options_fault(options, "channel '%s': %s", name, fault);
}

static void check_tail(struct options *options)
{
    const struct option_list *arguments = &options->arguments;
    bool address = arguments->count == 1 && address_is(arguments->items[0]);
    if (options->channels.count + arguments->count == 0)
        options_fault(options, "name a stream: a channel, a path like /sse, or a URL");
    if (address && options->channels.count != 0)
        options_fault(options, "a URL or channels, not both");
    if (address && arguments->items[0][0] != '/')
        check_address(options, "URL", arguments->items[0]);
    for (size_t i = 0; i != arguments->count && !address; ++i) {
        if (options->channels.count == OPTIONS_LIST_MAX)
            options_fault(options, "at most %d channels in one stream", OPTIONS_LIST_MAX);
        options->channels.items[options->channels.count++] = arguments->items[i];
    }
    for (size_t i = 0; i != options->channels.count; ++i)
        check_channel(options, options->channels.items[i]);
    if (options->from != NULL && options->last != 0)
        options_fault(options, "--from or --last, not both");
    if (options->from != NULL && (options->from[0] == '\0' || event_check_id(slice_of(options->from)) != NULL))
        options_fault(options, "--from: %s", options->from[0] == '\0' ? "is empty" : event_check_id(slice_of(options->from)));
}

static void check_field(const struct options *options, const char *name, const char *fault)
{
    if (fault != NULL)
        options_fault(options, "--%s: %s", name, fault);
}

static bool is_key(const char *text, size_t max)
{
    size_t n = 0;
    while (text[n] > ' ' && text[n] <= '~')
        ++n;
    return text[n] == '\0' && n != 0 && n <= max;
}

/* What does not go with many events. `name`: --lines or --batch. */
static void check_many(const struct options *options, const char *name)
{
    if (options->lines && options->batch)
        options_fault(options, "--lines or --batch, not both");
    if (options->arguments.count == 2 && strcmp(options->arguments.items[1], "-") != 0)
        options_fault(options, "%s reads the standard input: no DATA goes with it", name);
    if (options->id != NULL)
        options_fault(options, "%s makes many events, and --id is of one", name);
    if (options->batch && options->json && (options->event != NULL || options->retry >= 0 || options->lease != 0))
        options_fault(options, "with --batch --json the event, retry and lease stand in the lines");
}

static void check_publish(const struct options *options)
{
    enum { KEY_MAX = 200, LINE_DIGITS = 11 }; /* bytes that a publisher takes */
    const char *key = options->idempotency_key;
    bool many = options->lines || options->batch;
    if (options->arguments.count == 0)
        options_fault(options, "name a channel");
    if (options->arguments.count > 2)
        options_fault(options, "too many arguments: data with spaces needs quotes");
    check_channel(options, options->arguments.items[0]);
    if (options->text && options->json)
        options_fault(options, "--text or --json, not both");
    if (many)
        check_many(options, options->lines ? "--lines" : "--batch");
    if (options->end && options->lease != 0 && !many)
        options_fault(options, "--end or --lease, not both");
    if (options->end && !many && options->arguments.count == 1 && (options->event != NULL || options->id != NULL))
        options_fault(options, "--event and --id need DATA: the end has neither");
    if (options->event != NULL)
        check_field(options, "event", event_check_type(slice_of(options->event)));
    if (options->id != NULL)
        check_field(options, "id", event_check_id(slice_of(options->id)));
    if (key != NULL && !is_key(key, KEY_MAX - (many ? LINE_DIGITS : 0)))
        options_fault(options, "--idempotency-key: must be 1 to %d visible ASCII characters", KEY_MAX - (many ? LINE_DIGITS : 0));
}

/* What the table can't say: values that depend on each other, on the environment or on a grammar. */
static void check(struct options *options)
{
    check_url(options);
    check_token(options);
    for (size_t i = 0; i != options->headers.count; ++i)
        check_header(options, options->headers.items[i]);
    if (options->http != NULL && strcmp(options->http, "1.1") != 0 && strcmp(options->http, "2") != 0)
        options_fault(options, "--http: must be 1.1 or 2, not '%s'", options->http);
    if ((options->cert == NULL) != (options->key == NULL))
        options_fault(options, "--cert and --key go together");
    if (options->tries < 0)
        options->tries = options->command == COMMAND_PUBLISH ? 5 : 0;
    if (options->command == COMMAND_TAIL)
        check_tail(options);
    else if (options->command == COMMAND_PUBLISH)
        check_publish(options);
    else if (options->arguments.count != 0)
        options_fault(options, "bench takes no arguments, and '%s' is one", options->arguments.items[0]);
}

/* ---- all of it ---- */

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
    check(options);
}
