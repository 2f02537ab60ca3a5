/* SPDX-License-Identifier: MIT */
/*
 * The layouts: a table with a row for each. This module has no state. It never touches a file or a
 * mapping: it writes and reads images in private memory.
 *
 * A row has the version number, whether there is a mutex in the layout, how a record is written,
 * and how the record of an earlier process is read back. For a new layout add a structure to
 * nqptp-shm-structures.h, and a writer, a reader and a row here.
 */
#include "nqptp-shm-layouts.h"

#include <string.h>

/* --- the ABI ---------------------------------------------------------------------------------- */

/* Some clients do not use our header. They rely on the place of each member. */
#define NQPTP_AT(structure, member, bytes)                                                         \
    _Static_assert(offsetof(struct structure, member) == (bytes),                                  \
                   #structure ": " #member " is not where clients look for it")
#define NQPTP_MUTEX sizeof(pthread_mutex_t)
#if defined(__i386__)
#define NQPTP_ALIGN 4
#elif defined(__BIGGEST_ALIGNMENT__) && __BIGGEST_ALIGNMENT__ < 8
#define NQPTP_ALIGN __BIGGEST_ALIGNMENT__
#else
#define NQPTP_ALIGN 8
#endif
#define NQPTP_FLAGS (NQPTP_MUTEX + (NQPTP_ALIGN < 4 ? NQPTP_ALIGN : 4))
NQPTP_AT(shm_structure, shm_mutex, 0);
NQPTP_AT(shm_structure, version, NQPTP_MUTEX);
NQPTP_AT(shm_structure, flags, NQPTP_FLAGS);
NQPTP_AT(shm_structure, master_clock_id, NQPTP_FLAGS + 4);
NQPTP_AT(shm_structure, master_clock_ip, NQPTP_FLAGS + 12);
NQPTP_AT(shm_structure, local_time, NQPTP_FLAGS + 76);
NQPTP_AT(shm_structure, local_to_master_time_offset, NQPTP_FLAGS + 84);
NQPTP_AT(shm_structure_9, version, NQPTP_MUTEX);
NQPTP_AT(shm_structure_9, master_clock_id, NQPTP_MUTEX + NQPTP_ALIGN);
NQPTP_AT(shm_structure_9, master_clock_ip, NQPTP_MUTEX + NQPTP_ALIGN + 8);
NQPTP_AT(shm_structure_9, local_time, NQPTP_MUTEX + NQPTP_ALIGN + 72);
NQPTP_AT(shm_structure_9, local_to_master_time_offset, NQPTP_MUTEX + NQPTP_ALIGN + 80);
NQPTP_AT(shm_structure_9, master_clock_start_time, NQPTP_MUTEX + NQPTP_ALIGN + 88);
NQPTP_AT(shm_structure_10, version, 0);
NQPTP_AT(shm_structure_10, main, NQPTP_ALIGN);
NQPTP_AT(shm_structure_10, secondary, NQPTP_ALIGN + 32);
_Static_assert(sizeof(struct shm_structure_10) == NQPTP_ALIGN + 64, "shm_structure_10: size");

/* --- writing and reading ---------------------------------------------------------------------- */

static bool has_master(const struct nqptp_shm_record *record) {
    return !IN6_IS_ADDR_UNSPECIFIED(&record->address.ip);
}

static void write_4(union nqptp_shm_image *image, const struct nqptp_shm_record *record) {
    struct shm_structure *v4 = &image->v4;

    v4->master_clock_id = record->clock_identity;
    if (has_master(record)) {
        nqptp_address_format(&record->address, v4->master_clock_ip);
        v4->local_time = record->local_time_ns + record->realtime_minus_raw_ns;
        v4->local_to_master_time_offset = record->offset_ns - record->realtime_minus_raw_ns;
    }
}

static void write_8_or_9(union nqptp_shm_image *image, const struct nqptp_shm_record *record) {
    struct shm_structure_9 *v9 = &image->v9;

    v9->master_clock_id = record->grandmaster_identity;
    if (has_master(record))
        nqptp_address_format(&record->address, v9->master_clock_ip);
    v9->local_time = record->local_time_ns;
    v9->local_to_master_time_offset = record->offset_ns;
    v9->master_clock_start_time = record->start_time_ns;
}

static void write_10(union nqptp_shm_image *image, const struct nqptp_shm_record *record) {
    image->v10.main = image->v10.secondary = (struct shm_structure_set){
        .master_clock_id = record->grandmaster_identity,
        .local_time = record->local_time_ns,
        .local_to_master_time_offset = record->offset_ns,
        .master_clock_start_time = record->start_time_ns,
    };
}

static void read_8_or_9(const union nqptp_shm_image *image, struct nqptp_shm_record *record) {
    record->grandmaster_identity = image->v9.master_clock_id;
    record->offset_ns = image->v9.local_to_master_time_offset;
    record->start_time_ns = image->v9.master_clock_start_time;
}

static void read_10(const union nqptp_shm_image *image, struct nqptp_shm_record *record) {
    record->grandmaster_identity = image->v10.main.master_clock_id;
    record->offset_ns = image->v10.main.local_to_master_time_offset;
    record->start_time_ns = image->v10.main.master_clock_start_time;
}

/* --- the table -------------------------------------------------------------------------------- */

/*
 * Layout 10 comes first. It has a part of a clock identity where the others have their number, and
 * that part may look like one of their numbers. The others have the lock word where layout 10 has
 * its number, and no lock word is 10.
 */
static const struct nqptp_shm_layout layouts[] = {
    {NQPTP_SHM_LAYOUT_10, false, offsetof(struct shm_structure_10, secondary), write_10, read_10},
    {NQPTP_SHM_LAYOUT_4, true, 0, write_4, NULL},
    {NQPTP_SHM_LAYOUT_8, true, 0, write_8_or_9, read_8_or_9},
    {NQPTP_SHM_LAYOUT_9, true, 0, write_8_or_9, read_8_or_9},
};

enum { LAYOUTS = sizeof layouts / sizeof *layouts };

const struct nqptp_shm_layout *nqptp_shm_layout(unsigned version) {
    for (size_t i = 0; i < LAYOUTS; i++)
        if (layouts[i].version == version)
            return &layouts[i];
    return NULL;
}

const struct nqptp_shm_layout *nqptp_shm_layout_of(const union nqptp_shm_image *image) {
    for (size_t i = 0; i < LAYOUTS; i++)
        if (layouts[i].version == (layouts[i].has_mutex ? image->v4.version : image->v10.version))
            return &layouts[i];
    return NULL;
}

void nqptp_shm_fill(union nqptp_shm_image *image, const struct nqptp_shm_layout *layout,
                    const struct nqptp_shm_record *record) {
    memset(image, 0, sizeof *image);
    *(layout->has_mutex ? &image->v4.version : &image->v10.version) = layout->version;
    layout->write(image, record);
}
