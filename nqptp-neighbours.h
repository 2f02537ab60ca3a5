/* SPDX-License-Identifier: MIT */
/* The kernel's neighbour table: which link-layer address each IP address of a link has. */
#ifndef NQPTP_NEIGHBOURS_H
#define NQPTP_NEIGHBOURS_H

#include "nqptp-address.h"

#define NQPTP_NEIGHBOURS_MAX 2048 /* By default the kernel keeps 1024 for each address family. */
#define NQPTP_HARDWARE_SIZE 6     /* The bytes of an address of Ethernet or Wi-Fi. */

struct nqptp_neighbour {
    struct nqptp_address address; /* A link-local one has its interface as scope. */
    uint32_t interface;           /* The interface by which the kernel reaches the address. */
    uint8_t hardware[NQPTP_HARDWARE_SIZE];
};

struct nqptp_neighbours {
    unsigned count;
    struct nqptp_neighbour list[NQPTP_NEIGHBOURS_MAX];
};

/* Whether both are addresses of one host: they have one link-layer address, on one interface. */
bool nqptp_neighbour_is_same_host(const struct nqptp_neighbour *a, const struct nqptp_neighbour *b);

/*
 * Adds the neighbours in a piece of the kernel's answer to RTM_GETNEIGH. Entries that are not
 * resolved, or have no link-layer address of 6 bytes, are left out, and so are those beyond the
 * maximum. Returns 1 if this was the last piece, 0 if more follow, or -errno.
 */
int nqptp_neighbours_parse(struct nqptp_neighbours *neighbours, const uint8_t *data, size_t length);

/* Reads the kernel's table. Never blocks. Returns 0, or -errno after what could be read. */
int nqptp_neighbours_read(struct nqptp_neighbours *neighbours);

#endif
