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

#define NQPTP_LOG_BYTES (LOG_DEBUG + 1) /* A priority below those of syslog(3). */

/*
 * Opens the log, and sets how much is logged. 0: priority LOG_NOTICE and higher ones. 1: also
 * LOG_INFO. 2: also LOG_DEBUG. 3: also NQPTP_LOG_BYTES.
 */
void nqptp_log_open(unsigned verbosity);

/* Returns whether messages of this priority (syslog(3)) are logged. */
bool nqptp_log_enabled(int priority);

/*
 * Logs one line, which ends with what the error, -errno, means, if it is not 0. Under the journal
 * the line carries its priority.
 */
void nqptp_log_error(int priority, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Logs one line without an error. */
#define nqptp_log(priority, ...) nqptp_log_error(priority, 0, __VA_ARGS__)

/*
 * Returns why the user of this process cannot make files in /dev/shm, and what to do about it; NULL
 * if the user can. Creates nothing.
 */
const char *nqptp_dev_shm_trouble(void);

/* --- clocks -------------------------------------------------------------------------------- */

/* CLOCK_MONOTONIC_RAW in nanoseconds. */
uint64_t nqptp_clock_now_ns(void);

/* Two clocks, read at the same moment. */
struct nqptp_clock_pair {
    uint64_t raw_ns;      /* CLOCK_MONOTONIC_RAW. */
    uint64_t realtime_ns; /* CLOCK_REALTIME. */
};

/* Reads both clocks, to 0.25 us. On a busy machine the best of three attempts may be worse. */
struct nqptp_clock_pair nqptp_clock_pair_read(void);

/*
 * Converts `stamp`, the kernel's receive time by CLOCK_REALTIME, to CLOCK_MONOTONIC_RAW. `now` is
 * the pair that was read when the datagram was taken from its socket; `arrival_ns` is
 * CLOCK_MONOTONIC_RAW just before. `*last` is the pair of the datagrams before; zeroed, there were
 * none.
 *
 * Returns arrival_ns if the stamp is missing (NULL) or in the future, or if CLOCK_REALTIME was set
 * since `*last`, so that the stamp cannot be trusted. A time that is too late makes a sample that
 * looks delayed, and the estimator ignores a few of these. It would believe one that is too early.
 */
uint64_t nqptp_clock_receive_time_ns(const struct timespec *stamp, uint64_t arrival_ns,
                                     struct nqptp_clock_pair now,
                                     const struct nqptp_clock_pair *last);

/* --- datagrams ----------------------------------------------------------------------------- */

/* Returns address and port as the kernel expects them. It takes the size of the whole struct. */
struct sockaddr_storage nqptp_socket_address(const struct nqptp_address *address, uint16_t port);

enum nqptp_socket_kind {
    NQPTP_SOCKET_LOCAL,  /* For packets of this machine only. It has no receive times. */
    NQPTP_SOCKET_ALONE,  /* With receive times. Its address need not exist yet. */
    NQPTP_SOCKET_SHARED, /* As ALONE, and nqptp_socket_share() is called before it is bound. */
};

/*
 * Opens a UDP socket that is bound to an address, and to an interface unless that is NULL. 0.0.0.0
 * and :: are all addresses of their family. Returns the descriptor or -errno:
 * - -EADDRINUSE: the port is in use.
 * - -EAFNOSUPPORT or -EADDRNOTAVAIL: this machine does not have this address family.
 * - -ENODEV: the interface does not exist.
 * - -EPERM: before Linux 5.7 binding to an interface needs CAP_NET_RAW.
 */
int nqptp_socket_open(const struct nqptp_address *address, const char *interface, uint16_t port,
                      enum nqptp_socket_kind kind);

/* Allows other shared sockets to be bound to the same address and port. */
int nqptp_socket_share(int fd);

/*
 * Sets or removes the guard. On a guarded socket the kernel drops all datagrams except Syncs,
 * Follow_Ups and Announces of PTP version 2 and domain 0. It counts what it drops, and needs no
 * memory for it. Returns 0 or -errno.
 */
int nqptp_socket_guard(int fd, bool guarded);

/* Returns how many datagrams the kernel dropped so far: it had no room, or the guard was set. */
uint32_t nqptp_socket_drops(int fd);

#define NQPTP_BATCH 128
#define NQPTP_DATAGRAM_MAX 4352 /* More than any PTP message or command has. */
#define NQPTP_CONTROL_SIZE                                                                         \
    (CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(struct in6_pktinfo)))

