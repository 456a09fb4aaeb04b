/* runtime/pace: on a real loop. The clock is real, too: only that a turn ends after 2 ms of requests is measured by it. */
#include "runtime/pace.h"

#include "runtime/monotonic.h"
#include "tests/check.h"

enum { CONNECTIONS = 3 };

static struct connection {
    struct pace pace;
    int left; /* requests that came and were not begun */
} connections[CONNECTIONS];

static h2o_loop_t *loop;
static char order[64]; /* whose requests were begun, a letter each */
static uint64_t cost_us; /* of a request */

static void begin_requests(struct connection *connection);

static void on_resume(struct pace *pace)
{
    begin_requests(H2O_STRUCT_FROM_MEMBER(struct connection, pace, pace));
}

static void begin_requests(struct connection *connection)
{
    for (; connection->left != 0; --connection->left) {
        if (pace_must_wait(loop, connection)) {
            pace_wait(&connection->pace, loop, connection, on_resume);
            return;
        }
        order[strlen(order)] = (char)('a' + (connection - connections));
        for (uint64_t end_us = monotonic_us() + cost_us; monotonic_us() < end_us;)
            ;
    }
}

static void come(int i, int requests)
{
    connections[i].left += requests;
    if (!h2o_linklist_is_linked(&connections[i].pace.waiting))
        begin_requests(&connections[i]);
}

static bool is_all_begun(void)
{
    for (int i = 0; i < CONNECTIONS; ++i)
        if (connections[i].left != 0)
            return false;
    return true;
}

static void run(void)
{
    for (int turns = 0; !is_all_begun() && turns < 1000; ++turns)
        h2o_evloop_run(loop, 100);
}

/* The loop's clock counts milliseconds: within one of them it is still the turn before. */
static void start(uint64_t us)
{
    for (uint64_t before_ms = h2o_now(loop); h2o_now(loop) == before_ms;)
        h2o_evloop_run(loop, 1);
    memset(order, 0, sizeof(order));
    cost_us = us;
}

static void check_order(const char *want, const char *fact)
{
    check_slice(slice_make(order, strlen(order)), slice_make(want, strlen(want)), "%s", fact);
}

/* Once more when something else took the processor for as long as a turn may be. */
static void test_what_costs_little_is_begun_at_once(void)
{
    uint64_t begun_us;
    do {
        run();
        start(0);
        begun_us = monotonic_us();
        come(0, 3);
        come(1, 1);
    } while (monotonic_us() - begun_us > 1000);
    check_order("aaab", "requests that cost little are begun as they come");
}

static void test_a_turn_ends(void)
{
    start(3000);
    come(0, 2);
    come(1, 1);
    check_order("a", "after 2 ms no request is begun in this turn");
    run();
    check_order("aba", "what was left over is begun in later turns, newcomers first");
}

static void test_who_waits_begins_one_request_in_turn(void)
{
    start(3000);
    come(0, 1);
    cost_us = 0;
    come(0, 3);
    come(1, 3);
    come(2, 1);
    run();
    check_order("abacbaba", "connections that wait begin one request after the other, newcomers and others in turn");
}

static void test_who_comes_new_does_not_queue(void)
{
    start(0);
    connections[0].left = 3;
    pace_wait(&connections[0].pace, loop, &connections[0], on_resume);
    come(1, 2);
    check_order("b", "while others wait a newcomer begins one request at once");
    run();
    check_order("babaa", "and then waits as they do");
}

static void test_newcomers_do_not_keep_others_waiting(void)
{
    start(1200);
    connections[0].left = 2;
    pace_wait(&connections[0].pace, loop, &connections[0], on_resume);
    come(1, 1);
    come(2, 1);
    check_order("b", "they have half of the turn");
    run();
    check_order("bcaa", "who comes later waits as others do");
}

static void test_who_is_forgotten_is_not_resumed(void)
{
    start(3000);
    come(0, 2);
    come(1, 1);
    connections[0].left = 0;
    pace_forget(&connections[0].pace);
    pace_forget(&connections[0].pace);
    run();
    check_order("ab", "a connection that is closed waits no more");
}

int main(void)
{
    loop = h2o_evloop_create();
    test_what_costs_little_is_begun_at_once();
    test_a_turn_ends();
    test_who_waits_begins_one_request_in_turn();
    test_who_comes_new_does_not_queue();
    test_newcomers_do_not_keep_others_waiting();
    test_who_is_forgotten_is_not_resumed();
    return check_end();
}
