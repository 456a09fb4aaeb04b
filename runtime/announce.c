#include "runtime/announce.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/json.h"
#include "runtime/metrics.h"
#include "runtime/monotonic.h"

/* A sentence longer than this is cut. */
enum { SENTENCE_MAX = 160 };

static void put_text(FILE *out, const char *name, const char *value)
{
    char quoted[6 * SENTENCE_MAX + 2];
    size_t length = strlen(value), n = json_quote(quoted, slice_make(value, length < SENTENCE_MAX ? length : SENTENCE_MAX));
    fprintf(out, "\"%s\":%.*s,", name, (int)n, quoted);
}

static int64_t value_of(const struct announce_row *row)
{
    int64_t sum = metric_sum(row->counter);
    for (size_t i = 1; i < row->rows; ++i)
        sum += metric_sum(row->counter + i);
    return sum;
}

static void put_grouped(FILE *out, const struct announce_options *options)
{
    const char *comma = "";
    fprintf(out, "\"%s\":{", options->group);
    for (size_t i = 0; i < options->grouped_count; ++i) {
        int64_t value = value_of(&options->grouped[i]);
        if (value == 0)
            continue;
        fprintf(out, "%s\"%s\":%" PRId64, comma, options->grouped[i].name, value);
        comma = ",";
    }
    fprintf(out, "}");
}

static void on_timer(void *data)
{
    struct announce *announce = data;
    const struct announce_options *options = &announce->options;
    const char *why = admin_first_failure(options->checks, options->check_count);
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (out == NULL)
        abort();
    fprintf(out, "{");
    put_text(out, "node", options->node);
    put_text(out, "id", announce->id);
    put_text(out, "role", options->role);
    put_text(out, "version", SSE_VERSION);
    if (why != NULL)
        put_text(out, "why", why);
    fprintf(out, "\"seq\":%" PRIu64 ",\"every_ms\":%" PRIu64 ",\"uptime_ms\":%" PRIu64 ",\"cpu_ms\":%" PRIu64 ",", ++announce->seq,
            options->interval_ms, monotonic_ms() - announce->started_ms, clock_us(CLOCK_PROCESS_CPUTIME_ID) / 1000);
    for (size_t i = 0; i < options->row_count; ++i)
        fprintf(out, "\"%s\":%" PRId64 ",", options->rows[i].name, value_of(&options->rows[i]));
    put_grouped(out, options);
    fprintf(out, "}");
    if (fclose(out) != 0 || n > ANNOUNCE_MAX)
        abort(); /* all of it is bounded by tables of the program */
    options->send(options->data, slice_make(text, n));
    free(text);
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
