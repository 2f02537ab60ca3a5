/* SPDX-License-Identifier: MIT */
/*
 * Proves that a text kept in an object is read back unchanged, that a process killed at any byte
 * leaves the old text, the new text or none, and that other bytes in the file are taken for no
 * text.
 */
#include "nqptp-shm-kept.h"

#include "../lib/random.h"
#include "../lib/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_SIZE 16384

/* The number of bytes that may be written before the process dies; -1: any number. */
static long budget = -1;

static unsigned writes; /* How often the daemon wrote. */

/* Replaces the function of the C library in this program. */
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    bool dies = budget >= 0 && (size_t)budget < count;
    size_t written = dies ? (size_t)budget : count;

    writes++;
    if (lseek(fd, at, SEEK_SET) < 0 || write(fd, bytes, written) != (ssize_t)written)
        return -1;
    if (dies)
        _exit(0);
    if (budget >= 0)
        budget -= (long)count;
    return (ssize_t)count;
}

static int new_file(void) {
    int fd = memfd_create("object", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, FILE_SIZE) == 0, "a new file is an object");
    return fd;
}

static bool holds(int fd, enum nqptp_kept which, const char *text) {
    char read[NQPTP_KEPT_MAX];
    return nqptp_kept_read(fd, which, read) == strlen(text) &&
           memcmp(read, text, strlen(text)) == 0;
}

static int keep(int fd, enum nqptp_kept which, const char *text) {
    return nqptp_kept_write(fd, which, text, strlen(text));
}

static void test_read_back(void) {
    char longest[NQPTP_KEPT_MAX + 1], read[NQPTP_KEPT_MAX];
    int fd = new_file();

    memset(longest, 'x', sizeof longest);
    for (enum nqptp_kept which = 0; which < NQPTP_KEPT_COUNT; which++)
        CHECK_EQ_U64(nqptp_kept_read(fd, which, read), 0, "a new object holds no text %u", which);
    CHECK_EQ_I64(nqptp_kept_write(fd, NQPTP_KEPT_LIST, longest, NQPTP_KEPT_MAX), 0,
                 "the longest list is kept");
    CHECK_EQ_I64(nqptp_kept_write(fd, NQPTP_KEPT_NAMES, longest, NQPTP_KEPT_MAX), 0,
                 "the longest names are kept");
    CHECK_EQ_I64(keep(fd, NQPTP_KEPT_ACTIVITY, "/one B"), 0, "the activity is kept");
    CHECK(nqptp_kept_read(fd, NQPTP_KEPT_LIST, read) == NQPTP_KEPT_MAX &&
              memcmp(read, longest, NQPTP_KEPT_MAX) == 0,
          "the longest list is read back");
    CHECK(nqptp_kept_read(fd, NQPTP_KEPT_NAMES, read) == NQPTP_KEPT_MAX &&
              memcmp(read, longest, NQPTP_KEPT_MAX) == 0,
          "the longest names are read back");
    CHECK(holds(fd, NQPTP_KEPT_ACTIVITY, "/one B"), "the activity is read back");
    CHECK_EQ_I64(nqptp_kept_write(fd, NQPTP_KEPT_LIST, longest, NQPTP_KEPT_MAX + 1), -ENOSPC,
                 "a longer text is refused");
    CHECK_EQ_I64(nqptp_kept_write(fd, NQPTP_KEPT_ACTIVITY, longest, 129), -ENOSPC,
                 "a longer activity is refused");
    CHECK_EQ_I64(nqptp_kept_write(fd, NQPTP_KEPT_ACTIVITY, longest, 128), 0,
                 "the longest activity is kept");
    CHECK_EQ_I64(keep(fd, NQPTP_KEPT_LIST, "/one T"), 0, "a shorter list replaces the longest one");
    CHECK(holds(fd, NQPTP_KEPT_LIST, "/one T"), "the shorter list is read back");
    unsigned before = writes;
    CHECK_EQ_I64(keep(fd, NQPTP_KEPT_LIST, "/one T"), 0, "the same list is kept");
    CHECK_EQ_U64(writes, before, "the same list is not written again");
    CHECK_EQ_I64(keep(fd, NQPTP_KEPT_LIST, ""), 0, "an empty text replaces a list");
    CHECK(holds(fd, NQPTP_KEPT_LIST, ""), "the empty text is read back");
    close(fd);
}

