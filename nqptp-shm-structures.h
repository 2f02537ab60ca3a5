/* SPDX-License-Identifier: MIT */
/*
 * The shared memory interface of nqptp: the layouts that clients map, and the constants that they
 * need. A client needs no other header of nqptp, and this one includes none.
 *
 * A client opens the POSIX shared memory object NQPTP_INTERFACE_NAME, or one with a name of its
 * own. It maps the structure of its layout with MAP_SHARED, and looks at `version` first. There are
 * two ways to read:
 *
 * - Layout 10, for new clients. Send the command "/name T ADDRESS ..." to NQPTP_CONTROL_PORT, then
 *   open the object read-only. There is no lock: see struct shm_structure_10.
 * - Layouts 4, 8 and 9. Open the object read-write, which needs membership of group "nqptp". Lock
 *   shm_mutex, copy, unlock. The daemon takes the mutex from a client that keeps it for a second.
 *
 * The object is complete as soon as it has its name, and the same object stays while the daemon
 * restarts or crashes. When the daemon is stopped it removes the name. If a client still has the
 * object open, the next daemon brings it back.
 *
 * Times are nanoseconds modulo 2^64, so add and subtract them as uint64_t:
 *
 *     the master's time = the local clock now + local_to_master_time_offset
 *
 * The local clock is CLOCK_REALTIME in layout 4 and CLOCK_MONOTONIC_RAW in all others. A master
 * that sends nothing any more leaves its last values; local_time says how old they are. While there
 * is no master, master_clock_id, all times and the first byte of master_clock_ip are 0.
 */
#ifndef NQPTP_SHM_STRUCTURES_H
#define NQPTP_SHM_STRUCTURES_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* The name to give to shm_open(3). */
#define NQPTP_INTERFACE_NAME "/nqptp"

/* The value of `version` in layout 4. In the other layouts it is their own number. */
#define NQPTP_SHM_STRUCTURES_VERSION 4

/*
 * The UDP port, on 127.0.0.1 and ::1 only, that takes commands, one in each datagram.
 * "/name T ADDRESS ..." lists the numeric addresses whose clocks may become master for the client
 * of object "/name". The daemon makes the object if there is none. Each list replaces the one
 * before; with an empty list no clock may become master. "/name B", "/name P" and "/name E" say
 * that the client begins, pauses and ends playing. Clients of layout 4 send "T ADDRESS ..." without
 * a name.
 */
#define NQPTP_CONTROL_PORT 9000

/* Programs of 2021 may use these two names. */
#ifndef STORAGE_ID
#define STORAGE_ID NQPTP_INTERFACE_NAME
#endif
#ifndef MAX_CLOCKS
#define MAX_CLOCKS 32
#endif

/* Layout 4, the first one: Shairport Sync of May 2021. */
struct shm_structure {
    pthread_mutex_t shm_mutex;            /* process-shared; hold it only to copy the rest */
    uint16_t version;                     /* NQPTP_SHM_STRUCTURES_VERSION */
    uint32_t flags;                       /* 0 */
    uint64_t master_clock_id;             /* clockIdentity of the clock followed, host byte order */
    char master_clock_ip[64];             /* its address, numeric, NUL-terminated, without scope */
    uint64_t local_time;                  /* CLOCK_REALTIME at which the last sample was received */
    uint64_t local_to_master_time_offset; /* the master's time minus CLOCK_REALTIME */
};

/* Layouts 8 and 9, which differ by their number only: Shairport Sync 4.1 and 4.2. */
struct shm_structure_9 {
    pthread_mutex_t shm_mutex; /* process-shared; hold it only to copy the rest */
    uint16_t version;          /* 8 or 9 */
    uint64_t master_clock_id;  /* grandmasterIdentity of the clock followed, host byte order */
    char master_clock_ip[64];  /* its address, numeric, NUL-terminated, without scope */
    uint64_t local_time;       /* CLOCK_MONOTONIC_RAW at which the last sample was received */
    uint64_t local_to_master_time_offset; /* the master's time minus CLOCK_MONOTONIC_RAW */
    uint64_t master_clock_start_time; /* CLOCK_MONOTONIC_RAW of the first of its unbroken samples */
};

struct shm_structure_set { /* each member as in layouts 8 and 9 */
    uint64_t master_clock_id;
    uint64_t local_time;
    uint64_t local_to_master_time_offset;
    uint64_t master_clock_start_time;
};

/*
 * Layout 10: Shairport Sync 4.3 and later. The daemon writes main, then secondary. So copy the
 * whole structure twice:
 *
 *     first = *shared;
 *     __sync_synchronize();
 *     second = *shared;
 *     if (memcmp(&first.main, &second.secondary, sizeof first.main) == 0)
 *         ... first.main is whole; otherwise keep the values that you had, and look again soon
 */
struct shm_structure_10 {
    uint16_t version; /* 10 */
    struct shm_structure_set main;
    struct shm_structure_set secondary;
};

/*
 * The size of each layout depends on the ABI: on the size of the mutex, and on the alignment of a
 * uint64_t in a structure. Programs that do not use this header may rely on it.
 *
 *     bytes of                                 the mutex   layout 4   8 and 9   10
 *     64-bit systems                                  40        136       144   72
 *     64-bit Arm, glibc (with musl as above)          48        144       152   72
 *     x32                                             32        128       136   72
 *     32-bit systems                                  24        120       128   72
 *     i386 and others that align it to 4 bytes        24        120       124   68
 *     m68k, which aligns to 2 bytes                   24        120       124   66
 */

#endif
