/* SPDX-License-Identifier: MIT */
/*
 * What networks do to packets: how long each takes, which get lost, and when nothing gets through.
 * Times are seconds since the network began.
 */
#ifndef NQPTP_NETWORK_MODEL_H
#define NQPTP_NETWORK_MODEL_H

#include "random.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define DELAY_MAX_S 2.0 /* The largest delay of any network. */

enum network {
    WIRED,
    GOOD_WIFI,
    HOLDING_WIFI, /* now and then nothing comes for a while */
    TYPICAL_WIFI, /* with power save */
    BAD_WIFI,
    NETWORKS,
};

/* --- randomness ------------------------------------------------------------------------------ */

/* Above 0, below 1. */
static inline double prng_uniform(struct prng *prng) {
    return ((double)(prng_next(prng) >> 12) + 0.5) * 0x1p-52;
}

static inline double prng_exponential(struct prng *prng, double mean) {
    return -mean * log(prng_uniform(prng));
}

/* Nearly normal, of standard deviation 1: the sum of twelve uniform numbers. */
static inline double prng_normal(struct prng *prng) {
    double sum = -6;

    for (int i = 0; i < 12; i++)
        sum += prng_uniform(prng);
    return sum;
}

/* The generator makes similar numbers of seeds that differ in one bit, so the seed is mixed. */
static inline struct prng prng_seeded(uint64_t seed) {
    struct prng prng = {(seed + 1) * UINT64_C(0x9E3779B97F4A7C15)};

    for (int i = 0; i < 20; i++)
        (void)prng_next(&prng);
    return prng;
}

/* --- networks -------------------------------------------------------------------------------- */

/* The state of a network. */
struct air {
    struct prng prng;
    enum network network;
    bool holds;       /* Whether packets are held up. */
    double changes_s; /* When that changes next. */
    double last_s;    /* When the last packet in order came. */
};

static inline double least_delay_s(enum network network) {
    static const double delays_s[NETWORKS] = {[WIRED] = .2e-3,
                                              [GOOD_WIFI] = 1.2e-3,
                                              [HOLDING_WIFI] = 1.5e-3,
                                              [TYPICAL_WIFI] = 1.5e-3,
                                              [BAD_WIFI] = 2e-3};
    return delays_s[network];
}

static inline double random_delay_s(struct air *air) {
    struct prng *prng = &air->prng;
    double more_s = 0;

    switch (air->network) {
    case WIRED:
        return prng_exponential(prng, 50e-6);
    case GOOD_WIFI:
        if (prng_uniform(prng) < .03)
            more_s = 5e-3 + 25e-3 * prng_uniform(prng);
        return prng_exponential(prng, .8e-3) + more_s;
    case HOLDING_WIFI:
    case TYPICAL_WIFI: /* gamma */
        if (prng_uniform(prng) < .05)
            more_s = 10e-3 + 70e-3 * prng_uniform(prng);
        return prng_exponential(prng, .75e-3) + prng_exponential(prng, .75e-3) + more_s;
    case BAD_WIFI: /* Lomax */
        return fmin(4e-3 * (pow(prng_uniform(prng), -1 / 1.5) - 1), DELAY_MAX_S);
    case NETWORKS:
        break;
    }
    return 0;
}

/* Power save on typical wifi, blocking on others: how long each state lasts. */
static inline void air_change(struct air *air) {
    struct prng *prng = &air->prng;

    air->holds = !air->holds;
    if (air->network == TYPICAL_WIFI)
        air->changes_s += prng_exponential(prng, air->holds ? 8 : 20);
    else if (!air->holds)
        air->changes_s += prng_exponential(prng, 10);
    else if (air->network == BAD_WIFI)
        air->changes_s += .05 + .45 * prng_uniform(prng);
    else
        air->changes_s += .15 + .1 * prng_uniform(prng);
}

static inline struct air air_begin(enum network network, uint64_t seed) {
    struct air air = {.prng = prng_seeded(seed), .network = network, .changes_s = INFINITY};

    if (network == TYPICAL_WIFI) {
        air.holds = prng_uniform(&air.prng) < 20. / 28;
        air.changes_s = 0;
        air_change(&air);
    } else if (network == BAD_WIFI || network == HOLDING_WIFI) {
        air.changes_s = prng_exponential(&air.prng, 10);
    }
    return air;
}

/* Returns when a packet comes that would come at `time_s` without power save and blocking. */
static inline double air_hold(struct air *air, double time_s) {
    while (air->changes_s <= time_s)
        air_change(air);
    if (!air->holds)
        return time_s;
    if (air->network == TYPICAL_WIFI)
        return ceil(time_s / .1024) * .1024; /* beacons */
    return air->changes_s;
}

/* Returns when a packet sent at `sent_s` comes, or -1 if it is lost. Nearly all stay in order. */
static inline double air_carry(struct air *air, double sent_s, double least_s) {
    double time_s = sent_s + least_s + random_delay_s(air);

    if (air->network == BAD_WIFI && prng_uniform(&air->prng) < .02)
        return -1;
    time_s = air_hold(air, time_s);
    if (air->network == BAD_WIFI && prng_uniform(&air->prng) < .01)
        return time_s + .13 + .1 * prng_uniform(&air->prng);
    if (time_s < air->last_s)
        time_s = air->last_s;
    air->last_s = time_s;
    return time_s;
}

#endif
