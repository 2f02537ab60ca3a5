/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target for nqptp-estimator: the input is a series of samples, some of any time whatever,
 * most of them near the sample before, because a series needs that to go on.
 *
 * Whatever comes, the numbers stay finite and the stores bounded, and what is published does not
 * leap unless it says so. Since only differences of times count, the same series at other epochs
 * must give the same answers.
 */
#include "nqptp-estimator.h"

#include "fuzz.h"
#include "../lib/random.h"

#include <math.h>

#define MS UINT64_C(1000000)
#define OTHER_EPOCH UINT64_C(0xC3A5C85C97CB3127) /* arbitrary */
#define INTERVAL_NS (125 * MS)
#define SETTLED_NS (20000 * MS) /* A series of this age is settled. */
#define LEAP_NS (1 * MS)        /* The offset of a settled series does not move by more. */
#define SLOPE_PPM 1500          /* The limit of the slope. */
#define RUN_MOST 100
#define SAMPLES_MOST 1000 /* of one input: it must not take for ever */

struct run {
    struct nqptp_estimator here;
    struct nqptp_estimator there; /* The same series, if the master has another epoch. */
    struct nqptp_estimator later; /* The same series, if both have another epoch. */
    bool any;
    uint64_t master_ns, local_ns; /* of the last sample */
    uint64_t begun_ns, moved_ns;  /* the first and the last sample of the series that counted */
    unsigned samples;
};

static uint64_t distance(uint64_t a, uint64_t b) {
    return (int64_t)(a - b) < 0 ? b - a : a - b;
}

static void require_sound(const struct nqptp_estimator *e) {
    REQUIRE(e->bins > 0 && e->bins <= NQPTP_ESTIMATOR_BINS);
    REQUIRE(e->last_bursts.count <= NQPTP_ESTIMATOR_RECENT &&
            e->last_peaks.count <= NQPTP_ESTIMATOR_RECENT);
    REQUIRE(isfinite(e->slope_ppm) && fabs(e->slope_ppm) <= SLOPE_PPM);
    REQUIRE(isfinite(e->noise_us) && e->noise_us > 0);
    for (unsigned i = 1; i < e->bins; i++)
        REQUIRE(e->bin[i - 1].time_ns < e->bin[i].time_ns);
}

/* Whether the offset after this sample may follow the offset before. */
static void require_steady(const struct run *run, enum nqptp_estimate estimate, uint64_t before_ns,
                           uint64_t after_ns) {
    uint64_t moved_ns = distance(after_ns, before_ns);
    uint64_t since_ns = distance(run->local_ns, run->moved_ns);
    bool settled = (int64_t)(run->local_ns - run->begun_ns) > (int64_t)SETTLED_NS;

    REQUIRE(run->any || estimate == NQPTP_ESTIMATE_RESTARTED);
    REQUIRE(run->any || after_ns == run->master_ns - run->local_ns);
    REQUIRE(estimate != NQPTP_ESTIMATE_NONE || moved_ns == 0);
    REQUIRE(estimate != NQPTP_ESTIMATE_CONTINUED || !settled ||
            moved_ns <= LEAP_NS + since_ns / 1000000 * SLOPE_PPM);
}

static void try_sample(struct run *run, uint64_t master_ns, uint64_t local_ns) {
    if (run->samples++ >= SAMPLES_MOST)
        return;
    bool repeated = run->any && master_ns == run->master_ns;
    uint64_t before_ns = nqptp_estimator_offset_ns(&run->here);
    enum nqptp_estimate estimate = nqptp_estimator_sample(&run->here, master_ns, local_ns);
    uint64_t after_ns = nqptp_estimator_offset_ns(&run->here);

    REQUIRE(estimate == nqptp_estimator_sample(&run->there, master_ns + OTHER_EPOCH, local_ns));
    REQUIRE(estimate ==
            nqptp_estimator_sample(&run->later, master_ns + OTHER_EPOCH, local_ns + OTHER_EPOCH));
    REQUIRE(nqptp_estimator_offset_ns(&run->there) == after_ns + OTHER_EPOCH);
    REQUIRE(nqptp_estimator_offset_ns(&run->later) == after_ns);
    run->master_ns = master_ns;
    run->local_ns = local_ns;
    require_sound(&run->here);
    require_steady(run, estimate, before_ns, after_ns);
    REQUIRE(!repeated || estimate == NQPTP_ESTIMATE_NONE);
    if (estimate == NQPTP_ESTIMATE_RESTARTED)
        run->begun_ns = local_ns;
    if (estimate != NQPTP_ESTIMATE_NONE)
        run->moved_ns = local_ns;
    run->any = true;
}

/* Makes usual samples: late by up to a power of two, from a clock with another rate. */
static void try_run(struct run *run, struct fuzz_input *input) {
    struct prng prng = {UINT64_C(0x9E3779B97F4A7C15) ^ fuzz_octet(input)};
    unsigned count = fuzz_octet(input) % RUN_MOST + 1;
    int64_t ppm = 10 * (int64_t)(int8_t)fuzz_octet(input);
    uint64_t late_ns = UINT64_C(1) << fuzz_octet(input) % 32;
    uint64_t master_ns = run->master_ns, local_ns = run->local_ns;

    for (unsigned i = 0; i < count; i++) {
        local_ns += INTERVAL_NS;
        master_ns += INTERVAL_NS + (uint64_t)(ppm * (int64_t)(INTERVAL_NS / 1000000));
        try_sample(run, master_ns, local_ns + prng_below(&prng, late_ns));
    }
}

static void reset(struct run *run) {
    nqptp_estimator_reset(&run->here);
    nqptp_estimator_reset(&run->there);
    nqptp_estimator_reset(&run->later);
    run->any = false;
}

static void step(struct run *run, struct fuzz_input *input) {
    uint64_t master_ns = run->master_ns, local_ns = run->local_ns, raw_ns;

    switch (fuzz_octet(input) % 8) {
    case 0:
        raw_ns = fuzz_number(input, 8);
        try_sample(run, raw_ns, fuzz_number(input, 8));
        break;
    case 1: /* a clock that has stopped */
        try_sample(run, master_ns, local_ns + fuzz_magnitude(input));
        break;
    case 2: /* a clock that steps */
        try_sample(run, master_ns + INTERVAL_NS + fuzz_magnitude(input), local_ns + INTERVAL_NS);
        break;
    case 3: /* a clock that steps back */
        try_sample(run, master_ns + INTERVAL_NS - fuzz_magnitude(input), local_ns + INTERVAL_NS);
        break;
    case 4: /* a gap */
        raw_ns = fuzz_magnitude(input);
        try_sample(run, master_ns + raw_ns, local_ns + raw_ns);
        break;
    case 5: /* a sample that was overtaken */
        raw_ns = fuzz_magnitude(input);
        try_sample(run, master_ns - raw_ns, local_ns - raw_ns);
        break;
    case 6:
        try_run(run, input);
        break;
    default:
        reset(run);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input input = {data, size};
    struct run run = {.local_ns = UINT64_C(5400000000000), .master_ns = UINT64_C(788996000000000)};

    while (input.left > 0)
        step(&run, &input);
    return 0;
}
