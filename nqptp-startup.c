/* SPDX-License-Identifier: MIT */
/*
 * The ports come first: a process that cannot have them touches nothing that another process may be
 * using. Then a process of root clears what another user left at the object's name, and becomes an
 * ordinary user. Every error ends with the next step.
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
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S 60 /* how long a service waits for a busy port */

static void explain_permission(uint16_t port, const char *place, int error) {
    if (error == EPERM || nqptp_privileges_has(CAP_NET_BIND_SERVICE))
        nqptp_log(
            LOG_ERR,
            "UDP port %u%s is forbidden, though not for lack of CAP_NET_BIND_SERVICE: if this "
            "is the service, allow the port by SocketBindAllow=udp:%u in its unit: "
            "systemctl edit nqptp",
            port, place, port);
    else
        nqptp_log(
            LOG_ERR,
            "no permission for UDP port %u%s: it requires CAP_NET_BIND_SERVICE (which root and "
            "the service have), or sysctl net.ipv4.ip_unprivileged_port_start=%u",
            port, place, port);
}

/* A port that could not be opened. */
struct failure {
    int error; /* -errno; 0: all ports are open */
    uint16_t port;
    bool is_control;
    bool has_address;
    struct nqptp_address address;
    char place[NQPTP_PLACE_SIZE]; /* where it was to be opened, in words that follow the number */
};

/* Logs which process has the port. With `wait` it tells the service manager too. */
static void explain_busy(const struct failure *failure, bool wait) {
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
             failure->is_control ? "; a second nqptp on this host needs --control-port=" : "",
             wait ? "; waiting for the port" : "");
    nqptp_log(LOG_ERR, "%s", text);
    if (wait)
        nqptp_service_waiting(text, 2 * WAIT_S);
}

static enum nqptp_exit explain(const struct failure *failure) {
    switch (-failure->error) {
    case EADDRINUSE:
        explain_busy(failure, false);
        return NQPTP_PORT_BUSY;
    case EACCES:
    case EPERM:
        explain_permission(failure->port, failure->place, -failure->error);
        return NQPTP_NO_PERMISSION;
    case EADDRNOTAVAIL:
        nqptp_log(LOG_ERR, "no loopback address for UDP port %u; as root, run: ip link set lo up",
                  failure->port);
        return NQPTP_FAILED;
    default:
        nqptp_log(LOG_ERR, "cannot open UDP port %u%s: %s", failure->port, failure->place,
                  strerror(-failure->error));
        return NQPTP_FAILED;
    }
}

/* Opens the control port for IPv4 and IPv6; one family is enough. */
static struct failure open_control(uint16_t port, int control[2]) {
    static const char *const own[2] = {"127.0.0.1", "::1"};
    struct failure failure = {.port = port, .is_control = true, .has_address = true};

    for (int i = 0; i < 2; i++) {
        nqptp_address_parse(own[i], strlen(own[i]), &failure.address);
        control[i] = nqptp_socket_open_local(&failure.address, port);
        bool absent = control[i] == -EAFNOSUPPORT || control[i] == -EADDRNOTAVAIL;
        if (control[i] >= 0 || (absent && (i == 0 || control[0] >= 0)))
            continue;
        failure.error = control[i];
        break;
    }
    return failure;
}

/* Opens all ports, or none. */
static struct failure open_ports(const struct nqptp_options *options,
                                 struct nqptp_endpoints *endpoints, int control[2]) {
    const struct nqptp_endpoint *failed;
    struct failure failure = {.error = nqptp_endpoints_open(endpoints, &failed)};

    control[0] = control[1] = -1;
    if (failure.error < 0) {
        failure.port = endpoints->ports[failed->general];
        failure.has_address = failed->limit.has_address;
        failure.address = failed->limit.address;
        nqptp_endpoint_place(failed, failure.place);
    } else {
        failure = open_control(options->control_port, control);
    }
    if (failure.error < 0) {
        nqptp_endpoints_close(endpoints);
        if (control[0] >= 0)
            close(control[0]);
    }
    return failure;
}

/* Returns the signals that end the daemon. */
static sigset_t end_signals(void) {
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    return set;
}

/*
 * Tries once a second, for a minute, to open ports of which one is busy. A service that ended
 * instead would fill the journal, because its manager starts it again and again.
 */
static enum nqptp_exit wait_for_ports(const struct nqptp_options *options,
                                      struct nqptp_endpoints *endpoints, int control[2],
                                      struct failure *failure) {
    const sigset_t ends = end_signals();
    uint64_t give_up_ns = nqptp_clock_now_ns() + WAIT_S * NQPTP_S;

    explain_busy(failure, true);
    while (failure->error == -EADDRINUSE) {
        if (nqptp_clock_now_ns() >= give_up_ns)
            return NQPTP_PORT_BUSY;
        int signal = sigtimedwait(&ends, NULL, &(struct timespec){.tv_sec = 1});
        if (signal > 0)
            return signal == SIGUSR1 ? NQPTP_RESTART : NQPTP_DONE;
        *failure = open_ports(options, endpoints, control);
    }
    return failure->error < 0 ? explain(failure) : NQPTP_GO_ON;
}

/* The group that may use the objects, or -1. */
static gid_t group_id(const struct nqptp_options *options) {
    const struct group *group = getgrnam(options->group);

    if (!group)
        nqptp_log(
            LOG_WARNING,
            "there is no group %s: players that need it, up to Shairport Sync 4.2, cannot use "
            "%s; as root, run: groupadd -r %s",
            options->group, NQPTP_INTERFACE_NAME, options->group);
    return group ? group->gr_gid : (gid_t)-1;
}

