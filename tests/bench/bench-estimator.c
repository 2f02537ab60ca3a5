/* SPDX-License-Identifier: MIT */
/*
 * Measures the estimator on simulated streams whose true offset is known, beside the smoothing rule
 * of the reference nqptp (1.2.5), which reference.h has from a description. The thresholds are
 * ratios of the two, or absolute values.
 *
 *   bench-estimator DIRECTORY [SEED [SEEDS]]
 *       Measures everything. Prints a table, writes it to DIRECTORY/estimator.csv, and writes the
 *       errors of one stream over time to DIRECTORY/error.csv. Exits with 1 if a threshold is
 *       missed. Another SEED [0] makes other streams. Fewer SEEDS [10] take less time.
 *   bench-estimator
 *       A short test (TAP): a few streams against thresholds that are LOOSE times as large.
 *
 * The error is the published offset minus (true offset - minimum delay), at each read of a player.
 */
#include "nqptp-estimator.h"

#include "reference.h"
#include "../lib/sample-streams.h"
#include "../lib/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NEVER_S 1e6
#define EVENT_S 60.0
#define CONVERGED_S 5.0
#define SETTLED_S 30.0
#define LOOSE 2.0 /* The short test multiplies each threshold by this. */

static const double typical_ppm[] = {-20, -10, -3, 4, 12, 20};
static const double wide_ppm[] = {-100, -50, -20, -5, 0, 10, 20, 100};

static const char *const network_names[NETWORKS] = {"wired", "good wifi", "wifi with holds",
                                                    "wifi with power save", "bad wifi"};

/* --- the two rules --------------------------------------------------------------------------- */

enum rule { OURS, REFERENCE, RULES };

struct follower {
    enum rule rule;
    struct nqptp_estimator ours;
    struct reference reference;
    unsigned series; /* Number of series that began after SETTLED_S. */
    bool published;
    uint64_t offset_ns;
};

static void follow(struct follower *f, const struct arrival *a) {
    if (f->rule == OURS) {
        if (a->new_identity)
            nqptp_estimator_reset(&f->ours);
        f->series += nqptp_estimator_sample(&f->ours, a->master_ns, a->local_ns) ==
                         NQPTP_ESTIMATE_RESTARTED &&
                     a->time_s > SETTLED_S;
        f->offset_ns = nqptp_estimator_offset_ns(&f->ours);
    } else {
        if (a->new_identity)
            f->reference.begun = false;
        reference_sample(&f->reference, a->master_ns, a->local_ns);
        f->offset_ns = f->reference.offset_ns;
    }
    f->published = true;
}

/* --- pools of figures ------------------------------------------------------------------------ */

struct pool {
    float *values;
    size_t count, room;
    double squares;
};

static void pool_add(struct pool *pool, double value) {
    if (pool->count == pool->room) {
        pool->room = pool->room ? 2 * pool->room : 1024;
        float *values = realloc(pool->values, pool->room * sizeof *values);
        if (!values) {
            perror("bench-estimator");
            exit(2);
        }
        pool->values = values;
    }
    pool->values[pool->count++] = (float)value;
    pool->squares += value * value;
}

static double pool_rms(const struct pool *pool) {
    return sqrt(pool->squares / (double)pool->count);
}

