/* SPDX-License-Identifier: MIT */
/*
 * Reads an object of layout 10 during the whole soak and compares it with a list of the clocks,
 * which soak.sh rewrites each time it starts, moves or stops a clock. It prints each fault at once,
 * and at the end the error of each clock's offset.
 *
 * A line of the list, which is replaced by rename(2), never changed in place:
 *
 *   IDENTITY TRUTH SKEW SINCE STATE BOUND
 *
 * TRUTH is the clock's time minus CLOCK_MONOTONIC_RAW in ns, SKEW says by how many ppm it runs
 * fast, and BOUND is its largest error in ns. STATE is 1 for a clock that may be master and has to
 * be right since SINCE (by CLOCK_MONOTONIC_RAW), and 0 for a clock that is away since then.
 */
#include "../lib/layout4-client.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define CLOCKS_MAX 32
#define WINDOW 50 /* the looks of one second; their median is judged */
#define LOOK_NS 20000000
#define ATTEMPTS 9
#define HANDOVER_NS (15 * SECOND) /* from the end of a clock until another is master */
#define AGE_NS (5 * SECOND)       /* the max age of the last sample of a clock that sends */
#define TOLD_MAX 20

struct clock {
    uint64_t identity, truth_ns;
    double skew_ppm;
    int64_t since_ns, bound_ns;
    int present;
    double squares_us;
    unsigned windows;
    int64_t worst_ns;
};

struct watch {
    const char *list;
    const struct shm_structure_10 *map;
    struct timespec list_time;
    ino_t list_inode;
    unsigned clock_count, reads, changes, broken;
    struct clock clocks[CLOCKS_MAX];
    uint64_t master;
    int64_t began_ns;
    int64_t last_broken_ns; /* when the last fault was told: once a second at most */
    unsigned window_count;
    int64_t window[WINDOW];
};

static volatile sig_atomic_t enough;

static void on_signal(int number) {
    (void)number;
    enough = 1;
}

