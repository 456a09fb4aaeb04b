#include "runtime/config_print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 100, GAP = 2 };

/* Ends with "(1 to 65535, default 4043; also SSE_PORT)". Malloc'd. */
static char *describe(const struct config_option *option, bool with_default)
{
    const char *between = " (";
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        abort();
    fputs(option->doc, out);
    if (option->kind == CONFIG_INT) {
        fprintf(out, "%s%" PRId64 " to %" PRId64, between, option->min, option->max);
        between = ", ";
    } else if (option->kind == CONFIG_FLAG) {
        fprintf(out, "%son or off", between);
        between = ", ";
    }
    if (with_default && option->fallback[0] != '\0') {
        fprintf(out, "%sdefault %s", between, option->fallback);
        between = "; ";
    }
    if (option->alias != NULL) {
        fprintf(out, "%salso %s", between[0] == ',' ? "; " : between, option->alias);
        between = "; ";
    }
    if (config_may_be_file(option)) {
        fprintf(out, "%s%s_FILE: a file that holds it", between[0] == ',' ? "; " : between, option->name);
        between = "; ";
    }
    if (between[0] != ' ')
        fputc(')', out);
    fclose(out);
    return text;
}

void config_print_wrapped(const char *text, size_t indent)
{
    size_t column = indent;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column != indent && column + 1 + word > COLUMNS) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        } else if (column != indent) {
            putchar(' ');
            ++column;
        }
        fwrite(text, 1, word, stdout);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_option(const struct config_option *option, size_t width)
{
    char *text = describe(option, true);
    printf("%*s%-*s%*s", GAP, "", (int)width, option->name, GAP, "");
    config_print_wrapped(text, GAP + width + GAP);
    free(text);
}

static void print_arguments(void)
{
    static const struct {
        const char *name, *doc;
    } arguments[] = {
        {"healthcheck", "ask the running program for /readyz: prints one line, exit status 0 or 1"},
        {"healthcheck --live", "the same for /healthz"},
        {"--help", "this text"},
        {"--version", "the version"},
        {"--check-config", "check settings and files: exit status 0, or 1 and the first fault"},
        {"--print-config", "print every setting and its value, secrets masked"},
        {"--print-settings", "print the table of settings in Markdown"},
    };
    puts("Arguments (without one the program runs):");
    for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); ++i)
        printf("  %-18s  %s\n", arguments[i].name, arguments[i].doc);
}

void config_print_help(const struct config_table *table)
{
    size_t width = 0;
    for (size_t i = 0; i < table->count; ++i)
        if (strlen(table->options[i].name) > width)
            width = strlen(table->options[i].name);
    printf("%s %s: %s\n\nUsage: %s [argument]\n\n", table->program, SSE_VERSION, table->summary, table->program);
    print_arguments();
    puts("\nSettings are environment variables; an empty one counts as not set:");
    for (size_t i = 0; i < table->count; ++i)
        print_option(&table->options[i], width);
}

static void print_cell(const char *text)
{
    for (; *text != '\0'; ++text) {
        if (*text == '|')
            putchar('\\');
        putchar(*text);
    }
}

static void print_row(const struct config_option *option)
{
    char *text = describe(option, false);
    printf("| `%s` | ", option->name);
    if (option->fallback[0] != '\0') {
        putchar('`');
        print_cell(option->fallback);
        printf("` ");
    }
    printf("| ");
    print_cell(text);
    puts(" |");
    free(text);
}

void config_print_settings(const struct config_table *table)
{
    puts("| setting | default | what it does |\n|---|---|---|");
    for (size_t i = 0; i < table->count; ++i)
        print_row(&table->options[i]);
}

/* The password stands between the first ':' of the authority and the last '@' of all: one that holds a raw '@' or '/' is masked whole. */
static void print_url(const char *url)
{
    const char *scheme_end = strstr(url, "://");
    const char *user = scheme_end == NULL ? url : scheme_end + 3;
    const char *at = strrchr(user, '@');
    const char *colon = at == NULL ? NULL : memchr(user, ':', (size_t)(at - user));
    if (colon == NULL)
        printf("%s", url);
    else
        printf("%.*s:***%s", (int)(colon - url), url, at);
}

static void print_value(const struct config_option *option, const void *settings)
{
    const void *field = (const char *)settings + option->at;
    printf("%s=", option->name);
    if (option->kind == CONFIG_INT)
        printf("%" PRId64, *(const int64_t *)field);
    else if (option->kind == CONFIG_FLAG)
        printf("%s", *(const bool *)field ? "on" : "off");
    else if (option->kind == CONFIG_SECRET)
        printf("%s", (*(const char *const *)field)[0] == '\0' ? "" : "***");
    else if (option->kind == CONFIG_URL)
        print_url(*(const char *const *)field);
    else
        printf("%s", *(const char *const *)field);
    putchar('\n');
}

void config_print_values(const struct config_table *table, const void *settings)
{
    for (size_t i = 0; i < table->count; ++i)
        print_value(&table->options[i], settings);
}
