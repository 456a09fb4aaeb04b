#include "proto/cli/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/resource.h>

#include "proto/cli/address.h"
#include "proto/cli/client.h"
#include "proto/cli/latency.h"
#include "proto/cli/output.h"
#include "proto/cli/reply.h"
#include "proto/cli/sse_parser.h"
#include "runtime/monotonic.h"

enum {
    OPEN_MS = 30000,
    OPENING_MAX = 100, /* streams that are being opened at the same time */
    ANSWER_MS = 10000,
    SETTLE_MS = 5000,
    PROGRESS_MS = 250,
    SPARE_FILES = 64,
};

/* Its events are numbered from 1, and say when they were first sent: "SEQ MICROSECONDS" by monotonic_us(). One is on its way at a time. */
struct bench_channel {
    struct bench *bench;
    char name[64];
    struct buffer url, data;
    char key[80];
    struct request post;
    bool busy; /* the post is on its way */
    bool again; /* it failed and is to be repeated as it was */
    uint64_t sent; /* the last one that was acknowledged */
};

struct bench_stream {
    struct bench *bench;
    struct bench_channel *channel;
    struct request request;
    struct sse_parser parser;
    bool open, ended;
    uint64_t last, got; /* the last event's number, and how many there were, twins not counted */
};

struct bench {
    const struct options *options;
    struct client client;
    struct bench_channel *channels;
    struct bench_stream *streams;
    size_t started, open, ended; /* streams */
    size_t next_channel;
    uint64_t posts, published, failed; /* tries; acknowledged; not acknowledged */
    uint64_t delivered, twice;
    struct latency latency;
    struct buffer why; /* what the last failure said */
    uint64_t took_us; /* publishing */
};

/* ---- the streams ---- */

/* One that came after a later one is not among those seen, as numbers only rise: it counts as a twin. */
static bool on_event(void *data, const struct sse_event *event)
{
    struct bench_stream *stream = data;
    struct bench *bench = stream->bench;
    char *end;
    unsigned long long seq = strtoull(event->data.p, &end, 10), at = strtoull(end, NULL, 10);
    ++bench->delivered;
    if (seq <= stream->last) {
        ++bench->twice;
        return true;
    }
    stream->last = seq;
    ++stream->got;
    latency_add(&bench->latency, monotonic_us() - at);
    return true;
}

static size_t on_stream_body(char *bytes, size_t one, size_t n, void *data)
{
    struct bench_stream *stream = data;
    struct slice body = slice_make(bytes, one * n);
    if (request_status(&stream->request) != 200) {
        buffer_clear(&stream->bench->why);
        reply_print(&stream->bench->why, request_status(&stream->request), body, NULL);
        return 0;
    }
    if (sse_parser_feed(&stream->parser, body) != NULL)
        return 0;
    if (!stream->open && stream->parser.id.n != 0) { /* its place is told: from now on it misses nothing */
        stream->open = true;
        ++stream->bench->open;
    }
    return body.n;
}

/* Streams wait for the first connection, to learn whether they can share it, only where it may turn out to be HTTP/2: libcurl 7.88 never ends the wait when a plain
 * one is not. */
static bool may_share(const struct options *options)
{
    if (options->http != NULL)
        return options->http[0] == '2';
    return strncasecmp(options->url, "https:", 6) == 0;
}

/* Starts the next ones, as many as may be opening. */
static void start_streams(struct bench *bench)
{
    while (bench->started != (size_t)bench->options->streams && bench->started - bench->open - bench->ended < OPENING_MAX) {
        struct bench_stream *stream = &bench->streams[bench->started];
        stream->bench = bench;
        stream->channel = &bench->channels[bench->started % (size_t)bench->options->spread];
        sse_parser_init(&stream->parser, SLICE(""), on_event, stream);
        request_init(&stream->request, &bench->client, stream->channel->url.p, on_stream_body, stream);
        request_header(&stream->request, "Accept", "text/event-stream");
        if (may_share(bench->options))
            curl_easy_setopt(stream->request.easy, CURLOPT_PIPEWAIT, 1L);
        curl_easy_setopt(stream->request.easy, CURLOPT_PRIVATE, stream);
        request_start(&stream->request, &bench->client);
        ++bench->started;
    }
}

