/* What a gateway keeps when it has no stream any more. How many pieces each place of the code may have left is learned from calm worlds, when the program starts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Learns what this gateway has as no leak. */
void leaks_learn(uint16_t gateway);

/* Where it has more than any of those, and `more`: the address of the code that allocated it, with how many pieces there are; NULL: nowhere. */
const void *leaks_find(uint16_t gateway, uint32_t more, uint32_t *count);
