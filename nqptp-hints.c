/* SPDX-License-Identifier: MIT */
/*
 * A hint names the first thing that is missing on the way of the time from a sender to a player:
 * packets, then packets of a clock, then, for each client, a clock that it lists and that gives its
 * time, then a player that reads. Each is a question that a person can check.
 */
#include "nqptp-hints.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SYNC_EXPECTED 24 /* A clock that sent this many packets has sent a Sync. */

/* Of some clocks: how many are in one state or another. */
struct census {
    unsigned heard, alive, asleep, sampled;
    unsigned syncs_only; /* Of these only Syncs came: a firewall may drop the general port. */
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

static const char unused[] = "no player has it open: is Shairport Sync running, built for AirPlay "
                             "2 and, if older than 4.3, in group nqptp?";

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
    return clock->packets >= SYNC_EXPECTED &&
           nqptp_interval_ns(&clock->pairing.sync_interval, 0) == 0;
}

static const char *trouble_of(const struct nqptp_status *status, int c) {
    const struct nqptp_client *client = &status->engine->clients.list[c];
    struct census listed = count_clocks(status, client, true);
    struct census others = count_clocks(status, client, false);

    if (client->has_list && client->peer_count == 0) /* A player that has it open may be idle. */
        return status->objects[c].use == NQPTP_USE_NONE ? unused : NULL;
    if (client->activity == NQPTP_PLAYING && client->has_list &&
        listed.alive + listed.asleep == 0 && others.heard == 0)
        return "the player plays, but its sender is silent, though it is asked every 2 s: is it "
               "still there? does a firewall drop UDP ports 319 and 320?";
    if (client->master == NQPTP_NO_CLOCK || !gives_time(status, client->master))
        return trouble_with(&listed, &others);
    if (gets_no_sync(&status->engine->table.clocks[client->master]))
        return "no Sync of the master gets here, so its time is less exact: does a firewall drop "
               "UDP port 319?";
    if (status->objects[c].use == NQPTP_USE_NONE)
        return unused;
    return NULL;
}

static bool has_clock(const struct nqptp_clock_table *table) {
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        if (table->clocks[i].in_use)
            return true;
    return false;
}

static bool is_nowhere(const struct nqptp_status *status) {
    for (unsigned i = 0; i < status->place_count; i++)
        if (status->places[i].there)
            return false;
    return status->place_count > 0;
}

bool nqptp_hint(const struct nqptp_status *status, char *text, size_t size) {
    const struct nqptp_engine *engine = status->engine;

    if (engine->packets == 0 && is_nowhere(status))
        return snprintf(text, size,
                        "%s is not there: check the spelling; ip address lists what there is",
                        status->places[0].name) > 0;
    if (status->unsent.error < 0)
        return snprintf(text, size, "our answers cannot leave: %s%s",
                        strerror(-status->unsent.error),
                        status->unsent.error == -EPERM ? ": a firewall blocks output to UDP 319"
                                                       : "") > 0;
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
                        "selected in AirPlay? is a firewall blocking them?",
                        status->event_port, status->general_port) > 0;
    if (!has_clock(&engine->table))
        return snprintf(text, size, "%s",
                        engine->drops[NQPTP_DROP_NONE] == 0
                            ? "no packet could be used: what sends them is no AirPlay sender"
                            : "no clock was heard for two minutes: is anything playing here?") > 0;
    for (int c = 0; c < engine->clients.top; c++) {
        const char *trouble = trouble_of(status, c);
        if (trouble)
            return snprintf(text, size, "%s: %s", engine->clients.list[c].shown, trouble) > 0;
    }
    return false;
}
