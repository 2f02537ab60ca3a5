/* SPDX-License-Identifier: MIT */
/*
 * The offset estimator. The header says what it computes. doc/estimator.md says why, and what each
 * part is worth.
 *
 * Words. A *sample* is an offset (master minus local time) at a local time. It is too low by the
 * *delay* of its packet. A *bin* is a span of time, of which the highest sample is kept. The *line*
 * lies on top of the bins. A *residual* is a sample minus the line. The *depth* of a bin is its
 * distance below the line; the *noise* is the mean depth. A *series* is a run of published offsets
 * without a jump.
 *
 * What it holds for each clock: up to 64 bins, the line, the last eight residuals of two kinds, a
 * suspect sample, and the published point.
 *
 * The way of a sample, one section each:
 *   admission  drops repeated times; begins anew if the timeline is another one
 *   changes    finds steps of the clock, changes of the path and changes of the rate
 *   bins       stores the sample
 *   fit        lays the line on the bins
 *   shaper     moves the published offset towards the line
 *
 * States of a series, by its age:
 *   empty      no bin: the next sample begins a series and is published as it is
 *   settling   until 3 s: the line may rise at once, because all samples may have been late
 *   young      until 5 s: the line is published as it is
 *   learning   until 15 s: a sample moves the published offset by at most 95 us
 *   settled    after 15 s: a sample moves the published offset by at most 40 us
 * Two states may be added:
 *   suspect    one sample was too high and waits for a second one
 *   new rate   for 5 s after a change of the master's rate the new rate is expected
 *
 * What it never does: read a clock, allocate memory, fail, or let one single sample move a settled
 * line upward by more than noise explains.
 *
 * Doubles hold only differences within the window, in microseconds and seconds (so a slope is in
 * ppm). They lose no precision, whatever the absolute times are.
 */
#include "nqptp-estimator.h"

#include <string.h>

#define US INT64_C(1000)
#define MS (1000 * US)
#define S (1000 * MS)

/* Admission. */
#define RANGE_NS (INT64_C(1) << 59) /* 18 years: the sum of several of these fits into int64_t. */
#define GAP_NS (60 * S)             /* After a longer gap the old line is worth nothing. */
#define BACK_NS (1 * S)             /* Local time that goes back by more is another timeline. */
#define STOPPED_REPEATS 2           /* One repeated time may be a packet that came twice. */

/* Changes. */
#define SETTLING_NS (3 * S)     /* All samples may have been late: the line may rise at once. */
#define SHIFT_MIN_NS (300 * US) /* The line itself may be wrong by less. */
#define STEP_NS (5 * MS)        /* A larger change is published at once, not slowly. */
#define FAR_NS (20 * MS)    /* Several delays in a row, or a wrong line, are smaller than this. */
#define VERY_LOW_NS (2 * S) /* No network delays two samples in a row by this. */
#define LOW_SPREAD_NS (50 * MS) /* Delays differ by more, as does a clock that runs backwards. */
#define BURST_NS (60 * MS)      /* Samples this close may have been delayed together. */
#define SUSPECT_SAMPLES 16      /* A second high sample must come within this number. */
#define PERIOD_NS (625 * MS)    /* Five Syncs. Eight periods: a longer path takes 5 s. */
#define PERIOD_SPREAD_NOISES 4  /* The peaks of an undelayed path differ by less. */
#define STEP_CHANCE 1e-6        /* A rarer row of low bins is a step. 1e-4: false steps. */
#define RATE_CHANCE 1e-5        /* A rarer row is a new rate. 1e-6: found 1.5 s later. */
#define NEW_RATE_NS (5 * S)     /* For this time a new rate is expected. */

/* Bins: 64 of 125 ms give a line soon (8 s); 64 of 1 s give the best line. */
#define BIN_MIN_NS (125 * MS)
#define BIN_MAX_NS (1 * S)

