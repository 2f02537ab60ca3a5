/* SPDX-License-Identifier: MIT */
/*
 * Proves what nqptp-estimator promises: it follows a clock whose truth is known here, believes a
 * step but not an outlier, tells when a new series begins, counts modulo 2^64, and has an answer
 * to any input.
 */
#include "nqptp-estimator.h"

#include "../lib/random.h"
#include "../lib/tap.h"

#define US INT64_C(1000)
#define MS (1000 * US)
#define S (1000 * MS)
#define SYNC_INTERVAL (125 * MS)

/* The estimator assumes that even the quickest of few samples was late, of many samples less. */
#define FRESH_ERROR (50 * US)
#define SETTLED_ERROR (2 * US)
#define SLEW (40 * US) /* the most that a settled series corrects at once */

/* A master clock with a time that is `offset` more than ours, and the estimator of it. */
struct run {
    struct nqptp_estimator estimator;
    uint64_t local_ns;
    uint64_t offset_ns;
    double skew; /* ns that the offset gains per ns of ours */
    unsigned restarts, silences;
};

/* As Apple's: the master counts from its boot, we from ours. */
static struct run run_begin(void) {
    return (struct run){
        .local_ns = UINT64_C(5400000000000),
        .offset_ns = UINT64_C(783596000000000),
    };
}

/* Takes a sample that was on the way for delay_ns more than the quickest possible. */
static enum nqptp_estimate run_sample(struct run *run, int64_t delay_ns) {
    uint64_t sent_ns = run->local_ns + run->offset_ns;
    enum nqptp_estimate estimate =
        nqptp_estimator_sample(&run->estimator, sent_ns, run->local_ns + (uint64_t)delay_ns);
    run->restarts += estimate == NQPTP_ESTIMATE_RESTARTED;
    run->silences += estimate == NQPTP_ESTIMATE_NONE;
    return estimate;
}

static void run_wait(struct run *run, int64_t ns) {
    run->local_ns += (uint64_t)ns;
    run->offset_ns += (uint64_t)(int64_t)(run->skew * (double)ns);
}

/* Takes samples without delay at the usual interval. Returns the largest error. */
static int64_t run_on(struct run *run, int64_t ns) {
    int64_t worst_ns = 0;

    for (int64_t end_ns = ns; end_ns > 0; end_ns -= SYNC_INTERVAL) {
        run_wait(run, SYNC_INTERVAL);
        (void)run_sample(run, 0);
        int64_t error_ns = (int64_t)(nqptp_estimator_offset_ns(&run->estimator) - run->offset_ns);
        if (error_ns < 0)
            error_ns = -error_ns;
        if (error_ns > worst_ns)
            worst_ns = error_ns;
    }
    return worst_ns;
}

static int64_t run_error(const struct run *run) {
    return (int64_t)(nqptp_estimator_offset_ns(&run->estimator) - run->offset_ns);
}

static void check_within(int64_t error_ns, int64_t limit_ns, const char *name) {
    CHECK(error_ns >= -limit_ns && error_ns <= limit_ns,
          "%s: error %" PRId64 " ns, at most %" PRId64, name, error_ns, limit_ns);
}

/* 10 s of a good clock, so that there is something to lose. */
static struct run run_settled(void) {
    struct run run = run_begin();

    (void)run_sample(&run, 0);
    (void)run_on(&run, 10 * S);
    run.restarts = 0;
    run.silences = 0;
    return run;
}

static void test_first_sample(void) {
    struct run run = run_begin();

    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_RESTARTED, "the first sample begins a series");
    CHECK_EQ_I64(run_error(&run), 0, "the first sample is the offset at once");
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_NONE,
                 "the first sample a second time is not used");
    run_wait(&run, SYNC_INTERVAL);
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_CONTINUED,
                 "the second sample continues the series");
}

