/* Settings from the environment, all from one table per program. The table drives parsing, bounds, --help, --print-config and the
 * table in deploy/settings.md (--print-settings), so none of them can disagree. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum config_kind {
    CONFIG_TEXT, /* const char *, never NULL; the default may be "" */
    CONFIG_SECRET, /* as CONFIG_TEXT, shown as *** by --print-config; NAME_FILE may name a file that holds the value instead */
    CONFIG_URL, /* as CONFIG_SECRET, but only the password in scheme://user:password@host is masked */
    CONFIG_INT, /* int64_t, min..max */
    CONFIG_FLAG, /* bool: on|off, also true|false, yes|no, 1|0 */
};

struct config_option {
    const char *name; /* the environment variable */
    const char *alias; /* a second name it is known by, or NULL; setting both to different values is an error */
    enum config_kind kind;
    const char *fallback; /* the default, spelt as in the environment */
    int64_t min, max; /* CONFIG_INT only */
    size_t at; /* offsetof the field in the program's struct */
    const char *doc; /* one phrase for the help and deploy/settings.md, with the unit */
    const char *(*check)(const char *value); /* may be NULL; NULL or a static sentence that goes after "NAME: " */
};

/* Whether NAME_FILE may name a file that holds the value. */
static inline bool config_may_be_file(const struct config_option *option)
{
    return option->kind == CONFIG_SECRET || option->kind == CONFIG_URL;
}

struct config_table {
    const char *program; /* "sse-gateway" */
    const char *summary; /* one line */
    const struct config_option *options; /* in the order they are printed */
    size_t count;
    /* Everything else that a start can fail for and a running program does not hold: settings that must go together, and all files. It
     * keeps what it read for the start. NULL, or a sentence in a static buffer that begins with a setting. The member may be NULL. */
    const char *(*prepare)(void *settings);
};

/* For prepare(): puts a copy of another text into the field of a CONFIG_TEXT, which is what is in force and shown from then on. */
void config_replace(const char **field, const char *text);

/* getenv() with the type of config_load()'s `get`. */
const char *config_getenv(const char *name);

/* Fills *settings from getenv-like `get`. NULL, or a sentence in a static buffer. */
const char *config_load(const struct config_table *table, void *settings, const char *(*get)(const char *name));

/* What the file holds now that the environment names for a secret setting, by NAME_FILE: *value is malloc'd, NULL where it names none. NULL, or a sentence in a static buffer. */
const char *config_read_file(const char *name, char **value) __attribute__((warn_unused_result));
