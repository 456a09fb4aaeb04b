/* Input: fields NAME=value, the environment of the gateway (of the publisher when the first field is "publisher"). A variable that names a file
 * gets one that holds the value.
 * What is loaded is within the bounds of the table and passed its checks, and loaded again from its own values it is the same; a fault is one
 * sentence that begins with the variable; a password of REDIS_URL is not in what is printed. */
#include "runtime/config.h"

#include <sys/mman.h>
#include <unistd.h>

#include "runtime/config_print.h"
#include "runtime/redis/redis_url.h"
#include "tests/fuzz/config_tables.h"
#include "tests/fuzz/fuzz.h"

enum { VARIABLES_MAX = 64 };

static struct variable {
    char *name, *value; /* one allocation: the name's */
} variables[VARIABLES_MAX];
static size_t variable_count;

static const char *get(const char *name)
{
    for (size_t i = 0; i != variable_count; ++i)
        if (strcmp(variables[i].name, name) == 0)
            return variables[i].value;
    return NULL;
}

static bool names_file(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, "_FILE") == 0;
}

/* A path under which this process finds the content. */
static void replace_by_file(struct variable *variable)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    size_t room = strlen(variable->name) + 64, n = strlen(variable->value);
    char *both = malloc(room);
    must(fd >= 0 && both != NULL && write(fd, variable->value, n) == (ssize_t)n);
    int at = snprintf(both, room, "%s", variable->name) + 1;
    snprintf(both + at, room - (size_t)at, "/proc/self/fd/%d", fd);
    free(variable->name);
    *variable = (struct variable){both, both + at};
}

static void add_variable(struct slice field)
{
    struct slice whole = own(field, true);
    char *name = (char *)(uintptr_t)whole.p, *equals = strchr(name, '=');
    if (equals == NULL || variable_count == VARIABLES_MAX) {
        disown(whole);
        return;
    }
    *equals = '\0';
    variables[variable_count] = (struct variable){name, equals + 1};
    if (names_file(name))
        replace_by_file(&variables[variable_count]);
    ++variable_count;
}

static void forget_variables(void)
{
    int fd;
    for (size_t i = 0; i != variable_count; ++i) {
        if (names_file(variables[i].name) && sscanf(variables[i].value, "/proc/self/fd/%d", &fd) == 1)
            close(fd);
        free(variables[i].name);
    }
    variable_count = 0;
}

static void *field_of(const struct config_option *option, void *settings)
{
    return (char *)settings + option->at;
}

static bool is_text(const struct config_option *option)
{
    return option->kind != CONFIG_INT && option->kind != CONFIG_FLAG;
}

static void check_option(const struct config_option *option, void *settings)
{
    if (option->kind == CONFIG_INT) {
        int64_t value = *(int64_t *)field_of(option, settings);
        must(value >= option->min && value <= option->max);
    } else if (is_text(option)) {
        const char *value = *(char **)field_of(option, settings);
        must(value != NULL && (value[0] == '\0' || option->check == NULL || option->check(value) == NULL));
    }
}

static void check_fault(const struct config_table *table, const char *why)
{
    bool named = false;
    must(strlen(why) < 1024);
    for (size_t i = 0; i != table->count; ++i) {
        const struct config_option *option = &table->options[i];
        named = named || strncmp(why, option->name, strlen(option->name)) == 0 ||
                (option->alias != NULL && strncmp(why, option->alias, strlen(option->alias)) == 0);
    }
    must(named);
}

static void free_settings(const struct config_table *table, void *settings)
{
    for (size_t i = 0; i != table->count; ++i)
        if (is_text(&table->options[i]))
            free(*(char **)field_of(&table->options[i], settings));
    free(settings);
}

/* The settings that were loaded, read through get() as if they stood in the environment. */
static struct {
    const struct config_table *table;
    void *settings;
    char text[32];
} again;

static const char *get_again(const char *name)
{
    for (size_t i = 0; i != again.table->count; ++i) {
        const struct config_option *option = &again.table->options[i];
        if (strcmp(option->name, name) != 0)
            continue;
        if (is_text(option))
            return *(char **)field_of(option, again.settings);
        if (option->kind == CONFIG_FLAG)
            return *(bool *)field_of(option, again.settings) ? "Yes" : "Off";
        snprintf(again.text, sizeof(again.text), "%lld", (long long)*(int64_t *)field_of(option, again.settings));
        return again.text;
    }
    return NULL;
}

/* An empty text counts as not set, so it comes back as its default; that is where it came from. */
static bool same_value(const struct config_option *option, void *a, void *b)
{
    if (option->kind == CONFIG_FLAG)
        return *(bool *)field_of(option, a) == *(bool *)field_of(option, b);
    if (option->kind == CONFIG_INT)
        return *(int64_t *)field_of(option, a) == *(int64_t *)field_of(option, b);
    return strcmp(*(char **)field_of(option, a), *(char **)field_of(option, b)) == 0;
}

static void check_again(const struct config_table *table, size_t size, void *settings)
{
    void *second = calloc(1, size);
    must(second != NULL);
    again.table = table;
    again.settings = settings;
    must(config_load(table, second, get_again) == NULL);
    for (size_t i = 0; i != table->count; ++i)
        must(same_value(&table->options[i], settings, second));
    free_settings(table, second);
}

/* What is printed of this one option. */
static void print(struct text *out, const struct config_option *option, void *settings)
{
    const struct config_table one = {.options = option, .count = 1};
    FILE *before = stdout;
    char *p = NULL;
    size_t n = 0;
    must((stdout = open_memstream(&p, &n)) != NULL);
    config_print_values(&one, settings);
    fclose(stdout);
    stdout = before;
    text_add(out, slice_make(p, n));
    free(p);
}

/* A password that may also stand elsewhere in the URL, or look like its punctuation, proves nothing. */
static void check_masked(const struct config_option *option, void *settings)
{
    const char *value = *(char **)field_of(option, settings);
    struct redis_url url;
    struct text printed = {NULL, 0, 0}, bare = {NULL, 0, 0};
    if (redis_url_parse(&url, value) != NULL || strlen(url.login.password) < 4 || strpbrk(url.login.password, "*:@/=?") != NULL)
        return;
    print(&printed, option, settings);
    text_add(&bare, slice_of("REDIS_URL=unix redis rediss -sentinel db="));
    text_add(&bare, slice_make(value, strcspn(strstr(value, "//"), ":") + (size_t)(strstr(value, "//") - value)));
    text_add(&bare, slice_of(strrchr(value, '@')));
    must(strstr(bare.p, url.login.password) != NULL || strstr(printed.p, url.login.password) == NULL);
    text_free(&printed);
    text_free(&bare);
}

static void check_loaded(const struct config_table *table, size_t size, void *settings)
{
    for (size_t i = 0; i != table->count; ++i) {
        check_option(&table->options[i], settings);
        if (table->options[i].kind == CONFIG_URL)
            check_masked(&table->options[i], settings);
    }
    check_again(table, size, settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make((const char *)data, size), first = rest;
    size_t struct_size;
    const struct config_table *table =
        slice_eq(next_field(&first), SLICE("publisher")) ? publisher_table(&struct_size) : gateway_table(&struct_size);
    while (rest.p != NULL)
        add_variable(next_field(&rest));
    void *settings = calloc(1, struct_size);
    must(settings != NULL);
    const char *why = config_load(table, settings, get);
    if (why == NULL)
        check_loaded(table, struct_size, settings);
    else
        check_fault(table, why);
    free_settings(table, settings);
    forget_variables();
    return 0;
}
