#include "proto/cli/bench_stream.h"

#include <stdlib.h>
#include <strings.h>

#include "proto/cli/reply.h"
#include "runtime/monotonic.h"

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

static size_t on_body(char *bytes, size_t one, size_t n, void *data)
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

void bench_stream_start(struct bench *bench)
{
    while (bench->started != (size_t)bench->options->streams && bench->started - bench->open - bench->ended < BENCH_OPENING_MAX) {
        struct bench_stream *stream = &bench->streams[bench->started];
        stream->bench = bench;
        stream->channel = &bench->channels[bench->started % (size_t)bench->options->spread];
        sse_parser_init(&stream->parser, SLICE(""), on_event, stream);
        request_init(&stream->request, &bench->client, stream->channel->url.p, on_body, stream);
        request_header(&stream->request, "Accept", "text/event-stream");
        if (may_share(bench->options))
            curl_easy_setopt(stream->request.easy, CURLOPT_PIPEWAIT, 1L);
        curl_easy_setopt(stream->request.easy, CURLOPT_PRIVATE, stream);
        request_start(&stream->request, &bench->client);
        stream->started = true;
        ++bench->started;
    }
}

void bench_stream_end(struct bench_stream *stream, CURLcode code)
{
    struct bench *bench = stream->bench;
    stream->ended = true;
    ++bench->ended;
    bench->open -= stream->open;
    if (bench->why.n == 0)
        request_print_fault(&stream->request, &bench->why, code);
}

uint64_t bench_stream_missing(const struct bench_stream *stream)
{
    return stream->channel->sent <= stream->got ? 0 : stream->channel->sent - stream->got;
}
