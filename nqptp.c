/* SPDX-License-Identifier: MIT */
/*
 * The daemon: the context, the event loop, and carrying out what the engine asks for. It knows no
 * PTP. One thread, one epoll, and nothing at all to do while nothing happens.
 */
#include "nqptp-commands.h"
#include "nqptp-diagnosis.h"
#include "nqptp-endpoints.h"
#include "nqptp-journal.h"
#include "nqptp-message-handlers.h"
#include "nqptp-objects.h"
#include "nqptp-options.h"
#include "nqptp-ports.h"
#include "nqptp-shm-file.h"
#include "nqptp-startup.h"
#include "nqptp-utilities.h"

#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#else /* nobody to notify */
#define sd_notify(unset, state) ((void)(state))
#define sd_watchdog_enabled(unset, usec) ((void)(usec), 0)
#endif

#define NS_PER_S UINT64_C(1000000000)
#define FIRST_COMMAND_NS 25000000  /* a player that waits for an object repeats its T each 5 ms */
#define FLOODED_NS (10 * NS_PER_S) /* after more came at once than can be read in one go */
#define BUSY_NS (10 * NS_PER_S)    /* between tries for a port that another program has */
#define REPLIES_MAX 64
#define OPENING_ROUNDS 16 /* of commands that are read before an opener is let in */

/* What epoll tells apart: `ready` below says what to do about each. Endpoints come after them. */
enum source {
    CONTROL_IPV4,
    CONTROL_IPV6,
    SIGNALS,
    TIMER,
    CLOCK_SET, /* CLOCK_REALTIME was set */
    INTERFACES,
    SOURCES
};

_Static_assert(CONTROL_IPV6 == CONTROL_IPV4 + 1, "nqptp_startup() opens two in a row");

struct nqptp {
    const struct nqptp_options *options;
    int epoll;
    int fds[SOURCES];
    bool stopping, restarting;
    uint64_t started_ns;
    uint64_t checksum_errors;  /* that the kernel had counted by then */
    uint64_t rest_ns;          /* until then packets may wait to be read */
    uint64_t flooded_until_ns; /* until then the kernel drops what is of no use */
    uint64_t busy_ns;          /* when to try again for a port, or NQPTP_NO_DEADLINE */
    uint64_t timer_ns;         /* what the timer is set to, or NQPTP_NO_DEADLINE */
    uint64_t watchdog_ns;      /* how often the service manager wants to hear from us; 0: never */
    uint64_t watchdog_due_ns;
    bool notifies; /* there is a service manager that hears from us */
    struct nqptp_spaced_warning refused_command;
    struct nqptp_journal journal;
    struct nqptp_objects objects;
    struct nqptp_endpoints endpoints;
    struct nqptp_engine engine;
    struct nqptp_batch batch;
    struct nqptp_reply replies[REPLIES_MAX]; /* to be sent when what is there has been read */
    unsigned reply_count;
};

/* --- carrying out effects -------------------------------------------------------------------- */

static void send_replies(struct nqptp *nqptp) {
    for (unsigned i = 0; i < nqptp->reply_count; i++) {
        const struct nqptp_reply *reply = &nqptp->replies[i];
        if (nqptp_log_enabled(LOG_DEBUG))
            nqptp_journal_message("to", &reply->destination, reply->data, reply->length,
                                  NQPTP_DROP_NONE);
        nqptp_endpoints_send(&nqptp->endpoints, reply);
    }
    nqptp->reply_count = 0;
}

/* Nobody waits for a reply, but players do for what may have come in meanwhile: that goes first. */
static void postpone_reply(struct nqptp *nqptp, const struct nqptp_reply *reply) {
    if (nqptp->reply_count == REPLIES_MAX)
        send_replies(nqptp);
    nqptp->replies[nqptp->reply_count++] = *reply;
}

