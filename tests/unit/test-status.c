/* SPDX-License-Identifier: MIT */
/*
 * Proves that the status shows objects, lists, masters, a row for each clock with its marks, the
 * drops, and a hint if it knows what is wrong; that a fact is one line, and a row has 80 columns at
 * most; that the JSON is well-formed with any names of clients; that the largest status fits
 * NQPTP_STATUS_MAX; and that a smaller buffer is never overrun.
 */
#include "nqptp-status.h"

#include "../lib/tap.h"

#include <errno.h>
#include "../lib/engine-fixture.h"

#include <ctype.h>
#include <stdlib.h>

static struct nqptp_status status_of(const struct world *w) {
    struct nqptp_status status = {
        .engine = &w->engine,
        .version = "1.2.3",
        .now_ns = w->now_ns,
        .started_ns = 4990 * S,
        .event_port = 319,
        .general_port = 320,
    };

    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++) {
        status.objects[c].layout = 10;
        status.objects[c].use = NQPTP_USE_OPEN;
    }
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        (void)snprintf(status.interfaces[i], sizeof status.interfaces[i], "eth%d", i);
    return status;
}

static size_t write_text(const struct world *w, char text[NQPTP_STATUS_MAX]) {
    struct nqptp_status status = status_of(w);
    return nqptp_status_text(&status, text, NQPTP_STATUS_MAX);
}

static size_t write_json(const struct world *w, char text[NQPTP_STATUS_MAX]) {
    struct nqptp_status status = status_of(w);
    return nqptp_status_json(&status, text, NQPTP_STATUS_MAX);
}

/* Whether exactly one line has all of these. */
static bool has_row(const char *text, const char *first, const char *second, const char *third) {
    unsigned rows = 0;

    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        size_t length = end ? (size_t)(end - line) : strlen(line);
        char copy[512] = "";
        memcpy(copy, line, length < sizeof copy ? length : sizeof copy - 1);
        rows += strstr(copy, first) && strstr(copy, second) && strstr(copy, third);
        line += length + (end != NULL);
    }
    return rows == 1;
}

struct row {
    const char *first, *second, *third, *name;
};

/* Checks that exactly one line has the three texts of each row. */
static void check_rows(const char *text, const char *subject, const struct row *rows,
                       size_t count) {
    for (size_t i = 0; i < count; i++)
        CHECK(has_row(text, rows[i].first, rows[i].second, rows[i].third), "%s: the text has %s",
              subject, rows[i].name);
}

#define CHECK_ROWS(text, subject, ...)                                                             \
    check_rows(text, subject, (const struct row[]){__VA_ARGS__},                                   \
               sizeof((const struct row[]){__VA_ARGS__}) / sizeof(struct row))

/* The length of the longest line. */
static size_t widest(const char *text) {
    size_t width = 0;

    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        width = length > width ? length : width;
        line += length + (line[length] == '\n');
    }
    return width;
}

/* The number of lines that do not begin with a title. */
static unsigned untitled(const char *text) {
    unsigned count = 0;

    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        count += line[9] != ' ' || line[10] == ' ';
    return count;
}

/* --- JSON, as RFC 8259 has it ------------------------------------------------------------------
 */

/* Each of these returns the text after the value, or NULL if it is none. Our JSON has no blanks. */
static const char *json_value(const char *at, unsigned depth);

static const char *json_string(const char *at) {
    if (*at++ != '"')
        return NULL;
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7F)
            return NULL;
        if (*at != '\\' || *++at == '"' || *at == '\\')
            continue;
        if (*at != 'u')
            return NULL; /* The daemon writes no other escapes. */
        for (int i = 0; i < 4; i++)
            if (!isxdigit((unsigned char)*++at))
                return NULL;
    }
    return at + 1;
}

static const char *json_number(const char *at) {
    char *end;

    if (*at != '-' && !isdigit((unsigned char)*at))
        return NULL;
    if (at[*at == '-'] == '0' && isdigit((unsigned char)at[1 + (*at == '-')]))
        return NULL;
    (void)strtod(at, &end);
    return end > at ? end : NULL;
}

/* Reads the members of an object or array, after the bracket that opens it. */
// NOLINTNEXTLINE(misc-no-recursion): JSON nests, and this no deeper than 5
static const char *json_members(const char *at, char close, unsigned depth) {
    if (*at == close)
        return at + 1;
    while (at) {
        if (close == '}') {
            at = json_string(at);
            if (!at || *at++ != ':')
                return NULL;
        }
        at = json_value(at, depth);
        if (!at || *at == close)
            return at ? at + 1 : NULL;
        at = *at == ',' ? at + 1 : NULL;
    }
    return NULL;
}

// NOLINTNEXTLINE(misc-no-recursion): see above
static const char *json_value(const char *at, unsigned depth) {
    static const char *const words[] = {"true", "false", "null"};

    if (depth > 5)
        return NULL;
    if (*at == '{' || *at == '[')
        return json_members(at + 1, *at == '{' ? '}' : ']', depth + 1);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    return *at == '"' ? json_string(at) : json_number(at);
}

static bool is_json(const char *text) {
    const char *end = json_value(text, 0);
    return end && strcmp(end, "\n") == 0;
}

/* --- what there is ------------------------------------------------------------------------------
 */