/* Fit. */
#define SLOPE_LIMIT_PPM 1500.0   /* NTP and virtual machines change rates by up to 1,000. */
#define SIGMA_PPM 25.0           /* Standard deviation of the rates of crystals. */
#define USUAL_MAX_PPM 150.0      /* No two crystals differ by more. */
#define WILD_GAIN 1e6            /* So large that the bins alone decide the slope. */
#define WILD_FACTOR 3            /* The bins decide if the usual slope makes them deeper by this. */
#define NOISE_UNKNOWN_US 300.0   /* The noise assumed before there are bins. */
#define NOISE_UNKNOWN_WEIGHT 3.0 /* It counts as this number of bins. */
#define FAR_NOISES 5             /* A bin deeper than this was held up: it is no noise. */
#define LATE_BINS_MAX 20         /* With more bins exponential delays are not realistic. */
#define LATE_NOISE_MAX_US 1000.0 /* With more noise the clock is at fault, not the delays. */
#define SPREAD_MAX .9            /* The depths vary as exponential delays do. */
#define SPREAD_MIN .35           /* The depths vary as sums of several delays do. */
#define LATE_SHARE 7             /* Then the best bin is late by the mean depth over this. */
#define TRUSTED_BINS 12          /* With fewer bins any of them may be the only good one. */
#define NEAR_MIN_SHARE 6         /* One bin in six is enough to find the centre. */
#define FALSE_BINS_MAX 3         /* More false bins in one window are not expected. */

/* Shaper. */
#define YOUNG_NS (5 * S)       /* Until then the line is published as it is. */
#define FAST_NS (15 * S)       /* Until then the line still changes much. */
#define STEP_FAST_NS (95 * US) /* Per sample. Together with the slope it stays under 150 us. */
#define STEP_SLOW_NS (40 * US) /* Per sample: inaudible. */
#define SHARE 4                /* Each sample takes back a quarter of the distance. */

void nqptp_estimator_reset(struct nqptp_estimator *estimator) {
    *estimator = (struct nqptp_estimator){0};
}

bool nqptp_estimator_is_empty(const struct nqptp_estimator *estimator) {
    return estimator->bins == 0;
}

static double to_us(int64_t ns) {
    return (double)ns / 1e3;
}

static double to_s(int64_t ns) {
    return (double)ns / 1e9;
}

static int64_t to_ns(double us) {
    return (int64_t)(us * 1e3);
}

static double clamp(double value, double limit) {
    return value > limit ? limit : value < -limit ? -limit : value;
}

/* Returns the value at time_ns on the line through `from` with the current slope. */
static int64_t extend(const struct nqptp_estimator *e, struct nqptp_point from, int64_t time_ns) {
    return from.value_ns + to_ns(e->slope_ppm * to_s(time_ns - from.time_ns));
}

/* Returns sample minus line: negative if the sample is below the line. */
static int64_t residual_ns(const struct nqptp_estimator *e, struct nqptp_point sample) {
    return sample.value_ns - extend(e, e->line, sample.time_ns);
}

/* --- bins ------------------------------------------------------------------------------------ */

/* Returns true if a lies above the line through b with the current slope. */
static bool is_higher(const struct nqptp_estimator *e, struct nqptp_point a, struct nqptp_point b) {
    return a.value_ns > extend(e, b, a.time_ns);
}

static void drop_oldest_bins(struct nqptp_estimator *e, unsigned count) {
    e->bins -= count;
    memmove(&e->bin[0], &e->bin[count], e->bins * sizeof e->bin[0]);
}

/* Merges neighbours: half the bins, each twice as wide. The higher sample of two stays. */
static void widen_bins(struct nqptp_estimator *e) {
    e->bins /= 2;
    e->bin_width_ns *= 2;
    for (size_t i = 0; i < e->bins; i++) {
        struct nqptp_point a = e->bin[2 * i], b = e->bin[2 * i + 1];
        e->bin[i] = is_higher(e, a, b) ? a : b;
    }
}