__attribute__((format(printf, 3, 4))) static void fault(struct watch *w, int64_t raw_ns,
                                                        const char *format, ...) {
    va_list arguments;

    if (raw_ns - w->last_broken_ns < SECOND)
        return;
    w->last_broken_ns = raw_ns;
    if (++w->broken > TOLD_MAX)
        return;
    printf("broken after %.1f s: ", (double)(raw_ns - w->began_ns) / 1e9);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* --- the list ------------------------------------------------------------------------------- */

static struct clock *find(struct watch *w, uint64_t identity) {
    for (unsigned i = 0; i < w->clock_count; i++)
        if (w->clocks[i].identity == identity)
            return &w->clocks[i];
    return NULL;
}

static void take_line(struct watch *w, const char *line) {
    struct clock read = {0};

    if (sscanf(line, "%" SCNx64 " %" SCNu64 " %lf %" SCNd64 " %d %" SCNd64, &read.identity,
               &read.truth_ns, &read.skew_ppm, &read.since_ns, &read.present, &read.bound_ns) != 6)
        return;
    struct clock *clock = find(w, read.identity);
    if (!clock && w->clock_count < CLOCKS_MAX)
        clock = &w->clocks[w->clock_count++];
    if (!clock)
        return;
    read.squares_us = clock->squares_us;
    read.windows = clock->windows;
    read.worst_ns = clock->worst_ns;
    *clock = read;
}

static void follow_list(struct watch *w) {
    struct stat status;
    char line[256];

    if (stat(w->list, &status) < 0)
        quit(2, "%s: %s", w->list, strerror(errno));
    if (status.st_ino == w->list_inode && status.st_mtim.tv_nsec == w->list_time.tv_nsec &&
        status.st_mtim.tv_sec == w->list_time.tv_sec)
        return;
    w->list_inode = status.st_ino;
    w->list_time = status.st_mtim;
    w->window_count = 0;
    FILE *file = fopen(w->list, "re");
    if (!file)
        quit(2, "%s: %s", w->list, strerror(errno));
    while (fgets(line, sizeof line, file))
        take_line(w, line);
    fclose(file);
}

static bool settled(const struct clock *clock, int64_t raw_ns) {
    return clock->present && raw_ns > clock->since_ns;
}

/* Whether a clock should be master by now. */
static bool any_settled(const struct watch *w, int64_t raw_ns) {
    for (unsigned i = 0; i < w->clock_count; i++)
        if (settled(&w->clocks[i], raw_ns))
            return true;
    return false;
}

/* --- looking --------------------------------------------------------------------------------- */

static void open_object(struct watch *w, const char *name) {
    int fd = shm_open(name, O_RDONLY, 0);

    if (fd < 0)
        quit(2, "%s: %s", name, strerror(errno));
    w->map = mmap(NULL, sizeof *w->map, PROT_READ, MAP_SHARED, fd, 0);
    if (w->map == MAP_FAILED)
        quit(2, "%s: %s", name, strerror(errno));
    close(fd);
}

/* Reads by the protocol that the header describes. */
static bool look(const struct watch *w, struct shm_structure_set *set) {
    struct shm_structure_10 first, second;

    for (int i = 0; i < ATTEMPTS; i++) {
        if (i > 0) /* the writer may have to wait for a processor */
            nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
        memcpy(&first, (const void *)w->map, sizeof first);
        atomic_thread_fence(memory_order_seq_cst);
        memcpy(&second, (const void *)w->map, sizeof second);
        *set = first.main;
        if (first.version == 10 && memcmp(&first.main, &second.secondary, sizeof *set) == 0)
            return true;
    }
    return false;
}

static void judge_window(struct watch *w, struct clock *clock, int64_t raw_ns) {
    sort_numbers(w->window, WINDOW);
    int64_t median_ns = w->window[WINDOW / 2];
    int64_t size_ns = llabs(median_ns);

    w->window_count = 0;
    clock->windows++;
    clock->squares_us += (double)median_ns / 1e3 * ((double)median_ns / 1e3);
    if (size_ns > clock->worst_ns)
        clock->worst_ns = size_ns;
    if (size_ns > clock->bound_ns)
        fault(w, raw_ns, "%016" PRIx64 " errs by %" PRId64 " ns, more than %" PRId64,
              clock->identity, median_ns, clock->bound_ns);
}

static void judge_master(struct watch *w, struct clock *clock, const struct shm_structure_set *set,
                         int64_t raw_ns) {
    if (!clock->present && raw_ns > clock->since_ns + HANDOVER_NS && any_settled(w, raw_ns))
        fault(w, raw_ns, "%016" PRIx64 " is still master, gone for %.1f s", clock->identity,
              (double)(raw_ns - clock->since_ns) / 1e9);
    if (!settled(clock, raw_ns)) {
        w->window_count = 0;
        return;
    }
    int64_t age_ns = raw_ns - (int64_t)set->local_time;
    if (age_ns > AGE_NS)
        fault(w, raw_ns, "%016" PRIx64 " is there, but its last sample is %.1f s old",
              clock->identity, (double)age_ns / 1e9);
    w->window[w->window_count++] = (int64_t)(set->local_to_master_time_offset - clock->truth_ns -
                                             (uint64_t)gained_ns(clock->skew_ppm, raw_ns));
    if (w->window_count == WINDOW)
        judge_window(w, clock, raw_ns);
}

static void judge(struct watch *w, const struct shm_structure_set *set, int64_t raw_ns) {
    struct clock *clock = find(w, set->master_clock_id);

    if (set->master_clock_id != w->master) {
        w->master = set->master_clock_id;
        w->window_count = 0;
        w->changes++;
    }
    if (clock)
        judge_master(w, clock, set, raw_ns);
    else if (set->master_clock_id != 0)
        fault(w, raw_ns, "%016" PRIx64 " is master, though no clock may be", set->master_clock_id);
    else if (any_settled(w, raw_ns))
        fault(w, raw_ns, "there is no master, but there are clocks");
}

/* --- the end --------------------------------------------------------------------------------- */

static void report(const struct watch *w) {
    printf("\n%-18s%10s%12s%12s%12s\n", "clock", "judged s", "rms us", "worst us", "bound us");
    for (unsigned i = 0; i < w->clock_count; i++) {
        const struct clock *clock = &w->clocks[i];
        printf("%016" PRIx64 "  %10u%12.1f%12.1f%12.0f\n", clock->identity, clock->windows,
               clock->windows ? sqrt(clock->squares_us / clock->windows) : 0.0,
               (double)clock->worst_ns / 1e3, (double)clock->bound_ns / 1e3);
    }
    printf("\n%u looks, %u changes of master, %u faults\n", w->reads, w->changes, w->broken);
}

int main(int argc, char **argv) {
    static struct watch w;
    struct sigaction action = {.sa_handler = on_signal};

    if (argc != 3) {
        fputs("usage: soak-watch /OBJECT LIST; SIGTERM ends it\n", stderr);
        return 2;
    }
    w.list = argv[2];
    w.began_ns = now_ns(CLOCK_MONOTONIC_RAW);
    open_object(&w, argv[1]);
    sigaction(SIGTERM, &action, NULL);
    for (; !enough; w.reads++) {
        struct shm_structure_set set;
        follow_list(&w);
        int64_t raw_ns = now_ns(CLOCK_MONOTONIC_RAW);
        if (look(&w, &set))
            judge(&w, &set, raw_ns);
        else
            fault(&w, raw_ns, "no whole copy in %d attempts", ATTEMPTS);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    report(&w);
    return w.broken > 0;
}
