#include "runtime/seeded_hash.h"

#include <stdlib.h>
#include <sys/random.h>

uint64_t seeded_hash_key[2];

__attribute__((constructor)) static void draw_key(void)
{
    if (getrandom(seeded_hash_key, sizeof(seeded_hash_key), 0) != sizeof(seeded_hash_key))
        abort(); /* no kernel does that for 16 bytes */
}
