/* SPDX-License-Identifier: MIT */
/*
 * Test Anything Protocol on stdout, with the plan at its end. This is all that a unit test here
 * needs, and it knows nothing of what is tested.
 *
 * A check is printed with the function that makes it: test_long_gap() prints "long gap: NAME".
 * A check that fails tells its place and its expression, and the test goes on. Every macro
 * evaluates its arguments once; the last ones are the check's name, as for printf. A program has
 * one source file, whose main ends with `return tap_done();`.
 */
#ifndef NQPTP_TAP_H
#define NQPTP_TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static unsigned tap_checks, tap_failures;

/* Prints the name of the function that tests, as words, without its "test_" or "check_". */
static inline void tap_print_subject(const char *function) {
    const char *first = strchr(function, '_');
    bool has_prefix = strncmp(function, "test_", 5) == 0 || strncmp(function, "check_", 6) == 0;

    for (const char *c = first && has_prefix ? first + 1 : function; *c; c++)
        putchar(*c == '_' ? ' ' : *c);
}

__attribute__((format(printf, 6, 7))) static inline bool tap_check(bool ok, const char *file,
                                                                   int line, const char *function,
                                                                   const char *expression,
                                                                   const char *name, ...) {
    va_list arguments;

    printf("%s %u - ", ok ? "ok" : "not ok", ++tap_checks);
    tap_print_subject(function);
    printf(": ");
    va_start(arguments, name);
    vprintf(name, arguments);
    va_end(arguments);
    printf("\n");
    if (!ok) {
        tap_failures++;
        printf("# %s:%d %s\n", file, line, expression);
    }
    fflush(stdout); /* The results so far must survive a crash. */
    return ok;
}

static inline int tap_done(void) {
    printf("1..%u\n", tap_checks);
    return tap_failures > 0;
}

/*
 * Calls all tests of an array, with these arguments. They are called by pointers, or a compiler
 * could put the variables of all of them on the stack at the same time.
 */
#define TAP_RUN(tests, ...)                                                                        \
    do {                                                                                           \
        for (size_t tap_i = 0; tap_i < sizeof(tests) / sizeof *(tests); tap_i++)                   \
            (tests)[tap_i](__VA_ARGS__);                                                           \
    } while (0)

#define CHECK(condition, ...)                                                                      \
    ((void)tap_check((condition), __FILE__, __LINE__, __func__, #condition, __VA_ARGS__))

#define TAP_EQUAL(type, as_decimal, actual, expected, ...)                                         \
    do {                                                                                           \
        type tap_actual = (type)(actual), tap_expected = (type)(expected);                         \
        if (!tap_check(tap_actual == tap_expected, __FILE__, __LINE__, __func__,                   \
                       #actual " == " #expected, __VA_ARGS__))                                     \
            printf("# got %" as_decimal " (0x%" PRIx64 "), not %" as_decimal " (0x%" PRIx64 ")\n", \
                   tap_actual, (uint64_t)tap_actual, tap_expected, (uint64_t)tap_expected);        \
    } while (0)

#define CHECK_EQ_U64(...) TAP_EQUAL(uint64_t, PRIu64, __VA_ARGS__)
#define CHECK_EQ_I64(...) TAP_EQUAL(int64_t, PRId64, __VA_ARGS__)

#define CHECK_EQ_STR(actual, expected, ...)                                                        \
    do {                                                                                           \
        const char *tap_actual = (actual), *tap_expected = (expected);                             \
        if (!tap_check(strcmp(tap_actual, tap_expected) == 0, __FILE__, __LINE__, __func__,        \
                       #actual " is " #expected, __VA_ARGS__))                                     \
            printf("# got \"%s\", not \"%s\"\n", tap_actual, tap_expected);                        \
    } while (0)

#endif
