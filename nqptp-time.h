/* SPDX-License-Identifier: MIT */
/* Durations in nanoseconds, which is how all times are counted. */
#ifndef NQPTP_TIME_H
#define NQPTP_TIME_H

#include <stdint.h>

#define NQPTP_MS UINT64_C(1000000)
#define NQPTP_S UINT64_C(1000000000)

#endif
