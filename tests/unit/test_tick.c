#include "publisher/tick.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tests/check.h"

static void test_plan(void)
{
    static const struct {
        const char *text;
        const char *want; /* "letters 5000 counter 2000" or NULL when refused */
    } rows[] = {
        {"letters:5000,counter:2000,usd_eur:1000", "letters 5000 counter 2000 usd_eur 1000 "},
        {"counter:10", "counter 10 "},
        {" usd_eur : 86400000 , letters:50 ", "usd_eur 86400000 letters 50 "},
        {"off", ""},
        {"", NULL},
        {"letters", NULL},
        {"letters:", NULL},
        {"letters:9", NULL},
        {"letters:86400001", NULL},
        {"letters:4294967396", NULL}, /* 100 modulo 2^32 */
        {"letters:-5", NULL},
        {"letters:5s", NULL},
        {"letters:50,", NULL},
        {",letters:50", NULL},
        {"letters:50,letters:60", NULL},
        {"Letters:50", NULL},
        {"numbers:50", NULL},
        {"letters:50,off", NULL},
    };
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct tick_plan plan;
        const char *why = tick_plan_parse(&plan, rows[i].text);
        char got[200] = "";
        for (size_t j = 0; why == NULL && j != plan.count; ++j)
            snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s %" PRIu32 " ", tick_name(plan.items[j].kind),
                     plan.items[j].interval_ms);
        if (rows[i].want == NULL)
            check(why != NULL, "TICKERS \"%s\" is refused", rows[i].text);
        else
            check_slice(slice_of(why == NULL ? got : why), slice_of(rows[i].want), "TICKERS \"%s\" is read", rows[i].text);
    }
}

static void test_number(void)
{
    check(tick_number(0, 5000) == 0 && tick_number(4999, 5000) == 0, "tick 0 lasts one interval");
    check(tick_number(5000, 5000) == 1 && tick_number(9999, 5000) == 1, "tick 1 begins at the boundary");
    check(tick_number(1795262400000, 1000) == 1795262400, "numbers hold today's wall clock");
    check(tick_next(0, 5000, 5000) == 1 && tick_next(1, 10000, 5000) == 2 && tick_next(1, 100000, 5000) == 20,
          "the next tick goes by the clock");
    check(tick_next(1000, 5000000, 5000) == 1001 && tick_next(1001, 5000000, 5000) == 1002,
          "… and on from the last one where the clock was set back");
    check(tick_next(1000, 4705000, 5000) == 1001 && tick_next(1000, 4700000, 5000) == 940, "… by less than 300 s");
}

static void test_rate(void)
{
    unsigned unchanged = 0, low = 10000, high = 0, largest_step = 0;
    enum { TICKS = 200000 };
    unsigned before = tick_rate(1795262400);
    for (uint64_t n = 1795262401; n != 1795262401 + TICKS; ++n) {
        unsigned rate = tick_rate(n), step = (unsigned)abs((int)rate - (int)before);
        unchanged += step == 0;
        low = rate < low ? rate : low;
        high = rate > high ? rate : high;
        largest_step = step > largest_step ? step : largest_step;
        before = rate;
    }
    check(unchanged > TICKS / 20 && unchanged < TICKS * 19 / 20,
          "the rate is sometimes the same as before, mostly or not (%u of %d)", unchanged, TICKS);
    check(low > 9000 && high < 9400 && high - low > 100, "it wanders and comes back (%u to %u)", low, high);
    check(largest_step <= 5, "it never jumps (%u)", largest_step);

    static const struct {
        uint64_t number;
        unsigned want;
    } golden[] = {{0, 9274}, {1795262400, 9262}, {1795262401, 9262}, {1795269999, 9319}, {UINT64_MAX, 9320}};
    for (size_t i = 0; i != sizeof(golden) / sizeof(golden[0]); ++i)
        check(tick_rate(golden[i].number) == golden[i].want, "replicas of every version agree on tick %" PRIu64 " (%u)",
              golden[i].number, tick_rate(golden[i].number));
}

static void test_data(void)
{
    char data[TICK_DATA_MAX], want[TICK_DATA_MAX];
    bool seen[26] = {false};
    for (int i = 0; i != 2000; ++i) {
        size_t n = tick_data(data, TICK_LETTERS, (uint64_t)i);
        if (n == 11 && memcmp(data, "{\"msg\":\"", 8) == 0 && strcmp(data + 9, "\"}") == 0 && data[8] >= 'a' && data[8] <= 'z')
            seen[data[8] - 'a'] = true;
        else
            check(false, "a letter's data is {\"msg\":\"x\"}, not %s", data);
    }
    size_t letters = 0;
    for (int i = 0; i != 26; ++i)
        letters += seen[i];
    check(letters == 26, "every letter comes in two thousand ticks (%zu)", letters);
    tick_data(want, TICK_LETTERS, 359052480);
    tick_data(data, TICK_LETTERS, 359052480);
    check_slice(slice_of(data), slice_of(want), "replicas agree on the letter of a tick");
    check(tick_data(data, TICK_COUNTER, 7) == 0 && data[0] == 0, "the counter leaves its data to Redis");
    for (uint64_t number = 1795262400; number != 1795262600; ++number) {
        size_t n = tick_data(data, TICK_USD_EUR, number);
        snprintf(want, sizeof(want), "{\"pair\":\"USD/EUR\",\"rate\":0.%04u}", tick_rate(number));
        if (!slice_eq(slice_make(data, n), slice_of(want)))
            check(false, "the rate has four decimals: %s", data);
    }
    check_slice(slice_of(data), slice_of(want), "the rate's data");
}

static void test_key(void)
{
    char key[TICK_KEY_MAX];
    size_t n = tick_key(key, TICK_LETTERS, 359052480);
    check_slice(slice_make(key, n), SLICE("ticker letters:359052480"), "a key is the ticker and its number");
    n = tick_key(key, TICK_USD_EUR, UINT64_MAX);
    check_slice(slice_make(key, n), SLICE("ticker usd_eur:18446744073709551615"), "the largest number fits");
}

int main(void)
{
    test_plan();
    test_number();
    test_rate();
    test_data();
    test_key();
    return check_end();
}
