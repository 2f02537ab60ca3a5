/* SPDX-License-Identifier: MIT */
/*
 * Files by the name of an object.
 *
 * Another user may have put anything at that name: a link, a pipe, a socket, a directory. So the
 * name is looked at by lstat(2) first, and a file is opened only if that cannot block.
 */
#include "nqptp-shm-file.h"

#include "nqptp-shm-layouts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void nqptp_shm_path(const char *name, char path[NQPTP_SHM_PATH_SIZE]) {
    snprintf(path, NQPTP_SHM_PATH_SIZE, NQPTP_SHM_DIRECTORY "%s", name);
}

bool nqptp_shm_exists(const char *name) {
    char path[NQPTP_SHM_PATH_SIZE];
    struct stat status;

    nqptp_shm_path(name, path);
    return lstat(path, &status) == 0;
}

/* Opens a regular file with one link for reading. It blocks neither at a pipe nor at a lease. */
static int open_to_read(const char *path) {
    struct stat status;
    int fd = -1;

    errno = EINVAL;
    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1)
        fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    return fd;
}

int nqptp_shm_inspect(const char *name, struct nqptp_shm_found *found) {
    char path[NQPTP_SHM_PATH_SIZE];
    struct stat status;

    nqptp_shm_path(name, path);
    *found = (struct nqptp_shm_found){0};
    if (lstat(path, &status) < 0)
        return -errno;
    found->owner = status.st_uid;
    found->mode = status.st_mode & 07777;
    int fd = open_to_read(path);
    if (fd < 0) {
        found->leased = errno == EWOULDBLOCK;
        return 0;
    }
    const struct nqptp_shm_layout *layout = nqptp_shm_layout_of(fd);
    found->layout = layout ? layout->version : 0;
    close(fd);
    return 0;
}

size_t nqptp_shm_read_kept(const char *name, enum nqptp_kept which, char text[NQPTP_KEPT_MAX]) {
    char path[NQPTP_SHM_PATH_SIZE];
    size_t length = 0;

    nqptp_shm_path(name, path);
    int fd = open_to_read(path);
    if (fd >= 0) {
        length = nqptp_kept_read(fd, which, text);
        close(fd);
    }
    return length;
}

void nqptp_shm_describe(const char *name, char *text, size_t size) {
    struct nqptp_shm_found found;

    if (nqptp_shm_inspect(name, &found) < 0)
        snprintf(text, size, "gone by now");
    else
        snprintf(text, size, "owned by uid %u, mode %04o", (unsigned)found.owner, found.mode);
}

/* renameat2(2), which musl has not. */
static int rename_at(const char *from, const char *to, unsigned flags) {
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

/* --- making ----------------------------------------------------------------------------------- */

/* Makes an empty file under a random hidden name. Returns its descriptor, or -errno. */
static int make_hidden(char path[NQPTP_SHM_PATH_SIZE]) {
    uint64_t number = 0;

    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return -errno;
    snprintf(path, NQPTP_SHM_PATH_SIZE, NQPTP_SHM_DIRECTORY "/.nqptp-%016" PRIx64, number);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

int nqptp_shm_make_file(char hidden[NQPTP_SHM_PATH_SIZE]) {
    int fd = -1;

    hidden[0] = '\0';
    if (access("/proc/self/fd", X_OK) == 0)
        fd = open(NQPTP_SHM_DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd < 0 ? make_hidden(hidden) : fd;
}

int nqptp_shm_name_file(int fd, const char *hidden, const char *name) {
    char path[NQPTP_SHM_PATH_SIZE], unnamed[64];

    nqptp_shm_path(name, path);
    if (*hidden)
        return rename_at(hidden, path, RENAME_NOREPLACE) < 0 ? -errno : 0;
    snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* --- put aside ------------------------------------------------------------------------------- */

#define KEPT_SUFFIX ".kept"

static void path_aside(const char *name, char path[NQPTP_SHM_PATH_SIZE]) {
    snprintf(path, NQPTP_SHM_PATH_SIZE, NQPTP_SHM_DIRECTORY "/.%s" KEPT_SUFFIX, name + 1);
}

int nqptp_shm_put_aside(const char *name) {
    char path[NQPTP_SHM_PATH_SIZE], aside[NQPTP_SHM_PATH_SIZE];

    nqptp_shm_path(name, path);
    path_aside(name, aside);
    return rename(path, aside) < 0 ? -errno : 0;
}

/* Is it a regular file of this user with one name? */
static bool is_own(const char *path, struct stat *status) {
    return lstat(path, status) == 0 && S_ISREG(status->st_mode) && status->st_uid == geteuid() &&
           status->st_nlink == 1;
}

bool nqptp_shm_bring_back(const char *name) {
    char path[NQPTP_SHM_PATH_SIZE], aside[NQPTP_SHM_PATH_SIZE];
    struct stat status;

    nqptp_shm_path(name, path);
    path_aside(name, aside);
    if (!is_own(aside, &status))
        return false;
    /* An empty object of ours, which "nqptp --claim" puts there, makes room. */
    if (rename_at(aside, path, RENAME_NOREPLACE) == 0 ||
        (errno == EEXIST && is_own(path, &status) && status.st_size == 0 &&
         rename(aside, path) == 0))
        return true;
    unlink(aside);
    return false;
}

/* Writes the name of the object whose file is put aside under this name. Returns false if none is.
 */
static bool read_aside(const char *file, char name[NQPTP_SHM_PATH_SIZE]) {
    size_t length = strlen(file), suffix = strlen(KEPT_SUFFIX);

    if (file[0] != '.' || length < 2 + suffix || strcmp(file + length - suffix, KEPT_SUFFIX) != 0)
        return false;
    snprintf(name, NQPTP_SHM_PATH_SIZE, "/%.*s", (int)(length - suffix - 1), file + 1);
    return true;
}

void nqptp_shm_bring_all_back(char *names, size_t size) {
    DIR *directory = opendir(NQPTP_SHM_DIRECTORY);
    char name[NQPTP_SHM_PATH_SIZE];
    const struct dirent *entry;
    size_t length = 0;

    names[0] = '\0';
    while (directory && (entry = readdir(directory)))
        if (read_aside(entry->d_name, name) && nqptp_shm_bring_back(name) &&
            length + strlen(name) + 1 < size)
            length += (size_t)snprintf(names + length, size - length, "%s ", name);
    if (directory)
        closedir(directory);
}

/* --- claiming --------------------------------------------------------------------------------- */

/*
 * To remove the other file first and make ours then would leave a moment in which another user can
 * take the name again: against a loop of mkdir that lost 10 of 10 times. To exchange the two does
 * not.
 */
int nqptp_shm_claim(const char *name, uid_t user, gid_t group) {
    char path[NQPTP_SHM_PATH_SIZE], hidden[NQPTP_SHM_PATH_SIZE];
    struct stat status;

    nqptp_shm_path(name, path);
    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (S_ISREG(status.st_mode) && status.st_uid == user)
        return 0;
    int fd = make_hidden(hidden);
    if (fd < 0)
        return fd;
    int result =
        fchown(fd, user, group) < 0 || rename_at(hidden, path, RENAME_EXCHANGE) < 0 ? -errno : 1;
    close(fd);
    /* Now the hidden name is that of the other file; or it is still ours, if the exchange failed.
     */
    if (unlink(hidden) < 0)
        rmdir(hidden);
    return result == -ENOENT ? 0 : result;
}
