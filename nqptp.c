/* SPDX-License-Identifier: MIT */
/*
 * The daemon: one context (struct nqptp), one thread, one loop.
 *
 * In each round loop() does what is due by the table deadlines[], then waits until the next row is
 * due or a descriptor can be read. Then it reads packets first and commands after them, one batch
 * of each socket. The engine turns each packet, command and deadline into effects. carry_out()
 * carries them out: records go to the objects, events to the log, and replies into a queue. The
 * queue is sent after the packets that came meanwhile.
 *
 * There are two epolls. One reports the sources: all but the ports of PTP. The other one, that of
 * the endpoints, reports these ports, and the first epoll as a whole. The loop waits for the second
 * one, or for the first one while packets may wait in their sockets: then no packet wakes the
 * daemon up.
 *
 * A new thing to wait for is a row of deadlines[], or a source and a line in dispatch().
 *
 * This module knows no PTP, and does not wake up while nothing happens. It never waits for anything
 * but epoll, except after a fault (nqptp-faults) and once at the start, in open_objects().
 */
#include "nqptp-commands.h"
#include "nqptp-diagnosis.h"
#include "nqptp-endpoints.h"
#include "nqptp-faults.h"
#include "nqptp-journal.h"
#include "nqptp-message-handlers.h"
#include "nqptp-objects.h"
#include "nqptp-options.h"
#include "nqptp-ports.h"
#include "nqptp-service.h"
#include "nqptp-shm-file.h"
#include "nqptp-startup.h"
#include "nqptp-text.h"
#include "nqptp-time.h"
#include "nqptp-utilities.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FIRST_COMMAND_NS (25 * NQPTP_MS) /* A waiting player repeats its T every 5 ms. */
#define FLOODED_NS (10 * NQPTP_S)        /* The guard stays for this time after a full batch. */
#define RETRY_NS (10 * NQPTP_S)          /* The time between two tries for a busy port. */
#define COMMANDS 16        /* Commands that are read between two batches of packets. */
#define OPENING_ROUNDS 128 /* The maximum of batches of commands that are read for one opener. */
#define SIGNALS_MAX 256    /* Signals that are taken together. */

/* What the epoll of the sources reports: see dispatch(). */
enum source {
    CONTROL_IPV4,
    CONTROL_IPV6,
    SIGNALS,
    CLOCK_SET, /* CLOCK_REALTIME was set. */
    INTERFACES,
    SOURCES
};

/* What the epoll of the endpoints reports when there is an event of a source. */
#define ANY_SOURCE NQPTP_ENDPOINTS_MAX

_Static_assert(NQPTP_OBJECTS_KEPT_MAX >= NQPTP_STATUS_MAX, "one buffer is for both texts");
_Static_assert(CONTROL_IPV6 == CONTROL_IPV4 + 1, "nqptp_startup() opens two in a row");

struct nqptp {
    const struct nqptp_options *options;
    int source_epoll; /* It reports the sources. The epoll of the endpoints reports this one. */
    int fds[SOURCES];
    sigset_t signals;       /* The signals that the descriptor SIGNALS reports. */
    enum nqptp_exit status; /* The status to end with, or NQPTP_GO_ON. */
    uint64_t started_ns;
    uint64_t checksum_errors;  /* The kernel's count at the start. */
    uint64_t rest_until_ns;    /* When to read the packets that wait, or NQPTP_NO_DEADLINE. */
    uint64_t flooded_until_ns; /* Until then the kernel drops what the engine would ignore. */
    uint64_t retry_at_ns;      /* When to try again for a port, or NQPTP_NO_DEADLINE. */
    struct nqptp_service service;
    struct nqptp_faults faults;
    struct nqptp_log_limit refused_command;
    struct nqptp_journal journal;
    struct nqptp_objects objects;
    struct nqptp_endpoints endpoints;
    struct nqptp_engine engine;
    struct nqptp_neighbours neighbours; /* As read last. It is too large for a small stack. */
    struct nqptp_batch batch;
    char text[NQPTP_OBJECTS_KEPT_MAX]; /* A status, or the commands that were kept. */
};

/* --- carrying out effects -------------------------------------------------------------------- */

