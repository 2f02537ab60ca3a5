/* SPDX-License-Identifier: MIT */
/*
 * The start, up to the daemon's last privilege. nqptp_startup() has the list of its steps.
 *
 * take_ports() comes first: a daemon that cannot have its ports touches nothing that another daemon
 * may be using. A daemon that was started as root then frees the object's name from what another
 * user left there, in free_name(), and becomes an ordinary user, in leave_root(). `nqptp --claim`,
 * which the unit runs as root, only frees the name.
 *
 * A step returns NQPTP_GO_ON, or the exit status after it has logged what is wrong and what to do.
 * Nothing here makes or opens the object: nqptp-objects does that after the start.
 */
#include "nqptp-startup.h"

#include "nqptp-lease.h"
#include "nqptp-ports.h"
#include "nqptp-privileges.h"
#include "nqptp-service.h"
#include "nqptp-shm-file.h"
#include "nqptp-shm-structures.h"
#include "nqptp-time.h"
#include "nqptp-utilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S 60 /* A service waits for a busy port this long. */

/* Logs an error for which nqptp has no advice. Returns the status to end with. */
static enum nqptp_exit fail(int error, const char *what, const char *name) {
    nqptp_log_error(LOG_ERR, error, "%s %s", what, name);
    return error == -EPERM ? NQPTP_NO_PERMISSION : NQPTP_FAILED;
}

/* --- ports ------------------------------------------------------------------------------------ */

/* A port that could not be opened, and why. */
struct failure {
    int error; /* -errno, or 0 if all ports are open. */
    uint16_t port;
    bool is_control;
    const struct nqptp_address *address; /* The address it was to be bound to; NULL: all of them. */
    char name[NQPTP_PLACE_SIZE + 16];    /* The port, and its address or interface, in words. */
};

/* Logs which process has the port. A daemon that waits for it tells the service manager too. */
static void explain_busy(const struct failure *failure, bool waits) {
    struct nqptp_holder holder;
    char words[160], text[NQPTP_SERVICE_TEXT_MAX];
    bool found = nqptp_port_find_holder(failure->port, failure->address, &holder);
    const char *advice = !found || holder.pid == 0
                             ? "as root, nqptp --status tells how to find and stop it"
                         : holder.service ? "to stop it, run as root: systemctl stop nqptp"
                                          : "stop that program, or the service that it belongs to";

    snprintf(text, sizeof text, "%s is in use: %s; %s%s%s", failure->name,
             nqptp_holder_describe(found ? &holder : NULL, words, sizeof words), advice,
             failure->is_control ? "; a second nqptp on this machine needs --control-port=" : "",
             waits ? "; waiting for the port" : "");
    nqptp_log(LOG_ERR, "%s", text);
    if (waits)
        nqptp_service_waiting(text, 2 * WAIT_S);
}

/* Logs why the port could not be opened, and what to do. Returns the status to end with. */
static enum nqptp_exit explain(const struct failure *failure, bool waits) {
    switch (-failure->error) {
    case EADDRINUSE:
        explain_busy(failure, waits);
        return NQPTP_PORT_BUSY;
    case EPERM: /* The kernel gives this error for a filter of systemd. */
        nqptp_log(LOG_ERR,
                  "%s is forbidden; if this is the service, allow the port by "
                  "SocketBindAllow=udp:%u in its unit: systemctl edit nqptp",
                  failure->name, failure->port);
        return NQPTP_NO_PERMISSION;
    case EACCES:
        nqptp_log(LOG_ERR,
                  "no permission for %s: it requires CAP_NET_BIND_SERVICE (which root and the "
                  "service have), or sysctl net.ipv4.ip_unprivileged_port_start=%u",
                  failure->name, failure->port);
        return NQPTP_NO_PERMISSION;
    case EADDRNOTAVAIL:
        nqptp_log(LOG_ERR, "no loopback address for %s; as root, run: ip link set lo up",
                  failure->name);
        return NQPTP_FAILED;
    default:
        return fail(failure->error, "cannot open", failure->name);
    }
}