/*
 * Begins a bin if the newest one is over; else the sample replaces a lower one in the newest bin.
 * Two bins never have the same time: the fit divides by the difference.
 */
static void store_sample(struct nqptp_estimator *e, struct nqptp_point sample) {
    if (e->bins > 0 && (sample.time_ns - e->bin_start_ns < e->bin_width_ns ||
                        sample.time_ns <= e->bin[e->bins - 1].time_ns)) {
        if (is_higher(e, sample, e->bin[e->bins - 1]))
            e->bin[e->bins - 1] = sample;
        return;
    }
    if (e->bins == NQPTP_ESTIMATOR_BINS && e->bin_width_ns < BIN_MAX_NS)
        widen_bins(e);
    else if (e->bins == NQPTP_ESTIMATOR_BINS)
        drop_oldest_bins(e, 1);
    e->bin_start_ns = sample.time_ns;
    e->bin[e->bins++] = sample;
}

/* --- changes --------------------------------------------------------------------------------- */

enum change {
    CHANGE_NONE,
    CHANGE_UNCONFIRMED, /* The sample waits for a second one and is not used. */
    CHANGE_OF_PATH,     /* The line begins anew; the published offset follows slowly. */
    CHANGE_OF_TIME,     /* The line begins anew, and so does the series. */
};

/*
 * Forgets the bins and the residuals before time_ns, which belong to another time or path. The
 * noise and the slope stay as first guesses.
 */
static void forget_before(struct nqptp_estimator *e, int64_t time_ns) {
    unsigned old = 0;

    while (old < e->bins && e->bin[old].time_ns < time_ns)
        old++;
    drop_oldest_bins(e, old);
    e->bin_width_ns = BIN_MIN_NS;
    e->last_bursts.count = 0;
    e->last_peaks.count = 0;
    e->suspect_samples = 0;
}

/* Returns the residual that noise does not explain. A wrong line looks noisy: hence the maximum. */
static int64_t noise_limit_ns(const struct nqptp_estimator *e, int64_t max_ns) {
    int64_t ns = to_ns(FAR_NOISES * e->noise_us);
    return ns < SHIFT_MIN_NS ? SHIFT_MIN_NS : ns < max_ns ? ns : max_ns;
}

/*
 * Decides on a sample that is too high. No delay raises a sample: the clock has stepped, or the
 * path is shorter, or the sample is false. A second sample that is about as high confirms the
 * change.
 */
static enum change check_high_sample(struct nqptp_estimator *e, struct nqptp_point sample) {
    bool step = residual_ns(e, sample) > STEP_NS;
    bool confirmed = e->suspect_samples && sample.value_ns > e->suspect.value_ns - STEP_NS;

    if (!confirmed || (step && residual_ns(e, e->suspect) <= STEP_NS)) {
        e->suspect_samples = SUSPECT_SAMPLES;
        e->suspect = sample;
        return CHANGE_UNCONFIRMED;
    }
    forget_before(e, INT64_MAX);
    store_sample(e, e->suspect);
    return step ? CHANGE_OF_TIME : CHANGE_OF_PATH;
}

/*
 * Returns the smallest depth of the last `count` residuals if they are equally low, else 0. Delays
 * differ; so residuals that are all lower than min_ns and differ by less than spread_ns are no
 * delays. Residuals that fall along a straight line of rise_ppm count as equally low.
 */
static int64_t common_depth(const struct nqptp_recent *list, unsigned count, int64_t min_ns,
                            int64_t spread_ns, double rise_ppm) {
    int64_t low_ns = INT64_MAX, mean_ns = 0;

    if (list->count < count)
        return 0;
    for (unsigned i = list->count - count; i < list->count; i++) {
        double to_last_s = to_s(list->at[list->count - 1].time_ns - list->at[i].time_ns);
        int64_t depth_ns = -list->at[i].value_ns - to_ns(rise_ppm * to_last_s);
        low_ns = depth_ns < low_ns ? depth_ns : low_ns;
        mean_ns += depth_ns / count;
    }
    if (spread_ns > low_ns / 4)
        spread_ns = low_ns / 4;
    return low_ns > min_ns && mean_ns - low_ns < spread_ns ? low_ns : 0;
}