static void test_reset(void) {
    struct run run = run_settled();

    nqptp_estimator_reset(&run.estimator);
    run.offset_ns -= 777 * S;
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_RESTARTED, "a series begins after a reset");
    CHECK_EQ_I64(run_error(&run), 0, "after a reset the first sample is the offset at once");
}

static void test_constant_offset(void) {
    struct run run = run_begin();

    (void)run_sample(&run, 0);
    check_within(run_on(&run, 10 * S), FRESH_ERROR, "a constant offset, the first 10 s");
    check_within(run_on(&run, 600 * S), SETTLED_ERROR, "a constant offset, the next 10 minutes");
    CHECK_EQ_U64(run.restarts, 1, "a constant offset begins one series");
    CHECK_EQ_U64(run.silences, 0, "a constant offset: every sample changes the estimate");
}

static void check_skew(double skew) {
    struct run run = run_begin();

    run.skew = skew;
    (void)run_sample(&run, 0);
    (void)run_on(&run, 10 * S);
    int64_t worst_ns = run_on(&run, 120 * S);
    CHECK(worst_ns <= 5 * US, "%+.0f ppm are followed after 10 s: worst error %" PRId64 " ns",
          skew * 1e6, worst_ns);
    CHECK_EQ_U64(run.restarts, 1, "%+.0f ppm: there is one series", skew * 1e6);
}

static void test_skew(void) {
    check_skew(100e-6);
    check_skew(20e-6);
    check_skew(-20e-6);
    check_skew(-100e-6);
    check_skew(1000e-6);
    check_skew(-1000e-6);
}

/* A clock that is slewed: its rate changes, its time does not. */
static void check_change_of_rate(double change) {
    struct run run = run_begin();

    run.skew = 12e-6;
    (void)run_sample(&run, 0);
    (void)run_on(&run, 60 * S);
    run.skew += change;
    (void)run_on(&run, 8 * S);
    int64_t worst_ns = run_on(&run, 60 * S);
    CHECK(worst_ns < 500 * US, "%+.0f ppm more: followed after 8 s: worst error %" PRId64 " ns",
          change * 1e6, worst_ns);
    CHECK_EQ_U64(run.restarts, 1, "%+.0f ppm more: there is one series", change * 1e6);
}

static void test_change_of_rate(void) {
    check_change_of_rate(200e-6);
    check_change_of_rate(-200e-6);
}

/* Returns a delay: small delays are common, large delays rare. */
static int64_t random_delay(struct prng *prng) {
    uint64_t a = prng_below(prng, 1000), b = prng_below(prng, 1000);
    return (int64_t)(a * b / 1000 * b / 1000) * 20 * US;
}

static void check_delays(double skew) {
    struct run run = run_begin();
    struct prng prng = {319320};
    int64_t worst_ns = 0, sum_of_delays_ns = 0;

    run.skew = skew;
    for (int i = 0; i < 960; i++) {
        int64_t delay_ns = random_delay(&prng);
        (void)run_sample(&run, delay_ns);
        sum_of_delays_ns += delay_ns;
        int64_t error_ns = run_error(&run) < 0 ? -run_error(&run) : run_error(&run);
        if (i >= 160 && error_ns > worst_ns)
            worst_ns = error_ns;
        run_wait(&run, SYNC_INTERVAL);
    }
    int64_t mean_ns = sum_of_delays_ns / 960;
    CHECK(mean_ns > 2 * MS, "%+.0f ppm: the delays are real, %" PRId64 " ns on average", skew * 1e6,
          mean_ns);
    CHECK(worst_ns < 500 * US,
          "%+.0f ppm: the estimate keeps to the quickest samples: worst error %" PRId64 " ns",
          skew * 1e6, worst_ns);
    CHECK_EQ_U64(run.restarts, 1, "%+.0f ppm: delays are no steps", skew * 1e6);
}

