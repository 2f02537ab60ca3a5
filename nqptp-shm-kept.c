/* SPDX-License-Identifier: MIT */
/*
 * Texts that outlive the process. This module has no state but what is in the file.
 *
 * Each text has its own place in the file: a length, a checksum over length and bytes, and the
 * bytes. To replace a text, the daemon first writes the length 0, then the checksum and the bytes,
 * and last the length. A process that is killed meanwhile leaves no text instead of a mixture of
 * two.
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

static const struct place {
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

static int write_all(int fd, const void *bytes, size_t count, off_t at) {
    ssize_t written = pwrite(fd, bytes, count, at);
    return written < 0 ? -errno : (size_t)written < count ? -EIO : 0;
}

int nqptp_kept_write(int fd, enum nqptp_kept which, const char *text, size_t length) {
    const struct place *place = &places[which];
    const uint32_t none = 0;
    struct stored stored;
    char before[NQPTP_KEPT_MAX];

    if (length > place->size)
        return -ENOSPC;
    if (nqptp_kept_read(fd, which, before) == length && memcmp(before, text, length) == 0)
        return 0;
    stored.length = (uint32_t)length;
    stored.checksum = checksum_of(text, stored.length);
    memcpy(stored.text, text, length);
    const size_t behind_length = offsetof(struct stored, checksum);
    int result = write_all(fd, &none, sizeof none, place->at);
    if (result == 0)
        result = write_all(fd, &stored.checksum, sizeof stored.checksum + length,
                           place->at + (off_t)behind_length);
    return result == 0 ? write_all(fd, &stored.length, sizeof stored.length, place->at) : result;
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