/* Its transfer ended, which a stream of a bench should not. */
static void end_stream(struct bench_stream *stream, CURLcode code)
{
    struct bench *bench = stream->bench;
    stream->ended = true;
    ++bench->ended;
    bench->open -= stream->open;
    if (bench->why.n == 0)
        request_print_fault(&stream->request, &bench->why, code);
}

/* How many of the acknowledged events have not come. */
static uint64_t missing_of(const struct bench_stream *stream)
{
    return stream->channel->sent <= stream->got ? 0 : stream->channel->sent - stream->got;
}

/* ---- what is published ---- */

/* As no earlier run did. */
static void name_channels(struct bench *bench)
{
    uint32_t run = arc4random();
    for (size_t i = 0; i != (size_t)bench->options->spread; ++i) {
        struct bench_channel *channel = &bench->channels[i];
        channel->bench = bench;
        snprintf(channel->name, sizeof(channel->name), "bench/%08" PRIx32 "/%zu", run, i);
        address_channel(&channel->url, bench->options, channel->name, false);
    }
}

static size_t on_answer_body(char *bytes, size_t one, size_t n, void *data)
{
    struct bench_channel *channel = data;
    long status = request_status(&channel->post);
    if (status != 200) {
        buffer_clear(&channel->bench->why);
        reply_print(&channel->bench->why, status, slice_make(bytes, one * n), NULL);
    }
    return one * n;
}

static void post(struct bench_channel *channel)
{
    if (!channel->again) {
        buffer_clear(&channel->data);
        buffer_print(&channel->data, "%" PRIu64 " %" PRIu64, channel->sent + 1, monotonic_us());
        snprintf(channel->key, sizeof(channel->key), "%s/%" PRIu64, channel->name, channel->sent + 1);
    }
    channel->again = false;
    channel->busy = true;
    ++channel->bench->posts;
    request_init(&channel->post, &channel->bench->client, channel->url.p, on_answer_body, channel);
    curl_easy_setopt(channel->post.easy, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
    curl_easy_setopt(channel->post.easy, CURLOPT_PRIVATE, channel);
    request_post(&channel->post, buffer_slice(&channel->data), "text/plain");
    request_header(&channel->post, "Idempotency-Key", channel->key);
    request_start(&channel->post, &channel->bench->client);
}

/* Publishes what is due now, `due` events since the beginning, as far as channels are free. */
static void post_due(struct bench *bench, uint64_t due)
{
    size_t count = (size_t)bench->options->spread, tried = 0;
    for (; bench->posts < due && tried != count; bench->next_channel = (bench->next_channel + 1) % count) {
        struct bench_channel *channel = &bench->channels[bench->next_channel];
        tried = channel->busy ? tried + 1 : 0;
        if (!channel->busy)
            post(channel);
    }
}

static void end_post(struct bench_channel *channel, CURLcode code)
{
    struct bench *bench = channel->bench;
    if (code == CURLE_OK && request_status(&channel->post) == 200) {
        ++channel->sent;
        ++bench->published;
    } else {
        channel->again = true;
        ++bench->failed;
        if (bench->why.n == 0)
            request_print_fault(&channel->post, &bench->why, code);
    }
    channel->busy = false;
    request_free(&channel->post, &bench->client);
}

/* ---- what was found ---- */

static double ms_of(const struct bench *bench, unsigned permille)
{
    return (double)latency_of(&bench->latency, permille) / 1000;
}

static uint64_t missing(const struct bench *bench)
{
    uint64_t sum = 0;
    for (size_t i = 0; i != bench->started; ++i)
        sum += missing_of(&bench->streams[i]);
    return sum;
}

static void show_progress(const struct bench *bench)
{
    output_progress("%" PRIu64 " of %" PRId64 " s: %" PRIu64 " published, %" PRIu64 " delivered, p50 %.1f ms, p99 %.1f ms",
                    bench->took_us / 1000000, bench->options->seconds, bench->published, bench->delivered, ms_of(bench, 500),
                    ms_of(bench, 990));
}

static void print_json(const struct bench *bench, uint64_t lost)
{
    double seconds = (double)bench->took_us / 1000000;
    printf("{\"streams\":%" PRId64 ",\"channels\":%" PRId64 ",\"seconds\":%.3f,", bench->options->streams, bench->options->spread,
           seconds);
    printf("\"published\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"twice\":%" PRIu64
           ",\"ended\":%zu,",
           bench->published, bench->failed, bench->delivered, lost, bench->twice, bench->ended);
    printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n", ms_of(bench, 500), ms_of(bench, 990),
           (double)bench->latency.max_us / 1000);
}

