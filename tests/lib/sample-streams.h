/* SPDX-License-Identifier: MIT */
/*
 * Streams of samples as a network would give them, from clocks whose true offset is known. Local
 * time is true time; the master's rate wanders around its skew; delays are those of one of four
 * networks; and at one moment something may happen to the clock or the path.
 */
#ifndef NQPTP_SAMPLE_STREAMS_H
#define NQPTP_SAMPLE_STREAMS_H

#include "network-model.h"

#define STREAM_SECONDS 180
#define STREAM_READS_PER_S 32 /* a player reads every 31.25 ms */
#define STREAM_READS (STREAM_SECONDS * STREAM_READS_PER_S)
#define STREAM_SYNCS_PER_S 8.0 /* The default of a scenario. */
#define STREAM_SYNCS_PER_S_MAX 128
#define STREAM_SYNCS (STREAM_SECONDS * STREAM_SYNCS_PER_S_MAX)
#define STREAM_SLOW_S 6e-3 /* The additional delay of a slow packet. */

/* The change at `at_s`. A member that is 0 changes nothing. */
struct event {
    const char *name;
    double at_s;
    double away_s;       /* For how long the master sends nothing. */
    bool repeats;        /* Whether it repeats its last time meanwhile. */
    double step_s;       /* By how much its clock steps forward. */
    double skew_ppm;     /* By how much its rate rises. */
    double warm_ppm;     /* By how much its rate rises gradually, in 30 s. */
    double path_s;       /* By how much its packets take longer. */
    bool new_identity;   /* Whether it announces another grandmaster. */
    double again_s;      /* After this time the clock steps again. */
    double again_step_s; /* By how much it steps then. */
};

struct scenario {
    enum network network;
    double skew_ppm;
    double raised;      /* The share of samples that are up to 4 ms too high. */
    double slow;        /* The share of packets that take STREAM_SLOW_S longer. */
    double syncs_per_s; /* 0 means STREAM_SYNCS_PER_S. */
    struct event event;
    uint64_t seed;
};

struct arrival {
    double time_s;
    uint64_t master_ns, local_ns;
    bool new_identity; /* Whether it is the first of the new identity. */
};

struct stream {
    struct arrival arrivals[STREAM_SYNCS];
    unsigned count;
    uint64_t truth_ns[STREAM_READS]; /* At each read: the true offset minus the min delay. */
    uint64_t frozen_ns;              /* The time that a stopped clock repeats. */
    bool renamed;                    /* Whether the new identity was announced. */
};

/* --- the clock ------------------------------------------------------------------------------- */

static inline bool event_over(const struct event *event, double time_s) {
    return event->at_s > 0 && time_s >= event->at_s + event->away_s;
}

static inline double warmth_ppm(const struct event *event, double time_s) {
    double share = event_over(event, time_s) ? (time_s - event->at_s) / 30 : 0;
    return event->warm_ppm * (share < 1 ? share : 1);
}

/* The master's clock at a read. */
struct instant {
    double offset_s; /* master's time minus ours */
    double rate_ppm; /* at which the offset grows until the next read */
};

static inline bool event_again(const struct event *event, double time_s) {
    return event->again_s > 0 && event_over(event, time_s - event->again_s);
}

static inline void clock_walk(struct instant *walk, const struct scenario *s, struct prng *prng) {
    double wander_ppm = 0, now_s = 0;
    bool over = false, again = false;

    for (int i = 0; i < STREAM_READS; i++) {
        double time_s = (double)i / STREAM_READS_PER_S;
        if (!over && event_over(&s->event, time_s)) {
            over = true;
            now_s += s->event.step_s;
        }
        if (!again && event_again(&s->event, time_s)) {
            again = true;
            now_s += s->event.again_step_s;
        }
        wander_ppm += .01 * sqrt(1. / STREAM_READS_PER_S) * prng_normal(prng);
        walk[i].offset_s = now_s;
        walk[i].rate_ppm = s->skew_ppm + wander_ppm + (over ? s->event.skew_ppm : 0) +
                           warmth_ppm(&s->event, time_s);
        now_s += walk[i].rate_ppm * 1e-6 / STREAM_READS_PER_S;
    }
}

/* The master's time minus ours at any time. */
static inline double walk_offset_s(const struct instant *walk, double time_s) {
    unsigned read = (unsigned)(time_s * STREAM_READS_PER_S);
    double since_s = time_s - (double)read / STREAM_READS_PER_S;
    return walk[read].offset_s + walk[read].rate_ppm * 1e-6 * since_s;
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

static inline double path_delay_s(const struct scenario *s, double sent_s) {
    return least_delay_s(s->network) + (event_over(&s->event, sent_s) ? s->event.path_s : 0);
}

/* The randomness of a stream. */
struct chance {
    struct air air;
    struct prng errors;
};

static inline void stream_send(struct stream *stream, const struct scenario *s,
                               struct chance *chance, double sent_s, double offset_s) {
    const struct event *event = &s->event;
    bool over = event_over(event, sent_s), away = event->at_s > 0 && sent_s >= event->at_s && !over;
    double delay_s = path_delay_s(s, sent_s);

    if (away && !event->repeats)
        return;
    if (s->slow > 0 && prng_uniform(&chance->errors) < s->slow)
        delay_s += STREAM_SLOW_S;
    double time_s = air_carry(&chance->air, sent_s, delay_s);
    if (time_s < 0)
        return;
    uint64_t sent_ns = STREAM_LOCAL_NS + (uint64_t)(sent_s * 1e9) + stream_offset_ns(offset_s);
    if (prng_uniform(&chance->errors) < s->raised)
        sent_ns += (uint64_t)(4e6 * prng_uniform(&chance->errors));
    if (!away)
        stream->frozen_ns = sent_ns;
    stream_add(stream, (struct arrival){
                           .time_s = time_s,
                           .master_ns = away ? stream->frozen_ns : sent_ns,
                           .local_ns = STREAM_LOCAL_NS + (uint64_t)(time_s * 1e9),
                           .new_identity = over && event->new_identity && !stream->renamed,
                       });
    stream->renamed = over;
}

static inline void stream_make(struct stream *stream, const struct scenario *s) {
    struct instant walk[STREAM_READS];
    struct chance chance = {air_begin(s->network, 3 * s->seed), prng_seeded(3 * s->seed + 2)};
    struct prng clock = prng_seeded(3 * s->seed + 1);
    double syncs_per_s = s->syncs_per_s > 0 ? s->syncs_per_s : STREAM_SYNCS_PER_S;

    stream->count = 0;
    stream->renamed = false;
    clock_walk(walk, s, &clock);
    for (unsigned i = 0; i < STREAM_READS; i++)
        stream->truth_ns[i] =
            stream_offset_ns(walk[i].offset_s - path_delay_s(s, (double)i / STREAM_READS_PER_S));
    for (unsigned i = 0; i < STREAM_SECONDS * syncs_per_s; i++)
        stream_send(stream, s, &chance, i / syncs_per_s, walk_offset_s(walk, i / syncs_per_s));
}

#endif
