#include "proto/cli/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "proto/cli/bench_post.h"
#include "proto/cli/bench_report.h"
#include "proto/cli/bench_stream.h"
#include "proto/cli/output.h"
#include "runtime/monotonic.h"

enum { OPEN_MS = 30000, SETTLE_MS = 5000, PROGRESS_MS = 250, SPARE_FILES = 64 };

static bool is_channel(const struct bench *bench, const void *owner)
{
    return owner >= (const void *)bench->channels && owner < (const void *)(bench->channels + bench->options->spread);
}

/* One turn of everything, up to `ms` long. */
static enum client_end turn(struct bench *bench, int64_t ms)
{
    int left;
    enum client_end end = client_turn(&bench->client, ms);
    for (CURLMsg *message; (message = curl_multi_info_read(bench->client.multi, &left)) != NULL;) {
        CURLcode code = message->data.result;
        void *owner = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
        if (is_channel(bench, owner))
            bench_post_end(owner, code);
        else
            bench_stream_end(owner, code);
    }
    return end;
}

static int fail(const struct bench *bench)
{
    output_fault("%s: only %zu of %" PRId64 " streams opened: %s", bench->options->url, bench->open, bench->options->streams,
                 bench->why.n == 0 ? "the rest took longer than 30 s" : bench->why.p);
    return 1;
}

static enum client_end open_streams(struct bench *bench)
{
    uint64_t until = monotonic_ms() + OPEN_MS;
    enum client_end end = CLIENT_DONE;
    while (end == CLIENT_DONE && bench->open != (size_t)bench->options->streams && bench->ended == 0 && monotonic_ms() < until) {
        bench_stream_start(bench);
        end = turn(bench, PROGRESS_MS);
        output_progress("%zu of %" PRId64 " streams are open", bench->open, bench->options->streams);
    }
    return end;
}

static enum client_end publish(struct bench *bench)
{
    const struct options *options = bench->options;
    enum client_end end = CLIENT_DONE;
    uint64_t total = (uint64_t)options->rate * (uint64_t)options->seconds, length_us = (uint64_t)options->seconds * 1000000,
             shown = 0;
    bench->began_us = monotonic_us();
    while (end == CLIENT_DONE && bench->ended != bench->started &&
           (bench->took_us = monotonic_us() - bench->began_us) < length_us) {
        uint64_t due = bench->took_us * (uint64_t)options->rate / 1000000 + 1;
        bench_post_due(bench, due < total ? due : total);
        uint64_t next_us = due * 1000000 / (uint64_t)options->rate;
        int64_t ms = next_us <= bench->took_us ? 1 : (int64_t)((next_us - bench->took_us + 999) / 1000);
        end = turn(bench, ms < PROGRESS_MS ? ms : PROGRESS_MS);
        if (bench->took_us / 1000 - shown >= PROGRESS_MS) {
            shown = bench->took_us / 1000;
            bench_report_progress(bench);
        }
    }
    bench->took_us = monotonic_us() - bench->began_us;
    return end;
}

static bool is_settled(const struct bench *bench)
{
    for (int64_t i = 0; i != bench->options->spread; ++i)
        if (bench->channels[i].busy)
            return false;
    for (size_t i = 0; i != bench->started; ++i)
        if (!bench->streams[i].ended && bench_stream_missing(&bench->streams[i]) != 0)
            return false;
    return true;
}

/* Gives what is on its way the time to come. */
static enum client_end settle(struct bench *bench)
{
    enum client_end end = CLIENT_DONE;
    uint64_t until = monotonic_ms() + SETTLE_MS;
    while (end == CLIENT_DONE && !is_settled(bench) && monotonic_ms() < until)
        end = turn(bench, PROGRESS_MS);
    return end;
}

static int run(struct bench *bench)
{
    if (open_streams(bench) != CLIENT_DONE)
        return 1;
    if (bench->open != (size_t)bench->options->streams)
        return fail(bench);
    enum client_end end = publish(bench); /* when it is interrupted, what was measured so far is told */
    if (end == CLIENT_DONE)
        end = settle(bench);
    output_progress_end();
    return bench_report(bench, end == CLIENT_DONE);
}

static void allow_files(const struct options *options)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)(options->streams + options->spread + SPARE_FILES);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        abort();
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < need)
        options_fault(options, "--streams: this process may open %llu files only (ulimit -n)", (unsigned long long)limit.rlim_max);
    if (limit.rlim_cur < need) {
        limit.rlim_cur = need;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void free_all(struct bench *bench)
{
    for (size_t i = 0; i != bench->started; ++i) {
        request_free(&bench->streams[i].request, &bench->client);
        sse_parser_free(&bench->streams[i].parser);
    }
    for (int64_t i = 0; i != bench->options->spread; ++i) {
        if (bench->channels[i].busy)
            request_free(&bench->channels[i].post, &bench->client);
        buffer_free(&bench->channels[i].url);
        buffer_free(&bench->channels[i].data);
    }
    free(bench->streams);
    free(bench->channels);
    buffer_free(&bench->why);
    client_free(&bench->client);
}

int bench_run(const struct options *options)
{
    static struct bench bench;
    allow_files(options);
    bench.options = options;
    client_init(&bench.client, options);
    bench.channels = calloc((size_t)options->spread, sizeof(*bench.channels));
    bench.streams = calloc((size_t)options->streams, sizeof(*bench.streams));
    if (bench.channels == NULL || bench.streams == NULL)
        abort();
    bench_post_init(&bench);
    int status = run(&bench);
    free_all(&bench);
    return status;
}
