/* SPDX-License-Identifier: MIT */
/*
 * The sockets of PTP: where each of them listens, and how they follow the interfaces and addresses
 * of this host as these come and go. It knows ports and groups, but reads no message.
 *
 * Without a limit there are four, for each port one of IPv4 and one of IPv6, on every address of
 * every interface. With limits (-i) each has its own, bound so that other programs of this host may
 * have the same ports elsewhere: an interface's are bound to it and join the groups of PTP there;
 * an address's are bound to it and get what is sent to it, which no multicast is.
 */
#ifndef NQPTP_ENDPOINTS_H
#define NQPTP_ENDPOINTS_H

#include "nqptp-utilities.h"

#include <net/if.h>

#define NQPTP_LIMITS_MAX 8
#define NQPTP_QUEUE_MAX 64
#define NQPTP_ENDPOINTS_MAX (4 * NQPTP_LIMITS_MAX)
#define NQPTP_PLACE_SIZE 72 /* for an IPv6 address, %, an interface and a word */

/* An interface, an address, or both if the address is link-local. */
struct nqptp_limit {
    char interface[IF_NAMESIZE]; /* empty: any */
    bool has_address;
    struct nqptp_address address;
};

struct nqptp_limits {
    unsigned count; /* 0: there is none */
    struct nqptp_limit list[NQPTP_LIMITS_MAX];
};

struct nqptp_endpoint {
    struct nqptp_limit limit;     /* its address is 0.0.0.0 or :: if there is none */
    bool general;                 /* by the general port, not the event port */
    int fd;                       /* -1: not open, for want of the interface, or of its family */
    uint32_t interface;           /* the index of the one it is bound to, or 0 */
    uint32_t drops;               /* by the kernel, as counted already */
    struct nqptp_clock_pair last; /* The clocks when it was read last. */
    bool there;                   /* what its limit names; kept of the first of each limit */
    int error;                    /* why it could not be opened, 0 or -errno; told once */
};

struct nqptp_endpoints {
    uint16_t ports[2]; /* event and general */
    bool limited;
    unsigned count;
    struct nqptp_endpoint list[NQPTP_ENDPOINTS_MAX];
    struct nqptp_interfaces interfaces;
    unsigned own_count; /* of the addresses that we may send from */
    struct nqptp_address own[NQPTP_ADDRESSES_MAX];
    int epoll; /* which tells of endpoint i as tag + i; -1: none yet */
    uint32_t tag;
    bool resting, guarded;
    bool followed; /* the interfaces were looked at before */
    bool unread;   /* and could not be, the last time */
    struct nqptp_unsent unsent;
    unsigned queued; /* How many replies wait to be sent. */
    struct nqptp_reply queue[NQPTP_QUEUE_MAX];
};

/*
 * Adds what -i names. Neither the interface nor the address has to exist. Returns NULL, or what
 * is wrong with it; one that is there already is left out.
 */
const char *nqptp_limits_add(struct nqptp_limits *limits, const char *text);

/* The limit as it was given, printable if it was. Returns name. */
const char *nqptp_limit_name(const struct nqptp_limit *limit, char name[NQPTP_PLACE_SIZE]);

/* Prepares the endpoints; none is open yet. */
void nqptp_endpoints_init(struct nqptp_endpoints *endpoints, const struct nqptp_limits *limits,
                          uint16_t event_port, uint16_t general_port);

/*
 * Opens all of them; those of an interface that does not exist wait for it, and one family is
 * enough where no address says which. Returns 0, or -errno of the one that *failed.
 */
int nqptp_endpoints_open(struct nqptp_endpoints *endpoints, const struct nqptp_endpoint **failed);

/* Closes those that are open. */
void nqptp_endpoints_close(struct nqptp_endpoints *endpoints);

/* Where the endpoint listens, in words after "UDP port N": "", " on eth0" or " of 10.0.0.1". */
const char *nqptp_endpoint_place(const struct nqptp_endpoint *endpoint,
                                 char place[NQPTP_PLACE_SIZE]);

/* Each limit has endpoints of two ports, and perhaps of two families: is it the first of them? */
bool nqptp_endpoint_is_first(const struct nqptp_endpoint *endpoint);

/*
 * Returns whether a port may have to be bound again: to the kernel an interface that is taken away
 * and comes back is another one. Then CAP_NET_BIND_SERVICE must be kept.
 */
bool nqptp_endpoints_may_reopen(const struct nqptp_endpoints *endpoints);

/* Lets epoll tell when endpoint i can be read, as tag + i. Returns 0 or -errno. */
int nqptp_endpoints_watch(struct nqptp_endpoints *endpoints, int epoll, uint32_t tag);

/* See nqptp_socket_receive(). */
int nqptp_endpoint_receive(struct nqptp_endpoint *endpoint, struct nqptp_batch *batch);

/* While they rest, nobody is woken up for what comes in. */
void nqptp_endpoints_rest(struct nqptp_endpoints *endpoints, bool resting);

/* See nqptp_socket_guard(). */
void nqptp_endpoints_guard(struct nqptp_endpoints *endpoints, bool guarded);

/*
 * Looks at the interfaces and addresses afresh: opens what was missing, closes what has lost its
 * interface, joins the groups where they are not joined yet, and leaves them where they were.
 */
void nqptp_endpoints_follow(struct nqptp_endpoints *endpoints);

/*
 * Returns whether another program had the port of an endpoint when it was to be opened, or the
 * interfaces could not be read. Nothing tells when that ends, so follow again after a while.
 */
bool nqptp_endpoints_must_retry(const struct nqptp_endpoints *endpoints);

/* How many datagrams the kernel dropped since this was asked last. */
uint64_t nqptp_endpoints_drops(struct nqptp_endpoints *endpoints);

/* Queues a reply. A queue that is full is sent first. */
void nqptp_endpoints_queue(struct nqptp_endpoints *endpoints, const struct nqptp_reply *reply);

/* Sends the queued replies, each from where its clock was heard. One whose endpoint is gone is
 * lost. */
void nqptp_endpoints_flush(struct nqptp_endpoints *endpoints);

#endif