/* The error of a line through samples that are up to 100 us late is less than their noise. */
static void test_quality(void) {
    struct run run = run_begin();
    struct nqptp_quality quality;

    CHECK(!nqptp_estimator_quality(&run.estimator, &quality),
          "an estimator without samples has no quality");
    run.skew = 20e-6;
    struct prng prng = {7};
    for (int i = 0; i < 800; i++) {
        run_wait(&run, SYNC_INTERVAL);
        (void)run_sample(&run, (int64_t)(prng_next(&prng) % (uint64_t)(100 * US)));
    }
    CHECK(nqptp_estimator_quality(&run.estimator, &quality),
          "an estimator with samples has a quality");
    CHECK(quality.rate_ppm > 19 && quality.rate_ppm < 21,
          "the quality has the rate, 20 ppm: %f ppm", quality.rate_ppm);
    CHECK(quality.noise_us > 1 && quality.noise_us < 50,
          "the quality has the noise, 1 to 50 us: %f us", quality.noise_us);
    CHECK(quality.error_us >= quality.noise_us / 8 && quality.error_us < quality.noise_us,
          "after 100 s the error is an eighth of the noise or more, and less than the noise: %f us",
          quality.error_us);
    run.offset_ns += 2 * MS; /* a shorter path */
    for (int i = 0; i < 4; i++) {
        run_wait(&run, SYNC_INTERVAL);
        (void)run_sample(&run, 0);
    }
    (void)nqptp_estimator_quality(&run.estimator, &quality);
    CHECK(quality.error_us > 500,
          "after a shorter path the error has what is still to be made up for: %f us",
          quality.error_us);
}

static void test_delays(void) {
    check_delays(0);
    check_delays(50e-6);
    check_delays(-50e-6);
}

static void test_one_outlier(void) {
    struct run run = run_settled();

    int64_t before_ns = run_error(&run);

    run_wait(&run, SYNC_INTERVAL);
    run.offset_ns += 50 * MS;
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_NONE,
                 "one sample that is too high is withheld");
    run.offset_ns -= 50 * MS;
    CHECK_EQ_I64(run_error(&run), before_ns, "one sample that is too high leaves the offset");
    check_within(run_on(&run, 20 * S), SETTLED_ERROR, "good samples after one that is too high");
    CHECK_EQ_U64(run.restarts, 0, "one sample that is too high begins no series");
}

/* In the first seconds the estimator believes a single sample. */
static void test_early_outlier(void) {
    struct run run = run_begin();

    (void)run_sample(&run, 0);
    (void)run_on(&run, 1 * S);
    run.offset_ns += 10 * MS;
    (void)run_on(&run, SYNC_INTERVAL);
    run.offset_ns -= 10 * MS;
    (void)run_on(&run, 2 * S);
    check_within(run_error(&run), FRESH_ERROR, "an outlier in the first second is soon forgotten");
}

static void test_outliers_apart(void) {
    struct run run = run_settled();

    for (int i = 0; i < 20; i++) {
        run_wait(&run, SYNC_INTERVAL);
        run.offset_ns += 50 * MS;
        (void)run_sample(&run, 0);
        run.offset_ns -= 50 * MS;
        (void)run_on(&run, 5 * S);
    }
    CHECK_EQ_U64(run.restarts, 0, "twenty outliers, each between good samples, begin no series");
    check_within(run_error(&run), SETTLED_ERROR, "twenty outliers, each between good samples");
}

static void test_one_late_sample(void) {
    struct run run = run_settled();

    run_wait(&run, SYNC_INTERVAL);
    (void)run_sample(&run, 80 * MS);
    check_within(run_error(&run), SETTLED_ERROR, "one late sample");
    CHECK_EQ_U64(run.restarts, 0, "one late sample begins no series");
}

static void check_step_up(int64_t step_ns) {
    struct run run = run_settled();

    run.offset_ns += (uint64_t)step_ns;
    run_wait(&run, SYNC_INTERVAL);
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_NONE,
                 "step of %" PRId64 " ms: the first sample after it is withheld", step_ns / MS);
    run_wait(&run, SYNC_INTERVAL);
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_RESTARTED,
                 "step of %" PRId64 " ms: the second sample after it begins a series",
                 step_ns / MS);
    CHECK_EQ_I64(run_error(&run), 0,
                 "step of %" PRId64 " ms: the second sample after it is the offset", step_ns / MS);
    check_within(run_on(&run, 20 * S), FRESH_ERROR, "the 20 s after a step up");
}