/* Another version of the daemon must find what this one kept, so neither place nor form changes. */
static void test_places(void) {
    static const uint32_t head[] = {1, UINT32_C(3490449840)}; /* Length and checksum. */
    static const off_t places[] = {
        [NQPTP_KEPT_LIST] = 4096, [NQPTP_KEPT_NAMES] = 8448, [NQPTP_KEPT_ACTIVITY] = 12800};
    int fd = new_file();

    for (enum nqptp_kept which = 0; which < NQPTP_KEPT_COUNT; which++) {
        (void)!pwrite(fd, head, sizeof head, places[which]);
        (void)!pwrite(fd, "T", 1, places[which] + (off_t)sizeof head);
        CHECK(holds(fd, which, "T"), "text %u is found where an earlier version put it", which);
    }
    close(fd);
}

/* The writer is killed after `bytes` bytes of a new text. Returns whether all was written. */
static bool killed_after(long bytes, unsigned *wrong) {
    static const char old[] = "/one T 192.0.2.1", new[] = "/one T 2001:db8::1 192.0.2.2";
    int fd = memfd_create("object", MFD_CLOEXEC), status = -1;

    (void)!ftruncate(fd, FILE_SIZE);
    keep(fd, NQPTP_KEPT_LIST, old);
    pid_t child = fork();
    if (child == 0) {
        budget = bytes;
        keep(fd, NQPTP_KEPT_LIST, new);
        _exit(1);
    }
    waitpid(child, &status, 0);
    bool whole = WIFEXITED(status) && WEXITSTATUS(status) == 1;
    *wrong += !holds(fd, NQPTP_KEPT_LIST, new) &&
              (whole || (!holds(fd, NQPTP_KEPT_LIST, old) && !holds(fd, NQPTP_KEPT_LIST, "")));
    close(fd);
    return whole;
}

static void test_killed_at_each_byte(void) {
    unsigned wrong = 0;
    long bytes = 0;

    while (bytes < 200 && !killed_after(bytes, &wrong))
        bytes++;
    CHECK(bytes > 30 && bytes < 200, "killed at each of %ld bytes of a write", bytes);
    CHECK_EQ_U64(wrong, 0, "killed at each byte: the old text, none or all of the new one is left");
}

/* One byte is changed, or all bytes are random. */
static void test_scribbled_over(void) {
    static const char text[] = "/one T 192.0.2.1";
    struct prng random = {7};
    uint8_t bytes[FILE_SIZE], before[FILE_SIZE];
    char read[NQPTP_KEPT_MAX];
    unsigned taken = 0;
    int fd = new_file();

    keep(fd, NQPTP_KEPT_LIST, text);
    CHECK_EQ_I64(pread(fd, before, sizeof before, 0), FILE_SIZE, "the object can be read");
    for (size_t i = 0; i < sizeof before; i++) {
        if (before[i] == 0)
            continue;
        memcpy(bytes, before, sizeof bytes);
        bytes[i] ^= (uint8_t)(1 + prng_below(&random, 255));
        (void)!pwrite(fd, bytes, sizeof bytes, 0);
        taken += nqptp_kept_read(fd, NQPTP_KEPT_LIST, read) != 0;
    }
    CHECK_EQ_U64(taken, 0, "a text with another byte is not there");
    for (unsigned n = 0; n < 1000; n++) {
        prng_fill(&random, bytes, sizeof bytes);
        if (n % 2)
            for (size_t i = 4096; i < sizeof bytes; i += 4)
                memcpy(&bytes[i], (uint32_t[]){(uint32_t)prng_below(&random, 5000)}, 4);
        (void)!pwrite(fd, bytes, sizeof bytes, 0);
        for (enum nqptp_kept which = 0; which < NQPTP_KEPT_COUNT; which++)
            taken += nqptp_kept_read(fd, which, read) != 0;
    }
    CHECK_EQ_U64(taken, 0, "random bytes are no text");
    close(fd);
}

static void test_cut_short(void) {
    char read[NQPTP_KEPT_MAX];
    unsigned taken = 0;
    int fd = new_file();

    for (off_t size = 4096; size < 4096 + 24; size++) {
        keep(fd, NQPTP_KEPT_LIST, "/one T 192.0.2.1");
        (void)!ftruncate(fd, size);
        taken += nqptp_kept_read(fd, NQPTP_KEPT_LIST, read) != 0;
    }
    CHECK_EQ_U64(taken, 0, "a text that was cut short is not there");
    close(fd);
}

int main(void) {
    static void (*const tests[])(void) = {
        test_read_back, test_places, test_killed_at_each_byte, test_scribbled_over, test_cut_short,
    };
    TAP_RUN(tests);
    return tap_done();
}