/* Datagrams that were read from a socket by one call. */
struct nqptp_batch {
    struct nqptp_packet packets[NQPTP_BATCH];
    struct sockaddr_storage senders[NQPTP_BATCH];
    /* The members below are for recvmmsg(2) only. */
    struct mmsghdr messages[NQPTP_BATCH];
    struct iovec vectors[NQPTP_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[NQPTP_BATCH][NQPTP_CONTROL_SIZE];
    uint8_t data[NQPTP_BATCH][NQPTP_DATAGRAM_MAX];
};

/* Makes the batch ready for use. */
void nqptp_batch_init(struct nqptp_batch *batch);

/*
 * Reads the datagrams that are there, at most `max`, which is NQPTP_BATCH or less. Returns their
 * number, 0 if there is none, or -errno.
 *
 * *last is the pair of clocks when this socket was read before, zeroed at first. Each socket has
 * its own: while packets wait in one socket, another one may be read after CLOCK_REALTIME was set.
 * NULL: the caller needs no receive times.
 */
int nqptp_socket_receive(int fd, unsigned max, struct nqptp_clock_pair *last,
                         struct nqptp_batch *batch);

/* Replies that could not be sent. */
struct nqptp_unsent {
    uint64_t count;
    int error; /* Why the last one could not, -errno; 0 if it was sent. */
};

/* Sends a reply to the port of its destination. Returns 0 or -errno; nothing is sent again. */
int nqptp_socket_send(int fd, struct nqptp_reply *reply, uint16_t port);

/*
 * Returns whether an answer to the sender of a command stays on this machine. A local process can
 * send to ::1 from any IPv6 address, but to 127.0.0.1 from loopback addresses only.
 */
bool nqptp_sender_is_local(const struct sockaddr_storage *sender);

/* --- interfaces ---------------------------------------------------------------------------- */

#define NQPTP_INTERFACES_MAX 64
#define NQPTP_ADDRESSES_MAX 128

/* The interfaces that can do multicast, and all addresses of this machine, up to these numbers. */
struct nqptp_interfaces {
    unsigned count, address_count;
    uint32_t indices[NQPTP_INTERFACES_MAX];
    struct nqptp_address addresses[NQPTP_ADDRESSES_MAX];
    uint32_t owners[NQPTP_ADDRESSES_MAX]; /* The interface of each address. */
};

/* Reads them. Returns 0, or -errno and leaves what was read before. */
int nqptp_interfaces_read(struct nqptp_interfaces *interfaces);

/* Returns whether the interface of this index can do multicast. */
bool nqptp_interfaces_has(const struct nqptp_interfaces *interfaces, uint32_t index);

/* Opens a socket that becomes readable when an interface or an address comes or goes. */
int nqptp_interfaces_watch(void);

/* Reads all from that socket, so that the caller waits for the next change. */
int nqptp_interfaces_drain(int fd);

/*
 * Joins the groups of PTP (annexes D.3 and E.3) on one interface, or leaves them: `option` is
 * MCAST_JOIN_GROUP or MCAST_LEAVE_GROUP. Returns 0 or -errno.
 */
int nqptp_multicast(int fd, int family, uint32_t interface, int option);

/*
 * Returns a clockIdentity for us: the EUI-64 made of the first MAC address (7.5.2.2.2), or a random
 * one with the "local" bit if there is no interface with a MAC address yet.
 */
uint64_t nqptp_clock_identity(void);

#endif