static void test_nothing(void) {
    struct world w = world_begin();
    char text[NQPTP_STATUS_MAX];
    size_t length = write_text(&w, text);

    CHECK_EQ_U64(length, strlen(text), "a new engine: the length of the text is returned");
    CHECK_ROWS(text, "a new engine",
               {"Version:", "1.2.3", "up 10s", "the version and the time since the start"},
               {"Object:", "/nqptp, layout 10, in use", "player stopped", "the object"},
               {"Master:", "none", "", "no master"}, {"List:", "never", "", "no list"},
               {"Clocks:", " 0 of 32", "", "no clock"},
               {"Packets:", " 0 used", " 0 dropped", "no packet"},
               {"Hint:", "nothing was heard", "319 and 320", "a hint that nothing was heard"});
    CHECK(length > 0 && text[length - 1] == '\n', "a new engine: the text ends with a line end");
    length = write_json(&w, text);
    CHECK_EQ_U64(length, strlen(text), "a new engine: the length of the JSON is returned");
    CHECK(is_json(text), "a new engine: the JSON is well-formed");
    CHECK(strstr(text, "\"version\":\"1.2.3\",\"uptime_s\":10.000,") &&
              strstr(text, "{\"object\":\"/nqptp\",\"layout\":10,\"in_use\":true,"
                           "\"player\":\"stopped\",\"list_length\":null,\"list\":null,"
                           "\"master\":null}") &&
              strstr(text, "\"clocks\":[]"),
          "a new engine: the JSON has version, object, and no clocks");
}

static void test_master(void) {
    struct sender s = sender(UINT64_C(0x98698AAF9C950008), "192.0.2.1", 100);
    struct world w = world_of(&s);
    char text[NQPTP_STATUS_MAX];

    play(&w, &s, 10 * S);
    (void)send_sync(&w, &s, (uint16_t)(s.sequence_id - 1)); /* a repetition */
    w.now_ns += 2500 * MS;
    (void)write_text(&w, text);
    CHECK_ROWS(
        text, "a master",
        {"Master:", "98698aaf9c950008 at 192.0.2.1", "on eth0", "identity, address and interface"},
        {"Sample:", " 2.6s ago", " for 13s", "the ages of its last and first samples"},
        {"Offset:", "-7463494420.5", " s, error ", "the offset with its sign"},
        {"Rate:", " ppm", "noise ", "rate and noise"},
        {"Clock identity", "Address", "GM", "a table with a heading"},
        {"*.QA. 98698aaf9c950008 192.0.2.1", " 2.6s", "us 125ms", "a row with error and interval"},
        {"98698aaf9c950008 192.0.2.1", " 173 ", " 100/248 self",
         "a row with packets, priorities and grandmaster"},
        {"Packets:", " 173 used", " 1 dropped", "the counts of packets used and dropped"});
    CHECK(has_row(text, "Dropped:", "duplicate=1", "") && !strstr(text, "late="),
          "a master: the text has the reasons of the drops, and no others");
    CHECK(!strstr(text, "Hint:"), "a master: there is no hint");
    (void)write_json(&w, text);
    CHECK(is_json(text) && strstr(text, "\"master\":0}]"),
          "a master: the JSON names it by its index");
    CHECK(strstr(text, "\"clock_identity\":\"98698aaf9c950008\",\"address\":\"192.0.2.1\","
                       "\"interface\":\"eth0\",\"master\":true,\"listed\":false,"
                       "\"qualified\":true,\"alive\":true,\"asleep\":false,\"heard_s\":2.6") &&
              strstr(text, "\"packets\":173,\"requests_sent\":0,\"answers_received\":0,\"sync_"
                           "interval_s\":0.125000,"
                           "\"grandmaster_identity\":\"98698aaf9c950008\",\"priority1\":100,") &&
              strstr(text, "\"priority2\":248,\"steps_removed\":0") &&
              strstr(text, "\"duplicate\":1,"),
          "a master: the JSON has its facts");
    CHECK(!strstr(text, "\"hint\""), "a master: the JSON has no hint");
    w.now_ns += 10 * S;
    (void)write_text(&w, text);
    CHECK(has_row(text, "*.Q.. 98698aaf9c950008 192.0.2.1", "12.6s", ""),
          "a silent master: its row has the mark of a master, not that of a clock that is alive");
    CHECK(has_row(text, "Hint:", "/nqptp:", "has fallen silent"),
          "a silent master: the hint says that it has fallen silent");
}

static void test_numbers(void) {
    struct sender s = sender(0xA, "192.0.2.1", 100);
    char text[NQPTP_STATUS_MAX], expected[64];

    s.offset_ns = UINT64_C(1) << 62;
    struct world w = world_of(&s);
    (void)write_text(&w, text);
    CHECK(has_row(text, "Offset:", "+4611686018.42", ""),
          "a large offset: the text has it in seconds");
    (void)write_json(&w, text);
    (void)snprintf(expected, sizeof expected, "\"offset_ns\":\"%" PRIu64 "\"", w.record.offset_ns);
    CHECK(strstr(text, expected) != NULL,
          "a large offset: the JSON has it as a string, for no number holds it");
    s.grandmaster_identity = 0xABC;
    (void)send_announce(&w, &s);
    (void)send_pair(&w, &s);
    (void)write_text(&w, text);
    CHECK(has_row(text, "*.QA. 000000000000000a", "0000000000000abc", ""),
          "a master behind a grandmaster: its row names the grandmaster");
}

