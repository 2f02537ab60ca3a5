/* SPDX-License-Identifier: MIT */
/* Proves the words of each event, and the line that says the state for the service manager. */
#include "nqptp-story.h"

#include "../lib/tap.h"
#include "../lib/engine-fixture.h"

static bool says(const struct world *w, const char *line) {
    char text[NQPTP_STORY_MAX];

    for (unsigned i = 0; i < w->effects.event_count; i++)
        if (strcmp(nqptp_story_event(&w->engine, &w->effects.events[i], text), line) == 0)
            return true;
    for (unsigned i = 0; i < w->effects.event_count; i++)
        printf("# %s\n", nqptp_story_event(&w->engine, &w->effects.events[i], text));
    return false;
}

/* How many lines of the last effects are logged without -v. */
static unsigned essential(const struct world *w) {
    unsigned count = 0;
    for (unsigned i = 0; i < w->effects.event_count; i++)
        count += nqptp_story_essential(&w->effects.events[i]);
    return count;
}

#define CHECK_SAYS(w, line) CHECK(says((w), (line)), "%s", (line))

static void test_master(void) {
    struct sender s = sender(10, "192.0.2.1", 248);
    struct world w = world_begin();

    (void)send_announce(&w, &s);
    CHECK_SAYS(&w, "new clock 000000000000000a at 192.0.2.1");
    CHECK_EQ_U64(essential(&w), 0, "a new clock is logged only with -v");
    (void)send_pair(&w, &s);
    CHECK_SAYS(&w, "/nqptp: master is now 000000000000000a at 192.0.2.1, the only candidate");
    CHECK_SAYS(&w, "qualified to be master: clock 000000000000000a at 192.0.2.1");
    CHECK_EQ_U64(essential(&w), 1,
                 "of a new master and its qualification one line is logged without -v");
}

/* Both clocks are listed. The better gives its sample last, the worse is `steps` steps removed. */
static void contest(struct world *w, const struct sender *worse, struct nqptp_announce *better,
                    const struct sender *winner, uint16_t steps_removed) {
    *w = world_begin();
    struct sender one = *worse, two = *winner;

    command(w, "T 192.0.2.1 192.0.2.2");
    (void)send_announce(w, &one);
    w->engine.table.clocks[0].announce.steps_removed = steps_removed;
    (void)send_pair(w, &one);
    (void)send_announce(w, &two);
    int i = nqptp_clock_find(&w->engine.table, two.clock_identity, &two.address);
    struct nqptp_clock *clock = &w->engine.table.clocks[i];
    better->grandmaster_identity = better->grandmaster_identity ? better->grandmaster_identity : 1;
    clock->announce = *better;
    clock->reading.grandmaster_identity = better->grandmaster_identity;
    (void)send_pair(w, &two);
}

