/* SPDX-License-Identifier: MIT */
/*
 * Numbers that look random and are the same in every run, so a failure happens again. The generator
 * is Marsaglia's xorshift64 (2003).
 */
#ifndef NQPTP_RANDOM_H
#define NQPTP_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct prng {
    uint64_t state; /* any seed but 0 */
};

static inline uint64_t prng_next(struct prng *prng) {
    prng->state ^= prng->state << 13;
    prng->state ^= prng->state >> 7;
    prng->state ^= prng->state << 17;
    return prng->state;
}

/* Returns one of 0 .. count - 1. The low bits of the generator are the least random. */
static inline uint64_t prng_below(struct prng *prng, uint64_t count) {
    return (prng_next(prng) >> 11) % count;
}

/* Returns a number of any magnitude: a number of 1 bit is as common as one of 64 bits. */
static inline uint64_t prng_magnitude(struct prng *prng) {
    uint64_t bits_less = prng_below(prng, 64);
    return prng_next(prng) >> bits_less;
}

static inline void prng_fill(struct prng *prng, uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(prng_next(prng) >> 32);
}

#endif
