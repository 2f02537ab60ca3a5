/* SPDX-License-Identifier: MIT */
/* Who holds a UDP port, as /proc tells it: see proc(5). It opens no port and touches no process. */
#ifndef NQPTP_PORTS_H
#define NQPTP_PORTS_H

#include "nqptp-address.h"

/* Who has a UDP port open, as far as this process may know. */
struct nqptp_holder {
    unsigned user;
    int pid;       /* 0: not to be seen without being root, */
    char name[64]; /*   and then empty */
};

/*
 * Who keeps us from a UDP port of an address, or of any if that is NULL? Returns false if nobody
 * does.
 */
bool nqptp_port_find_holder(uint16_t port, const struct nqptp_address *address,
                            struct nqptp_holder *holder);

/* Who that is, or that it is not to be seen (NULL), after "port N is in use: ". Returns text. */
const char *nqptp_holder_describe(const struct nqptp_holder *holder, char *text, size_t size);

/*
 * Has another process a socket bound to exactly this address, which may be a wildcard, and port?
 * Yes, if that is not to be seen.
 */
bool nqptp_port_taken(uint16_t port, const struct nqptp_address *address);

/* The name of the program that a process runs, printable; "?" if there is no such process. */
void nqptp_process_name(const char *pid, char *name, size_t size);

#endif
