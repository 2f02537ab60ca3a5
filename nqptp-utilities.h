/* SPDX-License-Identifier: MIT */
/*
 * The kernel's edge: logging, the clocks, UDP sockets with receive times, and interfaces. It knows
 * addresses and datagrams, but no PTP and no shared memory.
 *
 * Functions that can fail return 0, a count or a descriptor, or else -errno.
 */
#ifndef NQPTP_UTILITIES_H
#define NQPTP_UTILITIES_H

#include "nqptp-message.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <syslog.h>
#include <time.h>

/* --- logging, on stderr -------------------------------------------------------------------- */

#define NQPTP_LOG_BYTES (LOG_DEBUG + 1) /* a priority below those of syslog(3) */

/*
 * Sets how much is logged: 0 LOG_NOTICE and what is more important, 1 also LOG_INFO, 2 also
 * LOG_DEBUG, 3 also NQPTP_LOG_BYTES.
 */
void nqptp_log_open(unsigned verbosity);

/* Would a message of this priority (syslog(3)) be seen? */
bool nqptp_log_enabled(int priority);

/* Logs one line. Under the journal the line carries its priority. */
void nqptp_log(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Writes text that another process chose as printable text between double quotes. Other characters,
 * and those that mean something to a shell even there, become '?'. Cuts it to what `size`, at least
 * 3, can hold. Returns out.
 */
const char *nqptp_quote(const char *text, char *out, size_t size);

/*
 * Returns what keeps this process's user from making files in /dev/shm, with the next step, or NULL
 * if nothing does. Creates nothing.
 */
const char *nqptp_dev_shm_trouble(void);

/* --- clocks -------------------------------------------------------------------------------- */

/* CLOCK_MONOTONIC_RAW in nanoseconds. */
uint64_t nqptp_clock_now_ns(void);

/* Two clocks read at the same moment: to 0.25 us, or half of the shortest of three attempts. */
struct nqptp_clock_pair {
    uint64_t raw_ns;      /* CLOCK_MONOTONIC_RAW */
    uint64_t realtime_ns; /* CLOCK_REALTIME */
};

struct nqptp_clock_pair nqptp_clock_pair_read(void);

/*
 * Converts the kernel's receive time, CLOCK_REALTIME, to CLOCK_MONOTONIC_RAW by the pair `now` that
 * was read when the datagram was taken from its socket. `arrival_ns` (CLOCK_MONOTONIC_RAW, read
 * just before) stands in for a receive time that is missing (NULL), in the future, or not to be
 * trusted because CLOCK_REALTIME was set since `*last`, the pair used before; zeroed, that says
 * there was none. A time that is too late only delays a sample, which the estimator forgives, if
 * there are not many of them; one that is too early it would believe.
 */
uint64_t nqptp_clock_receive_time_ns(const struct timespec *stamp, uint64_t arrival_ns,
                                     struct nqptp_clock_pair now,
                                     const struct nqptp_clock_pair *last);

/* --- datagrams ----------------------------------------------------------------------------- */

/* Writes address and port as the kernel wants them. Returns how long that is. */
socklen_t nqptp_socket_address(const struct nqptp_address *address, uint16_t port,
                               struct sockaddr_storage *storage);

/*
 * Opens a UDP socket bound to a loopback address and the port. -EADDRINUSE means what it says;
 * -EAFNOSUPPORT and -EADDRNOTAVAIL mean that this family is not to be had here.
 */
int nqptp_socket_open_local(const struct nqptp_address *address, uint16_t port);

/*
 * The same with receive times and multicast in mind, bound to an address, 0.0.0.0 and :: being
 * every one of their family, and to an interface, unless that is NULL. The address need not exist.
 * IPv6 ones are V6ONLY. shared: see below. -ENODEV: the interface does not exist; -EPERM: binding
 * to one takes CAP_NET_RAW, as it did before Linux 5.7.
 */
int nqptp_socket_open_at(const struct nqptp_address *address, const char *interface, uint16_t port,
                         bool shared);

/* Lets other shared sockets be bound where this one is. */
int nqptp_socket_share(int fd);

/*
 * While guarded, a socket is given no datagram but those that say to be PTP version 2 of domain 0,
 * and a Sync, a Follow_Up or an Announce; the kernel drops and counts the rest, before it takes
 * any room. Returns 0 or -errno.
 */
int nqptp_socket_guard(int fd, bool guarded);

/* Datagrams that the kernel dropped so far, for want of room or by the guard. */
uint32_t nqptp_socket_drops(int fd);

#define NQPTP_BATCH 128
#define NQPTP_DATAGRAM_MAX 4352 /* above any PTP message and any command */
#define NQPTP_CONTROL_SIZE                                                                         \
    (CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(struct in6_pktinfo)))

