/* SPDX-License-Identifier: MIT */
/*
 * Files by the name of an object.
 *
 * Another user may have put anything at that name: a link, a pipe, a socket, a directory. So the
 * name is looked at by lstat(2) first, and a file is opened only if that cannot block.
 */
#include "nqptp-shm-file.h"

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

#define OLD_SIZE 4096 /* Of an object that an older version made. */

void nqptp_shm_path(const char *name, char path[NQPTP_SHM_PATH_SIZE]) {
    snprintf(path, NQPTP_SHM_PATH_SIZE, NQPTP_SHM_DIRECTORY "%s", name);
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

bool nqptp_shm_is_leased(const char *name) {
    char path[NQPTP_SHM_PATH_SIZE];

    nqptp_shm_path(name, path);
    int fd = open_to_read(path);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EWOULDBLOCK;
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
    char path[NQPTP_SHM_PATH_SIZE];
    struct stat status;

    nqptp_shm_path(name, path);
    if (lstat(path, &status) < 0)
        snprintf(text, size, "gone by now");
    else
        snprintf(text, size, "%sowned by uid %u, mode %04o",
                 S_ISDIR(status.st_mode) ? "a directory, " : "", (unsigned)status.st_uid,
                 (unsigned)(status.st_mode & 07777));
}

/* renameat2(2), which musl has not. */
static int rename_at(const char *from, const char *to, unsigned flags) {
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

/* --- making ----------------------------------------------------------------------------------- */

/* Writes a hidden path that no other user can have taken before: a part of it is random. */
static int hidden_path(const char *stem, const char *suffix, char path[NQPTP_SHM_PATH_SIZE]) {
    uint64_t number = 0;

    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return -errno;
    snprintf(path, NQPTP_SHM_PATH_SIZE, NQPTP_SHM_DIRECTORY "/.%s.%016" PRIx64 "%s", stem, number,
             suffix);
    return 0;
}

/* Makes an empty file under a hidden name. Returns its descriptor, or -errno. */
static int make_hidden(char path[NQPTP_SHM_PATH_SIZE]) {
    int fd = hidden_path("nqptp", ".new", path);

    if (fd == 0)
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
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
enum { RANDOM_DIGITS = 16 };

bool nqptp_shm_is_ours(const struct stat *status) {
    return S_ISREG(status->st_mode) && status->st_uid == geteuid() && status->st_nlink == 1 &&
           (status->st_size == 0 || status->st_size == OLD_SIZE ||
            status->st_size == NQPTP_SHM_SIZE);
}

int nqptp_shm_put_aside(const char *name) {
    char path[NQPTP_SHM_PATH_SIZE], aside[NQPTP_SHM_PATH_SIZE];
    int result = hidden_path(name + 1, KEPT_SUFFIX, aside);

    nqptp_shm_path(name, path);
    if (result == 0 && rename_at(path, aside, RENAME_NOREPLACE) < 0)
        result = -errno;
    return result;
}

/*
 * Renames the file back, and returns whether that was done. If another user has taken the name
 * meanwhile, the file stays aside, for the start after "nqptp --claim". The empty object that
 * "--claim" made is replaced. Another object of ours is newer than the file, which is then removed.
 */
static bool bring_back(const char *aside, const char *path) {
    struct stat kept, named;

    if (lstat(aside, &kept) < 0 || !nqptp_shm_is_ours(&kept))
        return false;
    if (rename_at(aside, path, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EEXIST || lstat(path, &named) < 0 || !nqptp_shm_is_ours(&named))
        return false;
    if (named.st_size == 0)
        return rename(aside, path) == 0;
    unlink(aside);
    return false;
}

/* Writes the name of the object whose file is put aside as `file`. Returns false if none is. */
static bool name_of_aside(const char *file, char name[NAME_MAX]) {
    const size_t end = 1 + RANDOM_DIGITS + strlen(KEPT_SUFFIX);
    size_t length = strlen(file);

    if (file[0] != '.' || length < 2 + end || file[length - end] != '.' ||
        strspn(file + length - end + 1, "0123456789abcdef") != RANDOM_DIGITS ||
        strcmp(file + length - strlen(KEPT_SUFFIX), KEPT_SUFFIX) != 0)
        return false;
    snprintf(name, NAME_MAX, "/%.*s", (int)(length - end - 1), file + 1);
    return true;
}

void nqptp_shm_bring_all_back(char *names, size_t size) {
    char name[NAME_MAX], path[NQPTP_SHM_PATH_SIZE], aside[NQPTP_SHM_PATH_SIZE];
    DIR *directory = opendir(NQPTP_SHM_DIRECTORY);
    const struct dirent *entry;
    size_t length = 0;

    names[0] = '\0';
    while (directory && (entry = readdir(directory))) {
        if (!name_of_aside(entry->d_name, name))
            continue;
        nqptp_shm_path(name, path);
        snprintf(aside, sizeof aside, NQPTP_SHM_DIRECTORY "/%s", entry->d_name);
        if (bring_back(aside, path) && length + strlen(name) + 1 < size)
            length += (size_t)snprintf(names + length, size - length, "%s ", name);
    }
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
