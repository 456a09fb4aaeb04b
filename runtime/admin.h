/* The admin listener: an index, /healthz, /readyz and /metrics. Not public; runs on the thread that starts it. */
#pragma once

#include "runtime/h2o.h"

struct admin_check {
    const char *name; /* "bus" */
    const char *(*run)(
        void *data); /* NULL when good, else a static sentence why not; called on the admin's thread, must not block */
    void *data;
};

/* What the first check that fails says; NULL: none does. */
const char *admin_first_failure(const struct admin_check *checks, size_t count);

/* Both lists are borrowed. */
struct admin_options {
    const struct admin_check *ready; /* whether it should get traffic: these fail at once */
    size_t ready_count;
    const struct admin_check *alive; /* whether the process must be restarted: these fail only when nothing else helps */
    size_t alive_count;
    bool has_status; /* the caller serves /status, which the index then names */
};

/* True when the request was answered: with 421, for the name it came under, or with 405, for it is neither GET nor HEAD. Handlers of the admin port call it first. */
bool admin_refuse(h2o_req_t *req);

/* Adds the four handlers to a host of the caller's own global configuration:
 *     GET /         links to the others
 *     GET /healthz  200 {"status":"ok"}, or 503 {"status":"stuck","checks":{"worker 1":"…"}}; no answer when this thread's own loop is stuck
 *     GET /readyz   200 {"status":"ready"}, or 503 {"status":"not ready","checks":{"bus":"…"}} naming each check that fails
 *     GET /metrics  Prometheus text */
void admin_register(h2o_hostconf_t *host, const struct admin_options *options);
