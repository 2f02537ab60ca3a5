/* SPDX-License-Identifier: MIT */
/*
 * The offset estimator: samples (the master's time, local time) of one clock go in, its smoothed
 * offset comes out. It is pure: it reads no clock, allocates nothing, and knows no PTP.
 *
 * Every sample says offset = master - local, too low by the time the packet took. The truth is
 * therefore the upper envelope of the samples. Of the last minute the highest sample of each
 * second is kept; the line laid on top of these, of the slope that is most likely given how
 * oscillators differ and how much packets are delayed, is the estimate. What is published follows
 * the line in small steps. Jumps of the master's clock start a new line, so does another path.
 */
#ifndef NQPTP_ESTIMATOR_H
#define NQPTP_ESTIMATOR_H

#include <stdbool.h>
#include <stdint.h>

#define NQPTP_ESTIMATOR_BINS 64
#define NQPTP_ESTIMATOR_RECENT 8

/* What was at a local time: an offset, or how far one lay above the line (below: negative). */
struct nqptp_point {
    int64_t time_ns, ns;
};

/* The last few, oldest first. */
struct nqptp_points {
    struct nqptp_point at[NQPTP_ESTIMATOR_RECENT];
    unsigned count;
};

/*
 * Zeroed, it is ready for its first sample. Times and offsets are counted from those of the first
 * sample, so that they fit into signed numbers whatever the epochs are.
 */
struct nqptp_estimator {
    uint64_t base_offset_ns, base_local_ns;
    uint64_t last_master_ns; /* to tell a stopped clock, */
    unsigned repeats;        /* which repeats it */

    struct nqptp_point bin[NQPTP_ESTIMATOR_BINS]; /* the best sample of each, oldest first */
    unsigned bins;
    int64_t bin_start_ns, bin_width_ns;

    double slope_ppm;        /* of the line: the master's rate minus ours */
    double noise_us;         /* the mean delay beyond the least one */
    struct nqptp_point line; /* which passes through here */

    unsigned suspected; /* a sample was too high; this number of further ones may still prove it */
    struct nqptp_point suspect;
    struct nqptp_points samples; /* above the line: the last ones, the best of each burst, */
    struct nqptp_points peaks;   /* the highest of each of the last periods, the last open */

    int64_t epoch_ns; /* when the series began */
    double trend_ppm; /* The rate has changed to about this; it counts until then. */
    int64_t trend_until_ns;
    struct nqptp_point published;
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

/* How good the estimate is. */
struct nqptp_quality {
    double rate_ppm; /* the master's rate minus that of CLOCK_MONOTONIC_RAW */
    double noise_us; /* by how much the best packet of a second was later than the quickest, mean */
    double error_us; /* of the offset, as far as that may be told from here: see below */
};

/*
 * Returns false if there was no sample yet. The error is how far the offset still is from the line,
 * plus noise / sqrt(bins), about one standard deviation of the line. The least time that a packet
 * takes is not in it: it cannot be told from a clock that is late.
 */
bool nqptp_estimator_quality(const struct nqptp_estimator *estimator,
                             struct nqptp_quality *quality);

#endif
