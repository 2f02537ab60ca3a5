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

/* Writes the path of the file of that object. */
void nqptp_shm_path(const char *name, char path[NQPTP_SHM_PATH_SIZE]);

/*
 * Makes an empty file without a name or, where O_TMPFILE or /proc is missing, under a hidden name,
 * which is written to `hidden`. Returns its descriptor, or -errno.
 */
int nqptp_shm_make_file(char hidden[NQPTP_SHM_PATH_SIZE]);

/* Gives that file this path, if there is no file. Returns 0 or -errno. */
int nqptp_shm_name_file(int fd, const char *hidden, const char *path);

/*
 * Returns whether a daemon holds a lease on the file of that object. If another daemon tries to
 * take the lease at this moment, the kernel refuses it, and that daemon tries again.
 */
bool nqptp_shm_is_leased(const char *name);

/*
 * Reads a text that is kept in the file of that object. This process must not have the file open,
 * because to close it would release its lock. Returns the length of the text; 0 if there is no text
 * or no regular file.
 */
size_t nqptp_shm_read_kept(const char *name, enum nqptp_kept which, char text[NQPTP_KEPT_MAX]);

/* Describes for people what has that name: "a directory, owned by uid 0, mode 0755". */
void nqptp_shm_describe(const char *name, char *text, size_t size);

/*
 * Returns whether this describes a file that a version of ours made: a regular file of this user,
 * with one link and one of our sizes. A client chose the name of a named object: it may have made
 * that name a link to another file, or it may have chosen the name of another program's file.
 */
bool nqptp_shm_is_ours(const struct stat *status);

/*
 * Renames the file of an object that players still have open to a hidden name, ".NAME.RANDOM.kept".
 * New players do not find it there, and no other user can take that name before. Returns 0 or
 * -errno.
 */
int nqptp_shm_put_aside(const char *name);

/*
 * Renames the files back that earlier processes of this user put aside. Writes the names of their
 * objects, with a space behind each, as far as they fit. A file stays where it is if another user
 * has taken its name meanwhile.
 */
void nqptp_shm_bring_all_back(char *names, size_t size);

/*
 * For root: gives the name to an empty object of that user, whatever another user put there, and
 * opens nothing of it. The other file is removed; a directory that is not empty stays under a
 * hidden name. Returns 1 if that was done, 0 if there is no file or a regular one of that user, or
 * -errno.
 */
int nqptp_shm_claim(const char *name, uid_t user, gid_t group);

#endif
