/* SPDX-License-Identifier: MIT */
/* What happens, in words: see the header. */
#include "nqptp-story.h"

#include "nqptp-text.h"
#include "nqptp-time.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PEERS_SHOWN 8
#define STEP_SHOWN_NS 5000000 /* a smaller one may be a matter of estimation */

static void add_address(struct nqptp_text *line, const char *before,
                        const struct nqptp_address *address) {
    char text[INET6_ADDRSTRLEN];
    nqptp_text_add(line, "%s%s", before, nqptp_address_format(address, text));
}

static void add_clock(struct nqptp_text *line, uint64_t clock_identity,
                      const struct nqptp_address *address) {
    nqptp_text_add(line, "%016" PRIx64, clock_identity);
    add_address(line, " at ", address);
}

/* --- events ---------------------------------------------------------------------------------- */

static void add_difference(struct nqptp_text *line, const struct nqptp_difference *difference) {
    static const struct {
        const char *name;
        bool identity;
    } rungs[NQPTP_RUNG_ADDRESS] = {
        [NQPTP_RUNG_PRIORITY1] = {"priority1", false},
        [NQPTP_RUNG_CLOCK_CLASS] = {"clockClass", false},
        [NQPTP_RUNG_CLOCK_ACCURACY] = {"clockAccuracy", false},
        [NQPTP_RUNG_VARIANCE] = {"offsetScaledLogVariance", false},
        [NQPTP_RUNG_PRIORITY2] = {"priority2", false},
        [NQPTP_RUNG_GRANDMASTER_IDENTITY] = {"grandmasterIdentity", true},
        [NQPTP_RUNG_STEPS_REMOVED] = {"stepsRemoved", false},
        [NQPTP_RUNG_CLOCK_IDENTITY] = {"clockIdentity", true},
        [NQPTP_RUNG_PORT_NUMBER] = {"portNumber", false},
    };

    if (difference->rung == NQPTP_RUNG_ADDRESS)
        nqptp_text_add(line, ", by address, for all else is equal");
    else
        nqptp_text_add(line,
                       rungs[difference->rung].identity ? ", by %s: %016" PRIx64
                                                          " before %016" PRIx64
                                                        : ", by %s: %" PRIu64 " before %" PRIu64,
                       rungs[difference->rung].name, difference->mine, difference->theirs);
}

static void add_reason(struct nqptp_text *line, const struct nqptp_reason *reason) {
    switch (reason->won) {
    case NQPTP_WON_ALONE:
        nqptp_text_add(line, ", the only candidate");
        return;
    case NQPTP_WON_COMPARED:
        add_difference(line, &reason->difference);
        return;
    case NQPTP_WON_FIRST:
        nqptp_text_add(line, ", the first in the list");
        return;
    case NQPTP_WON_STANDS_IN:
        add_address(line, ", in place of ", &reason->address);
        nqptp_text_add(line, ", which is silent");
        return;
    case NQPTP_WON_SILENT:
        nqptp_text_add(line, ", for the one before is silent");
        return;
    case NQPTP_WON_UNLISTED:
        nqptp_text_add(line, ", for the one before is not listed any more");
    }
}

static void add_list(struct nqptp_text *line, const struct nqptp_client *client) {
    if (client->peer_count == 0) {
        nqptp_text_add(line, "no clock may be master now");
        return;
    }
    nqptp_text_add(line, "only clocks at %u address%s may be master now:", client->peer_count,
                   client->peer_count == 1 ? "" : "es");
    for (unsigned i = 0; i < client->peer_count && i < PEERS_SHOWN; i++)
        add_address(line, " ", &client->peers[i].address);
    if (client->peer_count > PEERS_SHOWN)
        nqptp_text_add(line, " ...");
}

static void add_move(struct nqptp_text *line, int64_t moved_ns) {
    if (moved_ns >= STEP_SHOWN_NS || moved_ns <= -STEP_SHOWN_NS)
        nqptp_text_add(line, ", its time moved by %+.3f s", (double)moved_ns / 1e9);
}

static void add_client_event(struct nqptp_text *line, const struct nqptp_client *client,
                             const struct nqptp_event *event) {
    static const char *const activity[] = {
        [NQPTP_STOPPED] = "ends", [NQPTP_PLAYING] = "begins", [NQPTP_PAUSED] = "pauses"};

    nqptp_text_add(line, "%s: ", client->shown);
    if (event->kind == NQPTP_EVENT_LIST) {
        add_list(line, client);
    } else if (event->kind == NQPTP_EVENT_ACTIVITY) {
        nqptp_text_add(line, "the player %s", activity[client->activity]);
    } else if (event->kind == NQPTP_EVENT_NO_MASTER) {
        nqptp_text_add(line, "there is no master now");
        if (event->reason.won == NQPTP_WON_SILENT)
            nqptp_text_add(line, ": the last one is silent for %" PRIu64 " s",
                           NQPTP_CLOCK_LIFETIME_NS / NQPTP_S);
    } else if (event->kind == NQPTP_EVENT_MASTER) {
        nqptp_text_add(line, "master is now ");
        add_clock(line, event->clock_identity, &event->address);
        add_reason(line, &event->reason);
    }
}