/* Datagrams taken from a socket in one go, and the room they are taken into. */
struct nqptp_batch {
    struct nqptp_packet packets[NQPTP_BATCH];
    struct sockaddr_storage senders[NQPTP_BATCH];
    /* What follows is the kernel's, and none of the reader's business. */
    struct mmsghdr messages[NQPTP_BATCH];
    struct iovec vectors[NQPTP_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[NQPTP_BATCH][NQPTP_CONTROL_SIZE];
    uint8_t data[NQPTP_BATCH][NQPTP_DATAGRAM_MAX];
};

/* Makes the batch ready for use. */
void nqptp_batch_init(struct nqptp_batch *batch);

/*
 * Takes what is there, at most NQPTP_BATCH datagrams. Returns their number, 0 if there is none, or
 * -errno.
 * *last is the pair of clocks when this socket was read before, zeroed at first: packets that wait
 * in one socket while another one is read must not miss that CLOCK_REALTIME was set. NULL says that
 * receive times are not needed.
 */
int nqptp_socket_receive(int fd, struct nqptp_clock_pair *last, struct nqptp_batch *batch);

/* Replies that could not be sent. */
struct nqptp_unsent {
    uint64_t count;
    int error; /* Why the last one could not, -errno; 0 if it was sent. */
};

/* Sends a reply to the port of its destination. What the network refuses is lost, as UDP is. */
int nqptp_socket_send(int fd, const struct nqptp_reply *reply, uint16_t port);

/*
 * Returns whether the sender of a command is on this host: a local process may send to ::1 from any
 * IPv6 address that it likes, but to 127.0.0.1 from loopback addresses only.
 */
bool nqptp_sender_is_local(const struct sockaddr_storage *sender);

/* Sends text to the sender of a command. */
void nqptp_sender_answer(int fd, const struct sockaddr_storage *sender, const char *text,
                         size_t length);

/* --- interfaces ---------------------------------------------------------------------------- */

#define NQPTP_INTERFACES_MAX 64
#define NQPTP_ADDRESSES_MAX 128

/* The interfaces that can do multicast, and all addresses of this host; more are left out. */
struct nqptp_interfaces {
    unsigned count, address_count;
    uint32_t indices[NQPTP_INTERFACES_MAX];
    struct nqptp_address addresses[NQPTP_ADDRESSES_MAX];
    uint32_t owners[NQPTP_ADDRESSES_MAX]; /* the interface that each of them belongs to */
};

int nqptp_interfaces_read(struct nqptp_interfaces *interfaces);

/* A socket that becomes readable when an interface or address comes or goes; drain it and look. */
int nqptp_interfaces_watch(void);
int nqptp_interfaces_drain(int fd);

/* Joins or leaves the groups of PTP (annexes D.3 and E.3) on one interface. */
int nqptp_multicast(int fd, int family, uint32_t interface, bool join);

/*
 * A clockIdentity for us: the EUI-64 made of the first interface's MAC address (7.5.2.2.2), or
 * a random one with the "local" bit if there is no interface yet.
 */
uint64_t nqptp_clock_identity(void);

#endif
