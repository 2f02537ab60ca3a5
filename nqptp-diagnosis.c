/* SPDX-License-Identifier: MIT */
/* Asking a daemon, and finding out why none answers: see the header. */
#include "nqptp-diagnosis.h"

#include "nqptp-commands.h"
#include "nqptp-ports.h"
#include "nqptp-shm-file.h"
#include "nqptp-shm-structures.h"
#include "nqptp-status.h"
#include "nqptp-utilities.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define ANSWER_MS 2000  /* a daemon answers in a millisecond, unless its machine is very busy */
#define PROGRAM_MS 3000 /* as does a program that tells its version */
#define NEXT_MAX 12
#define LINE_SIZE 200
#define NOBODY 65534
#define BIND_SERVICE 10 /* CAP_NET_BIND_SERVICE, capabilities(7) */
#define PLAYER "shairport-sync"

/* --- asking ---------------------------------------------------------------------------------- */

static unsigned terminal_columns(void) {
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    int wanted = columns ? atoi(columns) : 0;

    if (wanted <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        wanted = size.ws_col;
    return wanted > 0 && wanted < 10000 ? (unsigned)wanted : NQPTP_STATUS_COLUMNS;
}

static bool wants_colour(void) {
    const char *term = getenv("TERM"), *refused = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0 && !(refused && *refused);
}

/* The colour of a line by what it begins with; one that begins with a blank goes on as before. */
static const char *colour_of(const char *line, const char *before) {
    if (*line == ' ')
        return before;
    return *line == '*'                                                          ? "\033[1;32m"
           : strncmp(line, "Dropped:", 8) == 0 || strncmp(line, "Hint:", 5) == 0 ? "\033[33m"
                                                                                 : "";
}

/* What came is printed as printable text, whoever it was that answered. */
static void print(char *text, size_t length, bool coloured) {
    const char *colour = "";
    char *rest;

    for (size_t i = 0; i < length; i++)
        if ((text[i] < ' ' || text[i] > '~') && text[i] != '\n')
            text[i] = '?';
    text[length] = '\0';
    for (char *line = text; *line; line = rest) {
        rest = line + strcspn(line, "\n");
        colour = coloured ? colour_of(line, colour) : "";
        printf("%s%.*s%s\n", colour, (int)(rest - line), line, *colour ? "\033[0m" : "");
        rest += *rest == '\n';
    }
}

/* Asks at one loopback address. Returns the length of the answer, or -1 if none came. */
static ssize_t ask(const char *loopback, uint16_t port, const char *question, char *text,
                   size_t size) {
    struct nqptp_address address;
    struct sockaddr_storage name;
    ssize_t length = -1;

    nqptp_address_parse(loopback, strlen(loopback), &address);
    socklen_t name_size = nqptp_socket_address(&address, port, &name);
    int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&name, name_size) == 0 &&
        send(fd, question, strlen(question), 0) > 0 && poll(&answer, 1, ANSWER_MS) == 1)
        length = recv(fd, text, size, 0);
    close(fd);
    return length;
}

/* Others may have the port. */
static bool is_answer(const char *text, size_t length, bool json) {
    const char *beginning = json ? "{\"version\":" : "Version:";
    return length > strlen(beginning) && memcmp(text, beginning, strlen(beginning)) == 0;
}

bool nqptp_diagnosis_ask(uint16_t control_port, bool json) {
    char question[16] = "? json";
    char text[NQPTP_STATUS_MAX + 1];

    if (!json)
        snprintf(question, sizeof question, "? %u", terminal_columns());
    ssize_t length = ask("127.0.0.1", control_port, question, text, NQPTP_STATUS_MAX);
    if (length <= 0)
        length = ask("::1", control_port, question, text, NQPTP_STATUS_MAX);
    if (length <= 0 || !is_answer(text, (size_t)length, json))
        return false;
    print(text, (size_t)length, !json && wants_colour());
    return true;
}

/* --- the report ------------------------------------------------------------------------------ */

struct report {
    const struct nqptp_diagnosis *expected;
    unsigned count;
    bool as_root; /* some of the steps need it */
    bool blind;   /* somebody has a port, but only root can see who */
    bool rival;   /* a program that is no nqptp has a port of PTP */
    bool daemon;  /* one lives here, though it does not answer */
    char next[NEXT_MAX][LINE_SIZE];
};

