/* SPDX-License-Identifier: MIT */
/*
 * What /proc tells of UDP ports: see the header.
 *
 * The kernel lists every UDP socket of a network namespace, with its owner and its inode, in a
 * table that each process may read. find_port() finds the socket there. process_holds() tells
 * whether a process has that inode open; root may see that of all processes, another user of the
 * user's own processes only.
 *
 * Nothing is kept between two calls. A process chooses its name itself, so the name is shown, but
 * no decision depends on it.
 */
#include "nqptp-ports.h"

#include "nqptp-text.h"
#include "nqptp-utilities.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether the process has a descriptor open on `link`, for example "socket:[4711]". */
static bool process_holds(const char *pid, const char *link) {
    char path[300], target[64];
    struct dirent *entry;
    bool found = false;

    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *directory = opendir(path);
    while (directory && !found && (entry = readdir(directory))) {
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
        if (length > 0) {
            target[length] = '\0';
            found = strcmp(target, link) == 0;
        }
    }
    if (directory)
        closedir(directory);
    return found;
}

/* Whether `there`, in the form of the kernel's tables, is this address. 0.0.0.0 is not ::. */
static bool is_address(const char *there, const struct nqptp_address *address) {
    uint32_t words[4];
    char here[33];
    bool ipv4 = nqptp_address_is_ipv4(address);

    memcpy(words, &address->ip, sizeof words);
    snprintf(here, sizeof here, "%08X%08X%08X%08X", words[0], words[1], words[2], words[3]);
    return strcmp(there, ipv4 && strlen(there) == 8 ? here + 24 : here) == 0;
}

/*
 * Whether a socket that is bound `there` keeps us from the same port of the address, or of any
 * address if that is NULL.
 */
static bool is_in_the_way(const char *there, const struct nqptp_address *address) {
    bool everywhere = strspn(there, "0") == strlen(there);

    return !address || is_address(there, address) ||
           (everywhere && (strlen(there) > 8 || nqptp_address_is_ipv4(address)));
}

/*
 * Looks for the port in a table like /proc/self/net/udp; the formats are those of proc(5). Sockets
 * of this process do not count.
 */
static bool find_port(const char *table, uint16_t port, const struct nqptp_address *address,
                      bool exactly, unsigned *user, unsigned long *inode) {
    FILE *file = fopen(table, "re");
    char line[512], there[33], link[64];
    unsigned number;
    bool found = false;

    if (!file)
        return false;
    while (!found && fgets(line, sizeof line, file)) {
        if (sscanf(line, " %*d: %32[0-9A-Fa-f]:%x %*s %*x %*s %*s %*x %u %*u %lu", there, &number,
                   user, inode) != 4)
            continue;
        snprintf(link, sizeof link, "socket:[%lu]", *inode);
        found = number == port &&
                (exactly ? is_address(there, address) : is_in_the_way(there, address)) &&
                !process_holds("self", link);
    }
    fclose(file);
    return found;
}

/*
 * Finds the first line with that beginning in a file of a process. Writes the rest of the line, or
 * "" if there is no line with it. Lines are read whole: users name control groups, and could choose
 * what follows where a buffer ends.
 */
static void read_line(int pid, const char *file, const char *beginning, char *text, size_t size) {
    char path[64], *line = NULL;
    size_t length = strlen(beginning), room = 0;

    *text = '\0';
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    FILE *stream = fopen(path, "re");
    while (stream && !*text && getline(&line, &room, stream) > 0)
        if (strncmp(line, beginning, length) == 0)
            snprintf(text, size, "%.*s", (int)strcspn(line + length, "\n"), line + length);
    free(line);
    if (stream)
        fclose(stream);
}

/* Only the system's service manager can put a process into this control group. */
static bool is_service(int pid) {
    char group[128];

    read_line(pid, "cgroup", "0::", group, sizeof group);
    return strcmp(group, "/system.slice/nqptp.service") == 0;
}

bool nqptp_port_taken(uint16_t port, const struct nqptp_address *address) {
    const char *table =
        nqptp_address_is_ipv4(address) ? "/proc/self/net/udp" : "/proc/self/net/udp6";
    unsigned user;
    unsigned long inode;

    return access(table, R_OK) < 0 || find_port(table, port, address, true, &user, &inode);
}

bool nqptp_port_find_holder(uint16_t port, const struct nqptp_address *address,
                            struct nqptp_holder *holder) {
    unsigned long inode;
    char link[64];
    struct dirent *entry;

    *holder = (struct nqptp_holder){.pid = 0};
    if (!find_port("/proc/self/net/udp", port, address, false, &holder->user, &inode) &&
        !find_port("/proc/self/net/udp6", port, address, false, &holder->user, &inode))
        return false;
    snprintf(link, sizeof link, "socket:[%lu]", inode);
    DIR *processes = opendir("/proc");
    while (processes && holder->pid == 0 && (entry = readdir(processes))) {
        if (!isdigit((unsigned char)entry->d_name[0]) || !process_holds(entry->d_name, link))
            continue;
        holder->pid = atoi(entry->d_name);
        holder->service = is_service(holder->pid);
        read_line(holder->pid, "comm", "", holder->name, sizeof holder->name);
    }
    if (processes)
        closedir(processes);
    return true;
}

const char *nqptp_holder_describe(const struct nqptp_holder *holder, char *text, size_t size) {
    char name[NQPTP_HOLDER_NAME_SIZE];

    if (!holder)
        snprintf(text, size, "the process that holds it is not visible from here");
    else if (holder->pid > 0)
        snprintf(text, size, "held by \"%s\" (pid %d%s)",
                 nqptp_text_show(holder->name, NQPTP_SHELL_ACTIVE, name, sizeof name), holder->pid,
                 holder->service ? ", the service nqptp" : "");
    else
        snprintf(text, size, "held by a process of uid %u%s", holder->user,
                 geteuid() == 0 ? " that is not visible from here" : "; only root can see which");
    return text;
}

static uint64_t checksum_errors_in(const char *path) {
    FILE *file = fopen(path, "re");
    uint64_t count, total = 0;
    char line[512];

    while (file && fgets(line, sizeof line, file)) /* For IPv4 it is the seventh number. */
        if (sscanf(line, "Udp: %*u %*u %*u %*u %*u %*u %" SCNu64, &count) == 1 ||
            sscanf(line, "Udp6InCsumErrors %" SCNu64, &count) == 1)
            total += count;
    if (file)
        fclose(file);
    return total;
}

uint64_t nqptp_checksum_errors(void) {
    return checksum_errors_in("/proc/self/net/snmp") + checksum_errors_in("/proc/self/net/snmp6");
}
