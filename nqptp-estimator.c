/* SPDX-License-Identifier: MIT */
/* The offset estimator: see the header for what it computes and why. */
#include "nqptp-estimator.h"

#include <string.h>

#define MS INT64_C(1000000)
#define BIN_NS (125 * MS)
#define GAP_NS (60000 * MS) /* after a longer silence the old line says nothing */
#define BACK_NS (1000 * MS) /* local time that goes back further is another timeline */
#define HIGH_NS (5 * MS)    /* no delay raises a sample: above this the clock has stepped */
#define LOW_NS (20 * MS)    /* all samples below this for a while: it has stepped back */
#define HIGH_WITNESSES 2
#define LOW_WITNESSES 8
#define STOPPED_WITNESSES 2
#define FIT_BINS 16        /* 2 s: with fewer, noise would make more slope than the clocks */
#define SLOPE_LIMIT 250e-6 /* oscillators keep within 100 ppm each, NTP may add some */
#define RANGE_NS (INT64_C(1) << 59)

void nqptp_estimator_reset(struct nqptp_estimator *estimator) {
    *estimator = (struct nqptp_estimator){0};
}

static int64_t line_at(const struct nqptp_estimator *e, int64_t time_ns) {
    return e->level_ns + (int64_t)(e->slope * (double)(time_ns - e->level_time_ns));
}

static enum nqptp_estimate restart(struct nqptp_estimator *e, uint64_t master_ns,
                                   uint64_t local_ns) {
    nqptp_estimator_reset(e);
    e->base_offset_ns = master_ns - local_ns;
    e->base_local_ns = local_ns;
    e->last_master_ns = master_ns;
    e->bins = 1; /* at time 0, offset 0 */
    return NQPTP_ESTIMATE_RESTARTED;
}

/* Is this the timeline that the bins belong to? */
static bool contiguous(const struct nqptp_estimator *e, int64_t time_ns, int64_t offset_ns) {
    if (time_ns > RANGE_NS || time_ns < -RANGE_NS || offset_ns > RANGE_NS || offset_ns < -RANGE_NS)
        return false;
    int64_t gap_ns = time_ns - e->level_time_ns;
    return gap_ns > -BACK_NS && gap_ns < GAP_NS;
}

/* A step is believed when several samples in a row say the same; one alone may be a bad packet. */
static bool stepped(struct nqptp_estimator *e, int64_t error_ns) {
    e->high = error_ns > HIGH_NS ? e->high + 1 : 0;
    e->low = error_ns < -LOW_NS ? e->low + 1 : 0;
    return e->high >= HIGH_WITNESSES || e->low >= LOW_WITNESSES;
}

/* Does the sample lie on or below the line of the present slope through bin i? */
static bool below_bin(const struct nqptp_estimator *e, unsigned i, int64_t time_ns,
                      int64_t offset_ns) {
    double drift_ns = e->slope * (double)(time_ns - e->time_ns[i]);
    return (double)(offset_ns - e->offset_ns[i]) <= drift_ns;
}

static void drop_oldest_bin(struct nqptp_estimator *e) {
    e->bins--;
    memmove(&e->time_ns[0], &e->time_ns[1], e->bins * sizeof e->time_ns[0]);
    memmove(&e->offset_ns[0], &e->offset_ns[1], e->bins * sizeof e->offset_ns[0]);
}

/* The sample begins a new bin when it is time, or takes the place of a lower one in the last bin.
 */
static void bin_push(struct nqptp_estimator *e, int64_t time_ns, int64_t offset_ns) {
    if (time_ns - e->bin_start_ns >= BIN_NS) {
        if (e->bins == NQPTP_ESTIMATOR_BINS)
            drop_oldest_bin(e);
        e->bin_start_ns = time_ns;
        e->bins++;
    } else if (below_bin(e, e->bins - 1, time_ns, offset_ns)) {
        return;
    }
    e->time_ns[e->bins - 1] = time_ns;
    e->offset_ns[e->bins - 1] = offset_ns;
}

/* The bin of [from, to) that rises highest above a line of the present slope. */
static unsigned highest(const struct nqptp_estimator *e, unsigned from, unsigned to) {
    unsigned best = from;
    for (unsigned i = from + 1; i < to; i++)
        if (!below_bin(e, best, e->time_ns[i], e->offset_ns[i]))
            best = i;
    return best;
}

static void fit_slope(struct nqptp_estimator *e) {
    if (e->bins < FIT_BINS)
        return;
    unsigned early = highest(e, 0, e->bins / 2);
    unsigned late = highest(e, e->bins / 2, e->bins);
    double slope = (double)(e->offset_ns[late] - e->offset_ns[early]) /
                   (double)(e->time_ns[late] - e->time_ns[early]);
    e->slope = slope > SLOPE_LIMIT ? SLOPE_LIMIT : slope < -SLOPE_LIMIT ? -SLOPE_LIMIT : slope;
}

static void lay_line(struct nqptp_estimator *e, int64_t time_ns) {
    unsigned top = highest(e, 0, e->bins);
    int64_t drift_ns = (int64_t)(e->slope * (double)(time_ns - e->time_ns[top]));
    e->level_ns = e->offset_ns[top] + drift_ns;
    e->level_time_ns = time_ns;
}

enum nqptp_estimate nqptp_estimator_sample(struct nqptp_estimator *e, uint64_t master_ns,
                                           uint64_t local_ns) {
    if (e->bins == 0)
        return restart(e, master_ns, local_ns);
    if (master_ns == e->last_master_ns) {
        e->stopped++;
        return NQPTP_ESTIMATE_NONE;
    }
    int64_t time_ns = (int64_t)(local_ns - e->base_local_ns);
    int64_t offset_ns = (int64_t)(master_ns - local_ns - e->base_offset_ns);
    if (e->stopped >= STOPPED_WITNESSES || !contiguous(e, time_ns, offset_ns) ||
        stepped(e, offset_ns - line_at(e, time_ns)))
        return restart(e, master_ns, local_ns);

    e->stopped = 0;
    e->last_master_ns = master_ns;
    if (e->high > 0)
        return NQPTP_ESTIMATE_NONE; /* withheld until a second one confirms or denies it */
    if (time_ns >= e->time_ns[e->bins - 1])
        bin_push(e, time_ns, offset_ns);
    fit_slope(e);
    lay_line(e, time_ns);
    return NQPTP_ESTIMATE_CONTINUED;
}

uint64_t nqptp_estimator_offset_ns(const struct nqptp_estimator *e) {
    return e->base_offset_ns + (uint64_t)e->level_ns;
}
