/* The metrics of the reloads at SIGHUP, and of when the certificates in force expire; service.c keeps them. */
#pragma once

#include "runtime/metrics.h"

enum reload { RELOAD_CERTIFICATES, RELOAD_KEYS, RELOAD_REDIS, RELOADS };

/* Rows of a metrics table, from row `first` on. */
enum { RELOAD_COUNTERS = 2 * RELOADS };
#define RELOAD_ROW(at, what, outcome) \
    [at] = {"sse_reloads_total", "outcome=\"" outcome "\",what=\"" what "\"", METRIC_COUNTER, "reloads of files, at SIGHUP"}
#define RELOAD_ROWS(first)                                                                        \
    RELOAD_ROW(first, "certificates", "done"), RELOAD_ROW((first) + 1, "certificates", "failed"), \
        RELOAD_ROW((first) + 2, "keys", "done"), RELOAD_ROW((first) + 3, "keys", "failed"),       \
        RELOAD_ROW((first) + 4, "redis login", "done"), RELOAD_ROW((first) + 5, "redis login", "failed")

/* The row of one certificate. */
#define CERTIFICATE_ROW(at, setting)                                                            \
    [at] = {                                                                                    \
        "sse_certificate_not_after_timestamp_seconds", "setting=\"" setting "\"", METRIC_GAUGE, \
        "when the certificate of this setting expires, or one of its chain that does so before, in seconds since 1970; 0: none"}
