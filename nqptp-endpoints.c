/* SPDX-License-Identifier: MIT */
/*
 * The sockets of PTP: see the header.
 *
 * nqptp_endpoints_init() makes a table with a row for each socket that there may be. A row is
 * closed (fd -1) while its interface does not exist, and open otherwise. nqptp_endpoints_follow()
 * is called when interfaces or addresses change: it reads all of them, opens and closes rows, joins
 * groups, and tells which addresses are our own. Replies wait in a queue until the caller flushes
 * it.
 *
 * This module reads no message, decides on no reply, and never waits.
 */
#include "nqptp-endpoints.h"

#include "nqptp-ports.h"
#include "nqptp-text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LOOPBACK 1 /* Interface lo always has this index. */

/* --- what -i names --------------------------------------------------------------------------- */

/* Whether the kernel accepts the name for an interface: its rule is dev_valid_name(). */
static bool is_interface_name(const char *text) {
    size_t length = strlen(text);

    return length > 0 && length < IF_NAMESIZE && strcspn(text, "/: \t\n\v\f\r") == length &&
           strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

static const char *read_address(const char *text, struct nqptp_limit *limit) {
    const char *percent = strchr(text, '%');
    char address[INET6_ADDRSTRLEN];

    if (nqptp_address_parse(text, strlen(text), &limit->address) < 0 ||
        !nqptp_address_is_host(&limit->address))
        return "-i takes an interface or an address of this machine";
    if (!percent != !nqptp_address_is_link_local(&limit->address))
        return "-i takes a link-local address, and no other, with its interface, as fe80::1%eth0";
    if (percent && !is_interface_name(percent + 1))
        return "-i: no interface can have that name";
    limit->has_address = true;
    limit->address.scope_id = 0; /* The interface may get another index later. */
    snprintf(limit->interface, sizeof limit->interface, "%s", percent ? percent + 1 : "");
    snprintf(limit->name, sizeof limit->name, "%s%s",
             nqptp_address_format(&limit->address, address), percent ? percent : "");
    return NULL;
}

static const char *read_limit(const char *text, struct nqptp_limit *limit) {
    *limit = (struct nqptp_limit){.has_address = false};
    if (strchr(text, ':') || (strchr(text, '.') && text[strspn(text, ".0123456789")] == '\0'))
        return read_address(text, limit);
    if (!is_interface_name(text))
        return "-i takes an interface or an address of this machine";
    snprintf(limit->interface, sizeof limit->interface, "%s", text);
    snprintf(limit->name, sizeof limit->name, "%s", text);
    return NULL;
}

const char *nqptp_limits_add(struct nqptp_limits *limits, const char *text) {
    struct nqptp_limit limit;
    const char *complaint = read_limit(text, &limit);

    if (complaint)
        return complaint;
    for (unsigned i = 0; i < limits->count; i++)
        if (strcmp(limits->list[i].name, limit.name) == 0)
            return NULL;
    if (limits->count == NQPTP_LIMITS_MAX)
        return "-i may be given " NQPTP_TEXT_OF(NQPTP_LIMITS_MAX) " times";
    limits->list[limits->count++] = limit;
    return NULL;
}

/* --- the table ------------------------------------------------------------------------------- */

static void add_pair(struct nqptp_endpoints *endpoints, const struct nqptp_limit *limit,
                     const char *address) {
    for (int general = 0; general <= 1; general++) {
        struct nqptp_endpoint *endpoint = &endpoints->list[endpoints->count++];
        *endpoint = (struct nqptp_endpoint){.limit = *limit, .general = general, .fd = -1};
        if (!limit->has_address)
            nqptp_address_parse(address, strlen(address), &endpoint->limit.address);
    }
}

void nqptp_endpoints_init(struct nqptp_endpoints *endpoints, const struct nqptp_limits *limits,
                          uint16_t event_port, uint16_t general_port) {
    const struct nqptp_limits everything = {.count = 1};

    *endpoints = (struct nqptp_endpoints){
        .ports = {event_port, general_port},
        .limited = limits->count > 0,
        .epoll = -1,
    };
    if (!endpoints->limited)
        limits = &everything;
    for (unsigned i = 0; i < limits->count; i++) {
        add_pair(endpoints, &limits->list[i], "0.0.0.0");
        if (!limits->list[i].has_address)
            add_pair(endpoints, &limits->list[i], "::");
    }
}

static int family_of(const struct nqptp_endpoint *endpoint) {
    return nqptp_address_is_ipv4(&endpoint->limit.address) ? AF_INET : AF_INET6;
}

const char *nqptp_endpoint_place(const struct nqptp_endpoint *endpoint,
                                 char place[NQPTP_PLACE_SIZE]) {
    const char *word = endpoint->limit.has_address ? " of " : " on ";

    snprintf(place, NQPTP_PLACE_SIZE, "%s%s", *endpoint->limit.name ? word : "",
             endpoint->limit.name);
    return place;
}

bool nqptp_endpoints_may_reopen(const struct nqptp_endpoints *endpoints) {
    for (unsigned i = 0; i < endpoints->count; i++)
        if (*endpoints->list[i].limit.interface)
            return true;
    return false;
}

/* Whether the endpoint gets packets to this address of ours that come by this interface. */
static bool serves(const struct nqptp_endpoint *endpoint, const struct nqptp_address *local,
                   uint32_t interface) {
    const struct nqptp_limit *limit = &endpoint->limit;

    return (!*limit->interface || endpoint->interface == interface) &&
           (!limit->has_address || nqptp_address_equal(&limit->address, local));
}

bool nqptp_endpoint_is_first(const struct nqptp_endpoint *endpoint) {
    return !endpoint->general && (endpoint->limit.has_address || family_of(endpoint) == AF_INET);
}

/* --- opening and closing --------------------------------------------------------------------- */

/*
 * Another program may have the port on another address or interface. The kernel refuses a socket of
 * an address beside one that is bound to an interface, unless both share the port, as ptp4l does.
 * So the port is shared, but only if no other program has the same place. Each packet goes to the
 * most specific socket: one of an address, then one of an interface, then one of all.
 */
static int bind_limited(const struct nqptp_address *address, const char *interface, uint16_t port) {
    int fd = nqptp_socket_open(address, interface, port, NQPTP_SOCKET_ALONE);

    if (fd == -EADDRINUSE && !nqptp_port_taken(port, address))
        fd = nqptp_socket_open(address, interface, port, NQPTP_SOCKET_SHARED);
    if (fd >= 0)
        nqptp_socket_share(fd);
    return fd;
}

static void close_endpoint(struct nqptp_endpoint *endpoint) {
    close(endpoint->fd);
    endpoint->fd = -1;
    endpoint->interface = 0;
}

/* Opens endpoint i. Returns 0 or -errno. -ENODEV: its interface does not exist. */
static int open_endpoint(struct nqptp_endpoints *endpoints, unsigned i) {
    struct nqptp_endpoint *endpoint = &endpoints->list[i];
    const struct nqptp_limit *limit = &endpoint->limit;
    struct nqptp_address address = limit->address;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    uint32_t interface = *limit->interface ? if_nametoindex(limit->interface) : 0;

    if (*limit->interface && interface == 0)
        return -errno;
    address.scope_id = limit->has_address ? interface : 0; /* A link-local one needs it. */
    uint16_t port = endpoints->ports[endpoint->general];
    const char *device = interface > 0 && !limit->has_address ? limit->interface : NULL;
    int fd = endpoints->limited ? bind_limited(&address, device, port)
                                : nqptp_socket_open(&address, NULL, port, NQPTP_SOCKET_ALONE);
    if (fd < 0)
        return fd;
    endpoint->fd = fd;
    endpoint->interface = interface;
    endpoint->drops = 0;
    endpoint->last = (struct nqptp_clock_pair){0};
    if (endpoints->guarded)
        nqptp_socket_guard(fd, true);
    int result = epoll_ctl(endpoints->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
    if (result < 0)
        close_endpoint(endpoint);
    return result;
}

int nqptp_endpoints_open(struct nqptp_endpoints *endpoints, const struct nqptp_endpoint **failed) {
    *failed = endpoints->list;
    if (endpoints->epoll < 0 && (endpoints->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return -errno;
    for (unsigned i = 0; i < endpoints->count; i++) {
        *failed = &endpoints->list[i];
        int result = open_endpoint(endpoints, i);
        bool ipv4 = family_of(*failed) == AF_INET;
        bool other_family = !(*failed)->limit.has_address && (ipv4 || (*failed)[-2].fd >= 0);
        bool absent = result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL;
        if (result < 0 && result != -ENODEV && !(absent && other_family))
            return result;
    }
    return 0;
}

void nqptp_endpoints_close(struct nqptp_endpoints *endpoints) {
    for (unsigned i = 0; i < endpoints->count; i++)
        if (endpoints->list[i].fd >= 0)
            close_endpoint(&endpoints->list[i]);
}

/* --- coming and going ------------------------------------------------------------------------ */

/*
 * Joins the groups on an interface (MCAST_JOIN_GROUP), or leaves them (MCAST_LEAVE_GROUP). Returns
 * 0, or -errno of the last socket that could not.
 */
static int set_membership(const struct nqptp_endpoints *endpoints, uint32_t interface, int option) {
    int result = 0;

    for (unsigned i = 0; i < endpoints->count; i++) {
        const struct nqptp_endpoint *endpoint = &endpoints->list[i];
        bool elsewhere = endpoint->interface > 0 && endpoint->interface != interface;
        if (endpoint->fd < 0 || endpoint->limit.has_address || elsewhere)
            continue;
        int failure = nqptp_multicast(endpoint->fd, family_of(endpoint), interface, option);
        result = failure < 0 ? failure : result;
    }
    return result;
}

/*
 * Joins the groups on all interfaces. Leaves them on those that are gone, because the kernel limits
 * the memberships of a socket.
 */
static void follow_groups(const struct nqptp_endpoints *endpoints,
                          const struct nqptp_interfaces *before) {
    const struct nqptp_interfaces *now = &endpoints->interfaces;

    for (unsigned i = 0; i < before->count; i++)
        if (!nqptp_interfaces_has(now, before->indices[i]))
            set_membership(endpoints, before->indices[i], MCAST_LEAVE_GROUP);
    for (unsigned i = 0; i < now->count; i++) {
        int result = set_membership(endpoints, now->indices[i], MCAST_JOIN_GROUP);
        if (result < 0 && result != -ENODEV && !nqptp_interfaces_has(before, now->indices[i]))
            nqptp_log_error(LOG_INFO, result, "no PTP multicast on interface %" PRIu32,
                            now->indices[i]);
    }
}

/* Opens the socket again if its interface was replaced: the old one gets no packet any more. */
static void follow_interface(struct nqptp_endpoints *endpoints, unsigned i) {
    struct nqptp_endpoint *endpoint = &endpoints->list[i];

    if (endpoint->fd >= 0 && if_nametoindex(endpoint->limit.interface) != endpoint->interface)
        close_endpoint(endpoint);
    int result = endpoint->fd < 0 ? open_endpoint(endpoints, i) : 0;
    if (result == -ENODEV || result == -EAFNOSUPPORT)
        result = 0; /* There is nothing to open. */
    if (result < 0 && result != endpoint->error) {
        char place[NQPTP_PLACE_SIZE];
        nqptp_log_error(LOG_WARNING, result, "cannot open UDP port %u%s",
                        endpoints->ports[endpoint->general], nqptp_endpoint_place(endpoint, place));
    }
    endpoint->error = result;
}

/* Whether it is in 127.0.0.0/8. All of these work, but the kernel lists only those assigned. */
static bool is_loopback(const struct nqptp_address *address) {
    return nqptp_address_is_ipv4(address) && address->ip.s6_addr[12] == IN_LOOPBACKNET;
}

/* Whether this machine has what the -i of the endpoint names. */
static bool is_there(const struct nqptp_endpoints *endpoints,
                     const struct nqptp_endpoint *endpoint) {
    const struct nqptp_interfaces *now = &endpoints->interfaces;

    if (!endpoint->limit.has_address)
        return if_nametoindex(endpoint->limit.interface) > 0;
    if (is_loopback(&endpoint->limit.address))
        return true;
    for (unsigned i = 0; i < now->address_count; i++)
        if (serves(endpoint, &now->addresses[i], now->owners[i]))
            return true;
    return false;
}

/*
 * Logs whether what -i names is there. At the start its absence is logged for all users, because it
 * may be a typing error; later only with -v.
 */
static void tell_presence(const struct nqptp_endpoints *endpoints,
                          struct nqptp_endpoint *endpoint) {
    const char *name = endpoint->limit.name;
    bool there = is_there(endpoints, endpoint);

    if (!endpoints->followed && !there)
        nqptp_log(LOG_NOTICE, "%s is not there yet; nqptp listens there as soon as it is", name);
    else if (endpoints->followed && there != endpoint->there)
        nqptp_log(LOG_INFO, "%s is %s", name, there ? "there" : "gone");
    endpoint->there = there;
}

/* Finds our own addresses: those of this machine that an endpoint serves. */
static void find_own(struct nqptp_endpoints *endpoints) {
    const struct nqptp_interfaces *now = &endpoints->interfaces;

    endpoints->own_count = 0;
    for (unsigned a = 0; a < now->address_count; a++) {
        unsigned i = 0;
        while (i < endpoints->count &&
               !serves(&endpoints->list[i], &now->addresses[a], now->owners[a]))
            i++;
        if (i < endpoints->count)
            endpoints->own[endpoints->own_count++] = now->addresses[a];
    }
}

void nqptp_endpoints_follow(struct nqptp_endpoints *endpoints) {
    struct nqptp_interfaces before = endpoints->interfaces;
    struct nqptp_interfaces *now = &endpoints->interfaces;
    int result = nqptp_interfaces_read(now);

    if (result < 0 && !endpoints->unread)
        nqptp_log_error(LOG_WARNING, result, "cannot read the list of interfaces");
    if ((endpoints->unread = result < 0))
        return;
    for (unsigned i = 0; i < endpoints->count; i++)
        if (*endpoints->list[i].limit.interface)
            follow_interface(endpoints, i);
    for (unsigned i = 0; endpoints->limited && i < endpoints->count; i++)
        if (nqptp_endpoint_is_first(&endpoints->list[i]))
            tell_presence(endpoints, &endpoints->list[i]);
    endpoints->followed = true;
    follow_groups(endpoints, &before);
    find_own(endpoints);
}

bool nqptp_endpoints_must_retry(const struct nqptp_endpoints *endpoints) {
    for (unsigned i = 0; i < endpoints->count; i++)
        if (endpoints->list[i].error < 0)
            return true;
    return endpoints->unread;
}

/* --- while they are open --------------------------------------------------------------------- */

void nqptp_endpoints_guard(struct nqptp_endpoints *endpoints, bool guarded) {
    if (endpoints->guarded == guarded)
        return;
    endpoints->guarded = guarded;
    for (unsigned i = 0; i < endpoints->count; i++)
        if (endpoints->list[i].fd >= 0)
            nqptp_socket_guard(endpoints->list[i].fd, guarded);
}

uint64_t nqptp_endpoints_drops(struct nqptp_endpoints *endpoints) {
    uint64_t sum = 0;

    for (unsigned i = 0; i < endpoints->count; i++) {
        struct nqptp_endpoint *endpoint = &endpoints->list[i];
        uint32_t drops = endpoint->fd < 0 ? 0 : nqptp_socket_drops(endpoint->fd);
        sum += (uint32_t)(drops - endpoint->drops);
        endpoint->drops = drops;
    }
    return sum;
}

/*
 * Returns the interface to send the reply by. A sender on this machine may have its address on
 * another interface than the one that its packets came in by. A reply by that interface would leave
 * this machine.
 */
static uint32_t way_to(const struct nqptp_endpoints *endpoints,
                       const struct nqptp_endpoint *endpoint, const struct nqptp_reply *reply) {
    const struct nqptp_interfaces *interfaces = &endpoints->interfaces;

    for (unsigned i = 0; endpoints->limited && i < interfaces->address_count; i++)
        if (nqptp_address_equal(&interfaces->addresses[i], &reply->destination) &&
            interfaces->owners[i] != reply->interface)
            return endpoint->interface > 0 && family_of(endpoint) == AF_INET ? LOOPBACK : 0;
    return reply->interface;
}

/* Whether the endpoint can send the reply. Without a local address, each of its family can. */
static bool may_send(const struct nqptp_endpoint *endpoint, const struct nqptp_reply *reply) {
    bool ipv4 = nqptp_address_is_ipv4(&reply->destination);

    if (endpoint->fd < 0 || endpoint->general != reply->general ||
        (family_of(endpoint) == AF_INET) != ipv4)
        return false;
    if (IN6_IS_ADDR_UNSPECIFIED(&reply->local.ip))
        return endpoint->interface == 0 || reply->interface == 0 ||
               endpoint->interface == reply->interface;
    return serves(endpoint, &reply->local, reply->interface);
}

/*
 * Notes the result. A listed address that never sent may be unreachable without any fault, so only
 * a send that the kernel forbids counts then.
 */
static void note_sent(struct nqptp_endpoints *endpoints, const struct nqptp_reply *reply,
                      int result) {
    endpoints->unsent.count += result < 0;
    if (result == 0 || result == -EPERM || reply->interface > 0)
        endpoints->unsent.error = result;
}

static void send_reply(struct nqptp_endpoints *endpoints, const struct nqptp_reply *reply) {
    for (unsigned i = 0; i < endpoints->count; i++) {
        const struct nqptp_endpoint *endpoint = &endpoints->list[i];
        if (!may_send(endpoint, reply))
            continue;
        struct nqptp_reply sent = *reply;
        if (reply->interface > 0)
            sent.interface = way_to(endpoints, endpoint, reply);
        note_sent(endpoints, reply,
                  nqptp_socket_send(endpoint->fd, &sent, endpoints->ports[reply->general]));
        if (reply->interface > 0)
            return;
    }
}

void nqptp_endpoints_flush(struct nqptp_endpoints *endpoints) {
    for (unsigned i = 0; i < endpoints->queued; i++)
        send_reply(endpoints, &endpoints->queue[i]);
    endpoints->queued = 0;
}

void nqptp_endpoints_queue(struct nqptp_endpoints *endpoints, const struct nqptp_reply *reply) {
    if (endpoints->queued == NQPTP_QUEUE_MAX)
        nqptp_endpoints_flush(endpoints);
    endpoints->queue[endpoints->queued++] = *reply;
}
