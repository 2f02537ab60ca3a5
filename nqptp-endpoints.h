/* SPDX-License-Identifier: MIT */
/*
 * The sockets of PTP: where each of them listens, and how they follow the interfaces and addresses
 * of this machine as these come and go. It knows ports and groups, but reads no message.
 *
 * Without a limit there are four sockets on all addresses: for each port one of IPv4 and one of
 * IPv6. With limits (-i) each limit has its own, so that other programs of this machine may have
 * the same ports elsewhere. The sockets of an interface are bound to it and join the groups of PTP
 * there. The sockets of an address are bound to it and get no multicast.
 */
#ifndef NQPTP_ENDPOINTS_H
#define NQPTP_ENDPOINTS_H

#include "nqptp-utilities.h"

#include <net/if.h>

#define NQPTP_LIMITS_MAX 8
#define NQPTP_QUEUE_MAX 64
#define NQPTP_ENDPOINTS_MAX (4 * NQPTP_LIMITS_MAX)
#define NQPTP_LIMIT_SIZE (INET6_ADDRSTRLEN + IF_NAMESIZE) /* An address, %, an interface. */
#define NQPTP_PLACE_SIZE (NQPTP_LIMIT_SIZE + 4)           /* A limit and a word. */

/* An interface, an address, or both if the address is link-local. */
struct nqptp_limit {
    char name[NQPTP_LIMIT_SIZE]; /* As it was given to -i. Empty: there is no limit. */
    char interface[IF_NAMESIZE]; /* Empty: any interface. */
    bool has_address;
    struct nqptp_address address;
};

struct nqptp_limits {
    unsigned count; /* 0: there is no limit. */
    struct nqptp_limit list[NQPTP_LIMITS_MAX];
};

struct nqptp_endpoint {
    struct nqptp_limit limit;     /* Its address is 0.0.0.0 or :: if none is given. */
    bool general;                 /* It has the general port, not the event port. */
    int fd;                       /* -1: not open, because there is no interface or family. */
    uint32_t interface;           /* The index of the interface that it is bound to, or 0. */
    uint32_t drops;               /* The packets dropped by the kernel that are counted already. */
    struct nqptp_clock_pair last; /* The clocks when it was read last. */
    bool there; /* This machine has what the limit names; only of its first endpoint. */
    int error; /* Why it could not be opened, -errno; 0 if there is nothing to open. Logged once. */
};

struct nqptp_endpoints {
    uint16_t ports[2]; /* The event port and the general port. */
    bool limited;
    unsigned count;
    struct nqptp_endpoint list[NQPTP_ENDPOINTS_MAX];
    struct nqptp_interfaces interfaces;
    unsigned own_count; /* The number of addresses that we may send from. */
    struct nqptp_address own[NQPTP_ADDRESSES_MAX];
    int epoll;     /* It reports endpoint i, by the number i, when it can be read. */
    bool guarded;  /* See nqptp_socket_guard(). */
    bool followed; /* The interfaces were read before. */
    bool unread;   /* The last time they could not be read. */
    struct nqptp_unsent unsent;
    unsigned queued; /* How many replies wait to be sent. */
    struct nqptp_reply queue[NQPTP_QUEUE_MAX];
};

/*
 * Adds what -i names, unless it was added before. Neither the interface nor the address has to
 * exist. Returns NULL, or what is wrong with the text.
 */
const char *nqptp_limits_add(struct nqptp_limits *limits, const char *text);

/* Prepares the endpoints; none is open yet. */
void nqptp_endpoints_init(struct nqptp_endpoints *endpoints, const struct nqptp_limits *limits,
                          uint16_t event_port, uint16_t general_port);

/*
 * Opens all of them, and the epoll that reports them. Those of an interface that does not exist are
 * opened when it comes. Without an address one family is enough. Returns 0, or -errno of the
 * endpoint *failed.
 */
int nqptp_endpoints_open(struct nqptp_endpoints *endpoints, const struct nqptp_endpoint **failed);

/* Closes those that are open, but not the epoll. */
void nqptp_endpoints_close(struct nqptp_endpoints *endpoints);

/* Writes where the endpoint listens, to follow "UDP port N": "", " on eth0" or " of 10.0.0.1". */
const char *nqptp_endpoint_place(const struct nqptp_endpoint *endpoint,
                                 char place[NQPTP_PLACE_SIZE]);

/* Whether it is the first endpoint of its limit, which has two ports and perhaps two families. */
bool nqptp_endpoint_is_first(const struct nqptp_endpoint *endpoint);

/*
 * Whether a port may have to be bound again, because an interface that is removed and comes back is
 * another one for the kernel. Then CAP_NET_BIND_SERVICE must be kept.
 */
bool nqptp_endpoints_may_reopen(const struct nqptp_endpoints *endpoints);

/* See nqptp_socket_guard(). */
void nqptp_endpoints_guard(struct nqptp_endpoints *endpoints, bool guarded);

/*
 * Reads the interfaces and addresses afresh: opens endpoints whose interface came, closes those
 * whose interface is gone, and joins the groups on new interfaces.
 */
void nqptp_endpoints_follow(struct nqptp_endpoints *endpoints);

/*
 * Whether an endpoint whose interface exists could not be opened, for example because another
 * program has its port, or the interfaces could not be read. The kernel does not tell when that
 * ends, so call nqptp_endpoints_follow() again after a while.
 */
bool nqptp_endpoints_must_retry(const struct nqptp_endpoints *endpoints);

/* Returns how many datagrams the kernel dropped since the last call. */
uint64_t nqptp_endpoints_drops(struct nqptp_endpoints *endpoints);

/* Queues a reply. A queue that is full is sent first. */
void nqptp_endpoints_queue(struct nqptp_endpoints *endpoints, const struct nqptp_reply *reply);

/*
 * Sends the queued replies, each from the address and by the interface that its clock was heard at.
 * Drops those that no endpoint can send.
 */
void nqptp_endpoints_flush(struct nqptp_endpoints *endpoints);

#endif
