/* SPDX-License-Identifier: MIT */
/*
 * The offset estimator: samples (the master's time, local time) of one clock go in, its smoothed
 * offset comes out. It is pure: it reads no clock, allocates nothing, and knows no PTP.
 *
 * Every sample says offset = master - local, too low by the time the packet took. The truth is
 * therefore the upper envelope of the samples: this one takes the highest samples of the first
 * and the second half of the last 8 s for a line, lays the line on the highest of all and reads
 * it at the newest sample. Jumps of the master's clock start it afresh.
 */
#ifndef NQPTP_ESTIMATOR_H
#define NQPTP_ESTIMATOR_H

#include <stdbool.h>
#include <stdint.h>

#define NQPTP_ESTIMATOR_BINS 64

/* Zeroed, it is ready for its first sample. */
struct nqptp_estimator {
    uint64_t base_offset_ns, base_local_ns;  /* what the differences below are counted from */
    uint64_t last_master_ns;                 /* to tell a stopped clock */
    int64_t time_ns[NQPTP_ESTIMATOR_BINS];   /* the best sample of each bin, oldest first: */
    int64_t offset_ns[NQPTP_ESTIMATOR_BINS]; /*   its local time and its offset */
    unsigned bins;
    unsigned high, low, stopped; /* samples in a row that say so */
    int64_t bin_start_ns;
    double slope;                    /* the master's rate minus ours, ns per ns */
    int64_t level_time_ns, level_ns; /* the line passes through here */
};

enum nqptp_estimate {
    NQPTP_ESTIMATE_NONE,      /* the sample said nothing; the offset is what it was */
    NQPTP_ESTIMATE_CONTINUED, /* the offset is brought up to this sample */
    NQPTP_ESTIMATE_RESTARTED, /* a new series began: first sample, step, stop or long gap */
};

/* Forgets everything: for a new grandmaster, and for a slot that gets a new tenant. */
void nqptp_estimator_reset(struct nqptp_estimator *estimator);

/*
 * Adds the sample "it was master_ns there when it was local_ns here": nanoseconds modulo 2^64 of
 * any epoch, the local ones CLOCK_MONOTONIC_RAW. The same master_ns again is a stopped clock, not
 * a sample.
 */
enum nqptp_estimate nqptp_estimator_sample(struct nqptp_estimator *estimator, uint64_t master_ns,
                                           uint64_t local_ns);

/* Master's time minus local time after the last sample that said something, modulo 2^64. */
uint64_t nqptp_estimator_offset_ns(const struct nqptp_estimator *estimator);

#endif
