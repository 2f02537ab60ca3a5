/* SPDX-License-Identifier: MIT */
/*
 * Sets CLOCK_REALTIME as an NTP client does: by a step, or by another rate. It is for the virtual
 * machines of tests/vm only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>

#define SECOND 1000000000LL

static const char usage[] = "usage: set-clock step NANOSECONDS\n"
                            "       set-clock rate PPM           from -500 to 500\n";

int main(int argc, char **argv) {
    struct timex change = {0};

    if (argc != 3) {
        fputs(usage, stderr);
        return 2;
    }
    if (strcmp(argv[1], "step") == 0) {
        long long step_ns = strtoll(argv[2], NULL, 10);
        long long rest_ns = (step_ns % SECOND + SECOND) % SECOND; /* the kernel wants 0 or more */
        change.modes = ADJ_SETOFFSET | ADJ_NANO;
        change.time.tv_sec = (step_ns - rest_ns) / SECOND;
        change.time.tv_usec = rest_ns; /* nanoseconds, by ADJ_NANO */
    } else {
        change.modes = ADJ_FREQUENCY;
        change.freq = strtol(argv[2], NULL, 10) * 65536;
    }
    if (clock_adjtime(CLOCK_REALTIME, &change) < 0) {
        fprintf(stderr, "set-clock: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}
