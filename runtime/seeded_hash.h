/* Hash for tables whose keys come from outside: keyed with a secret of the process, so that nobody can choose keys that all collide. SipHash-1-3 (Aumasson
 * and Bernstein), what Rust, Python and Ruby take for the same end. Include it in the place of uthash.h. */
#pragma once

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Drawn before main(); tests may set it. */
extern uint64_t seeded_hash_key[2];

#define SEEDED_HASH_ROTATE(x, by) ((x) << (by) | (x) >> (64 - (by)))

static inline void seeded_hash_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = SEEDED_HASH_ROTATE(v[1], 13) ^ v[0];
    v[3] = SEEDED_HASH_ROTATE(v[3], 16) ^ v[2];
    v[0] = SEEDED_HASH_ROTATE(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = SEEDED_HASH_ROTATE(v[1], 17) ^ v[2];
    v[3] = SEEDED_HASH_ROTATE(v[3], 21) ^ v[0];
    v[2] = SEEDED_HASH_ROTATE(v[2], 32);
}

static inline uint64_t seeded_hash(const void *bytes, size_t n)
{
    const char *p = bytes;
    uint64_t v[4] = {seeded_hash_key[0] ^ 0x736f6d6570736575, seeded_hash_key[1] ^ 0x646f72616e646f6d,
                     seeded_hash_key[0] ^ 0x6c7967656e657261, seeded_hash_key[1] ^ 0x7465646279746573};
    uint64_t word, last = (uint64_t)n << 56;
    size_t left = n;
    for (; left >= sizeof(word); left -= sizeof(word), p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        word = htole64(word);
        v[3] ^= word;
        seeded_hash_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < left; ++i)
        last |= (uint64_t)(unsigned char)p[i] << 8 * i;
    v[3] ^= last;
    seeded_hash_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    seeded_hash_round(v);
    seeded_hash_round(v);
    seeded_hash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#define HASH_FUNCTION(key, length, out) ((out) = (unsigned)seeded_hash(key, length))
#include <uthash.h>
