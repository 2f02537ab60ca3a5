/* SPDX-License-Identifier: MIT */
/*
 * The kernel's edge: each function wraps system calls, and turns what they tell into types of ours.
 *
 * There are four parts: the log, the clocks, datagrams, and interfaces. nqptp_socket_receive()
 * reads a batch of datagrams; read_packet() takes sender, receive time and local address of each.
 * The only state is the log: its level and its descriptor.
 *
 * Nothing here decides what is done with a packet, waits, or ends the process.
 */
#include "nqptp-utilities.h"

#include "nqptp-text.h"
#include "nqptp-time.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RECEIVE_BUFFER (1 << 20) /* Bytes. The kernel's default holds 550 messages only. */
#define PAIR_NS 500              /* A pair of clocks that took no longer to read is good enough. */
#define MAC_LENGTH 6
#define LOCALLY_ADMINISTERED (UINT64_C(2) << 56) /* A bit in the first octet of an EUI-64. */

/* --- logging ------------------------------------------------------------------------------- */

/* The only global variables: a process has one log. */
static int log_level = LOG_NOTICE;
static int log_fd = STDERR_FILENO;

/*
 * A terminal that is full can still be called writable, and a write to it would wait for its
 * reader. So a terminal is opened again without waiting, here, because the user that the daemon
 * becomes may not open it. O_NONBLOCK on stderr itself would be set for other programs as well.
 */
void nqptp_log_open(unsigned verbosity) {
    int terminal = -1;

    log_level = LOG_NOTICE + (int)(verbosity < 3 ? verbosity : 3);
    if (isatty(STDERR_FILENO))
        terminal = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    log_fd = terminal < 0 ? STDERR_FILENO : terminal;
}

bool nqptp_log_enabled(int priority) {
    return priority <= log_level;
}

/* Whether stderr is a stream to the journal: systemd tells the device and inode of that stream. */
static bool log_to_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    char own[48];
    struct stat status;

    if (!stream || fstat(STDERR_FILENO, &status) < 0)
        return false;
    snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    return strcmp(stream, own) == 0;
}

/*
 * Writes the line, unless that would wait because the reader of a pipe or terminal has stopped. A
 * pipe that can be written to takes 4096 bytes at once.
 */
static void write_line(const char *line, size_t length) {
    struct pollfd writable = {.fd = log_fd, .events = POLLOUT};

    if (poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT))
        (void)!write(log_fd, line, length);
}

void nqptp_log_error(int priority, int error, const char *format, ...) {
    char buffer[1200];
    struct nqptp_text line = {buffer, sizeof buffer - 1, 0};
    va_list arguments;

    if (!nqptp_log_enabled(priority))
        return;
    if (log_to_journal())
        nqptp_text_add(&line, "<%d>", priority < LOG_DEBUG ? priority : LOG_DEBUG);
    else
        nqptp_text_add(&line, "nqptp: %s",
                       priority <= LOG_ERR       ? "error: "
                       : priority == LOG_WARNING ? "warning: "
                                                 : "");
    va_start(arguments, format);
    nqptp_text_add_arguments(&line, format, arguments);
    va_end(arguments);
    if (error < 0)
        nqptp_text_add(&line, ": %s", strerror(-error));
    buffer[line.used++] = '\n';
    write_line(buffer, line.used);
}

const char *nqptp_dev_shm_trouble(void) {
    static const char directory[] = "/dev/shm";
    struct statvfs system = {0};
    struct stat status;

    if (stat(directory, &status) < 0 ? errno == ENOENT : !S_ISDIR(status.st_mode))
        return "/dev/shm is missing; as root, run: mkdir -p /dev/shm && "
               "mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm";
    if (statvfs(directory, &system) == 0 && (system.f_flag & ST_RDONLY))
        return "/dev/shm is read-only; as root, run: mount -o remount,rw /dev/shm";
    if (access(directory, W_OK | X_OK) < 0)
        return "/dev/shm is not writable for this user; as root, run: chmod 1777 /dev/shm";
    if ((system.f_blocks > 0 && system.f_bavail == 0) ||
        (system.f_files > 0 && system.f_ffree == 0))
        return "/dev/shm is full; to see what is left, run: df /dev/shm; df -i /dev/shm";
    return NULL;
}

/* --- clocks -------------------------------------------------------------------------------- */

static uint64_t timespec_ns(const struct timespec *time) {
    return (uint64_t)time->tv_sec * NQPTP_S + (uint64_t)time->tv_nsec;
}

static uint64_t clock_ns(clockid_t id) {
    struct timespec time;
    clock_gettime(id, &time);
    return timespec_ns(&time);
}

uint64_t nqptp_clock_now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC_RAW);
}

struct nqptp_clock_pair nqptp_clock_pair_read(void) {
    struct nqptp_clock_pair best = {0, 0};
    uint64_t shortest_ns = UINT64_MAX;

