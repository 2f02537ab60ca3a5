/* SPDX-License-Identifier: MIT */
/*
 * Proves that no number of events, commands or clocks makes the log grow beyond its limit, and what
 * the log says of each message with -vv and -vvv.
 */
#include "nqptp-journal.h"

#include "../lib/tap.h"
#include "../lib/engine-fixture.h"

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
    rewind(log->file); /* stderr has the same file position */
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
    struct nqptp_log_limit warning = {0};

    CHECK(nqptp_warning_due(&warning, 100 * S), "warnings: the first one is due at once");
    for (int i = 0; i < 7; i++)
        CHECK(!nqptp_warning_due(&warning, 105 * S - 1),
              "warnings: less than 5 s after the first one none is due, try %d", i);
    CHECK(nqptp_warning_due(&warning, 105 * S), "warnings: after 5 s the next one is due");
    CHECK(!nqptp_warning_due(&warning, 106 * S), "warnings: 1 s after the second one none is due");
}

static void test_events(void) {
    struct world w = world_begin();
    struct nqptp_journal journal = {0};
    struct log log = log_begin(0);
    char last[1024] = "";
    uint64_t now_ns = 5000 * S;

    happen(&journal, &w, NQPTP_EVENT_MASTER, 9, now_ns);
    CHECK_EQ_U64(lines(&log, last), 9, "events: each of nine events is a line");
    happen(&journal, &w, NQPTP_EVENT_MASTER, 5000, now_ns + 5 * S - 1);
    CHECK_EQ_U64(lines(&log, last), 1, "events: the tenth of its kind in 5 s is the last line");
    happen(&journal, &w, NQPTP_EVENT_SILENT, 1, now_ns + 5 * S - 1);
    CHECK_EQ_U64(lines(&log, last), 1, "events: another kind has ten lines of its own");
    happen(&journal, &w, NQPTP_EVENT_MASTER, 1, now_ns + 5 * S);
    CHECK_EQ_U64(lines(&log, last), 2,
                 "events: after 5 s an event and the number left out are two lines");
    CHECK_EQ_STR(last, "nqptp: before it, 4999 lines of this kind were left out\n",
                 "events: the last line is the number left out");
    happen(&journal, &w, NQPTP_EVENT_MASTER, 1, now_ns + 5 * S);
    CHECK_EQ_U64(lines(&log, last), 1,
                 "events: the next event is one line, without a number left out");
    happen(&journal, &w, NQPTP_EVENT_CREATED, 10000, now_ns);
    CHECK_EQ_U64(lines(&log, last), 0, "events: without -v new clocks have no line");
    log_end(&log);
}

static void test_verbose(void) {
    struct world w = world_begin();
    struct nqptp_journal journal = {0};
    struct log log = log_begin(1);
    char last[1024] = "";

    happen(&journal, &w, NQPTP_EVENT_CREATED, 1000, 5000 * S);
    CHECK_EQ_U64(lines(&log, last), 10, "events: with -v ten new clocks in 5 s have a line");
    CHECK_EQ_STR(last, "nqptp: new clock 000000000000000a at 192.0.2.1\n",
                 "events: with -v the last line is a new clock");
    log_end(&log);
}

static void test_messages(void) {
    const struct nqptp_address address = at("192.0.2.1");
    const uint8_t junk[4] = {0x1B, 0, 2, 0xFF};
    struct log log = log_begin(1);
    char last[1024] = "";

    nqptp_journal_message("from", &address, apple_sync, sizeof apple_sync, NQPTP_DROP_NONE);
    CHECK_EQ_U64(lines(&log, last), 0, "messages: with -v they have no line");
    nqptp_log_open(2);
    nqptp_journal_message("from", &address, apple_sync, sizeof apple_sync, NQPTP_DROP_NONE);
    CHECK_EQ_U64(lines(&log, last), 1, "messages: with -vv each is a line");
    CHECK(strncmp(last, "nqptp: from 192.0.2.1: Sync 98698aaf9c950008-", 45) == 0 &&
              !strstr(last, "dropped"),
          "messages: the line of a Sync has its sender and its fields");
    nqptp_journal_message("from", &address, apple_sync, sizeof apple_sync, NQPTP_DROP_LATE);
    CHECK_EQ_U64(lines(&log, last), 1, "messages: with -vv one that is dropped is a line");
    CHECK(strstr(last, "; dropped: late\n"), "messages: its line ends with the reason");
    nqptp_log_open(3);
    nqptp_journal_message("to", &address, junk, sizeof junk, NQPTP_DROP_SHORT);
    CHECK_EQ_U64(lines(&log, last), 2, "messages: with -vvv each is two lines");
    CHECK_EQ_STR(last, "nqptp: 4 bytes: 1b0002ff\n", "messages: the second one has the bytes");
    log_end(&log);
}

static void test_look(void) {
    struct world w = world_begin();
    struct sender s = sender(10, "192.0.2.1", 248);
    struct nqptp_journal journal = {0};
    char text[NQPTP_STORY_MAX];

    (void)nqptp_journal_look(&journal, &w.engine, 5000 * S, text);
    CHECK_EQ_STR(text, "listening, nothing heard yet", "state: a new engine is listening");
    CHECK_EQ_U64(nqptp_journal_due_ns(&journal, &w.engine), NQPTP_NO_DEADLINE,
                 "state: without packets there is nothing to look at");
    w.engine.packets++;
    CHECK_EQ_U64(nqptp_journal_due_ns(&journal, &w.engine), 5010 * S,
                 "state: looked at after ten seconds if a packet came");
    (void)send_announce(&w, &s);
    nqptp_journal_events(&journal, &w.engine, &w.effects, w.now_ns);
    CHECK_EQ_U64(nqptp_journal_due_ns(&journal, &w.engine), 5001 * S,
                 "state: looked at after a second if an event happened");
    CHECK(nqptp_journal_look(&journal, &w.engine, 5001 * S, text), "state: a new clock is news");
    CHECK_EQ_STR(text, "no master, 1 clock",
                 "state: a new clock is told as one clock without a master");
    CHECK(!nqptp_journal_look(&journal, &w.engine, 5002 * S, text),
          "state: a clock that was told is no news");
    CHECK_EQ_STR(text, "no master, 1 clock", "state: a clock that was told is still the state");
    w.now_ns = 5003 * S;
    (void)send_pair(&w, &s);
    CHECK(nqptp_journal_look(&journal, &w.engine, 5004 * S, text), "state: a master is news");
    w.engine.table.clocks[0].estimator.slope_ppm += 0.2;
    CHECK(nqptp_journal_look(&journal, &w.engine, 5014 * S, text),
          "state: another rate of the master is news");
    CHECK_EQ_U64(nqptp_journal_due_ns(&journal, &w.engine), NQPTP_NO_DEADLINE,
                 "state: not looked at again while no packet comes");
}

int main(void) {
    static void (*const tests[])(void) = {
        test_warning, test_events, test_verbose, test_messages, test_look,
    };
    TAP_RUN(tests);
    return tap_done();
}
