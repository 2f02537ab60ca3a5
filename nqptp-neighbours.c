/* SPDX-License-Identifier: MIT */
/*
 * The kernel's neighbour table: see the header.
 *
 * The answer to RTM_GETNEIGH comes in pieces, each with several messages, each with several
 * attributes. Every length is checked against what is left, although the kernel wrote it. The table
 * is kept nowhere: the caller asks when it needs it. Any user may ask.
 */
#include "nqptp-neighbours.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESOLVED (NUD_PERMANENT | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE)
#define PIECE_SIZE 8192 /* The kernel makes no piece larger than the buffer that it is given. */
#define PIECES_MAX 1024

bool nqptp_neighbour_is_same_host(const struct nqptp_neighbour *a,
                                  const struct nqptp_neighbour *b) {
    return a->interface == b->interface &&
           memcmp(a->hardware, b->hardware, sizeof a->hardware) == 0;
}

/* Takes an attribute if it is one that we need and has the right length. */
static void take_attribute(const struct rtattr *attribute, const uint8_t *data, size_t length,
                           int family, struct nqptp_neighbour *neighbour, unsigned *taken) {
    if (attribute->rta_type == NDA_DST && family == AF_INET && length == sizeof(struct in_addr)) {
        struct in_addr ipv4;
        memcpy(&ipv4, data, sizeof ipv4);
        neighbour->address = nqptp_address_from_ipv4(ipv4);
    } else if (attribute->rta_type == NDA_DST && family == AF_INET6 &&
               length == sizeof neighbour->address.ip) {
        memcpy(&neighbour->address.ip, data, length);
        if (nqptp_address_is_link_local(&neighbour->address))
            neighbour->address.scope_id = neighbour->interface;
    } else if (attribute->rta_type == NDA_LLADDR && length == sizeof neighbour->hardware) {
        memcpy(neighbour->hardware, data, length);
    } else {
        return;
    }
    *taken |= 1U << attribute->rta_type;
}

/* Adds the neighbour of one message, given without its header. */
static void add_neighbour(struct nqptp_neighbours *neighbours, const uint8_t *data, size_t length) {
    struct nqptp_neighbour neighbour = {.interface = 0};
    unsigned taken = 0;
    struct ndmsg message;

    if (length < sizeof message || neighbours->count == NQPTP_NEIGHBOURS_MAX)
        return;
    memcpy(&message, data, sizeof message);
    neighbour.interface = (uint32_t)message.ndm_ifindex;
    for (size_t at = NLMSG_ALIGN(sizeof message); at + sizeof(struct rtattr) <= length;) {
        struct rtattr attribute;
        memcpy(&attribute, data + at, sizeof attribute);
        if (attribute.rta_len < sizeof attribute || attribute.rta_len > length - at)
            return;
        take_attribute(&attribute, data + at + RTA_LENGTH(0), attribute.rta_len - RTA_LENGTH(0),
                       message.ndm_family, &neighbour, &taken);
        at += RTA_ALIGN(attribute.rta_len);
    }
    if ((message.ndm_state & RESOLVED) && taken == (1U << NDA_DST | 1U << NDA_LLADDR))
        neighbours->list[neighbours->count++] = neighbour;
}

int nqptp_neighbours_parse(struct nqptp_neighbours *neighbours, const uint8_t *data,
                           size_t length) {
    struct nlmsghdr header;

    for (size_t at = 0; at < length; at += NLMSG_ALIGN(header.nlmsg_len)) {
        if (length - at < sizeof header)
            return -EBADMSG;
        memcpy(&header, data + at, sizeof header);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > length - at)
            return -EBADMSG;
        if (header.nlmsg_type == NLMSG_DONE)
            return 1;
        if (header.nlmsg_type == NLMSG_ERROR)
            return -EIO;
        if (header.nlmsg_type == RTM_NEWNEIGH)
            add_neighbour(neighbours, data + at + NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
    }
    return 0;
}

/* Asks for the table and reads the answer, which the kernel writes while we read it. */
static int ask(int fd, struct nqptp_neighbours *neighbours) {
    struct {
        struct nlmsghdr header;
        struct ndmsg message;
    } request = {
        .header = {.nlmsg_len = sizeof request,
                   .nlmsg_type = RTM_GETNEIGH,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .message.ndm_family = AF_UNSPEC,
    };
    uint8_t piece[PIECE_SIZE];
    int result = 0;

    if (send(fd, &request, sizeof request, MSG_DONTWAIT) < 0)
        return -errno;
    for (int pieces = 0; pieces < PIECES_MAX && result == 0; pieces++) {
        struct sockaddr_nl from = {.nl_pid = 1}; /* 0 is the kernel. */
        socklen_t size = sizeof from;
        ssize_t length =
            recvfrom(fd, piece, sizeof piece, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        if (length < 0)
            return -errno;
        if (from.nl_pid == 0)
            result = nqptp_neighbours_parse(neighbours, piece, (size_t)length);
    }
    return result < 0 ? result : 0;
}

int nqptp_neighbours_read(struct nqptp_neighbours *neighbours) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

    neighbours->count = 0;
    if (fd < 0)
        return -errno;
    int result = ask(fd, neighbours);
    close(fd);
    return result;
}
