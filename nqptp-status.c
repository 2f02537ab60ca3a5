/* SPDX-License-Identifier: MIT */
/*
 * Two printers of one state. Programs get JSON, which has every fact. People get text, which has
 * the facts that they need: a title and words in each line, and a table with a row for each clock.
 * So a new fact goes into the JSON and nqptp(8), and into the text only if a person without sound
 * needs it.
 *
 * Each line of the text and each member of the JSON is one call, so both are read from top to
 * bottom. Nothing is changed, and no clock is read: the caller says the time.
 */
#include "nqptp-status.h"

#include "nqptp-hints.h"
#include "nqptp-story.h"
#include "nqptp-text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CELL_SIZE 48

static const char *const activity_names[] = {[NQPTP_UNSAID] = "stopped",
                                             [NQPTP_STOPPED] = "stopped",
                                             [NQPTP_PLAYING] = "playing",
                                             [NQPTP_PAUSED] = "paused"};

static double seconds_since(uint64_t then_ns, uint64_t now_ns) {
    return (double)(now_ns - then_ns) / 1e9;
}

/* Returns 0 if it is unknown. */
static double sync_interval_s(const struct nqptp_clock *clock) {
    return (double)nqptp_interval_ns(&clock->pairing.sync_interval, 0) / 1e9;
}

/* Returns whether the clock in row i qualifies as master of any client. */
static bool qualifies(const struct nqptp_status *status, int i) {
    const struct nqptp_clock_table *table = &status->engine->table;
    const struct nqptp_clients *clients = &status->engine->clients;

    for (int c = 0; c < clients->top; c++)
        if (nqptp_client_qualifies(table, &clients->list[c], i, status->now_ns))
            return true;
    return false;
}

/* --- the JSON --------------------------------------------------------------------------------- */

/*
 * Begins a member of an object, or of an array if it has no name: adds a comma, unless it is the
 * first, then the name.
 */