/* Each rung of the ladder decides once. */
static void test_reasons_of_the_comparison(void) {
    const struct sender one = sender(0x11, "192.0.2.1", 248), two = sender(0x12, "192.0.2.2", 248);
    struct world w = world_begin();
    (void)send_announce(&w, &one);
    const struct nqptp_announce same = w.engine.table.clocks[0].announce;
    struct nqptp_announce a;

#define CHECK_REASON(change, reason)                                                               \
    a = same;                                                                                      \
    change;                                                                                        \
    contest(&w, &one, &a, &two, 0);                                                                \
    CHECK_SAYS(&w, "/nqptp: master is now 0000000000000012 at 192.0.2.2, by " reason)
    CHECK_REASON(a.priority1 = 10, "priority1: 10 before 248");
    CHECK_REASON(a.clock_class = 6, "clockClass: 6 before 248");
    CHECK_REASON(a.clock_accuracy = 2, "clockAccuracy: 2 before 33");
    CHECK_REASON(a.offset_scaled_log_variance = 7, "offsetScaledLogVariance: 7 before 17258");
    CHECK_REASON(a.priority2 = 3, "priority2: 3 before 248");
    CHECK_REASON(a.grandmaster_identity = 2,
                 "grandmasterIdentity: 0000000000000002 before 0000000000000011");
#undef CHECK_REASON
    a = same;
    struct sender far = one;
    far.clock_identity = 0x13;
    far.grandmaster_identity = 0x11;
    contest(&w, &far, &a, &two, 0);
    CHECK_SAYS(&w, "/nqptp: master is now 0000000000000012 at 192.0.2.2, by clockIdentity: "
                   "0000000000000012 before 0000000000000013");
    contest(&w, &far, &a, &two, 3);
    CHECK_SAYS(&w,
               "/nqptp: master is now 0000000000000012 at 192.0.2.2, by stepsRemoved: 0 before 3");
    far = two;
    far.address = at("192.0.2.1");
    far.grandmaster_identity = 0x11;
    far.port_number = APPLE_PORT + 1;
    contest(&w, &far, &a, &two, 0);
    CHECK_SAYS(&w, "/nqptp: master is now 0000000000000012 at 192.0.2.2, by portNumber: "
                   "32773 before 32774");
    struct sender near = far;
    near.address = at("192.0.2.1");
    near.port_number = APPLE_PORT;
    far.address = at("192.0.2.2");
    far.port_number = APPLE_PORT;
    contest(&w, &far, &a, &near, 0);
    CHECK_SAYS(&w, "/nqptp: master is now 0000000000000012 at 192.0.2.1, by address");
}

static void test_reasons_of_the_list(void) {
    struct sender one = sender(1, "192.0.2.1", 100), two = sender(2, "192.0.2.2", 200);
    struct world w = world_of(&one);

    (void)send_announce(&w, &two);
    (void)send_pair(&w, &two);
    command(&w, "T 192.0.2.2");
    CHECK_SAYS(&w, "/nqptp: the list is now 1 address: 192.0.2.2");
    CHECK_SAYS(&w,
               "/nqptp: master is now 0000000000000002 at 192.0.2.2, because the one before is not "
               "listed any more");
    command(&w, "/nqptp T 192.0.2.2 192.0.2.1");
    CHECK_EQ_U64(essential(&w), 1,
                 "a longer list whose first address has the master: one line is logged without -v");
    command(&w, "/nqptp T 192.0.2.1 192.0.2.2");
    CHECK_SAYS(&w, "/nqptp: master is now 0000000000000001 at 192.0.2.1, the first in the list");
    command(&w, "/nqptp T");
    CHECK_SAYS(&w, "/nqptp: the list is now empty, so no clock may be master");
    CHECK_SAYS(&w, "/nqptp: there is no master any more");
    CHECK_EQ_U64(essential(&w), 1, "an empty list: one line is logged without -v");
    command(&w, "/nqptp T");
    CHECK_EQ_U64(w.effects.event_count, 0, "the same empty list again: nothing is told");
    command(&w, "/x T ::1 ::2 ::3 ::4 ::5 ::6 ::7 ::8 ::9");
    CHECK_SAYS(&w, "/x: the list is now 9 addresses: ::1 ::2 ::3 ::4 ::5 ::6 ::7 "
                   "::8 ...");
    command(&w, "/x B");
    CHECK_SAYS(&w, "/x: the player begins");
    command(&w, "/x P");
    CHECK_SAYS(&w, "/x: the player pauses");
    command(&w, "/x E");
    CHECK_SAYS(&w, "/x: the player ends");
    CHECK_EQ_U64(essential(&w), 0, "the activity of a player is logged only with -v");
}

static void test_stand_in(void) {
    struct sender listed = sender(1, "192.0.2.1", 100), other = listed;
    struct world w = world_begin();

    other.address = at("192.0.2.7");
    command(&w, "T 192.0.2.1");
    (void)send_announce(&w, &listed);
    (void)send_pair(&w, &listed);
    play(&w, &other, 3 * S);
    (void)send_pair(&w, &other);
    CHECK_SAYS(&w, "/nqptp: master is now 0000000000000001 at 192.0.2.7, in place of 192.0.2.1, "
                   "which is silent");
}