/* Durations in the unit that needs the fewest digits. */
static void test_durations(void) {
    static const struct {
        uint64_t ns;
        const char *shown;
    } durations[] = {
        {86400 * S, "1.0d"}, {86399 * S, "24h"},  {3600 * S, "1.0h"}, {3599 * S, "60min"},
        {60 * S, "1.0min"},  {59900 * MS, "60s"}, {9950 * MS, "10s"}, {9940 * MS, "9.9s"},
        {S, "1.0s"},         {999 * MS, "999ms"}, {MS, "1.0ms"},      {999 * US, "999us"},
        {US, "1.0us"},       {0, "0.0us"},
    };
    struct world w = world_begin();
    struct nqptp_status status = status_of(&w);
    char text[NQPTP_STATUS_MAX], expected[64];

    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        status.now_ns = status.started_ns + durations[i].ns;
        (void)nqptp_status_text(&status, text, sizeof text);
        (void)snprintf(expected, sizeof expected, "Version:  1.2.3, up %s\n", durations[i].shown);
        CHECK(strncmp(text, expected, strlen(expected)) == 0, "%" PRIu64 " us are shown as %s",
              durations[i].ns / US, durations[i].shown);
    }
}

/* Returns the number that the member has, or -1e99 if there is no such member. */
static double number_of(const char *json, const char *name) {
    char member[64];

    (void)snprintf(member, sizeof member, "\"%s\":", name);
    const char *found = strstr(json, member);
    return found ? strtod(found + strlen(member), NULL) : -1e99;
}

static void test_json_of_a_clock(void) {
    struct sender s = sender(0xA, "192.0.2.1", 100), other = sender(0xB, "192.0.2.2", 200);
    struct world w = world_begin();
    char text[NQPTP_STATUS_MAX], expected[96];

    (void)send_announce(&w, &other);
    (void)write_json(&w, text);
    CHECK(!strstr(text, "\"sample_age_s\"") && !strstr(text, "\"rate_ppm\"") &&
              !strstr(text, "\"sync_interval_s\"") && !strstr(text, "\"answer_s\""),
          "a clock that only announced itself: members of samples are left out");
    play(&w, &s, 125 * S);
    struct nqptp_clock *clock = &w.engine.table.clocks[1];
    clock->answers = 3;
    clock->answered_ns = w.now_ns - 1500 * MS;
    w.now_ns += 250 * MS;
    (void)write_json(&w, text);
    CHECK(is_json(text) && strstr(text, "\"master\":0}]"),
          "a master behind an empty row: its index counts clocks, not rows");
    CHECK(strstr(text, "\"clock_class\":248,\"clock_accuracy\":33,"
                       "\"offset_scaled_log_variance\":17258,"),
          "a clock: it has what it announced");
    CHECK(strstr(text, "\"answers_received\":3,\"answer_s\":1.750,"),
          "a clock that answered: it has the number of answers and the age of the last");
    double age = number_of(text, "sample_age_s"), series = number_of(text, "series_s");
    CHECK(age > 0.2 && age < 0.5, "a clock: the age of its last sample is %f s", age);
    CHECK(series > 124 && series < 126, "a clock: the age of its series is %f s", series);
    (void)snprintf(expected, sizeof expected, "\"local_time_ns\":\"%" PRIu64 "\",",
                   clock->reading.local_time_ns);
    CHECK(strstr(text, expected), "a clock: the time of its last sample is a string");
    CHECK(number_of(text, "rate_ppm") > -1 && number_of(text, "rate_ppm") < 1 &&
              number_of(text, "noise_us") >= 0 && number_of(text, "error_us") >= 0,
          "a clock: it has rate, noise and error");
    clock->estimator.slope_ppm = 12.5;
    clock->estimator.noise_us = 30;
    (void)write_json(&w, text);
    CHECK(strstr(text, "\"rate_ppm\":12.5000,\"noise_us\":30.0,\"error_us\":"),
          "a clock: rate and noise are those of its estimator");
    (void)write_text(&w, text);
    CHECK(has_row(text, "Rate:", "+12.500 ppm, noise 30us", ""),
          "a clock: the text has the same rate and noise");
}

static void test_marks(void) {
    struct sender s = sender(0xA, "192.0.2.1", 100), other = sender(0xB, "2001:db8::b", 1);
    struct world w = world_of(&s);
    char text[NQPTP_STATUS_MAX];

    (void)send_sync(&w, &other, 1);
    command(&w, "T 192.0.2.1 192.0.2.7");
    (void)write_text(&w, text);
    CHECK(has_row(text, "*LQA. 000000000000000a 192.0.2.1", "", ""),
          "a listed master: its row has its marks");
    CHECK(has_row(text, "..... 000000000000000b 2001:db8::b", "0.0s     -", "-/-") ||
              has_row(text, "..... 000000000000000b 2001:db8::b", "0.0s", " -"),
          "a clock of which only a Sync came: its row has no mark and no unknown values");
    CHECK(has_row(text, "Marks:", "* master, L listed", "Z asleep"), "the marks are explained");
    CHECK(has_row(text, "Clocks:", " 2 of 32", ""), "the text has the count of two clocks");
    CHECK(has_row(text, "List:", " 2 addresses: 192.0.2.1 192.0.2.7", ""),
          "the text has a list of two");
    (void)write_json(&w, text);
    CHECK(is_json(text) && strstr(text, "\"list_length\":2,\"list\":[\"192.0.2.1\",\"192.0.2.7\"]"),
          "the JSON has a list of two");
    command(&w, "T 192.0.2.1");
    (void)send_sync(&w, &s, s.sequence_id);
    (void)write_text(&w, text);
    CHECK(has_row(text, "Asked:", " 1 times, 0 answers", ""),
          "the text has how often the master was asked");
    CHECK(has_row(text, "List:", " 1 address:", "") && !strstr(text, "1 addresses"),
          "the text has a list of one, in the singular");
    command(&w, "T");
    (void)write_text(&w, text);
    CHECK(has_row(text, "List:", "empty", "") && has_row(text, "Master:", "none", "") &&
              !strstr(text, "Hint:"),
          "an empty list: the text has no master and no hint");
    (void)write_json(&w, text);
    CHECK(is_json(text) && strstr(text, "\"list_length\":0,\"list\":[]"),
          "the JSON has an empty list");
    command(&w, "T ::1 ::2 ::3 ::4 ::5 ::6 ::7 ::8 ::9");
    (void)write_json(&w, text);
    CHECK(strstr(text, "\"list_length\":9,\"list\":[\"::1\",") && strstr(text, "\"::8\"],"),
          "the JSON has the length and the first eight of a list of nine");
}

