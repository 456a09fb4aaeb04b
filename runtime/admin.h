/* The admin listener: /healthz, /readyz and /metrics. Not public; runs on the thread that starts it. */
#pragma once

#include "runtime/h2o.h"

struct admin_check {
    const char *name; /* "bus" */
    const char *(*run)(
        void *data); /* NULL when good, else a static sentence why not; called on the admin's thread, must not block */
    void *data;
};

/* Both lists are borrowed. */
struct admin_options {
    const struct admin_check *ready; /* whether it should get traffic: these fail at once */
    size_t ready_count;
    const struct admin_check *alive; /* whether it must be started anew: these fail only when nothing else can help */
    size_t alive_count;
};

/* Adds the three handlers to a host of the caller's own global configuration:
 *     GET /healthz  200 {"status":"ok"}, or 503 {"status":"stuck","checks":{"worker 1":"…"}}; no answer when this thread's own loop is stuck
 *     GET /readyz   200 {"status":"ready"}, or 503 {"status":"not ready","checks":{"bus":"…"}} naming each check that fails
 *     GET /metrics  Prometheus text */
void admin_register(h2o_hostconf_t *host, const struct admin_options *options);
