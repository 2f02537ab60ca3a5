/* SPDX-License-Identifier: MIT */
/*
 * --status: asks the daemon of this machine what it is doing. If no daemon answers, prints facts
 * and the commands that come next. It changes nothing. The daemon itself does not use it.
 */
#ifndef NQPTP_DIAGNOSIS_H
#define NQPTP_DIAGNOSIS_H

#include "nqptp-options.h"

/*
 * Asks at the loopback addresses, IPv4 first, and prints the answer. Text has colours if the output
 * is a terminal that is not dumb and NO_COLOR is not set. Returns true if an answer was printed.
 *
 * Without an answer prints on stderr what the kernel knows of a daemon with these options: which
 * process holds each port, what this user lacks, and what has the name of the object. The commands
 * that come next follow. Returns false.
 */
bool nqptp_diagnosis_status(const struct nqptp_options *options);

#endif
