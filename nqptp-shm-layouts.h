/* SPDX-License-Identifier: MIT */
/* The layouts that an object may have, and how a record is written in each. */
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
 *   nqptp_command_parse()   reads this value from the text;
 *   nqptp.c                 gives the command to the engine, whose answer names the client;
 *   nqptp_shm_ask()         notes the value in the client's object, and at PLAY turns layout 8
 *                           into 9;
 *   nqptp_shm_signalled()   chooses the layout when a process opens the object, by the value that
 *                           was noted in the last 10 s and by how the process opens the object.
 */
enum nqptp_shm_asked {
    NQPTP_SHM_ASKED_NOTHING,
    NQPTP_SHM_ASKED_BARE,  /* T: layout 4. */
    NQPTP_SHM_ASKED_NAMED, /* /name T: 8 or 9 for a read-write opener, 10 for a read-only one. */
    NQPTP_SHM_ASKED_PLAY,  /* /name B, E or P: any layout but 8. */
};

/* A record to publish. All zero is "no master". */
struct nqptp_shm_record {
    uint64_t clock_identity;
    uint64_t grandmaster_identity;
    struct nqptp_address address;   /* Of the master; :: if there is none. */
    uint64_t local_time_ns;         /* The CLOCK_MONOTONIC_RAW of the last sample. */
    uint64_t offset_ns;             /* The master's time minus CLOCK_MONOTONIC_RAW, modulo 2^64. */
    uint64_t start_time_ns;         /* The CLOCK_MONOTONIC_RAW of the first unbroken sample. */
    uint64_t realtime_minus_raw_ns; /* For layout 4; nqptp_shm_publish() fills it in. */
};

/* The bytes of an object, in one of the layouts. */
union nqptp_shm_image {
    pthread_mutex_t mutex;
    struct shm_structure v4;
    struct shm_structure_9 v9;
    struct shm_structure_10 v10;
};

struct nqptp_shm_layout {
    uint16_t version;
    bool has_mutex;   /* Clients lock a mutex, so they open the object read-write. */
    size_t second_at; /* Without a mutex: the place of the second set, which is written last. */

    /* Writes the record into an image of zeros, all but mutex and version. */
    void (*write)(union nqptp_shm_image *image, const struct nqptp_shm_record *record);

    /* Reads grandmaster, offset and start time into a record of zeros. NULL: it has none. */
    void (*read)(const union nqptp_shm_image *image, struct nqptp_shm_record *record);
};

/* Returns the layout with that version number, or NULL. */
const struct nqptp_shm_layout *nqptp_shm_layout(unsigned version);

/* Returns the layout that the image has by the number at each layout's place, or NULL. */
const struct nqptp_shm_layout *nqptp_shm_layout_of(const union nqptp_shm_image *image);

/* Fills the image with the record in that layout, and with zeros where its mutex is. */
void nqptp_shm_fill(union nqptp_shm_image *image, const struct nqptp_shm_layout *layout,
                    const struct nqptp_shm_record *record);

#endif