static void begin_member(struct nqptp_text *text, const char *name) {
    int last = text->used > 0 ? text->at[text->used - 1] : '{'; /* The buffer is too small. */

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

/* What is not printable becomes a ?, so only the quote and the backslash need an escape. */
static void member_text(struct nqptp_text *text, const char *name, const char *value) {
    char shown[NQPTP_HINT_MAX];

    member(text, name, "\"");
    for (const char *at = nqptp_text_show(value, "", shown, sizeof shown); *at; at++)
        nqptp_text_add(text, "%s%c", *at == '"' || *at == '\\' ? "\\" : "", *at);
    nqptp_text_add(text, "\"");
}

static void member_flag(struct nqptp_text *text, const char *name, bool value) {
    member(text, name, "%s", value ? "true" : "false");
}

static void member_age(struct nqptp_text *text, const char *name, uint64_t then_ns,
                       uint64_t now_ns) {
    member(text, name, "%.3f", seconds_since(then_ns, now_ns));
}

static void json_list(struct nqptp_text *text, const struct nqptp_client *client) {
    char address[INET6_ADDRSTRLEN];

    member(text, "list_length", client->has_list ? "%u" : "null", client->peer_count);
    member(text, "list", client->has_list ? "[" : "null");
    if (!client->has_list)
        return;
    for (unsigned i = 0; i < client->peer_count && i < NQPTP_PEERS_SHOWN; i++)
        member(text, NULL, "\"%s\"", nqptp_address_format(&client->peers[i].address, address));
    nqptp_text_add(text, "]");
}

/* The master is an index into the array "clocks". */
static void json_client(struct nqptp_text *text, const struct nqptp_status *status, int c) {
    static const char *const uses[] = {
        [NQPTP_USE_UNKNOWN] = "null", [NQPTP_USE_NONE] = "false", [NQPTP_USE_OPEN] = "true"};
    const struct nqptp_client *client = &status->engine->clients.list[c];
    unsigned index = 0;

    for (int i = 0; i < client->master; i++)
        index += status->engine->table.clocks[i].in_use;
    member(text, NULL, "{");
    member_text(text, "object", client->shown);
    member(text, "layout", "%u", status->objects[c].layout);
    member(text, "in_use", "%s", uses[status->objects[c].use]);
    member(text, "player", "\"%s\"", activity_names[client->activity]);
    json_list(text, client);
    member(text, "master", client->master == NQPTP_NO_CLOCK ? "null" : "%u", index);
    nqptp_text_add(text, "}");
}

static void json_announce(struct nqptp_text *text, const struct nqptp_announce *announce) {
    member(text, "grandmaster_identity", "\"%016" PRIx64 "\"", announce->grandmaster_identity);
    member(text, "priority1", "%u", announce->priority1);
    member(text, "clock_class", "%u", announce->clock_class);
    member(text, "clock_accuracy", "%u", announce->clock_accuracy);
    member(text, "offset_scaled_log_variance", "%u", announce->offset_scaled_log_variance);
    member(text, "priority2", "%u", announce->priority2);
    member(text, "steps_removed", "%u", announce->steps_removed);
}

/* The times are strings, because the numbers of many JSON readers hold 53 bits only. */
static void json_samples(struct nqptp_text *text, const struct nqptp_clock *clock,
                         uint64_t now_ns) {
    struct nqptp_quality quality;

    member_age(text, "sample_age_s", clock->sampled_at_ns, now_ns);
    member_age(text, "series_s", clock->reading.start_time_ns, now_ns);
    member(text, "local_time_ns", "\"%" PRIu64 "\"", clock->reading.local_time_ns);
    member(text, "offset_ns", "\"%" PRIu64 "\"", clock->reading.offset_ns);
    if (!nqptp_estimator_quality(&clock->estimator, &quality))
        return;
    member(text, "rate_ppm", "%.4f", quality.rate_ppm);
    member(text, "noise_us", "%.1f", quality.noise_us);
    member(text, "error_us", "%.1f", quality.error_us);
}

static void json_clock(struct nqptp_text *text, const struct nqptp_status *status, int i) {
    const struct nqptp_clock *clock = &status->engine->table.clocks[i];
    char address[INET6_ADDRSTRLEN];

    member(text, NULL, "{");
    member(text, "clock_identity", "\"%016" PRIx64 "\"", clock->clock_identity);
    member(text, "address", "\"%s\"", nqptp_address_format(&clock->address, address));
    member_text(text, "interface", status->interfaces[i]);
    member_flag(text, "master", nqptp_clients_masters(&status->engine->clients) >> i & 1);
    member_flag(text, "listed", nqptp_clients_listed(&status->engine->clients) >> i & 1);
    member_flag(text, "qualified", qualifies(status, i));
    member_flag(text, "alive", nqptp_clock_is_alive(clock, status->now_ns));
    member_flag(text, "asleep", nqptp_clock_is_asleep(clock));
    member_age(text, "heard_s", clock->heard_at_ns, status->now_ns);
    member(text, "packets", "%" PRIu64, clock->packets);
    member(text, "requests_sent", "%" PRIu64, clock->requests);
    member(text, "answers_received", "%" PRIu64, clock->answers);
    if (clock->answers > 0)
        member_age(text, "answer_s", clock->answered_ns, status->now_ns);
    if (sync_interval_s(clock) > 0)
        member(text, "sync_interval_s", "%.6f", sync_interval_s(clock));
    if (clock->announced)
        json_announce(text, &clock->announce);
    if (clock->sampled_at_ns > 0)
        json_samples(text, clock, status->now_ns);
    nqptp_text_add(text, "}");
}

static void json_drops(struct nqptp_text *text, const struct nqptp_engine *engine) {
    member(text, "drops", "{");
    for (int d = NQPTP_DROP_NONE + 1; d < NQPTP_DROP_COUNT; d++)
        member(text, nqptp_drop_name((enum nqptp_drop)d), "%" PRIu64, engine->drops[d]);
    nqptp_text_add(text, "}");
}

size_t nqptp_status_json(const struct nqptp_status *status, char *buffer, size_t size) {
    struct nqptp_text text = {.at = buffer, .size = size};
    const struct nqptp_engine *engine = status->engine;
    char hint[NQPTP_HINT_MAX];

    nqptp_text_add(&text, "{");
    member_text(&text, "version", status->version);
    member_age(&text, "uptime_s", status->started_ns, status->now_ns);
    member(&text, "packets_used", "%" PRIu64, engine->drops[NQPTP_DROP_NONE]);
    member(&text, "replies_unsent", "%" PRIu64, status->unsent.count);
    member(&text, "packets_dropped", "%" PRIu64, engine->packets - engine->drops[NQPTP_DROP_NONE]);
    member(&text, "places", "[");
    for (unsigned i = 0; i < status->place_count; i++) {
        member(&text, NULL, "{");
        member_text(&text, "name", status->places[i].name);
        member_flag(&text, "there", status->places[i].there);
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

/* --- the text: titles and words --------------------------------------------------------------- */

/* Writes a duration in the unit that needs the fewest digits, rounded to two or three of them. */
static const char *brief(double s, char text[CELL_SIZE]) {
    static const struct {
        double s;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}, {1e-3, "ms"}, {1e-6, "us"}};
    size_t i = 0;

    while (i < sizeof units / sizeof *units - 1 && s < units[i].s)
        i++;
    double value = s / units[i].s;
    snprintf(text, CELL_SIZE, "%.*f%s", value < 9.95, value, units[i].name);
    return text;
}

static void add_master(struct nqptp_text *text, const struct nqptp_status *status, int i) {
    const struct nqptp_clock *clock = &status->engine->table.clocks[i];
    char address[INET6_ADDRSTRLEN], cell[CELL_SIZE], series[CELL_SIZE];
    bool named = status->interfaces[i][0] != '\0';
    struct nqptp_quality quality;

    nqptp_text_add(text, "\nMaster:   %016" PRIx64 " at %s%s%s\n", clock->clock_identity,
                   nqptp_address_format(&clock->address, address), named ? " on " : "",
                   status->interfaces[i]);
    nqptp_text_add(text, "Sample:   %s ago, in an unbroken series for %s\n",
                   brief(seconds_since(clock->sampled_at_ns, status->now_ns), cell),
                   brief(seconds_since(clock->reading.start_time_ns, status->now_ns), series));
    nqptp_text_add(text, "Asked:    %" PRIu64 " times, %" PRIu64 " answers\n", clock->requests,
                   clock->answers);
    if (!nqptp_estimator_quality(&clock->estimator, &quality))
        return;
    nqptp_text_add(text, "Offset:   %+.6f s, error %s\n",
                   (double)(int64_t)clock->reading.offset_ns / 1e9,
                   brief(quality.error_us / 1e6, cell));
    nqptp_text_add(text, "Rate:     %+.3f ppm, noise %s\n", quality.rate_ppm,
                   brief(quality.noise_us / 1e6, cell));
}

static void add_client(struct nqptp_text *text, const struct nqptp_status *status, int c) {
    static const char *const uses[] = {
        [NQPTP_USE_UNKNOWN] = "", [NQPTP_USE_NONE] = ", not in use", [NQPTP_USE_OPEN] = ", in use"};
    const struct nqptp_client *client = &status->engine->clients.list[c];

    nqptp_text_add(text, "Object:   %s, layout %u%s, player %s\nList:     ", client->shown,
                   status->objects[c].layout, uses[status->objects[c].use],
                   activity_names[client->activity]);
    nqptp_story_list(client, text);
    if (client->master == NQPTP_NO_CLOCK)
        nqptp_text_add(text, "\nMaster:   none\n");
    else
        add_master(text, status, client->master);
}

static void add_places(struct nqptp_text *text, const struct nqptp_status *status) {
    for (unsigned i = 0; i < status->place_count; i++)
        nqptp_text_add(text, "%s %s%s", i == 0 ? "Listens: " : "", status->places[i].name,
                       status->places[i].there ? "" : " (not there)");
    nqptp_text_add(text, "%s", status->place_count > 0 ? "\n" : "");
}

static void add_drops(struct nqptp_text *text, const struct nqptp_engine *engine) {
    if (engine->packets == engine->drops[NQPTP_DROP_NONE])
        return;
    nqptp_text_add(text, "Dropped: ");
    for (int d = NQPTP_DROP_NONE + 1; d < NQPTP_DROP_COUNT; d++)
        if (engine->drops[d] > 0)
            nqptp_text_add(text, " %s=%" PRIu64, nqptp_drop_name((enum nqptp_drop)d),
                           engine->drops[d]);
    nqptp_text_add(text, "\n");
}

/* --- the text: the table of clocks ------------------------------------------------------------ */

/* Adds the row of a clock. What is not known is a dash. */
static void add_row(struct nqptp_text *text, const struct nqptp_status *status, int i, int width) {
    const struct nqptp_clock *clock = &status->engine->table.clocks[i];
    const struct nqptp_announce *announce = &clock->announce;
    const struct nqptp_clients *clients = &status->engine->clients;
    struct nqptp_quality quality;
    char address[INET6_ADDRSTRLEN], error[CELL_SIZE] = "-", sync[CELL_SIZE] = "-";

    if (clock->sampled_at_ns > 0 && nqptp_estimator_quality(&clock->estimator, &quality))
        brief(quality.error_us / 1e6, error);
    if (sync_interval_s(clock) > 0)
        brief(sync_interval_s(clock), sync);
    nqptp_text_add(text, "%c%c%c%c%c %016" PRIx64 " %-*s %5.1fs %5s %5s %6" PRIu64,
                   nqptp_clients_masters(clients) >> i & 1 ? '*' : '.',
                   nqptp_clients_listed(clients) >> i & 1 ? 'L' : '.',
                   qualifies(status, i) ? 'Q' : '.',
                   nqptp_clock_is_alive(clock, status->now_ns) ? 'A' : '.',
                   nqptp_clock_is_asleep(clock) ? 'Z' : '.', clock->clock_identity, width,
                   nqptp_address_format(&clock->address, address),
                   seconds_since(clock->heard_at_ns, status->now_ns), error, sync, clock->packets);
    if (!clock->announced)
        nqptp_text_add(text, " -       -\n");
    else if (announce->grandmaster_identity == clock->clock_identity)
        nqptp_text_add(text, " %3u/%-3u self\n", announce->priority1, announce->priority2);
    else
        nqptp_text_add(text, " %3u/%-3u %016" PRIx64 "\n", announce->priority1, announce->priority2,
                       announce->grandmaster_identity);
}

/* Adds titles and rows. The column of the addresses is as wide as the longest address. */
static void add_table(struct nqptp_text *text, const struct nqptp_status *status) {
    const struct nqptp_clock *clocks = status->engine->table.clocks;
    char address[INET6_ADDRSTRLEN];
    int width = (int)strlen("Address");

    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++) {
        int length = (int)strlen(nqptp_address_format(&clocks[i].address, address));
        width = clocks[i].in_use && length > width ? length : width;
    }
    nqptp_text_add(text, "\nMarks Clock identity   %-*s  Heard Error  Sync   Pkts Prio    GM\n",
                   width, "Address");
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        if (clocks[i].in_use)
            add_row(text, status, i, width);
    nqptp_text_add(text, "Marks:    * master, L listed, Q qualified, A alive, Z asleep\n");
}

size_t nqptp_status_text(const struct nqptp_status *status, char *buffer, size_t size) {
    struct nqptp_text text = {.at = buffer, .size = size};
    const struct nqptp_engine *engine = status->engine;
    uint64_t used = engine->drops[NQPTP_DROP_NONE];
    unsigned clocks = nqptp_clocks_in_use(&engine->table);
    char hint[NQPTP_HINT_MAX], uptime[CELL_SIZE];

    nqptp_text_add(&text, "Version:  %s, up %s\n", status->version,
                   brief(seconds_since(status->started_ns, status->now_ns), uptime));
    add_places(&text, status);
    for (int c = 0; c < engine->clients.top; c++)
        add_client(&text, status, c);
    nqptp_text_add(&text, "Packets:  %" PRIu64 " used, %" PRIu64 " dropped\n", used,
                   engine->packets - used);
    nqptp_text_add(&text, "Clocks:   %u of %d\n", clocks, NQPTP_CLOCKS_MAX);
    if (clocks > 0)
        add_table(&text, status);
    add_drops(&text, engine);
    if (nqptp_hint(status, hint))
        nqptp_text_add(&text, "Hint:     %s\n", hint);
    return text.used;
}
