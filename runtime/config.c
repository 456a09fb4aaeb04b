#include "runtime/config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/config_print.h"
#include "runtime/default_file.h"
#include "runtime/healthcheck.h"
#include "runtime/log.h"

enum { FILE_MAX_BYTES = 65536 };

static char fault[1024];

__attribute__((format(printf, 1, 2), returns_nonnull)) static const char *fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(fault, sizeof(fault), format, args);
    va_end(args);
    return fault;
}

static bool is_hidden(const struct config_option *option)
{
    return option->kind == CONFIG_SECRET || option->kind == CONFIG_URL;
}

static const char *get_set(const char *(*get)(const char *name), const char *name)
{
    const char *value = name == NULL ? NULL : get(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

static void *field(const struct config_option *option, void *settings)
{
    return (char *)settings + option->at;
}

/* Takes the one line break off that editors and `echo` leave at a file's end. */
static size_t without_newline(const char *text, size_t n)
{
    if (n != 0 && text[n - 1] == '\n')
        --n;
    return n != 0 && text[n - 1] == '\r' ? n - 1 : n;
}

/* *value is malloc'd. */
static const char *read_file(const char *name, const char *path, char **value)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return fail("%s: %.300s can't be read: %s", name, path, strerror(errno));
    char *text = malloc(FILE_MAX_BYTES + 3);
    if (text == NULL)
        abort();
    size_t n = fread(text, 1, FILE_MAX_BYTES + 3, file);
    const char *why = ferror(file) ? fail("%s: %.300s can't be read: %s", name, path, strerror(errno)) : NULL;
    fclose(file);
    n = without_newline(text, n);
    if (why == NULL && n > FILE_MAX_BYTES)
        why = fail("%s: %.300s is longer than %d bytes", name, path, FILE_MAX_BYTES);
    if (why == NULL && n == 0)
        why = fail("%s: %.300s is empty", name, path);
    if (why == NULL && memchr(text, '\0', n) != NULL)
        why = fail("%s: %.300s holds a NUL byte", name, path);
    if (why != NULL) {
        free(text);
        return why;
    }
    text[n] = '\0';
    *value = text;
    return NULL;
}

/* The value under the option's name or alias; NULL when neither is set. */
static const char *from_environment(const struct config_option *option, const char *(*get)(const char *name), const char **value)
{
    const char *own = get_set(get, option->name);
    const char *other = get_set(get, option->alias);
    *value = own != NULL ? own : other;
    if (own != NULL && other != NULL && strcmp(own, other) != 0)
        return fail("%s and %s are set to different values", option->name, option->alias);
    return NULL;
}

/* *value is malloc'd. */
static const char *find_value(const struct config_option *option, const char *(*get)(const char *name), char **value)
{
    char file_name[128];
    const char *text;
    const char *why = from_environment(option, get, &text);
    if (why != NULL)
        return why;
    snprintf(file_name, sizeof(file_name), "%s_FILE", option->name);
    const char *path = is_hidden(option) ? get_set(get, file_name) : NULL;
    if (path != NULL && text != NULL)
        return fail("%s and %s are both set", text == get_set(get, option->name) ? option->name : option->alias, file_name);
    if (path != NULL)
        return read_file(file_name, path, value);
    *value = strdup(text != NULL ? text : option->fallback);
    if (*value == NULL)
        abort();
    return NULL;
}

static const char *set_int(const struct config_option *option, const char *text, int64_t *out)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (digits[0] == '\0' || digits[strspn(digits, "0123456789")] != '\0')
        return fail("%s: '%.40s' is no whole number", option->name, text);
    errno = 0;
    long long number = strtoll(text, NULL, 10);
    if (number > option->max || (errno == ERANGE && text[0] != '-'))
        return fail("%s: %.40s is above %" PRId64, option->name, text, option->max);
    if (number < option->min || errno == ERANGE)
        return fail("%s: %.40s is below %" PRId64, option->name, text, option->min);
    *out = number;
    return NULL;
}

static const char *set_flag(const struct config_option *option, const char *text, bool *out)
{
    static const char *const words[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); ++i)
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2 == 1;
            return NULL;
        }
    return fail("%s: '%.40s' is neither on nor off", option->name, text);
}

/* A fallback of "" means "not set", so there is nothing to check. */
static const char *check_value(const struct config_option *option, const char *value)
{
    const char *why = option->check == NULL || value[0] == '\0' ? NULL : option->check(value);
    return why == NULL ? NULL : fail("%s: %s", option->name, why);
}

static const char *load_option(const struct config_option *option, void *settings, const char *(*get)(const char *name))
{
    char *value = NULL;
    const char *why = find_value(option, get, &value);
    if (why != NULL)
        return why;
    assert(value != NULL);
    if (option->kind == CONFIG_INT)
        why = set_int(option, value, field(option, settings));
    else if (option->kind == CONFIG_FLAG)
        why = set_flag(option, value, field(option, settings));
    if (why == NULL)
        why = check_value(option, value);
    if (why == NULL && option->kind != CONFIG_INT && option->kind != CONFIG_FLAG)
        *(const char **)field(option, settings) = value;
    else
        free(value);
    return why;
}

