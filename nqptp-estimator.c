/* SPDX-License-Identifier: MIT */
/*
 * The offset estimator: see the header for what it computes and why. Each sample passes through
 * these stages: does it belong to the series (admission), did the clock or the path change
 * (changes), the store (bins), the line (fit), the published value (shaper).
 *
 * Doubles are only ever differences within the window: microseconds over seconds, so that a slope
 * is in ppm. They cannot lose precision, whatever the times are.
 */
#include "nqptp-estimator.h"

#include <string.h>

#define US INT64_C(1000)
#define MS (1000 * US)
#define S (1000 * MS)

/* Admission. */
#define RANGE_NS (INT64_C(1) << 59) /* 18 years; the sum of a few of these still fits */
#define GAP_NS (60 * S)             /* after a longer silence the old line says nothing */
#define BACK_NS (1 * S)             /* local time that goes back further is another timeline */
#define STOPPED_REPEATS 2           /* one repeated time may be a repeated packet */

/* Changes. */
#define SETTLING_NS (3 * S)           /* the first samples may all have been late */
#define SHIFT_LEAST_NS (300 * US)     /* the line itself may be wrong by less */
#define STEP_NS (5 * MS)              /* more than this is not worth slewing */
#define RISE_MOST_NS (20 * MS)        /* no line is wrong by more, however noisy it looks */
#define STEP_DOWN_NS (20 * MS)        /* wifi delays a few samples in a row by less */
#define STEP_DOWN_FAR_NS (2 * S)      /* and no two in a row by this */
#define STEP_DOWN_SPREAD_NS (50 * MS) /* those that were held up together differ by more */
#define BURST_NS (60 * MS)            /* samples this close were held up together, if at all */
#define SUSPICION_SAMPLES 16          /* a second witness must come this soon */
#define PEAK_NS (625 * MS)            /* the best of five; a longer path is believed in 5 s */
#define SERIES_CHANCE 1e-6   /* A rarer run of lows is a step. With 1e-4 slow links fake some. */
#define RATE_CHANCE 1e-5     /* A rarer run is a new rate. With 1e-6 it takes 1.5 s longer. */
#define TREND_NS (5 * S)     /* How long a new rate is expected, and published by larger steps. */
#define PEAK_SPREAD_NOISES 4 /* the best differ by less, unless they all are delayed */

/* Bins: 8 s at first, for a line that is soon there; in the end 64 s, which averages most. */
#define BIN_LEAST_NS (125 * MS)
#define BIN_MOST_NS (1 * S)

/* Fit. */
#define SLOPE_LIMIT_PPM 1500.0    /* Clocks slewed by NTP or in virtual machines reach 1,000. */
#define SIGMA_PPM 25.0            /* how crystals at home differ */
#define USUAL_MAX_PPM 150.0       /* No two crystals differ by more: the prior is wrong here. */
#define WILD_GAIN 1e6             /* So large that only the bins tell the slope. */
#define WILD_FACTOR 3             /* The prior is wrong too if it makes the bins deeper by this. */
#define NOISE_UNKNOWN_US 300.0    /* a home network's, with the weight of */
#define NOISE_UNKNOWN_WEIGHT 3.0  /* this many bins */
#define FAR_NOISES 5              /* a bin this far below was held up, it is not noise */
#define LATE_MOST 20              /* the best of more is late by more than exponential delays say */
#define LATE_BINS 32              /* this many tell how their depths vary, */
#define LATE_NOISE_MOST_US 1000.0 /*   unless something is wrong with the clock: */
#define SPREAD_MOST .9            /*   as those of exponential delays do, */
#define SPREAD_LEAST .35          /*   or as those of sums of them; then the best of 32 to 64 */
#define LATE_ALIKE 7              /*   is late by the mean by this */
#define TRUSTED_BINS 12           /* with fewer any bin may be the only good one */
#define NEAR_MIN_SHARE 6   /* A 6th of the bins is enough to say where the slope is judged. */
#define FALSE_MOST 3       /* bins with false samples in a window that are coped with */
#define SUPPORTERS 2       /* bins that are about as high make one believable */
#define STANDS_OUT_US 30.0 /* what is worth being called false */

