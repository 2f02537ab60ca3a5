/* SPDX-License-Identifier: MIT */
/*
 * What there is to tell of a clock is listed once, in list_facts(). Two printers read that list:
 * the table of the text has a column for each fact with a title, and the JSON a member for each
 * fact with a name. The lines above and below the table are fields: a title, then words, in lines
 * of 80 columns.
 */
#include "nqptp-status.h"

#include "nqptp-hints.h"
#include "nqptp-text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS 80
#define FIELD_INDENT 10
#define CELL_SIZE 48
#define FACTS_MAX 32

/* --- words ------------------------------------------------------------------------------------ */

static const char *const drop_names[NQPTP_DROP_COUNT] = {
    [NQPTP_DROP_SHORT] = "short",
    [NQPTP_DROP_VERSION] = "version",
    [NQPTP_DROP_DOMAIN] = "domain",
    [NQPTP_DROP_TYPE] = "type",
    [NQPTP_DROP_LENGTH] = "length",
    [NQPTP_DROP_TRUNCATED] = "truncated",
    [NQPTP_DROP_OWN] = "own",
    [NQPTP_DROP_UNKNOWN] = "unknown",
    [NQPTP_DROP_DUPLICATE] = "duplicate",
    [NQPTP_DROP_LATE] = "late",
    [NQPTP_DROP_FULL] = "full",
    [NQPTP_DROP_FOREIGN] = "foreign",
    [NQPTP_DROP_KERNEL] = "kernel",
};

static const char *const activity_names[] = {
    [NQPTP_STOPPED] = "stopped", [NQPTP_PLAYING] = "playing", [NQPTP_PAUSED] = "paused"};

static double seconds_since(uint64_t then_ns, uint64_t now_ns) {
    return (double)(now_ns - then_ns) / 1e9;
}

static double sync_interval_s(const struct nqptp_clock *clock) { /* 0: unknown */
    return (double)nqptp_interval_ns(&clock->pairing.sync_interval, 0) / 1e9;
}

static bool qualifies(const struct nqptp_status *status, int i) {
    const struct nqptp_clock_table *table = &status->engine->table;
    const struct nqptp_clients *clients = &status->engine->clients;

    for (int c = 0; c < clients->top; c++)
        if (nqptp_client_qualifies(table, &clients->list[c], i, status->now_ns))
            return true;
    return false;
}

static bool is_master(const struct nqptp_status *status, int i) {
    return nqptp_clients_masters(&status->engine->clients) >> i & 1;
}

static bool is_listed(const struct nqptp_status *status, int i) {
    return nqptp_clients_listed(&status->engine->clients) >> i & 1;
}

static unsigned clocks_in_use(const struct nqptp_clock_table *table) {
    unsigned count = 0;
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        count += table->clocks[i].in_use;
    return count;
}

/* --- the facts of a clock --------------------------------------------------------------------- */

enum kind {
    WORDS,        /* Text, or a number that JSON's numbers do not hold. */
    YES_NO,       /* 0 or 1. */
    COUNT,        /* A number in its own right. */
    AGE,          /* Seconds, with one decimal in the table. */
    INTERVAL,     /* Seconds, in the table with a unit that leaves few digits. */
    MICROSECONDS, /* The same, of microseconds. */
};

struct fact {
    const char *name;  /* Of the JSON's member, or NULL. */
    const char *title; /* Of the table's column, or NULL. */
    enum kind kind;
    int decimals;          /* Of the number, in JSON. */
    double number;         /* Of all kinds but WORDS. */
    char words[CELL_SIZE]; /* Of WORDS. */
};

struct facts {
    unsigned count;
    struct fact list[FACTS_MAX];
};

static void number(struct facts *facts, const char *name, const char *title, enum kind kind,
                   int decimals, double value) {
    facts->list[facts->count++] = (struct fact){name, title, kind, decimals, value, ""};
}

static void number_of(struct facts *facts, const char *name, const char *title, uint64_t value) {
    number(facts, name, title, COUNT, 0, (double)value);
}

