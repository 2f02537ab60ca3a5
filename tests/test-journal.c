/* SPDX-License-Identifier: MIT */
/* Proves that no number of events, commands or clocks makes the log grow beyond what was promised.
 */
#include "nqptp-journal.h"

#include "tap.h"
#include "world.h"

#include <stdlib.h>
#include <unistd.h>

/* stderr goes into a file. */
struct log {
    FILE *file;
    int before;
};

static struct log log_begin(unsigned verbosity) {
    struct log log = {tmpfile(), dup(STDERR_FILENO)};

    unsetenv("JOURNAL_STREAM");
    nqptp_log_open(verbosity);
    if (log.file)
        dup2(fileno(log.file), STDERR_FILENO);
    CHECK(log.file && log.before >= 0, "the log goes into a file");
    return log;
}

/* How many lines came since the last call, and the last of them. */
static unsigned lines(struct log *log, char last[1024]) {
    unsigned count = 0;

    fflush(stderr);
    rewind(log->file); /* stderr is where this is: both are one open file */
    while (fgets(last, 1024, log->file))
        count++;
    rewind(log->file);
    CHECK(ftruncate(fileno(log->file), 0) == 0, "the log is read");
    return count;
}

static void log_end(struct log *log) {
    dup2(log->before, STDERR_FILENO);
    close(log->before);
    fclose(log->file);
}

/* `count` events of that kind at that moment. */
static void happen(struct nqptp_journal *journal, const struct world *w, enum nqptp_event_kind kind,
                   unsigned count, uint64_t now_ns) {
    struct nqptp_effects effects = {.event_count = 1};

    effects.events[0] = (struct nqptp_event){.kind = kind,
                                             .clock_identity = 10,
                                             .address = at("192.0.2.1"),
                                             .client = kind == NQPTP_EVENT_MASTER ? 0 : -1};
    for (unsigned i = 0; i < count; i++)
        nqptp_journal_events(journal, &w->engine, &effects, now_ns);
}

static void test_warning(void) {
    struct nqptp_spaced_warning warning = {0};
    unsigned withheld = 99;

    CHECK(nqptp_warning_due(&warning, 100 * S, &withheld), "the first comes at once");
    CHECK_EQ_U64(withheld, 0, "and stands for no other");
    for (int i = 0; i < 7; i++)
        CHECK(!nqptp_warning_due(&warning, 105 * S - 1, &withheld), "too early, %d", i);
    CHECK(nqptp_warning_due(&warning, 105 * S, &withheld), "after 5 s the next");
    CHECK_EQ_U64(withheld, 7, "which says how many there were");
    CHECK(nqptp_warning_due(&warning, 200 * S, &withheld) && withheld == 0, "and those are told");
}

static void test_story(void) {
    struct world w = world_begin();
    struct nqptp_journal journal = {0};
    struct log log = log_begin(0);
    char last[1024] = "";
    uint64_t now_ns = 5000 * S;

    happen(&journal, &w, NQPTP_EVENT_MASTER, 9, now_ns);
    CHECK_EQ_U64(lines(&log, last), 9, "what is essential is told");
    happen(&journal, &w, NQPTP_EVENT_MASTER, 5000, now_ns);
    CHECK_EQ_U64(lines(&log, last), 1, "but ten lines at once");
    now_ns += 60 * S - 1;
    happen(&journal, &w, NQPTP_EVENT_MASTER, 5000, now_ns);
    CHECK_EQ_U64(lines(&log, last), 0, "and no more in the minute after the first");
    happen(&journal, &w, NQPTP_EVENT_CREATED, 10000, now_ns);
    CHECK_EQ_U64(lines(&log, last), 0, "and what is not so is not");
    nqptp_journal_sum_up(&journal, &w.engine, now_ns);
    CHECK_EQ_U64(lines(&log, last), 0, "nor is it summed up while there is no line to spare");
    now_ns++;
    nqptp_journal_sum_up(&journal, &w.engine, now_ns);
    CHECK_EQ_U64(lines(&log, last), 1, "a minute later there is one");
    CHECK_EQ_STR(last,
                 "nqptp: 9999 more changes in short order; now: listening, nothing heard yet\n",
                 "which says how many, and what came of it");
    happen(&journal, &w, NQPTP_EVENT_MASTER, 2, now_ns);
    CHECK_EQ_U64(lines(&log, last), 0, "and it is used up then");
    now_ns += 300 * S;
    happen(&journal, &w, NQPTP_EVENT_MASTER, 1000, now_ns);
    CHECK_EQ_U64(lines(&log, last), 5, "so many lines for so many minutes");
    now_ns += 100000 * S;
    happen(&journal, &w, NQPTP_EVENT_MASTER, 1000, now_ns);
    CHECK_EQ_U64(lines(&log, last), 10, "and never more than ten");
    log_end(&log);
}

static void test_verbose(void) {
    struct world w = world_begin();
    struct nqptp_journal journal = {0};
    struct log log = log_begin(1);
    char last[1024] = "";
    uint64_t now_ns = 5000 * S;

    happen(&journal, &w, NQPTP_EVENT_CREATED, 1000, now_ns);
    CHECK_EQ_U64(lines(&log, last), 100, "with -v, a hundred events");
    CHECK_EQ_STR(last, "nqptp: new clock 000000000000000a at 192.0.2.1\n", "in words");
    happen(&journal, &w, NQPTP_EVENT_CREATED, 1, now_ns + 59 * S);
    CHECK_EQ_U64(lines(&log, last), 0, "in a minute");
    happen(&journal, &w, NQPTP_EVENT_CREATED, 1, now_ns + 60 * S);
    CHECK_EQ_U64(lines(&log, last), 2, "then the next, after how many were left out");
    happen(&journal, &w, NQPTP_EVENT_REFUSED, 50, now_ns + 70 * S);
    CHECK_EQ_U64(lines(&log, last), 1, "clocks without room are one warning");
    happen(&journal, &w, NQPTP_EVENT_REFUSED, 1, now_ns + 75 * S);
    CHECK_EQ_U64(lines(&log, last), 2, "that comes again with their number");
    CHECK_EQ_STR(last, "nqptp: 49 others had no room since the last such line\n", "in words");
    log_end(&log);
}

static void test_look(void) {
    struct world w = world_begin();
    struct sender s = sender(10, "192.0.2.1", 248);
    struct nqptp_journal journal = {0};
    char text[NQPTP_STORY_MAX];

    (void)nqptp_journal_look(&journal, &w.engine, 5000 * S, text);
    CHECK_EQ_STR(text, "listening, nothing heard yet", "where things stand");
    CHECK_EQ_U64(nqptp_journal_look_ns(&journal), 5010 * S, "looked at in ten seconds again");
    (void)send_announce(&w, &s);
    nqptp_journal_events(&journal, &w.engine, &w.effects, w.now_ns);
    CHECK_EQ_U64(nqptp_journal_look_ns(&journal), 5001 * S, "in one if something happened");
    CHECK(nqptp_journal_look(&journal, &w.engine, 5001 * S, text), "that is news");
    CHECK_EQ_STR(text, "no master; 1 clock heard", "namely this");
    CHECK(!nqptp_journal_look(&journal, &w.engine, 5002 * S, text), "but once");
    CHECK_EQ_STR(text, "no master; 1 clock heard", "though it is still so");
}

int main(void) {
    test_warning();
    test_story();
    test_verbose();
    test_look();
    return tap_done();
}