static int by_value(const void *left, const void *right) {
    const float *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static double pool_quantile(const struct pool *pool, double share) {
    if (pool->count == 0)
        return NAN;
    qsort(pool->values, pool->count, sizeof *pool->values, by_value);
    return pool->values[(size_t)(share * (double)(pool->count - 1) + .5)];
}

/* --- one stream, one rule -------------------------------------------------------------------- */

struct trace {
    double error_us[STREAM_READS]; /* NAN: nothing is published yet. */
    double step_us[STREAM_SYNCS];  /* Distance from one published value to the next. */
    unsigned first_read;
    unsigned series;
    bool first_as_is; /* The first sample was published at once and unchanged. */
};

static void replay(struct trace *trace, const struct stream *stream, enum rule rule) {
    struct follower f = {.rule = rule};
    unsigned next = 0;

    trace->first_read = STREAM_READS;
    for (unsigned i = 0; i < STREAM_READS; i++) {
        for (; next < stream->count && stream->arrivals[next].time_s * STREAM_READS_PER_S <= i;
             next++) {
            const struct arrival *a = &stream->arrivals[next];
            uint64_t old_ns = f.offset_ns;
            follow(&f, a);
            trace->step_us[next] =
                next == 0 ? 0 : fabs((double)(int64_t)(f.offset_ns - old_ns)) / 1e3;
            if (next == 0)
                trace->first_as_is = f.offset_ns == a->master_ns - a->local_ns;
        }
        if (f.published && trace->first_read == STREAM_READS)
            trace->first_read = i;
        trace->error_us[i] =
            f.published ? (double)(int64_t)(f.offset_ns - stream->truth_ns[i]) / 1e3 : NAN;
    }
    trace->series = f.series;
}

/* Returns the seconds from read `from` until the error stays within `limit_us` for `hold_s`. */
static double time_within(const struct trace *trace, unsigned from, double limit_us,
                          double hold_s) {
    unsigned since = from;

    for (unsigned i = from; i < STREAM_READS; i++) {
        if (!(fabs(trace->error_us[i]) <= limit_us))
            since = i + 1;
        else if (i - since >= hold_s * STREAM_READS_PER_S)
            return (double)(since - from) / STREAM_READS_PER_S;
    }
    return NEVER_S;
}

/* Returns the seconds from read `from` to the last read whose error is over `limit_us`. */
static double time_outside(const struct trace *trace, unsigned from, double limit_us) {
    unsigned last = STREAM_READS;

    while (last > from && fabs(trace->error_us[last - 1]) <= limit_us)
        last--;
    return last == STREAM_READS ? NEVER_S : (double)(last - from) / STREAM_READS_PER_S;
}

/* --- the pooled figures of one kind of stream
 * --------------------------------------------------------------- */

struct score {
    struct pool after_5_s, after_30_s, steps, settling_s, start, run_rms, recovery_s, outside_s;
    unsigned runs, series;
    bool first_as_is;
};

static void score_add(struct score *score, const struct stream *stream, const struct trace *trace,
                      const struct event *event) {
    struct pool run = {0};

    for (unsigned i = trace->first_read; i < STREAM_READS; i++) {
        double error_us = fabs(trace->error_us[i]);
        double age_s = (double)(i - trace->first_read) / STREAM_READS_PER_S;
        if (age_s >= .4 && age_s < 1)
            pool_add(&score->start, error_us);
        if (age_s > CONVERGED_S) {
            pool_add(&score->after_5_s, error_us);
            pool_add(&run, error_us);
        }
        if (age_s > SETTLED_S)
            pool_add(&score->after_30_s, error_us);
    }
    /* A step after a gap does not count: it holds the drift of the clocks during the gap. */
    for (unsigned i = 1; i < stream->count; i++)
        if (stream->arrivals[i].time_s - stream->arrivals[0].time_s > CONVERGED_S &&
            stream->arrivals[i].time_s - stream->arrivals[i - 1].time_s < 1)
            pool_add(&score->steps, trace->step_us[i]);
    pool_add(&score->settling_s, time_within(trace, trace->first_read, 100, 2));
    pool_add(&score->run_rms, pool_rms(&run));
    free(run.values);
    if (event->at_s > 0) {
        double over_s = event->at_s + event->away_s + event->again_s;
        unsigned over = (unsigned)(over_s * STREAM_READS_PER_S);
        pool_add(&score->recovery_s, time_within(trace, over, 500, 1));
        pool_add(&score->outside_s, time_outside(trace, over, 500));
    }
    score->runs++;
    score->series += trace->series;
    score->first_as_is = score->first_as_is && trace->first_as_is;
}

static void score_free(struct score *score) {
    free(score->after_5_s.values);
    free(score->after_30_s.values);
    free(score->steps.values);
    free(score->settling_s.values);
    free(score->start.values);
    free(score->run_rms.values);
    free(score->recovery_s.values);
    free(score->outside_s.values);
}

struct workshop {
    struct stream stream;
    struct trace trace;
};

struct bench {
    unsigned seeds, first_seed;
    bool quick;
    FILE *csv;
    unsigned missed;
    struct workshop *workshop;
};

static void scores_begin(struct score scores[RULES]) {
    for (unsigned rule = 0; rule < RULES; rule++)
        scores[rule] = (struct score){.first_as_is = true};
}

static void measure_more(const struct bench *b, struct score scores[RULES],
                         struct scenario scenario, const double *skews_ppm, size_t skews) {
    for (unsigned i = 0; i < b->seeds * skews; i++) {
        scenario.skew_ppm = skews_ppm[i % skews];
        scenario.seed = i * NETWORKS + scenario.network + b->first_seed;
        stream_make(&b->workshop->stream, &scenario);
        for (unsigned rule = 0; rule < RULES; rule++) {
            replay(&b->workshop->trace, &b->workshop->stream, rule);
            score_add(&scores[rule], &b->workshop->stream, &b->workshop->trace, &scenario.event);
        }
    }
}

static void measure(const struct bench *b, struct score scores[RULES], struct scenario scenario,
                    const double *skews_ppm, size_t skews) {
    scores_begin(scores);
    measure_more(b, scores, scenario, skews_ppm, skews);
}

static void scores_free(struct score scores[RULES]) {
    for (unsigned rule = 0; rule < RULES; rule++)
        score_free(&scores[rule]);
}

/* --- the table ------------------------------------------------------------------------------- */

struct figure {
    const char *stream, *what, *unit;
    double ours, theirs; /* NAN: there is no such figure. */
    bool as_ratio;       /* The limit is for ours / theirs, not for ours. */
    double limit;        /* NAN: there is no limit. */
};

static void cell(FILE *to, const char *separator, int width, double value) {
    if (isnan(value))
        fprintf(to, "%s%*s", separator, width, width ? "-" : "");
    else if (value >= NEVER_S)
        fprintf(to, "%s%*s", separator, width, "never");
    else
        fprintf(to, "%s%*.*f", separator, width, value < 1 ? 3 : value < 100 ? 2 : 0, value);
}

static void row(struct bench *b, struct figure f) {
    double ratio = f.theirs > 0 && f.theirs < NEVER_S ? f.ours / f.theirs : NAN;
    double value = f.as_ratio ? ratio : f.ours;
    bool judged = !isnan(f.limit), passed = value <= f.limit;

    if (b->quick) {
        if (judged)
            CHECK(value <= LOOSE * f.limit, "%s, %s: %.3f %s, at most %.3f", f.stream, f.what,
                  value, f.as_ratio ? "of the reference's" : f.unit, LOOSE * f.limit);
        return;
    }
    b->missed += judged && !passed;
    const char *verdict = !judged ? "" : passed ? "PASS" : "FAIL";
    printf("%-24s %-28s %-5s", f.stream, f.what, f.unit);
    fprintf(b->csv, "\"%s\",\"%s\",%s", f.stream, f.what, f.unit);
    const double cells[] = {f.ours, f.theirs, ratio, f.as_ratio ? f.limit : NAN,
                            f.as_ratio ? NAN : f.limit};
    for (size_t i = 0; i < COUNT(cells); i++) {
        cell(stdout, " ", 9, cells[i]);
        cell(b->csv, ",", 0, cells[i]);
    }
    printf("  %s\n", verdict);
    fprintf(b->csv, ",%s\n", verdict);
}

static void headings(const struct bench *b) {
    if (b->quick)
        return;
    printf("%-24s %-28s %-5s %9s %9s %9s %9s %9s\n", "stream", "figure", "unit", "ours",
           "reference", "ratio", "ratio max", "ours max");
    fprintf(b->csv, "stream,figure,unit,ours,reference,ratio,ratio max,ours max,verdict\n");
}

/* --- what is measured ------------------------------------------------------------------------ */

static const struct {
    const char *name;
    struct scenario scenario;
    double rms_5_s, rms_30_s, p99_5_s; /* Limits for ours / theirs. */
    double rms_30_s_us;
    double settling_s, step_us;
    double start_median_us, start_p95_us;
} networks[] = {
    {"wired", {.network = WIRED}, .03, .03, .05, 10, .2, 10, 1000, 5000},
    {"good wifi", {.network = GOOD_WIFI}, .12, .08, .30, 25, 1, 45, 1000, 5000},
    {"wifi with holds", {.network = HOLDING_WIFI}, .15, .15, .35, 110, 10, 45, 1000, 5000},
    {"wifi with power save", {.network = TYPICAL_WIFI}, .45, .40, .60, 450, NAN, 45, NAN, NAN},
    {"bad wifi", {.network = BAD_WIFI}, .12, .08, .35, 60, 5, 45, 1000, 5000},
    {"good wifi, 1/500 too high",
     {.network = GOOD_WIFI, .raised = 1. / 500},
     .45,
     NAN,
     .80,
     NAN,
     NAN,
     NAN,
     NAN,
     NAN},
};

static void measure_networks(struct bench *b) {
    struct score s[RULES];
    const struct score *o = &s[OURS], *r = &s[REFERENCE];

    for (size_t i = 0; i < COUNT(networks); i++) {
        const char *n = networks[i].name;
        measure(b, s, networks[i].scenario, typical_ppm, COUNT(typical_ppm));
        row(b, (struct figure){n, "RMS after 5 s", "us", pool_rms(&o->after_5_s),
                               pool_rms(&r->after_5_s), true, networks[i].rms_5_s});
        row(b, (struct figure){n, "RMS after 30 s", "us", pool_rms(&o->after_30_s),
                               pool_rms(&r->after_30_s), true, networks[i].rms_30_s});
        row(b, (struct figure){n, "p99 after 5 s", "us", pool_quantile(&o->after_5_s, .99),
                               pool_quantile(&r->after_5_s, .99), true, networks[i].p99_5_s});
        row(b, (struct figure){n, "worst after 5 s", "us", pool_quantile(&o->after_5_s, 1),
                               pool_quantile(&r->after_5_s, 1), true, NAN});
        row(b, (struct figure){n, "RMS after 30 s, absolute", "us", pool_rms(&o->after_30_s),
                               pool_rms(&r->after_30_s), false, networks[i].rms_30_s_us});
        row(b, (struct figure){n, "to 100 us, median", "s", pool_quantile(&o->settling_s, .5),
                               pool_quantile(&r->settling_s, .5), false, networks[i].settling_s});
        row(b, (struct figure){n, "0.4 to 1 s, median", "us", pool_quantile(&o->start, .5),
                               pool_quantile(&r->start, .5), false, networks[i].start_median_us});
        row(b, (struct figure){n, "0.4 to 1 s, p95", "us", pool_quantile(&o->start, .95),
                               pool_quantile(&r->start, .95), false, networks[i].start_p95_us});
        row(b, (struct figure){n, "published steps, p99", "us", pool_quantile(&o->steps, .99),
                               pool_quantile(&r->steps, .99), false, networks[i].step_us});
        row(b, (struct figure){n, "published steps, worst", "us", pool_quantile(&o->steps, 1),
                               pool_quantile(&r->steps, 1), false, 150});
        row(b, (struct figure){n, "false steps believed", "", o->series, NAN, false,
                               networks[i].scenario.raised > 0 ? NAN : 0});
        row(b, (struct figure){n, "first is not as sampled", "", !o->first_as_is, !r->first_as_is,
                               false, 0});
        scores_free(s);
    }
}

static void measure_skews(struct bench *b) {
    static const double worst_ppm[] = {-100};
    const struct scenario scenario = {.network = GOOD_WIFI};
    struct score s[RULES];

    measure(b, s, scenario, wide_ppm, COUNT(wide_ppm));
    row(b, (struct figure){"good wifi, to +-100 ppm", "RMS after 5 s", "us",
                           pool_rms(&s[OURS].after_5_s), pool_rms(&s[REFERENCE].after_5_s), true,
                           .05});
    scores_free(s);
    measure(b, s, scenario, worst_ppm, COUNT(worst_ppm));
    row(b, (struct figure){"good wifi, -100 ppm", "RMS after 5 s, worst run", "us",
                           pool_quantile(&s[OURS].run_rms, 1),
                           pool_quantile(&s[REFERENCE].run_rms, 1), false, 60});
    scores_free(s);
}

static const struct {
    enum network network;
    struct event event;
    double median_s, p90_s;
} events[] = {
    {GOOD_WIFI, {"step +50 ms", .step_s = .05}, 1, 1.5},
    {GOOD_WIFI, {"step +500 ms", .step_s = .5}, 1, 1.5},
    {GOOD_WIFI, {"step -50 ms", .step_s = -.05}, 2, 3},
    {GOOD_WIFI, {"step -500 ms", .step_s = -.5}, 2, 3},
    {TYPICAL_WIFI, {"step -50 ms", .step_s = -.05}, NAN, NAN},
    {BAD_WIFI, {"step -500 ms", .step_s = -.5}, NAN, NAN},
    {GOOD_WIFI, {"stops 10 s", .away_s = 10, .repeats = true, .step_s = -10}, .6, 1.2},
    {GOOD_WIFI, {"pauses 10 s, silent", .away_s = 10, .step_s = -10}, .6, 1.2},
    {GOOD_WIFI, {"another grandmaster", .step_s = 3.2, .new_identity = true}, .6, 1.2},
    {GOOD_WIFI, {"another, same identity", .step_s = -7.3, .skew_ppm = 27}, .6, 1.2},
    {WIRED, {"path +2 ms", .path_s = .002}, 15, NAN},
    {GOOD_WIFI, {"path +2 ms", .path_s = .002}, 15, NAN},
    {TYPICAL_WIFI, {"path +2 ms", .path_s = .002}, NAN, NAN},
    {WIRED, {"path -2 ms", .path_s = -.002}, 8, NAN},
    {GOOD_WIFI, {"path -2 ms", .path_s = -.002}, 8, NAN},
    {TYPICAL_WIFI, {"path -2 ms", .path_s = -.002}, NAN, NAN},
    {GOOD_WIFI, {"no traffic 30 s", .away_s = 30}, 1, 2},
};

static void measure_event(struct bench *b, const char *name, struct scenario scenario,
                          double median_s, double p90_s) {
    const char *stream = network_names[scenario.network];
    struct score s[RULES];

    scenario.event.at_s = EVENT_S;
    measure(b, s, scenario, typical_ppm, COUNT(typical_ppm));
    char what[2][64];
    snprintf(what[0], sizeof what[0], "%s: median", name);
    snprintf(what[1], sizeof what[1], "%s: p90", name);
    row(b, (struct figure){stream, what[0], "s", pool_quantile(&s[OURS].recovery_s, .5),
                           pool_quantile(&s[REFERENCE].recovery_s, .5), false, median_s});
    row(b, (struct figure){stream, what[1], "s", pool_quantile(&s[OURS].recovery_s, .9),
                           pool_quantile(&s[REFERENCE].recovery_s, .9), false, p90_s});
    scores_free(s);
}

static void measure_events(struct bench *b) {
    for (size_t i = 0; i < COUNT(events); i++)
        measure_event(b, events[i].event.name,
                      (struct scenario){.network = events[i].network, .event = events[i].event},
                      events[i].median_s, events[i].p90_s);
}

static void measure_warming(struct bench *b) {
    static const enum network on[] = {WIRED, GOOD_WIFI};
    static const char *const names[] = {"wired, warms by 5 ppm", "good wifi, warms by 5 ppm"};
    struct score s[RULES];

    for (size_t i = 0; i < COUNT(on); i++) {
        struct scenario scenario = {.network = on[i], .event = {.at_s = EVENT_S, .warm_ppm = 5}};
        measure(b, s, scenario, typical_ppm, COUNT(typical_ppm));
        row(b, (struct figure){names[i], "RMS after 5 s", "us", pool_rms(&s[OURS].after_5_s),
                               pool_rms(&s[REFERENCE].after_5_s), true, NAN});
        scores_free(s);
    }
}

/* --- rates and steps beyond the usual -------------------------------------------------------- */

/*
 * A clock that is 1,000 ppm fast moves by up to 125 us until the next Sync. At the reads of these
 * streams that is 86 us RMS: no estimate can be better.
 */
static void measure_rates(struct bench *b) {
    static const double far_ppm[] = {-1000, 1000}, between_ppm[] = {-500, -300, 300, 500};
    static const double limits_us[NETWORKS] = {100, 100, 150, NAN, NAN};
    static const double limits[NETWORKS] = {0, 0, NAN, NAN, NAN};
    struct score s[RULES];

    for (enum network on = WIRED; on < NETWORKS; on++) {
        const struct scenario scenario = {.network = on};
        measure(b, s, scenario, far_ppm, COUNT(far_ppm));
        row(b, (struct figure){network_names[on], "+-1000 ppm, after 30 s", "us",
                               pool_rms(&s[OURS].after_30_s), pool_rms(&s[REFERENCE].after_30_s),
                               false, limits_us[on]});
        row(b, (struct figure){network_names[on], "+-1000 ppm, false series", "", s[OURS].series,
                               NAN, false, limits[on]});
        scores_free(s);
        measure(b, s, scenario, between_ppm, COUNT(between_ppm));
        row(b, (struct figure){network_names[on], "+-300, 500 ppm, after 30 s", "us",
                               pool_rms(&s[OURS].after_30_s), pool_rms(&s[REFERENCE].after_30_s),
                               false, limits_us[on]});
        row(b, (struct figure){network_names[on], "+-300, 500 ppm, false series", "",
                               s[OURS].series, NAN, false, limits[on]});
        scores_free(s);
    }
}

/* Limits for the time to recover from an event. NAN: there is no limit. */
struct recovery {
    double p90_s, p98_s, worst_s;
};

static void recovery_rows(struct bench *b, enum network on, const char *name, struct pool *ours,
                          struct pool *theirs, struct recovery limit) {
    const struct {
        const char *name;
        double share, limit_s;
    } quantiles[] = {
        {"p90", .9, limit.p90_s}, {"p98", .98, limit.p98_s}, {"worst", 1, limit.worst_s}};
    char what[64];

    for (size_t i = 0; i < COUNT(quantiles); i++) {
        snprintf(what, sizeof what, "%s: %s", name, quantiles[i].name);
        row(b, (struct figure){
                   network_names[on], what, "s", pool_quantile(ours, quantiles[i].share),
                   pool_quantile(theirs, quantiles[i].share), false, quantiles[i].limit_s});
    }
}

static void measure_rate_changes(struct bench *b) {
    static const struct recovery limits[NETWORKS] = {
        {NAN, NAN, 8}, {10, NAN, 15}, {NAN, NAN, NAN}, {NAN, NAN, NAN}, {NAN, NAN, NAN}};
    struct score s[RULES];

    for (enum network on = WIRED; on < NETWORKS; on++)
        for (int sign = -1; sign <= 1; sign += 2) {
            measure(b, s,
                    (struct scenario){.network = on,
                                      .event = {.at_s = EVENT_S, .skew_ppm = 200 * sign}},
                    typical_ppm, COUNT(typical_ppm));
            recovery_rows(b, on, sign < 0 ? "rate -200 ppm" : "rate +200 ppm", &s[OURS].outside_s,
                          &s[REFERENCE].outside_s, limits[on]);
            scores_free(s);
        }
}

/* The same step, 2 to 16 seconds after a larger one that began a new series. */
static void measure_young_step(struct bench *b, struct score young[], enum network on,
                               double step_s) {
    static const double after_s[] = {2, 4, 8, 16};

    for (size_t i = 0; i < COUNT(after_s); i++)
        measure_more(b, young,
                     (struct scenario){.network = on,
                                       .event = {.at_s = EVENT_S,
                                                 .step_s = .5,
                                                 .again_s = after_s[i],
                                                 .again_step_s = step_s}},
                     typical_ppm, COUNT(typical_ppm));
}

/* Steps as large as a delay, in an old series and in one that has just begun. */
static void measure_small_steps(struct bench *b) {
    static const double steps_s[] = {-.007, -.010, -.014, -.020};
    static const struct recovery limits[NETWORKS] = {
        {NAN, NAN, 8}, {7, 10, NAN}, {NAN, NAN, NAN}, {NAN, NAN, NAN}, {NAN, NAN, NAN}};
    struct score settled[RULES], young[RULES];

    for (enum network on = WIRED; on < NETWORKS; on++) {
        scores_begin(settled);
        scores_begin(young);
        for (size_t i = 0; i < COUNT(steps_s); i++) {
            struct event event = {.at_s = EVENT_S, .step_s = steps_s[i]};
            measure_more(b, settled, (struct scenario){.network = on, .event = event}, typical_ppm,
                         COUNT(typical_ppm));
            measure_young_step(b, young, on, steps_s[i]);
        }
        recovery_rows(b, on, "steps -7 to -20 ms", &settled[OURS].recovery_s,
                      &settled[REFERENCE].recovery_s, limits[on]);
        recovery_rows(b, on, "the same, young series", &young[OURS].recovery_s,
                      &young[REFERENCE].recovery_s, limits[on]);
        scores_free(settled);
        scores_free(young);
    }
}

/* Where few packets are quick, a quick one must not look like a shorter path. */
static void measure_slow_links(struct bench *b) {
    static const double slow[] = {.95, .90};
    static const double limits[COUNT(slow)][NETWORKS] = {{1, 5, 5, 3, 2}, {1, 1, 1, 1, 1}};
    struct score s[RULES];
    char what[64];

    for (size_t i = 0; i < COUNT(slow); i++)
        for (enum network on = WIRED; on < NETWORKS; on++) {
            measure(b, s, (struct scenario){.network = on, .slow = slow[i]}, typical_ppm,
                    COUNT(typical_ppm));
            double hours = s[OURS].runs * (STREAM_SECONDS - SETTLED_S) / 3600;
            snprintf(what, sizeof what, "%.0f %% slow, false series", 100 * slow[i]);
            row(b, (struct figure){network_names[on], what, "/h", s[OURS].series / hours, NAN,
                                   false, limits[i][on]});
            scores_free(s);
        }
}

static void measure_intervals(struct bench *b) {
    static const double syncs_per_s[] = {128, 32, 2, 1, .5};
    struct score s[RULES];
    char what[64];

    for (enum network on = WIRED; on < NETWORKS; on++)
        for (size_t i = 0; i < COUNT(syncs_per_s); i++) {
            measure(b, s, (struct scenario){.network = on, .syncs_per_s = syncs_per_s[i]},
                    typical_ppm, COUNT(typical_ppm));
            snprintf(what, sizeof what, "%g Syncs/s, after 30 s", syncs_per_s[i]);
            row(b, (struct figure){network_names[on], what, "us", pool_rms(&s[OURS].after_30_s),
                                   pool_rms(&s[REFERENCE].after_30_s), false, NAN});
            snprintf(what, sizeof what, "%g Syncs/s, false series", syncs_per_s[i]);
            row(b, (struct figure){network_names[on], what, "", s[OURS].series, NAN, false, NAN});
            scores_free(s);
        }
}

static double now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void measure_cost(struct bench *b) {
    enum { ROUNDS = 100 };
    const struct stream *stream = &b->workshop->stream;
    double ns[RULES];

    stream_make(&b->workshop->stream, &(struct scenario){.network = GOOD_WIFI, .skew_ppm = 12});
    for (unsigned rule = 0; rule < RULES; rule++) {
        double begun_ns = now_ns();
        for (int round = 0; round < ROUNDS; round++) {
            struct follower f = {.rule = rule};
            for (unsigned i = 0; i < stream->count; i++)
                follow(&f, &stream->arrivals[i]);
        }
        ns[rule] = (now_ns() - begun_ns) / ROUNDS / stream->count;
    }
    row(b, (struct figure){"good wifi", "time per sample", "ns", ns[OURS], ns[REFERENCE], false,
                           5000});
    row(b, (struct figure){"any", "memory per clock", "bytes", sizeof(struct nqptp_estimator), NAN,
                           false, 2048});
}

/* --- files ----------------------------------------------------------------------------------- */

static FILE *create(const char *directory, const char *name) {
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    if (!file) {
        fprintf(stderr, "bench-estimator: cannot create %s: %s\n", path, strerror(errno));
        exit(2);
    }
    return file;
}

static void save_errors(const struct bench *b, const char *directory) {
    FILE *file = create(directory, "error.csv");
    struct trace *ours = &b->workshop->trace, theirs;

    stream_make(&b->workshop->stream, &(struct scenario){.network = GOOD_WIFI, .skew_ppm = 12});
    replay(ours, &b->workshop->stream, OURS);
    replay(&theirs, &b->workshop->stream, REFERENCE);
    fprintf(file, "time_s,ours_us,reference_us\n");
    for (unsigned i = ours->first_read; i < STREAM_READS; i++)
        fprintf(file, "%.5f,%.3f,%.3f\n", (double)i / STREAM_READS_PER_S, ours->error_us[i],
                theirs.error_us[i]);
    fclose(file);
}

int main(int argc, char **argv) {
    struct bench bench = {.seeds = 10, .quick = argc < 2};

    bench.workshop = malloc(sizeof *bench.workshop);
    if (!bench.workshop)
        return 2;
    bench.seeds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : bench.seeds;
    bench.first_seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    if (bench.quick)
        bench.seeds = 2;
    else
        bench.csv = create(argv[1], "estimator.csv");
    headings(&bench);
    measure_networks(&bench);
    measure_skews(&bench);
    measure_events(&bench);
    if (!bench.quick) {
        measure_warming(&bench);
        measure_rates(&bench);
        measure_rate_changes(&bench);
        measure_small_steps(&bench);
        measure_slow_links(&bench);
        measure_intervals(&bench);
        measure_cost(&bench);
        fclose(bench.csv);
        save_errors(&bench, argv[1]);
        printf("%u thresholds missed\n", bench.missed);
    }
    free(bench.workshop);
    return bench.quick ? tap_done() : bench.missed > 0;
}