static void check_event(const struct nqptp_event *event, const char *line) {
    struct world w = world_begin();
    char text[NQPTP_STORY_MAX];

    CHECK_EQ_STR(nqptp_story_event(&w.engine, event, text), line, "%s", line);
}

static void test_same_host(void) {
    struct nqptp_event event = {.kind = NQPTP_EVENT_MASTER,
                                .clock_identity = 1,
                                .address = at("192.0.2.7"),
                                .reason = {.won = NQPTP_WON_SAME_HOST, .address = at("fd77::2")}};

    check_event(&event, "/nqptp: master is now 0000000000000001 at 192.0.2.7, another address of "
                        "the host of fd77::2, which is silent");
}

/* A change of less than 5 ms may come from the estimate alone. */
static void test_small_steps(void) {
    struct nqptp_event event = {.kind = NQPTP_EVENT_STEPPED, .client = -1, .address = at("::1")};

    event.moved_ns = 4999999;
    check_event(&event, "master 0000000000000000 at ::1 has stepped");
    event.moved_ns = -4999999;
    check_event(&event, "master 0000000000000000 at ::1 has stepped");
    event.moved_ns = 5000000;
    check_event(&event, "master 0000000000000000 at ::1 has stepped, its time moved by +0.005 s");
    event.moved_ns = -5000000;
    check_event(&event, "master 0000000000000000 at ::1 has stepped, its time moved by -0.005 s");
}

/* Runs from deadline to deadline until something is told or `ns` has passed. */
static void until_told(struct world *w, uint64_t ns) {
    uint64_t end_ns = w->now_ns + ns;

    w->effects.event_count = 0;
    while (w->effects.event_count == 0 && nqptp_engine_deadline(&w->engine) <= end_ns) {
        w->now_ns = nqptp_engine_deadline(&w->engine);
        nqptp_engine_expire(&w->engine, w->now_ns, &w->effects);
    }
}

static void test_lost_and_back(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);

    until_told(&w, 4 * S);
    CHECK_SAYS(
        &w, "master 0000000000000001 at 192.0.2.1 is lost: no usable sample for 3.0 s; players go "
            "on by its last values");
    until_told(&w, 100 * S);
    CHECK_EQ_U64(w.effects.event_count, 0, "the loss of a master is told once");
    pass(&w, 7 * S);
    (void)send_pair(&w, &s);
    CHECK_SAYS(&w, "master 0000000000000001 at 192.0.2.1 is back after 10.0 s");
    pass(&w, 20 * S);
    s.offset_ns -= 12 * S;
    (void)send_pair(&w, &s);
    (void)send_pair(&w, &s);
    until_told(&w, 121 * S);
    CHECK_SAYS(
        &w, "master 0000000000000001 at 192.0.2.1 is lost: no usable sample for 3.0 s; players go "
            "on by its last values");
    until_told(&w, 121 * S);
    CHECK_SAYS(&w, "clock deleted 0000000000000001 at 192.0.2.1");
    CHECK_SAYS(&w, "/nqptp: there is no master any more: the last one has been silent for 120 s or "
                   "longer");
    CHECK_EQ_U64(essential(&w), 1, "the deletion of a record is logged only with -v");
}

static void test_another_follows(void) {
    struct sender one = sender(1, "192.0.2.1", 100), two = sender(2, "192.0.2.2", 200);
    struct world w = world_of(&one);

    (void)send_announce(&w, &two);
    (void)send_pair(&w, &two);
    pass(&w, 2 * S);
    (void)send_pair(&w, &two);
    until_told(&w, 2 * S);
    CHECK_SAYS(&w, "master 0000000000000001 at 192.0.2.1 is lost: no usable sample for 3.0 s");
    CHECK_SAYS(&w, "/nqptp: master is now 0000000000000002 at 192.0.2.2, because the one before is "
                   "silent");
    until_told(&w, 3 * S);
    CHECK_SAYS(
        &w, "master 0000000000000002 at 192.0.2.2 is lost: no usable sample for 3.0 s; players go "
            "on by its last values");
    CHECK_EQ_U64(essential(&w), 1, "the loss of a clock that no client follows is not told");
}

