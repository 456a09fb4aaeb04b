#include "publisher/answer.h"

#include "publisher/counters.h"
#include "runtime/http.h"
#include "runtime/monotonic.h"

static void on_request_gone(void *hook)
{
    struct answer *answer = *(struct answer **)hook;
    if (answer != NULL)
        answer->req = NULL;
}

void answer_await(struct answer *answer, h2o_req_t *req, uint64_t began_us)
{
    *answer = (struct answer){
        .req = req, .hook = h2o_mem_alloc_shared(&req->pool, sizeof(*answer->hook), on_request_gone), .began_us = began_us};
    *answer->hook = answer;
}

void answer_count(const struct answer *answer, enum publish_outcome outcome, size_t events)
{
    metric_add(COUNTER_PUBLISH + outcome, (int64_t)events);
    if (outcome != PUBLISH_BUS_DOWN && outcome != PUBLISH_UNWRITABLE)
        metric_time(COUNTER_DURATION, monotonic_us() - answer->began_us);
}

h2o_req_t *answer_take(struct answer *answer)
{
    if (answer->req != NULL)
        *answer->hook = NULL;
    return answer->req;
}

int answer_status(enum publish_outcome outcome)
{
    static const int statuses[] = {
        [PUBLISH_BUS_DOWN] = 503, [PUBLISH_UNWRITABLE] = 503, [PUBLISH_REFUSED] = 400,
        [PUBLISH_ENDED] = 409,    [PUBLISH_CONFLICT] = 422,   [PUBLISH_FAILED] = 500,
    };
    return statuses[outcome];
}

void answer_refuse(h2o_req_t *req, int status, const char *why)
{
    http_error_later(req, status, status == 503, why);
}
