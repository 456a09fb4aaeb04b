/* When the clock of a shard went back, as far as it was seen to. While it goes through the same times once more, a position or place of such a time stands for the earliest event that
 * may have come after it: of the time that the clock was set to. The clock is read every second, and at once when an event of one channel is older than one of another before it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    CLOCK_STEPS = 8, /* the last ones are known */
    CLOCK_NOISE_MS = 20, /* less is no step */
};

struct clock_step {
    uint64_t to_ms, from_ms;
};

/* Zeroed memory has seen nothing. */
struct clock_steps {
    struct clock_step steps[CLOCK_STEPS];
    uint32_t next; /* … to be overwritten */
    bool known; /* the clock was read */
    int64_t least_ms, most_ms; /* the clock less monotonic_ms(), as it was read last, lies between these two */
    uint64_t asked_ms; /* when that was asked for */
    uint64_t heard_ms; /* the greatest time of an event that came */
};

/* The clock read now_ms; it was asked at asked_ms and answered at came_ms, both of monotonic_ms(). True: it has gone back since it was read last. */
bool clock_steps_read(struct clock_steps *steps, uint64_t now_ms, uint64_t asked_ms, uint64_t came_ms);

/* An event of this position's time came at mono_ms of monotonic_ms(), the newest of its channel and of all that the shard sent. True: it looks as if the clock had gone back since it was read. */
bool clock_steps_suspect(struct clock_steps *steps, uint64_t ms, uint64_t mono_ms);

/* The times behind to_ms, up to from_ms, stand for to_ms. Those that overlap become one. */
void clock_steps_add(struct clock_steps *steps, uint64_t to_ms, uint64_t from_ms);

/* The time that `ms` stands for: itself, or an earlier one. */
uint64_t clock_steps_since(const struct clock_steps *steps, uint64_t ms);

/* Whether the clock has reached `ms`, for the first time, by mono_ms of monotonic_ms(). */
bool clock_steps_is_time(const struct clock_steps *steps, uint64_t ms, uint64_t mono_ms);