static void test_step_up(void) {
    check_step_up(50 * MS);
    check_step_up(500 * MS);
    check_step_up(30 * S);
}

static void check_step_down(int64_t step_ns) {
    struct run run = run_settled();

    run.offset_ns -= (uint64_t)step_ns;
    run_wait(&run, SYNC_INTERVAL);
    (void)run_sample(&run, 0);
    CHECK_EQ_U64(run.restarts, 0, "-%" PRId64 " ms: the first sample after it begins no series",
                 step_ns / MS);
    (void)run_on(&run, 2 * S);
    CHECK_EQ_U64(run.restarts, 1, "-%" PRId64 " ms: 2 s later there is a new series", step_ns / MS);
    check_within(run_error(&run), FRESH_ERROR, "2 s after a step down");
}

static void test_step_down(void) {
    check_step_down(50 * MS);
    check_step_down(500 * MS);
    check_step_down(30 * S);
}

/* A delay would look like this for a while, and a series that has just begun knows little. */
static void check_small_step_down(int64_t step_ns, int64_t after_ns) {
    struct run run = run_settled();
    struct prng prng = {1588};

    run.offset_ns += 500 * MS;
    (void)run_on(&run, after_ns);
    run.offset_ns -= (uint64_t)step_ns;
    for (int64_t left_ns = 8 * S; left_ns > 0; left_ns -= SYNC_INTERVAL) {
        run_wait(&run, SYNC_INTERVAL);
        (void)run_sample(&run, (int64_t)prng_below(&prng, 100) * US);
    }
    CHECK_EQ_U64(run.restarts, 2, "-%" PRId64 " ms %" PRId64 " s after a step: a new series",
                 step_ns / MS, after_ns / S);
    check_within(run_error(&run), 2 * FRESH_ERROR, "8 s after a small step down");
}

static void test_small_steps_down(void) {
    static const int64_t steps_ns[] = {7 * MS, 10 * MS, 14 * MS, 20 * MS};

    for (size_t i = 0; i < sizeof steps_ns / sizeof *steps_ns; i++)
        for (int64_t after_ns = 1 * S; after_ns <= 16 * S; after_ns *= 2)
            check_small_step_down(steps_ns[i], after_ns);
}

/* One packet in twenty is quick. The slow packets between two quick ones are no other path. */
static void test_slow_link(void) {
    struct run run = run_begin();
    struct prng prng = {95};

    for (int64_t left_ns = 1800 * S; left_ns > 0; left_ns -= SYNC_INTERVAL) {
        if (left_ns == 1770 * S)
            run.restarts = 0;
        run_wait(&run, SYNC_INTERVAL);
        (void)run_sample(&run, (prng_below(&prng, 20) > 0 ? 6 * MS : 0) +
                                   (int64_t)prng_below(&prng, 100) * US);
    }
    CHECK_EQ_U64(run.restarts, 0, "a link with few quick packets: no new series begins");
    check_within(run_error(&run), 500 * US,
                 "a link with few quick packets: the quick ones are followed");
}

/* Each step comes before the estimator has settled after the one before. */
static void check_steps_in_a_row(int64_t step_ns, int64_t apart_ns) {
    struct run run = run_settled();
    struct prng prng = {1588};
    int64_t next_ns = 0, now_ns = 0;

    for (int steps = 0; steps < 6 || now_ns < next_ns - apart_ns + 2 * S; now_ns += SYNC_INTERVAL) {
        if (steps < 6 && now_ns >= next_ns) {
            run.offset_ns += (uint64_t)step_ns;
            next_ns += apart_ns;
            steps++;
        }
        run_wait(&run, SYNC_INTERVAL);
        (void)run_sample(&run, (int64_t)prng_below(&prng, 100) * US);
    }
    int64_t error_ns = run_error(&run) < 0 ? -run_error(&run) : run_error(&run);
    CHECK(error_ns < 100 * US,
          "2 s after six steps of %" PRId64 " ms, %" PRId64 " ms apart: error %" PRId64 " ns",
          step_ns / MS, apart_ns / MS, error_ns);
}