/* Repeats its last time for `ns`, four times a second. */
static void stand_still(struct world *w, struct sender *s, uint64_t origin_ns, uint64_t ns) {
    for (uint64_t end_ns = w->now_ns + ns; w->now_ns < end_ns;) {
        (void)send_sync(w, s, s->sequence_id);
        (void)send_follow_up(w, s, s->sequence_id++, origin_ns);
        until_told(w, 250 * MS);
        if (w->effects.event_count > 0)
            return;
        w->now_ns += 250 * MS;
    }
}

static void test_stops(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);

    uint64_t origin_ns = time_of(&w, &s);
    (void)send_pair(&w, &s);
    stand_still(&w, &s, origin_ns, 10 * S);
    CHECK_SAYS(&w,
               "master 0000000000000001 at 192.0.2.1 is lost: its time has not moved for 3.0 s; "
               "players go on by its last values");
    pass(&w, 2 * S);
    s.offset_ns -= 5 * S;
    (void)send_pair(&w, &s);
    CHECK_SAYS(&w, "master 0000000000000001 at 192.0.2.1 is back after 5.0 s, its time moved by "
                   "-5.000 s");
}

static void test_steps(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);

    play(&w, &s, 5 * S);
    s.offset_ns += 500 * MS;
    for (int n = 0; n < 8 && !told(&w, NQPTP_EVENT_STEPPED, 1); n++) {
        pass(&w, 125 * MS);
        (void)send_pair(&w, &s);
    }
    CHECK_SAYS(&w, "master 0000000000000001 at 192.0.2.1 has stepped, its time moved by +0.500 s");
    s.grandmaster_identity = 0xAB;
    s.offset_ns -= 7 * S;
    (void)send_announce(&w, &s);
    CHECK_EQ_U64(essential(&w), 0, "an Announce of another grandmaster is logged only with -v");
    (void)send_pair(&w, &s);
    CHECK_SAYS(&w, "master 0000000000000001 at 192.0.2.1 has another grandmaster, "
                   "00000000000000ab, its time moved by -7.000 s");
    unsigned lines = 0;
    for (int n = 0; n < 400; n++) {
        (void)send_pair(&w, &s);
        lines += w.effects.event_count;
        pass(&w, 124 * MS);
    }
    CHECK_EQ_U64(lines, 0, "400 good pairs of a master: nothing is told");
}

/* --- where things stand ---------------------------------------------------------------------- */

static void check_stands(const struct world *w, const char *line) {
    char text[NQPTP_STORY_MAX];

    CHECK_EQ_STR(nqptp_story_state(&w->engine, text), line, "%s", line);
}

static void test_summary(void) {
    struct sender s = sender(10, "192.0.2.1", 248), other = sender(11, "192.0.2.2", 249);
    struct world w = world_begin();

    check_stands(&w, "listening, nothing heard yet");
    (void)send_announce(&w, &s);
    check_stands(&w, "no master, 1 clock");
    (void)send_announce(&w, &other);
    check_stands(&w, "no master, 2 clocks");
    (void)send_pair(&w, &s);
    struct nqptp_estimator *e = &w.engine.table.clocks[w.engine.clients.list[0].master].estimator;
    e->slope_ppm = 12.34;
    e->noise_us = 41.4;
    check_stands(&w, "master 000000000000000a at 192.0.2.1, +12.3 ppm, 41 us, 2 clocks");
    e->slope_ppm = -0.04;
    check_stands(&w, "master 000000000000000a at 192.0.2.1, +0.0 ppm, 41 us, 2 clocks");
    pass(&w, 4 * S);
    check_stands(&w, "master 000000000000000a at 192.0.2.1, lost, 2 clocks");
    command(&w, "/x T 192.0.2.1");
    command(&w, "T");
    (void)send_pair(&w, &s);
    e->slope_ppm = -3;
    e->noise_us = 5;
    check_stands(&w, "/x: master 000000000000000a at 192.0.2.1, -3.0 ppm, 5 us, 2 clocks");
    command(&w, "/x B");
    command(&w, "/x E");
    pass(&w, 200 * S);
    check_stands(&w, "listening, nothing heard now");
    w = world_begin();
    (void)send_announce(&w, &s);
    pass(&w, 121 * S);
    check_stands(&w, "listening, nothing heard now");
}

