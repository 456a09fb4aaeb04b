#include "runtime/config_main.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config_print.h"
#include "runtime/default_file.h"
#include "runtime/healthcheck.h"
#include "runtime/log.h"

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
            die("healthcheck accepts only --live");
        return argc == 2 ? ACTION_HEALTHCHECK : ACTION_HEALTHCHECK_LIVE;
    }
    if (argc > 2)
        die("only one argument is accepted; --help lists them");
    for (size_t i = ACTION_HELP; i < sizeof(names) / sizeof(names[0]); ++i)
        if (strcmp(argv[1], names[i]) == 0)
            return (enum action)i;
    die("unknown argument '%.100s'; --help lists the arguments", argv[1]);
}

_Noreturn static void finish(int status)
{
    if (fflush(stdout) != 0)
        die("cannot write to standard output: %s", strerror(errno));
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
            why = config_load(&(struct config_table){.options = option, .count = 1}, settings, from_process_or_service);
        if (is_host && why == NULL)
            host = *(const char **)((char *)settings + option->at);
        else if (is_port && why == NULL)
            port = *(int64_t *)((char *)settings + option->at);
    }
    if (why != NULL)
        die("%s", why);
    if (host == NULL || port <= 0)
        die("ADMIN_PORT: healthcheck needs a fixed port, and 0 lets the kernel choose");
    return healthcheck(host, port, path);
}

/* Before anything can go wrong, so that what does is said in the form that is asked for. */
static void begin_log(void)
{
    const char *wanted = getenv("LOG_FORMAT");
    if (wanted != NULL)
        log_set_format(wanted);
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
    const char *why = config_load(table, settings, config_getenv);
    if (why == NULL && table->prepare != NULL)
        why = table->prepare(settings);
    if (why != NULL)
        die("%s", why);
    if (action == ACTION_PRINT_CONFIG)
        config_print_values(table, settings);
    if (action == ACTION_PRINT_CONFIG || action == ACTION_CHECK_CONFIG)
        finish(0);
}