/* Queues the replies: players wait for samples, and no sender waits for a reply. */
static void carry_out(struct nqptp *nqptp, const struct nqptp_effects *effects, uint64_t now_ns) {
    for (int c = 0; c < nqptp->engine.clients.top; c++)
        if (nqptp_effects_publishes(effects, c))
            nqptp_objects_publish(&nqptp->objects, c, &effects->records[c], now_ns);
    for (unsigned i = 0; i < effects->reply_count; i++) {
        const struct nqptp_reply *reply = &effects->replies[i];
        if (nqptp_log_enabled(LOG_DEBUG))
            nqptp_journal_message("to", &reply->destination, reply->data, reply->length,
                                  NQPTP_DROP_NONE);
        nqptp_endpoints_queue(&nqptp->endpoints, reply);
    }
    nqptp_journal_events(&nqptp->journal, &nqptp->engine, effects, now_ns);
}

/* --- commands -------------------------------------------------------------------------------- */

/*
 * Parses a command and carries it out. If the answer has neither client nor refusal, the command is
 * `?`, or its client could not get an object; then the log says why.
 */
static struct nqptp_answer handle_command(struct nqptp *nqptp, const char *text, size_t length,
                                          uint64_t now_ns, struct nqptp_command *command) {
    struct nqptp_effects effects;
    struct nqptp_answer answer = {nqptp_command_parse(text, length, command), -1};

    if (answer.refusal ||
        !nqptp_objects_has_client(&nqptp->objects, &nqptp->engine, command, now_ns))
        return answer;
    answer = nqptp_engine_command(&nqptp->engine, command, now_ns, &effects);
    carry_out(nqptp, &effects, now_ns);
    return answer;
}

/* Obeys the commands that the daemon before this one kept: each client gets its state back. */
static void restore_clients(struct nqptp *nqptp, char *names) {
    struct nqptp_command command;
    const char *end;

    nqptp_objects_kept(&nqptp->objects, names, nqptp->text);
    for (const char *line = nqptp->text; (end = strchr(line, '\n')); line = end + 1)
        handle_command(nqptp, line, (size_t)(end - line), nqptp_clock_now_ns(), &command);
    nqptp_objects_keep_names(&nqptp->objects);
}

/* --- what epoll reports ----------------------------------------------------------------------- */

static void on_packets(struct nqptp *nqptp, struct nqptp_endpoint *endpoint) {
    struct nqptp_effects effects;
    uint64_t now_ns = 0;
    int count = nqptp_socket_receive(endpoint->fd, NQPTP_BATCH, &endpoint->last, &nqptp->batch);

    nqptp_faults_note(&nqptp->faults, count);
    for (int i = 0; i < count; i++) {
        const struct nqptp_packet *packet = &nqptp->batch.packets[i];
        now_ns = nqptp_clock_now_ns();
        enum nqptp_drop drop = nqptp_engine_packet(&nqptp->engine, packet, now_ns, &effects);
        if (nqptp_log_enabled(LOG_DEBUG))
            nqptp_journal_message("from", &packet->source, packet->data, packet->length, drop);
        carry_out(nqptp, &effects, now_ns);
    }
    if (count < NQPTP_BATCH)
        return;
    nqptp->flooded_until_ns = now_ns + FLOODED_NS;
    nqptp_endpoints_guard(&nqptp->endpoints, true);
}

/*
 * Reads a batch from each endpoint that has packets. If there are none, waits for the first one or
 * for an event of a source. Returns whether there is an event of a source.
 */
static bool wait_for_packets(struct nqptp *nqptp, int timeout_ms) {
    struct epoll_event events[NQPTP_ENDPOINTS_MAX + 1];
    bool any_source = false;
    int count = epoll_wait(nqptp->endpoints.epoll, events, NQPTP_ENDPOINTS_MAX + 1, timeout_ms);

    nqptp_faults_note(&nqptp->faults, count < 0 ? -errno : 0);
    for (int i = 0; i < count; i++)
        if (events[i].data.u32 == ANY_SOURCE)
            any_source = true;
        else
            on_packets(nqptp, &nqptp->endpoints.list[events[i].data.u32]);
    return any_source;
}

static void read_packets(struct nqptp *nqptp) {
    wait_for_packets(nqptp, 0);
}

static struct nqptp_status status_now(const struct nqptp *nqptp, uint64_t now_ns) {
    uint64_t errors = nqptp_checksum_errors(); /* Less than at the start if it cannot be read. */
    struct nqptp_status status = {
        .engine = &nqptp->engine,
        .version = PACKAGE_VERSION,
        .now_ns = now_ns,
        .started_ns = nqptp->started_ns,
        .event_port = nqptp->options->event_port,
        .general_port = nqptp->options->general_port,
        .unsent = nqptp->endpoints.unsent,
        .checksum_errors = errors > nqptp->checksum_errors ? errors - nqptp->checksum_errors : 0,
    };

