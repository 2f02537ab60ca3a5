/* SPDX-License-Identifier: MIT */
/* Durations in nanoseconds, in which all times are counted, and the deadline of nothing. */
#ifndef NQPTP_TIME_H
#define NQPTP_TIME_H

#include <stdint.h>

#define NQPTP_MS UINT64_C(1000000)
#define NQPTP_S UINT64_C(1000000000)

#define NQPTP_NO_DEADLINE UINT64_MAX /* Nothing is due, ever. */

#endif