static void test_clients(void) {
    struct sender one = sender(1, "192.0.2.1", 100), two = sender(2, "192.0.2.2", 200);
    struct world w = world_begin();
    char text[NQPTP_STATUS_MAX];

    command(&w, "/kitchen T 192.0.2.2");
    command(&w, "/kitchen B");
    command(&w, "T 192.0.2.1");
    play(&w, &one, S);
    play(&w, &two, S);
    (void)write_text(&w, text);
    CHECK(strstr(text, "Object:   /nqptp, layout 10, in use, player stopped\n"
                       "List:     1 address: 192.0.2.1\nMaster:   0000000000000001") != NULL,
          "two clients: the text has object, list and master of /nqptp");
    CHECK(strstr(text, "Object:   /kitchen, layout 10, in use, player playing\n"
                       "List:     1 address: 192.0.2.2\nMaster:   0000000000000002") != NULL,
          "two clients: the text has object, list, master and activity of /kitchen");
    command(&w, "/kitchen P");
    (void)write_text(&w, text);
    CHECK(has_row(text, "Object:   /kitchen, layout 10, in use, player paused", "", ""),
          "two clients: the text has the other activity of /kitchen");
    CHECK(has_row(text, "*LQA. 0000000000000001 192.0.2.1", "", "") &&
              has_row(text, "*LQA. 0000000000000002 192.0.2.2", "", ""),
          "two clients: the rows of both masters have their marks");
}

/* --- hints ---------------------------------------------------------------------------------------
 */

static void check_hint(const struct world *w, const char *hint, const char *name) {
    char text[NQPTP_STATUS_MAX];

    (void)write_text(w, text);
    if (hint)
        CHECK(has_row(text, "Hint:", hint, ""), "%s", name);
    else
        CHECK(!strstr(text, "Hint:"), "%s", name);
    (void)write_json(w, text);
    CHECK(is_json(text) && (strstr(text, "\"hint\":") != NULL) == (hint != NULL) &&
              (!hint || strstr(text, hint)),
          "%s, in JSON", name);
}

static void test_answers_that_cannot_leave(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);
    struct nqptp_status status = status_of(&w);
    char text[NQPTP_STATUS_MAX];

    status.unsent = (struct nqptp_unsent){7, -EPERM};
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(has_row(text,
                  "Hint:", "messages to senders cannot leave this machine: Operation not permitted",
                  "UDP port 319"),
          "a firewall that blocks our answers is named");
    (void)nqptp_status_json(&status, text, sizeof text);
    CHECK(is_json(text) && strstr(text, "\"replies_unsent\":7"),
          "answers that a firewall blocks are counted in the JSON");
    status.unsent.error = -ENETUNREACH;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(has_row(text, "Hint:", "cannot leave this machine: ", strerror(ENETUNREACH)) &&
              !strstr(text, "firewall"),
          "answers that cannot leave for another reason: no firewall is named");
    status.unsent.error = 0;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(!strstr(text, "Hint:"), "answers that leave again: there is no hint");
}

static void test_player_of_a_silent_sender(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);

    command(&w, "/nqptp T 192.0.2.1");
    command(&w, "/nqptp B");
    play(&w, &s, 2 * S);
    check_hint(&w, NULL, "a player and its sender: no hint");
    pass(&w, 20 * S);
    check_hint(&w, "the player plays, but its sender is silent",
               "a player of a silent sender: the hint says so");
}

/* The sender repeats one time. An unlisted clock that is heard as well changes nothing. */
static void test_player_of_a_clock_that_stopped(void) {
    struct sender s = sender(1, "192.0.2.1", 100), other = sender(2, "192.0.2.2", 200);
    struct world w = world_of(&s);

    command(&w, "/nqptp T 192.0.2.1");
    command(&w, "/nqptp B");
    for (int i = 0; i < 40; i++) {
        (void)send_sync(&w, &s, s.sequence_id);
        (void)send_follow_up(&w, &s, s.sequence_id++, 5000 * S);
        pass(&w, 125 * MS);
        if (i == 7)
            check_hint(&w, "the clock has stopped", "a clock that stopped a second ago: a hint");
    }
    (void)send_announce(&w, &other);
    check_hint(&w, "the clock has stopped",
               "a clock that stopped 5 s ago, beside another: the same hint");
}