    for (int attempt = 0; attempt < 3 && shortest_ns > PAIR_NS; attempt++) {
        uint64_t before_ns = nqptp_clock_now_ns();
        uint64_t realtime_ns = clock_ns(CLOCK_REALTIME);
        uint64_t took_ns = nqptp_clock_now_ns() - before_ns;
        if (took_ns < shortest_ns) {
            shortest_ns = took_ns;
            best = (struct nqptp_clock_pair){before_ns + took_ns / 2, realtime_ns};
        }
    }
    return best;
}

/* Whether CLOCK_REALTIME changed by more than errors of reading and NTP's slewing explain. */
static bool realtime_was_set(struct nqptp_clock_pair now, const struct nqptp_clock_pair *last) {
    int64_t change_ns =
        (int64_t)((now.realtime_ns - now.raw_ns) - (last->realtime_ns - last->raw_ns));
    uint64_t allowed_ns = 200000 + (now.raw_ns - last->raw_ns) / 1000000 * 600;
    uint64_t size_ns = change_ns < 0 ? -(uint64_t)change_ns : (uint64_t)change_ns;

    return last->raw_ns > 0 && size_ns > allowed_ns;
}

uint64_t nqptp_clock_receive_time_ns(const struct timespec *stamp, uint64_t arrival_ns,
                                     struct nqptp_clock_pair now,
                                     const struct nqptp_clock_pair *last) {
    if (!stamp || realtime_was_set(now, last))
        return arrival_ns;
    int64_t age_ns = (int64_t)(now.realtime_ns - timespec_ns(stamp));
    if (age_ns < -5000)
        return arrival_ns;
    return now.raw_ns - (uint64_t)age_ns;
}

/* --- datagrams ----------------------------------------------------------------------------- */

static struct nqptp_address address_of(const struct sockaddr_storage *storage) {
    if (storage->ss_family == AF_INET)
        return nqptp_address_from_ipv4(((const struct sockaddr_in *)storage)->sin_addr);
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)storage;
    return (struct nqptp_address){ipv6->sin6_addr, ipv6->sin6_scope_id};
}

struct sockaddr_storage nqptp_socket_address(const struct nqptp_address *address, uint16_t port) {
    struct sockaddr_storage storage = {0};
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 ipv6 = {
        .sin6_family = AF_INET6,
        .sin6_port = htons(port),
        .sin6_addr = address->ip,
        .sin6_scope_id = address->scope_id,
    };

    memcpy(&ipv4.sin_addr, &address->ip.s6_addr[12], sizeof ipv4.sin_addr);
    if (nqptp_address_is_ipv4(address))
        memcpy(&storage, &ipv4, sizeof ipv4);
    else
        memcpy(&storage, &ipv6, sizeof ipv6);
    return storage;
}

static int set_option(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

/* Sets the options. SO_TIMESTAMPNS gives the kernel's stamps, of received datagrams only. */
static int prepare(int fd, int family, bool loopback) {
    int result = family == AF_INET6 ? set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) : 0;
    if (loopback) /* With route_localnet other hosts could reach it. Before 5.7 it needs root. */
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2);
    if (result < 0 || loopback)
        return result;
    set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1); /* Without it the time of reading counts. */
    set_option(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER); /* The kernel may give less. */
    return family == AF_INET ? set_option(fd, IPPROTO_IP, IP_PKTINFO, 1)
                             : set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

/* Binds to the address and, unless that is NULL, to the interface. */
static int bind_socket(int fd, const struct nqptp_address *address, const char *interface,
                       uint16_t port) {
    struct sockaddr_storage name = nqptp_socket_address(address, port);

    if (interface &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) < 0)
        return -errno;
    return bind(fd, (struct sockaddr *)&name, sizeof name) < 0 ? -errno : 0;
}

int nqptp_socket_open(const struct nqptp_address *address, const char *interface, uint16_t port,
                      enum nqptp_socket_kind kind) {
    int family = nqptp_address_is_ipv4(address) ? AF_INET : AF_INET6;
    bool loopback = kind == NQPTP_SOCKET_LOCAL;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    int result = prepare(fd, family, loopback);
    if (result == 0 && kind == NQPTP_SOCKET_SHARED)
        result = nqptp_socket_share(fd);
    if (result == 0 && !loopback && nqptp_address_is_host(address)) /* It may come later. */
        result = set_option(fd, IPPROTO_IP, IP_FREEBIND, 1);
    if (result == 0)
        result = bind_socket(fd, address, interface, port);
    if (result < 0)
        close(fd);
    return result < 0 ? result : fd;
}

int nqptp_socket_share(int fd) {
    return set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
}

