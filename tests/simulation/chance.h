/* All chance of a world comes from its seed: SplitMix64 (Steele, Lea and Flood, 2014). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

static inline uint64_t chance_next(struct chance *chance)
{
    uint64_t z = (chance->state += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* 0 … n - 1; 0 for n == 0. */
static inline uint64_t chance_below(struct chance *chance, uint64_t n)
{
    return (uint64_t)((unsigned __int128)chance_next(chance) * n >> 64);
}

static inline uint64_t chance_between(struct chance *chance, uint64_t least, uint64_t most)
{
    return least + chance_below(chance, most - least + 1);
}

static inline bool chance_one_in(struct chance *chance, uint64_t n)
{
    return chance_below(chance, n) == 0;
}
