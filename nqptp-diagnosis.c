/* SPDX-License-Identifier: MIT */
/*
 * nqptp --status, as a process of its own beside the daemon.
 *
 * First it asks the daemon: one datagram to 127.0.0.1, then, if no answer came, one to ::1. It
 * prints the answer as printable UTF-8, because any program may have sent it.
 *
 * Without an answer it prints facts, each on a line, then commands that come next. The facts are
 * those that the kernel vouches for: the holder of each port, this user's capability, /dev/shm, and
 * the object's owner, mode and size. A process chooses its name and command line, so these decide
 * nothing.
 *
 * It never opens the object, because a running daemon would take that for a player. It opens no
 * port of the daemon's, runs no program, and changes nothing.
 */
#include "nqptp-diagnosis.h"

#include "nqptp-ports.h"
#include "nqptp-privileges.h"
#include "nqptp-shm-structures.h"
#include "nqptp-status.h"
#include "nqptp-text.h"
#include "nqptp-utilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MS 2000 /* A daemon answers in a millisecond, unless its machine is very busy. */

/* --- asking ---------------------------------------------------------------------------------- */

static bool wants_colour(void) {
    const char *term = getenv("TERM"), *refused = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0 && !(refused && *refused);
}

/* Prints an answer, which any program may have sent. Masters are green, drops and hint yellow. */
static void print(char *text, size_t length, bool coloured) {
    static char shown[NQPTP_STATUS_MAX + 1]; /* It is too large for a small stack. */
    char *rest = text, *line;

    text[length] = '\0';
    while ((line = strsep(&rest, "\n")) && (rest || *line)) {
        bool is_trouble = strncmp(line, "Dropped:", 8) == 0 || strncmp(line, "Hint:", 5) == 0;
        const char *colour = *line == '*' ? "\033[1;32m" : is_trouble ? "\033[33m" : "";
        printf("%s%s%s\n", coloured ? colour : "", nqptp_text_show(line, "", shown, sizeof shown),
               coloured && *colour ? "\033[0m" : "");
    }
}

/* Asks at one loopback address. Returns the length of the answer, or -1 if none came. */
static ssize_t ask(const struct nqptp_address *address, uint16_t port, const char *question,
                   char *text, size_t size) {
    struct sockaddr_storage name = nqptp_socket_address(address, port);
    ssize_t length = -1;
    int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0 &&
        send(fd, question, strlen(question), 0) > 0 && poll(&answer, 1, ANSWER_MS) == 1)
        length = recv(fd, text, size, 0);
    close(fd);
    return length;
}

/* Another program may have the port, so an answer counts only if it begins like one of ours. */
static bool print_answer(uint16_t control_port, bool json) {
    const char *beginning = json ? "{\"version\":" : "Version:";
    static char text[NQPTP_STATUS_MAX + 1]; /* It is too large for a small stack. */
    ssize_t length = -1;

    for (int i = 0; i < 2 && length <= 0; i++)
        length =
            ask(&nqptp_loopback[i], control_port, json ? "? json" : "?", text, NQPTP_STATUS_MAX);
    if (length < (ssize_t)strlen(beginning) || memcmp(text, beginning, strlen(beginning)) != 0)
        return false;
    print(text, (size_t)length, !json && wants_colour());
    return true;
}

/* --- the report ------------------------------------------------------------------------------ */

/* What the facts mean for the next steps. */
struct report {
    bool hidden;    /* Another process has a port, but this user cannot see which. */
    bool held;      /* A port is held. */
    unsigned count; /* The number of `holders`. */
    int holders[3]; /* The processes that hold a port each and are not the service. */
};

__attribute__((format(printf, 2, 3))) static void say(const char *title, const char *format, ...) {
    va_list arguments;

    fprintf(stderr, "  %-11s", title);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* --- ports ------------------------------------------------------------------------------------ */

/* Of the control port only the loopback addresses count. */
static void check_port(struct report *report, uint16_t port, bool control) {
    struct nqptp_holder holder;
    char title[16], text[160];

    snprintf(title, sizeof title, "port %u", port);
    if (!nqptp_port_find_holder(port, control ? &nqptp_loopback[0] : NULL, &holder) &&
        !(control && nqptp_port_find_holder(port, &nqptp_loopback[1], &holder))) {
        say(title, "free");
        return;
    }
    say(title, "%s%s", nqptp_holder_describe(&holder, text, sizeof text),
        control ? ", which does not answer as this nqptp does" : "");
    report->held = true;
    report->hidden |= holder.pid == 0;
    bool known = report->count > 0 && report->holders[report->count - 1] == holder.pid;
    if (holder.pid > 0 && !holder.service && !known)
        report->holders[report->count++] = holder.pid;
}

/* --- this user, and the object ---------------------------------------------------------------- */

static void check_permission(void) {
    if (!nqptp_privileges_has(CAP_NET_BIND_SERVICE))
        say("permission",
            "this user lacks CAP_NET_BIND_SERVICE, which ports below 1024 need, unless "
            "sysctl net.ipv4.ip_unprivileged_port_start says otherwise");
}

/* A process that holds the ports may be a daemon that uses the object, whatever user made it. */
static void check_object(const struct report *report) {
    const char *trouble = nqptp_dev_shm_trouble();
    struct stat status;

    if (trouble)
        say("/dev/shm", "%s", trouble);
    else if (lstat("/dev/shm" NQPTP_INTERFACE_NAME, &status) < 0)
        say("object", "there is no %s", NQPTP_INTERFACE_NAME);
    else
        say("object", "%s has owner uid %u, mode %04o, %lld bytes; %s", NQPTP_INTERFACE_NAME,
            (unsigned)status.st_uid, (unsigned)status.st_mode & 07777, (long long)status.st_size,
            report->held ? "the program that holds the ports may be using it"
                         : "the service takes it over or replaces it when it starts");
}

/* --- all together ----------------------------------------------------------------------------- */

static void print_next(const struct report *report) {
    bool is_root = geteuid() == 0, has_systemd = access("/run/systemd/system", F_OK) == 0;

    if (report->hidden && is_root)
        say("outside", "the process that holds a port is not in this container; "
                       "on its host, run: ss -ulpn");
    fprintf(stderr, "Next%s:\n", is_root ? "" : ", as root");
    for (unsigned i = 0; i < report->count; i++)
        fprintf(stderr, has_systemd ? "  systemctl status %d\n" : "  ps %d\n", report->holders[i]);
    if (report->hidden && !is_root)
        fprintf(stderr, "  %s --status\n", program_invocation_name);
    if (has_systemd)
        fputs("  systemctl status nqptp\n  journalctl -u nqptp -n 20\n"
              "  systemctl restart nqptp\n",
              stderr);
    else if (!report->held)
        fprintf(stderr, "  %s -v\n", program_invocation_name);
    fputs("  shairport-sync -V\n", stderr);
}

static void print_facts(const struct nqptp_options *options) {
    struct report report = {0};

    nqptp_log(LOG_ERR,
              "no answer from UDP port %u of this machine: nqptp is not running, or has another "
              "--control-port=",
              options->control_port);
    check_port(&report, options->event_port, false);
    check_port(&report, options->general_port, false);
    check_port(&report, options->control_port, true);
    check_permission();
    check_object(&report);
    print_next(&report);
}

bool nqptp_diagnosis_status(const struct nqptp_options *options) {
    if (print_answer(options->control_port, options->json))
        return fflush(stdout) == 0;
    print_facts(options);
    return false;
}
