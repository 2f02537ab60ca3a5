/* SPDX-License-Identifier: MIT */
/*
 * What /proc tells of UDP ports: which process holds one, see proc(5), and which packets the kernel
 * dropped. It opens no port and touches no process.
 */
#ifndef NQPTP_PORTS_H
#define NQPTP_PORTS_H

#include "nqptp-address.h"

#define NQPTP_HOLDER_NAME_SIZE 67

/* The process that has a UDP port open, as far as this process may see it. */
struct nqptp_holder {
    unsigned user;
    int pid;      /* 0 if only root can see it; then there is no name either. */
    bool service; /* It is a process of the service nqptp, as the kernel's control group tells. */
    char name[NQPTP_HOLDER_NAME_SIZE]; /* The program's name, as that process chose it: see
                                          nqptp_text_show(). */
};

/*
 * Finds the process that keeps us from a UDP port of an address, or of any address if that is NULL.
 * Returns false if there is none.
 */
bool nqptp_port_find_holder(uint16_t port, const struct nqptp_address *address,
                            struct nqptp_holder *holder);

/*
 * Describes the holder in printable words that can follow "port N is in use: ". NULL stands for one
 * that this process cannot see. Returns text.
 */
const char *nqptp_holder_describe(const struct nqptp_holder *holder, char *text, size_t size);

/*
 * Returns whether another process has a socket bound to exactly this address, which may be a
 * wildcard, and port; true if this process may not see that.
 */
bool nqptp_port_taken(uint16_t port, const struct nqptp_address *address);

/*
 * Returns how many UDP datagrams of this network namespace the kernel has dropped since boot
 * because their checksum was wrong, of IPv4 and IPv6 together.
 */
uint64_t nqptp_checksum_errors(void);

#endif