/* Plays for `ns` with a clock of that rate. */
static void play_at_rate(struct world *w, struct sender *s, uint64_t ns, double ppm) {
    for (uint64_t passed_ns = 0; passed_ns < ns; passed_ns += S) {
        play(w, s, S);
        s->offset_ns += (uint64_t)(int64_t)(ppm * 1e3);
    }
}

static void test_odd_rate(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);

    play_at_rate(&w, &s, 40 * S, 300);
    check_hint(&w, NULL, "300 ppm for 40 s: no hint yet");
    play_at_rate(&w, &s, 80 * S, 300);
    check_hint(&w, "clock runs 300 ppm faster than this machine's",
               "300 ppm for two minutes: a hint");
    play_at_rate(&w, &s, 120 * S, 135);
    check_hint(&w, "clock runs 135 ppm faster", "135 ppm after 300 ppm: still a hint");
    play_at_rate(&w, &s, 120 * S, 90);
    check_hint(&w, NULL, "90 ppm after 135 ppm: no hint");
    play_at_rate(&w, &s, 120 * S, 135);
    check_hint(&w, NULL, "135 ppm after 90 ppm: still no hint");
    play_at_rate(&w, &s, 120 * S, -400);
    check_hint(&w, "clock runs 400 ppm slower", "-400 ppm for two minutes: a hint");
}

static void test_hints(void) {
    struct sender s = sender(0xA, "192.0.2.1", 100), other = sender(0xB, "192.0.2.2", 1);
    struct world w = world_begin();
    const uint8_t junk[4] = {0};

    (void)deliver(&w, &s, junk, sizeof junk);
    check_hint(&w, "no packet could be used", "nothing but junk: a hint");
    (void)send_announce(&w, &s);
    (void)send_sync(&w, &s, 1);
    check_hint(&w, "gives no time", "a clock that only announces itself: a hint");
    w = world_of(&s);
    check_hint(&w, NULL, "a master and no list: no hint");
    command(&w, "/kitchen T 192.0.2.7");
    check_hint(&w, "/kitchen: the addresses listed are silent, but other",
               "a list of silent addresses: a hint that names the client");
    w = world_begin();
    (void)send_pair(&w, &other);
    check_hint(&w, "does not qualify", "a clock that does not announce itself: a hint");
    w = world_of(&s);
    pass(&w, 121 * S);
    check_hint(&w, "for two minutes", "no clock for two minutes: a hint");
    command(&w, "/nqptp T 192.0.2.1");
    check_hint(&w, "for two minutes", "no clock for two minutes, then a list: the same hint");
}

static void test_wrong_checksums(void) {
    struct sender s = sender(0xA, "192.0.2.1", 100);
    struct world w = world_begin();
    struct nqptp_status status = status_of(&w);
    char text[NQPTP_STATUS_MAX];

    w.engine.packets = w.engine.drops[NQPTP_DROP_KERNEL] = 7; /* as the socket counts them, too */
    status.checksum_errors = 7;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(has_row(text, "Hint:", "kernel dropped 7 UDP datagrams with wrong checksums", "ethtool"),
          "nothing heard and wrong checksums: the hint names them");
    w = world_of(&s);
    status = status_of(&w);
    status.checksum_errors = 7;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(!strstr(text, "Hint:"), "wrong checksums beside packets that are heard: no hint");
}

/* Returns the hint if -i names two places that exist or not, after `packets` packets. */
static const char *hint_of_places(bool first, bool second, uint64_t packets,
                                  char text[NQPTP_STATUS_MAX]) {
    struct world w = world_begin();
    struct nqptp_status status = status_of(&w);

    w.engine.packets = packets;
    status.place_count = 2;
    status.places[0].name = "eth7";
    status.places[1].name = "eth8";
    status.places[0].there = first;
    status.places[1].there = second;
    (void)nqptp_status_text(&status, text, NQPTP_STATUS_MAX);
    const char *hint = strstr(text, "Hint:");
    return hint ? hint : "";
}

static void test_places_that_are_not_there(void) {
    static const char absent[] = "eth7 is not there";
    char text[NQPTP_STATUS_MAX];

    CHECK(strstr(hint_of_places(false, false, 0, text), absent),
          "nothing heard, no place is there: the hint names the first");
    CHECK(strstr(hint_of_places(false, true, 0, text), "nothing was heard on UDP ports"),
          "nothing heard, one place is there: the hint is of the ports");
    CHECK(strstr(hint_of_places(false, false, 1, text), absent),
          "a packet was heard, no place is there any more: the hint names the first");
    CHECK(strstr(hint_of_places(false, true, 1, text), "no packet could be used"),
          "a packet was heard, one place is there: the hint is of the packets");
}

/* A firewall lets one port through only. */
static void test_deaf_port(void) {
    struct sender s = sender(0xA, "192.0.2.1", 100);
    struct world w = world_begin();

    for (uint16_t n = 0; n < 40; n++) {
        (void)send_sync(&w, &s, n);
        pass(&w, 125 * MS);
    }
    check_hint(&w, "no firewall drops UDP port 320", "nothing but Syncs: the hint names port 320");
    w = world_begin();
    for (uint16_t n = 0; n < 40; n++) {
        if (n % 8 == 0)
            (void)send_announce(&w, &s);
        (void)send_follow_up(&w, &s, n, time_of(&w, &s));
        pass(&w, 125 * MS);
    }
    check_hint(&w, "no firewall drops UDP port 319",
               "Announces and Follow_Ups without a Sync: the hint names port 319");
}