/* Reads the address and interface that a reply is sent from. A group cannot be that address. */
static void read_local(struct cmsghdr *cmsg, struct nqptp_packet *packet) {
    if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(cmsg), sizeof info);
        packet->local = nqptp_address_from_ipv4(info.ipi_spec_dst);
        packet->interface = (uint32_t)info.ipi_ifindex;
    } else if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(cmsg), sizeof info);
        packet->interface = info.ipi6_ifindex;
        if (!IN6_IS_ADDR_MULTICAST(&info.ipi6_addr))
            packet->local.ip = info.ipi6_addr;
    }
}

/* Whether an IPv6 packet came from the mapped address of an IPv4 host. Some kernels accept that. */
static bool is_forged(const struct sockaddr_storage *sender) {
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)sender;

    return sender->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr);
}

/* Fills in a packet from what recvmmsg(2) told of it. Returns its receive time, or NULL. */
static const struct timespec *read_packet(struct mmsghdr *message, struct nqptp_packet *packet,
                                          struct timespec *stamp) {
    struct msghdr *header = &message->msg_hdr;
    const struct timespec *found = NULL;

    *packet = (struct nqptp_packet){
        .data = header->msg_iov->iov_base,
        .length = is_forged(header->msg_name) ? 0 : message->msg_len, /* Dropped as too short. */
        .truncated = header->msg_flags & MSG_TRUNC,
        .source = address_of(header->msg_name),
    };
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            memcpy(stamp, CMSG_DATA(c), sizeof *stamp);
            found = stamp;
        } else {
            read_local(c, packet);
        }
    }
    return (header->msg_flags & MSG_CTRUNC) ? NULL : found;
}

/* Prepares entry i for recvmmsg(2), which overwrites the lengths in it. */
static void batch_renew(struct nqptp_batch *batch, int i) {
    batch->messages[i].msg_hdr = (struct msghdr){
        .msg_name = &batch->senders[i],
        .msg_namelen = sizeof batch->senders[i],
        .msg_iov = &batch->vectors[i],
        .msg_iovlen = 1,
        .msg_control = batch->control[i],
        .msg_controllen = sizeof batch->control[i],
    };
}

void nqptp_batch_init(struct nqptp_batch *batch) {
    for (int i = 0; i < NQPTP_BATCH; i++) {
        batch->vectors[i] = (struct iovec){batch->data[i], sizeof batch->data[i]};
        batch_renew(batch, i);
    }
}

int nqptp_socket_receive(int fd, unsigned max, struct nqptp_clock_pair *last,
                         struct nqptp_batch *batch) {
    struct nqptp_clock_pair unused = {0, 0};
    int count = recvmmsg(fd, batch->messages, max, MSG_DONTWAIT, NULL);
    if (count < 0)
        return errno == EAGAIN ? 0 : -errno;
    last = last ? last : &unused;
    uint64_t arrival_ns = nqptp_clock_now_ns();
    struct nqptp_clock_pair now = nqptp_clock_pair_read();
    for (int i = 0; i < count; i++) {
        struct timespec room;
        const struct timespec *stamp = read_packet(&batch->messages[i], &batch->packets[i], &room);
        batch->packets[i].receive_time_ns =
            nqptp_clock_receive_time_ns(stamp, arrival_ns, now, last);
        batch_renew(batch, i);
    }
    *last = now;
    return count;
}

/* Fills in the control message that says where a datagram is to be sent from. */
static void write_control(struct msghdr *message, int level, int type, const void *info,
                          size_t size) {
    struct cmsghdr *header = message->msg_control;

    /* The lengths are of another type in musl than in glibc. */
    *header = (struct cmsghdr){.cmsg_level = level, .cmsg_type = type};
    header->cmsg_len = (socklen_t)CMSG_LEN(size);
    message->msg_controllen = (socklen_t)CMSG_SPACE(size);
    memcpy(CMSG_DATA(header), info, size);
}

int nqptp_socket_send(int fd, struct nqptp_reply *reply, uint16_t port) {
    struct sockaddr_storage to = nqptp_socket_address(&reply->destination, port);
    struct iovec vector = {reply->data, reply->length};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
    struct msghdr message = {
        .msg_name = &to,
        .msg_namelen = sizeof to,
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control,
    };
    struct in_pktinfo ipv4 = {.ipi_ifindex = (int)reply->interface};
    struct in6_pktinfo ipv6 = {reply->local.ip, reply->interface};

    memcpy(&ipv4.ipi_spec_dst, &reply->local.ip.s6_addr[12], sizeof ipv4.ipi_spec_dst);
    if (to.ss_family == AF_INET)
        write_control(&message, IPPROTO_IP, IP_PKTINFO, &ipv4, sizeof ipv4);
    else
        write_control(&message, IPPROTO_IPV6, IPV6_PKTINFO, &ipv6, sizeof ipv6);
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The filter sees the UDP header and the message behind it: clause 13.3.2. */
int nqptp_socket_guard(int fd, bool guarded) {
    enum { UDP = 8, REFUSE = 12 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, UDP + NQPTP_DELAY_REQ_LENGTH, 0, REFUSE - 2),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, UDP + 1), /* versionPTP */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x0F),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, REFUSE - 5),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, UDP + 4), /* domainNumber */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, REFUSE - 7),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, UDP), /* messageType */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x0F),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NQPTP_SYNC, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NQPTP_FOLLOW_UP, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NQPTP_ANNOUNCE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, 0), /* REFUSE */
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};

    if (!guarded)
        return set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ? -errno : 0;
}

