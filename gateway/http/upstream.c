#include "gateway/http/upstream.h"

#include "gateway/counters.h"
#include "runtime/http.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"

enum { CALM_MS = 1000 }; /* an answer that much after the last failure ends a time of failures */

static void count(enum forward_outcome outcome)
{
    metric_add((size_t)COUNT_FORWARDED + outcome, 1);
}

/* The proxy of libh2o sets it, and nothing else does. */
static bool is_forwarded(const h2o_req_t *req)
{
    return req->overrides != NULL;
}

/* ---- one line when the publisher goes, and one when it is back ---- */

static void failed(struct gateway *gateway, const char *why)
{
    struct publisher_state *state = &gateway->publisher;
    atomic_store(&state->failed_ms, monotonic_ms());
    atomic_fetch_add(&state->failures, 1);
    if (!atomic_exchange(&state->away, true))
        log_warn("the publisher does not answer", log_str("why", why), log_str("publisher_url", gateway->options.publisher_url));
}

static void succeeded(struct gateway *gateway)
{
    struct publisher_state *state = &gateway->publisher;
    if (!atomic_load_explicit(&state->away, memory_order_relaxed) || monotonic_ms() - atomic_load(&state->failed_ms) < CALM_MS)
        return;
    if (atomic_exchange(&state->away, false))
        log_info("the publisher answers again", log_int("failed_posts", atomic_exchange(&state->failures, 0)));
}

/* ---- a request ---- */

static void on_request_gone(void *data)
{
    atomic_fetch_sub(&(*(struct gateway **)data)->publisher.under_way, 1);
}

bool upstream_begin(struct gateway *gateway, h2o_req_t *req)
{
    if (atomic_fetch_add(&gateway->publisher.under_way, 1) >= gateway->max_forwards) {
        atomic_fetch_sub(&gateway->publisher.under_way, 1);
        count(FORWARD_BUSY);
        http_add_header(req, "retry-after", SLICE("1"));
        http_error(req, 503, "too many requests to publish are under way at this gateway; nothing was published, try again");
        return false;
    }
    struct gateway **hook = h2o_mem_alloc_shared(&req->pool, sizeof(*hook), on_request_gone);
    *hook = gateway;
    return true;
}

/* What this thread's own error, which also passes upstream_answered(), is for. */
static _Thread_local const h2o_req_t *failing;

static struct gateway *owner;

static const char *on_library_error(h2o_req_t *req, int status, const char *why)
{
    if (!is_forwarded(req) || status < 500)
        return why;
    bool reached = strncmp(why, "connection", 10) != 0;
    failing = req;
    count(reached ? FORWARD_BROKEN : FORWARD_UNREACHED);
    failed(owner, why);
    http_add_header(req, "retry-after", SLICE("1"));
    return reached
               ? "the publisher gave no whole answer; the event may have been published, so repeat it with the same Idempotency-Key"
               : "the publisher cannot be reached; nothing was published, try again";
}

void upstream_answered(struct gateway *gateway, h2o_req_t *req)
{
    if (!is_forwarded(req))
        return;
    if (failing == req) {
        failing = NULL;
        return;
    }
    int hundreds = req->res.status / 100;
    count(hundreds == 5 ? FORWARD_UNAVAILABLE : hundreds == 4 ? FORWARD_REFUSED : FORWARD_DONE);
    succeeded(gateway);
}

void upstream_init(struct gateway *gateway)
{
    owner = gateway;
    http_library_error = on_library_error;
}