static void carry_out(struct nqptp *nqptp, const struct nqptp_effects *effects, uint64_t now_ns) {
    for (int c = 0; effects->publish >> c; c++)
        if (effects->publish >> c & 1)
            nqptp_objects_publish(&nqptp->objects, c, &effects->records[c], now_ns);
    for (unsigned i = 0; i < effects->reply_count; i++)
        postpone_reply(nqptp, &effects->replies[i]);
    nqptp_journal_events(&nqptp->journal, &nqptp->engine, effects, now_ns);
}

/* --- commands -------------------------------------------------------------------------------- */

/* Returns whether the command's client is there afterwards, if it needs one. */
static bool add_client_for(struct nqptp *nqptp, const struct nqptp_command *command,
                           uint64_t now_ns) {
    return !nqptp_engine_needs_client(&nqptp->engine, command) ||
           nqptp_objects_add(&nqptp->objects, &nqptp->engine, command->name, NQPTP_SHM_LAYOUT_10,
                             now_ns) == 0;
}

/* Obeys a command. An answer without client and refusal to other than `?`: the log says why. */
static struct nqptp_answer handle_command(struct nqptp *nqptp, const char *text, size_t length,
                                          uint64_t now_ns, struct nqptp_command *command) {
    struct nqptp_effects effects;
    struct nqptp_answer answer = {nqptp_command_parse(text, length, command), -1};

    if (answer.refusal || !add_client_for(nqptp, command, now_ns))
        return answer;
    answer = nqptp_engine_command(&nqptp->engine, command, now_ns, &effects);
    carry_out(nqptp, &effects, now_ns);
    return answer;
}

/* Obeys a command that an object kept. Clients may have written it, so it must be its own client's.
 */
static void obey_kept(struct nqptp *nqptp, const char *name, const char *text, size_t length) {
    struct nqptp_command command;

    if (nqptp_command_parse(text, length, &command) || !strchr("TBP", command.letter) ||
        strcmp(command.name[0] ? command.name : NQPTP_INTERFACE_NAME, name) != 0)
        return;
    handle_command(nqptp, text, length, nqptp_clock_now_ns(), &command);
}

/* Brings client c's object, which is open, back to where the process before this one had it. */
static void restore_activity(struct nqptp *nqptp, const char *name) {
    int c = nqptp_clients_find(&nqptp->engine.clients, name);
    char text[NQPTP_KEPT_MAX];

    if (c >= 0)
        obey_kept(nqptp, name, text,
                  nqptp_shm_kept(&nqptp->objects.list[c], NQPTP_KEPT_ACTIVITY, text));
}

/* Adopts the object of that name if it is there and keeps a list. */
static void restore_named(struct nqptp *nqptp, const char *name) {
    char text[NQPTP_KEPT_MAX];

    if (nqptp_clients_find(&nqptp->engine.clients, name) >= 0)
        return;
    obey_kept(nqptp, name, text, nqptp_shm_read_kept(name, NQPTP_KEPT_LIST, text));
    restore_activity(nqptp, name);
}