/* Opens the control port for IPv4 and IPv6; one family is enough. Returns 0 or -errno. */
static int open_control(uint16_t port, int control[2], const struct nqptp_address **failed) {
    for (int i = 0; i < 2; i++) {
        control[i] = nqptp_socket_open(&nqptp_loopback[i], NULL, port, NQPTP_SOCKET_LOCAL);
        bool absent = control[i] == -EAFNOSUPPORT || control[i] == -EADDRNOTAVAIL;
        if (control[i] >= 0 || (absent && (i == 0 || control[0] >= 0)))
            continue;
        if (control[0] >= 0)
            close(control[0]);
        *failed = &nqptp_loopback[i];
        return control[i];
    }
    return 0;
}

/* Opens all ports, or none. */
static struct failure open_ports(struct nqptp_startup *startup) {
    struct nqptp_endpoints *endpoints = startup->endpoints;
    const struct nqptp_endpoint *failed;
    char place[NQPTP_PLACE_SIZE] = "";
    struct failure failure = {.error = nqptp_endpoints_open(endpoints, &failed)};

    if (failure.error < 0) {
        failure.port = endpoints->ports[failed->general];
        failure.address = failed->limit.has_address ? &failed->limit.address : NULL;
        nqptp_endpoint_place(failed, place);
    } else {
        failure.port = startup->options->control_port;
        failure.is_control = true;
        failure.error = open_control(failure.port, startup->control, &failure.address);
    }
    snprintf(failure.name, sizeof failure.name, "UDP port %u%s", failure.port, place);
    if (failure.error < 0)
        nqptp_endpoints_close(endpoints);
    return failure;
}

/*
 * Opens all ports. While one is busy, a service tries again once a second for a minute. If it ended
 * instead, systemd would start it again and again, and the journal would fill.
 */
static enum nqptp_exit take_ports(struct nqptp_startup *startup) {
    uint64_t patience_ns = nqptp_service_is_managed() ? WAIT_S * NQPTP_S : 0;
    uint64_t give_up_ns = nqptp_clock_now_ns() + patience_ns;
    enum nqptp_exit status = NQPTP_GO_ON;
    sigset_t blocked;

    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (;;) {
        struct failure failure = open_ports(startup);
        if (failure.error == 0)
            return NQPTP_GO_ON;
        bool waits = failure.error == -EADDRINUSE && nqptp_clock_now_ns() < give_up_ns;
        if (status == NQPTP_GO_ON || failure.error != -EADDRINUSE)
            status = explain(&failure, waits);
        if (!waits)
            return status;
        int signal = sigtimedwait(&blocked, NULL, &(struct timespec){.tv_sec = 1});
        if (signal > 0)
            return nqptp_startup_status_of(signal);
    }
}

/* --- user and group --------------------------------------------------------------------------- */

static enum nqptp_exit find_group(struct nqptp_startup *startup) {
    const char *name = startup->options->group;
    int result = nqptp_group_find(name, &startup->group);

    if (result == 0)
        return NQPTP_GO_ON;
    startup->group = (gid_t)-1;
    if (result != -ENOENT)
        return fail(result, "cannot look up group", name);
    nqptp_log(LOG_WARNING,
              "there is no group %s: players that need it, up to Shairport Sync 4.2, cannot use "
              "%s; as root, run: groupadd -r %s",
              name, NQPTP_INTERFACE_NAME, name);
    return NQPTP_GO_ON;
}

/*
 * Finds the user to become: nobody, which owns almost nothing, if there is no user nqptp and no
 * other one was given. The user's own group is taken if there is no group for the objects.
 */
static enum nqptp_exit find_user(struct nqptp_startup *startup) {
    startup->user = startup->options->user;
    int result = nqptp_user_find(startup->user, &startup->uid, &startup->gid);
    if (result == -ENOENT) {
        nqptp_log(
            LOG_WARNING,
            "there is no user %s, so the daemon becomes nobody; as root, run: useradd -r -g %s %s",
            startup->user, startup->options->group, startup->user);
        startup->user = "nobody";
        result = nqptp_user_find(startup->user, &startup->uid, &startup->gid);
    }
    if (startup->group != (gid_t)-1)
        startup->gid = startup->group;
    return result < 0 ? fail(result, "cannot look up user", startup->user) : NQPTP_GO_ON;
}