    for (unsigned i = 0; i < nqptp->endpoints.count && nqptp->endpoints.limited; i++) {
        const struct nqptp_endpoint *endpoint = &nqptp->endpoints.list[i];
        if (!nqptp_endpoint_is_first(endpoint))
            continue;
        status.places[status.place_count].name = endpoint->limit.name;
        status.places[status.place_count++].there = endpoint->there;
    }
    nqptp_objects_status(&nqptp->objects, &status);
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        if (nqptp->engine.table.clocks[i].in_use)
            if_indextoname(nqptp->engine.table.clocks[i].interface, status.interfaces[i]);
    return status;
}

static void send_status(struct nqptp *nqptp, enum source socket, int i, bool json,
                        uint64_t now_ns) {
    const struct sockaddr_storage *sender = &nqptp->batch.senders[i];

    if (!nqptp_sender_is_local(sender))
        return;
    nqptp_engine_drop(&nqptp->engine, NQPTP_DROP_KERNEL, nqptp_endpoints_drops(&nqptp->endpoints));
    struct nqptp_status status = status_now(nqptp, now_ns);
    size_t length = json ? nqptp_status_json(&status, nqptp->text, NQPTP_STATUS_MAX)
                         : nqptp_status_text(&status, nqptp->text, NQPTP_STATUS_MAX);
    sendto(nqptp->fds[socket], nqptp->text, length, MSG_DONTWAIT, (const struct sockaddr *)sender,
           sizeof *sender);
}

/* Carries out a batch of commands, after the packets. Returns their number, or -errno. */
static int take_commands(struct nqptp *nqptp, enum source socket) {
    struct nqptp_command command;
    char shown[NQPTP_NAME_SIZE];

    read_packets(nqptp);
    int count = nqptp_socket_receive(nqptp->fds[socket], COMMANDS, NULL, &nqptp->batch);

    nqptp_faults_note(&nqptp->faults, count);
    for (int i = 0; i < count; i++) {
        const struct nqptp_packet *packet = &nqptp->batch.packets[i];
        uint64_t now_ns = nqptp_clock_now_ns();
        struct nqptp_answer answer =
            handle_command(nqptp, (const char *)packet->data, packet->length, now_ns, &command);
        if (answer.client >= 0)
            nqptp_objects_command(&nqptp->objects, answer.client, &command,
                                  (const char *)packet->data, packet->length, now_ns);
        if (!answer.refusal && command.letter == '?')
            send_status(nqptp, socket, i, command.json, now_ns);
        if (answer.refusal && nqptp_warning_due(&nqptp->refused_command, now_ns)) {
            nqptp_text_show(command.name, "", shown, sizeof shown);
            nqptp_log(LOG_WARNING, "%s%scommand refused: %s", shown, *shown ? ": " : "",
                      answer.refusal);
        }
    }
    return count;
}

/*
 * A process that opens an object waits for the daemon. The commands that it sent before decide
 * which layout it finds. The daemon first looks at how the process opens the object and then reads
 * the commands. In the other order it would miss a command that comes in between.
 */
static void on_opening(struct nqptp *nqptp) {
    bool waits = nqptp_objects_note_opener(&nqptp->objects);

    for (enum source socket = CONTROL_IPV4; waits && socket <= CONTROL_IPV6; socket++)
        for (int rounds = 0; rounds < OPENING_ROUNDS && nqptp->fds[socket] >= 0; rounds++)
            if (take_commands(nqptp, socket) < COMMANDS)
                break;
    nqptp_objects_signalled(&nqptp->objects, nqptp_clock_now_ns());
}

/* The kernel sends two signals for each close of an object. All that wait are acted on once. */
static void on_signals(struct nqptp *nqptp) {
    struct signalfd_siginfo signal;
    bool opening = false;

    for (int i = 0; i < SIGNALS_MAX; i++) {
        if (!nqptp_faults_read(&nqptp->faults, nqptp->fds[SIGNALS], &signal, sizeof signal))
            break;
        if ((int)signal.ssi_signo == NQPTP_LEASE_SIGNAL || signal.ssi_signo == SIGIO)
            opening = true;
        else
            nqptp->status = nqptp_startup_status_of((int)signal.ssi_signo);
    }
    if (opening)
        on_opening(nqptp);
}