static void restore_all_named(struct nqptp *nqptp, char *names) {
    char *rest, *name;

    for (name = strtok_r(names, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
        restore_named(nqptp, name);
}

/* `back` are the names of the objects that were put aside at a stop. */
static void restore_clients(struct nqptp *nqptp, char *back) {
    char text[NQPTP_KEPT_MAX], names[NQPTP_KEPT_MAX + 1];
    size_t length = nqptp_shm_kept(&nqptp->objects.list[0], NQPTP_KEPT_LIST, text);

    obey_kept(nqptp, NQPTP_INTERFACE_NAME, text, length);
    restore_activity(nqptp, NQPTP_INTERFACE_NAME);
    names[nqptp_shm_kept(&nqptp->objects.list[0], NQPTP_KEPT_NAMES, names)] = '\0';
    restore_all_named(nqptp, names);
    restore_all_named(nqptp, back);
}

/* --- what epoll wakes us for ------------------------------------------------------------------ */

static void on_packets(struct nqptp *nqptp, unsigned endpoint) {
    struct nqptp_effects effects;
    uint64_t now_ns = 0;
    int count = nqptp_socket_receive(nqptp->endpoints.list[endpoint].fd, &nqptp->batch);
    bool log = nqptp_log_enabled(LOG_DEBUG);

    for (int i = 0; i < count; i++) {
        const struct nqptp_packet *packet = &nqptp->batch.packets[i];
        now_ns = nqptp_clock_now_ns();
        enum nqptp_drop drop = nqptp_engine_packet(&nqptp->engine, packet, now_ns, &effects);
        if (log)
            nqptp_journal_message("from", &packet->source, packet->data, packet->length, drop);
        carry_out(nqptp, &effects, now_ns);
    }
    if (count == NQPTP_BATCH)
        nqptp->flooded_until_ns = now_ns + FLOODED_NS;
}

/* Packets that nobody was woken up for. */
static void end_rest(struct nqptp *nqptp) {
    for (unsigned i = 0; i < nqptp->endpoints.count && nqptp->endpoints.resting; i++)
        on_packets(nqptp, i);
}

_Static_assert(NQPTP_STATUS_PLACES >= NQPTP_LIMITS_MAX, "each of -i is told");
_Static_assert(NQPTP_STATUS_PLACE >= NQPTP_PLACE_SIZE, "by its name");

static struct nqptp_status status_now(const struct nqptp *nqptp, uint64_t now_ns) {
    struct nqptp_status status = {
        .engine = &nqptp->engine,
        .version = PACKAGE_VERSION,
        .now_ns = now_ns,
        .started_ns = nqptp->started_ns,
        .event_port = nqptp->options->event_port,
        .general_port = nqptp->options->general_port,
        .checksum_errors = nqptp_checksum_errors() - nqptp->checksum_errors,
    };

    for (unsigned i = 0; i < nqptp->endpoints.count && nqptp->endpoints.limited; i++) {
        const struct nqptp_endpoint *endpoint = &nqptp->endpoints.list[i];
        if (!nqptp_endpoint_is_first(endpoint))
            continue;
        nqptp_limit_name(&endpoint->limit, status.places[status.place_count].name);
        status.places[status.place_count++].there = endpoint->there;
    }
    nqptp_objects_status(&nqptp->objects, &status);
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        if (nqptp->engine.table.clocks[i].in_use)
            if_indextoname(nqptp->engine.table.clocks[i].interface, status.interfaces[i]);
    return status;
}

/*
 * Whoever is on this host may send over IPv6 under any address that he likes. To IPv4's loopback he
 * cannot.
 */
static bool on_this_host(const struct sockaddr_storage *sender) {
    return sender->ss_family == AF_INET ||
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sender)->sin6_addr);
}

