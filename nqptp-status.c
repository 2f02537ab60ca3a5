/* SPDX-License-Identifier: MIT */
/* The status as text and as JSON: see the header. */
#include "nqptp-status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_LEAST 40
#define FIELD_INDENT 10
#define ROW_INDENT 1 /* the longest address then fits into a line of its own */
#define CELL_SIZE 48
#define SYNC_EXPECTED 24 /* packets of a clock among which there should be some */

struct page {
    char *text;
    size_t size, used;
    int columns, indent; /* of the page; of the lines that go on */
    int column, gap;     /* how far the line has come; blanks before its next word */
};

__attribute__((format(printf, 2, 0))) static void
add_arguments(struct page *page, const char *format, va_list arguments) {
    int length = vsnprintf(page->text + page->used, page->size - page->used, format, arguments);
    if (length < 0)
        return;
    size_t room = page->size - page->used - 1;
    page->used += (size_t)length < room ? (size_t)length : room;
}

__attribute__((format(printf, 2, 3))) static void add(struct page *page, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    add_arguments(page, format, arguments);
    va_end(arguments);
}

/* --- facts ----------------------------------------------------------------------------------- */

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

/* --- hints ----------------------------------------------------------------------------------- */

/* Of some clocks: how many are in one state or another. */
struct census {
    unsigned heard, alive, asleep, sampled;
    unsigned syncs_only; /* of those nothing but Syncs came, so one of the two ports is deaf */
};

static struct census count_clocks(const struct nqptp_status *status,
                                  const struct nqptp_client *client, bool followed) {
    struct census census = {0};

    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++) {
        const struct nqptp_clock *clock = &status->engine->table.clocks[i];
        if (!clock->in_use ||
            followed != (!client->has_list || nqptp_client_lists_clock(client, i)))
            continue;
        census.heard++;
        census.alive += nqptp_clock_is_alive(clock, status->now_ns);
        census.asleep += nqptp_clock_is_asleep(clock);
        census.sampled += clock->sampled_at_ns > 0;
        census.syncs_only +=
            !clock->announced && clock->pairing.follow_up_at_ns == 0 && clock->sampled_at_ns == 0;
    }
    return census;
}

static bool gives_time(const struct nqptp_status *status, int master) {
    const struct nqptp_clock *clock = &status->engine->table.clocks[master];
    return nqptp_clock_is_alive(clock, status->now_ns) && !nqptp_clock_is_asleep(clock);
}

static const char unused[] = "nobody has it open: is Shairport Sync running, built for AirPlay 2 "
                             "and, if older than 4.3, in group nqptp?";

/* Why a client has no master that gives its time, though the list allows some. */
static const char *trouble_with(const struct census *listed, const struct census *others) {
    if (listed->heard == 0 && others->heard > 0)
        return "the addresses listed are silent, while other clocks are heard: does the sender "
               "reach this host from another address?";
    if (listed->heard == 0)
        return "the addresses listed are silent: is there a firewall, or another network between?";
    if (listed->asleep == listed->heard)
        return "the clock has stopped, so its sender is asleep: play something, or wake it up";
    if (listed->alive > 0)
        return "a clock gives its time, but does not qualify: it has not announced itself";
    if (listed->syncs_only == listed->heard)
        return "of a clock nothing but Syncs gets here: does a firewall drop UDP port 320?";
    if (listed->sampled == 0)
        return "a clock is heard, but gives no time: its sender is not playing to this host";
    return "the clock has fallen silent: is its sender still there, and playing to this host?";
}

static bool gets_no_sync(const struct nqptp_clock *clock) {
    return clock->packets >= SYNC_EXPECTED && sync_interval_s(clock) == 0;
}

static const char *trouble_of(const struct nqptp_status *status, int c) {
    const struct nqptp_client *client = &status->engine->clients.list[c];
    struct census listed = count_clocks(status, client, true);
    struct census others = count_clocks(status, client, false);

    if (client->has_list && client->peer_count == 0) /* who has it open may just be idle */
        return status->objects[c].use == NQPTP_USE_NONE ? unused : NULL;
    if (client->master == NQPTP_NO_CLOCK || !gives_time(status, client->master))
        return trouble_with(&listed, &others);
    if (gets_no_sync(&status->engine->table.clocks[client->master]))
        return "no Sync of the master gets here, so its time is less exact: does a firewall drop "
               "UDP port 319?";
    if (status->objects[c].use == NQPTP_USE_NONE)
        return unused;
    return NULL;
}