static bool starts_period(const struct nqptp_recent *list, int64_t time_ns, int64_t period_ns) {
    return list->count == 0 || time_ns - list->at[list->count - 1].time_ns >= period_ns;
}

/* Keeps the highest residual of each period, with the time of the first one in it. */
static void note_peak(struct nqptp_recent *list, struct nqptp_point residual, int64_t period_ns) {
    if (!starts_period(list, residual.time_ns, period_ns)) {
        if (residual.value_ns > list->at[list->count - 1].value_ns)
            list->at[list->count - 1].value_ns = residual.value_ns;
        return;
    }
    if (list->count == NQPTP_ESTIMATOR_RECENT)
        memmove(&list->at[0], &list->at[1], --list->count * sizeof list->at[0]);
    list->at[list->count++] = residual;
}

/*
 * Finds a step back: two residuals that are very low, or eight that are low. At 128 Syncs a second
 * more than eight samples may be delayed together, so samples within BURST_NS count as one.
 */
static enum change check_bursts(struct nqptp_estimator *e, struct nqptp_point residual) {
    const struct nqptp_recent *list = &e->last_bursts;

    note_peak(&e->last_bursts, residual, BURST_NS);
    bool far = common_depth(list, 2, VERY_LOW_NS, LOW_SPREAD_NS, 0);
    if (!far && !common_depth(list, NQPTP_ESTIMATOR_RECENT, FAR_NS, LOW_SPREAD_NS, 0))
        return CHANGE_NONE;
    forget_before(e, list->at[far ? list->count - 2 : 0].time_ns);
    return CHANGE_OF_TIME;
}

/*
 * Returns the probability that the row of low bins at the end is chance, from how many bins were
 * low before it (Laplace's rule of succession). Where one packet in twenty is quick, some seconds
 * without a quick packet are no change.
 */
static double chance_of_row(const struct nqptp_estimator *e, int64_t min_ns) {
    unsigned row = e->bins, low = 1, all = 2;
    double chance = 1;

    while (row > 0 && residual_ns(e, e->bin[row - 1]) < -min_ns)
        row--;
    for (unsigned i = 0; i < row; i++, all++)
        low += residual_ns(e, e->bin[i]) < -min_ns;
    for (unsigned i = row; i < e->bins; i++)
        chance *= (double)low++ / all++;
    return chance;
}

/*
 * Decides on the last eight periods when the next one begins: only then the last is complete. If
 * the best samples of all are equally low, the path is longer or the clock has made a small step.
 * If they fall along a straight line, the master's rate has changed; with the old slope the line
 * would stay too high for half a minute.
 */
static enum change check_peaks(struct nqptp_estimator *e, struct nqptp_point residual) {
    const struct nqptp_recent *list = &e->last_peaks;
    int64_t min_ns = noise_limit_ns(e, STEP_NS);
    int64_t spread_ns = to_ns(PERIOD_SPREAD_NOISES * e->noise_us);
    int64_t low_ns = common_depth(list, NQPTP_ESTIMATOR_RECENT, min_ns, spread_ns, 0);

