#include "proto/cli/bench_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "proto/cli/bench_stream.h"
#include "proto/cli/output.h"

static double ms_of(const struct bench *bench, unsigned permille)
{
    return (double)latency_of(&bench->latency, permille) / 1000;
}

static uint64_t missing(const struct bench *bench)
{
    uint64_t sum = 0;
    for (size_t i = 0; i != bench->started; ++i)
        sum += bench_stream_missing(&bench->streams[i]);
    return sum;
}

void bench_report_progress(const struct bench *bench)
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

int bench_report(const struct bench *bench, bool complete)
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