static bool is_nowhere(const struct nqptp_status *status) {
    for (unsigned i = 0; i < status->place_count; i++)
        if (status->places[i].there)
            return false;
    return status->place_count > 0;
}

/* What is wrong, if that can be told from here. Returns false if not. */
static bool write_hint(const struct nqptp_status *status, char *text, size_t size) {
    const struct nqptp_engine *engine = status->engine;

    if (engine->packets == 0 && is_nowhere(status))
        return snprintf(text, size, "%s is not there: see ip address; was it meant?",
                        status->places[0].name) > 0;
    if (engine->packets == engine->drops[NQPTP_DROP_KERNEL] && status->checksum_errors > 0)
        return snprintf(text, size,
                        "nothing was heard, but the kernel dropped %" PRIu64
                        " UDP datagrams with wrong checksums; where they come from a bridge or a "
                        "virtual network card, run there: ethtool -K INTERFACE tx off",
                        status->checksum_errors) > 0;
    if (engine->packets == 0 && status->objects[0].use == NQPTP_USE_NONE &&
        engine->clients.top == 1)
        return snprintf(text, size, "nothing was heard on UDP ports %u and %u, and %s: %s",
                        status->event_port, status->general_port, engine->clients.list[0].shown,
                        unused) > 0;
    if (engine->packets == 0)
        return snprintf(text, size,
                        "nothing was heard on UDP ports %u and %u since the start: is this player "
                        "selected in AirPlay? does a firewall let them in?",
                        status->event_port, status->general_port) > 0;
    if (clocks_in_use(&engine->table) == 0)
        return snprintf(text, size, "%s",
                        engine->drops[NQPTP_DROP_NONE] == 0
                            ? "no packet was of use: those who send are not AirPlay players"
                            : "no clock was heard for two minutes: is anything playing here?") > 0;
    for (int c = 0; c < engine->clients.top; c++) {
        const char *trouble = trouble_of(status, c);
        if (trouble)
            return snprintf(text, size, "%s: %s", engine->clients.list[c].shown, trouble) > 0;
    }
    return false;
}

/* --- lines of text --------------------------------------------------------------------------- */

/* A word of at least `width` columns; it begins another line if this one has no room. */
static void put(struct page *page, const char *word, int width, bool flush_right) {
    int length = (int)strlen(word);
    int room = length > width ? length : width;

    if (page->column > 0 && page->column + page->gap + room > page->columns) {
        add(page, "\n");
        page->column = 0;
        page->gap = page->indent + room > page->columns ? ROW_INDENT : page->indent;
    }
    int before = page->gap + (flush_right ? room - length : 0);
    add(page, "%*s%s", before, "", word);
    page->column += before + length;
    page->gap = 1 + (flush_right ? 0 : room - length);
}

static void end_line(struct page *page) {
    add(page, "\n");
    page->column = page->gap = 0;
}

static void put_words(struct page *page, char *words) {
    char *rest;

    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        put(page, word, 0, false);
}