    if (list->count < NQPTP_ESTIMATOR_RECENT || !starts_period(list, residual.time_ns, PERIOD_NS))
        return CHANGE_NONE;
    if (low_ns > STEP_NS)
        return chance_of_row(e, min_ns) < STEP_CHANCE ? CHANGE_OF_TIME : CHANGE_NONE;
    if (low_ns > 0)
        return CHANGE_OF_PATH;
    struct nqptp_point first = list->at[0], last = list->at[NQPTP_ESTIMATOR_RECENT - 1];
    double trend_ppm = to_us(last.value_ns - first.value_ns) / to_s(last.time_ns - first.time_ns);
    low_ns = common_depth(list, NQPTP_ESTIMATOR_RECENT, min_ns, spread_ns, trend_ppm);
    if (low_ns == 0 || low_ns > STEP_NS || chance_of_row(e, min_ns) > RATE_CHANCE)
        return CHANGE_NONE;
    e->new_rate_ppm = clamp(e->slope_ppm + trend_ppm, SLOPE_LIMIT_PPM);
    e->new_rate_until_ns = residual.time_ns + NEW_RATE_NS;
    return CHANGE_OF_PATH;
}

static enum change find_change(struct nqptp_estimator *e, struct nqptp_point sample) {
    struct nqptp_point residual = {sample.time_ns, residual_ns(e, sample)};
    bool settling = sample.time_ns - e->series_start_ns <= SETTLING_NS;

    if (!settling && residual.value_ns > noise_limit_ns(e, FAR_NS))
        return check_high_sample(e, sample);
    if (residual.value_ns > FAR_NS) /* All samples so far were late, or the clock stepped. */
        forget_before(e, INT64_MAX);
    e->suspect_samples -= e->suspect_samples > 0;
    enum change change = check_bursts(e, residual);
    if (change != CHANGE_NONE)
        return change;
    change = check_peaks(e, residual);
    if (change != CHANGE_NONE)
        forget_before(e, e->last_peaks.at[0].time_ns);
    else
        note_peak(&e->last_peaks, residual, PERIOD_NS);
    return change;
}

/* --- fit ------------------------------------------------------------------------------------- */

/* The bins, and what the steps of the fit find out about them. */
struct fit {
    struct {
        double x_s;  /* Time; 0 is now. */
        double y_us; /* Offset; 0 is that of the newest bin. */
    } bin[NQPTP_ESTIMATOR_BINS];
    unsigned n;
    unsigned hull[NQPTP_ESTIMATOR_BINS]; /* The bins that are corners of the upper hull. */
    unsigned corners;
    double centre_s; /* The mean time of the bins that decide where the line is. */
    double level_us; /* Of the line, now. */
    double depth_us; /* The mean depth of the bins. */
    double spread;   /* Variance of the depths, divided by the square of the mean. */
};

/* Returns the level now of the line with that slope through bin i. */
static double level_of(const struct fit *f, unsigned i, double slope_ppm) {
    return f->bin[i].y_us - slope_ppm * f->bin[i].x_s;
}

/* Finds the `count` highest bins along that slope, highest first. */
static void find_highest(const struct fit *f, double slope_ppm, unsigned *highest, unsigned count) {
    unsigned held = 0;

    for (unsigned i = 0; i < f->n; i++) {
        double level_us = level_of(f, i, slope_ppm);
        unsigned at = held;
        for (; at > 0 && level_of(f, highest[at - 1], slope_ppm) < level_us; at--)
            highest[at] = highest[at - 1];
        highest[at] = i;
        held += held < count;
    }
}

/*
 * Leaves out bins with false samples, which would hold the line up for a minute: a bin that is
 * higher than the second next by more than the noise. It stays stored, because later bins may
 * support it. Two bins that are both higher by more than STEP_NS are true: check_high_sample() has
 * waited for the second one.
 */
static void leave_out_false_bins(struct fit *f, double slope_ppm, double noise_us) {
    for (unsigned i = 0; i < FALSE_BINS_MAX && f->n >= TRUSTED_BINS; i++) {
        unsigned highest[4]; /* One more than wanted: find_highest() uses it. */
        find_highest(f, slope_ppm, highest, 3);
        double third_us = level_of(f, highest[2], slope_ppm);
        if (level_of(f, highest[0], slope_ppm) - third_us <= noise_us ||
            level_of(f, highest[1], slope_ppm) - third_us > to_us(STEP_NS))
            return;
        f->n--;
        for (unsigned k = highest[0]; k < f->n; k++)
            f->bin[k] = f->bin[k + 1];
    }
}

