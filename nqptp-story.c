/* SPDX-License-Identifier: MIT */
/*
 * Events, messages and the state in words. It decides nothing: the engine says what happened, and
 * nqptp-journal says what is logged and how often.
 *
 * A line is made of the name of the object, if the event is about a client, the words of the table
 * kinds[] around the clock, and the details. It says what happened and why, in the words that
 * README and nqptp(8) use.
 */
#include "nqptp-story.h"

#include "nqptp-time.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define STEP_SHOWN_NS 5000000 /* A smaller change may come from the estimate alone. */

static void add_clock(struct nqptp_text *line, uint64_t clock_identity,
                      const struct nqptp_address *address) {
    char text[INET6_ADDRSTRLEN];
    nqptp_text_add(line, "%016" PRIx64 " at %s", clock_identity,
                   nqptp_address_format(address, text));
}

/* --- events ---------------------------------------------------------------------------------- */

static void add_difference(struct nqptp_text *line, const struct nqptp_difference *difference) {
    static const char *const names[] = {
        [NQPTP_RUNG_PRIORITY1] = "priority1",
        [NQPTP_RUNG_CLOCK_CLASS] = "clockClass",
        [NQPTP_RUNG_CLOCK_ACCURACY] = "clockAccuracy",
        [NQPTP_RUNG_VARIANCE] = "offsetScaledLogVariance",
        [NQPTP_RUNG_PRIORITY2] = "priority2",
        [NQPTP_RUNG_GRANDMASTER_IDENTITY] = "grandmasterIdentity",
        [NQPTP_RUNG_STEPS_REMOVED] = "stepsRemoved",
        [NQPTP_RUNG_CLOCK_IDENTITY] = "clockIdentity",
        [NQPTP_RUNG_PORT_NUMBER] = "portNumber",
        [NQPTP_RUNG_ADDRESS] = "address",
    };
    enum nqptp_rung rung = difference->rung;

    nqptp_text_add(line, ", by %s", names[rung]);
    if (rung == NQPTP_RUNG_GRANDMASTER_IDENTITY || rung == NQPTP_RUNG_CLOCK_IDENTITY)
        nqptp_text_add(line, ": %016" PRIx64 " before %016" PRIx64, difference->mine,
                       difference->theirs);
    else if (rung != NQPTP_RUNG_ADDRESS) /* All else is equal. */
        nqptp_text_add(line, ": %" PRIu64 " before %" PRIu64, difference->mine, difference->theirs);
}

static void add_reason(struct nqptp_text *line, const struct nqptp_reason *reason) {
    static const char *const words[] = {
        [NQPTP_WON_ALONE] = ", the only candidate",
        [NQPTP_WON_FIRST] = ", the first in the list",
        [NQPTP_WON_STANDS_IN] = ", in place of ",
        [NQPTP_WON_SAME_HOST] = ", another address of the host of ",
        [NQPTP_WON_SILENT] = ", because the one before is silent",
        [NQPTP_WON_UNLISTED] = ", because the one before is not listed any more",
    };
    char address[INET6_ADDRSTRLEN];

    if (reason->won == NQPTP_WON_COMPARED)
        add_difference(line, &reason->difference);
    else if (reason->won == NQPTP_WON_STANDS_IN || reason->won == NQPTP_WON_SAME_HOST)
        nqptp_text_add(line, "%s%s, which is silent", words[reason->won],
                       nqptp_address_format(&reason->address, address));
    else
        nqptp_text_add(line, "%s", words[reason->won]);
}

void nqptp_story_list(const struct nqptp_client *client, struct nqptp_text *list) {
    unsigned count = client->has_list ? client->peer_count : 0;
    char address[INET6_ADDRSTRLEN];

    if (!client->has_list)
        nqptp_text_add(list, "never given, so any clock may be master");
    else if (count == 0)
        nqptp_text_add(list, "empty, so no clock may be master");
    else
        nqptp_text_add(list, "%u address%s:", count, count == 1 ? "" : "es");
    for (unsigned i = 0; i < count && i < NQPTP_PEERS_SHOWN; i++)
        nqptp_text_add(list, " %s", nqptp_address_format(&client->peers[i].address, address));
    nqptp_text_add(list, "%s", count > NQPTP_PEERS_SHOWN ? " ..." : "");
}

