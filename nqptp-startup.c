/* SPDX-License-Identifier: MIT */
/*
 * The ports are opened first: a process that cannot have them touches nothing that another process
 * may be using. Then a process of root frees the object's name from what another user left there,
 * and becomes an ordinary user. Each error message ends with the next step.
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

#define WAIT_S 60 /* how long a service waits for a busy port */

/* A port that could not be opened, and why. */
struct failure {
    int error; /* -errno, or 0 if all ports are open. */
    uint16_t port;
    bool is_control;
    bool has_address;
    struct nqptp_address address;
    char place[NQPTP_PLACE_SIZE]; /* Where it was to be opened, in words after the number. */
};

/* Logs which process has the port. With `wait` it tells the service manager too. */
static enum nqptp_exit explain_busy(const struct failure *failure, bool wait) {
    struct nqptp_holder holder;
    char name[160], text[NQPTP_SERVICE_TEXT_MAX];
    bool found = nqptp_port_find_holder(failure->port,
                                        failure->has_address ? &failure->address : NULL, &holder);
    const char *advice = !found || holder.pid == 0
                             ? "as root, nqptp --status tells how to find and stop it"
                         : holder.service ? "to stop it, run as root: systemctl stop nqptp"
                                          : "stop that program, or the service that it belongs to";

    snprintf(text, sizeof text, "UDP port %u%s is in use: %s; %s%s%s", failure->port,
             failure->place, nqptp_holder_describe(found ? &holder : NULL, name, sizeof name),
             advice,
             failure->is_control ? "; a second nqptp on this machine needs --control-port=" : "",
             wait ? "; waiting for the port" : "");
    nqptp_log(LOG_ERR, "%s", text);
    if (wait)
        nqptp_service_waiting(text, 2 * WAIT_S);
    return NQPTP_PORT_BUSY;
}

/* Logs why the port could not be opened, and what to do. Returns the status to end with. */
static enum nqptp_exit explain(const struct failure *failure, bool wait) {
    switch (-failure->error) {
    case EADDRINUSE:
        return explain_busy(failure, wait);
    case EPERM: /* by systemd's filter of bind(2) */
        nqptp_log(
            LOG_ERR,
            "UDP port %u%s is forbidden, though not for lack of CAP_NET_BIND_SERVICE: if this "
            "is the service, allow the port by SocketBindAllow=udp:%u in its unit: "
            "systemctl edit nqptp",
            failure->port, failure->place, failure->port);
        return NQPTP_NO_PERMISSION;
    case EACCES:
        nqptp_log(LOG_ERR,
                  "no permission for UDP port %u%s: it requires CAP_NET_BIND_SERVICE (which root "
                  "and the service have), or sysctl net.ipv4.ip_unprivileged_port_start=%u",
                  failure->port, failure->place, failure->port);
        return NQPTP_NO_PERMISSION;
    case EADDRNOTAVAIL:
        nqptp_log(LOG_ERR, "no loopback address for UDP port %u; as root, run: ip link set lo up",
                  failure->port);
        return NQPTP_FAILED;
    default:
        nqptp_log_error(LOG_ERR, failure->error, "cannot open UDP port %u%s", failure->port,
                        failure->place);
        return NQPTP_FAILED;
    }
}

/* Opens the control port for IPv4 and IPv6; one family is enough. */
static struct failure open_control(uint16_t port, int control[2]) {
    static const char *const own[2] = {"127.0.0.1", "::1"};
    struct failure failure = {.port = port, .is_control = true, .has_address = true};

    for (int i = 0; i < 2 && failure.error == 0; i++) {
        nqptp_address_parse(own[i], strlen(own[i]), &failure.address);
        control[i] = nqptp_socket_open_local(&failure.address, port);
        bool absent = control[i] == -EAFNOSUPPORT || control[i] == -EADDRNOTAVAIL;
        if (control[i] < 0 && !(absent && (i == 0 || control[0] >= 0)))
            failure.error = control[i];
    }
    return failure;
}