static void test_steps_in_a_row(void) {
    check_steps_in_a_row(50 * MS, 1300 * MS);
    check_steps_in_a_row(-50 * MS, 1300 * MS);
    check_steps_in_a_row(200 * MS, 700 * MS);
}

/* At 128 Syncs a second more than eight are late together, each less than the one before. */
static void check_bursts(int64_t interval_ns, int64_t longest_ns) {
    struct run run = run_settled();

    for (int i = 0; i < 50; i++) {
        for (int64_t late_ns = longest_ns * (i + 1) / 50; late_ns > 0; late_ns -= interval_ns) {
            run_wait(&run, interval_ns);
            (void)run_sample(&run, late_ns);
        }
        for (int64_t quiet_ns = 1 * S; quiet_ns > 0; quiet_ns -= interval_ns) {
            run_wait(&run, interval_ns);
            (void)run_sample(&run, 0);
        }
    }
    CHECK_EQ_U64(run.restarts, 0, "bursts of late samples, %" PRId64 " us apart, begin no series",
                 interval_ns / US);
    check_within(run_error(&run), SETTLED_ERROR, "after bursts of late samples");
}

static void test_bursts(void) {
    check_bursts(125 * MS, 1 * S);
    check_bursts(7812500, 400 * MS);
    check_bursts(7812500, 3 * S);
}

/* Another path, or a step as small: no new series, and what is published does not jump. */
static void check_path(const char *name, int64_t longer_ns, int64_t within_ns) {
    struct run run = run_settled();
    uint64_t published_ns = nqptp_estimator_offset_ns(&run.estimator);
    int64_t jump_ns = 0;

    run.offset_ns -= (uint64_t)longer_ns;
    for (int64_t left_ns = 60 * S; left_ns > 0; left_ns -= SYNC_INTERVAL) {
        run_wait(&run, SYNC_INTERVAL);
        (void)run_sample(&run, 0);
        int64_t step_ns = (int64_t)(nqptp_estimator_offset_ns(&run.estimator) - published_ns);
        step_ns = step_ns < 0 ? -step_ns : step_ns;
        jump_ns = step_ns > jump_ns && left_ns < 50 * S ? step_ns : jump_ns;
        published_ns = nqptp_estimator_offset_ns(&run.estimator);
        if (left_ns > 60 * S - within_ns)
            continue;
        if (run_error(&run) < -500 * US || run_error(&run) > 500 * US)
            run.silences += 1000;
    }
    CHECK_EQ_U64(run.restarts, 0, "%s: no new series", name);
    CHECK(run.silences < 1000, "%s: followed to 0.5 ms within %" PRId64 " s", name, within_ns / S);
    check_within(run_error(&run), FRESH_ERROR, name);
    check_within(jump_ns, SLEW + US, "a path of another length: the largest jump");
}

static void test_paths(void) {
    check_path("2 ms longer", 2 * MS, 15 * S);
    check_path("2 ms shorter", -2 * MS, 8 * S);
}

static void test_shorter_path_needs_a_witness(void) {
    struct run run = run_settled();

    run.offset_ns += 2 * MS;
    run_wait(&run, SYNC_INTERVAL);
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_NONE,
                 "the first sample by a shorter path is withheld");
    run_wait(&run, SYNC_INTERVAL);
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_CONTINUED,
                 "the second sample by a shorter path continues the series");
}