/* Plays for `seconds` at that rate. Returns how often an event told of the rate, and its last line.
 */
static unsigned rate_events(struct world *w, struct sender *s, unsigned seconds, double ppm,
                            char line[NQPTP_STORY_MAX]) {
    unsigned count = 0;

    for (unsigned n = 0; n < 8 * seconds; n++) {
        if (n % 8 == 0)
            (void)send_announce(w, s);
        (void)send_pair(w, s);
        for (unsigned i = 0; i < w->effects.event_count; i++)
            if (w->effects.events[i].kind == NQPTP_EVENT_RATE) {
                (void)nqptp_story_event(&w->engine, &w->effects.events[i], line);
                count += nqptp_story_essential(&w->effects.events[i]);
            }
        pass(w, 124 * MS);
        s->offset_ns += (uint64_t)(int64_t)(ppm * 125);
    }
    return count;
}

static void test_odd_rate(void) {
    struct sender s = sender(10, "192.0.2.1", 248);
    struct world w = world_of(&s);
    char line[NQPTP_STORY_MAX] = "";

    CHECK_EQ_U64(rate_events(&w, &s, 200, 140, line), 0, "a rate of 140 ppm is not told");
    CHECK_EQ_U64(rate_events(&w, &s, 300, -300, line), 1, "a rate of -300 ppm is told once");
    CHECK(strstr(line, "master 000000000000000a at 192.0.2.1 runs ") &&
              strstr(line, " ppm slower than this machine's clock, and crystals differ by 100"),
          "an odd rate is told with the clock and its direction");
    CHECK_EQ_U64(rate_events(&w, &s, 300, 10, line), 1, "a rate of 10 ppm after it is told once");
    CHECK(strcmp(line, "master 000000000000000a at 192.0.2.1 runs at a usual rate again") == 0,
          "a usual rate after an odd one is told as that");
}

static void test_words_of_each_kind(void) {
    struct world w = world_begin();
    char text[NQPTP_STORY_MAX];

    for (int kind = 0; kind < NQPTP_EVENT_KINDS; kind++) {
        struct nqptp_event event = {.kind = (enum nqptp_event_kind)kind, .client = -1};
        bool of_client = kind == NQPTP_EVENT_LIST || kind == NQPTP_EVENT_ACTIVITY ||
                         kind == NQPTP_EVENT_MASTER || kind == NQPTP_EVENT_NO_MASTER;
        if (!of_client)
            CHECK(!strstr(nqptp_story_event(&w.engine, &event, text), "(null)"),
                  "event of kind %d: it has words", kind);
    }
}

static void test_reason_without_a_loser(void) {
    struct world w = world_begin();
    struct sender a = sender(1, "192.0.2.1", 100), b = sender(2, "192.0.2.2", 200);
    char text[NQPTP_STORY_MAX] = "";

    play_both_5s(&w, &a, &b);
    announce_steps(&w, &a, 255);
    for (unsigned i = 0; i < w.effects.event_count; i++)
        if (w.effects.events[i].kind == NQPTP_EVENT_MASTER)
            nqptp_story_event(&w.engine, &w.effects.events[i], text);
    CHECK_EQ_STR(text, "/nqptp: master is now 0000000000000002 at 192.0.2.2, the only candidate",
                 "a clock that may not be master is not named as the one that lost");
}

int main(void) {
    static void (*const tests[])(void) = {
        test_master,
        test_reasons_of_the_comparison,
        test_reasons_of_the_list,
        test_stand_in,
        test_same_host,
        test_small_steps,
        test_lost_and_back,
        test_another_follows,
        test_stops,
        test_steps,
        test_odd_rate,
        test_summary,
        test_words_of_each_kind,
        test_reason_without_a_loser,
    };
    TAP_RUN(tests);
    return tap_done();
}
