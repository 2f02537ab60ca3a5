/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share: taking an input apart, and saying that something does not hold.
 *
 * A target is one file, fuzz-NAME.c, with the one function below, and includes only what the
 * library declares in its headers. Its inputs are in corpus/NAME. It runs in three ways:
 *
 *   make check               links it with fuzz-replay.c and replays the corpus; needs no fuzzer
 *   make fuzz SECONDS=60     runs it with libFuzzer, see fuzz.sh
 *   with AFL++, from a build directory, as for instance
 *     afl-clang-fast -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I"$src" \
 *         "$src"/tests/fuzz/fuzz-engine.c "$src"/nqptp-*.c -lm -o afl-engine
 *     afl-fuzz -i "$src/tests/fuzz/corpus/engine" -o afl-out -- ./afl-engine
 *
 * What a fuzzer finds is replayed, by either program, with its file as argument. It belongs into
 * the corpus, together with the commit that mends what it found.
 */
#ifndef NQPTP_FUZZ_H
#define NQPTP_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tries one input; aborts if anything is wrong. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_failed(const char *file, int line, const char *expression) {
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, expression);
    abort();
}

/* As assert(), but always there. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_failed(__FILE__, __LINE__, #condition);                                           \
    } while (0)

/* The rest of an input. Beyond its end there are zeros. */
struct fuzz_input {
    const uint8_t *data;
    size_t left;
};

static inline uint64_t fuzz_number(struct fuzz_input *input, unsigned octets) {
    uint64_t value = 0;

    for (; octets > 0; octets--) {
        value = value << 8 | (input->left > 0 ? *input->data : 0);
        input->data += input->left > 0;
        input->left -= input->left > 0;
    }
    return value;
}

static inline uint8_t fuzz_octet(struct fuzz_input *input) {
    return (uint8_t)fuzz_number(input, 1);
}

/* Returns a number of any magnitude: two octets give the number of bits, and the first of them. */
static inline uint64_t fuzz_magnitude(struct fuzz_input *input) {
    unsigned bits = fuzz_octet(input) & 0x3F;
    uint64_t first = 0x80 | (fuzz_octet(input) & 0x7F);

    return first << 56 >> (63 - bits);
}

/* The next `length` octets in memory of their own, so that reading past them is noticed. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t length) {
    uint8_t *copy = calloc(length > 0 ? length : 1, 1);

    if (!copy)
        abort();
    if (length > 0)
        memcpy(copy, data, length);
    return copy;
}

#endif
