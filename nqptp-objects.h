/* SPDX-License-Identifier: MIT */
/*
 * The clients' shared memory objects: object c belongs to client c. This module logs the faults of
 * an object, each with what to do. Times are CLOCK_MONOTONIC_RAW.
 */
#ifndef NQPTP_OBJECTS_H
#define NQPTP_OBJECTS_H

#include "nqptp-journal.h"
#include "nqptp-message-handlers.h"
#include "nqptp-options.h"
#include "nqptp-shm.h"
#include "nqptp-status.h"

#define NQPTP_OBJECTS_KEPT_MAX ((size_t)NQPTP_CLIENTS_MAX * (NQPTP_KEPT_MAX + 128))

struct nqptp_object {
    struct nqptp_shm shm;
    uint64_t asked_at_ns; /* When the client sent its last command. */
    uint64_t used_at_ns;  /* When the daemon last saw the client use it. */
    uint64_t look_at_ns;  /* When to look at the name again. */
};

struct nqptp_objects {
    struct nqptp_object list[NQPTP_CLIENTS_MAX];
    uint64_t check_at_ns; /* When to look again which objects are in use. */
    gid_t group;          /* The group that may use the objects, or -1. */
    const char *group_name;
    bool told_unwatched; /* It was logged that inotify does not work. */
    struct nqptp_log_limit not_made, other_layout, renewed, not_kept;
};

/* Begins without an object. */
void nqptp_objects_init(struct nqptp_objects *objects, gid_t group, const char *group_name);

/*
 * Opens the object of that name, then adds its client to the engine. So the engine never has a
 * client without an object. Returns 0, or -errno as nqptp_shm_open() does, with the reason logged.
 */
int nqptp_objects_add(struct nqptp_objects *objects, struct nqptp_engine *engine, const char *name,
                      unsigned layout, uint64_t now_ns);

/*
 * Adds the client that the command needs, if it is new. Returns false if that fails. If all numbers
 * are taken, a client makes room: of those that do not play and whose object no process has open,
 * the one that sent no command for the longest time.
 */
bool nqptp_objects_has_client(struct nqptp_objects *objects, struct nqptp_engine *engine,
                              const struct nqptp_command *command, uint64_t now_ns);

/* Logs version, clock identity, ports, and the layout of the first object. */
void nqptp_objects_hello(const struct nqptp_objects *objects, const struct nqptp_engine *engine,
                         const struct nqptp_options *options);

/* Publishes the record in object c. */
void nqptp_objects_publish(struct nqptp_objects *objects, int c,
                           const struct nqptp_shm_record *record, uint64_t now_ns);

/*
 * Client c sent this command. It may decide the layout for the next process that opens the object.
 * It is kept for the next daemon, because players do not repeat it. `text` is the command as it
 * came.
 */
void nqptp_objects_command(struct nqptp_objects *objects, int c,
                           const struct nqptp_command *command, const char *text, size_t length,
                           uint64_t now_ns);

/*
 * Keeps the names of all other objects in /nqptp, with a space behind each. Call it once the
 * clients of the daemon before this one are back. Returns 0 or -errno.
 */
int nqptp_objects_keep_names(const struct nqptp_objects *objects);

/*
 * Writes the commands that the daemon before this one kept, with a newline behind each: those of
 * /nqptp, of the objects whose names are kept there, and of the objects in `names`, which has a
 * space behind each. /nqptp must be open, and the others must not. `names` is overwritten.
 */
void nqptp_objects_kept(const struct nqptp_objects *objects, char *names,
                        char text[NQPTP_OBJECTS_KEPT_MAX]);

/* Notes a process that opens /nqptp and waits. Returns whether one does. */
bool nqptp_objects_note_opener(struct nqptp_objects *objects);

/* NQPTP_LEASE_SIGNAL came: see nqptp_shm_signalled(). */
void nqptp_objects_signalled(struct nqptp_objects *objects, uint64_t now_ns);

/* Returns when to call nqptp_objects_retry(); NQPTP_NO_DEADLINE if nothing waits or plays. */
uint64_t nqptp_objects_due_ns(const struct nqptp_objects *objects,
                              const struct nqptp_clients *clients);

/*
 * Does what is due. While clients play it also looks every 5 s which objects are in use: a client
 * stops playing if for two minutes it has sent no command and no process has had its object open.
 * Returns whether a client stopped. Then the caller carries out *effects.
 */
bool nqptp_objects_retry(struct nqptp_objects *objects, struct nqptp_engine *engine,
                         uint64_t now_ns, struct nqptp_effects *effects);

/* Fills in the objects' part of the status. */
void nqptp_objects_status(const struct nqptp_objects *objects, struct nqptp_status *status);

/* Takes away the names of all objects, as nqptp_shm_stop() does. */
void nqptp_objects_stop(struct nqptp_objects *objects, const struct nqptp_clients *clients);

#endif
