#include "runtime/announce.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/json.h"
#include "runtime/metrics.h"
#include "runtime/monotonic.h"

/* A sentence longer than this is cut. */
enum { SENTENCE_MAX = 160 };

struct text {
    char bytes[ANNOUNCE_MAX + 1];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text->bytes + text->n, sizeof(text->bytes) - text->n, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(text->bytes) - text->n)
        abort(); /* all of it is bounded by tables of the program */
    text->n += (size_t)n;
}

static void put_text(struct text *text, const char *name, const char *value)
{
    char quoted[6 * SENTENCE_MAX + 2];
    size_t length = strlen(value), n = json_quote(quoted, slice_make(value, length < SENTENCE_MAX ? length : SENTENCE_MAX));
    put(text, "\"%s\":%.*s,", name, (int)n, quoted);
}

static int64_t value_of(const struct announce_row *row)
{
    int64_t sum = metric_sum(row->counter);
    for (size_t i = 1; i < row->rows; ++i)
        sum += metric_sum(row->counter + i);
    return sum;
}

static int64_t cpu_ms(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static void put_grouped(struct text *text, const struct announce_options *options)
{
    const char *comma = "";
    put(text, "\"%s\":{", options->group);
    for (size_t i = 0; i < options->grouped_count; ++i) {
        int64_t value = value_of(&options->grouped[i]);
        if (value == 0)
            continue;
        put(text, "%s\"%s\":%" PRId64, comma, options->grouped[i].name, value);
        comma = ",";
    }
    put(text, "}");
}

static void on_timer(void *data)
{
    struct announce *announce = data;
    const struct announce_options *options = &announce->options;
    const char *why = admin_first_failure(options->checks, options->check_count);
    struct text text = {.n = 0};
    put(&text, "{");
    put_text(&text, "node", options->node);
    put_text(&text, "id", announce->id);
    put_text(&text, "role", options->role);
    put_text(&text, "version", SSE_VERSION);
    if (why != NULL)
        put_text(&text, "why", why);
    put(&text, "\"seq\":%" PRIu64 ",\"every_ms\":%" PRIu64 ",\"uptime_ms\":%" PRIu64 ",\"cpu_ms\":%" PRId64 ",", ++announce->seq,
        options->interval_ms, monotonic_ms() - announce->started_ms, cpu_ms());
    for (size_t i = 0; i < options->row_count; ++i)
        put(&text, "\"%s\":%" PRId64 ",", options->rows[i].name, value_of(&options->rows[i]));
    put_grouped(&text, options);
    put(&text, "}");
    options->send(options->data, slice_make(text.bytes, text.n));
    timer_start(&announce->timer, options->interval_ms);
}

void announce_start(struct announce *announce, const struct announce_options *options)
{
    uint64_t chance;
    if (options->interval_ms == 0)
        return;
    *announce = (struct announce){.options = *options, .started_ms = monotonic_ms()};
    arc4random_buf(&chance, sizeof(chance));
    snprintf(announce->id, sizeof(announce->id), "%016" PRIx64, chance);
    timer_init(&announce->timer, options->loop, on_timer, announce);
    on_timer(announce);
}
