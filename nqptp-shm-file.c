/* SPDX-License-Identifier: MIT */
/*
 * Files by the name of an object.
 *
 * Another user may have put anything at that name: a link, a pipe, a socket, a directory. So the
 * name is looked at by lstat(2) first, and a file is opened only if that cannot block.
 */
#include "nqptp-shm-file.h"

#include "nqptp-shm-layouts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void nqptp_shm_path(const char *name, char path[NAME_MAX]) {
    snprintf(path, NAME_MAX, NQPTP_SHM_DIRECTORY "%s", name);
}

bool nqptp_shm_exists(const char *name) {
    char path[NAME_MAX];
    struct stat status;

    nqptp_shm_path(name, path);
    return lstat(path, &status) == 0;
}

int nqptp_shm_inspect(const char *name, struct nqptp_shm_found *found) {
    char path[NAME_MAX];
    struct stat status;

    nqptp_shm_path(name, path);
    *found = (struct nqptp_shm_found){0};
    if (lstat(path, &status) < 0)
        return -errno;
    found->owner = status.st_uid;
    found->mode = status.st_mode & 07777;
    if (!S_ISREG(status.st_mode) ||
        status.st_nlink != 1) /* opening another name of ours breaks our lease */
        return 0;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        found->leased = errno == EWOULDBLOCK;
        return 0;
    }
    const struct nqptp_shm_layout *layout = nqptp_shm_layout_of(fd);
    found->layout = layout ? layout->version : 0;
    close(fd);
    return 0;
}

void nqptp_shm_describe(const char *name, char *text, size_t size) {
    struct nqptp_shm_found found;

    if (nqptp_shm_inspect(name, &found) < 0)
        snprintf(text, size, "gone by now");
    else
        snprintf(text, size, "owned by uid %u, mode %04o", (unsigned)found.owner, found.mode);
}

int nqptp_shm_remove_foreign(const char *name, uid_t owner) {
    char path[NAME_MAX];
    struct stat status;
    int result = 0;

    nqptp_shm_path(name, path);
    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (status.st_uid == owner)
        return 0;
    if (!S_ISREG(status.st_mode))
        return -EEXIST;
    int fd = shm_open(name, O_RDWR | O_NONBLOCK, 0);
    if (fd < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    /* A write lease is granted only while nobody else has the file open or mapped; and only to its
     * owner, or with a capability that root has none of in most containers. */
    uid_t before = (uid_t)setfsuid(status.st_uid);
    int error = fcntl(fd, F_SETLEASE, F_WRLCK) < 0 ? errno : 0;
    setfsuid(before);
    if (error != 0)
        result = error == EAGAIN ? -EBUSY : -error;
    else
        result = shm_unlink(name) < 0 ? -errno : 1;
    close(fd);
    return result;
}