uint32_t nqptp_socket_drops(int fd) {
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t size = sizeof info;

    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size) < 0 ? 0 : info[SK_MEMINFO_DROPS];
}

bool nqptp_sender_is_local(const struct sockaddr_storage *sender) {
    return sender->ss_family == AF_INET ||
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sender)->sin6_addr);
}

/* --- interfaces ---------------------------------------------------------------------------- */

bool nqptp_interfaces_has(const struct nqptp_interfaces *interfaces, uint32_t index) {
    for (unsigned i = 0; i < interfaces->count; i++)
        if (interfaces->indices[i] == index)
            return true;
    return false;
}

int nqptp_interfaces_read(struct nqptp_interfaces *interfaces) {
    struct ifaddrs *list;

    if (getifaddrs(&list) < 0)
        return -errno;
    interfaces->count = interfaces->address_count = 0;
    for (struct ifaddrs *i = list; i; i = i->ifa_next) {
        unsigned index = if_nametoindex(i->ifa_name);
        if (index > 0 && (i->ifa_flags & IFF_MULTICAST) &&
            interfaces->count < NQPTP_INTERFACES_MAX && !nqptp_interfaces_has(interfaces, index))
            interfaces->indices[interfaces->count++] = index;
        if (i->ifa_addr && interfaces->address_count < NQPTP_ADDRESSES_MAX &&
            (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6)) {
            interfaces->owners[interfaces->address_count] = index;
            interfaces->addresses[interfaces->address_count++] =
                address_of((const struct sockaddr_storage *)(const void *)i->ifa_addr);
        }
    }
    freeifaddrs(list);
    return 0;
}

int nqptp_interfaces_watch(void) {
    struct sockaddr_nl groups = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
    };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    int result = fd < 0 || bind(fd, (struct sockaddr *)&groups, sizeof groups) < 0 ? -errno : fd;
    if (result < 0 && fd >= 0)
        close(fd);
    return result;
}

int nqptp_interfaces_drain(int fd) {
    char discarded[4096];

    /* ENOBUFS: events were lost, which does no harm, because the caller reads what there is. */
    while (recv(fd, discarded, sizeof discarded, 0) > 0 || errno == ENOBUFS)
        ;
    return errno == EAGAIN ? 0 : -errno;
}

int nqptp_multicast(int fd, int family, uint32_t interface, int option) {
    static const char *const groups[] = {"224.0.1.129", "ff02::181", "ff0e::181"};
    int result = 0;

    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        struct nqptp_address address;
        nqptp_address_parse(groups[i], strlen(groups[i]), &address);
        struct group_req request = {interface, nqptp_socket_address(&address, 0)};
        if (request.gr_group.ss_family == family &&
            setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, option, &request,
                       sizeof request) < 0 &&
            errno != EADDRINUSE) /* It is a member already. */
            result = -errno;
    }
    return result;
}

/* Returns the EUI-64 of an Ethernet-like interface; 0 if it has no MAC address. */
static uint64_t eui64_of(const struct ifaddrs *interface) {
    const struct sockaddr_ll *link = (const struct sockaddr_ll *)(const void *)interface->ifa_addr;
    uint64_t mac = 0;

    if (!link || link->sll_family != AF_PACKET || link->sll_halen != MAC_LENGTH)
        return 0;
    for (int i = 0; i < MAC_LENGTH; i++)
        mac = mac << 8 | link->sll_addr[i];
    return mac == 0 ? 0 : mac >> 24 << 40 | UINT64_C(0xFFFE) << 24 | (mac & 0xFFFFFF);
}

uint64_t nqptp_clock_identity(void) {
    struct ifaddrs *list;
    uint64_t identity = 0;

    if (getifaddrs(&list) == 0) {
        for (struct ifaddrs *i = list; i && identity == 0; i = i->ifa_next)
            identity = eui64_of(i);
        freeifaddrs(list);
    }
    if (identity != 0)
        return identity;
    if (getrandom(&identity, sizeof identity, GRND_NONBLOCK) < 0)
        identity = nqptp_clock_now_ns() ^ (uint64_t)getpid() << 32;
    return identity | LOCALLY_ADMINISTERED;
}