__attribute__((format(printf, 2, 3))) static void say(const char *title, const char *format, ...) {
    va_list arguments;

    fprintf(stderr, "  %-11s", title);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* Notes a step, once. */
__attribute__((format(printf, 3, 4))) static void advise(struct report *report, bool as_root,
                                                         const char *format, ...) {
    va_list arguments;

    if (report->count == NEXT_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(report->next[report->count], LINE_SIZE, format, arguments);
    va_end(arguments);
    for (unsigned i = 0; i < report->count; i++)
        if (strcmp(report->next[i], report->next[report->count]) == 0)
            return;
    report->count++;
    report->as_root |= as_root;
}

/* The first line of a file with that beginning, without it. Returns false if there is none. */
static bool read_line(const char *path, const char *beginning, char *text, size_t size) {
    FILE *file = fopen(path, "re");
    char line[LINE_SIZE];
    bool found = false;

    while (file && !found && fgets(line, sizeof line, file))
        found = strncmp(line, beginning, strlen(beginning)) == 0;
    if (file)
        fclose(file);
    if (found)
        snprintf(text, size, "%.*s", (int)strcspn(line + strlen(beginning), "\n"),
                 line + strlen(beginning));
    return found;
}

/* --- running a program ----------------------------------------------------------------------- */

static void become(const char *path, const char *const arguments[], int output, bool as_nobody) {
    static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
                                              NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    dup2(null, STDIN_FILENO);
    dup2(null, STDERR_FILENO);
    dup2(output, STDOUT_FILENO);
    if (!as_nobody || nqptp_privileges_drop(NOBODY, NOBODY, 0) == 0)
        execve(path, (char *const *)arguments, (char *const *)environment);
    _exit(127);
}

/* Runs a program, for a few seconds at most, and takes in the beginning of what it prints. */
static bool run(const char *path, const char *const arguments[], bool as_nobody, char *text,
                size_t size) {
    int channel[2];
    size_t used = 0;

    if (pipe2(channel, O_CLOEXEC) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        become(path, arguments, channel[1], as_nobody);
    close(channel[1]);
    struct pollfd output = {.fd = channel[0], .events = POLLIN};
    uint64_t end_ms = nqptp_clock_now_ns() / MS + PROGRAM_MS, now_ms;
    while (pid > 0 && used < size - 1 && (now_ms = nqptp_clock_now_ns() / MS) < end_ms &&
           poll(&output, 1, (int)(end_ms - now_ms)) == 1) {
        ssize_t more = read(channel[0], text + used, size - 1 - used);
        if (more <= 0)
            break;
        used += (size_t)more;
    }
    text[used] = '\0';
    close(channel[0]);
    if (pid > 0) {
        kill(pid, SIGKILL); /* in case it goes on */
        waitpid(pid, NULL, 0);
    }
    return used > 0;
}

/* --- other daemons, and the ports ------------------------------------------------------------- */

/* Is the word that long option, perhaps shortened as getopt_long(3) allows, with its value or not?
 */
static bool is_option(const char *word, const char *option, size_t least) {
    size_t length = strcspn(word, "=");
    return length >= least && strncmp(word, option, length) == 0;
}

/* The control port in a command line, or 0 if that is no daemon's. */
static unsigned long control_port_of(const char *pid) {
    char path[300], line[4096];
    unsigned long port = NQPTP_CONTROL_PORT;

    snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    size_t length = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[length] = '\0';
    for (const char *word = line; word < line + length; word += strlen(word) + 1) {
        if (is_option(word, "--status", sizeof "--st" - 1))
            return 0;
        if (!is_option(word, "--control-port", sizeof "--c" - 1))
            continue;
        const char *value = strchr(word, '=');
        if (!value)
            value = word + strlen(word); /* it is the next word, or there is none */
        port = value < line + length ? strtoul(value + 1, NULL, 10) : port;
    }
    return length > 0 ? port : 0;
}

static bool in_this_network(const char *pid) {
    char path[300], theirs[64] = "", ours[64] = "";

    snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
    ssize_t length = readlink(path, theirs, sizeof theirs - 1);
    return length < 0 || (readlink("/proc/self/ns/net", ours, sizeof ours - 1) == length &&
                          strcmp(theirs, ours) == 0);
}

/* A process that is called as we are. Returns whether it is a daemon that answers elsewhere. */
static bool check_process(struct report *report, const char *pid) {
    char path[300], name[64], state[32] = "";
    unsigned long port = atoi(pid) == getpid() ? 0 : control_port_of(pid);

    nqptp_process_name(pid, name, sizeof name);
    if (port == 0 || strcmp(name, "nqptp") != 0)
        return false;
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    read_line(path, "State:\t", state, sizeof state);
    bool here = in_this_network(pid), stopped = state[0] == 'T';
    report->daemon |= here;
    say("process", "nqptp runs as pid %s, control port %lu%s%s", pid, port,
        here ? "" : ", in another network namespace", stopped ? ", and is stopped" : "");
    if (here && stopped)
        advise(report, true, "kill -CONT %s", pid);
    else if (here && port != report->expected->control_port)
        advise(report, false, "%s --status --control-port=%lu", program_invocation_name, port);
    else
        return false;
    return true;
}

static bool check_processes(struct report *report) {
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    bool answers = false;

    while (processes && (entry = readdir(processes)))
        if (isdigit((unsigned char)entry->d_name[0]))
            answers |= check_process(report, entry->d_name);
    if (processes)
        closedir(processes);
    return answers;
}

/* How to end a process: its service, if it is one. */
static void advise_end(struct report *report, const struct nqptp_holder *holder) {
    static const char suffix[] = ".service";
    char path[64], group[LINE_SIZE] = "";

    if (holder->pid == 0) {
        report->blind = true;
        if (geteuid() != 0) /* who is root, in a container, has to look elsewhere */
            advise(report, true, "%s --status", program_invocation_name);
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/cgroup", holder->pid);
    read_line(path, "0::/system.slice/", group, sizeof group);
    const char *slash = strrchr(group, '/'); /* ptp4l@eth0.service is in a slice of its own */
    const char *unit = slash ? slash + 1 : group;
    size_t length = strlen(unit);
    if (length >= sizeof suffix && strcmp(unit + length - (sizeof suffix - 1), suffix) == 0)
        advise(report, true, "systemctl disable --now '%s'", unit);
    else
        advise(report, true, "kill %d", holder->pid);
}

/* Is it an address of the control port that keeps somebody else from it? */
static bool find_control_holder(uint16_t port, struct nqptp_address *address,
                                struct nqptp_holder *holder) {
    static const char *const own[] = {"127.0.0.1", "::1"};
    bool found = false;

    for (size_t i = 0; i < sizeof own / sizeof *own && !found; i++) {
        nqptp_address_parse(own[i], strlen(own[i]), address);
        found = nqptp_port_find_holder(port, address, holder);
    }
    return found;
}

/* Returns whether it is free. */
static bool check_port(struct report *report, uint16_t port, bool advice) {
    struct nqptp_holder holder;
    struct nqptp_address own;
    char title[16], text[160];
    bool control = port == report->expected->control_port;

    snprintf(title, sizeof title, "port %u", port);
    if (!(control ? find_control_holder(port, &own, &holder)
                  : nqptp_port_find_holder(port, NULL, &holder))) {
        say(title, "free");
        return true;
    }
    nqptp_holder_describe(&holder, text, sizeof text);
    say(title, "%s%s", text, control ? ", which does not answer as this nqptp does" : "");
    report->rival |= !control && strcmp(holder.name, "nqptp") != 0;
    if (advice)
        advise_end(report, &holder);
    return false;
}

/* The daemon is to be reached by loopback only. Returns whether that is up. */
static bool check_loopback(struct report *report) {
    struct ifaddrs *list;
    bool up = false;

    if (getifaddrs(&list) < 0)
        return true;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next)
        up |= (i->ifa_flags & IFF_LOOPBACK) && (i->ifa_flags & IFF_UP);
    freeifaddrs(list);
    if (up)
        return true;
    say("loopback", "is down, and it is the only way to reach a daemon");
    advise(report, true, "ip link set lo up");
    return false;
}

/* --- this user, and the object ---------------------------------------------------------------- */

static bool has_bind_service(void) {
    char text[64];

    return read_line("/proc/self/status", "CapEff:", text, sizeof text) &&
           (strtoull(text, NULL, 16) >> BIND_SERVICE & 1);
}

static bool check_permission(const struct report *report) {
    const struct nqptp_diagnosis *expected = report->expected;
    uint16_t lowest = expected->event_port < expected->general_port ? expected->event_port
                                                                    : expected->general_port;
    char first[16] = "1024";

    read_line("/proc/sys/net/ipv4/ip_unprivileged_port_start", "", first, sizeof first);
    bool capable = has_bind_service(), open_to_all = strtoul(first, NULL, 10) <= lowest;
    say("permission", "%s: this user %s CAP_NET_BIND_SERVICE, and ports from %s on need none",
        capable || open_to_all ? "yes" : "no", capable ? "has" : "lacks", first);
    return capable || open_to_all;
}

/*
 * Would the daemon take over what belongs to that user? Without a user of its own it is nobody; and
 * started as root it does not stay that.
 */
static bool is_daemons(const struct report *report, uid_t owner) {
    const struct passwd *user = getpwnam(report->expected->user);

    if (!user)
        user = getpwnam("nobody");
    return (geteuid() != 0 && owner == geteuid()) || (user && owner == user->pw_uid);
}

static void check_object(struct report *report) {
    struct nqptp_shm_found found;

    if (nqptp_shm_inspect(NQPTP_INTERFACE_NAME, &found) < 0) {
        say("object", "there is no %s, as it should be without a daemon", NQPTP_INTERFACE_NAME);
        return;
    }
    bool kept = is_daemons(report, found.owner);
    say("object", "%s is left over: of uid %u, mode %04o, layout %u%s", NQPTP_INTERFACE_NAME,
        (unsigned)found.owner, found.mode, found.layout,
        found.leased ? " (held by a daemon)"
        : kept       ? "; the next daemon takes it over"
                     : "");
    if (!kept && !found.leased)
        advise(report, true, "rm /dev/shm%s", NQPTP_INTERFACE_NAME);
}

static bool in_group(gid_t group) {
    gid_t groups[NGROUPS_MAX];
    int count = getgroups(NGROUPS_MAX, groups);

    for (int i = 0; i < count; i++)
        if (groups[i] == group)
            return true;
    return getegid() == group;
}

static bool is_member(const struct group *group, const struct passwd *user) {
    for (char **name = group->gr_mem; *name; name++)
        if (strcmp(*name, user->pw_name) == 0)
            return true;
    return user->pw_gid == group->gr_gid;
}

/* A player of the layouts with a mutex writes to the object, for which it needs the group. */
static void check_group(struct report *report, unsigned layout) {
    const char *name = report->expected->group, *user = report->expected->user;
    const struct group *group = getgrnam(name);

    say("group", "%s %s", name,
        !group ? "does not exist: only the daemon's user could use layouts 4, 8 and 9"
        : in_group(group->gr_gid)
            ? "exists, and this user is in it"
            : "exists, and this user is not in it; layouts 4, 8 and 9 need it");
    if (!group)
        advise(report, true, "groupadd -r %s", name);
    if (!getpwnam(user))
        advise(report, true, "useradd -r -g %s %s", name, user);
    const struct passwd *player = getpwnam(PLAYER); /* until the next such call */
    if (player && layout > 0 && layout < 10 && (!group || !is_member(group, player)))
        advise(report, true, "usermod -aG %s %s", name, PLAYER);
}

/* --- the player, and the service -------------------------------------------------------------- */

static bool find_program(const char *name, char path[PATH_MAX]) {
    const char *directories = getenv("PATH");
    char candidate[PATH_MAX];

    for (const char *at = directories ? directories : ""; *at;) {
        int length = (int)strcspn(at, ":");
        snprintf(candidate, sizeof candidate, "%.*s/%s", length, at, name);
        if (*at == '/' && access(candidate, X_OK) == 0 && realpath(candidate, path))
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

/* Could nobody but root have put it there? Nobody else may write to it or to what it lies in. */
static bool is_trusted(const char *path) {
    char part[PATH_MAX];
    struct stat status;

    snprintf(part, sizeof part, "%s", path);
    while (stat(*part ? part : "/", &status) == 0 && status.st_uid == 0 &&
           (!(status.st_mode & 022) || (S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX)))) {
        char *slash = strrchr(part, '/');
        if (!slash)
            return true;
        *slash = '\0';
    }
    return false;
}

/* Returns the layout that the installed player reads, or 0 if that is not to be told. */
static unsigned check_player(void) {
    char path[PATH_MAX], version[LINE_SIZE];
    const char *const arguments[] = {PLAYER, "-V", NULL};
    unsigned layout = 0;

    if (!find_program(PLAYER, path)) {
        say("player", "no %s in the PATH", PLAYER);
        return 0;
    }
    if (!is_trusted(path) || !run(path, arguments, geteuid() == 0, version, sizeof version)) {
        say("player", "%s; to see what it is, run: %s -V", path, PLAYER);
        return 0;
    }
    version[strcspn(version, "\n")] = '\0';
    for (char *c = version; *c; c++)
        *c = (char)(isprint((unsigned char)*c) ? *c : '?');
    const char *number = strstr(version, "smi");
    if (number && sscanf(number, "smi%u", &layout) == 1)
        say("player", "%s reads layout %u: %s", path, layout, version);
    else
        say("player", "%s %s: %s", path,
            strstr(version, "AirPlay2") ? "does not say which layout it reads"
                                        : "is built without AirPlay 2, so it does not use nqptp",
            version);
    return layout;
}

static bool state_is(const char *state, const char *word) {
    return strstr(state, word) != NULL;
}

/* What starts the daemon here: a service, or somebody. */
static void check_service(struct report *report, bool may_bind) {
    char state[LINE_SIZE] = "";
    const char *const arguments[] = {"systemctl", "show", "nqptp.service", "-p",
                                     "LoadState", "-p",   "ActiveState",   NULL};

    if (access("/run/systemd/system", F_OK) == 0)
        run("/bin/systemctl", arguments, false, state, sizeof state);
    if (state_is(state, "LoadState=masked")) {
        say("service", "nqptp.service is masked");
        advise(report, true, "systemctl unmask nqptp");
        advise(report, true, "systemctl enable --now nqptp");
        return;
    }
    if (!state_is(state, "LoadState=loaded")) {
        say("service", "%s",
            !*state                                  ? "systemd does not run here"
            : state_is(state, "LoadState=not-found") ? "no unit nqptp.service is installed"
                                                     : "systemd cannot load nqptp.service");
        if (*state && !state_is(state, "LoadState=not-found"))
            advise(report, false, "systemctl status nqptp");
        else if (!report->blind)
            advise(report, !may_bind, "%s -v", program_invocation_name);
        return;
    }
    bool failed = state_is(state, "ActiveState=failed");
    bool inactive = state_is(state, "ActiveState=inactive");
    say("service", "nqptp.service %s",
        failed     ? "has failed: its log says why"
        : inactive ? "is not running"
        : state_is(state, "ActiveState=active")
            ? "is running, but does not answer here"
            : "is about to start or stop, perhaps again and again");
    if (!inactive)
        advise(report, true, "journalctl -u nqptp -n 20");
    advise(report, true, inactive ? "systemctl enable --now nqptp" : "systemctl restart nqptp");
}

void nqptp_diagnosis_print(const struct nqptp_diagnosis *expected) {
    struct report report = {.expected = expected};

    nqptp_log(LOG_ERR, "no answer from UDP port %u of this host: nqptp does not run, or not there",
              expected->control_port);
    bool clear = check_processes(&report) || !check_loopback(&report); /* what to do */
    check_port(&report, expected->event_port, !clear);
    check_port(&report, expected->general_port, !clear);
    check_port(&report, expected->control_port, !clear);
    bool may_bind = check_permission(&report);
    if (!clear) {
        if (!report.daemon) /* whose object it is; to look at it would cost it the lease */
            check_object(&report);
        check_group(&report, check_player());
        check_service(&report, may_bind);
    }
    if (report.rival)
        say("beside", "with -i nqptp takes one place only and leaves the rest to others: nqptp(8)");
    if (report.blind && geteuid() == 0)
        say("outside", "who has a port is not to be seen from this container: run "
                       "nqptp --status, or ss -ulpn, on its host");
    if (report.count == 0)
        return;
    fprintf(stderr, "Next%s:\n", report.as_root && geteuid() != 0 ? ", as root" : "");
    for (unsigned i = 0; i < report.count; i++)
        fprintf(stderr, "  %s\n", report.next[i]);
}
