/* SPDX-License-Identifier: MIT */
/*
 * What the test programs share: the time, a pause, the end of a program that cannot go on, and the
 * order of numbers.
 */
#ifndef NQPTP_PROGRAM_H
#define NQPTP_PROGRAM_H

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SECOND INT64_C(1000000000)
#define MS INT64_C(1000000)

static inline int64_t now_ns(clockid_t clock) {
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

/* A signal ends the pause. */
static inline void pause_for(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

/* Ends the program with this exit status. Prints its name and the text on stderr. */
__attribute__((noreturn, format(printf, 2, 3))) static inline void quit(int status,
                                                                        const char *format, ...) {
    va_list arguments;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(status);
}

static inline int compare_numbers(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static inline void sort_numbers(int64_t *numbers, size_t count) {
    qsort(numbers, count, sizeof *numbers, compare_numbers);
}

#endif