/* Reads all that tells of changes first, so that a later change is told again. */
static void follow_interfaces(struct nqptp *nqptp) {
    nqptp_faults_note(&nqptp->faults, nqptp_interfaces_drain(nqptp->fds[INTERFACES]));
    nqptp_endpoints_follow(&nqptp->endpoints);
    nqptp_engine_set_own_addresses(&nqptp->engine, nqptp->endpoints.own,
                                   nqptp->endpoints.own_count);
    nqptp->retry_at_ns = nqptp_endpoints_must_retry(&nqptp->endpoints)
                             ? nqptp_clock_now_ns() + RETRY_NS
                             : NQPTP_NO_DEADLINE;
}

/* Sets a timer that does not expire, but that the kernel cancels when CLOCK_REALTIME is set. */
static void watch_clock(struct nqptp *nqptp) {
    struct itimerspec far = {.it_value.tv_sec = (time_t)1 << 33};

    timerfd_settime(nqptp->fds[CLOCK_SET], TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

static void on_clock_set(struct nqptp *nqptp) {
    struct nqptp_effects effects;
    uint64_t expirations;

    if (nqptp_faults_read(&nqptp->faults, nqptp->fds[CLOCK_SET], &expirations,
                          sizeof expirations) ||
        errno != ECANCELED)
        return;
    watch_clock(nqptp);
    nqptp_engine_republish(&nqptp->engine, &effects);
    carry_out(nqptp, &effects, nqptp_clock_now_ns());
}

/* --- deadlines -------------------------------------------------------------------------------- */

static uint64_t engine_due_ns(const struct nqptp *nqptp) {
    uint64_t neighbours_ns = nqptp_engine_neighbours_due_ns(&nqptp->engine);
    uint64_t due_ns = nqptp_engine_deadline(&nqptp->engine);

    return neighbours_ns < due_ns ? neighbours_ns : due_ns;
}

static void expire_engine(struct nqptp *nqptp) {
    uint64_t now_ns = nqptp_clock_now_ns();
    struct nqptp_effects effects;

    if (nqptp_engine_neighbours_due_ns(&nqptp->engine) <= now_ns) {
        nqptp_neighbours_read(&nqptp->neighbours); /* If it fails, there are none. */
        nqptp_engine_neighbours(&nqptp->engine, &nqptp->neighbours, now_ns, &effects);
        carry_out(nqptp, &effects, now_ns);
    }
    while (nqptp_engine_deadline(&nqptp->engine) <= now_ns) {
        nqptp_engine_expire(&nqptp->engine, now_ns, &effects);
        carry_out(nqptp, &effects, now_ns);
    }
}

static uint64_t rest_due_ns(const struct nqptp *nqptp) {
    return nqptp->rest_until_ns;
}

static uint64_t objects_due_ns(const struct nqptp *nqptp) {
    return nqptp_objects_due_ns(&nqptp->objects, &nqptp->engine.clients);
}

static void retry_objects(struct nqptp *nqptp) {
    uint64_t now_ns = nqptp_clock_now_ns();
    struct nqptp_effects effects;

    if (nqptp_objects_retry(&nqptp->objects, &nqptp->engine, now_ns, &effects))
        carry_out(nqptp, &effects, now_ns);
}

static uint64_t flood_due_ns(const struct nqptp *nqptp) {
    return nqptp->endpoints.guarded ? nqptp->flooded_until_ns : NQPTP_NO_DEADLINE;
}

static void end_flood(struct nqptp *nqptp) {
    nqptp_endpoints_guard(&nqptp->endpoints, false);
}

static uint64_t ports_due_ns(const struct nqptp *nqptp) {
    return nqptp->retry_at_ns;
}

static uint64_t service_due_ns(const struct nqptp *nqptp) {
    return nqptp_service_due_ns(&nqptp->service);
}

static void tell_service(struct nqptp *nqptp) {
    nqptp_service_tell(&nqptp->service, nqptp_clock_now_ns());
}

/* Each row has when it is due and what to do then. Each round goes through the rows in order. */
static const struct {
    uint64_t (*due_ns)(const struct nqptp *nqptp);
    void (*act)(struct nqptp *nqptp);
} deadlines[] = {
    {rest_due_ns, read_packets}, {engine_due_ns, expire_engine},    {objects_due_ns, retry_objects},
    {flood_due_ns, end_flood},   {ports_due_ns, follow_interfaces}, {service_due_ns, tell_service},
};

#define DEADLINES (sizeof deadlines / sizeof *deadlines)

static void act_on_deadlines(struct nqptp *nqptp) {
    for (size_t i = 0; i < DEADLINES; i++)
        if (deadlines[i].due_ns(nqptp) <= nqptp_clock_now_ns())
            deadlines[i].act(nqptp);
}

/* Returns how long epoll may wait for what is due next, in ms: -1 for ever. */
static int next_deadline_ms(const struct nqptp *nqptp) {
    uint64_t due_ns = NQPTP_NO_DEADLINE, now_ns = nqptp_clock_now_ns();

    for (size_t i = 0; i < DEADLINES; i++)
        if (deadlines[i].due_ns(nqptp) < due_ns)
            due_ns = deadlines[i].due_ns(nqptp);
    uint64_t left_ms = due_ns > now_ns ? (due_ns - now_ns - 1) / NQPTP_MS + 1 : 0;
    return left_ms <= INT_MAX ? (int)left_ms : -1;
}

/* --- the loop --------------------------------------------------------------------------------- */

/*
 * Decides whether packets end the wait, or stay in their sockets until rest_until_ns. They are read
 * before the engine is told that time has passed. Returns whether they stay.
 */
static bool set_rest(struct nqptp *nqptp) {
    uint64_t until_ns = nqptp_engine_rest_until_ns(&nqptp->engine, nqptp_clock_now_ns());
    uint64_t engine_ns = engine_due_ns(nqptp);
    bool rests = until_ns > 0 && !nqptp->endpoints.guarded;

    until_ns = until_ns < engine_ns ? until_ns : engine_ns;
    nqptp->rest_until_ns = rests ? until_ns : NQPTP_NO_DEADLINE;
    return rests;
}

static void dispatch(struct nqptp *nqptp, enum source source) {
    if (source == SIGNALS)
        on_signals(nqptp);
    else if (source == CLOCK_SET)
        on_clock_set(nqptp);
    else if (source == INTERFACES)
        follow_interfaces(nqptp);
    else
        take_commands(nqptp, source);
}

/* Waits for an event of a source, and handles those that there are. */
static void wait_for_sources(struct nqptp *nqptp, int timeout_ms) {
    struct epoll_event events[SOURCES];
    int count = epoll_wait(nqptp->source_epoll, events, SOURCES, timeout_ms);

    nqptp_faults_note(&nqptp->faults, count < 0 ? -errno : 0);
    for (int i = 0; i < count; i++)
        dispatch(nqptp, (enum source)events[i].data.u32);
}

/*
 * Packets come first: no number of commands may delay the samples that players wait for. Replies
 * are sent after the packets that came meanwhile; if those may wait, at once.
 */
static void wait_for_events(struct nqptp *nqptp) {
    if (set_rest(nqptp)) {
        nqptp_endpoints_flush(&nqptp->endpoints);
        wait_for_sources(nqptp, next_deadline_ms(nqptp));
        return;
    }
    bool reply = nqptp->endpoints.queued > 0;
    if (wait_for_packets(nqptp, reply ? 0 : next_deadline_ms(nqptp)))
        wait_for_sources(nqptp, 0);
    if (reply)
        nqptp_endpoints_flush(&nqptp->endpoints);
}

static void loop(struct nqptp *nqptp) {
    while (nqptp->status == NQPTP_GO_ON) {
        act_on_deadlines(nqptp);
        wait_for_events(nqptp);
        nqptp_faults_slow_down(&nqptp->faults, nqptp_clock_now_ns());
    }
}

/* --- starting -------------------------------------------------------------------------------- */

/*
 * Opens the objects, and gives every client the state back that it had in the daemon before this
 * one. Returns false if there is no object /nqptp; then the log says why.
 */
static bool open_objects(struct nqptp *nqptp) {
    char back[NQPTP_KEPT_MAX];

    nqptp_shm_bring_all_back(back, sizeof back);
    /* A player that waits for a daemon opens the object as soon as it exists. Its commands, which
     * tell the layout that it reads, can come since the ports are open. So wait for them before
     * there is a new object. An old object is adopted at once: a player can open it already. */
    if (access(NQPTP_SHM_DIRECTORY NQPTP_INTERFACE_NAME, F_OK) < 0)
        nanosleep(&(struct timespec){.tv_nsec = FIRST_COMMAND_NS}, NULL);
    if (nqptp_objects_add(&nqptp->objects, &nqptp->engine, NQPTP_INTERFACE_NAME,
                          nqptp->options->layout, nqptp_clock_now_ns()) < 0)
        return false;
    nqptp_objects_hello(&nqptp->objects, &nqptp->engine, nqptp->options);
    restore_clients(nqptp, back);
    return true;
}

/* Opens what epoll reports, except for the ports, which are open. Returns 0 or -errno. */
static int open_sources(struct nqptp *nqptp) {
    struct epoll_event any = {.events = EPOLLIN, .data.u32 = ANY_SOURCE};

    if ((nqptp->source_epoll = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
        epoll_ctl(nqptp->endpoints.epoll, EPOLL_CTL_ADD, nqptp->source_epoll, &any) < 0 ||
        (nqptp->fds[SIGNALS] = signalfd(-1, &nqptp->signals, SFD_NONBLOCK | SFD_CLOEXEC)) < 0 ||
        (nqptp->fds[CLOCK_SET] = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC)) < 0)
        return -errno;
    watch_clock(nqptp);
    if ((nqptp->fds[INTERFACES] = nqptp_interfaces_watch()) < 0)
        return nqptp->fds[INTERFACES];
    for (enum source source = 0; source < SOURCES; source++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
        /* The control port is closed for a family that this machine lacks. */
        if (nqptp->fds[source] >= 0 &&
            epoll_ctl(nqptp->source_epoll, EPOLL_CTL_ADD, nqptp->fds[source], &event) < 0)
            return -errno;
    }
    return 0;
}

/* Takes one step of the start after the other. Returns NQPTP_GO_ON, or the status to end with. */
static enum nqptp_exit start(struct nqptp *nqptp) {
    struct nqptp_startup startup = {.options = nqptp->options,
                                    .endpoints = &nqptp->endpoints,
                                    .control = &nqptp->fds[CONTROL_IPV4]};

    nqptp_startup_block_signals(&nqptp->signals);
    enum nqptp_exit status = nqptp_startup(&startup);
    if (status != NQPTP_GO_ON)
        return status;
    nqptp_objects_init(&nqptp->objects, startup.group, nqptp->options->group);
    nqptp_engine_init(&nqptp->engine, nqptp_clock_identity());
    int result = open_sources(nqptp);
    if (result < 0)
        nqptp_log_error(LOG_ERR, result, "cannot set up the event loop");
    if (result < 0 || !open_objects(nqptp))
        return NQPTP_FAILED;
    follow_interfaces(nqptp);
    nqptp_service_ready(&nqptp->service, &nqptp->journal, &nqptp->engine, nqptp_clock_now_ns());
    return NQPTP_GO_ON;
}

static void stop(struct nqptp *nqptp) {
    bool restarts = nqptp->status == NQPTP_RESTART;

    nqptp_service_stopping();
    nqptp_log(LOG_INFO, restarts ? "leaving %s to the next process" : "removing the name %s",
              NQPTP_INTERFACE_NAME);
    if (!restarts)
        nqptp_objects_stop(&nqptp->objects, &nqptp->engine.clients);
}

static enum nqptp_exit run(const struct nqptp_options *options) {
    struct nqptp *nqptp = calloc(1, sizeof *nqptp);
    if (!nqptp) {
        nqptp_log(LOG_ERR, "out of memory");
        return NQPTP_FAILED;
    }
    nqptp->options = options;
    nqptp->started_ns = nqptp_clock_now_ns();
    nqptp->checksum_errors = nqptp_checksum_errors();
    nqptp_batch_init(&nqptp->batch);
    nqptp->status = start(nqptp);
    if (nqptp->status == NQPTP_GO_ON) {
        loop(nqptp);
        stop(nqptp);
    }
    enum nqptp_exit status = nqptp->status;
    free(nqptp); /* The kernel closes the descriptors. */
    return status;
}

int main(int argc, char **argv) {
    struct nqptp_options options = nqptp_options_read(argc, argv);

    nqptp_log_open(options.verbosity);
    switch (options.action) {
    case NQPTP_RUN:
        return (int)run(&options);
    case NQPTP_SHOW_VERSION:
        nqptp_options_version();
        return NQPTP_DONE;
    case NQPTP_SHOW_HELP:
        nqptp_options_help();
        return NQPTP_DONE;
    case NQPTP_SHOW_STATUS:
        return nqptp_diagnosis_status(&options) ? NQPTP_DONE : NQPTP_FAILED;
    case NQPTP_CLAIM:
        return (int)nqptp_startup_claim(&options);
    case NQPTP_REFUSE:
        break;
    }
    return NQPTP_USAGE;
}