/* The places of -i, and whether each exists. */
static void test_places(void) {
    struct world w = world_begin();
    struct nqptp_status status = status_of(&w);
    char text[NQPTP_STATUS_MAX];

    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(!strstr(text, "Listens:"), "without -i the text has no places");
    (void)nqptp_status_json(&status, text, sizeof text);
    CHECK(strstr(text, "\"places\":[]"), "without -i the JSON has no places");
    status.place_count = 2;
    status.places[0].name = "wlan7";
    status.places[1].name = "192.0.2.7";
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(has_row(text, "Listens:", "wlan7 (not there)", "192.0.2.7 (not there)"),
          "with -i the text has each place, and that it is not there");
    CHECK(has_row(text, "Hint:", "wlan7 is not there", ""),
          "with -i the hint says that a place is not there");
    status.places[1].there = true;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(has_row(text, "Listens:", "wlan7 (not there) 192.0.2.7", "") &&
              has_row(text, "Hint:", "nothing was heard", ""),
          "with -i and one place that is there: the hint is of the ports");
    (void)nqptp_status_json(&status, text, sizeof text);
    CHECK(is_json(text) && strstr(text, "{\"name\":\"wlan7\",\"there\":false},"
                                        "{\"name\":\"192.0.2.7\",\"there\":true}"),
          "with -i the JSON has each place, and whether it is there");
}

static void test_asleep(void) {
    struct sender s = sender(0xA, "192.0.2.1", 100);
    struct world w = world_of(&s);
    char text[NQPTP_STATUS_MAX];
    uint64_t stopped_ns = time_of(&w, &s);

    for (int i = 0; i < 5; i++) {
        (void)send_sync(&w, &s, s.sequence_id);
        (void)send_follow_up(&w, &s, s.sequence_id++, stopped_ns);
        w.now_ns += 125 * MS;
    }
    (void)write_text(&w, text);
    CHECK(has_row(text, "*.QAZ 000000000000000a", "", ""),
          "a clock that stopped: its row has the mark of a clock that is asleep");
    check_hint(&w, "the clock has stopped", "a clock that stopped: the hint says so");
    play(&w, &s, S);
    (void)write_text(&w, text);
    CHECK(has_row(text, "*.QA. 000000000000000a", "", ""),
          "a clock that goes on: its row has no mark of a clock that is asleep");
    check_hint(&w, NULL, "a clock that goes on: no hint");
}

/* Players with objects of their own names: /nqptp has no player. */
static void test_only_named_players(void) {
    struct sender s = sender(0xA, "192.0.2.1", 100);
    struct world w = world_of(&s);
    char text[NQPTP_STATUS_MAX];

    command(&w, "/kitchen T 192.0.2.1");
    play(&w, &s, S);
    struct nqptp_status status = status_of(&w);
    status.objects[0].use = NQPTP_USE_NONE;
    status.objects[1].use = NQPTP_USE_UNKNOWN;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(!strstr(text, "Hint:"), "a named player with a master, none at /nqptp: no hint");
    pass(&w, 20 * S);
    status.now_ns = w.now_ns;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(has_row(text, "Hint:", "/kitchen: the clock has fallen silent", ""),
          "a named player whose sender is silent, none at /nqptp: the hint is of the named one");
    command(&w, "/nqptp T 192.0.2.7");
    status.objects[0].use = NQPTP_USE_OPEN;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(has_row(text, "Hint:", "/nqptp: the addresses listed are silent", ""),
          "two players of silent senders: the hint is of /nqptp");
}

static void test_use(void) {
    struct sender s = sender(0xA, "192.0.2.1", 100);
    struct world w = world_of(&s);
    struct nqptp_status status = status_of(&w);
    char text[NQPTP_STATUS_MAX];

    status.objects[0].use = NQPTP_USE_NONE;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(has_row(text, "Object:", "not in use", "") && has_row(text, "Hint:", "no player has", ""),
          "an object that no player has open: the text and the hint say so");
    struct world other = world_begin();
    (void)send_announce(&other, &s);
    command(&other, "/nqptp T");
    status = status_of(&other);
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(!strstr(text, "Hint:"), "a client with the object open and an empty list: no hint");
    status.objects[0].use = NQPTP_USE_NONE;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(has_row(text, "Hint:", "in group nqptp", ""),
          "a client without the object open: the hint names the group");
    (void)nqptp_status_json(&status, text, sizeof text);
    CHECK(strstr(text, "\"in_use\":false"), "a client without the object open: the JSON says so");
    other = world_begin();
    status = status_of(&other);
    status.objects[0].use = NQPTP_USE_NONE;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(has_row(text, "Hint:", "nothing was heard", "no player has the object open"),
          "nothing heard and no player: the hint says both");
    command(&other, "/kitchen T");
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(has_row(text, "Hint:", "nothing was heard", "pick this machine"),
          "nothing heard, no player at /nqptp, a named one: the hint is to play");
    status = status_of(&w);
    status.objects[0].use = NQPTP_USE_UNKNOWN;
    (void)nqptp_status_text(&status, text, sizeof text);
    CHECK(!strstr(text, "in use") && !strstr(text, "Hint:"),
          "an object that may or may not be open: the text has no word of its use");
    (void)nqptp_status_json(&status, text, sizeof text);
    CHECK(is_json(text) && strstr(text, "\"in_use\":null"),
          "an object that may or may not be open: the JSON has null for its use");
}

