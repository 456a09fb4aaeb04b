/* See ground.c. */
#pragma once

#include <stdint.h>

/* What the programs draw from now on. */
void ground_reset(uint64_t seed);