static void print_table(const struct bench *bench, uint64_t lost)
{
    double seconds = (double)bench->took_us / 1000000;
    printf("streams    %10" PRId64 "   of %" PRId64 " channels, for %.1f s\n", bench->options->streams, bench->options->spread,
           seconds);
    printf("published  %10" PRIu64 "   %.1f a second, wanted %" PRId64 "\n", bench->published, (double)bench->published / seconds,
           bench->options->rate);
    printf("failed     %10" PRIu64 "   publishes without an acknowledgement\n", bench->failed);
    printf("delivered  %10" PRIu64 "   %.1f a second\n", bench->delivered, (double)bench->delivered / seconds);
    printf("lost       %10" PRIu64 "\n", lost);
    printf("twice      %10" PRIu64 "\n", bench->twice);
    printf("latency    %7.1f ms   p50; p99 %.1f ms, longest %.1f ms\n", ms_of(bench, 500), ms_of(bench, 990),
           (double)bench->latency.max_us / 1000);
}

/* On stdout: a JSON line, or a small table on a terminal. Returns the exit status: 1 when events were lost or came twice, streams
 * ended, or it was not `complete`. */
static int report(const struct bench *bench, bool complete)
{
    uint64_t lost = missing(bench);
    if (output_is_json())
        print_json(bench, lost);
    else
        print_table(bench, lost);
    if (!output_flush())
        return output_lost();
    if (bench->published == 0)
        output_fault("%s: nothing was published: %s", bench->options->url,
                     bench->why.n == 0 ? "there was no answer" : bench->why.p);
    else if (bench->ended != 0)
        output_fault("%s: %zu streams ended: %s", bench->options->url, bench->ended, bench->why.p);
    else if (lost != 0 || bench->twice != 0)
        output_fault("%s: %" PRIu64 " events were lost, %" PRIu64 " came twice", bench->options->url, lost, bench->twice);
    else if (bench->failed != 0)
        output_note("%" PRIu64 " publishes failed, the last with: %s", bench->failed, bench->why.p);
    return !complete || bench->published == 0 || bench->ended != 0 || lost != 0 || bench->twice != 0;
}

/* ---- the run ---- */

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
            end_post(owner, code);
        else
            end_stream(owner, code);
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
        start_streams(bench);
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
             began_us = monotonic_us(), shown = 0;
    while (end == CLIENT_DONE && bench->ended != bench->started && (bench->took_us = monotonic_us() - began_us) < length_us) {
        uint64_t due = bench->took_us * (uint64_t)options->rate / 1000000 + 1;
        post_due(bench, due < total ? due : total);
        uint64_t next_us = due * 1000000 / (uint64_t)options->rate;
        int64_t ms = next_us <= bench->took_us ? 1 : (int64_t)((next_us - bench->took_us + 999) / 1000);
        end = turn(bench, ms < PROGRESS_MS ? ms : PROGRESS_MS);
        if (bench->took_us / 1000 - shown >= PROGRESS_MS) {
            shown = bench->took_us / 1000;
            show_progress(bench);
        }
    }
    bench->took_us = monotonic_us() - began_us;
    return end;
}

static bool is_settled(const struct bench *bench)
{
    for (int64_t i = 0; i != bench->options->spread; ++i)
        if (bench->channels[i].busy)
            return false;
    for (size_t i = 0; i != bench->started; ++i)
        if (!bench->streams[i].ended && missing_of(&bench->streams[i]) != 0)
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
    return report(bench, end == CLIENT_DONE);
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
    name_channels(&bench);
    int status = run(&bench);
    free_all(&bench);
    return status;
}
