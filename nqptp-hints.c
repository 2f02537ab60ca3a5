/* SPDX-License-Identifier: MIT */
/*
 * The time goes from a sender to a player in steps: packets arrive; packets of a clock arrive; for
 * each client, a listed clock gives its time; a player reads it. A hint names the first step that
 * fails. If none fails, it names what only makes the sound worse. There is one hint at most, and it
 * says what a person can do or check.
 *
 * The status alone decides: nothing is read, asked or remembered here. A sender need not answer
 * Delay_Reqs, so their answers decide nothing.
 */
#include "nqptp-hints.h"

#include "nqptp-text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define SYNC_EXPECTED 24 /* A clock that sent this many packets has sent a Sync. */

#define CHECK_SENDER                                                                               \
    "check that the sender is on and in this network, and that no firewall drops UDP ports 319 "   \
    "and 320"

/* The clocks that a client may follow, counted by state. */
struct census {
    unsigned heard;      /* All of them. */
    unsigned alive;      /* Those that give their time. */
    unsigned asleep;     /* Those that repeat one time. */
    unsigned sampled;    /* Those that have given their time. */
    unsigned syncs_only; /* Those that sent only Syncs: a firewall may drop the general port. */
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

static const char unused[] = "no player has the object open: start Shairport Sync "
                             "(\"shairport-sync -V\" must say AirPlay2); "
                             "if it is older than 4.3, its user must be in group nqptp";

/* Returns why a client has no master that gives its time. */
static const char *trouble_with(const struct census *clocks, bool plays) {
    if (plays && clocks->alive + clocks->asleep + clocks->others == 0)
        return "the player plays, but its sender is silent, though it is asked again and "
               "again: " CHECK_SENDER;
    if (clocks->heard == 0 && clocks->others > 0)
        return "the addresses listed are silent, but other clocks are heard: the sender may reach "
               "this machine from another address (guest network, VPN, NAT); connect both to the "
               "same network";
    if (clocks->heard == 0)
        return "the addresses listed are silent: " CHECK_SENDER;
    if (clocks->asleep == clocks->heard)
        return "the clock has stopped, so its sender is asleep: play something, or wake it up";
    if (clocks->alive > 0)
        return "a clock gives its time, but does not qualify as master: it sends no valid "
               "Announce, so it may be no AirPlay sender";
    if (clocks->syncs_only == clocks->heard)
        return "only Syncs of the clock arrive: check that no firewall drops UDP port 320";
    if (clocks->sampled == 0)
        return "a clock is heard, but gives no time: its sender may not be playing to this machine";
    return "the clock has fallen silent: check that its sender is on, and plays to this machine";
}

/*
 * Returns why a client gets no exact time from its master, or has no player that reads it. NULL if
 * all is well. `master` is NULL if there is none.
 */
static const char *trouble_of(const struct nqptp_status *status, int c,
                              const struct nqptp_clock *master) {
    const struct nqptp_client *client = &status->engine->clients.list[c];
    const char *use = status->objects[c].use == NQPTP_USE_NONE ? unused : NULL;
    struct census clocks = count_clocks(status, client);

    if (client->has_list && client->peer_count == 0) /* The player is idle. */
        return use;
    if (!master || !nqptp_clock_is_alive(master, status->now_ns) || nqptp_clock_is_asleep(master))
        return trouble_with(&clocks, client->has_list && client->activity == NQPTP_PLAYING);
    if (master->packets >= SYNC_EXPECTED &&
        nqptp_interval_ns(&master->pairing.sync_interval, 0) == 0)
        return "no Sync of the master arrives, so its time is less exact: check that no firewall "
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
    else if (master && master->odd_rate_ppm != 0)
        nqptp_text_add(text,
                       "%s: the sender's clock runs %.0f ppm %s than this machine's, but crystals "
                       "differ by 100 at most: NTP is correcting the sender's, or one of the two "
                       "is a virtual machine. To see which clock is off, run on this machine: "
                       "chronyc tracking, or: timedatectl timesync-status",
                       client->shown, fabs(master->odd_rate_ppm),
                       master->odd_rate_ppm > 0 ? "faster" : "slower");
}

/* Returns whether none of the places exists that -i names. */
static bool is_nowhere(const struct nqptp_status *status) {
    for (unsigned i = 0; i < status->place_count; i++)
        if (status->places[i].there)
            return false;
    return status->place_count > 0;
}

/* Adds what keeps all clients from the time, if anything does. */
static void add_common_trouble(struct nqptp_text *text, const struct nqptp_status *status) {
    const struct nqptp_engine *engine = status->engine;
    bool no_player = status->objects[0].use == NQPTP_USE_NONE && engine->clients.top == 1;

    if (is_nowhere(status))
        nqptp_text_add(text, "%s is not there, so nothing arrives; \"ip address\" lists what is",
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
    else if (engine->packets == 0)
        nqptp_text_add(text, "nothing was heard on UDP ports %u and %u since the start: %s",
                       status->event_port, status->general_port,
                       no_player ? unused
                                 : "pick this machine as the AirPlay output, and check that no "
                                   "firewall blocks them");
    else if (nqptp_clocks_in_use(&engine->table) == 0)
        nqptp_text_add(text,
                       "%s, so no sender plays to this machine: pick it as the AirPlay output",
                       engine->drops[NQPTP_DROP_NONE] == 0 ? "no packet could be used"
                                                           : "no clock was heard for two minutes");
}

/* Where all players have objects of their own names, /nqptp has none and needs no hint. */
bool nqptp_hint(const struct nqptp_status *status, char hint[NQPTP_HINT_MAX]) {
    struct nqptp_text text = {.at = hint, .size = NQPTP_HINT_MAX};
    int top = status->engine->clients.top;

    add_common_trouble(&text, status);
    for (int c = top > 1 && status->objects[0].use == NQPTP_USE_NONE; c < top && !text.used; c++)
        add_client_trouble(&text, status, c);
    return text.used > 0;
}