static void send_status(struct nqptp *nqptp, enum source socket, int i, unsigned columns,
                        uint64_t now_ns) {
    const struct sockaddr_storage *sender = &nqptp->batch.senders[i];
    char text[NQPTP_STATUS_MAX];

    if (!on_this_host(sender))
        return;
    nqptp_engine_drop(&nqptp->engine, NQPTP_DROP_KERNEL, nqptp_endpoints_drops(&nqptp->endpoints));
    struct nqptp_status status = status_now(nqptp, now_ns);
    size_t length = columns > 0 ? nqptp_status_text(&status, columns, text, sizeof text)
                                : nqptp_status_json(&status, text, sizeof text);
    sendto(nqptp->fds[socket], text, length, MSG_DONTWAIT, (const struct sockaddr *)sender,
           sender->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
}

static int take_commands(struct nqptp *nqptp, enum source socket) {
    struct nqptp_command command;
    unsigned withheld;
    int count = nqptp_socket_receive(nqptp->fds[socket], &nqptp->batch);

    for (int i = 0; i < count; i++) {
        const struct nqptp_packet *packet = &nqptp->batch.packets[i];
        uint64_t now_ns = nqptp_clock_now_ns();
        struct nqptp_answer answer =
            handle_command(nqptp, (const char *)packet->data, packet->length, now_ns, &command);
        bool asks_status = !answer.refusal && command.letter == '?';
        if (answer.client >= 0)
            nqptp_objects_command(&nqptp->objects, answer.client, &command,
                                  (const char *)packet->data, packet->length, now_ns);
        if (asks_status)
            send_status(nqptp, socket, i, command.columns, now_ns);
        if (answer.refusal && nqptp_warning_due(&nqptp->refused_command, now_ns, &withheld))
            nqptp_log(LOG_WARNING,
                      "command refused: %s (%u others refused since the last such warning)",
                      answer.refusal, withheld);
    }
    return count;
}

static void on_commands(struct nqptp *nqptp, enum source socket) {
    take_commands(nqptp, socket);
}

/* Somebody opens the object and waits; what he sent before decides what he finds. */
static void on_opening(struct nqptp *nqptp) {
    for (enum source socket = CONTROL_IPV4; socket <= CONTROL_IPV6; socket++)
        for (int rounds = 0; rounds < OPENING_ROUNDS && nqptp->fds[socket] >= 0; rounds++)
            if (take_commands(nqptp, socket) < NQPTP_BATCH)
                break;
    nqptp_objects_signalled(&nqptp->objects, nqptp_clock_now_ns());
}

static void on_signal(struct nqptp *nqptp, enum source source) {
    struct signalfd_siginfo signal;

    if (read(nqptp->fds[source], &signal, sizeof signal) != sizeof signal)
        return;
    if ((int)signal.ssi_signo == NQPTP_LEASE_SIGNAL || signal.ssi_signo == SIGIO) {
        on_opening(nqptp);
        return;
    }
    nqptp->stopping = true;
    nqptp->restarting = signal.ssi_signo == SIGUSR1;
}

static void follow_interfaces(struct nqptp *nqptp) {
    nqptp_endpoints_follow(&nqptp->endpoints);
    nqptp_engine_set_own_addresses(&nqptp->engine, nqptp->endpoints.own,
                                   nqptp->endpoints.own_count);
    nqptp->busy_ns = nqptp_endpoints_wait(&nqptp->endpoints) ? nqptp_clock_now_ns() + BUSY_NS
                                                             : NQPTP_NO_DEADLINE;
}

static void on_timer(struct nqptp *nqptp, enum source source) {
    struct nqptp_effects effects;
    uint64_t expirations;

    if (read(nqptp->fds[source], &expirations, sizeof expirations) < 0)
        return;
    nqptp->timer_ns = NQPTP_NO_DEADLINE;
    end_rest(nqptp);
    uint64_t now_ns = nqptp_clock_now_ns(); /* after the packets: time does not go back */
    while (nqptp_engine_deadline(&nqptp->engine) <= now_ns) {
        nqptp_engine_expire(&nqptp->engine, now_ns, &effects);
        carry_out(nqptp, &effects, now_ns);
    }
    nqptp_objects_retry(&nqptp->objects, now_ns);
    if (now_ns >= nqptp->busy_ns)
        follow_interfaces(nqptp);
    if (nqptp->watchdog_ns > 0 && now_ns >= nqptp->watchdog_due_ns) {
        sd_notify(0, "WATCHDOG=1");
        nqptp->watchdog_due_ns = now_ns + nqptp->watchdog_ns;
    }
}

/* A timer that is never to expire, but is cancelled when CLOCK_REALTIME is set. */
static void watch_clock(struct nqptp *nqptp) {
    struct itimerspec never = {.it_value.tv_sec = (time_t)1 << 33};

    timerfd_settime(nqptp->fds[CLOCK_SET], TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never,
                    NULL);
}

static void on_clock_set(struct nqptp *nqptp, enum source source) {
    struct nqptp_effects effects;
    uint64_t expirations;

    if (read(nqptp->fds[source], &expirations, sizeof expirations) > 0 || errno != ECANCELED)
        return;
    watch_clock(nqptp);
    nqptp_engine_republish(&nqptp->engine, &effects);
    carry_out(nqptp, &effects, nqptp_clock_now_ns());
}

static void on_interfaces(struct nqptp *nqptp, enum source source) {
    nqptp_interfaces_drain(nqptp->fds[source]);
    follow_interfaces(nqptp);
}

static void (*const ready[SOURCES])(struct nqptp *nqptp, enum source source) = {
    [CONTROL_IPV4] = on_commands, [CONTROL_IPV6] = on_commands, [SIGNALS] = on_signal,
    [TIMER] = on_timer,           [CLOCK_SET] = on_clock_set,   [INTERFACES] = on_interfaces,
};

static void dispatch(struct nqptp *nqptp, uint32_t tag) {
    if (tag >= SOURCES)
        on_packets(nqptp, tag - SOURCES);
    else
        ready[tag](nqptp, (enum source)tag);
}

/* Sets the timer if it would come too late. One that comes too early only finds nothing to do. */
static void arm_timer(struct nqptp *nqptp, uint64_t now_ns) {
    uint64_t due_ns = nqptp_engine_deadline(&nqptp->engine);

    if (nqptp_objects_due_ns(&nqptp->objects) < due_ns)
        due_ns = nqptp_objects_due_ns(&nqptp->objects);
    if (nqptp->watchdog_ns > 0 && nqptp->watchdog_due_ns < due_ns)
        due_ns = nqptp->watchdog_due_ns;
    if (nqptp->endpoints.resting && nqptp->rest_ns < due_ns)
        due_ns = nqptp->rest_ns;
    if (nqptp->endpoints.guarded && nqptp->flooded_until_ns < due_ns)
        due_ns = nqptp->flooded_until_ns;
    if (nqptp->notifies && nqptp->journal.news && nqptp_journal_look_ns(&nqptp->journal) < due_ns)
        due_ns = nqptp_journal_look_ns(&nqptp->journal);
    if (nqptp->busy_ns < due_ns)
        due_ns = nqptp->busy_ns;
    if (due_ns >= nqptp->timer_ns)
        return;
    uint64_t left_ns = due_ns > now_ns ? due_ns - now_ns : 1;
    struct itimerspec timer = {
        .it_value = {(time_t)(left_ns / NS_PER_S), (long)(left_ns % NS_PER_S)},
    };
    timerfd_settime(nqptp->fds[TIMER], 0, &timer, NULL);
    nqptp->timer_ns = due_ns;
}

/* Whether packets shall wake us up, or wait for the timer. */
static void set_rest(struct nqptp *nqptp, uint64_t now_ns) {
    nqptp->rest_ns =
        nqptp->endpoints.guarded ? 0 : nqptp_engine_rest_until_ns(&nqptp->engine, now_ns);
    nqptp_endpoints_rest(&nqptp->endpoints, nqptp->rest_ns > 0);
}

/* --- where things stand ---------------------------------------------------------------------- */

/* Tells the service manager, if that is news or something else is to be said, in one line. */
static void report(struct nqptp *nqptp, const char *also, uint64_t now_ns) {
    char text[NQPTP_STORY_MAX], state[NQPTP_STORY_MAX + 32];
    bool news = nqptp_journal_look(&nqptp->journal, &nqptp->engine, now_ns, text);

    if (!news && !*also)
        return;
    snprintf(state, sizeof state, "%sSTATUS=%s", also, text);
    sd_notify(0, state);
}

static void follow_story(struct nqptp *nqptp, uint64_t now_ns) {
    nqptp_journal_sum_up(&nqptp->journal, &nqptp->engine, now_ns);
    if (nqptp->notifies && now_ns >= nqptp_journal_look_ns(&nqptp->journal))
        report(nqptp, "", now_ns);
}

static void loop(struct nqptp *nqptp) {
    struct epoll_event events[SOURCES + NQPTP_ENDPOINTS_MAX];

    while (!nqptp->stopping) {
        uint64_t now_ns = nqptp_clock_now_ns();
        /* In a flood the kernel sorts out what it can, so that there is room for the rest. */
        nqptp_endpoints_guard(&nqptp->endpoints, now_ns < nqptp->flooded_until_ns);
        set_rest(nqptp, now_ns);
        follow_story(nqptp, now_ns);
        arm_timer(nqptp, now_ns);
        bool replies_wait = nqptp->reply_count > 0;
        int count =
            epoll_wait(nqptp->epoll, events, sizeof events / sizeof *events, replies_wait ? 0 : -1);
        for (int i = 0; i < count; i++)
            dispatch(nqptp, events[i].data.u32);
        if (replies_wait)
            send_replies(nqptp);
    }
}

/* --- starting -------------------------------------------------------------------------------- */

static void say_hello(const struct nqptp *nqptp) {
    const struct nqptp_options *options = nqptp->options;

    nqptp_log(LOG_NOTICE,
              "version %s, clock identity %016" PRIx64 ", serves %s in layout %u%s, on UDP ports "
              "%u, %u and %u",
              PACKAGE_VERSION, nqptp->engine.self.clock_identity, nqptp->objects.list[0].name,
              nqptp_shm_version(&nqptp->objects.list[0]),
              nqptp->objects.list[0].automatic ? " until a client wants another" : "",
              options->event_port, options->general_port, options->control_port);
}

/* Opens the objects, and brings every client back to where the process before this one had it. */
static enum nqptp_exit open_objects(struct nqptp *nqptp) {
    char back[NQPTP_KEPT_MAX];

    nqptp_shm_bring_all_back(back, sizeof back);
    /* Players that were there before us open the object as soon as they see it: the ports are open,
     * so let the commands come in that tell what they read. But one that is there already they can
     * open now, and until we have our lease on it they find in it what it happens to be. */
    if (!nqptp_shm_exists(NQPTP_INTERFACE_NAME))
        nanosleep(&(struct timespec){.tv_nsec = FIRST_COMMAND_NS}, NULL);
    if (nqptp_objects_add(&nqptp->objects, &nqptp->engine, NQPTP_INTERFACE_NAME,
                          nqptp->options->layout, nqptp_clock_now_ns()) < 0)
        return NQPTP_FAILED;
    say_hello(nqptp);
    restore_clients(nqptp, back);
    return NQPTP_DONE;
}

/* Signals come by the loop, from the start on: none may end us half way through. */
static int open_signals(void) {
    const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGIO, NQPTP_LEASE_SIGNAL};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* whoever read our stderr may go before us */
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Returns -errno if it fails, as whatever opens a source does. */
static int open_timer(clockid_t clock) {
    int fd = timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static enum nqptp_exit open_sources(struct nqptp *nqptp) {
    nqptp->epoll = epoll_create1(EPOLL_CLOEXEC);
    nqptp->fds[TIMER] = open_timer(CLOCK_MONOTONIC);
    nqptp->fds[CLOCK_SET] = open_timer(CLOCK_REALTIME);
    nqptp->fds[INTERFACES] = nqptp_interfaces_watch();
    watch_clock(nqptp);
    int result = nqptp_endpoints_watch(&nqptp->endpoints, nqptp->epoll, SOURCES);
    for (enum source source = 0; source < SOURCES && result == 0; source++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
        if (source <= CONTROL_IPV6 && nqptp->fds[source] < 0)
            continue; /* a family that is not to be had here */
        if (nqptp->fds[source] < 0)
            result = nqptp->fds[source];
        else if (epoll_ctl(nqptp->epoll, EPOLL_CTL_ADD, nqptp->fds[source], &event) < 0)
            result = -errno;
    }
    if (result < 0)
        nqptp_log(LOG_ERR, "cannot set up the event loop: %s", strerror(-result));
    return result < 0 ? NQPTP_FAILED : NQPTP_DONE;
}

static void start_watchdog(struct nqptp *nqptp) {
    uint64_t period_us = 0;

    if (sd_watchdog_enabled(0, &period_us) <= 0)
        return;
    nqptp->watchdog_ns = period_us * 1000 / 2;
    nqptp->watchdog_due_ns = nqptp_clock_now_ns() + nqptp->watchdog_ns;
}

static enum nqptp_exit start(struct nqptp *nqptp) {
    const struct nqptp_options *options = nqptp->options;
    enum nqptp_exit status;
    gid_t group;

    nqptp->fds[SIGNALS] = open_signals();
    if ((status = nqptp_startup(options, &nqptp->endpoints, &nqptp->fds[CONTROL_IPV4], &group)) !=
        NQPTP_DONE)
        return status;
    nqptp_objects_init(&nqptp->objects, group,
                       options->group ? options->group : NQPTP_DEFAULT_NAME);
    nqptp_engine_init(&nqptp->engine, nqptp_clock_identity());
    if ((status = open_sources(nqptp)) != NQPTP_DONE ||
        (status = open_objects(nqptp)) != NQPTP_DONE)
        return status;
    follow_interfaces(nqptp);
    start_watchdog(nqptp);
    nqptp->notifies = getenv("NOTIFY_SOCKET") != NULL;
    report(nqptp, "READY=1\n", nqptp_clock_now_ns());
    return NQPTP_DONE;
}

static enum nqptp_exit stop(struct nqptp *nqptp) {
    sd_notify(0, "STOPPING=1");
    nqptp_log(LOG_INFO,
              nqptp->restarting ? "leaving %s to the next process" : "taking the name %s away",
              NQPTP_INTERFACE_NAME);
    if (nqptp->restarting)
        return NQPTP_RESTART;
    nqptp_objects_stop(&nqptp->objects, &nqptp->engine.clients);
    return NQPTP_DONE;
}

static enum nqptp_exit run(const struct nqptp_options *options) {
    struct nqptp *nqptp = calloc(1, sizeof *nqptp);
    if (!nqptp) {
        nqptp_log(LOG_ERR, "out of memory");
        return NQPTP_FAILED;
    }
    nqptp->options = options;
    nqptp->timer_ns = NQPTP_NO_DEADLINE;
    nqptp->started_ns = nqptp_clock_now_ns();
    nqptp->checksum_errors = nqptp_checksum_errors();
    nqptp_batch_init(&nqptp->batch);
    for (enum source source = 0; source < SOURCES; source++)
        nqptp->fds[source] = -1;
    enum nqptp_exit status = start(nqptp);
    if (status == NQPTP_DONE) {
        loop(nqptp);
        status = stop(nqptp);
    }
    free(nqptp); /* the descriptors go with the process */
    return status;
}

/* --- instead of running ----------------------------------------------------------------------- */

static enum nqptp_exit show_status(const struct nqptp_options *options) {
    if (nqptp_diagnosis_ask(options->control_port, options->json))
        return fflush(stdout) == 0 ? NQPTP_DONE : NQPTP_FAILED;
    nqptp_diagnosis_print(options);
    return NQPTP_FAILED;
}

static void show_version(void) {
    printf("Version: %s. Shared Memory Interface Version: 4, 8, 9 and 10.\n", PACKAGE_VERSION);
}

int main(int argc, char **argv) {
    struct nqptp_options options = nqptp_options_read(argc, argv);

    nqptp_log_open(options.verbosity);
    switch (options.action) {
    case NQPTP_RUN:
        return (int)run(&options);
    case NQPTP_SHOW_VERSION:
        show_version();
        return NQPTP_DONE;
    case NQPTP_SHOW_HELP:
        nqptp_options_help();
        return NQPTP_DONE;
    case NQPTP_SHOW_STATUS:
        return (int)show_status(&options);
    case NQPTP_CLAIM:
        return (int)nqptp_startup_claim(&options);
    case NQPTP_REFUSE:
        break;
    }
    return NQPTP_USAGE;
}