/* The words of each kind of event: a clock, where the event has one, stands between them. */
static const struct {
    const char *before, *after;
    bool is_detail; /* The event is logged with -v only. */
} kinds[NQPTP_EVENT_KINDS] = {
    [NQPTP_EVENT_CREATED] = {"new clock ", "", true},
    [NQPTP_EVENT_DELETED] = {"clock deleted ", "", true},
    [NQPTP_EVENT_REFUSED] = {"no room for clock ", "", true},
    [NQPTP_EVENT_QUALIFIED] = {"qualified to be master: clock ", "", true},
    [NQPTP_EVENT_LIST] = {"the list is now ", "", false},
    [NQPTP_EVENT_ACTIVITY] = {"the player ", "", true},
    [NQPTP_EVENT_MASTER] = {"master is now ", "", false},
    [NQPTP_EVENT_NO_MASTER] = {"there is no master any more", "", false},
    [NQPTP_EVENT_SILENT] = {"master ", " is lost: no usable sample for", false},
    [NQPTP_EVENT_STOPPED] = {"master ", " is lost: its time has not moved for", false},
    [NQPTP_EVENT_RESUMED] = {"master ", " is back after", false},
    [NQPTP_EVENT_STEPPED] = {"master ", " has stepped", false},
    [NQPTP_EVENT_GRANDMASTER] = {"master ", " has another grandmaster, ", false},
    [NQPTP_EVENT_RATE] = {"master ", " runs ", false},
};

static void add_rate(struct nqptp_text *line, double ppm) {
    if (fabs(ppm) > 0)
        nqptp_text_add(line,
                       "%.0f ppm %s than this machine's clock, and crystals differ by 100 at most; "
                       "nqptp --status says what to do",
                       fabs(ppm), ppm > 0 ? "faster" : "slower");
    else
        nqptp_text_add(line, "at a usual rate again");
}

static void add_client_details(struct nqptp_text *line, const struct nqptp_client *client,
                               const struct nqptp_event *event) {
    static const char *const activity[] = {
        [NQPTP_STOPPED] = "ends", [NQPTP_PLAYING] = "begins", [NQPTP_PAUSED] = "pauses"};

    if (event->kind == NQPTP_EVENT_LIST)
        nqptp_story_list(client, line);
    else if (event->kind == NQPTP_EVENT_ACTIVITY)
        nqptp_text_add(line, "%s", activity[client->activity]);
    else if (event->kind == NQPTP_EVENT_MASTER)
        add_reason(line, &event->reason);
    else if (event->reason.won == NQPTP_WON_SILENT)
        nqptp_text_add(line, ": the last one has been silent for %" PRIu64 " s or longer",
                       NQPTP_CLOCK_LIFETIME_NS / NQPTP_S);
}

/* A lost clock that is a master still keeps its values. */
static void add_clock_details(struct nqptp_text *line, const struct nqptp_engine *engine,
                              const struct nqptp_event *event) {
    int i = nqptp_clock_find(&engine->table, event->clock_identity, &event->address);
    bool is_lost = event->kind == NQPTP_EVENT_SILENT || event->kind == NQPTP_EVENT_STOPPED;

    if (is_lost || event->kind == NQPTP_EVENT_RESUMED)
        nqptp_text_add(line, " %.1f s", (double)event->silent_ns / 1e9);
    else if (event->kind == NQPTP_EVENT_GRANDMASTER)
        nqptp_text_add(line, "%016" PRIx64, event->grandmaster_identity);
    else if (event->kind == NQPTP_EVENT_RATE)
        add_rate(line, event->odd_rate_ppm);
    if (event->moved_ns >= STEP_SHOWN_NS || event->moved_ns <= -STEP_SHOWN_NS)
        nqptp_text_add(line, ", its time moved by %+.3f s", (double)event->moved_ns / 1e9);
    if (is_lost && i != NQPTP_NO_CLOCK && (nqptp_clients_masters(&engine->clients) >> i & 1))
        nqptp_text_add(line, "; players go on by its last values");
}

const char *nqptp_story_event(const struct nqptp_engine *engine, const struct nqptp_event *event,
                              char text[NQPTP_STORY_MAX]) {
    const struct nqptp_client *client =
        event->client >= 0 ? &engine->clients.list[event->client] : NULL;
    struct nqptp_text line = {text, NQPTP_STORY_MAX, 0};

    if (client)
        nqptp_text_add(&line, "%s: ", client->shown);
    nqptp_text_add(&line, "%s", kinds[event->kind].before);
    if (!client || event->kind == NQPTP_EVENT_MASTER)
        add_clock(&line, event->clock_identity, &event->address);
    nqptp_text_add(&line, "%s", kinds[event->kind].after);
    if (client)
        add_client_details(&line, client, event);
    else
        add_clock_details(&line, engine, event);
    return text;
}

/* NO_MASTER because of a list needs no line: the event of that list has one. */
bool nqptp_story_essential(const struct nqptp_event *event) {
    return !kinds[event->kind].is_detail &&
           (event->kind != NQPTP_EVENT_NO_MASTER || event->reason.won == NQPTP_WON_SILENT);
}

/* --- messages -------------------------------------------------------------------------------- */

