/* SPDX-License-Identifier: MIT */
/*
 * The shared memory interface of nqptp: the byte layout that clients map, and the constants they
 * need. It is all a client has to include, and it includes nothing of nqptp's own.
 *
 * A client opens the POSIX shared memory object NQPTP_INTERFACE_NAME read-write, maps
 * sizeof(struct shm_structure) bytes of it shared, locks shm_mutex, checks the version, copies
 * what it needs and unlocks. The object belongs to group "nqptp" and has mode 0664, so the client
 * must be a member of that group.
 */
#ifndef NQPTP_SHM_STRUCTURES_H
#define NQPTP_SHM_STRUCTURES_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* The name to give to shm_open(3). */
#define NQPTP_INTERFACE_NAME "/nqptp"

/* The value of `version` in the layout below. */
#define NQPTP_SHM_STRUCTURES_VERSION 4

/* The UDP port, on the loopback addresses only, that takes the client's commands, such as
 * "T 192.0.2.7": the addresses whose clocks may become master, the whole list each time. */
#define NQPTP_CONTROL_PORT 9000

/* Two names that clients of 2021 may know the same things by. */
#ifndef STORAGE_ID
#define STORAGE_ID NQPTP_INTERFACE_NAME
#endif
#ifndef MAX_CLOCKS
#define MAX_CLOCKS 32
#endif

/*
 * Layout 4. Times are nanoseconds modulo 2^64, so subtract and add them as uint64_t:
 *
 *     the master's time = CLOCK_REALTIME now + local_to_master_time_offset
 *
 * While there is no master clock, master_clock_id, both times and the first byte of
 * master_clock_ip are zero.
 */
struct shm_structure {
    pthread_mutex_t shm_mutex;            /* process-shared; hold it only to copy the rest */
    uint16_t version;                     /* NQPTP_SHM_STRUCTURES_VERSION */
    uint32_t flags;                       /* 0 */
    uint64_t master_clock_id;             /* clockIdentity of the clock followed, host byte order */
    char master_clock_ip[64];             /* its address, numeric, NUL-terminated, without scope */
    uint64_t local_time;                  /* CLOCK_REALTIME at which the last sample was received */
    uint64_t local_to_master_time_offset; /* the master's time minus CLOCK_REALTIME */
};

/*
 * Where each member is, which is a promise to programs that do not use this header. It depends on
 * the ABI only by the size of the mutex: 40 bytes on most 64-bit systems, 48 on 64-bit Arm, 24 on
 * 32-bit systems. With it the object is 136, 144 and 120 bytes.
 */
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define NQPTP_AT(member, bytes_after_the_mutex)                                                    \
    _Static_assert(offsetof(struct shm_structure, member) ==                                       \
                       sizeof(pthread_mutex_t) + (bytes_after_the_mutex),                          \
                   "layout 4: " #member " is not where clients look for it")
_Static_assert(offsetof(struct shm_structure, shm_mutex) == 0, "layout 4: the mutex comes first");
NQPTP_AT(version, 0);
NQPTP_AT(flags, 4);
NQPTP_AT(master_clock_id, 8);
NQPTP_AT(master_clock_ip, 16);
NQPTP_AT(local_time, 80);
NQPTP_AT(local_to_master_time_offset, 88);
#undef NQPTP_AT
_Static_assert(sizeof(struct shm_structure) == sizeof(pthread_mutex_t) + 96, "layout 4: size");
#if defined(__GLIBC__) && defined(__x86_64__) && defined(__LP64__)
_Static_assert(sizeof(struct shm_structure) == 136, "layout 4 on x86-64");
#elif defined(__GLIBC__) && defined(__aarch64__) && defined(__LP64__)
_Static_assert(sizeof(struct shm_structure) == 144, "layout 4 on 64-bit Arm");
#elif defined(__GLIBC__) && (defined(__arm__) || defined(__i386__))
_Static_assert(sizeof(struct shm_structure) == 120, "layout 4 on 32-bit Arm and x86");
#endif
#endif

#endif