/* A rise of a little more than the slew limit is a step, and a little less is not. */
static void test_step_limit(void) {
    struct run step = run_settled(), path = run_settled();

    step.offset_ns += 6 * MS;
    (void)run_on(&step, 1 * S);
    CHECK_EQ_U64(step.restarts, 1, "a rise of 6 ms is a step: it begins a series");
    path.offset_ns += 4 * MS;
    (void)run_on(&path, 1 * S);
    CHECK_EQ_U64(path.restarts, 0, "a rise of 4 ms is another path: it begins no series");
}

/* Another master under the same identity: another time and another rate. */
static void test_swap(void) {
    struct run run = run_begin();

    run.skew = 15e-6;
    (void)run_sample(&run, 0);
    (void)run_on(&run, 60 * S);
    run.offset_ns -= 7300 * (uint64_t)MS;
    run.skew = -12e-6;
    run.restarts = 0;
    (void)run_on(&run, 500 * MS);
    CHECK_EQ_U64(run.restarts, 1, "another master, 7.3 s behind: a new series begins within 0.5 s");
    check_within(run_error(&run), FRESH_ERROR + 20 * US, "another master, 0.5 s later");
    (void)run_on(&run, 10 * S);
    check_within(run_on(&run, 60 * S), 5 * US, "another master, from 10 s to 70 s later");
    CHECK_EQ_U64(run.restarts, 1, "another master, 70 s later: there is one new series");
}

/* The master repeats one time for `ns`, and then goes on from there. */
static struct run run_stopped(int64_t ns) {
    struct run run = run_settled();
    uint64_t stopped_at_ns = run.local_ns + run.offset_ns;

    for (int64_t left_ns = ns; left_ns > 0; left_ns -= SYNC_INTERVAL) {
        run.local_ns += (uint64_t)SYNC_INTERVAL;
        run.offset_ns = stopped_at_ns - run.local_ns;
        (void)run_sample(&run, 0);
    }
    return run;
}

static void test_stopped_clock(void) {
    struct run run = run_stopped(10 * S);
    uint64_t before_ns = nqptp_estimator_offset_ns(&run.estimator);

    CHECK_EQ_U64(run.silences, 80, "a time that is repeated 80 times is never used");
    check_within((int64_t)(before_ns - UINT64_C(783596000000000)), SETTLED_ERROR,
                 "a time that is repeated 80 times leaves the offset");
    run_wait(&run, SYNC_INTERVAL);
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_RESTARTED,
                 "a clock that goes on after 10 s begins a series");
    CHECK_EQ_I64(run_error(&run), 0,
                 "a clock that goes on after 10 s: its first sample is the offset at once");
    check_within(run_on(&run, 10 * S), FRESH_ERROR, "the 10 s after a clock went on");
}

static void test_one_repeated_time(void) {
    struct run run = run_stopped(SYNC_INTERVAL);

    run.offset_ns = UINT64_C(783596000000000);
    CHECK_EQ_U64(run.silences, 1, "one repeated time is not used");
    check_within(run_on(&run, 10 * S), SETTLED_ERROR, "the 10 s after one repeated time");
    CHECK_EQ_U64(run.restarts, 0, "one repeated time begins no series");
}

static void test_two_repeated_times(void) {
    struct run run = run_stopped(2 * SYNC_INTERVAL);

    CHECK_EQ_U64(run.silences, 2, "two repeated times are not used");
    (void)run_on(&run, SYNC_INTERVAL);
    CHECK_EQ_U64(run.restarts, 1, "the next sample after two repeated times begins a series");
}

static void test_repeated_times_apart(void) {
    struct run run = run_settled();

    for (int i = 0; i < 20; i++) {
        (void)run_sample(&run, 0);
        run_wait(&run, SYNC_INTERVAL);
        (void)run_sample(&run, 0);
    }
    CHECK_EQ_U64(run.silences, 20,
                 "every second sample is repeated: the repeated ones are not used");
    CHECK_EQ_U64(run.restarts, 0, "every second sample is repeated: no series begins");
}

