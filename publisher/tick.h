/* What a ticker says at tick N, and which N a time belongs to. Pure, and the same on every replica, so that all of them ask for the
 * same event under the same key ("ticker letters:N") and Redis makes it once. */
#pragma once

#include <stdint.h>

#include "runtime/slice.h"

enum tick_kind { TICK_LETTERS, TICK_COUNTER, TICK_USD_EUR, TICK_KINDS };

/* Its name in TICKERS, which is also its channel and begins its keys. */
const char *tick_name(enum tick_kind kind);

enum { TICK_INTERVAL_MIN = 10, TICK_INTERVAL_MAX = 86400000 /* ms */ };

struct tick_plan {
    size_t count;
    struct {
        enum tick_kind kind;
        uint32_t interval_ms;
    } items[TICK_KINDS];
};

/* Reads "letters:5000,counter:2000", or "off" for none. NULL, or a static sentence about the fault. */
const char *tick_plan_parse(struct tick_plan *out, const char *text);

/* The tick whose interval holds this wall-clock time; it began at number × interval. */
static inline uint64_t tick_number(uint64_t now_ms, uint32_t interval_ms)
{
    return now_ms / interval_ms;
}

/* The number of the tick to send now; `last` is the one sent before. After the clock was set back, the clock's number may be one whose
 * key Redis still knows: Redis would take that tick for a repeat. So the numbers then go on from `last`. All replicas do the same; a
 * publisher that has just started goes by the clock. */
static inline uint64_t tick_next(uint64_t last, uint64_t now_ms, uint32_t interval_ms)
{
    enum { KEYS_KNOWN_MS = 300000 };
    uint64_t number = tick_number(now_ms, interval_ms);
    return number <= last && (last - number) * interval_ms < KEYS_KNOWN_MS ? last + 1 : number;
}

/* The simulated rate at tick N, in ten-thousandths: a slow wander about 0.92 that comes back, often unchanged from one tick to the
 * next. A function of N alone, in integers, so all replicas and machines agree; while replicas of two versions run, a change to it
 * makes them disagree. */
unsigned tick_rate(uint64_t number);

enum { TICK_DATA_MAX = 64, TICK_KEY_MAX = 40 };

/* The event's data with a NUL; returns its length. A function of N alone, so that all replicas say the same under one key. Empty for the counter, whose number Redis itself counts. */
size_t tick_data(char out[TICK_DATA_MAX], enum tick_kind kind, uint64_t number);

/* The idempotency key "ticker letters:N" with a NUL; returns its length. No key that arrives by HTTP holds a space, so no client can take a tick's place. */
size_t tick_key(char out[TICK_KEY_MAX], enum tick_kind kind, uint64_t number);