static double chord_ppm(const struct fit *f, unsigned a, unsigned b) {
    return (f->bin[b].y_us - f->bin[a].y_us) / (f->bin[b].x_s - f->bin[a].x_s);
}

/*
 * Finds the upper convex hull (monotone chain). A line that touches the bins from above touches one
 * of its corners.
 */
static void find_hull(struct fit *f) {
    f->corners = 0;
    for (unsigned i = 0; i < f->n; i++) {
        while (f->corners >= 2 && chord_ppm(f, f->hull[f->corners - 2], f->hull[f->corners - 1]) <=
                                      chord_ppm(f, f->hull[f->corners - 1], i))
            f->corners--;
        f->hull[f->corners++] = i;
    }
}

/*
 * Finds the mean time of the bins near the old line. Bins far below it (of a receiver that saves
 * power) do not tell the slope; they would move the centre away from the bins that do.
 */
static void find_centre(struct fit *f, const struct nqptp_estimator *e, int64_t now_ns) {
    double line_us = to_us(extend(e, e->line, now_ns) - e->bin[e->bins - 1].value_ns);
    double all_s = 0, near_s = 0;
    unsigned near = 0;

    for (unsigned i = 0; i < f->n; i++) {
        all_s += f->bin[i].x_s;
        if (line_us - level_of(f, i, e->slope_ppm) < FAR_NOISES * e->noise_us) {
            near_s += f->bin[i].x_s;
            near++;
        }
    }
    f->centre_s =
        f->n >= TRUSTED_BINS && near >= f->n / NEAR_MIN_SHARE ? near_s / near : all_s / f->n;
}

/* Returns the level now of the line with that slope that touches the bins from above. */
static double touching_level(const struct fit *f, double slope_ppm) {
    double top_us = level_of(f, f->hull[0], slope_ppm);

    for (unsigned k = 1; k < f->corners; k++)
        if (level_of(f, f->hull[k], slope_ppm) > top_us)
            top_us = level_of(f, f->hull[k], slope_ppm);
    return top_us;
}

/*
 * Returns the most likely slope if delays are exponential and slopes are normal. It minimises
 *   n / noise * (level of the touching line at the centre) + (slope - expected)^2 / (2 sigma^2).
 * The gain is sigma^2 * n / noise. From corner to corner of the hull the touching line turns
 * downward; the minimum is where the derivative changes its sign.
 */
static double most_likely_slope(const struct fit *f, double expected_ppm, double gain) {
    double last_ppm = SLOPE_LIMIT_PPM, slope_ppm = 0;

    for (unsigned k = 0; k < f->corners; k++) {
        unsigned i = f->hull[k];
        double best_ppm = expected_ppm + gain * (f->bin[i].x_s - f->centre_s);
        double next_ppm = k + 1 < f->corners ? chord_ppm(f, i, f->hull[k + 1]) : -SLOPE_LIMIT_PPM;
        slope_ppm = clamp(best_ppm < last_ppm ? best_ppm : last_ppm, SLOPE_LIMIT_PPM);
        if (best_ppm >= next_ppm)
            break;
        last_ppm = next_ppm;
    }
    return slope_ppm;
}

/* Returns the sum of the depths of the bins below the touching line with that slope. */
static double sum_of_depths(const struct fit *f, double slope_ppm) {
    double top_us = touching_level(f, slope_ppm), sum_us = 0;

    for (unsigned i = 0; i < f->n; i++)
        sum_us += top_us - level_of(f, i, slope_ppm);
    return sum_us;
}

/*
 * Takes the slope that two crystals may have, unless the bins clearly show another one: NTP changes
 * the rate of some clocks, and clocks of virtual machines are inaccurate.
 */
