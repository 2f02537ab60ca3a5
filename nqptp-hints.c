/* SPDX-License-Identifier: MIT */
/*
 * A hint names the first thing that is missing on the way of the time from a sender to a player:
 * packets, then packets of a clock, then, for each client, a clock that it lists and that gives its
 * time, then a player that reads. Last comes what only makes the sound worse. Each hint says what a
 * person can do or check.
 */
#include "nqptp-hints.h"

#include "nqptp-text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define SYNC_EXPECTED 24 /* A clock that sent this many packets has sent a Sync. */

/* How many of the clocks that a client may follow are in one state or another. */
struct census {
    unsigned heard, alive, asleep, sampled;
    unsigned syncs_only; /* Of these only Syncs came: a firewall may drop the general port. */
    unsigned others;     /* The clocks that the client may not follow. */
};

static struct census count_clocks(const struct nqptp_status *status,
                                  const struct nqptp_client *client) {
    struct census census = {.others = nqptp_clocks_in_use(&status->engine->table)};

    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++) {
        const struct nqptp_clock *clock = &status->engine->table.clocks[i];
        if (!clock->in_use || (client->has_list && !nqptp_client_lists_clock(client, i)))
            continue;
        census.heard++;
        census.others--;
        census.alive += nqptp_clock_is_alive(clock, status->now_ns);
        census.asleep += nqptp_clock_is_asleep(clock);
        census.sampled += clock->sampled_at_ns > 0;
        census.syncs_only +=
            !clock->announced && clock->pairing.follow_up_at_ns == 0 && clock->sampled_at_ns == 0;
    }
    return census;
}

static const char unused[] = "no player has it open: start Shairport Sync, built for AirPlay 2; "
                             "if it is older than 4.3, its user must be in group nqptp";

/* Why a client has no master that gives its time, though the list allows some. */
static const char *trouble_with(const struct census *listed) {
    if (listed->heard == 0 && listed->others > 0)
        return "the addresses listed are silent, but other clocks are heard: the sender may reach "
               "this machine from another address (guest network, VPN, NAT)";
    if (listed->heard == 0)
        return "the addresses listed are silent: check that no firewall drops UDP ports 319 and "
               "320, and that the sender is in this network";
    if (listed->asleep == listed->heard)
        return "the clock has stopped, so its sender is asleep: play something, or wake it up";
    if (listed->alive > 0)
        return "a clock gives its time, but does not qualify as master: it has not announced "
               "itself, so it may be no AirPlay sender";
    if (listed->syncs_only == listed->heard)
        return "only Syncs of the clock get here: check that no firewall drops UDP port 320";
    if (listed->sampled == 0)
        return "a clock is heard, but gives no time: its sender is not playing to this machine";
    return "the clock has fallen silent: check that its sender is on, and plays to this machine";
}

/* Why a client gets no exact time from its master, or has no player that reads it; NULL if not. */
static const char *trouble_of(const struct nqptp_status *status, int c,
                              const struct nqptp_clock *master) {
    const struct nqptp_client *client = &status->engine->clients.list[c];
    const char *use = status->objects[c].use == NQPTP_USE_NONE ? unused : NULL;
    struct census listed = count_clocks(status, client);

    if (client->has_list && client->peer_count == 0)
        return use; /* The list of an idle player is empty. */
    if (client->activity == NQPTP_PLAYING && client->has_list &&
        listed.alive + listed.asleep + listed.others == 0)
        return "the player plays, but its sender is silent, though it is asked every 2 s: check "
               "that the sender is on, and that no firewall drops UDP ports 319 and 320";
    if (!master || !nqptp_clock_is_alive(master, status->now_ns) || nqptp_clock_is_asleep(master))
        return trouble_with(&listed);
    if (master->packets >= SYNC_EXPECTED &&
        nqptp_interval_ns(&master->pairing.sync_interval, 0) == 0)
        return "no Sync of the master gets here, so its time is less exact: check that no firewall "
               "drops UDP port 319";
    return use;
}

static void add_client_trouble(struct nqptp_text *text, const struct nqptp_status *status, int c) {
    const struct nqptp_client *client = &status->engine->clients.list[c];
    const struct nqptp_clock *master =
        client->master == NQPTP_NO_CLOCK ? NULL : &status->engine->table.clocks[client->master];
    const char *trouble = trouble_of(status, c, master);

    if (trouble)
        nqptp_text_add(text, "%s: %s", client->shown, trouble);
    else if (master && master->rate_is_odd)
        nqptp_text_add(text,
                       "%s: the sender's clock runs %.0f ppm %s than this machine's, but crystals "
                       "differ by 100 at most: NTP is correcting the sender's, or one of the two "
                       "is a virtual machine. To see which clock is off, run here: chronyc "
                       "tracking, or: timedatectl timesync-status",
                       client->shown, fabs(master->estimator.slope_ppm),
                       master->estimator.slope_ppm > 0 ? "faster" : "slower");
}

static bool is_nowhere(const struct nqptp_status *status) {
    for (unsigned i = 0; i < status->place_count; i++)
        if (status->places[i].there)
            return false;
    return status->place_count > 0;
}

/* What keeps all clients from the time. */
static void add_common_trouble(struct nqptp_text *text, const struct nqptp_status *status) {
    const struct nqptp_engine *engine = status->engine;
    bool nothing_came = engine->packets == 0;

    if (nothing_came && is_nowhere(status))
        nqptp_text_add(text, "%s is not there: check the spelling; \"ip address\" lists what is",
                       status->places[0].name);
    else if (status->unsent.error < 0)
        nqptp_text_add(text, "messages to senders cannot leave this machine: %s%s",
                       strerror(-status->unsent.error),
                       status->unsent.error == -EPERM ? ": a firewall blocks output to UDP port 319"
                                                      : "");
    else if (engine->packets == engine->drops[NQPTP_DROP_KERNEL] && status->checksum_errors > 0)
        nqptp_text_add(text,
                       "nothing was heard, but the kernel dropped %" PRIu64
                       " UDP datagrams with wrong checksums; where they come from a bridge or a "
                       "virtual network card, run there: ethtool -K INTERFACE tx off",
                       status->checksum_errors);
    else if (nothing_came && status->objects[0].use == NQPTP_USE_NONE && engine->clients.top == 1)
        nqptp_text_add(text, "nothing was heard on UDP ports %u and %u, and %s: %s",
                       status->event_port, status->general_port, engine->clients.list[0].shown,
                       unused);
    else if (nothing_came)
        nqptp_text_add(text,
                       "nothing was heard on UDP ports %u and %u since the start: pick this "
                       "machine as the AirPlay output, and check that no firewall blocks them",
                       status->event_port, status->general_port);
    else if (nqptp_clocks_in_use(&engine->table) == 0)
        nqptp_text_add(text, "%s",
                       engine->drops[NQPTP_DROP_NONE] == 0
                           ? "no packet could be used: what sends them is no AirPlay sender"
                           : "no clock was heard for two minutes: nothing plays to this machine");
}

bool nqptp_hint(const struct nqptp_status *status, char hint[NQPTP_HINT_MAX]) {
    struct nqptp_text text = {.at = hint, .size = NQPTP_HINT_MAX};

    add_common_trouble(&text, status);
    for (int c = 0; c < status->engine->clients.top && text.used == 0; c++)
        add_client_trouble(&text, status, c);
    return text.used > 0;
}
