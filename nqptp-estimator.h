/* SPDX-License-Identifier: MIT */
/*
 * The offset estimator of one clock. The caller gives it samples (the master's time, the local
 * time); it returns the smoothed offset, master minus local. It reads no clock, allocates no memory
 * and knows nothing of PTP.
 *
 * A sample's offset is too low by the delay of its packet, and a delay is never negative. So the
 * true offset lies along the upper edge of the samples. The estimator keeps the highest sample of
 * each second of the last minute. It lays a line on top of these; of all lines that touch them from
 * above it takes the one with the most likely slope. What it publishes follows that line in small
 * steps. If the master's clock jumps or the network path changes, it begins a new line.
 */
#ifndef NQPTP_ESTIMATOR_H
#define NQPTP_ESTIMATOR_H

#include <stdbool.h>
#include <stdint.h>

#define NQPTP_ESTIMATOR_BINS 64
#define NQPTP_ESTIMATOR_RECENT 8

/* A value at a local time: an offset, or a residual (offset minus line). */
struct nqptp_point {
    int64_t time_ns;
    int64_t value_ns;
};

/* The last residuals, oldest first. */
struct nqptp_recent {
    struct nqptp_point at[NQPTP_ESTIMATOR_RECENT];
    unsigned count;
};

/*
 * A zeroed struct is ready for its first sample. Times and offsets are differences from those of
 * the first sample. So they fit into signed numbers, whatever the epochs of the two clocks are.
 */
struct nqptp_estimator {
    uint64_t base_offset_ns; /* The offset of the first sample. */
    uint64_t base_local_ns;  /* The local time of the first sample. */
    uint64_t last_master_ns; /* The master's time in the last sample. */
    unsigned repeats;        /* How often that time came again: a stopped clock repeats it. */

    struct nqptp_point bin[NQPTP_ESTIMATOR_BINS]; /* The best sample of each bin, oldest first. */
    unsigned bins;
    int64_t bin_start_ns; /* Start of the newest bin. */
    int64_t bin_width_ns;

    double slope_ppm;        /* Slope of the line: the master's rate minus the local rate. */
    double noise_us;         /* Mean depth of the bins below the line. */
    struct nqptp_point line; /* The line passes through this point. */

    struct nqptp_point suspect;      /* A sample that was too high to be a delay. */
    unsigned suspect_samples;        /* How many more samples may confirm it; 0: there is none. */
    struct nqptp_recent last_bursts; /* The best residual of each of the last bursts. */
    struct nqptp_recent last_peaks;  /* The best of each of the last periods; the last is open. */

    int64_t series_start_ns;
    double new_rate_ppm; /* After a change of rate: the slope that is expected. */
    int64_t new_rate_until_ns;
    struct nqptp_point published;
};

enum nqptp_estimate {
    NQPTP_ESTIMATE_NONE,      /* The sample was not used: the published offset is unchanged. */
    NQPTP_ESTIMATE_CONTINUED, /* The published offset now includes this sample. */
    NQPTP_ESTIMATE_RESTARTED, /* A new series began: first sample, step, stop or long gap. */
};

/* Forgets everything: the clock has a new grandmaster, or its old line is worth nothing. */
void nqptp_estimator_reset(struct nqptp_estimator *estimator);

/* Whether the next sample is the first since the start or the last reset. */
bool nqptp_estimator_is_empty(const struct nqptp_estimator *estimator);

/*
 * Adds the sample "the master's clock showed master_ns when the local clock showed local_ns". Both
 * are nanoseconds modulo 2^64 of any epoch; local time is CLOCK_MONOTONIC_RAW. If master_ns is the
 * same as before, the clock has stopped or the packet came twice: that is not a sample.
 */
enum nqptp_estimate nqptp_estimator_sample(struct nqptp_estimator *estimator, uint64_t master_ns,
                                           uint64_t local_ns);

/* Returns master minus local time, modulo 2^64, as published after the last sample that was used.
 */
uint64_t nqptp_estimator_offset_ns(const struct nqptp_estimator *estimator);

/* How good the estimate is. */
struct nqptp_quality {
    double rate_ppm; /* The master's rate minus that of CLOCK_MONOTONIC_RAW. */
    double noise_us; /* Mean additional delay of the best sample of a bin. */
    double error_us; /* Likely error of the offset, without the minimum delay. */
};

/*
 * Returns false before the first sample. The error is the distance from the published offset to the
 * line, plus noise / sqrt(bins), which is about one standard deviation of the line. The minimum
 * delay of the path is not part of it: no one-way method can tell it from an offset.
 */
bool nqptp_estimator_quality(const struct nqptp_estimator *estimator,
                             struct nqptp_quality *quality);

#endif