static void choose_slope(const struct fit *f, struct nqptp_estimator *e) {
    double expected_ppm = e->line.time_ns < e->new_rate_until_ns ? e->new_rate_ppm : 0;
    double gain = SIGMA_PPM * SIGMA_PPM * f->n / e->noise_us;
    double usual_ppm = most_likely_slope(f, expected_ppm, gain);
    double wild_ppm = most_likely_slope(f, 0, WILD_GAIN);
    bool wild = clamp(usual_ppm, USUAL_MAX_PPM) != usual_ppm ||
                sum_of_depths(f, usual_ppm) > WILD_FACTOR * sum_of_depths(f, wild_ppm);

    e->slope_ppm = wild && f->n >= TRUSTED_BINS ? wild_ppm : usual_ppm;
}

/* Returns the noise; NOISE_UNKNOWN_US counts too. Sets the depth and the spread of the fit. */
static double measure_noise(struct fit *f, const struct nqptp_estimator *e) {
    double far_us = FAR_NOISES * e->noise_us, sum_us = NOISE_UNKNOWN_US * NOISE_UNKNOWN_WEIGHT;
    double depths_us = 0, squares = 0, depths = 0;

    for (unsigned i = 0; i < f->n; i++) {
        double depth_us = f->level_us - level_of(f, i, e->slope_ppm);
        if (f->n >= TRUSTED_BINS && depth_us > far_us)
            continue;
        sum_us += depth_us < far_us ? depth_us : far_us;
        depths_us += depth_us;
        squares += depth_us * depth_us;
        depths++;
    }
    f->depth_us = depths_us / depths;
    f->spread = depths_us > 0 ? squares * depths / (depths_us * depths_us) - 1 : 1;
    return sum_us / (depths + NOISE_UNKNOWN_WEIGHT);
}

/*
 * Returns how late even the best bin is. With exponential delays that is the mean depth divided by
 * the number of bins; their standard deviation equals their mean. If each packet passes several
 * delays, the depths vary less, no packet is quick, and the best bin is later.
 */
static double lateness_us(const struct fit *f, double noise_us) {
    double n = f->n < LATE_BINS_MAX ? f->n : LATE_BINS_MAX, several = 0;

    if (f->n >= TRUSTED_BINS && noise_us <= LATE_NOISE_MAX_US && f->spread < SPREAD_MAX)
        several = clamp((SPREAD_MAX - f->spread) / (SPREAD_MAX - SPREAD_MIN), 1);
    return (1 - several) * noise_us / n + several * f->depth_us / LATE_SHARE;
}

static void fit_line(struct nqptp_estimator *e, int64_t now_ns) {
    struct fit fit = {.n = e->bins};

    for (unsigned i = 0; i < fit.n; i++) {
        fit.bin[i].x_s = to_s(e->bin[i].time_ns - now_ns);
        fit.bin[i].y_us = to_us(e->bin[i].value_ns - e->bin[fit.n - 1].value_ns);
    }
    leave_out_false_bins(&fit, e->slope_ppm, e->noise_us);
    find_hull(&fit);
    find_centre(&fit, e, now_ns);
    choose_slope(&fit, e);
    fit.level_us = touching_level(&fit, e->slope_ppm);
    e->noise_us = measure_noise(&fit, e);
    if (fit.n >= 3)
        fit.level_us += lateness_us(&fit, e->noise_us);
    e->line = (struct nqptp_point){now_ns, e->bin[e->bins - 1].value_ns + to_ns(fit.level_us)};
}

/* --- shaper ---------------------------------------------------------------------------------- */

/*
 * Publishes the line as it is at the start of a series, and later an offset that keeps the slope
 * and moves slowly towards the line: steps are audible. A distance over FAR_NS begins a new
 * series, because small steps would take minutes.
 */
