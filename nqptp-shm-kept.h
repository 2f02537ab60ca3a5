/* SPDX-License-Identifier: MIT */
/*
 * Kept state: texts behind the layouts in the file of an object, which outlive the process. So the
 * next process knows what the clients asked for, with and without a service manager.
 */
#ifndef NQPTP_SHM_KEPT_H
#define NQPTP_SHM_KEPT_H

#include <stddef.h>

#define NQPTP_KEPT_AT 4096  /* The place in the file where kept state begins. */
#define NQPTP_KEPT_MAX 4096 /* The length of the longest text. */

enum nqptp_kept {
    NQPTP_KEPT_LIST,     /* The last T of the object's client. */
    NQPTP_KEPT_ACTIVITY, /* Its last B, E or P. */
    NQPTP_KEPT_NAMES,    /* In /nqptp: the names of the other objects. */
    NQPTP_KEPT_COUNT
};

/*
 * Replaces the text. Returns 0 or -errno. If the process is killed meanwhile, the old text is there
 * afterwards, or none.
 */
int nqptp_kept_write(int fd, enum nqptp_kept which, const char *text, size_t length);

/*
 * Reads the text. Returns its length; 0 if there is none, or if fd is no file. A client may have
 * written it, so the caller must not trust it.
 */
size_t nqptp_kept_read(int fd, enum nqptp_kept which, char text[NQPTP_KEPT_MAX]);

#endif
