#include "runtime/config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/read_file.h"

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
static const char *read_value(const char *name, const char *path, char **value)
{
    size_t n;
    const char *why;
    char *text = read_file(path, FILE_MAX_BYTES + sizeof("\r\n") - 1, &n, &why);
    if (text == NULL)
        return fail("%s: %.300s %s", name, path, why);
    n = without_newline(text, n);
    why = n > FILE_MAX_BYTES ? "is longer than 65536 bytes" : n == 0 ? "is empty" : "holds a NUL byte";
    if (n > FILE_MAX_BYTES || n == 0 || memchr(text, '\0', n) != NULL) {
        free(text);
        return fail("%s: %.300s %s", name, path, why);
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
    const char *path = config_may_be_file(option) ? get_set(get, file_name) : NULL;
    if (path != NULL && text != NULL)
        return fail("%s and %s are both set", text == get_set(get, option->name) ? option->name : option->alias, file_name);
    if (path != NULL)
        return read_value(file_name, path, value);
    *value = strdup(text != NULL ? text : option->fallback);
    if (*value == NULL)
        abort();
    return NULL;
}

static const char *set_int(const struct config_option *option, const char *text, int64_t *out)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (digits[0] == '\0' || digits[strspn(digits, "0123456789")] != '\0')
        return fail("%s: '%.40s' is not a whole number", option->name, text);
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

const char *config_getenv(const char *name)
{
    return getenv(name);
}

const char *config_read_file(const char *name, char **value)
{
    char file_name[128];
    snprintf(file_name, sizeof(file_name), "%s_FILE", name);
    const char *path = get_set(config_getenv, file_name);
    *value = NULL;
    return path == NULL ? NULL : read_value(file_name, path, value);
}