/* --- widths, names and room ------------------------------------------------------------------- */

/* Gives every client the longest list and a master. */
static void fill_lists(struct nqptp_clients *clients, const struct nqptp_clock_table *table) {
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++) {
        struct nqptp_client *client = &clients->list[c];
        client->has_list = true;
        client->listed = UINT32_MAX;
        client->master = NQPTP_CLOCKS_MAX - 1 - c % NQPTP_CLOCKS_MAX;
        client->peer_count = NQPTP_PEERS_MAX;
        for (unsigned p = 0; p < NQPTP_PEERS_MAX; p++)
            client->peers[p].address = table->clocks[p % NQPTP_CLOCKS_MAX].address;
    }
}

/* Gives the clock the longest numbers. */
static void fill_clock(struct nqptp_clock *clock) {
    clock->packets = UINT64_MAX;
    clock->repeated_times = UINT32_MAX;
    clock->reading.offset_ns = clock->reading.local_time_ns = (UINT64_C(1) << 63) + 1;
    clock->announce.grandmaster_identity = clock->reading.grandmaster_identity = 1;
    clock->announce.priority1 = clock->announce.priority2 = 255;
    clock->announce.clock_class = clock->announce.clock_accuracy = 255;
    clock->announce.offset_scaled_log_variance = UINT16_MAX;
    clock->announce.steps_removed = 254;
    clock->estimator.slope_ppm = -249.9999;
    clock->estimator.noise_us = 1e12;
}

/*
 * Makes the longest status: identities, addresses, ages and names are as long as possible, each
 * client has a master, and each clock has every mark.
 */
static struct world world_of_long_rows(void) {
    struct world w = world_begin();
    struct nqptp_address listed[NQPTP_CLOCKS_MAX];

    for (uint8_t n = 0; n < NQPTP_CLOCKS_MAX; n++) {
        listed[n] = at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00");
        listed[n].ip.s6_addr[15] = (uint8_t)(0xFF - n);
    }
    nqptp_client_set_peers(&w.engine.table, &w.engine.clients.list[0], listed, NQPTP_CLOCKS_MAX);
    for (unsigned n = 0; n < NQPTP_CLOCKS_MAX; n++) {
        struct sender s = sender(UINT64_MAX - n, "::", 100);
        s.address = listed[n];
        (void)send_announce(&w, &s);
        (void)send_pair(&w, &s);
        fill_clock(&w.engine.table.clocks[n]);
    }
    for (int n = 1; n < NQPTP_CLIENTS_MAX; n++) {
        char text[NQPTP_NAME_SIZE + 64];
        (void)snprintf(text, sizeof text, "/%060d%c T", 0, '0' + n);
        for (char *zero = text; *zero && *(zero + 1) != ' '; zero++)
            *zero = (char)(*zero == '0' ? '\\' : *zero); /* two characters in JSON */
        command(&w, text);
        w.engine.clients.list[n].activity = NQPTP_PLAYING;
    }
    fill_lists(&w.engine.clients, &w.engine.table);
    w.engine.packets = UINT64_MAX;
    for (int d = 0; d < NQPTP_DROP_COUNT; d++)
        w.engine.drops[d] = UINT64_MAX - 1;
    return w;
}

static struct nqptp_status longest_status(const struct world *w) {
    static char place[NQPTP_LIMIT_SIZE];
    struct nqptp_status status = status_of(w);

    status.version = "255.255.255-rc99-999-g0123456789abcdef";
    status.started_ns = w->now_ns + 1; /* The daemon runs for 584 years. */
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        memset(status.interfaces[i], '"', sizeof status.interfaces[i] - 1);
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        status.objects[c].use = NQPTP_USE_NONE;
    for (status.place_count = 0; status.place_count < NQPTP_LIMITS_MAX; status.place_count++)
        status.places[status.place_count].name = place;
    memset(place, '"', sizeof place - 1);
    return status;
}

static void test_full_table(void) {
    struct world w = world_of_long_rows();
    char text[NQPTP_STATUS_MAX];
    char identity[32], address[40];
    unsigned rows = 0;

    (void)write_text(&w, text);
    for (unsigned n = 0; n < NQPTP_CLOCKS_MAX; n++) {
        (void)snprintf(identity, sizeof identity, "LQAZ %016" PRIx64, UINT64_MAX - n);
        (void)snprintf(address, sizeof address, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff%02x",
                       0xFF - n);
        rows += has_row(text, identity, address, "0000000000000001");
    }
    CHECK_EQ_U64(rows, 32, "32 clocks have 32 rows, with all their marks");
    CHECK(has_row(text, "Clocks:", " 32 of 32", ""), "32 clocks: the text has their count");
}

static void test_room(void) {
    struct world w = world_of_long_rows();
    struct nqptp_status status = longest_status(&w);
    static char text[2 * NQPTP_STATUS_MAX];

    status.now_ns = UINT64_MAX; /* 584 years: no age is longer */
    size_t length = nqptp_status_text(&status, text, sizeof text);
    CHECK(length < NQPTP_STATUS_MAX, "%zu bytes are the longest text", length);
    CHECK(strstr(text, "ffffffffffffffe0") && strstr(text, "\nHint:"),
          "the longest text has the last clock and the hint");
    length = nqptp_status_json(&status, text, sizeof text);
    CHECK(length < NQPTP_STATUS_MAX, "%zu bytes are the longest JSON", length);
    CHECK(is_json(text) && strstr(text, "\"ffffffffffffffe0\"") && strstr(text, "\"hint\":"),
          "the longest JSON is whole");
}

