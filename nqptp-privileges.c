/* SPDX-License-Identifier: MIT */
/*
 * Users, groups and capabilities: see the header.
 *
 * Only a daemon that was started as root comes to nqptp_privileges_drop(), once, after its ports
 * are open. There is no way back. The service is never root: its unit gives it the one capability
 * CAP_NET_BIND_SERVICE, limits that by SocketBindAllow=, and denies capset(2).
 */
#include "nqptp-privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns why a name was not found. getpwnam(3) lists many values that mean "there is none". */
static int lookup_error(void) {
    bool failed = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EIO;

    return failed ? -errno : -ENOENT;
}

int nqptp_user_find(const char *name, uid_t *user, gid_t *group) {
    errno = 0;
    const struct passwd *entry = getpwnam(name);
    if (!entry)
        return lookup_error();
    *user = entry->pw_uid;
    *group = entry->pw_gid;
    return 0;
}

int nqptp_group_find(const char *name, gid_t *group) {
    errno = 0;
    const struct group *entry = getgrnam(name);
    if (!entry)
        return lookup_error();
    *group = entry->gr_gid;
    return 0;
}

/*
 * Gives up what is not in `kept`. In a container root may have less than that already. The kernel
 * takes away ambient capabilities that are not inheritable.
 */
static int keep_only(uint64_t kept) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};

    if (syscall(SYS_capget, &header, sets) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        sets[i].permitted &= (uint32_t)(kept >> 32 * i);
        sets[i].effective = sets[i].permitted;
        sets[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

int nqptp_privileges_drop(uid_t user, gid_t group, uint64_t kept) {
    prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL); /* A program that it executed gains nothing. */
    prctl(PR_SET_KEEPCAPS, 1UL, 0UL, 0UL, 0UL);
    if (user != geteuid() && (setgroups(1, &group) < 0 || setresgid(group, group, group) < 0 ||
                              setresuid(user, user, user) < 0))
        return -errno;
    return keep_only(kept);
}

bool nqptp_privileges_has(unsigned capability) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};

    return syscall(SYS_capget, &header, sets) == 0 &&
           (sets[capability / 32].effective >> capability % 32 & 1);
}