static void add_clock_event(struct nqptp_text *line, const struct nqptp_event *event) {
    static const char *const subjects[NQPTP_EVENT_KINDS] = {
        [NQPTP_EVENT_CREATED] = "new clock",
        [NQPTP_EVENT_DELETED] = "clock deleted",
        [NQPTP_EVENT_REFUSED] = "no room for clock",
        [NQPTP_EVENT_QUALIFIED] = "qualified to be master: clock",
    };
    double silent_s = (double)event->silent_ns / 1e9;

    nqptp_text_add(line, "%s ", subjects[event->kind] ? subjects[event->kind] : "master");
    add_clock(line, event->clock_identity, &event->address);
    if (event->kind == NQPTP_EVENT_SILENT)
        nqptp_text_add(line, " is lost: no usable sample for %.1f s", silent_s);
    else if (event->kind == NQPTP_EVENT_STOPPED)
        nqptp_text_add(line, " is lost: its time stands still for %.1f s", silent_s);
    else if (event->kind == NQPTP_EVENT_RESUMED)
        nqptp_text_add(line, " is back after %.1f s", silent_s);
    else if (event->kind == NQPTP_EVENT_STEPPED)
        nqptp_text_add(line, " has stepped");
    else if (event->kind == NQPTP_EVENT_GRANDMASTER)
        nqptp_text_add(line, " has another grandmaster, %016" PRIx64, event->grandmaster_identity);
    else if (event->kind == NQPTP_EVENT_RATE && fabs(event->odd_rate_ppm) > 0)
        nqptp_text_add(line,
                       " runs %.0f ppm %s than this machine's clock, and crystals differ by 100 "
                       "at most; nqptp --status says what to do",
                       fabs(event->odd_rate_ppm), event->odd_rate_ppm > 0 ? "faster" : "slower");
    else if (event->kind == NQPTP_EVENT_RATE)
        nqptp_text_add(line, " runs at a usual rate again");
    add_move(line, event->moved_ns);
}

/* Is the clock that was lost followed still, for want of a better one? */
static bool keeps_values(const struct nqptp_engine *engine, const struct nqptp_event *event) {
    int i = nqptp_clock_find(&engine->table, event->clock_identity, &event->address);
    return (event->kind == NQPTP_EVENT_SILENT || event->kind == NQPTP_EVENT_STOPPED) &&
           i != NQPTP_NO_CLOCK && (nqptp_clients_masters(&engine->clients) >> i & 1);
}

const char *nqptp_story_event(const struct nqptp_engine *engine, const struct nqptp_event *event,
                              char text[NQPTP_STORY_MAX]) {
    struct nqptp_text line = {text, NQPTP_STORY_MAX, 0};

    if (event->client >= 0)
        add_client_event(&line, &engine->clients.list[event->client], event);
    else
        add_clock_event(&line, event);
    if (keeps_values(engine, event))
        nqptp_text_add(&line, "; its last values stay");
    return text;
}

bool nqptp_story_essential(const struct nqptp_event *event) {
    switch (event->kind) {
    case NQPTP_EVENT_LIST:
    case NQPTP_EVENT_MASTER:
    case NQPTP_EVENT_SILENT:
    case NQPTP_EVENT_STOPPED:
    case NQPTP_EVENT_RESUMED:
    case NQPTP_EVENT_STEPPED:
    case NQPTP_EVENT_GRANDMASTER:
    case NQPTP_EVENT_RATE:
        return true;
    case NQPTP_EVENT_NO_MASTER: /* else the list said it */
        return event->reason.won == NQPTP_WON_SILENT;
    case NQPTP_EVENT_CREATED:
    case NQPTP_EVENT_DELETED:
    case NQPTP_EVENT_REFUSED:
    case NQPTP_EVENT_QUALIFIED:
    case NQPTP_EVENT_ACTIVITY:
        break;
    }
    return false;
}

/* --- messages -------------------------------------------------------------------------------- */

/* What only messages of this type have, after what all have. */
static void describe_body(const struct nqptp_message *m, char *text, size_t size) {
    const struct nqptp_announce *a = &m->announce;

    if (m->type == NQPTP_SYNC || m->type == NQPTP_FOLLOW_UP)
        snprintf(text, size, ", origin %" PRIu64 ".%09" PRIu64 " s",
                 m->origin_timestamp_ns / NQPTP_S, m->origin_timestamp_ns % NQPTP_S);
    else if (m->type == NQPTP_DELAY_RESP)
        snprintf(text, size, ", to %016" PRIx64 "-%u", m->requesting.clock_identity,
                 m->requesting.port_number);
    else if (m->type == NQPTP_ANNOUNCE)
        snprintf(text, size,
                 ", grandmaster %016" PRIx64 ", priority1 %u, clockClass %u, clockAccuracy %02x, "
                 "variance %04x, priority2 %u, stepsRemoved %u",
                 a->grandmaster_identity, a->priority1, a->clock_class, a->clock_accuracy,
                 a->offset_scaled_log_variance, a->priority2, a->steps_removed);
}

