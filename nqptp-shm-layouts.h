/* SPDX-License-Identifier: MIT */
/*
 * The layouts that an object may have, and how a record is written in each. It is bytes only: no
 * file is changed and no mapping is touched here.
 */
#ifndef NQPTP_SHM_LAYOUTS_H
#define NQPTP_SHM_LAYOUTS_H

#include "nqptp-address.h"
#include "nqptp-shm-structures.h"

#include <stdbool.h>
#include <stddef.h>

#define NQPTP_SHM_LAYOUTS "4, 8, 9, 10" /* All of them, for people. */

enum {
    NQPTP_SHM_LAYOUT_4 = NQPTP_SHM_STRUCTURES_VERSION, /* Shairport Sync of May 2021 */
    NQPTP_SHM_LAYOUT_8 = 8,                            /* Shairport Sync 4.1 */
    NQPTP_SHM_LAYOUT_9 = 9,                            /* Shairport Sync 4.2 */
    NQPTP_SHM_LAYOUT_10 = 10,                          /* Shairport Sync 4.3 and later */
};

/*
 * What a client's last command tells of the layout that it reads. From the text of a command to the
 * layout:
 *   nqptp_command_parse()   reads from the text which of these it is;
 *   nqptp.c                 has the engine obey the command, whose answer names the client;
 *   nqptp_shm_ask()         notes it in the client's object, and at PLAY makes 9 of layout 8;
 *   nqptp_shm_signalled()   when a process opens the object, chooses the layout by what was noted
 *                           in the last 10 s, and by whether it is opened to read or to write.
 */
enum nqptp_shm_asked {
    NQPTP_SHM_ASKED_NOTHING,
    NQPTP_SHM_ASKED_BARE,  /* T: layout 4 */
    NQPTP_SHM_ASKED_NAMED, /* /name T: 8 or 9 if it opens read-write, 10 if read-only */
    NQPTP_SHM_ASKED_PLAY,  /* /name B, E or P: not 8, then */
};

/* A record to publish. All zero is "no master". */
struct nqptp_shm_record {
    uint64_t clock_identity;
    uint64_t grandmaster_identity;
    struct nqptp_address address; /* Of the master; :: if there is none. */
    uint64_t local_time_ns;       /* CLOCK_MONOTONIC_RAW, of the last sample */
    uint64_t offset_ns;           /* the master's time minus CLOCK_MONOTONIC_RAW, modulo 2^64 */
    uint64_t start_time_ns;       /* CLOCK_MONOTONIC_RAW, of the first of the unbroken samples */
};

/* The bytes of an object, in one of the layouts. */
union nqptp_shm_image {
    pthread_mutex_t mutex;
    struct shm_structure v4;
    struct shm_structure_9 v9;
    struct shm_structure_10 v10;
};

struct nqptp_shm_layout {
    unsigned version;
    bool has_mutex;   /* Clients lock it, so they open the object read-write. */
    size_t second_at; /* Without a mutex: where the second set is, which is written last. */

    /* Writes the record into an image of zeros, all but the mutex. */
    void (*write)(const struct nqptp_shm_layout *layout, union nqptp_shm_image *image,
                  const struct nqptp_shm_record *record, uint64_t realtime_minus_raw_ns);

    /* Reads grandmaster, offset and start time back. NULL: the layout has no start time. */
    void (*read)(const union nqptp_shm_image *image, struct nqptp_shm_record *record);
};

/* The layout with that version number, or NULL. */
const struct nqptp_shm_layout *nqptp_shm_layout(unsigned version);

/* The layout that the image has by the number at each layout's place, or NULL. */
const struct nqptp_shm_layout *nqptp_shm_layout_of(const union nqptp_shm_image *image);

#endif