/* Shaper. */
#define SHAPED_NS (5 * S)      /* until then what is published is the line */
#define FAST_NS (15 * S)       /* until then the line may have much to learn */
#define STEP_FAST_NS (95 * US) /* a sample: with what follows the slope less than 150 us */
#define STEP_SLOW_NS (40 * US) /* a sample: too little to be heard */
#define ASTRAY_NS (20 * MS)    /* to slew more takes minutes, wherever it came from */
#define SHARE 4                /* of the error that is left, taken back by each sample */

void nqptp_estimator_reset(struct nqptp_estimator *estimator) {
    *estimator = (struct nqptp_estimator){0};
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

/* What the line through `from` has come to at that time. */
static int64_t extend(const struct nqptp_estimator *e, struct nqptp_point from, int64_t time_ns) {
    return from.ns + to_ns(e->slope_ppm * to_s(time_ns - from.time_ns));
}

static int64_t above_line(const struct nqptp_estimator *e, struct nqptp_point sample) {
    return sample.ns - extend(e, e->line, sample.time_ns);
}

/* --- bins ------------------------------------------------------------------------------------ */

/* Is a above the line of the present slope through b? */
static bool higher(const struct nqptp_estimator *e, struct nqptp_point a, struct nqptp_point b) {
    return a.ns > extend(e, b, a.time_ns);
}

static void drop_bins(struct nqptp_estimator *e, unsigned count) {
    e->bins -= count;
    memmove(&e->bin[0], &e->bin[count], e->bins * sizeof e->bin[0]);
}

/* Twice the window in the same room: of two neighbours the better one stays. */
static void widen_bins(struct nqptp_estimator *e) {
    e->bins /= 2;
    e->bin_width_ns *= 2;
    for (size_t i = 0; i < e->bins; i++) {
        struct nqptp_point a = e->bin[2 * i], b = e->bin[2 * i + 1];
        e->bin[i] = higher(e, a, b) ? a : b;
    }
}

/* The sample begins a bin when it is time; else it may take the place of a lower one. So no two
 * bins are of the same time, not even when the last one has just become too wide. */
static void bin_push(struct nqptp_estimator *e, struct nqptp_point sample) {
    if (e->bins > 0 && (sample.time_ns - e->bin_start_ns < e->bin_width_ns ||
                        sample.time_ns <= e->bin[e->bins - 1].time_ns)) {
        if (higher(e, sample, e->bin[e->bins - 1]))
            e->bin[e->bins - 1] = sample;
        return;
    }
    if (e->bins == NQPTP_ESTIMATOR_BINS && e->bin_width_ns < BIN_MOST_NS)
        widen_bins(e);
    else if (e->bins == NQPTP_ESTIMATOR_BINS)
        drop_bins(e, 1);
    e->bin_start_ns = sample.time_ns;
    e->bin[e->bins++] = sample;
}

/* --- changes --------------------------------------------------------------------------------- */

enum change {
    UNCHANGED,
    UNPROVEN, /* the sample is withheld */
    NEW_PATH,
    NEW_TIME,
};

/*
 * What was stored before is of another time or another path. So is the slope, as far as we know:
 * it may be another clock. The noise stays.
 */
static void forget_before(struct nqptp_estimator *e, int64_t time_ns) {
    unsigned old = 0;

    while (old < e->bins && e->bin[old].time_ns < time_ns)
        old++;
    drop_bins(e, old);
    e->bin_width_ns = BIN_LEAST_NS;
    e->samples.count = 0;
    e->peaks.count = 0;
    e->suspected = 0;
}

/* By more than this nothing is noise. A line that fits badly looks noisy: hence the limit. */
static int64_t shift_least_ns(const struct nqptp_estimator *e, int64_t limit_ns) {
    int64_t ns = to_ns(FAR_NOISES * e->noise_us);
    return ns < SHIFT_LEAST_NS ? SHIFT_LEAST_NS : ns < limit_ns ? ns : limit_ns;
}

/*
 * No delay raises a sample: the clock has stepped, or the path is shorter, or the sample is false.
 * One alone proves nothing; a second one that is about as high does.
 */
static enum change judge_high(struct nqptp_estimator *e, struct nqptp_point sample) {
    struct nqptp_point suspect = e->suspect;
    bool step = above_line(e, sample) > STEP_NS;
    bool proven = e->suspected && sample.ns > suspect.ns - STEP_NS;

    if (!proven || (step && above_line(e, suspect) <= STEP_NS)) {
        e->suspected = SUSPICION_SAMPLES;
        e->suspect = sample;
        return UNPROVEN;
    }
    forget_before(e, INT64_MAX);
    bin_push(e, suspect);
    return step ? NEW_TIME : NEW_PATH;
}

/*
 * If the last `count` residuals are all lower than by least_ns and, less a rise of that rate, about
 * equally low, they are no delays, because delays differ. Returns how low they are now, or 0.
 */
static int64_t agree(const struct nqptp_points *list, unsigned count, int64_t least_ns,
                     int64_t spread_ns, double rise_ppm) {
    int64_t low_ns = INT64_MAX, mean_ns = 0;

    if (list->count < count)
        return 0;
    for (unsigned i = list->count - count; i < list->count; i++) {
        double to_last_s = to_s(list->at[list->count - 1].time_ns - list->at[i].time_ns);
        int64_t depth_ns = -list->at[i].ns - to_ns(rise_ppm * to_last_s);
        low_ns = depth_ns < low_ns ? depth_ns : low_ns;
        mean_ns += depth_ns / count;
    }
    if (spread_ns > low_ns / 4)
        spread_ns = low_ns / 4;
    return low_ns > least_ns && mean_ns - low_ns < spread_ns ? low_ns : 0;
}

static bool begins_period(const struct nqptp_points *list, struct nqptp_point residual,
                          int64_t period_ns) {
    return list->count == 0 || residual.time_ns - list->at[list->count - 1].time_ns >= period_ns;
}

/* Of each period of the list the best residual counts, under the time of its first. */
static void note_best(struct nqptp_points *list, struct nqptp_point residual, int64_t period_ns) {
    if (!begins_period(list, residual, period_ns)) {
        if (residual.ns > list->at[list->count - 1].ns)
            list->at[list->count - 1].ns = residual.ns;
        return;
    }
    if (list->count == NQPTP_ESTIMATOR_RECENT)
        memmove(&list->at[0], &list->at[1], --list->count * sizeof list->at[0]);
    list->at[list->count++] = residual;
}

/*
 * Two samples far too low, or eight that are low, are a step back. What was held up comes all at
 * once, at 128 Syncs a second more than eight: that is one witness.
 */
static enum change judge_samples(struct nqptp_estimator *e, struct nqptp_point residual) {
    const struct nqptp_points *list = &e->samples;

    note_best(&e->samples, residual, BURST_NS);
    bool far = agree(list, 2, STEP_DOWN_FAR_NS, STEP_DOWN_SPREAD_NS, 0);
    if (!far && !agree(list, NQPTP_ESTIMATOR_RECENT, STEP_DOWN_NS, STEP_DOWN_SPREAD_NS, 0))
        return UNCHANGED;
    forget_before(e, list->at[far ? list->count - 2 : 0].time_ns);
    return NEW_TIME;
}

/*
 * The probability that as many bins in a row are low as are at the end, if bins are low as often as
 * before: by the rule of succession. Where one packet in twenty is quick, some seconds without a
 * quick one prove no change.
 */
static double chance_of_lows(const struct nqptp_estimator *e, int64_t least_ns) {
    unsigned run = e->bins, low = 1, all = 2;
    double chance = 1;

    while (run > 0 && above_line(e, e->bin[run - 1]) < -least_ns)
        run--;
    for (unsigned i = 0; i < run; i++, all++)
        low += above_line(e, e->bin[i]) < -least_ns;
    for (unsigned i = run; i < e->bins; i++)
        chance *= (double)low++ / all++;
    return chance;
}

/* How fast the residuals of the list rise, from the older half to the newer one. */
static double trend_ppm(const struct nqptp_points *list) {
    const struct nqptp_point *older = &list->at[0], *newer = &list->at[list->count / 2];
    double rise_us = 0, time_s = 0;

    for (unsigned i = 0; i < list->count / 2; i++) {
        rise_us += to_us(newer[i].ns - older[i].ns);
        time_s += to_s(newer[i].time_ns - older[i].time_ns);
    }
    return rise_us / time_s;
}

/*
 * Eight periods whose best samples are all low are another path or a smaller step. If they fall
 * along a line, the master's rate has changed: the old slope would hold the line up for half a
 * minute.
 */
static enum change judge_periods(struct nqptp_estimator *e, int64_t now_ns) {
    const struct nqptp_points *list = &e->peaks;
    int64_t least_ns = shift_least_ns(e, STEP_NS);
    int64_t spread_ns = to_ns(PEAK_SPREAD_NOISES * e->noise_us);
    int64_t low_ns = agree(list, NQPTP_ESTIMATOR_RECENT, least_ns, spread_ns, 0);
    double trend = trend_ppm(list);

    if (low_ns > STEP_NS)
        return chance_of_lows(e, least_ns) < SERIES_CHANCE ? NEW_TIME : UNCHANGED;
    if (low_ns > 0)
        return NEW_PATH;
    low_ns = trend < 0 ? agree(list, NQPTP_ESTIMATOR_RECENT, least_ns, spread_ns, trend) : 0;
    if (low_ns == 0 || low_ns > STEP_NS || chance_of_lows(e, least_ns) > RATE_CHANCE)
        return UNCHANGED;
    e->trend_ppm = clamp(e->slope_ppm + trend, SLOPE_LIMIT_PPM);
    e->trend_until_ns = now_ns + TREND_NS;
    return NEW_PATH;
}

/* Judges the periods when the next one begins: then they are complete. */
static enum change judge_peaks(struct nqptp_estimator *e, struct nqptp_point residual) {
    struct nqptp_points *list = &e->peaks;
    bool complete = list->count == NQPTP_ESTIMATOR_RECENT && begins_period(list, residual, PEAK_NS);
    enum change change = complete ? judge_periods(e, residual.time_ns) : UNCHANGED;

    if (change == UNCHANGED)
        note_best(list, residual, PEAK_NS);
    else
        forget_before(e, list->at[0].time_ns);
    return change;
}

static enum change judge(struct nqptp_estimator *e, struct nqptp_point sample) {
    struct nqptp_point residual = {sample.time_ns, above_line(e, sample)};
    bool settling = sample.time_ns - e->epoch_ns <= SETTLING_NS;

    if (!settling && residual.ns > shift_least_ns(e, RISE_MOST_NS))
        return judge_high(e, sample);
    if (residual.ns > RISE_MOST_NS) /* all before were late, or it has stepped again */
        forget_before(e, INT64_MAX);
    e->suspected -= e->suspected > 0;
    enum change change = judge_samples(e, residual);
    return change != UNCHANGED ? change : judge_peaks(e, residual);
}

/* --- fit ------------------------------------------------------------------------------------- */

/* The bins relative to now and to the newest one, and what is found out about them. */
struct fit {
    double x_s[NQPTP_ESTIMATOR_BINS], y_us[NQPTP_ESTIMATOR_BINS];
    bool excluded[NQPTP_ESTIMATOR_BINS];
    unsigned n;
    unsigned hull[NQPTP_ESTIMATOR_BINS], corners;
    double centre_s; /* the mean time of the bins that say where the line is */
    double level_us; /* of the line, now */
    double depth_us; /* of the bins below it, on average, */
    double spread;   /*   and how they differ: their variance by the square of that */
};

static void load(struct fit *f, const struct nqptp_estimator *e, int64_t now_ns) {
    *f = (struct fit){.n = e->bins};
    for (unsigned i = 0; i < f->n; i++) {
        f->x_s[i] = to_s(e->bin[i].time_ns - now_ns);
        f->y_us[i] = to_us(e->bin[i].ns - e->bin[f->n - 1].ns);
    }
}

static double height(const struct fit *f, unsigned i, double slope_ppm) {
    return f->y_us[i] - slope_ppm * f->x_s[i];
}

/* The `count` highest bins above the present slope, highest first; there are as many. */
static void rank(const struct fit *f, double slope_ppm, unsigned *ranked, unsigned count) {
    unsigned held = 0;

    for (unsigned i = 0; i < f->n; i++) {
        unsigned at = held;
        for (; at > 0 && height(f, ranked[at - 1], slope_ppm) < height(f, i, slope_ppm); at--)
            ranked[at] = ranked[at - 1];
        ranked[at] = i;
        held += held < count;
    }
}

/*
 * A false sample that is too high would hold the line up for a minute. So the highest bins must
 * not stand out from the next few by more than delays differ. What is excluded stays stored:
 * later bins may support it. Two that stand out by more than a step are not false: samples as high
 * needed a witness.
 */
static void exclude_unsupported(struct fit *f, const struct nqptp_estimator *e) {
    unsigned ranked[FALSE_MOST + SUPPORTERS + 1]; /* and room for the one that drops out */
    double limit_us = e->noise_us > STANDS_OUT_US ? e->noise_us : STANDS_OUT_US;

    if (f->n < TRUSTED_BINS)
        return;
    rank(f, e->slope_ppm, ranked, FALSE_MOST + SUPPORTERS);
    for (unsigned i = 0; i < FALSE_MOST; i++) {
        double us = height(f, ranked[i + SUPPORTERS], e->slope_ppm);
        if (height(f, ranked[i], e->slope_ppm) - us <= limit_us ||
            height(f, ranked[i + 1], e->slope_ppm) - us > to_us(STEP_NS))
            return;
        f->excluded[ranked[i]] = true;
    }
}

static double chord(const struct fit *f, unsigned a, unsigned b) {
    return (f->y_us[b] - f->y_us[a]) / (f->x_s[b] - f->x_s[a]);
}

/* Upper convex hull, by monotone chain: lines that touch the bins from above pass its corners. */
static void find_hull(struct fit *f) {
    f->corners = 0;
    for (unsigned i = 0; i < f->n; i++) {
        if (f->excluded[i])
            continue;
        while (f->corners >= 2 && chord(f, f->hull[f->corners - 2], f->hull[f->corners - 1]) <=
                                      chord(f, f->hull[f->corners - 1], i))
            f->corners--;
        f->hull[f->corners++] = i;
    }
}

/*
 * The mean time of the bins. Those far below the old line (a power-saving receiver's) say nothing
 * about the slope, and would pull the place where it is judged away from those that do.
 */
static void find_centre(struct fit *f, const struct nqptp_estimator *e, int64_t now_ns) {
    double line_us = to_us(extend(e, e->line, now_ns) - e->bin[f->n - 1].ns);
    double all_s = 0, near_s = 0;
    unsigned near = 0;

    for (unsigned i = 0; i < f->n; i++) {
        all_s += f->x_s[i];
        if (f->excluded[i] || line_us - height(f, i, e->slope_ppm) >= FAR_NOISES * e->noise_us)
            continue;
        near_s += f->x_s[i];
        near++;
    }
    f->centre_s =
        f->n >= TRUSTED_BINS && near >= f->n / NEAR_MIN_SHARE ? near_s / near : all_s / f->n;
}

/* How high the line of that slope that touches the bins from above is now. */
static double touch(const struct fit *f, double slope_ppm) {
    double top_us = height(f, f->hull[0], slope_ppm);

    for (unsigned k = 1; k < f->corners; k++)
        if (height(f, f->hull[k], slope_ppm) > top_us)
            top_us = height(f, f->hull[k], slope_ppm);
    return top_us;
}

/*
 * The most likely slope, if delays are exponential and slopes are normal: it minimises
 *   n / noise * (height of the touching line at the centre) + (slope - expected)^2 / (2 sigma^2).
 * The gain is sigma^2 * n / noise. From corner to corner of the hull the touching line tilts
 * downward; where the derivative changes sign is the minimum.
 */
static double likely_slope(const struct fit *f, double expected_ppm, double gain) {
    double last_ppm = SLOPE_LIMIT_PPM, slope_ppm = 0;

    for (unsigned k = 0; k < f->corners; k++) {
        unsigned corner = f->hull[k];
        double best_ppm = expected_ppm + gain * (f->x_s[corner] - f->centre_s);
        double next_ppm = k + 1 < f->corners ? chord(f, corner, f->hull[k + 1]) : -SLOPE_LIMIT_PPM;
        slope_ppm = clamp(best_ppm < last_ppm ? best_ppm : last_ppm, SLOPE_LIMIT_PPM);
        if (best_ppm >= next_ppm)
            break;
        last_ppm = next_ppm;
    }
    return slope_ppm;
}

/* The sum of how far the bins lie below the line of that slope that touches them. */
static double sum_of_depths(const struct fit *f, double slope_ppm) {
    double top_us = touch(f, slope_ppm), sum_us = 0;

    for (unsigned i = 0; i < f->n; i++)
        if (!f->excluded[i])
            sum_us += top_us - height(f, i, slope_ppm);
    return sum_us;
}

/*
 * The slope of a crystal, unless the bins insist on another one. NTP slews some clocks, and those
 * of virtual machines are rough.
 */
static void find_slope(const struct fit *f, struct nqptp_estimator *e) {
    double expected_ppm = e->line.time_ns < e->trend_until_ns ? e->trend_ppm : 0;
    double usual_ppm = likely_slope(f, expected_ppm, SIGMA_PPM * SIGMA_PPM * f->n / e->noise_us);
    double wild_ppm = likely_slope(f, 0, WILD_GAIN);
    bool wild = clamp(usual_ppm, USUAL_MAX_PPM) != usual_ppm ||
                sum_of_depths(f, usual_ppm) > WILD_FACTOR * sum_of_depths(f, wild_ppm);

    e->slope_ppm = wild && f->n >= TRUSTED_BINS ? wild_ppm : usual_ppm;
}

/* How far the bins lie below the line on average, by a prior that soon weighs little. */
static double mean_noise(struct fit *f, const struct nqptp_estimator *e) {
    double sum_us = NOISE_UNKNOWN_US * NOISE_UNKNOWN_WEIGHT, weight = NOISE_UNKNOWN_WEIGHT;
    double depths_us = 0, squares = 0, depths = 0;

    for (unsigned i = 0; i < f->n; i++) {
        double depth_us = f->level_us - height(f, i, e->slope_ppm);
        if (depth_us < 0 || (f->n >= TRUSTED_BINS && depth_us > FAR_NOISES * e->noise_us))
            continue;
        sum_us += depth_us < FAR_NOISES * e->noise_us ? depth_us : FAR_NOISES * e->noise_us;
        weight++;
        depths_us += depth_us;
        squares += depth_us * depth_us;
        depths++;
    }
    f->depth_us = depths > 0 ? depths_us / depths : 0;
    f->spread = depths_us > 0 ? squares * depths / (depths_us * depths_us) - 1 : 1;
    return sum_us / weight;
}

/*
 * By how much even the quickest bin is late. If delays are exponential, whose depths vary as much
 * as they are large, that is their mean by the number of bins. Where each packet has several delays
 * to pass, the depths vary less, none is quick, and the best is late by more.
 */
static double lateness(const struct fit *f, double noise_us) {
    double n = f->n < LATE_MOST ? f->n : LATE_MOST;
    double alike = clamp((SPREAD_MOST - f->spread) / (SPREAD_MOST - SPREAD_LEAST), 1);

    if (f->n < 3)
        return 0;
    if (f->n < LATE_BINS || noise_us > LATE_NOISE_MOST_US || alike < 0)
        alike = 0;
    return (1 - alike) * noise_us / n + alike * f->depth_us / LATE_ALIKE;
}

static void fit_line(struct nqptp_estimator *e, int64_t now_ns) {
    struct fit fit;

    load(&fit, e, now_ns);
    exclude_unsupported(&fit, e);
    find_hull(&fit);
    find_centre(&fit, e, now_ns);
    find_slope(&fit, e);
    fit.level_us = touch(&fit, e->slope_ppm);
    e->noise_us = mean_noise(&fit, e);
    fit.level_us += lateness(&fit, e->noise_us);
    e->line = (struct nqptp_point){now_ns, e->bin[fit.n - 1].ns + to_ns(fit.level_us)};
}

/* --- shaper ---------------------------------------------------------------------------------- */

/* Has the line left what is published so far behind that it is another time? */
static bool astray(const struct nqptp_estimator *e) {
    double left_ns = (double)(e->line.ns - extend(e, e->published, e->line.time_ns));
    return clamp(left_ns, ASTRAY_NS) != left_ns;
}

/* Players hear steps. What is published keeps to the slope, and closes in on the line slowly. */
static void publish(struct nqptp_estimator *e) {
    int64_t age_ns = e->line.time_ns - e->epoch_ns;
    bool fast = age_ns < FAST_NS || e->line.time_ns < e->trend_until_ns;
    int64_t limit_ns = fast ? STEP_FAST_NS : STEP_SLOW_NS;
    int64_t ns = extend(e, e->published, e->line.time_ns);
    double step_ns = clamp((double)(e->line.ns - ns) / SHARE, (double)limit_ns);

    e->published = e->line;
    if (age_ns >= SHAPED_NS)
        e->published.ns = ns + (int64_t)step_ns;
}

/* --- admission ------------------------------------------------------------------------------- */

static void begin(struct nqptp_estimator *e, uint64_t master_ns, uint64_t local_ns) {
    *e = (struct nqptp_estimator){
        .base_offset_ns = master_ns - local_ns,
        .base_local_ns = local_ns,
        .bin_width_ns = BIN_LEAST_NS,
        .noise_us = NOISE_UNKNOWN_US,
    };
}

/* Is this the timeline that the series belongs to? */
static bool continuous(const struct nqptp_estimator *e, struct nqptp_point sample) {
    return e->bins > 0 && sample.time_ns < RANGE_NS && sample.time_ns > -BACK_NS &&
           sample.time_ns - e->line.time_ns > -BACK_NS && sample.ns < RANGE_NS &&
           sample.ns > -RANGE_NS;
}

/* A clock that stopped or was away may go on anywhere. */
static bool resumed(const struct nqptp_estimator *e, struct nqptp_point sample) {
    return e->repeats >= STOPPED_REPEATS || sample.time_ns - e->line.time_ns > GAP_NS;
}

enum nqptp_estimate nqptp_estimator_sample(struct nqptp_estimator *e, uint64_t master_ns,
                                           uint64_t local_ns) {
    struct nqptp_point sample = {.time_ns = (int64_t)(local_ns - e->base_local_ns),
                                 .ns = (int64_t)(master_ns - local_ns - e->base_offset_ns)};
    enum change change = NEW_TIME;

    if (e->bins > 0 && master_ns == e->last_master_ns) {
        e->repeats++;
        return NQPTP_ESTIMATE_NONE;
    }
    if (!continuous(e, sample)) {
        begin(e, master_ns, local_ns);
        sample = (struct nqptp_point){0, 0};
    }
    if (sample.time_ns < e->line.time_ns)
        sample.time_ns = e->line.time_ns; /* it was overtaken */
    if (resumed(e, sample))
        forget_before(e, INT64_MAX);
    else if (e->bins > 0)
        change = judge(e, sample);
    e->repeats = 0;
    e->last_master_ns = master_ns;
    if (change == UNPROVEN)
        return NQPTP_ESTIMATE_NONE;
    bin_push(e, sample);
    fit_line(e, sample.time_ns);
    if (sample.time_ns - e->epoch_ns >= SHAPED_NS && astray(e))
        change = NEW_TIME;
    if (change == NEW_TIME)
        e->epoch_ns = sample.time_ns;
    publish(e);
    return change == NEW_TIME ? NQPTP_ESTIMATE_RESTARTED : NQPTP_ESTIMATE_CONTINUED;
}

uint64_t nqptp_estimator_offset_ns(const struct nqptp_estimator *e) {
    return e->base_offset_ns + (uint64_t)e->published.ns;
}

bool nqptp_estimator_quality(const struct nqptp_estimator *e, struct nqptp_quality *quality) {
    *quality = (struct nqptp_quality){.rate_ppm = e->slope_ppm, .noise_us = e->noise_us};
    if (e->bins == 0)
        return false;
    int64_t left_ns = e->line.ns - e->published.ns;
    unsigned root = 1;
    while ((root + 1) * (root + 1) <= e->bins)
        root++;
    quality->error_us = to_us(left_ns < 0 ? -left_ns : left_ns) + e->noise_us / root;
    return true;
}
