/* A log on stderr, one line for each record: time=… level=… program=… msg="…" and the fields as key=value, or all of it as one JSON
 * object (LOG_FORMAT=json). Any thread may call it; a line is written with one write(2). Values are quoted and escaped here, so bytes
 * from outside can't forge a line. Secrets never go in: mask them before. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *key; /* NULL ends a list */
    enum { LOG_STR, LOG_INT } kind;
    struct slice str;
    int64_t num;
};

/* Lines below `level` are dropped. Call once, before threads start; the default is LOG_INFO. */
void log_set_level(enum log_level level);

/* Whether lines of this level are written. */
bool log_wants(enum log_level level);

/* Reads "debug", "info", "warn" or "error"; false for anything else. */
bool log_level_parse(enum log_level *out, const char *text);

/* Of the setting LOG_FORMAT, which config_main() applies; see config_option.check. */
const char *log_format_check(const char *value);

/* "json", or anything else for text, which is the default. Call once, before threads start. */
void log_set_format(const char *name);

/* Use the macros. `msg` is a static text without line breaks; `fields` ends with a NULL key, the first item is skipped. */
void log_write(enum log_level level, const char *msg, const struct log_field *fields);

#define LOG_AT(level, msg, ...) log_write(level, msg, (const struct log_field[]){{.key = ""}, ##__VA_ARGS__, {.key = NULL}})
#define log_debug(msg, ...) LOG_AT(LOG_DEBUG, msg, ##__VA_ARGS__)
#define log_info(msg, ...) LOG_AT(LOG_INFO, msg, ##__VA_ARGS__)
#define log_warn(msg, ...) LOG_AT(LOG_WARN, msg, ##__VA_ARGS__)
#define log_error(msg, ...) LOG_AT(LOG_ERROR, msg, ##__VA_ARGS__)

static inline struct log_field log_slice(const char *key, struct slice value)
{
    return (struct log_field){.key = key, .kind = LOG_STR, .str = value};
}

static inline struct log_field log_str(const char *key, const char *value)
{
    return log_slice(key, slice_of(value));
}

static inline struct log_field log_int(const char *key, int64_t value)
{
    return (struct log_field){.key = key, .kind = LOG_INT, .num = value};
}

/* For repeated faults that outsiders can cause: true at most once per second for each `limit`, which starts zeroed. One thread each. */
struct log_limit {
    uint64_t next_ms;
};
bool log_allowed(struct log_limit *limit);

/* For lines that outsiders can cause in any number: at most LOG_BUDGET_LINES in a second for each budget, which starts zeroed. True: write
 * the line, with *left_out, how many were left out since the last one. One thread each. */
enum { LOG_BUDGET_LINES = 10 };
struct log_budget {
    uint64_t began_ms;
    unsigned lines;
    int64_t left_out;
};
bool log_budget_take(struct log_budget *budget, int64_t *left_out);

/* From now on die() writes a line of the log: the program is being started, not asked for something by a person. */
void log_starting(void);

/* Ends a start that cannot succeed, with status 1. Prints "PROGRAM: sentence" on stderr, or after log_starting() logs it at level error as
 * `why` of "cannot start". Never after "ready". */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