__attribute__((format(printf, 4, 5))) static void
words(struct facts *facts, const char *name, const char *title, const char *format, ...) {
    struct fact *fact = &facts->list[facts->count++];
    va_list arguments;

    *fact = (struct fact){.name = name, .title = title, .kind = WORDS};
    va_start(arguments, format);
    vsnprintf(fact->words, sizeof fact->words, format, arguments);
    va_end(arguments);
}

/* A state of the clock, and its letter in the column of marks. */
static void mark(struct facts *facts, const char *name, bool value, char letter) {
    struct fact *marks = &facts->list[0];

    marks->words[strlen(marks->words)] = (char)(value ? letter : '.');
    number(facts, name, NULL, YES_NO, 0, value);
}

static void list_announce(struct facts *facts, const struct nqptp_clock *clock) {
    const struct nqptp_announce *announce = &clock->announce;

    words(facts, "grandmaster_identity", NULL, "%016" PRIx64, announce->grandmaster_identity);
    number_of(facts, "priority1", NULL, announce->priority1);
    number_of(facts, "clock_class", NULL, announce->clock_class);
    number_of(facts, "clock_accuracy", NULL, announce->clock_accuracy);
    number_of(facts, "offset_scaled_log_variance", NULL, announce->offset_scaled_log_variance);
    number_of(facts, "priority2", NULL, announce->priority2);
    number_of(facts, "steps_removed", "Steps", announce->steps_removed);
    words(facts, NULL, "Prio", "%u/%u", announce->priority1, announce->priority2);
    if (announce->grandmaster_identity == clock->clock_identity)
        words(facts, NULL, "GM", "self");
    else
        words(facts, NULL, "GM", "%016" PRIx64, announce->grandmaster_identity);
}

static void list_samples(struct facts *facts, const struct nqptp_clock *clock, uint64_t now_ns) {
    struct nqptp_quality quality;

    number(facts, "sample_age_s", NULL, AGE, 3, seconds_since(clock->sampled_at_ns, now_ns));
    number(facts, "series_s", NULL, AGE, 3, seconds_since(clock->reading.start_time_ns, now_ns));
    words(facts, "local_time_ns", NULL, "%" PRIu64, clock->reading.local_time_ns);
    words(facts, "offset_ns", NULL, "%" PRIu64, clock->reading.offset_ns);
    if (!nqptp_estimator_quality(&clock->estimator, &quality))
        return;
    number(facts, "rate_ppm", NULL, COUNT, 4, quality.rate_ppm);
    number(facts, "noise_us", NULL, MICROSECONDS, 1, quality.noise_us);
    number(facts, "error_us", "Error", MICROSECONDS, 1, quality.error_us);
}

static void list_facts(const struct nqptp_status *status, int i, struct facts *facts) {
    const struct nqptp_clock_table *table = &status->engine->table;
    const struct nqptp_clock *clock = &table->clocks[i];
    char address[INET6_ADDRSTRLEN];

    *facts = (struct facts){0};
    words(facts, NULL, "Marks", "%s", "");
    words(facts, "clock_identity", "Clock identity", "%016" PRIx64, clock->clock_identity);
    words(facts, "address", "Address", "%s", nqptp_address_format(&clock->address, address));
    words(facts, "interface", NULL, "%s", status->interfaces[i]);
    mark(facts, "master", is_master(status, i), '*');
    mark(facts, "listed", is_listed(status, i), 'L');
    mark(facts, "qualified", qualifies(status, i), 'Q');
    mark(facts, "alive", nqptp_clock_is_alive(clock, status->now_ns), 'A');
    mark(facts, "asleep", nqptp_clock_is_asleep(clock), 'Z');
    number(facts, "heard_s", "Heard", AGE, 3, seconds_since(clock->heard_at_ns, status->now_ns));
    number_of(facts, "packets", "Pkts", clock->packets);
    number_of(facts, "requests_sent", NULL, clock->requests);
    number_of(facts, "answers_received", NULL, clock->answers);
    if (clock->answers > 0)
        number(facts, "answer_s", NULL, AGE, 3, seconds_since(clock->answered_ns, status->now_ns));
    if (sync_interval_s(clock) > 0)
        number(facts, "sync_interval_s", "Sync", INTERVAL, 6, sync_interval_s(clock));
    if (clock->announced)
        list_announce(facts, clock);
    if (clock->sampled_at_ns > 0)
        list_samples(facts, clock, status->now_ns);
}

