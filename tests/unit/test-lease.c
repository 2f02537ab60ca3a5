/* SPDX-License-Identifier: MIT */
/*
 * Proves when a lease that the kernel refuses is tried for again. Its fcntl() is that of this
 * program; test-shm has the tests with the kernel's.
 */
#include "nqptp-lease.h"

#include "../lib/tap.h"

#include <errno.h>
#include <fcntl.h>

#define MS UINT64_C(1000000)
#define START_NS UINT64_C(1000000000000)

static int lease_error; /* Why the kernel refuses a lease; 0: it grants it. */

/* Replaces the function of the C library in this program. */
int fcntl(int fd, int command, ...) {
    (void)fd;
    errno = command == F_SETLEASE ? lease_error : 0;
    return errno ? -1 : 0;
}

static struct nqptp_lease open_refused(int error) {
    struct nqptp_lease lease;

    lease_error = error;
    nqptp_lease_open(&lease, 0, "/nowhere/object", START_NS);
    return lease;
}

/* No close will be told that brings the lease. */
static void test_no_memory(void) {
    struct nqptp_lease lease = open_refused(ENOMEM);

    for (uint64_t seconds = 1; seconds <= 6; seconds++) {
        CHECK_EQ_U64(lease.retry_ns, START_NS + seconds * 1000 * MS,
                     "no memory for a lease: a try after %" PRIu64 " s", seconds);
        nqptp_lease_retry(&lease, lease.retry_ns);
    }
    lease_error = 0;
    nqptp_lease_retry(&lease, lease.retry_ns);
    CHECK(lease.state == NQPTP_LEASE_HELD && lease.retry_ns == NQPTP_NO_DEADLINE,
          "there is memory again: the lease is held");
    nqptp_lease_close(&lease);
}

static void test_other_errors(void) {
    struct nqptp_lease lease = open_refused(EAGAIN);

    CHECK(lease.state == NQPTP_LEASE_NONE && lease.retry_ns == NQPTP_NO_DEADLINE,
          "another process has the object open: its close is waited for");
    nqptp_lease_close(&lease);
    lease = open_refused(EINVAL);
    CHECK(lease.state == NQPTP_LEASE_UNAVAILABLE && lease.retry_ns == NQPTP_NO_DEADLINE,
          "a file system without leases: there is no other try");
    nqptp_lease_close(&lease);
}

int main(void) {
    test_no_memory();
    test_other_errors();
    return tap_done();
}
