/* SPDX-License-Identifier: MIT */
/*
 * Files by the name of an object. This module has no state of its own.
 *
 * A file is unnamed (or hidden) while it is made, named while it is served, and put aside under a
 * hidden name from a stop to the next start, if a player still has it open.
 *
 * Another user may have put anything at a name: a link, a pipe, a socket, a directory. So lstat(2)
 * looks first, and a file is opened only if that cannot block. This module never follows a link and
 * never writes into a file that another user made.
 */
#include "nqptp-shm-file.h"

#include "nqptp-text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
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

/* Opens a regular file with one link for reading. Neither a pipe nor a lease makes it wait. */
static int open_to_read(const char *name) {
    char path[NQPTP_SHM_PATH_SIZE];
    struct stat status;
    int fd = -1;

    nqptp_shm_path(name, path);
    errno = EINVAL;
    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1)
        fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    return fd;
}

bool nqptp_shm_is_leased(const char *name) {
    int fd = open_to_read(name);

    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EWOULDBLOCK;
}

size_t nqptp_shm_read_kept(const char *name, enum nqptp_kept which, char text[NQPTP_KEPT_MAX]) {
    int fd = open_to_read(name);
    size_t length = nqptp_kept_read(fd, which, text); /* 0 without a file */

    if (fd >= 0)
        close(fd);
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

/* Calls renameat2(2), which musl lacks. Returns 0 or -errno. */
static int rename_at(const char *from, const char *to, unsigned flags) {
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags) < 0 ? -errno : 0;
}

/* --- making ----------------------------------------------------------------------------------- */

/* Writes a hidden path. A part is random, so no other user can have taken the name before. */
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

int nqptp_shm_name_file(int fd, const char *hidden, const char *path) {
    char unnamed[64];

    if (*hidden)
        return rename_at(hidden, path, RENAME_NOREPLACE);
    snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* --- put aside ------------------------------------------------------------------------------- */

#define KEPT_SUFFIX ".kept"
#define RANDOM_PATTERN ".????????????????" /* For fnmatch(3): hidden_path() writes 16 digits. */

bool nqptp_shm_is_ours(const struct stat *status) {
    return S_ISREG(status->st_mode) && status->st_uid == geteuid() && status->st_nlink == 1 &&
           (status->st_size == 0 || status->st_size == OLD_SIZE ||
            status->st_size == NQPTP_SHM_SIZE);
}

int nqptp_shm_put_aside(const char *name) {
    char path[NQPTP_SHM_PATH_SIZE], aside[NQPTP_SHM_PATH_SIZE];
    int result = hidden_path(name + 1, KEPT_SUFFIX, aside);

    nqptp_shm_path(name, path);
    return result < 0 ? result : rename_at(path, aside, RENAME_NOREPLACE);
}

/*
 * Renames the file back, and returns whether it did. If another user has taken the name meanwhile,
 * the file stays aside until a start after "nqptp --claim". The empty object that "--claim" made is
 * replaced. So is an object that is older than the file: it was put aside too, and was brought back
 * a moment ago. The file is removed if the object is newer.
 */
static bool bring_back(const char *aside, const char *path) {
    struct stat kept, named;

    if (lstat(aside, &kept) < 0 || !nqptp_shm_is_ours(&kept))
        return false;
    int result = rename_at(aside, path, RENAME_NOREPLACE);
    if (result != -EEXIST || lstat(path, &named) < 0 || !nqptp_shm_is_ours(&named))
        return result == 0;
    if (named.st_size == 0 || named.st_mtim.tv_sec < kept.st_mtim.tv_sec)
        return rename(aside, path) == 0;
    unlink(aside);
    return false;
}

/*
 * Reads one entry after another: glob(3) would need memory for all files that match, and another
 * user can make any number of them.
 */
void nqptp_shm_bring_all_back(char *names, size_t size) {
    struct nqptp_text text = {names, size, 0};
    char aside[NQPTP_SHM_PATH_SIZE], path[NQPTP_SHM_PATH_SIZE];
    DIR *directory = opendir(NQPTP_SHM_DIRECTORY);
    const struct dirent *entry;

    names[0] = '\0';
    while (directory && (entry = readdir(directory))) {
        if (fnmatch(".?*" RANDOM_PATTERN KEPT_SUFFIX, entry->d_name, 0) != 0)
            continue;
        int length = (int)(strlen(entry->d_name) - strlen("." RANDOM_PATTERN KEPT_SUFFIX));
        snprintf(aside, sizeof aside, NQPTP_SHM_DIRECTORY "/%s", entry->d_name);
        snprintf(path, sizeof path, NQPTP_SHM_DIRECTORY "/%.*s", length, entry->d_name + 1);
        if (bring_back(aside, path))
            nqptp_text_add(&text, "%s ", path + strlen(NQPTP_SHM_DIRECTORY));
    }
    if (directory)
        closedir(directory);
}

/* --- claiming --------------------------------------------------------------------------------- */

/*
 * The two files are exchanged. If the other file were removed first, another user could take the
 * name again before ours is there: a loop of mkdir did so 10 of 10 times.
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
    int result = fchown(fd, user, group) < 0 ? -errno : rename_at(hidden, path, RENAME_EXCHANGE);
    close(fd);
    /* After the exchange the hidden name is that of the other file, otherwise of ours. */
    if (unlink(hidden) < 0)
        rmdir(hidden);
    return result == -ENOENT ? 0 : result < 0 ? result : 1;
}