/* --- the JSON --------------------------------------------------------------------------------- */

/* Adds a comma, unless this is the first of its object or array; then the name, if there is one. */
static void begin_member(struct nqptp_text *text, const char *name) {
    int last = text->used > 0 ? text->at[text->used - 1] : '{'; /* There was no room for it. */

    if (last != '{' && last != '[')
        nqptp_text_add(text, ",");
    if (name)
        nqptp_text_add(text, "\"%s\":", name);
}

__attribute__((format(printf, 3, 4))) static void member(struct nqptp_text *text, const char *name,
                                                         const char *format, ...) {
    va_list arguments;

    begin_member(text, name);
    va_start(arguments, format);
    nqptp_text_add_arguments(text, format, arguments);
    va_end(arguments);
}

static void member_text(struct nqptp_text *text, const char *name, const char *value) {
    member(text, name, "\"");
    for (; *value; value++) {
        if (*value < ' ' || *value > '~' || *value == '"' || *value == '\\')
            nqptp_text_add(text, "\\u%04x", (unsigned char)*value);
        else
            nqptp_text_add(text, "%c", *value);
    }
    nqptp_text_add(text, "\"");
}

/* A name of a client is UTF-8. */
static void member_name(struct nqptp_text *text, const char *name, const char *value) {
    member(text, name, "\"");
    for (; *value; value++)
        nqptp_text_add(text, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    nqptp_text_add(text, "\"");
}

static void json_list(struct nqptp_text *text, const struct nqptp_client *client) {
    char address[INET6_ADDRSTRLEN];

    member(text, "list_length", client->has_list ? "%u" : "null", client->peer_count);
    member(text, "list", client->has_list ? "[" : "null");
    if (!client->has_list)
        return;
    for (unsigned i = 0; i < client->peer_count && i < NQPTP_STATUS_PEERS; i++)
        member_text(text, NULL, nqptp_address_format(&client->peers[i].address, address));
    nqptp_text_add(text, "]");
}

/* The master is named by its place among the clocks. */
static void json_client(struct nqptp_text *text, const struct nqptp_status *status, int c) {
    static const char *const uses[] = {
        [NQPTP_USE_UNKNOWN] = "null", [NQPTP_USE_NONE] = "false", [NQPTP_USE_OPEN] = "true"};
    const struct nqptp_client *client = &status->engine->clients.list[c];
    unsigned place = 0;

    for (int i = 0; i < client->master; i++)
        place += status->engine->table.clocks[i].in_use;
    member(text, NULL, "{");
    member_name(text, "object", client->shown);
    member(text, "layout", "%u", status->objects[c].layout);
    member(text, "in_use", "%s", uses[status->objects[c].use]);
    member(text, "player", "\"%s\"", activity_names[client->activity]);
    json_list(text, client);
    member(text, "master", client->master == NQPTP_NO_CLOCK ? "null" : "%u", place);
    nqptp_text_add(text, "}");
}

static void json_clock(struct nqptp_text *text, const struct nqptp_status *status, int i) {
    struct facts facts;

    list_facts(status, i, &facts);
    member(text, NULL, "{");
    for (unsigned f = 0; f < facts.count; f++) {
        const struct fact *fact = &facts.list[f];
        if (!fact->name)
            continue;
        if (fact->kind == WORDS)
            member_text(text, fact->name, fact->words);
        else if (fact->kind == YES_NO)
            member(text, fact->name, fact->number > 0 ? "true" : "false");
        else
            member(text, fact->name, "%.*f", fact->decimals, fact->number);
    }
    nqptp_text_add(text, "}");
}

static void json_drops(struct nqptp_text *text, const struct nqptp_engine *engine) {
    member(text, "drops", "{");
    for (int d = NQPTP_DROP_NONE + 1; d < NQPTP_DROP_COUNT; d++)
        member(text, drop_names[d], "%" PRIu64, engine->drops[d]);
    nqptp_text_add(text, "}");
}

size_t nqptp_status_json(const struct nqptp_status *status, char *buffer, size_t size) {
    struct nqptp_text text = {.at = buffer, .size = size};
    const struct nqptp_engine *engine = status->engine;
    char hint[NQPTP_HINT_MAX];

    nqptp_text_add(&text, "{");
    member_text(&text, "version", status->version);
    member(&text, "uptime_s", "%.3f", seconds_since(status->started_ns, status->now_ns));
    member(&text, "packets_used", "%" PRIu64, engine->drops[NQPTP_DROP_NONE]);
    member(&text, "replies_unsent", "%" PRIu64, status->unsent.count);
    member(&text, "packets_dropped", "%" PRIu64, engine->packets - engine->drops[NQPTP_DROP_NONE]);
    member(&text, "places", "[");
    for (unsigned i = 0; i < status->place_count; i++) {
        member(&text, NULL, "{");
        member_text(&text, "name", status->places[i].name);
        member(&text, "there", status->places[i].there ? "true" : "false");
        nqptp_text_add(&text, "}");
    }
    nqptp_text_add(&text, "]");
    member(&text, "clients", "[");
    for (int c = 0; c < engine->clients.top; c++)
        json_client(&text, status, c);
    nqptp_text_add(&text, "]");
    member(&text, "clocks", "[");
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        if (engine->table.clocks[i].in_use)
            json_clock(&text, status, i);
    nqptp_text_add(&text, "]");
    json_drops(&text, engine);
    if (nqptp_hint(status, hint))
        member_text(&text, "hint", hint);
    nqptp_text_add(&text, "}\n");
    return text.used;
}

/* --- the text: fields ------------------------------------------------------------------------- */

static const char *duration(double s, char text[CELL_SIZE]) {
    uint64_t whole = s < 1e15 ? (uint64_t)s : UINT64_C(1000000000000000);

    if (s < 60)
        snprintf(text, CELL_SIZE, "%.1f s", s);
    else if (s < 3600)
        snprintf(text, CELL_SIZE, "%" PRIu64 " min %" PRIu64 " s", whole / 60, whole % 60);
    else if (s < 86400)
        snprintf(text, CELL_SIZE, "%" PRIu64 " h %" PRIu64 " min", whole / 3600, whole / 60 % 60);
    else
        snprintf(text, CELL_SIZE, "%" PRIu64 " d %" PRIu64 " h", whole / 86400, whole / 3600 % 24);
    return text;
}

/* In a unit that leaves few digits; no more than can be meant. */
static const char *brief(double s, char text[CELL_SIZE]) {
    double value = s < 1e-3 ? s * 1e6 : s < 1 ? s * 1e3 : s;

    snprintf(text, CELL_SIZE, "%.*f%s", value < 9.95, value, s < 1e-3 ? "us" : s < 1 ? "ms" : "s");
    return text;
}

/* Adds a title and words, with a line break before each word that would be beyond the last column.
 */
__attribute__((format(printf, 3, 4))) static void
add_field(struct nqptp_text *text, const char *title, const char *format, ...) {
    char all[1024], *rest;
    int column = FIELD_INDENT - 1;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(all, sizeof all, format, arguments);
    va_end(arguments);
    nqptp_text_add(text, "%-*s", FIELD_INDENT - 1, title);
    for (char *word = strtok_r(all, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        bool fits = column + 1 + (int)strlen(word) <= COLUMNS || column < FIELD_INDENT;
        column = fits ? column : FIELD_INDENT - 1;
        nqptp_text_add(text, "%s%*s%s", fits ? "" : "\n", fits ? 1 : FIELD_INDENT, "", word);
        column += 1 + (int)strlen(word);
    }
    nqptp_text_add(text, "\n");
}

static void add_object(struct nqptp_text *text, const struct nqptp_status *status, int c) {
    static const char *const uses[] = {
        [NQPTP_USE_UNKNOWN] = "", [NQPTP_USE_NONE] = ", not in use", [NQPTP_USE_OPEN] = ", in use"};
    const struct nqptp_client *client = &status->engine->clients.list[c];

    add_field(text, "Object:", "%s, layout %u%s, player %s", client->shown,
              status->objects[c].layout, uses[status->objects[c].use],
              activity_names[client->activity]);
}

static void add_addresses(struct nqptp_text *text, const struct nqptp_client *client) {
    char buffer[NQPTP_STATUS_PEERS * INET6_ADDRSTRLEN + 64] = "", address[INET6_ADDRSTRLEN];
    struct nqptp_text list = {.at = buffer, .size = sizeof buffer};

    for (unsigned i = 0; i < client->peer_count && i < NQPTP_STATUS_PEERS; i++)
        nqptp_text_add(&list, " %s", nqptp_address_format(&client->peers[i].address, address));
    add_field(text, "List:", "%u address%s:%s%s", client->peer_count,
              client->peer_count == 1 ? "" : "es", buffer,
              client->peer_count > NQPTP_STATUS_PEERS ? " ..." : "");
}

static void add_list(struct nqptp_text *text, const struct nqptp_client *client) {
    if (!client->has_list)
        add_field(text, "List:", "never given, so any clock may be master");
    else if (client->peer_count == 0)
        add_field(text, "List:", "empty, so no clock may be master");
    else
        add_addresses(text, client);
}

static void add_offset(struct nqptp_text *text, const struct nqptp_clock *clock) {
    struct nqptp_quality quality;
    char error[CELL_SIZE], noise[CELL_SIZE];
    int64_t offset_ns = (int64_t)clock->reading.offset_ns;
    uint64_t size_ns = offset_ns < 0 ? -(uint64_t)offset_ns : (uint64_t)offset_ns;

    if (!nqptp_estimator_quality(&clock->estimator, &quality))
        return;
    add_field(text, "Offset:", "%s%" PRIu64 ".%09" PRIu64 " s, error %s", offset_ns < 0 ? "-" : "+",
              size_ns / 1000000000, size_ns % 1000000000, brief(quality.error_us / 1e6, error));
    add_field(text, "Rate:", "%+.3f ppm, noise %s", quality.rate_ppm,
              brief(quality.noise_us / 1e6, noise));
}

static void add_master(struct nqptp_text *text, const struct nqptp_status *status, int i) {
    const struct nqptp_clock *clock = &status->engine->table.clocks[i];
    char address[INET6_ADDRSTRLEN], age[CELL_SIZE], series[CELL_SIZE];
    bool named = status->interfaces[i][0] != '\0';

    add_field(text, "Master:", "%016" PRIx64 " at %s%s%s", clock->clock_identity,
              nqptp_address_format(&clock->address, address), named ? " on " : "",
              status->interfaces[i]);
    if (clock->reading.grandmaster_identity != clock->clock_identity)
        add_field(text, "Grandm.:", "%016" PRIx64, clock->reading.grandmaster_identity);
    add_field(text, "Sample:", "%s ago, in an unbroken series for %s",
              duration(seconds_since(clock->sampled_at_ns, status->now_ns), age),
              duration(seconds_since(clock->reading.start_time_ns, status->now_ns), series));
    add_offset(text, clock);
    add_field(text, "Asked:", "%" PRIu64 " times, %" PRIu64 " answers", clock->requests,
              clock->answers);
}

static void add_client(struct nqptp_text *text, const struct nqptp_status *status, int c) {
    const struct nqptp_client *client = &status->engine->clients.list[c];

    add_object(text, status, c);
    add_list(text, client);
    if (client->master == NQPTP_NO_CLOCK)
        add_field(text, "Master:", "none");
    else
        add_master(text, status, client->master);
}

static void add_places(struct nqptp_text *text, const struct nqptp_status *status) {
    char buffer[NQPTP_LIMITS_MAX * (NQPTP_PLACE_SIZE + 16)] = "";
    struct nqptp_text places = {.at = buffer, .size = sizeof buffer};

    for (unsigned i = 0; i < status->place_count; i++)
        nqptp_text_add(&places, "%s%s ", status->places[i].name,
                       status->places[i].there ? "" : " (not there)");
    if (status->place_count > 0)
        add_field(text, "Listens:", "%s", buffer);
}

static void add_drops(struct nqptp_text *text, const struct nqptp_engine *engine) {
    char buffer[NQPTP_DROP_COUNT * CELL_SIZE] = "";
    struct nqptp_text drops = {.at = buffer, .size = sizeof buffer};

    for (int d = NQPTP_DROP_NONE + 1; d < NQPTP_DROP_COUNT; d++)
        if (engine->drops[d] > 0)
            nqptp_text_add(&drops, "%s=%" PRIu64 " ", drop_names[d], engine->drops[d]);
    if (engine->packets != engine->drops[NQPTP_DROP_NONE])
        add_field(text, "Dropped:", "%s", buffer);
}

/* --- the text: the table of clocks ------------------------------------------------------------ */

static const char *const titles[] = {"Marks", "Clock identity", "Address", "Heard", "Error",
                                     "Sync",  "Pkts",           "Prio",    "Steps", "GM"};

#define TITLES (sizeof titles / sizeof *titles)

/* Writes the fact of that title; "-" if it is not known. Returns whether it is a number. */
static bool write_cell(const struct facts *facts, const char *title, char cell[CELL_SIZE]) {
    for (unsigned f = 0; f < facts->count; f++) {
        const struct fact *fact = &facts->list[f];
        if (!fact->title || strcmp(fact->title, title) != 0)
            continue;
        if (fact->kind == WORDS)
            snprintf(cell, CELL_SIZE, "%s", fact->words);
        else if (fact->kind == COUNT)
            snprintf(cell, CELL_SIZE, "%.0f", fact->number);
        else if (fact->kind == AGE)
            snprintf(cell, CELL_SIZE, "%.1fs", fact->number);
        else
            brief(fact->kind == MICROSECONDS ? fact->number / 1e6 : fact->number, cell);
        return fact->kind != WORDS;
    }
    snprintf(cell, CELL_SIZE, "-");
    return true;
}

/* Adds a row, or with NULL only makes the columns as wide as this row needs them. */
static void add_row(struct nqptp_text *text, const struct facts *facts, int widths[TITLES]) {
    char cell[CELL_SIZE];

    for (size_t column = 0; column < TITLES; column++) {
        bool right = write_cell(facts, titles[column], cell), last = column == TITLES - 1;
        if (!text && (int)strlen(cell) > widths[column])
            widths[column] = (int)strlen(cell);
        else if (text)
            nqptp_text_add(text, "%*s%s",
                           last    ? 0
                           : right ? widths[column]
                                   : -widths[column],
                           cell, last ? "\n" : " ");
    }
}

static void add_table(struct nqptp_text *text, const struct nqptp_status *status) {
    int widths[TITLES];
    struct facts facts;

    for (size_t column = 0; column < TITLES; column++)
        widths[column] = (int)strlen(titles[column]);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t column = 0; pass == 1 && column < TITLES; column++)
            nqptp_text_add(text, "%-*s%s", column < TITLES - 1 ? widths[column] : 0, titles[column],
                           column < TITLES - 1 ? " " : "\n");
        for (int i = 0; i < NQPTP_CLOCKS_MAX; i++) {
            if (!status->engine->table.clocks[i].in_use)
                continue;
            list_facts(status, i, &facts);
            add_row(pass == 0 ? NULL : text, &facts, widths);
        }
    }
    add_field(text, "Marks:", "* master, L listed, Q qualified, A alive, Z asleep");
}
size_t nqptp_status_text(const struct nqptp_status *status, char *buffer, size_t size) {
    struct nqptp_text text = {.at = buffer, .size = size};
    const struct nqptp_engine *engine = status->engine;
    uint64_t used = engine->drops[NQPTP_DROP_NONE];
    char hint[NQPTP_HINT_MAX], uptime[CELL_SIZE];

    add_field(&text, "Version:", "%s, up %s", status->version,
              duration(seconds_since(status->started_ns, status->now_ns), uptime));
    add_places(&text, status);
    for (int c = 0; c < engine->clients.top; c++)
        add_client(&text, status, c);
    add_field(&text, "Packets:", "%" PRIu64 " used, %" PRIu64 " dropped", used,
              engine->packets - used);
    add_field(&text, "Clocks:", "%u of %d", clocks_in_use(&engine->table), NQPTP_CLOCKS_MAX);
    if (clocks_in_use(&engine->table) > 0) {
        nqptp_text_add(&text, "\n");
        add_table(&text, status);
    }
    add_drops(&text, engine);
    if (nqptp_hint(status, hint))
        add_field(&text, "Hint:", "%s", hint);
    return text.used;
}