static void test_widths(void) {
    struct world w = world_of_long_rows();
    struct nqptp_status status = longest_status(&w);
    struct sender s = sender(0xA, "192.168.100.200", 200);
    char text[NQPTP_STATUS_MAX];

    (void)nqptp_status_text(&status, text, sizeof text);
    strstr(text, "\n\n")[1] = '\0'; /* The table follows. */
    CHECK_EQ_U64(untitled(text), 0, "the longest facts have one line each, with a title");
    w = world_of(&s);
    w.engine.table.clocks[0].packets = 999999;
    w.now_ns += 100 * S;
    (void)write_text(&w, text);
    CHECK(strstr(text, "\nMarks ") != NULL, "a common clock has a table");
    char *table = strstr(text, "\nMarks ") + 1;
    *strstr(table, "\nMarks:") = '\0';
    CHECK(widest(table) <= 80, "the row of a common clock has 80 columns, not %zu", widest(table));
    CHECK(has_row(table, "*.Q.. 000000000000000a 192.168.100.200", " self", ""),
          "a common clock has one row");
}

static void test_reasons(void) {
    struct world w = world_begin();
    char text[NQPTP_STATUS_MAX];
    unsigned named = 0;

    for (unsigned d = 0; d < NQPTP_DROP_COUNT; d++)
        w.engine.packets += w.engine.drops[d] = d + 1;
    (void)write_text(&w, text);
    for (const char *sign = text; (sign = strchr(sign, '=')); sign++)
        named += sign[-1] >= 'a' && sign[-1] <= 'z';
    CHECK_EQ_U64(named, NQPTP_DROP_COUNT - 1, "every reason for a drop has a name");
}

static void test_hostile_names(void) {
    char text[NQPTP_STATUS_MAX];
    struct world w = world_begin();

    command(&w, "/\",\"layout\":4,\\\"{}[]%n%s<&' T");
    (void)write_json(&w, text);
    CHECK(is_json(text), "a name of quotes, backslashes and brackets leaves the JSON whole");
    CHECK(strstr(text, "\"object\":\"/\\\",\\\"layout\\\":4,\\\\\\\"{}[]%n%s<&'\""),
          "a name of quotes, backslashes and brackets is escaped in the JSON");
    (void)write_text(&w, text);
    CHECK(has_row(text, "Object:", "/\",\"layout\":4,\\\"{}[]%n%s<&'", ""),
          "a name of quotes, backslashes and brackets is unchanged in the text");
    w = world_begin();
    command(&w, "/K\xC3\xBC"
                "che T");
    (void)write_json(&w, text);
    CHECK(is_json(text) && strstr(text, "\"object\":\"/K\xC3\xBC"
                                        "che\""),
          "a name of UTF-8 is unchanged in the JSON");
    w = world_begin();
    command(&w, "/x,\xC2\xA0layout\xC2\xA0"
                "4 T");
    (void)write_text(&w, text);
    CHECK(has_row(text, "Object:   /x,??layout??4, layout 10", "", ""),
          "a name with blanks of Unicode is one word in the text");
    w = world_begin();
    command(&w, "/\033[31m T");
    CHECK(w.answer.refusal, "a name with a control character is refused");
}

/* The block ends where the buffer does, so that the sanitizer sees a write beyond it. */
static bool right_in(const struct nqptp_status *status, bool json, size_t size, const char *whole) {
    char *text = malloc(size);

    if (!text)
        return false;
    memset(text, 0xAA, size);
    size_t length =
        json ? nqptp_status_json(status, text, size) : nqptp_status_text(status, text, size);
    bool right = length < size && text[length] == '\0' &&
                 (json || (memcmp(text, whole, length) == 0 &&
                           length == (size - 1 < strlen(whole) ? size - 1 : strlen(whole))));
    free(text);
    return right;
}

static void test_every_size(void) {
    struct world w = world_of_long_rows();
    struct nqptp_status status = status_of(&w);
    char whole[NQPTP_STATUS_MAX];
    size_t length = write_text(&w, whole), size = 1;

    /* Each size near both ends, and some between. */
    while (size <= length + 2 && right_in(&status, false, size, whole) &&
           right_in(&status, true, size, NULL))
        size += size < 200 || size > length - 100 ? 1 : 97;
    CHECK_EQ_U64(size, length + 3,
                 "a buffer of any size gets as much of the text as fits, terminated");
}

int main(void) {
    static void (*const tests[])(void) = {
        test_nothing,
        test_master,
        test_numbers,
        test_durations,
        test_json_of_a_clock,
        test_marks,
        test_clients,
        test_hints,
        test_odd_rate,
        test_answers_that_cannot_leave,
        test_player_of_a_silent_sender,
        test_player_of_a_clock_that_stopped,
        test_wrong_checksums,
        test_places_that_are_not_there,
        test_deaf_port,
        test_places,
        test_asleep,
        test_only_named_players,
        test_use,
        test_full_table,
        test_room,
        test_widths,
        test_reasons,
        test_hostile_names,
        test_every_size,
    };
    TAP_RUN(tests);
    return tap_done();
}
