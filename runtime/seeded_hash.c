#include "runtime/seeded_hash.h"

#include <stdlib.h>

uint64_t seeded_hash_key[2];

__attribute__((constructor)) static void draw_key(void)
{
    arc4random_buf(seeded_hash_key, sizeof(seeded_hash_key));
}
