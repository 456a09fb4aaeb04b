#include "publisher/tick.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/digits.h"

static const char *const names[TICK_KINDS] = {[TICK_LETTERS] = "letters", [TICK_COUNTER] = "counter", [TICK_USD_EUR] = "usd_eur"};

const char *tick_name(enum tick_kind kind)
{
    return names[kind];
}

static enum tick_kind kind_of(struct slice name)
{
    enum tick_kind kind = 0;
    while (kind != TICK_KINDS && !slice_eq(name, slice_of(names[kind])))
        ++kind;
    return kind;
}

/* Digits only, at most 8 of them; 0 when it is something else, which is below every interval allowed. */
static uint32_t interval_of(struct slice text)
{
    uint64_t value;
    return text.n <= 8 && digits_decimal(&value, text, UINT32_MAX) ? (uint32_t)value : 0;
}

static const char *add_item(struct tick_plan *plan, struct slice item)
{
    struct slice rest = item;
    enum tick_kind kind = kind_of(slice_trim(slice_split(&rest, ':')));
    uint32_t interval = interval_of(slice_trim(rest));
    if (kind == TICK_KINDS)
        return "names an unknown ticker; the tickers are letters, counter and usd_eur";
    if (interval < TICK_INTERVAL_MIN || interval > TICK_INTERVAL_MAX)
        return "each ticker needs an interval of 10 to 86400000 ms, as in letters:5000";
    for (size_t i = 0; i != plan->count; ++i) {
        if (plan->items[i].kind == kind)
            return "names a ticker twice";
    }
    plan->items[plan->count].kind = kind;
    plan->items[plan->count++].interval_ms = interval;
    return NULL;
}

const char *tick_plan_parse(struct tick_plan *out, const char *text)
{
    struct slice rest = slice_trim(slice_of(text));
    const char *why = NULL;
    out->count = 0;
    if (slice_eq(rest, SLICE("off")))
        return NULL;
    while (why == NULL && rest.p != NULL)
        why = add_item(out, slice_trim(slice_split(&rest, ',')));
    return why;
}

/* The finaliser of splitmix64: https://prng.di.unimi.it/splitmix64.c */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

/* A pseudo-random height in -amplitude..amplitude for every multiple of `period`, straight lines between them. */
static int64_t wave(uint64_t number, uint64_t period, int64_t amplitude)
{
    uint64_t corner = number / period;
    int64_t from = (int64_t)(mix(corner ^ period << 32) % (uint64_t)(2 * amplitude + 1)) - amplitude;
    int64_t to = (int64_t)(mix((corner + 1) ^ period << 32) % (uint64_t)(2 * amplitude + 1)) - amplitude;
    return from + (to - from) * (int64_t)(number % period) / (int64_t)period;
}

/* Three waves in millionths: an hour, a few minutes, a few seconds (at a tick a second). */
unsigned tick_rate(uint64_t number)
{
    int64_t millionths = 921400 + wave(number, 3600, 12000) + wave(number, 240, 2500) + wave(number, 7, 350);
    return (unsigned)((millionths + 50) / 100);
}

size_t tick_data(char out[TICK_DATA_MAX], enum tick_kind kind, uint64_t number)
{
    out[0] = 0;
    if (kind == TICK_LETTERS)
        return (size_t)snprintf(out, TICK_DATA_MAX, "{\"msg\":\"%c\"}", (int)('a' + mix(number) % 26));
    if (kind == TICK_USD_EUR) {
        unsigned rate = tick_rate(number);
        return (size_t)snprintf(out, TICK_DATA_MAX, "{\"pair\":\"USD/EUR\",\"rate\":%u.%04u}", rate / 10000, rate % 10000);
    }
    return 0;
}

size_t tick_key(char out[TICK_KEY_MAX], enum tick_kind kind, uint64_t number)
{
    return (size_t)snprintf(out, TICK_KEY_MAX, "ticker %s:%" PRIu64, names[kind], number);
}
