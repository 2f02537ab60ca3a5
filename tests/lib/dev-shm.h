/* SPDX-License-Identifier: MIT */
/* A /dev/shm of its own for a unit test that makes objects, or a clean one after it. */
#ifndef NQPTP_TESTS_DEV_SHM_H
#define NQPTP_TESTS_DEV_SHM_H

#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void dev_shm_write(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)!write(fd, text, strlen(text));
        close(fd);
    }
}

/*
 * Gives this process a /dev/shm of its own, which vanishes with it, also if it is killed. Returns
 * false where that is not allowed. An ordinary user needs a user namespace for it.
 */
static inline bool make_dev_shm_private(void) {
    bool root = geteuid() == 0;
    char users[64], groups[64];

    snprintf(users, sizeof users, "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
    snprintf(groups, sizeof groups, "%u %u 1", (unsigned)getegid(), (unsigned)getegid());
    if (unshare(CLONE_NEWNS | (root ? 0 : CLONE_NEWUSER)) < 0)
        return false;
    if (!root) {
        dev_shm_write("/proc/self/uid_map", users);
        dev_shm_write("/proc/self/setgroups", "deny"); /* Without it there may be no gid_map. */
        dev_shm_write("/proc/self/gid_map", groups);
    }
    return mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777") == 0;
}

/* Removes the files and directories that the pattern matches. */
static inline void dev_shm_remove(const char *pattern) {
    glob_t files;

    if (glob(pattern, 0, NULL, &files) != 0)
        return;
    for (size_t i = 0; i < files.gl_pathc; i++)
        if (unlink(files.gl_pathv[i]) < 0)
            rmdir(files.gl_pathv[i]);
    globfree(&files);
}

/*
 * For a test that goes on without a /dev/shm of its own. In the child it returns -1: the child
 * runs the test. In the parent it waits for the child, removes each file of /dev/shm that has
 * `mark` in its name, also if the child crashed, and returns the exit status for main().
 */
static inline int test_in_child(const char *mark) {
    char pattern[256];
    int status = 0;

    pid_t child = fork();
    if (child == 0)
        return -1;
    bool exited = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
    snprintf(pattern, sizeof pattern, "/dev/shm/*%s*", mark);
    dev_shm_remove(pattern);
    snprintf(pattern, sizeof pattern, "/dev/shm/.*%s*", mark);
    dev_shm_remove(pattern);
    return exited ? WEXITSTATUS(status) : 1;
}

#endif
