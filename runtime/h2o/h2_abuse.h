/* Why an HTTP/2 connection was closed, or one of its streams reset, by h2_guard: one value, one counter. */
#pragma once

#include "runtime/metrics.h"

enum h2_abuse {
    H2_RESETS, /* streams that the client reset, or made us reset (CVE-2023-44487, CVE-2025-8671) */
    H2_PINGS,
    H2_SETTINGS,
    H2_PRIORITIES,
    H2_WINDOW_UPDATES, /* more than what was sent to it can explain */
    H2_SMALL_DATA, /* DATA frames with hardly anything in them */
    H2_OTHER_FRAMES, /* of types that mean nothing here */
    H2_HEAD_BYTES, /* of one header block */
    H2_HEAD_FIELDS,
    H2_CONTINUATIONS, /* of one header block; or any at all while the connection drains, where libh2o would loop forever */
    H2_BODIES, /* of requests that are not complete, all together */
    H2_WORK, /* heads and answers of requests under way; see h2_work.h */
    H2_SLOW_REQUEST, /* not complete within h2o_globalconf_t's http1.req_timeout; only its stream is reset, unless it is a head */
    H2_SLOW_ANSWER, /* nothing of an answer was taken for TCP_USER_TIMEOUT; only its stream is reset */
    H2_IDLE, /* no request for h2o_globalconf_t's http2.idle_timeout, whatever other frames there were */
    H2_ABUSES,
    H2_NO_ABUSE = H2_ABUSES,
};

/* Each with its name for people, as ROW(first, abuse, name). */
#define H2_ABUSE_EACH(ROW, first)                                                                        \
    ROW(first, H2_RESETS, "resets"), ROW(first, H2_PINGS, "pings"), ROW(first, H2_SETTINGS, "settings"), \
        ROW(first, H2_PRIORITIES, "priorities"), ROW(first, H2_WINDOW_UPDATES, "window updates"),        \
        ROW(first, H2_SMALL_DATA, "small data"), ROW(first, H2_OTHER_FRAMES, "other frames"),            \
        ROW(first, H2_HEAD_BYTES, "head bytes"), ROW(first, H2_HEAD_FIELDS, "head fields"),              \
        ROW(first, H2_CONTINUATIONS, "continuations"), ROW(first, H2_BODIES, "request bodies"),          \
        ROW(first, H2_WORK, "requests under way"), ROW(first, H2_SLOW_REQUEST, "slow request"),          \
        ROW(first, H2_SLOW_ANSWER, "slow answer"), ROW(first, H2_IDLE, "idle")

/* The rows of a program's table of metrics (metrics.h), from `first` on. */
#define H2_ABUSE_ROW(first, abuse, name)                                                   \
    [(first) + (abuse)] = {"sse_http2_abuse_total", "reason=\"" name "\"", METRIC_COUNTER, \
                           "HTTP/2 connections closed, or (slow ones) streams reset, for what their client did"}
#define H2_ABUSE_ROWS(first) H2_ABUSE_EACH(H2_ABUSE_ROW, first)