const char *nqptp_message_describe(const struct nqptp_message *message,
                                   char text[NQPTP_MESSAGE_TEXT_MAX]) {
    struct nqptp_text line = {text, NQPTP_MESSAGE_TEXT_MAX, 0};
    const struct nqptp_announce *a = &message->announce;

    nqptp_text_add(&line,
                   "%s %016" PRIx64 "-%u, sequenceId %u, flags %04x, correction %" PRId64
                   " ns, logMessageInterval %d",
                   nqptp_message_name(message->type), message->source.clock_identity,
                   message->source.port_number, message->sequence_id, message->flags,
                   message->correction_ns, message->log_message_interval);
    if (message->type == NQPTP_SYNC || message->type == NQPTP_FOLLOW_UP)
        nqptp_text_add(&line, ", origin %" PRIu64 ".%09" PRIu64 " s",
                       message->origin_timestamp_ns / NQPTP_S,
                       message->origin_timestamp_ns % NQPTP_S);
    else if (message->type == NQPTP_DELAY_RESP)
        nqptp_text_add(&line, ", to %016" PRIx64 "-%u", message->requesting.clock_identity,
                       message->requesting.port_number);
    else if (message->type == NQPTP_ANNOUNCE)
        nqptp_text_add(&line,
                       ", grandmaster %016" PRIx64 ", priority1 %u, clockClass %u, clockAccuracy "
                       "%02x, variance %04x, priority2 %u, stepsRemoved %u",
                       a->grandmaster_identity, a->priority1, a->clock_class, a->clock_accuracy,
                       a->offset_scaled_log_variance, a->priority2, a->steps_removed);
    return text;
}

const char *nqptp_bytes_describe(const uint8_t *data, size_t length, char *text, size_t size) {
    size_t fits = (size - sizeof "...") / 2;
    struct nqptp_text digits = {text, size, 0};

    *text = '\0';
    for (size_t i = 0; i < length && i < fits; i++)
        nqptp_text_add(&digits, "%02x", data[i]);
    if (length > fits)
        nqptp_text_add(&digits, "...");
    return text;
}

const char *nqptp_drop_name(enum nqptp_drop drop) {
    static const char *const names[NQPTP_DROP_COUNT] = {
        [NQPTP_DROP_NONE] = "used",           [NQPTP_DROP_SHORT] = "short",
        [NQPTP_DROP_VERSION] = "version",     [NQPTP_DROP_DOMAIN] = "domain",
        [NQPTP_DROP_TYPE] = "type",           [NQPTP_DROP_LENGTH] = "length",
        [NQPTP_DROP_TRUNCATED] = "truncated", [NQPTP_DROP_OWN] = "own",
        [NQPTP_DROP_UNKNOWN] = "unknown",     [NQPTP_DROP_DUPLICATE] = "duplicate",
        [NQPTP_DROP_LATE] = "late",           [NQPTP_DROP_FULL] = "full",
        [NQPTP_DROP_FOREIGN] = "foreign",     [NQPTP_DROP_KERNEL] = "kernel",
    };
    return names[drop];
}

/* --- the state in one line ------------------------------------------------------------------- */

static void add_master(struct nqptp_text *line, const struct nqptp_client *client, bool is_first,
                       const struct nqptp_clock *clock) {
    struct nqptp_quality quality;

    if (!is_first)
        nqptp_text_add(line, "%s: ", client->shown);
    nqptp_text_add(line, "master ");
    add_clock(line, clock->clock_identity, &clock->address);
    if (clock->alive_until_ns == 0)
        nqptp_text_add(line, ", lost");
    else if (nqptp_estimator_quality(&clock->estimator, &quality))
        nqptp_text_add(line, ", %+.1f ppm, %.0f us",
                       fabs(quality.rate_ppm) < 0.05 ? 0 : quality.rate_ppm, quality.noise_us);
}

const char *nqptp_story_state(const struct nqptp_engine *engine, char text[NQPTP_STORY_MAX]) {
    struct nqptp_text line = {text, NQPTP_STORY_MAX, 0};
    const struct nqptp_clients *clients = &engine->clients;
    unsigned count = nqptp_clocks_in_use(&engine->table);
    int c = 0;

    if (count == 0) {
        nqptp_text_add(&line, "listening, nothing heard %s",
                       engine->drops[NQPTP_DROP_NONE] > 0 ? "now" : "yet");
        return text;
    }
    while (c < clients->top && clients->list[c].master == NQPTP_NO_CLOCK)
        c++;
    if (c < clients->top)
        add_master(&line, &clients->list[c], c == 0,
                   &engine->table.clocks[clients->list[c].master]);
    else
        nqptp_text_add(&line, "no master");
    nqptp_text_add(&line, ", %u clock%s", count, count == 1 ? "" : "s");
    return text;
}
