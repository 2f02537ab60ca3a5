/* SPDX-License-Identifier: MIT */
/*
 * Streams of samples as a network would give them, from clocks whose true offset is known. Local
 * time is true time; the master's rate wanders around its skew; delays are those of one of four
 * networks; and at one moment something may happen to the clock or the path.
 */
#ifndef NQPTP_STREAMS_H
#define NQPTP_STREAMS_H

#include "air.h"

#define STREAM_SECONDS 180
#define STREAM_READS_PER_S 32 /* a player reads every 31.25 ms */
#define STREAM_READS (STREAM_SECONDS * STREAM_READS_PER_S)
#define STREAM_READS_PER_SYNC 4 /* a Sync every 125 ms */
#define STREAM_SYNCS (STREAM_READS / STREAM_READS_PER_SYNC)

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