/* A line, or more, that begins with a title. */
__attribute__((format(printf, 3, 4))) static void add_field(struct page *page, const char *title,
                                                            const char *format, ...) {
    char words[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    page->indent = FIELD_INDENT;
    put(page, title, FIELD_INDENT - 1, false);
    put_words(page, words);
    end_line(page);
}

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

/* --- the fields ------------------------------------------------------------------------------- */

static void add_object(struct page *page, const struct nqptp_status *status, int c) {
    static const char *const uses[] = {
        [NQPTP_USE_UNKNOWN] = "", [NQPTP_USE_NONE] = ", not in use", [NQPTP_USE_OPEN] = ", in use"};
    const struct nqptp_client *client = &status->engine->clients.list[c];

    add_field(page, "Object:", "%s, layout %u%s, player %s", client->shown,
              status->objects[c].layout, uses[status->objects[c].use],
              activity_names[client->activity]);
}

static void add_addresses(struct page *page, const struct nqptp_client *client) {
    char words[32], address[INET6_ADDRSTRLEN];

    page->indent = FIELD_INDENT;
    put(page, "List:", FIELD_INDENT - 1, false);
    snprintf(words, sizeof words, "%u address%s:", client->peer_count,
             client->peer_count == 1 ? "" : "es");
    put_words(page, words);
    for (unsigned i = 0; i < client->peer_count && i < NQPTP_STATUS_PEERS; i++)
        put(page, nqptp_address_format(&client->peers[i].address, address), 0, false);
    if (client->peer_count > NQPTP_STATUS_PEERS)
        put(page, "...", 0, false);
    end_line(page);
}

static void add_list(struct page *page, const struct nqptp_client *client) {
    if (!client->has_list)
        add_field(page, "List:", "never given, so any clock may be master");
    else if (client->peer_count == 0)
        add_field(page, "List:", "empty, so no clock may be master");
    else
        add_addresses(page, client);
}

static void add_offset(struct page *page, const struct nqptp_clock *clock) {
    struct nqptp_quality quality;
    char error[CELL_SIZE], noise[CELL_SIZE];
    int64_t offset_ns = (int64_t)clock->reading.offset_ns;
    uint64_t size_ns = offset_ns < 0 ? -(uint64_t)offset_ns : (uint64_t)offset_ns;

    if (!nqptp_estimator_quality(&clock->estimator, &quality))
        return;
    add_field(page, "Offset:", "%s%" PRIu64 ".%09" PRIu64 " s, error %s", offset_ns < 0 ? "-" : "+",
              size_ns / 1000000000, size_ns % 1000000000, brief(quality.error_us / 1e6, error));
    add_field(page, "Rate:", "%+.3f ppm, noise %s", quality.rate_ppm,
              brief(quality.noise_us / 1e6, noise));
}

static void add_master(struct page *page, const struct nqptp_status *status, int i) {
    const struct nqptp_clock *clock = &status->engine->table.clocks[i];
    char address[INET6_ADDRSTRLEN], age[CELL_SIZE], series[CELL_SIZE];
    bool named = status->interfaces[i][0] != '\0';

    add_field(page, "Master:", "%016" PRIx64 " at %s%s%s", clock->clock_identity,
              nqptp_address_format(&clock->address, address), named ? " on " : "",
              status->interfaces[i]);
    if (clock->reading.grandmaster_identity != clock->clock_identity)
        add_field(page, "Grandm.:", "%016" PRIx64, clock->reading.grandmaster_identity);
    add_field(page, "Sample:", "%s ago, in an unbroken series for %s",
              duration(seconds_since(clock->sampled_at_ns, status->now_ns), age),
              duration(seconds_since(clock->reading.start_time_ns, status->now_ns), series));
    add_offset(page, clock);
}

static void add_client(struct page *page, const struct nqptp_status *status, int c) {
    const struct nqptp_client *client = &status->engine->clients.list[c];

    add_object(page, status, c);
    add_list(page, client);
    if (client->master == NQPTP_NO_CLOCK)
        add_field(page, "Master:", "none");
    else
        add_master(page, status, client->master);
}

static void add_places(struct page *page, const struct nqptp_status *status) {
    char word[NQPTP_PLACE_SIZE + 16];

    if (status->place_count == 0)
        return;
    page->indent = FIELD_INDENT;
    put(page, "Listens:", FIELD_INDENT - 1, false);
    for (unsigned i = 0; i < status->place_count; i++) {
        snprintf(word, sizeof word, "%s%s", status->places[i].name,
                 status->places[i].there ? "" : " (not there)");
        put_words(page, word);
    }
    end_line(page);
}

static void add_drops(struct page *page, const struct nqptp_engine *engine) {
    char word[CELL_SIZE];

    if (engine->packets == engine->drops[NQPTP_DROP_NONE])
        return;
    page->indent = FIELD_INDENT;
    put(page, "Dropped:", FIELD_INDENT - 1, false);
    for (int d = NQPTP_DROP_NONE + 1; d < NQPTP_DROP_COUNT; d++) {
        if (engine->drops[d] == 0)
            continue;
        snprintf(word, sizeof word, "%s=%" PRIu64, drop_names[d], engine->drops[d]);
        put(page, word, 0, false);
    }
    end_line(page);
}

/* --- the table of clocks ---------------------------------------------------------------------- */

static void write_marks(const struct nqptp_status *status, int i, char cell[CELL_SIZE]) {
    const struct nqptp_clock_table *table = &status->engine->table;
    const struct nqptp_clock *clock = &table->clocks[i];

    snprintf(cell, CELL_SIZE, "%c%c%c%c%c", is_master(status, i) ? '*' : '.',
             is_listed(status, i) ? 'L' : '.', qualifies(status, i) ? 'Q' : '.',
             nqptp_clock_is_alive(clock, status->now_ns) ? 'A' : '.',
             nqptp_clock_is_asleep(clock) ? 'Z' : '.');
}

static void write_identity(const struct nqptp_status *status, int i, char cell[CELL_SIZE]) {
    snprintf(cell, CELL_SIZE, "%016" PRIx64, status->engine->table.clocks[i].clock_identity);
}

static void write_address(const struct nqptp_status *status, int i, char cell[CELL_SIZE]) {
    nqptp_address_format(&status->engine->table.clocks[i].address, cell);
}

static void write_heard(const struct nqptp_status *status, int i, char cell[CELL_SIZE]) {
    const struct nqptp_clock *clock = &status->engine->table.clocks[i];
    snprintf(cell, CELL_SIZE, "%.1fs", seconds_since(clock->heard_at_ns, status->now_ns));
}

static void write_error(const struct nqptp_status *status, int i, char cell[CELL_SIZE]) {
    struct nqptp_quality quality;
    if (nqptp_estimator_quality(&status->engine->table.clocks[i].estimator, &quality))
        brief(quality.error_us / 1e6, cell);
}

static void write_sync(const struct nqptp_status *status, int i, char cell[CELL_SIZE]) {
    double interval_s = sync_interval_s(&status->engine->table.clocks[i]);
    if (interval_s > 0)
        brief(interval_s, cell);
}

static void write_packets(const struct nqptp_status *status, int i, char cell[CELL_SIZE]) {
    snprintf(cell, CELL_SIZE, "%" PRIu64, status->engine->table.clocks[i].packets);
}

static void write_priorities(const struct nqptp_status *status, int i, char cell[CELL_SIZE]) {
    const struct nqptp_clock *clock = &status->engine->table.clocks[i];
    if (clock->announced)
        snprintf(cell, CELL_SIZE, "%u/%u", clock->announce.priority1, clock->announce.priority2);
}

static void write_steps(const struct nqptp_status *status, int i, char cell[CELL_SIZE]) {
    const struct nqptp_clock *clock = &status->engine->table.clocks[i];
    if (clock->announced)
        snprintf(cell, CELL_SIZE, "%u", clock->announce.steps_removed);
}

static void write_grandmaster(const struct nqptp_status *status, int i, char cell[CELL_SIZE]) {
    const struct nqptp_clock *clock = &status->engine->table.clocks[i];
    if (clock->announced && clock->announce.grandmaster_identity == clock->clock_identity)
        snprintf(cell, CELL_SIZE, "self");
    else if (clock->announced)
        snprintf(cell, CELL_SIZE, "%016" PRIx64, clock->announce.grandmaster_identity);
}

/* From left to right: what has no room comes below. A cell that is not written says "-". */
static const struct {
    const char *title;
    bool number;
    void (*write)(const struct nqptp_status *status, int i, char cell[CELL_SIZE]);
} table_columns[] = {
    {"Marks", false, write_marks},     {"Clock identity", false, write_identity},
    {"Address", false, write_address}, {"Heard", true, write_heard},
    {"Error", true, write_error},      {"Sync", true, write_sync},
    {"Pkts", true, write_packets},     {"Prio", true, write_priorities},
    {"Steps", true, write_steps},      {"GM", false, write_grandmaster},
};

#define TABLE_COLUMNS (sizeof table_columns / sizeof *table_columns)
#define TITLES (-1) /* the row above the first */

static void write_cell(const struct nqptp_status *status, int i, size_t column,
                       char cell[CELL_SIZE]) {
    snprintf(cell, CELL_SIZE, "%s", i == TITLES ? table_columns[column].title : "-");
    if (i != TITLES)
        table_columns[column].write(status, i, cell);
}

static int width_of(const struct nqptp_status *status, size_t column) {
    char cell[CELL_SIZE];
    size_t width = 0;

    for (int i = TITLES; i < NQPTP_CLOCKS_MAX; i++) {
        if (i != TITLES && !status->engine->table.clocks[i].in_use)
            continue;
        write_cell(status, i, column, cell);
        width = strlen(cell) > width ? strlen(cell) : width;
    }
    return (int)width;
}

static void add_table(struct page *page, const struct nqptp_status *status) {
    char cell[CELL_SIZE];
    int widths[TABLE_COLUMNS];

    for (size_t column = 0; column < TABLE_COLUMNS; column++)
        widths[column] = width_of(status, column);
    page->indent = ROW_INDENT;
    for (int i = TITLES; i < NQPTP_CLOCKS_MAX; i++) {
        if (i != TITLES && !status->engine->table.clocks[i].in_use)
            continue;
        for (size_t column = 0; column < TABLE_COLUMNS; column++) {
            write_cell(status, i, column, cell);
            put(page, cell, widths[column], table_columns[column].number);
        }
        end_line(page);
    }
    add_field(page, "Marks:", "* master, L listed, Q qualified, A alive, Z asleep");
}

/* --- the text --------------------------------------------------------------------------------- */

size_t nqptp_status_text(const struct nqptp_status *status, unsigned columns, char *text,
                         size_t size) {
    struct page page = {.text = text, .size = size};
    const struct nqptp_engine *engine = status->engine;
    uint64_t used = engine->drops[NQPTP_DROP_NONE];
    char hint[256], uptime[CELL_SIZE];

    page.columns = columns > COLUMNS_LEAST ? (int)columns : COLUMNS_LEAST;
    add_field(&page, "Version:", "%s, up %s", status->version,
              duration(seconds_since(status->started_ns, status->now_ns), uptime));
    add_places(&page, status);
    for (int c = 0; c < engine->clients.top; c++)
        add_client(&page, status, c);
    add_field(&page, "Packets:", "%" PRIu64 " used, %" PRIu64 " dropped", used,
              engine->packets - used);
    add_field(&page, "Clocks:", "%u of %d", clocks_in_use(&engine->table), NQPTP_CLOCKS_MAX);
    if (clocks_in_use(&engine->table) > 0) {
        end_line(&page);
        add_table(&page, status);
    }
    add_drops(&page, engine);
    if (write_hint(status, hint, sizeof hint))
        add_field(&page, "Hint:", "%s", hint);
    return page.used;
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* A comma, unless this is the first of its object or array; then the name, unless it is NULL. */
static void begin_member(struct page *page, const char *name) {
    int last = page->used > 0 ? page->text[page->used - 1] : '{'; /* there was no room for it */

    if (last != '{' && last != '[')
        add(page, ",");
    if (name)
        add(page, "\"%s\":", name);
}

__attribute__((format(printf, 3, 4))) static void member(struct page *page, const char *name,
                                                         const char *format, ...) {
    va_list arguments;

    begin_member(page, name);
    va_start(arguments, format);
    add_arguments(page, format, arguments);
    va_end(arguments);
}

static void member_text(struct page *page, const char *name, const char *text) {
    member(page, name, "\"");
    for (; *text; text++) {
        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
            add(page, "\\u%04x", (unsigned char)*text);
        else
            add(page, "%c", *text);
    }
    add(page, "\"");
}

/* A name of a client is UTF-8. */
static void member_name(struct page *page, const char *name, const char *text) {
    member(page, name, "\"");
    for (; *text; text++)
        add(page, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    add(page, "\"");
}

static void member_bool(struct page *page, const char *name, bool value) {
    member(page, name, value ? "true" : "false");
}

static void member_address(struct page *page, const char *name,
                           const struct nqptp_address *address) {
    char text[INET6_ADDRSTRLEN];
    member_text(page, name, nqptp_address_format(address, text));
}

static void json_list(struct page *page, const struct nqptp_client *client) {
    member(page, "list_length", client->has_list ? "%u" : "null", client->peer_count);
    member(page, "list", client->has_list ? "[" : "null");
    if (!client->has_list)
        return;
    for (unsigned i = 0; i < client->peer_count && i < NQPTP_STATUS_PEERS; i++)
        member_address(page, NULL, &client->peers[i].address);
    add(page, "]");
}

/* The master is named by its place among the clocks. */
static void json_client(struct page *page, const struct nqptp_status *status, int c) {
    static const char *const uses[] = {
        [NQPTP_USE_UNKNOWN] = "null", [NQPTP_USE_NONE] = "false", [NQPTP_USE_OPEN] = "true"};
    const struct nqptp_client *client = &status->engine->clients.list[c];
    unsigned place = 0;

    for (int i = 0; i < client->master; i++)
        place += status->engine->table.clocks[i].in_use;
    member(page, NULL, "{");
    member_name(page, "object", client->shown);
    member(page, "layout", "%u", status->objects[c].layout);
    member(page, "in_use", "%s", uses[status->objects[c].use]);
    member(page, "player", "\"%s\"", activity_names[client->activity]);
    json_list(page, client);
    member(page, "master", client->master == NQPTP_NO_CLOCK ? "null" : "%u", place);
    add(page, "}");
}

static void json_announce(struct page *page, const struct nqptp_announce *announce) {
    member(page, "grandmaster_identity", "\"%016" PRIx64 "\"", announce->grandmaster_identity);
    member(page, "priority1", "%u", announce->priority1);
    member(page, "clock_class", "%u", announce->clock_class);
    member(page, "clock_accuracy", "%u", announce->clock_accuracy);
    member(page, "offset_scaled_log_variance", "%u", announce->offset_scaled_log_variance);
    member(page, "priority2", "%u", announce->priority2);
    member(page, "steps_removed", "%u", announce->steps_removed);
}

static void json_samples(struct page *page, const struct nqptp_clock *clock, uint64_t now_ns) {
    struct nqptp_quality quality;

    member(page, "sample_age_s", "%.3f", seconds_since(clock->sampled_at_ns, now_ns));
    member(page, "series_s", "%.3f", seconds_since(clock->reading.start_time_ns, now_ns));
    member(page, "local_time_ns", "\"%" PRIu64 "\"", clock->reading.local_time_ns);
    member(page, "offset_ns", "\"%" PRIu64 "\"", clock->reading.offset_ns);
    if (!nqptp_estimator_quality(&clock->estimator, &quality))
        return;
    member(page, "rate_ppm", "%.4f", quality.rate_ppm);
    member(page, "noise_us", "%.1f", quality.noise_us);
    member(page, "error_us", "%.1f", quality.error_us);
}

static void json_clock(struct page *page, const struct nqptp_status *status, int i) {
    const struct nqptp_clock_table *table = &status->engine->table;
    const struct nqptp_clock *clock = &table->clocks[i];

    member(page, NULL, "{");
    member(page, "clock_identity", "\"%016" PRIx64 "\"", clock->clock_identity);
    member_address(page, "address", &clock->address);
    member_text(page, "interface", status->interfaces[i]);
    member_bool(page, "master", is_master(status, i));
    member_bool(page, "listed", is_listed(status, i));
    member_bool(page, "qualified", qualifies(status, i));
    member_bool(page, "alive", nqptp_clock_is_alive(clock, status->now_ns));
    member_bool(page, "asleep", nqptp_clock_is_asleep(clock));
    member(page, "heard_s", "%.3f", seconds_since(clock->heard_at_ns, status->now_ns));
    member(page, "packets", "%" PRIu64, clock->packets);
    if (sync_interval_s(clock) > 0)
        member(page, "sync_interval_s", "%.6f", sync_interval_s(clock));
    if (clock->announced)
        json_announce(page, &clock->announce);
    if (clock->sampled_at_ns > 0)
        json_samples(page, clock, status->now_ns);
    add(page, "}");
}

static void json_drops(struct page *page, const struct nqptp_engine *engine) {
    member(page, "drops", "{");
    for (int d = NQPTP_DROP_NONE + 1; d < NQPTP_DROP_COUNT; d++)
        member(page, drop_names[d], "%" PRIu64, engine->drops[d]);
    add(page, "}");
}

size_t nqptp_status_json(const struct nqptp_status *status, char *text, size_t size) {
    struct page page = {.text = text, .size = size};
    const struct nqptp_engine *engine = status->engine;
    char hint[256];

    add(&page, "{");
    member_text(&page, "version", status->version);
    member(&page, "uptime_s", "%.3f", seconds_since(status->started_ns, status->now_ns));
    member(&page, "packets_used", "%" PRIu64, engine->drops[NQPTP_DROP_NONE]);
    member(&page, "packets_dropped", "%" PRIu64, engine->packets - engine->drops[NQPTP_DROP_NONE]);
    member(&page, "places", "[");
    for (unsigned i = 0; i < status->place_count; i++) {
        member(&page, NULL, "{");
        member_text(&page, "name", status->places[i].name);
        member_bool(&page, "there", status->places[i].there);
        add(&page, "}");
    }
    add(&page, "]");
    member(&page, "clients", "[");
    for (int c = 0; c < engine->clients.top; c++)
        json_client(&page, status, c);
    add(&page, "]");
    member(&page, "clocks", "[");
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        if (engine->table.clocks[i].in_use)
            json_clock(&page, status, i);
    add(&page, "]");
    json_drops(&page, engine);
    if (write_hint(status, hint, sizeof hint))
        member_text(&page, "hint", hint);
    add(&page, "}\n");
    return page.used;
}