static void test_short_gap(void) {
    struct run run = run_settled();

    run_wait(&run, 5 * S);
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_CONTINUED,
                 "after 5 s without a sample the series goes on");
    check_within(run_error(&run), SETTLED_ERROR, "after 5 s without a sample");
}

static void check_gap_of_a_skewed_clock(double skew) {
    struct run run = run_begin();

    run.skew = skew;
    (void)run_sample(&run, 0);
    (void)run_on(&run, 30 * S);
    run_wait(&run, 50 * S);
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_CONTINUED,
                 "%+.0f ppm: after 50 s without a sample the series goes on", skew * 1e6);
    CHECK(run_error(&run) >= -50 * US && run_error(&run) <= 50 * US,
          "%+.0f ppm: after 50 s without a sample the error is at most 50 us: %" PRId64 " ns",
          skew * 1e6, run_error(&run));
}

static void test_gap_of_a_skewed_clock(void) {
    check_gap_of_a_skewed_clock(100e-6);
    check_gap_of_a_skewed_clock(-100e-6);
}

static void test_long_gap(void) {
    struct run run = run_settled();

    run_wait(&run, 3600 * S);
    run.offset_ns -= 3 * MS;
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_RESTARTED,
                 "after an hour without a sample a series begins");
    CHECK_EQ_I64(run_error(&run), 0, "after an hour without a sample the first one is the offset");
}

static void check_wrap(const char *name, uint64_t local_ns, uint64_t master_ns) {
    struct run run = run_begin();

    run.local_ns = local_ns;
    run.offset_ns = master_ns - local_ns;
    (void)run_sample(&run, 0);
    check_within(run_on(&run, 20 * S), FRESH_ERROR, name);
    CHECK_EQ_U64(run.restarts, 1, "%s wraps at 2^64: there is one series", name);
    CHECK(run.local_ns < local_ns || run.local_ns + run.offset_ns < master_ns, "%s did wrap", name);
}

static void test_wrap(void) {
    check_wrap("the master's time", 1000 * S, UINT64_MAX - 10 * S);
    check_wrap("local time", UINT64_MAX - 10 * S, 1000 * S);
    check_wrap("each of both times", UINT64_MAX - 10 * S, UINT64_MAX - 5 * S);
    check_wrap("the master's time, far behind ours,", UINT64_C(1) << 63, UINT64_MAX - 10 * S);
}

static void test_local_time_goes_back(void) {
    struct run run = run_settled();

    run.local_ns -= 60 * S;
    run.offset_ns += 2 * S;
    CHECK_EQ_U64(run_sample(&run, 0), NQPTP_ESTIMATE_RESTARTED,
                 "a minute back in local time: a series begins");
    CHECK_EQ_I64(run_error(&run), 0, "a minute back in local time: the first sample is the offset");
}

static void test_reordered_samples(void) {
    struct run run = run_settled();

    for (int i = 0; i < 40; i++) {
        run_wait(&run, 2 * SYNC_INTERVAL);
        (void)run_sample(&run, 0);
        run_wait(&run, -SYNC_INTERVAL);
        (void)run_sample(&run, 0);
        run_wait(&run, SYNC_INTERVAL);
    }
    CHECK_EQ_U64(run.restarts, 0, "samples that overtake each other begin no series");
    check_within(run_error(&run), SETTLED_ERROR, "samples that overtake each other");
}

static bool sane(const struct nqptp_estimator *e) {
    return e->bins <= NQPTP_ESTIMATOR_BINS && e->last_bursts.count <= NQPTP_ESTIMATOR_RECENT &&
           e->last_peaks.count <= NQPTP_ESTIMATOR_RECENT && e->slope_ppm >= -1500 &&
           e->slope_ppm <= 1500 && e->noise_us >= 0 && e->noise_us < 1e18;
}

