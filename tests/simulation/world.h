/* One world: what the seed makes of it, from the first gateway's start to the oracle's last word. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { STEPS_MAX = 320 };

/* Which steps of the plan are left out, for shrinking. */
struct world_cut {
    bool out[STEPS_MAX];
};

struct world_result {
    bool failed;
    char why[512]; /* of the first violation */
    uint64_t digest; /* of all that happened */
    uint64_t steps; /* that were taken: of the plan, commands at Redis, answers and messages at gateways, bytes at clients */
    uint32_t planned; /* of the plan */
};

/* `cut`: NULL for all. */
void world_run(uint64_t seed, const struct world_cut *cut, struct world_result *result);

/* For the parts. */
extern uint64_t world_steps;
bool world_young(void); /* its data are so new that no place in them is proven */
bool world_failed(void);
void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