/*
 * Takes away what another user left at the object's name. Does nothing while another process has
 * port 319 or the event port, because that process may serve the object. A daemon with another
 * event port serves the same name.
 */
static enum nqptp_exit free_name(const struct nqptp_startup *startup) {
    struct nqptp_holder holder;

    if (nqptp_port_find_holder(NQPTP_EVENT_PORT, NULL, &holder) ||
        nqptp_port_find_holder(startup->options->event_port, NULL, &holder))
        return NQPTP_DONE;
    int result = nqptp_shm_claim(NQPTP_INTERFACE_NAME, startup->uid, startup->gid);
    if (result < 0)
        return fail(result, "cannot free /dev/shm" NQPTP_INTERFACE_NAME " for user", startup->user);
    if (result > 0)
        nqptp_log(LOG_NOTICE,
                  "what was at /dev/shm%s did not belong to user %s; an empty object of that user "
                  "is there now",
                  NQPTP_INTERFACE_NAME, startup->user);
    return NQPTP_DONE;
}

/*
 * Becomes an ordinary user. Ports of an interface that comes back are bound again, which takes a
 * capability. A daemon that stays root needs another one to give the object to its group.
 */
static enum nqptp_exit leave_root(const struct nqptp_startup *startup) {
    uint64_t kept = 0;

    if (nqptp_endpoints_may_reopen(startup->endpoints))
        kept |= UINT64_C(1) << CAP_NET_BIND_SERVICE;
    if (startup->uid == 0)
        kept |= UINT64_C(1) << CAP_CHOWN;
    int result = nqptp_privileges_drop(startup->uid, startup->gid, kept);
    return result < 0
               ? fail(result, "cannot leave root (--user=root stays root) for user", startup->user)
               : NQPTP_GO_ON;
}

/* --- all steps -------------------------------------------------------------------------------- */

enum nqptp_exit nqptp_startup(struct nqptp_startup *startup) {
    const struct nqptp_options *options = startup->options;

    nqptp_endpoints_init(startup->endpoints, &options->limits, options->event_port,
                         options->general_port);
    enum nqptp_exit status = take_ports(startup);
    if (status == NQPTP_GO_ON)
        status = find_group(startup);
    if (status != NQPTP_GO_ON || geteuid() != 0)
        return status;
    status = find_user(startup);
    if (status != NQPTP_GO_ON)
        return status;
    free_name(startup); /* If it fails, the object cannot be opened, and that message says more. */
    return leave_root(startup);
}

enum nqptp_exit nqptp_startup_claim(const struct nqptp_options *options) {
    struct nqptp_startup startup = {.options = options};
    enum nqptp_exit status = find_group(&startup);

    if (status == NQPTP_GO_ON)
        status = find_user(&startup);
    return status == NQPTP_GO_ON ? free_name(&startup) : status;
}

void nqptp_startup_block_signals(sigset_t *set) {
    const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGIO, NQPTP_LEASE_SIGNAL};
    struct sigaction hangup = {0};

    sigemptyset(set);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(set, signals[i]);
    /* The descriptor reports a blocked signal even if the signal is ignored. That is right for
     * SIGINT, which a shell ignores in the processes of its background. But nohup ignores SIGHUP so
     * that the daemon outlives the terminal. */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN)
        sigdelset(set, SIGHUP);
    sigprocmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN); /* The reader of the log may end before the daemon. */
    signal(SIGXFSZ, SIG_IGN); /* A limit of file sizes becomes an error, which the log explains. */
}

enum nqptp_exit nqptp_startup_status_of(int signal) {
    return signal == SIGUSR1 ? NQPTP_RESTART : NQPTP_DONE;
}