const char *config_load(const struct config_table *table, void *settings, const char *(*get)(const char *name))
{
    for (size_t i = 0; i < table->count; ++i) {
        const char *why = load_option(&table->options[i], settings, get);
        if (why != NULL)
            return why;
    }
    return NULL;
}

void config_replace(const char **field, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        abort();
    free((char *)*field);
    *field = copy;
}

static const char *from_process(const char *name)
{
    return getenv(name);
}

const char *config_read_file(const char *name, char **value)
{
    char file_name[128];
    snprintf(file_name, sizeof(file_name), "%s_FILE", name);
    const char *path = get_set(from_process, file_name);
    *value = NULL;
    return path == NULL ? NULL : read_file(file_name, path, value);
}

enum action {
    ACTION_RUN,
    ACTION_HEALTHCHECK,
    ACTION_HEALTHCHECK_LIVE,
    ACTION_HELP,
    ACTION_VERSION,
    ACTION_PRINT_SETTINGS,
    ACTION_PRINT_CONFIG,
    ACTION_CHECK_CONFIG,
};

static enum action parse_arguments(int argc, char **argv)
{
    static const char *const names[] = {
        [ACTION_HELP] = "--help",
        [ACTION_VERSION] = "--version",
        [ACTION_PRINT_SETTINGS] = "--print-settings",
        [ACTION_PRINT_CONFIG] = "--print-config",
        [ACTION_CHECK_CONFIG] = "--check-config",
    };
    if (argc < 2)
        return ACTION_RUN;
    if (strcmp(argv[1], "healthcheck") == 0) {
        if (argc > 3 || (argc == 3 && strcmp(argv[2], "--live") != 0))
            die("healthcheck takes --live or nothing");
        return argc == 2 ? ACTION_HEALTHCHECK : ACTION_HEALTHCHECK_LIVE;
    }
    if (argc > 2)
        die("one argument at a time; --help lists them");
    for (size_t i = ACTION_HELP; i < sizeof(names) / sizeof(names[0]); ++i)
        if (strcmp(argv[1], names[i]) == 0)
            return (enum action)i;
    die("unknown argument '%.100s'; --help lists those there are", argv[1]);
}

_Noreturn static void finish(int status)
{
    if (fflush(stdout) != 0)
        die("standard output can't be written: %s", strerror(errno));
    exit(status);
}

static const char *default_file; /* of the program */

/* As the service has it: a person's shell does not know what the service was given. */
static const char *from_process_or_service(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? value : default_file_get(default_file, name);
}

/* Needs the admin port's two settings and no other, so what else is wrong can't hide how the running program is. */
static int check_health(const struct config_table *table, void *settings, const char *path)
{
    const char *host = NULL, *why = NULL;
    int64_t port = -1;
    char path_of_file[100];
    snprintf(path_of_file, sizeof(path_of_file), "/etc/default/%s", table->program);
    default_file = path_of_file;
    for (size_t i = 0; why == NULL && i < table->count; ++i) {
        const struct config_option *option = &table->options[i];
        bool is_host = strcmp(option->name, "ADMIN_HOST") == 0, is_port = strcmp(option->name, "ADMIN_PORT") == 0;
        if (is_host || is_port)
            why = load_option(option, settings, from_process_or_service);
        if (is_host && why == NULL)
            host = *(const char **)field(option, settings);
        else if (is_port && why == NULL)
            port = *(int64_t *)field(option, settings);
    }
    if (why != NULL)
        die("%s", why);
    if (host == NULL || port <= 0)
        die("ADMIN_PORT: healthcheck must know which, and 0 lets the kernel choose");
    return healthcheck(host, port, path);
}

/* Before anything can go wrong, so that what does is said in the form that is asked for. */
static void begin_log(void)
{
    enum log_format format;
    const char *wanted = getenv("LOG_FORMAT");
    if (wanted != NULL && log_format_parse(&format, wanted))
        log_set_format(format);
    log_starting();
}

void config_main(const struct config_table *table, void *settings, int argc, char **argv)
{
    enum action action = parse_arguments(argc, argv);
    if (action == ACTION_HELP)
        config_print_help(table);
    else if (action == ACTION_VERSION)
        printf("%s %s\n", table->program, SSE_VERSION);
    else if (action == ACTION_PRINT_SETTINGS)
        config_print_settings(table);
    if (action == ACTION_HELP || action == ACTION_VERSION || action == ACTION_PRINT_SETTINGS)
        finish(0);
    if (action == ACTION_HEALTHCHECK || action == ACTION_HEALTHCHECK_LIVE)
        finish(check_health(table, settings, action == ACTION_HEALTHCHECK ? "/readyz" : "/healthz"));
    if (action == ACTION_RUN)
        begin_log();
    const char *why = config_load(table, settings, from_process);
    if (why == NULL && table->prepare != NULL)
        why = table->prepare(settings);
    if (why != NULL)
        die("%s", why);
    if (action == ACTION_PRINT_CONFIG)
        config_print_values(table, settings);
    if (action == ACTION_PRINT_CONFIG || action == ACTION_CHECK_CONFIG)
        finish(0);
}