const char *nqptp_message_describe(const struct nqptp_message *message,
                                   char text[NQPTP_MESSAGE_TEXT_MAX]) {
    int head = snprintf(text, NQPTP_MESSAGE_TEXT_MAX,
                        "%s %016" PRIx64 "-%u, sequenceId %u, flags %04x, correction %" PRId64
                        " ns, logMessageInterval %d",
                        nqptp_message_name(message->type), message->source.clock_identity,
                        message->source.port_number, message->sequence_id, message->flags,
                        message->correction_ns, message->log_message_interval);

    describe_body(message, text + head, (size_t)(NQPTP_MESSAGE_TEXT_MAX - head));
    return text;
}

const char *nqptp_bytes_describe(const uint8_t *data, size_t length, char *text, size_t size) {
    size_t fits = (size - sizeof "...") / 2;
    bool whole = length <= fits;

    if (!whole)
        length = fits;
    for (size_t i = 0; i < length; i++)
        snprintf(text + 2 * i, 3, "%02x", data[i]);
    snprintf(text + 2 * length, sizeof "...", "%s", whole ? "" : "...");
    return text;
}

const char *nqptp_drop_describe(enum nqptp_drop drop) {
    static const char *const words[NQPTP_DROP_COUNT] = {
        [NQPTP_DROP_NONE] = "used",
        [NQPTP_DROP_SHORT] = "too short",
        [NQPTP_DROP_VERSION] = "not version 2",
        [NQPTP_DROP_DOMAIN] = "not domain 0",
        [NQPTP_DROP_TYPE] = "of a reserved type",
        [NQPTP_DROP_LENGTH] = "of a wrong messageLength",
        [NQPTP_DROP_TRUNCATED] = "too long",
        [NQPTP_DROP_OWN] = "our own",
        [NQPTP_DROP_UNKNOWN] = "a Follow_Up of an unknown clock",
        [NQPTP_DROP_DUPLICATE] = "a repetition",
        [NQPTP_DROP_LATE] = "too late",
        [NQPTP_DROP_FULL] = "of a clock for which there is no room",
        [NQPTP_DROP_FOREIGN] = "a Delay_Resp to another port",
        [NQPTP_DROP_KERNEL] = "dropped by the kernel",
    };
    return words[drop];
}

/* --- where things stand ---------------------------------------------------------------------- */

void nqptp_summary_make(const struct nqptp_engine *engine, struct nqptp_summary *summary) {
    const struct nqptp_clock_table *table = &engine->table;
    const struct nqptp_clients *clients = &engine->clients;

    *summary = (struct nqptp_summary){.heard = engine->drops[NQPTP_DROP_NONE] > 0, .client = -1};
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        summary->clocks += table->clocks[i].in_use;
    for (int c = 0; c < clients->top && summary->client < 0; c++)
        if (clients->list[c].master != NQPTP_NO_CLOCK)
            summary->client = c;
    if (summary->client < 0)
        return;
    const struct nqptp_clock *clock = &table->clocks[clients->list[summary->client].master];
    summary->lost = clock->alive_until_ns == 0;
    summary->clock_identity = clock->clock_identity;
    summary->address = clock->address;
    summary->rate_ppm = clock->estimator.slope_ppm;
    summary->noise_us = clock->estimator.noise_us;
}

bool nqptp_summary_news(const struct nqptp_summary *summary, const struct nqptp_summary *old) {
    if (summary->heard != old->heard || summary->clocks != old->clocks ||
        summary->client != old->client || summary->lost != old->lost ||
        summary->clock_identity != old->clock_identity ||
        !nqptp_address_equal(&summary->address, &old->address))
        return true;
    return !summary->lost && /* else the numbers are not shown */
           (fabs(summary->rate_ppm - old->rate_ppm) >= 1 ||
            fabs(summary->noise_us - old->noise_us) > 1 + old->noise_us / 4);
}

const char *nqptp_summary_format(const struct nqptp_engine *engine,
                                 const struct nqptp_summary *summary, char text[NQPTP_STORY_MAX]) {
    struct nqptp_text line = {text, NQPTP_STORY_MAX, 0};

    if (summary->clocks == 0) {
        nqptp_text_add(&line, "listening, nothing heard %s", summary->heard ? "now" : "yet");
        return text;
    }
    if (summary->client < 0) {
        nqptp_text_add(&line, "no master");
    } else {
        if (summary->client > 0)
            nqptp_text_add(&line, "%s: ", engine->clients.list[summary->client].shown);
        nqptp_text_add(&line, "master ");
        add_clock(&line, summary->clock_identity, &summary->address);
        if (summary->lost)
            nqptp_text_add(&line, ", lost");
        else
            nqptp_text_add(&line, ", %+.1f ppm, %.0f us",
                           fabs(summary->rate_ppm) < 0.05 ? 0 : summary->rate_ppm,
                           summary->noise_us);
    }
    nqptp_text_add(&line, summary->client < 0 ? "; %u clock%s heard" : ", %u clock%s",
                   summary->clocks, summary->clocks == 1 ? "" : "s");
    return text;
}
