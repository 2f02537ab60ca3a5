/* SPDX-License-Identifier: MIT */
/*
 * --status: asks the daemon of this machine what it is doing. If none answers, prints facts and the
 * commands that come next. The daemon itself never comes here. It changes nothing.
 */
#ifndef NQPTP_DIAGNOSIS_H
#define NQPTP_DIAGNOSIS_H

#include "nqptp-options.h"

/*
 * Asks at the loopback addresses, IPv4 first, and prints the answer: JSON as it is, text with some
 * colour on a terminal that is not dumb, unless NO_COLOR is set. Returns true then.
 *
 * Otherwise prints on stderr what the kernel tells of a daemon with these options: which process
 * holds each port, whether this user may open them, and what is at the object's name. Ends with the
 * commands that come next, and returns false.
 */
bool nqptp_diagnosis_status(const struct nqptp_options *options);

#endif
