#include "tests/bench/tally.h"

#include <inttypes.h>

#include "tests/bench/bench.h"

enum { SEEN_BITS = 64 };

void tally_mark(struct tally *tally)
{
    *tally = (struct tally){.start_ns = bench_now_ns(), .start_cpu_us = bench_cpu_us()};
}

static void not_next(struct tally *tally, struct track *track, uint64_t seq)
{
    if (seq > track->last) {
        uint64_t step = seq - track->last;
        tally->lost += step - 1;
        track->seen = step < SEEN_BITS ? track->seen << step | 1 : 1;
        track->last = seq;
        return;
    }
    uint64_t back = track->last - seq;
    if (back >= SEEN_BITS || (track->seen >> back & 1) != 0) {
        ++tally->duplicated;
        return;
    }
    track->seen |= (uint64_t)1 << back;
    ++tally->out_of_order;
    if (tally->lost != 0) /* it may have been counted before the mark */
        --tally->lost;
}

void tally_event(struct tally *tally, struct track *track, uint64_t seq, uint64_t time_ns, uint64_t now_ns)
{
    ++tally->events;
    histogram_add(&tally->latency, now_ns > time_ns ? (now_ns - time_ns) / 1000 : 0);
    if (seq != track->last + 1) {
        not_next(tally, track, seq);
        return;
    }
    track->last = seq;
    track->seen = track->seen << 1 | 1;
}

void tally_report(const struct tally *tally, uint64_t missing, unsigned streams, unsigned closed, FILE *to)
{
    const struct histogram *latency = &tally->latency;
    fprintf(to, "{\"streams\":%u,\"events\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"lost\":%" PRIu64, streams, tally->events,
            tally->bytes, tally->lost + missing);
    fprintf(to, ",\"duplicated\":%" PRIu64 ",\"out_of_order\":%" PRIu64 ",\"foreign\":%" PRIu64 ",\"closed\":%u", tally->duplicated,
            tally->out_of_order, tally->foreign, closed);
    fprintf(to, ",\"p50_us\":%" PRIu64 ",\"p90_us\":%" PRIu64 ",\"p99_us\":%" PRIu64 ",\"p999_us\":%" PRIu64,
            histogram_percentile(latency, 50), histogram_percentile(latency, 90), histogram_percentile(latency, 99),
            histogram_percentile(latency, 99.9));
    fprintf(to, ",\"max_us\":%" PRIu64 ",\"mean_us\":%.1f,\"cpu_us\":%" PRIu64 ",\"seconds\":%.3f}\n", latency->max_us,
            histogram_mean(latency), bench_cpu_us() - tally->start_cpu_us, (double)(bench_now_ns() - tally->start_ns) / 1e9);
    fflush(to);
}
