/* SPDX-License-Identifier: MIT */
/*
 * The file that has the name of an object, whichever user made it: looking at it, putting it aside
 * at a stop, and claiming the name for the daemon.
 */
#ifndef NQPTP_SHM_FILE_H
#define NQPTP_SHM_FILE_H

#include "nqptp-shm-kept.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define NQPTP_SHM_DIRECTORY "/dev/shm"
#define NQPTP_SHM_PATH_SIZE (NAME_MAX + 32) /* Of the path of any file there. */
#define NQPTP_SHM_SIZE 16384 /* Of an object for its whole life: layouts, then kept state. */

/* The path of the file of that object. */
void nqptp_shm_path(const char *name, char path[NQPTP_SHM_PATH_SIZE]);

/*
 * Makes an empty file without a name or, where O_TMPFILE or /proc is missing, under a hidden name,
 * which is written to `hidden`. Returns its descriptor, or -errno.
 */
int nqptp_shm_make_file(char hidden[NQPTP_SHM_PATH_SIZE]);

/* Gives that file the name, if there is none by it. Returns 0 or -errno. */
int nqptp_shm_name_file(int fd, const char *hidden, const char *name);

/*
 * Returns whether a daemon holds a lease on the file of that object. If none does, a daemon that
 * tries to take one at this moment is refused, and tries again.
 */
bool nqptp_shm_is_leased(const char *name);

/*
 * Reads what is kept in the file of that object, which this process must not have open. Returns the
 * length; 0 if there is no text, or no regular file.
 */
size_t nqptp_shm_read_kept(const char *name, enum nqptp_kept which, char text[NQPTP_KEPT_MAX]);

/* What there is by that name, for people: "a directory, owned by uid 0, mode 0755". */
void nqptp_shm_describe(const char *name, char *text, size_t size);

/*
 * Returns whether this describes a file that a version of ours made: a regular file of this user,
 * with one link and one of our sizes. A client chose the name of a named object: it may have linked
 * another file to that name, or have chosen the name of another program's file.
 */
bool nqptp_shm_is_ours(const struct stat *status);

/*
 * Renames the file of an object that players still have open to a hidden name, ".NAME.RANDOM.kept",
 * where new players do not find it, and which no other user can take before. Returns 0 or -errno.
 */
int nqptp_shm_put_aside(const char *name);

/*
 * Renames the files back that earlier processes of this user put aside. Writes the names of their
 * objects, each before a space, as far as they fit. A file whose name another user has taken
 * meanwhile stays where it is.
 */
void nqptp_shm_bring_all_back(char *names, size_t size);

/*
 * For root: makes the name free for the daemon of that user, whatever another user put there, and
 * opens nothing of it. An empty object of the user takes the place; the other file is removed, or
 * left under a hidden name if it is a directory that is not empty. Returns 1 if that was done, 0 if
 * there is no file or a regular one of that user, or -errno.
 */
int nqptp_shm_claim(const char *name, uid_t user, gid_t group);

#endif
