/* The gate lets requests in at its pace, in turn by client, and forgets at once what is taken out. */
#include "gateway/feed/gate.h"

#include <stdlib.h>

#include "runtime/monotonic.h"
#include "tests/check.h"

enum { ASKS = 2000, GREEDY = 900 };

static h2o_loop_t *loop;
static struct gate *gate;
static bool busy;
static struct feed_request *entered[ASKS];
static size_t count;

static bool is_busy(void *data)
{
    (void)data;
    return busy;
}

static void let_in(void *data, struct feed_request *request)
{
    (void)data;
    entered[count++] = request;
}

static struct feed_request *put(uint64_t client, uint32_t fresh)
{
    struct feed_request *request = feed_request_create(1);
    request->client = client;
    gate_put(gate, request, fresh);
    return request;
}

static void run_for(uint64_t ms)
{
    for (uint64_t end = monotonic_ms() + ms; monotonic_ms() < end;)
        h2o_evloop_run(loop, 1);
}

static bool run_until_count(size_t want)
{
    for (uint64_t end = monotonic_ms() + 15000; count < want && monotonic_ms() < end;)
        h2o_evloop_run(loop, 1);
    return count == want;
}

static void forget(void)
{
    for (size_t i = 0; i < count; ++i)
        feed_request_free(entered[i]);
    count = 0;
    run_for(20); /* what was used of the pace comes back */
}

static size_t index_of(const struct feed_request *request)
{
    size_t i = 0;
    while (i < count && entered[i] != request)
        ++i;
    return i;
}

static void check_at_once(void)
{
    struct feed_request *request = put(1, 100);
    check(count == 1 && entered[0] == request && gate_waiting(gate) == 0, "one that comes alone does not wait");
    forget();
}

static void check_pace(void)
{
    uint64_t began = monotonic_us();
    for (int i = 0; i < 100; ++i)
        put(1, 100);
    check(count < 10 && gate_waiting(gate) == (100 - count) * 100, "%zu of 100 asks of 100 channels enter at once", count);
    check(run_until_count(100), "all enter in the end");
    uint64_t took_ms = (monotonic_us() - began) / 1000;
    check(took_ms >= 400, "10,000 channels take half a second at least (%d ms)", (int)took_ms);
    forget();
}

static void check_order(void)
{
    busy = true;
    struct feed_request *first = put(1, 1);
    busy = false;
    struct feed_request *second = put(2, 1);
    check(count == 0, "while one waits, nobody comes in before it");
    check(run_until_count(2) && entered[0] == first && entered[1] == second, "… and it goes first");
    forget();
}

static void check_turns(void)
{
    struct feed_request *good[3];
    busy = true;
    for (int i = 0; i < GREEDY; ++i)
        put(1, 10);
    for (int i = 0; i < 3; ++i)
        good[i] = put(2, 1);
    run_for(10);
    check(count == 0, "while the bus is busy nobody enters");
    busy = false;
    run_until_count(GREEDY + 3);
    check(index_of(good[0]) <= 1 && index_of(good[1]) <= 3 && index_of(good[2]) <= 5,
          "a client with little is not behind one with much: %zu, %zu, %zu", index_of(good[0]), index_of(good[1]),
          index_of(good[2]));
    forget();
}

static void check_taken_out(void)
{
    struct feed_request *requests[500];
    busy = true;
    for (int i = 0; i < 500; ++i)
        requests[i] = put((uint64_t)i % 7, 100);
    for (int i = 0; i < 500; ++i)
        if (i != 250)
            gate_take_out(gate, requests[i]);
    check(count == 0 && gate_waiting(gate) == 100, "what is taken out waits no more, also while the bus is busy");
    busy = false;
    check(run_until_count(1) && entered[0] == requests[250] && gate_waiting(gate) == 0, "and the others wait for their turn");
    for (int i = 0; i < 500; ++i)
        if (i != 250)
            feed_request_free(requests[i]);
    forget();
}

int main(void)
{
    loop = h2o_evloop_create();
    gate = gate_open(&(struct gate_options){.loop = loop, .is_busy = is_busy, .let_in = let_in});
    check_at_once();
    check_pace();
    check_order();
    check_turns();
    check_taken_out();
    return check_end();
}