/* Whether a look-up failed for want of something, and not because there is no such user. */
static bool lookup_failed(void) {
    return errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EIO;
}

/* The user to become: the one that was given, else nqptp, else nobody, which owns almost nothing.
 */
static const struct passwd *find_user(const struct nqptp_options *options) {
    errno = 0;
    const struct passwd *user = getpwnam(options->user);

    if (user || options->user_given || lookup_failed())
        return user;
    nqptp_log(LOG_WARNING,
              "there is no user %s; going on as nobody; as root, run: useradd -r -g %s %s",
              options->user, options->group, options->user);
    errno = 0;
    return getpwnam("nobody");
}

/*
 * Returns the capabilities that a daemon started as root still needs once the ports are bound: the
 * right to bind those of an interface that comes back, and, if it stays root, the right to give the
 * object to its group. A daemon that was not started as root keeps what it was given: the service's
 * unit bounds its one capability by SocketBindAllow=.
 */
static uint64_t needed_capabilities(const struct nqptp_endpoints *endpoints, uid_t user) {
    bool reopen = nqptp_endpoints_may_reopen(endpoints);

    return (reopen ? UINT64_C(1) << CAP_NET_BIND_SERVICE : 0) |
           (user == 0 ? UINT64_C(1) << CAP_CHOWN : 0);
}

static int claim_for(uid_t user, gid_t group) {
    int result = nqptp_shm_claim(NQPTP_INTERFACE_NAME, user, group);

    if (result > 0)
        nqptp_log(LOG_NOTICE,
                  "another user had put something at /dev/shm%s; it is out of the way now",
                  NQPTP_INTERFACE_NAME);
    else if (result < 0)
        nqptp_log(LOG_ERR, "cannot free /dev/shm%s, where another user put something: %s",
                  NQPTP_INTERFACE_NAME, strerror(-result));
    return result;
}

/* Started as root: clears what another user left in our place, then becomes less than root. */
static enum nqptp_exit leave_root(const struct nqptp_options *options,
                                  const struct nqptp_endpoints *endpoints, gid_t group) {
    const struct passwd *user = find_user(options);
    if (!user && lookup_failed()) {
        nqptp_log(LOG_ERR, "cannot look up user %s: %s", options->user, strerror(errno));
        return NQPTP_FAILED;
    }
    if (!user) {
        nqptp_log(LOG_ERR, "there is no user to become; name one with --user=");
        return NQPTP_FAILED;
    }
    claim_for(user->pw_uid, group != (gid_t)-1 ? group : user->pw_gid);
    int result = nqptp_privileges_drop(user->pw_uid, group != (gid_t)-1 ? group : user->pw_gid,
                                       needed_capabilities(endpoints, user->pw_uid));
    if (result < 0) {
        nqptp_log(LOG_ERR, "cannot become user %s: %s; --user=root stays root", user->pw_name,
                  strerror(-result));
        return NQPTP_NO_PERMISSION;
    }
    return NQPTP_GO_ON;
}

enum nqptp_exit nqptp_startup(const struct nqptp_options *options,
                              struct nqptp_endpoints *endpoints, int control[2], gid_t *group) {
    enum nqptp_exit status = NQPTP_GO_ON;

    nqptp_endpoints_init(endpoints, &options->limits, options->event_port, options->general_port);
    struct failure failure = open_ports(options, endpoints, control);
    if (failure.error == -EADDRINUSE && nqptp_service_is_managed())
        status = wait_for_ports(options, endpoints, control, &failure);
    else if (failure.error < 0)
        status = explain(&failure);
    if (status != NQPTP_GO_ON)
        return status;
    *group = group_id(options);
    return geteuid() == 0 ? leave_root(options, endpoints, *group) : NQPTP_GO_ON;
}

int nqptp_startup_signals(void) {
    struct sigaction hangup = {0};
    sigset_t set = end_signals();

    sigaddset(&set, SIGIO);
    sigaddset(&set, NQPTP_LEASE_SIGNAL);
    /* A blocked signal comes by the descriptor also if it was ignored, as SIGINT is in a shell's
     * background. But nohup ignores SIGHUP so that the daemon outlives the terminal. */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN)
        sigdelset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* The reader of our stderr may end before us. */
    signal(SIGXFSZ, SIG_IGN); /* A limit of file sizes shall be an error that we can explain. */
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

enum nqptp_exit nqptp_startup_claim(const struct nqptp_options *options) {
    const struct passwd *user = getpwnam(options->user);
    const struct group *group = getgrnam(options->group);
    struct nqptp_holder holder;

    if (!user) {
        nqptp_log(LOG_ERR,
                  "there is no user %s to free %s for; name one with --user=", options->user,
                  NQPTP_INTERFACE_NAME);
        return NQPTP_FAILED;
    }
    if (nqptp_port_find_holder(options->event_port, NULL, &holder))
        return NQPTP_DONE; /* the object may be what that process serves */
    return claim_for(user->pw_uid, group ? group->gr_gid : user->pw_gid) < 0 ? NQPTP_FAILED
                                                                             : NQPTP_DONE;
}

int nqptp_startup_timer(clockid_t clock) {
    int fd = timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
