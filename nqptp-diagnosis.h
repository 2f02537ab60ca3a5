/* SPDX-License-Identifier: MIT */
/*
 * The other side of `?`: asks the daemon of this host what it is doing, and if none answers, finds
 * out why. This is what --status runs; the daemon itself never comes here. It changes nothing.
 */
#ifndef NQPTP_DIAGNOSIS_H
#define NQPTP_DIAGNOSIS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Asks at the loopback addresses, IPv4 first, and prints the answer: JSON as it is, text in the
 * width of the terminal (COLUMNS, if that is set; else 80) and, on a terminal that is not dumb,
 * with some colour unless NO_COLOR is set. Returns whether there was an answer.
 */
bool nqptp_diagnosis_ask(uint16_t control_port, bool json);

/* What the daemon that does not answer would have had. */
struct nqptp_diagnosis {
    uint16_t event_port, general_port, control_port;
    const char *user, *group;
};

/*
 * Says on stderr what stands in its way, and what the next step is: who has the ports, what the
 * object is, what this user may do, whether there is a service, and which layout the Shairport Sync
 * reads that is installed. For the last it runs `shairport-sync -V`, as nobody if it is root,
 * if only root could have put that program there.
 */
void nqptp_diagnosis_print(const struct nqptp_diagnosis *expected);

#endif
