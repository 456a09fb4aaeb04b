/* The admin listener: /healthz, /readyz and /metrics. Not public; runs on the thread that starts it. */
#pragma once

#include "runtime/h2o.h"

struct admin_check {
    const char *name; /* "bus" */
    const char *(*run)(
        void *data); /* NULL when good, else a static sentence why not; called on the admin's thread, must not block */
    void *data;
};

/* Adds the three handlers to a host of the caller's own global configuration:
 *     GET /healthz  200 {"status":"ok"} while the loop turns
 *     GET /readyz   200 {"status":"ready"}, or 503 {"status":"not ready","checks":{"bus":"…"}} naming each check that fails
 *     GET /metrics  Prometheus text
 * `checks` is borrowed. */
void admin_register(h2o_hostconf_t *host, const struct admin_check *checks, size_t count);
