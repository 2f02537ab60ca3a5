/* SPDX-License-Identifier: MIT */
/*
 * The smoothing rule of the reference nqptp (1.2.5), written from a description of its behaviour.
 * The benchmarks compare the estimator with it.
 */
#ifndef NQPTP_REFERENCE_H
#define NQPTP_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * In its first second the rule follows a rise at once and ignores a fall. Later it follows a rise
 * by a 16th, and a fall by a 256th of at most 2.5 ms.
 */
struct reference {
    bool begun;
    uint64_t begun_ns, offset_ns;
};

static inline void reference_sample(struct reference *r, uint64_t master_ns, uint64_t local_ns) {
    uint64_t offset_ns = master_ns - local_ns;

    if (!r->begun)
        *r = (struct reference){.begun = true, .begun_ns = local_ns, .offset_ns = offset_ns};
    int64_t jump_ns = (int64_t)(offset_ns - r->offset_ns);
    bool young = local_ns - r->begun_ns < 1000000000;
    if (jump_ns < -2500000)
        jump_ns = -2500000;
    if (jump_ns > 0)
        r->offset_ns += (uint64_t)(young ? jump_ns : jump_ns / 16);
    else if (!young)
        r->offset_ns += (uint64_t)(jump_ns / 256);
}

#endif