/* Build these two with the undefined behaviour sanitizer, which finds what the checks do not. */
static void test_random_times(void) {
    struct nqptp_estimator estimator = {0};
    struct prng prng = {4};
    unsigned answers[3] = {0}, insane = 0;

    for (int i = 0; i < 300000; i++) {
        uint64_t master_ns = prng_next(&prng);
        answers[nqptp_estimator_sample(&estimator, master_ns, prng_next(&prng))]++;
        insane += !sane(&estimator);
    }
    CHECK(answers[NQPTP_ESTIMATE_RESTARTED] > 0, "300000 random samples: series began %u times",
          answers[NQPTP_ESTIMATE_RESTARTED]);
    CHECK_EQ_U64(insane, 0, "300000 random samples: each number of the estimator is in its range");
    nqptp_estimator_reset(&estimator);
    (void)nqptp_estimator_sample(&estimator, 7, 3);
    CHECK_EQ_U64(nqptp_estimator_offset_ns(&estimator), 4,
                 "after random samples and a reset the first sample is the offset");
}

/* Differences of any magnitude, so that every limit is met from both sides. */
static void test_random_differences(void) {
    struct nqptp_estimator estimator = {0};
    struct prng prng = {2021};
    uint64_t master_ns = 0, local_ns = 0;
    unsigned continued = 0, insane = 0;

    for (int i = 0; i < 300000; i++) {
        uint64_t step_ns = prng_magnitude(&prng);
        local_ns += prng_below(&prng, 16) ? step_ns : -step_ns;
        master_ns += step_ns + prng_magnitude(&prng);
        continued +=
            nqptp_estimator_sample(&estimator, master_ns, local_ns) == NQPTP_ESTIMATE_CONTINUED;
        insane += !sane(&estimator);
    }
    CHECK_EQ_U64(insane, 0,
                 "300000 random differences: each number of the estimator is in its range");
    CHECK(continued > 0, "300000 random differences: %u samples continued a series", continued);
}

static void check_slow_clock_steps(const char *what, uint64_t interval_ns, bool lossy) {
    struct nqptp_estimator estimator = {0};
    uint64_t now_ns = 5000 * S, offset_ns = 7000 * S, stepped_ns = 0;

    for (int n = 0; n < 60; n++, now_ns += interval_ns) {
        if (n == 30) {
            offset_ns += 50 * MS;
            stepped_ns = now_ns;
        }
        if (n >= 30 && lossy && n % 2)
            continue;
        if (nqptp_estimator_sample(&estimator, now_ns + offset_ns, now_ns) ==
                NQPTP_ESTIMATE_RESTARTED &&
            n >= 30)
            break;
    }
    CHECK(now_ns - stepped_ns <= 4 * interval_ns, "a Sync each %s: a step is followed after %.1f s",
          what, (double)(now_ns - stepped_ns) / 1e9);
}

static void test_slow_clock_steps(void) {
    check_slow_clock_steps("1 s", S, false);
    check_slow_clock_steps("2.00004 s", 2 * S + 40 * US, false);
    check_slow_clock_steps("4 s", 4 * S, false);
    check_slow_clock_steps("1 s, every other one lost", S + 20 * US, true);
}

int main(void) {
    static void (*const tests[])(void) = {
        test_first_sample,
        test_reset,
        test_constant_offset,
        test_skew,
        test_change_of_rate,
        test_quality,
        test_delays,
        test_one_outlier,
        test_early_outlier,
        test_outliers_apart,
        test_one_late_sample,
        test_step_up,
        test_step_down,
        test_small_steps_down,
        test_slow_link,
        test_steps_in_a_row,
        test_bursts,
        test_paths,
        test_shorter_path_needs_a_witness,
        test_step_limit,
        test_swap,
        test_stopped_clock,
        test_one_repeated_time,
        test_two_repeated_times,
        test_repeated_times_apart,
        test_short_gap,
        test_gap_of_a_skewed_clock,
        test_long_gap,
        test_wrap,
        test_local_time_goes_back,
        test_reordered_samples,
        test_random_times,
        test_random_differences,
        test_slow_clock_steps,
    };
    TAP_RUN(tests);
    return tap_done();
}
