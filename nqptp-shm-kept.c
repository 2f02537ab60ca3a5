/* SPDX-License-Identifier: MIT */
/*
 * Texts that outlive the process. This module has no state but what is in the file.
 *
 * Each text has its own place in the file: a length, a checksum over length and bytes, and the
 * bytes. A process that is killed while it replaces a text leaves a mixture of two, which does not
 * agree with its checksum and so counts as no text.
 *
 * A text is written by pwrite(2), never by a mapping: a client may cut the file short at any
 * moment, and then a store to a mapping would end the process. A text that is read is never
 * trusted.
 */
#include "nqptp-shm-kept.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static const struct {
    off_t at;
    size_t size; /* The length of the longest text there. */
} places[NQPTP_KEPT_COUNT] = {
    [NQPTP_KEPT_LIST] = {NQPTP_KEPT_AT, NQPTP_KEPT_MAX},
    [NQPTP_KEPT_NAMES] = {8448, NQPTP_KEPT_MAX},
    [NQPTP_KEPT_ACTIVITY] = {12800, 128},
};

struct stored {
    uint32_t length;
    uint32_t checksum;
    char text[NQPTP_KEPT_MAX];
};

/* Returns the FNV-1a of the length and the bytes. */
static uint32_t checksum_of(const char *text, uint32_t length) {
    uint32_t sum = UINT32_C(2166136261) ^ length;

    for (uint32_t i = 0; i < length; i++)
        sum = (sum ^ (uint8_t)text[i]) * UINT32_C(16777619);
    return sum;
}

int nqptp_kept_write(int fd, enum nqptp_kept which, const char *text, size_t length) {
    const size_t size = offsetof(struct stored, text) + length;
    struct stored stored;
    char before[NQPTP_KEPT_MAX];

    if (length > places[which].size)
        return -ENOSPC;
    if (nqptp_kept_read(fd, which, before) == length && memcmp(before, text, length) == 0)
        return 0;
    stored.length = (uint32_t)length;
    stored.checksum = checksum_of(text, stored.length);
    memcpy(stored.text, text, length);
    ssize_t written = pwrite(fd, &stored, size, places[which].at);
    return written < 0 ? -errno : (size_t)written < size ? -EIO : 0;
}

size_t nqptp_kept_read(int fd, enum nqptp_kept which, char text[NQPTP_KEPT_MAX]) {
    const size_t head = offsetof(struct stored, text);
    struct stored stored;
    ssize_t count = pread(fd, &stored, head + places[which].size, places[which].at);

    if (count < (ssize_t)head || stored.length > places[which].size ||
        stored.length > (size_t)count - head ||
        stored.checksum != checksum_of(stored.text, stored.length))
        return 0;
    memcpy(text, stored.text, stored.length);
    return stored.length;
}