static enum nqptp_estimate publish(struct nqptp_estimator *e, bool restart) {
    struct nqptp_point line = e->line;
    int64_t age_ns = line.time_ns - e->series_start_ns;
    int64_t ns = extend(e, e->published, line.time_ns);
    double left_ns = (double)(line.value_ns - ns);
    bool fast = age_ns < FAST_NS || line.time_ns < e->new_rate_until_ns;

    restart = restart || (age_ns >= YOUNG_NS && clamp(left_ns, FAR_NS) != left_ns);
    if (restart)
        e->series_start_ns = line.time_ns;
    e->published = line;
    if (!restart && age_ns >= YOUNG_NS)
        e->published.value_ns =
            ns + (int64_t)clamp(left_ns / SHARE, fast ? STEP_FAST_NS : STEP_SLOW_NS);
    return restart ? NQPTP_ESTIMATE_RESTARTED : NQPTP_ESTIMATE_CONTINUED;
}

/* --- admission ------------------------------------------------------------------------------- */

static void begin_timeline(struct nqptp_estimator *e, uint64_t master_ns, uint64_t local_ns) {
    *e = (struct nqptp_estimator){
        .base_offset_ns = master_ns - local_ns,
        .base_local_ns = local_ns,
        .bin_width_ns = BIN_MIN_NS,
        .noise_us = NOISE_UNKNOWN_US,
    };
}

/* Returns true if the sample can be compared with the samples before. */
static bool is_same_timeline(const struct nqptp_estimator *e, struct nqptp_point sample) {
    return e->bins > 0 && sample.time_ns < RANGE_NS && sample.time_ns > e->line.time_ns - BACK_NS &&
           sample.value_ns < RANGE_NS && sample.value_ns > -RANGE_NS;
}

enum nqptp_estimate nqptp_estimator_sample(struct nqptp_estimator *e, uint64_t master_ns,
                                           uint64_t local_ns) {
    struct nqptp_point sample = {(int64_t)(local_ns - e->base_local_ns),
                                 (int64_t)(master_ns - local_ns - e->base_offset_ns)};
    enum change change = CHANGE_OF_TIME;

    if (e->bins > 0 && master_ns == e->last_master_ns) {
        e->repeats++;
        return NQPTP_ESTIMATE_NONE;
    }
    if (!is_same_timeline(e, sample)) {
        begin_timeline(e, master_ns, local_ns);
        sample = (struct nqptp_point){0, 0};
    }
    if (sample.time_ns < e->line.time_ns) /* A later packet has overtaken this one. */
        sample.time_ns = e->line.time_ns;
    /* After a stop or a long gap the clock may continue with any offset. */
    if (e->repeats >= STOPPED_REPEATS || sample.time_ns - e->line.time_ns > GAP_NS)
        forget_before(e, INT64_MAX);
    else if (e->bins > 0)
        change = find_change(e, sample);
    e->repeats = 0;
    e->last_master_ns = master_ns;
    if (change == CHANGE_UNCONFIRMED)
        return NQPTP_ESTIMATE_NONE;
    store_sample(e, sample);
    fit_line(e, sample.time_ns);
    return publish(e, change == CHANGE_OF_TIME);
}

uint64_t nqptp_estimator_offset_ns(const struct nqptp_estimator *e) {
    return e->base_offset_ns + (uint64_t)e->published.value_ns;
}

bool nqptp_estimator_quality(const struct nqptp_estimator *e, struct nqptp_quality *quality) {
    *quality = (struct nqptp_quality){.rate_ppm = e->slope_ppm, .noise_us = e->noise_us};
    if (e->bins == 0)
        return false;
    int64_t left_ns = e->line.value_ns - e->published.value_ns;
    unsigned root = 1;
    while ((root + 1) * (root + 1) <= e->bins)
        root++;
    quality->error_us = to_us(left_ns < 0 ? -left_ns : left_ns) + e->noise_us / root;
    return true;
}
