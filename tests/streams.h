/* SPDX-License-Identifier: MIT */
/*
 * Streams of samples as a network would give them, from clocks whose true offset is known. Local
 * time is true time; the master's rate wanders around its skew; delays are those of one of four
 * networks; and at one moment something may happen to the clock or the path.
 */
#ifndef NQPTP_STREAMS_H
#define NQPTP_STREAMS_H

#include "prng.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define STREAM_SECONDS 180
#define STREAM_READS_PER_S 32 /* a player reads every 31.25 ms */
#define STREAM_READS (STREAM_SECONDS * STREAM_READS_PER_S)
#define STREAM_READS_PER_SYNC 4 /* a Sync every 125 ms */
#define STREAM_SYNCS (STREAM_READS / STREAM_READS_PER_SYNC)

enum network {
    WIRED,
    GOOD_WIFI,
    HOLDING_WIFI, /* now and then nothing comes for a while */
    TYPICAL_WIFI, /* with power save */
    BAD_WIFI,
    NETWORKS,
};

/* What happens at `at_s`; all that is 0 does not. */
struct event {
    const char *name;
    double at_s;
    double away_s;     /* so long the master sends nothing, */
    bool repeats;      /* or its last time again and again */
    double step_s;     /* its clock is so much ahead afterwards, */
    double skew_ppm;   /* runs at so much more, */
    double warm_ppm;   /* or comes to do so in 30 s */
    double path_s;     /* and its packets take so much longer */
    bool new_identity; /* of the grandmaster, which is announced */
};

struct scenario {
    enum network network;
    double skew_ppm;
    double raised; /* share of the samples that are up to 4 ms too high */
    struct event event;
    uint64_t seed;
};

struct arrival {
    double time_s;
    uint64_t master_ns, local_ns;
    bool new_identity; /* the first one of it */
};

struct stream {
    struct arrival arrivals[STREAM_SYNCS];
    unsigned count;
    uint64_t truth_ns[STREAM_READS]; /* at each read: true offset less the least delay */
};

/* --- randomness ------------------------------------------------------------------------------ */

/* Above 0, below 1. */
static inline double prng_uniform(struct prng *prng) {
    return ((double)(prng_next(prng) >> 12) + 0.5) * 0x1p-52;
}

static inline double prng_exponential(struct prng *prng, double mean) {
    return -mean * log(prng_uniform(prng));
}

/* Normal enough, of standard deviation 1: twelve uniform numbers. */
static inline double prng_normal(struct prng *prng) {
    double sum = -6;

    for (int i = 0; i < 12; i++)
        sum += prng_uniform(prng);
    return sum;
}

/* Of seeds that differ in one bit the generator makes numbers that differ in few. */
static inline struct prng prng_seeded(uint64_t seed) {
    struct prng prng = {(seed + 1) * UINT64_C(0x9E3779B97F4A7C15)};

    for (int i = 0; i < 20; i++)
        (void)prng_next(&prng);
    return prng;
}

/* --- networks -------------------------------------------------------------------------------- */

/* What is going on in the air. */
struct air {
    struct prng prng;
    enum network network;
    bool holds;       /* packets are held up, */
    double changes_s; /* until the next change of that */
    double last_s;    /* when the last packet in order came */
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
        return 4e-3 * (pow(prng_uniform(prng), -1 / 1.5) - 1);
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

/* When a packet that would come at `time_s` comes. */
static inline double air_hold(struct air *air, double time_s) {
    while (air->changes_s <= time_s)
        air_change(air);
    if (!air->holds)
        return time_s;
    if (air->network == TYPICAL_WIFI)
        return ceil(time_s / .1024) * .1024; /* beacons */
    return air->changes_s;
}

/* Sent at `sent_s`, it comes then; -1: never. All but the few that are overtaken stay in order. */
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

/* --- the clock ------------------------------------------------------------------------------- */

static inline bool event_over(const struct event *event, double time_s) {
    return event->at_s > 0 && time_s >= event->at_s + event->away_s;
}

static inline double warmth_ppm(const struct event *event, double time_s) {
    double share = event_over(event, time_s) ? (time_s - event->at_s) / 30 : 0;
    return event->warm_ppm * (share < 1 ? share : 1);
}

/* The master's time less ours, at every read. */
static inline void clock_walk(double *offset_s, const struct scenario *s, struct prng *prng) {
    double wander_ppm = 0, now_s = 0;
    bool over = false;

    for (int i = 0; i < STREAM_READS; i++) {
        double time_s = (double)i / STREAM_READS_PER_S;
        if (!over && event_over(&s->event, time_s)) {
            over = true;
            now_s += s->event.step_s;
        }
        offset_s[i] = now_s;
        wander_ppm += .01 * sqrt(1. / STREAM_READS_PER_S) * prng_normal(prng);
        double rate_ppm = s->skew_ppm + wander_ppm + (over ? s->event.skew_ppm : 0) +
                          warmth_ppm(&s->event, time_s);
        now_s += rate_ppm * 1e-6 / STREAM_READS_PER_S;
    }
}

/* --- streams --------------------------------------------------------------------------------- */

#define STREAM_LOCAL_NS UINT64_C(5400000000000)
#define STREAM_OFFSET_NS UINT64_C(783596000000000)

static inline uint64_t stream_offset_ns(double offset_s) {
    return STREAM_OFFSET_NS + (uint64_t)(int64_t)(offset_s * 1e9);
}

static inline void stream_add(struct stream *stream, struct arrival arrival) {
    unsigned i = stream->count++;

    for (; i > 0 && stream->arrivals[i - 1].time_s > arrival.time_s; i--)
        stream->arrivals[i] = stream->arrivals[i - 1];
    stream->arrivals[i] = arrival;
}

static inline void stream_make(struct stream *stream, const struct scenario *s) {
    double offset_s[STREAM_READS];
    struct air air = air_begin(s->network, 3 * s->seed);
    const struct event *event = &s->event;
    struct prng clock = prng_seeded(3 * s->seed + 1), errors = prng_seeded(3 * s->seed + 2);
    uint64_t frozen_ns = 0;
    bool renamed = false;

    stream->count = 0;
    clock_walk(offset_s, s, &clock);
    for (unsigned i = 0; i < STREAM_READS; i++) {
        double sent_s = (double)i / STREAM_READS_PER_S;
        bool over = event_over(event, sent_s),
             away = event->at_s > 0 && sent_s >= event->at_s && !over;
        double least_s = least_delay_s(s->network) + (over ? event->path_s : 0);
        stream->truth_ns[i] = stream_offset_ns(offset_s[i] - least_s);
        if (i % STREAM_READS_PER_SYNC != 0 || (away && !event->repeats))
            continue;
        double time_s = air_carry(&air, sent_s, least_s);
        if (time_s < 0)
            continue;
        uint64_t sent_ns =
            STREAM_LOCAL_NS + (uint64_t)(sent_s * 1e9) + stream_offset_ns(offset_s[i]);
        if (prng_uniform(&errors) < s->raised)
            sent_ns += (uint64_t)(4e6 * prng_uniform(&errors));
        if (!away)
            frozen_ns = sent_ns;
        stream_add(stream, (struct arrival){
                               .time_s = time_s,
                               .master_ns = away ? frozen_ns : sent_ns,
                               .local_ns = STREAM_LOCAL_NS + (uint64_t)(time_s * 1e9),
                               .new_identity = over && event->new_identity && !renamed,
                           });
        renamed = over;
    }
}

#endif
