/* SPDX-License-Identifier: MIT */
/* Giving up privileges: see the header. */
#include "nqptp-privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Takes from the bounding set, which only root may, and from what a program run by us inherits. */
static void bequeath_only(uint64_t kept) {
    for (unsigned long i = 0; prctl(PR_CAPBSET_READ, i, 0UL, 0UL, 0UL) >= 0; i++) {
        if (kept >> i & 1)
            continue;
        prctl(PR_CAPBSET_DROP, i, 0UL, 0UL, 0UL);
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, i, 0UL, 0UL);
    }
}

static int keep_only(uint64_t kept) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};
    uint32_t excess = 0;

    if (syscall(SYS_capget, &header, sets) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        uint32_t mask = (uint32_t)(kept >> 32 * i);
        excess |= sets[i].permitted & ~mask;
        sets[i].permitted &= mask;
        sets[i].effective = sets[i].permitted;
        sets[i].inheritable &= mask;
    }
    return syscall(SYS_capset, &header, sets) < 0 && excess != 0 ? -errno : 0;
}

int nqptp_privileges_drop(uid_t user, gid_t group, uint64_t kept) {
    bequeath_only(kept);
    if (kept != 0)
        prctl(PR_SET_KEEPCAPS, 1UL, 0UL, 0UL, 0UL);
    if (user != geteuid() && (setgroups(1, &group) < 0 || setresgid(group, group, group) < 0 ||
                              setresuid(user, user, user) < 0))
        return -errno;
    return keep_only(kept);
}