/* Opens all ports, or none. */
static struct failure open_ports(const struct nqptp_options *options,
                                 struct nqptp_endpoints *endpoints, int control[2]) {
    const struct nqptp_endpoint *failed;
    struct failure failure = {.error = nqptp_endpoints_open(endpoints, &failed)};

    if (failure.error < 0) {
        failure.port = endpoints->ports[failed->general];
        failure.has_address = failed->limit.has_address;
        failure.address = failed->limit.address;
        nqptp_endpoint_place(failed, failure.place);
    } else {
        failure = open_control(options->control_port, control);
        if (failure.error < 0 && control[0] >= 0)
            close(control[0]);
    }
    if (failure.error < 0)
        nqptp_endpoints_close(endpoints);
    return failure;
}

/*
 * Opens all ports. A service tries again once a second for a minute while one is busy: if it ended
 * instead, its manager would start it again and again, and that would fill the journal.
 */
static enum nqptp_exit take_ports(const struct nqptp_options *options,
                                  struct nqptp_endpoints *endpoints, int control[2]) {
    uint64_t patience_ns = nqptp_service_is_managed() ? WAIT_S * NQPTP_S : 0;
    uint64_t give_up_ns = nqptp_clock_now_ns() + patience_ns;
    enum nqptp_exit status = NQPTP_GO_ON;
    sigset_t blocked;

    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (;;) {
        struct failure failure = open_ports(options, endpoints, control);
        if (failure.error == 0)
            return NQPTP_GO_ON;
        bool wait = failure.error == -EADDRINUSE && nqptp_clock_now_ns() < give_up_ns;
        if (status == NQPTP_GO_ON || failure.error != -EADDRINUSE)
            status = explain(&failure, wait);
        if (!wait)
            return status;
        int signal = sigtimedwait(&blocked, NULL, &(struct timespec){.tv_sec = 1});
        if (signal > 0)
            return signal == SIGUSR1 ? NQPTP_RESTART : NQPTP_DONE;
    }
}

/* The user that a daemon started as root becomes. */
struct owner {
    const char *name;
    uid_t user;
    gid_t group; /* of the objects */
};

/* Finds the group that may use the objects: -1 if there is none. */
static enum nqptp_exit find_group(const struct nqptp_options *options, gid_t *group) {
    int result = nqptp_group_find(options->group, group);

    if (result == 0)
        return NQPTP_GO_ON;
    *group = (gid_t)-1;
    if (result != -ENOENT) {
        nqptp_log_error(LOG_ERR, result, "cannot look up group %s", options->group);
        return NQPTP_FAILED;
    }
    nqptp_log(LOG_WARNING,
              "there is no group %s: players that need it, up to Shairport Sync 4.2, cannot use "
              "%s; as root, run: groupadd -r %s",
              options->group, NQPTP_INTERFACE_NAME, options->group);
    return NQPTP_GO_ON;
}

/*
 * Finds the user to become: nobody, which owns almost nothing, if there is no user nqptp and no
 * other one was given. Its group is that of the user if `group` is -1.
 */
static enum nqptp_exit find_owner(const struct nqptp_options *options, gid_t group,
                                  struct owner *owner) {
    owner->name = options->user;
    int result = nqptp_user_find(owner->name, &owner->user, &owner->group);
    if (result == -ENOENT) {
        nqptp_log(LOG_WARNING,
                  "there is no user %s; going on as nobody; as root, run: useradd -r -g %s %s",
                  owner->name, options->group, owner->name);
        owner->name = "nobody";
        result = nqptp_user_find(owner->name, &owner->user, &owner->group);
    }
    if (group != (gid_t)-1)
        owner->group = group;
    if (result < 0)
        nqptp_log_error(LOG_ERR, result, "cannot look up user %s", owner->name);
    return result < 0 ? NQPTP_FAILED : NQPTP_GO_ON;
}

/*
 * Returns the capabilities that a daemon started as root needs after the ports are bound. One is
 * for binding the ports of an interface that comes back. If it stays root, another one is for
 * giving the object to its group.
 */
static uint64_t needed_capabilities(const struct nqptp_endpoints *endpoints, uid_t user) {
    bool reopen = nqptp_endpoints_may_reopen(endpoints);

    return (reopen ? UINT64_C(1) << CAP_NET_BIND_SERVICE : 0) |
           (user == 0 ? UINT64_C(1) << CAP_CHOWN : 0);
}

/*
 * Takes away what another user left at the object's name. Does nothing while another process has
 * port 319 or the event port, because that process may serve the object. A daemon with another
 * event port serves the same name.
 */
static enum nqptp_exit free_name(const struct nqptp_options *options, const struct owner *owner) {
    struct nqptp_holder holder;

    if (nqptp_port_find_holder(NQPTP_EVENT_PORT, NULL, &holder) ||
        nqptp_port_find_holder(options->event_port, NULL, &holder))
        return NQPTP_DONE;
    int result = nqptp_shm_claim(NQPTP_INTERFACE_NAME, owner->user, owner->group);
    if (result > 0)
        nqptp_log(LOG_NOTICE,
                  "what was at /dev/shm%s did not belong to user %s; an empty object of that user "
                  "is there now",
                  NQPTP_INTERFACE_NAME, owner->name);
    else if (result < 0)
        nqptp_log_error(LOG_ERR, result,
                        "cannot take away what does not belong to user %s at /dev/shm%s",
                        owner->name, NQPTP_INTERFACE_NAME);
    return result < 0 ? NQPTP_FAILED : NQPTP_DONE;
}

/* Started as root: frees the object's name, then becomes less than root. */
static enum nqptp_exit leave_root(const struct nqptp_options *options,
                                  const struct nqptp_endpoints *endpoints, gid_t group) {
    struct owner owner;

    if (find_owner(options, group, &owner) != NQPTP_GO_ON)
        return NQPTP_FAILED;
    free_name(options, &owner);
    int result =
        nqptp_privileges_drop(owner.user, owner.group, needed_capabilities(endpoints, owner.user));
    if (result == 0)
        return NQPTP_GO_ON;
    nqptp_log_error(LOG_ERR, result, "cannot become user %s (--user=root stays root)", owner.name);
    return result == -EPERM ? NQPTP_NO_PERMISSION : NQPTP_FAILED;
}

enum nqptp_exit nqptp_startup(const struct nqptp_options *options,
                              struct nqptp_endpoints *endpoints, int control[2], gid_t *group) {
    nqptp_endpoints_init(endpoints, &options->limits, options->event_port, options->general_port);
    enum nqptp_exit status = take_ports(options, endpoints, control);
    if (status == NQPTP_GO_ON)
        status = find_group(options, group);
    return status == NQPTP_GO_ON && geteuid() == 0 ? leave_root(options, endpoints, *group)
                                                   : status;
}

enum nqptp_exit nqptp_startup_claim(const struct nqptp_options *options) {
    struct owner owner;
    gid_t group;

    return find_group(options, &group) == NQPTP_GO_ON &&
                   find_owner(options, group, &owner) == NQPTP_GO_ON
               ? free_name(options, &owner)
               : NQPTP_FAILED;
}

void nqptp_startup_block_signals(sigset_t *set) {
    const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGIO, NQPTP_LEASE_SIGNAL};
    struct sigaction hangup = {0};

    sigemptyset(set);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(set, signals[i]);
    /* The descriptor reports a blocked signal even if it is ignored, as SIGINT is in the background
     * of a shell. But nohup ignores SIGHUP so that the daemon outlives the terminal. */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN)
        sigdelset(set, SIGHUP);
    sigprocmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN); /* The reader of our stderr may end before us. */
    signal(SIGXFSZ, SIG_IGN); /* A limit of file sizes becomes an error, which the log explains. */
}
