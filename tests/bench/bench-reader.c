/* SPDX-License-Identifier: MIT */
/*
 * Reads the object /nqptp a thousand times a second while ptp-sender sends. Prints the error of
 * what the daemon publishes, the time until the error is small, and the time from a Follow_Up to
 * its result in shared memory. It can watch a second daemon and its object at the same time. The
 * first object has layout 4, the second one layout 10. The two daemons are the first and the second
 * destination of the sender.
 *
 * The error is the published offset minus (the true offset - the minimum delay of the stream),
 * because one-way timing cannot know the minimum delay. The log of the sender has the true offset
 * and the time of departure of each message.
 */
#include "../lib/layout4-client.h"
#include "../lib/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define READS_MAX 200000
#define TURNS_MAX 20000 /* Publications, and messages of each kind. */
#define TICK_NS MS
#define EARLY_NS (2 * MS) /* Waiting for a publication begins this long before it is due, */
#define LATE_NS (4 * MS)  /* and ends this long after. */
#define STAY_NS (2 * SECOND)
#define SYNC 0
#define LATER 30 /* s: the errors after this time are printed too. */

struct options {
    double skew_ppm, seconds, skip, rate;
    const char *log, *beside;
};

/* All times are of CLOCK_MONOTONIC_RAW. An offset is the master's time minus that clock. */
struct read {
    int64_t time_ns, error_ns;
    uint64_t offset_ns; /* As published. */
};

struct publication {
    unsigned read;
    int64_t local_ns;
    bool awaited; /* The program waited for it, and saw it at once. */
};

struct departure {
    int64_t taken_ns, out_ns;
    uint64_t offset_ns; /* The true one. */
};

struct departures {
    unsigned count;
    struct departure list[TURNS_MAX];
};

/* One daemon: what it published, and what it was sent. */
struct watched {
    struct shm_structure *v4; /* Either v4 or v10 is NULL. */
    const struct shm_structure_10 *v10;
    uint64_t local_time; /* As last published. */
    int64_t due_ns;      /* When the next publication is due; 0: unknown. */
    int64_t begun_ns;    /* The times until the error is small count from here. */
    unsigned read_count, publication_count;
    struct read reads[READS_MAX];
    struct publication publications[TURNS_MAX];
    struct departures syncs, follow_ups;
};

struct record {
    struct options options;
    int64_t watched_since_ns;
    unsigned count;
    struct watched watched[2];
};

/* Errors or times, for sorting. */
struct set {
    unsigned count;
    int64_t values[READS_MAX];
};

static int64_t raw_ns(void) {
    return now_ns(CLOCK_MONOTONIC_RAW);
}

/* --- watching -------------------------------------------------------------------------------- */

/* What was published, in nanoseconds. The offset is modulo 2^64. */
struct reading {
    uint64_t local_time, offset;
    bool has_master;
};

/* Returns true after a publication. It takes no lock: the daemon may need it at that moment. */
static bool has_changed(const struct watched *w) {
    const uint64_t *local_time = w->v4 ? &w->v4->local_time : &w->v10->secondary.local_time;
    return *(const volatile uint64_t *)local_time != w->local_time;
}

static void sleep_until(int64_t time_ns) {
    int64_t left_ns = time_ns - raw_ns();

    if (left_ns > 0)
        nanosleep(&(struct timespec){.tv_nsec = (long)(left_ns % SECOND)}, NULL);
}

/* Returns when the next publication of any daemon is due; INT64_MAX: unknown. */
static int64_t awaited_ns(const struct record *r) {
    int64_t first_ns = INT64_MAX, now = raw_ns();

    for (unsigned i = 0; i < r->count; i++) {
        int64_t due_ns = r->watched[i].due_ns;
        if (due_ns != 0 && now < due_ns + LATE_NS && due_ns < first_ns)
            first_ns = due_ns;
    }
    return first_ns;
}

/* Waits until the next read. Returns true if a publication was due and has come. */
static bool pass_time(const struct record *r, int64_t tick_ns) {
    int64_t due_ns = awaited_ns(r);

    if (due_ns == INT64_MAX || tick_ns < due_ns - EARLY_NS) {
        sleep_until(tick_ns);
        return false;
    }
    sleep_until(due_ns - EARLY_NS);
    while (raw_ns() <= due_ns + LATE_NS)
        for (unsigned i = 0; i < r->count; i++)
            if (has_changed(&r->watched[i]))
                return true;
    return false;
}

static struct reading read_v4(struct shm_structure *v4) {
    struct shm_structure object;

    if (lock_and_copy(v4, &object) != 0 || object.version != NQPTP_SHM_STRUCTURES_VERSION)
        quit(1, "the object does not have layout %d", NQPTP_SHM_STRUCTURES_VERSION);
    return (struct reading){object.local_time, object.local_to_master_time_offset,
                            object.master_clock_id != 0};
}

/* Layout 10 uses CLOCK_MONOTONIC_RAW; this converts it to the clock of layout 4. */
static struct reading read_v10(const struct shm_structure_10 *v10, int64_t realtime_ns) {
    struct shm_structure_10 first, second;

    do {
        first = *(const volatile struct shm_structure_10 *)v10;
        atomic_thread_fence(memory_order_seq_cst);
        second = *(const volatile struct shm_structure_10 *)v10;
    } while (memcmp(&first.main, &second.secondary, sizeof first.main) != 0);
    return (struct reading){first.main.local_time + (uint64_t)realtime_ns,
                            first.main.local_to_master_time_offset - (uint64_t)realtime_ns,
                            first.main.master_clock_id != 0};
}

static void note_publication(const struct record *r, struct watched *w, int64_t local_ns,
                             bool awaited) {
    if (w->publication_count == TURNS_MAX)
        quit(1, "more than %d publications", TURNS_MAX);
    w->publications[w->publication_count++] =
        (struct publication){w->read_count, local_ns, awaited};
    if (r->options.rate > 0)
        w->due_ns = raw_ns() + (int64_t)((double)SECOND / r->options.rate);
}

static void take_read(const struct record *r, struct watched *w, bool awaited) {
    bool changed = has_changed(w);
    int64_t realtime_ns = realtime_minus_raw();
    int64_t time_ns = raw_ns();
    struct reading got = w->v4 ? read_v4(w->v4) : read_v10(w->v10, realtime_ns);

    if (!got.has_master)
        return;
    if (changed)
        note_publication(r, w, (int64_t)got.local_time - realtime_ns, awaited);
    w->local_time = w->v4 ? got.local_time : got.local_time - (uint64_t)realtime_ns;
    if (w->read_count == READS_MAX)
        quit(1, "more than %d reads", READS_MAX);
    w->reads[w->read_count++] =
        (struct read){.time_ns = time_ns, .offset_ns = got.offset + (uint64_t)realtime_ns};
}

static void watch(struct record *r) {
    int64_t tick_ns = raw_ns(), end_ns = tick_ns + (int64_t)(r->options.seconds * 1e9);

    r->watched_since_ns = tick_ns;
    while (tick_ns < end_ns) {
        tick_ns = raw_ns() + TICK_NS;
        bool awaited = pass_time(r, tick_ns);
        for (unsigned i = 0; i < r->count; i++)
            take_read(r, &r->watched[i], awaited);
    }
}

/* --- the log of the sender ---------------------------------------------------------------------
 */

static void read_log(struct record *r) {
    FILE *file = fopen(r->options.log, "re");
    struct departure one;
    unsigned to;
    int type;

    if (!file)
        quit(1, "cannot read %s: %s", r->options.log, strerror(errno));
    while (fscanf(file, "%u %d %" SCNd64 " %" SCNd64 " %" SCNu64, &to, &type, &one.taken_ns,
                  &one.out_ns, &one.offset_ns) == 5) {
        struct watched *w = to < r->count ? &r->watched[to] : &r->watched[0];
        struct departures *kind = type == SYNC ? &w->syncs : &w->follow_ups;
        if (kind->count < TURNS_MAX)
            kind->list[kind->count++] = one;
    }
    fclose(file);
    for (unsigned i = 0; i < r->count; i++)
        if (r->watched[i].syncs.count == 0 || r->watched[i].follow_ups.count == 0)
            quit(1, "the sender sent nothing");
}

/* Returns the last message that left before time_ns, or NULL. */
static const struct departure *last_before(const struct departures *kind, int64_t time_ns) {
    unsigned low = 0, high = kind->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (kind->list[middle].out_ns <= time_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &kind->list[low - 1] : NULL;
}

/* Returns the minimum delay: from the master's timestamp to the daemon's time of reception. */
static int64_t least_delay_ns(const struct watched *w) {
    int64_t least = INT64_MAX;

    for (unsigned i = 0; i < w->publication_count; i++) {
        const struct publication *p = &w->publications[i];
        const struct departure *sync = last_before(&w->syncs, p->local_ns);
        if (sync && p->local_ns - sync->taken_ns < least)
            least = p->local_ns - sync->taken_ns;
    }
    if (least == INT64_MAX)
        quit(1, "nothing was published");
    return least;
}

/* --- figures ------------------------------------------------------------------- */

/* Returns the true offset at time_ns: that of the Sync, plus what the skew has added since. */
static uint64_t truth_ns(const struct record *r, const struct departure *sync, int64_t time_ns) {
    return sync->offset_ns + (uint64_t)gained_ns(r->options.skew_ppm, time_ns - sync->taken_ns);
}

static void judge_reads(const struct record *r, struct watched *w) {
    for (unsigned i = 0; i < w->read_count; i++) {
        struct read *read = &w->reads[i];
        const struct departure *sync = last_before(&w->syncs, read->time_ns);
        if (!sync)
            sync = &w->syncs.list[0];
        read->error_ns = (int64_t)(read->offset_ns - truth_ns(r, sync, read->time_ns));
    }
}

/* Returns true if the sender's clock jumped before this Sync, or the sender paused. */
static bool begins_anew(const struct record *r, const struct departure *sync) {
    int64_t jump_ns = (int64_t)(sync->offset_ns - truth_ns(r, sync - 1, sync->taken_ns));
    return llabs(jump_ns) > MS || sync->out_ns - (sync - 1)->out_ns > SECOND;
}

/* Finds the beginning: the first Sync, the last jump or pause, or the begin of watching. */
static void find_begin(const struct record *r, struct watched *w) {
    w->begun_ns = w->syncs.list[0].taken_ns;
    for (unsigned i = 1; i < w->syncs.count; i++)
        if (begins_anew(r, &w->syncs.list[i]))
            w->begun_ns = w->syncs.list[i].taken_ns;
    if (w->begun_ns < r->watched_since_ns)
        w->begun_ns = r->watched_since_ns;
}

/* Returns true from `skip` seconds after the beginning to the last Sync. */
static bool counts(const struct watched *w, int64_t time_ns, double skip) {
    return time_ns >= w->begun_ns + (int64_t)(skip * 1e9) &&
           time_ns <= w->syncs.list[w->syncs.count - 1].out_ns;
}

static void sort(struct set *set) {
    sort_numbers(set->values, set->count);
}

static void print_us(double ns) {
    printf(",%.1f", ns / 1000);
}

static void print_percentile(const struct set *set, unsigned percent) {
    if (set->count == 0) {
        printf(",-");
        return;
    }
    size_t place = (size_t)(set->count - 1) * percent / 100;
    print_us((double)set->values[place]);
}

/* Prints RMS, p99 and maximum of the error. */
static void print_errors(const struct watched *w, int64_t least_ns, double skip, struct set *set) {
    double sum = 0;

    set->count = 0;
    for (unsigned i = 0; i < w->read_count; i++) {
        int64_t error = w->reads[i].error_ns + least_ns;
        if (!counts(w, w->reads[i].time_ns, skip))
            continue;
        set->values[set->count++] = llabs(error);
        sum += (double)error * (double)error;
    }
    sort(set);
    if (set->count == 0)
        printf(",-");
    else
        print_us(sqrt(sum / set->count));
    print_percentile(set, 99);
    print_percentile(set, 100);
}

static void print_s(int64_t ns) {
    printf(",%.2f", (double)ns / 1e9);
}

static void print_first(const struct watched *w) {
    if (w->read_count == 0)
        printf(",-");
    else
        print_s(w->reads[0].time_ns > w->begun_ns ? w->reads[0].time_ns - w->begun_ns : 0);
}

/* Prints the seconds until the error stays below the bound for STAY_NS. */
static void print_convergence(const struct watched *w, int64_t least_ns, int64_t bound_ns) {
    int64_t since_ns = 0;

    for (unsigned i = 0; i < w->read_count; i++) {
        const struct read *read = &w->reads[i];
        if (read->time_ns < w->begun_ns)
            continue;
        if (llabs(read->error_ns + least_ns) >= bound_ns) {
            since_ns = 0;
            continue;
        }
        if (since_ns == 0)
            since_ns = read->time_ns;
        if (read->time_ns - since_ns >= STAY_NS) {
            print_s(since_ns - w->begun_ns);
            return;
        }
    }
    printf(",-");
}

/* Prints the largest change of the error from one publication to the next. */
static void print_steps(const struct record *r, const struct watched *w, struct set *set) {
    set->count = 0;
    for (unsigned i = 1; i < w->publication_count; i++) {
        const struct read *last = &w->reads[w->publications[i - 1].read];
        const struct read *this = &w->reads[w->publications[i].read];
        if (counts(w, this->time_ns, r->options.skip))
            set->values[set->count++] = llabs(this->error_ns - last->error_ns);
    }
    sort(set);
    print_percentile(set, 100);
}

/*
 * Prints the time from the departure of the Follow_Up to its result in shared memory. A publication
 * that the program did not wait for was seen up to a tick late; it counts only if the latency is so
 * large that a tick makes no difference.
 */
static void print_latency(const struct record *r, const struct watched *w, struct set *set) {
    set->count = 0;
    for (unsigned i = 0; i < w->publication_count; i++) {
        const struct publication *p = &w->publications[i];
        int64_t seen_ns = w->reads[p->read].time_ns;
        const struct departure *cause = last_before(&w->follow_ups, seen_ns);
        int64_t latency_ns = cause ? seen_ns - cause->out_ns : 0;
        if (cause && r->options.rate > 0 && (p->awaited || latency_ns > LATE_NS))
            set->values[set->count++] = latency_ns;
    }
    sort(set);
    print_percentile(set, 50);
    print_percentile(set, 95);
}

/* Takes the minimum delay from the first daemon, because it uses the stamps of the kernel. */
static void print_all(struct record *r) {
    static struct set set;
    int64_t least_ns = least_delay_ns(&r->watched[0]);

    for (unsigned i = 0; i < r->count; i++) {
        struct watched *w = &r->watched[i];
        judge_reads(r, w);
        find_begin(r, w);
        printf("%u,%.1f", w->publication_count, (double)least_ns / 1000);
        print_errors(w, least_ns, r->options.skip, &set);
        print_errors(w, least_ns, LATER, &set);
        print_first(w);
        print_convergence(w, least_ns, MS);
        print_convergence(w, least_ns, MS / 10);
        print_steps(r, w, &set);
        print_latency(r, w, &set);
        putchar('\n');
    }
}

/* --- options --------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: bench-reader --log FILE [options]\n"
    "  --log FILE         the log of ptp-sender, read at the end\n"
    "  --beside NAME      watch this object as well\n"
    "  --skew PPM         how fast the master's clock runs\n"
    "  --seconds N        how long to watch [10]\n"
    "  --skip N           errors count N seconds after the beginning [5]\n"
    "  --latency HZ       measure the latency of HZ publications a second\n"
    "The beginning is the last of these: watching began, the first Sync, a Sync before which the\n"
    "sender's time jumped by more than 1 ms, a Sync after more than 1 s without one.\n"
    "Prints a line for each daemon, separated by commas: publications; minimum delay; RMS, p99 "
    "and\n"
    "maximum of the error after --skip; the same after 30 s; seconds from the beginning to the\n"
    "first publication, to an error below 1 ms, below 100 us; largest step of the error; median\n"
    "and p95 of the latency. Errors, delays, steps and latency are in microseconds.\n";

static const struct setting settings[] = {
    {"log", TEXT, offsetof(struct options, log), NULL},
    {"beside", TEXT, offsetof(struct options, beside), NULL},
    {"skew", NUMBER, offsetof(struct options, skew_ppm), NULL},
    {"seconds", NUMBER, offsetof(struct options, seconds), NULL},
    {"skip", NUMBER, offsetof(struct options, skip), NULL},
    {"latency", NUMBER, offsetof(struct options, rate), NULL},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

static void read_options(struct options *o, int argc, char **argv) {
    if (!settings_read(settings, SETTINGS, o, argc, argv, NULL, NULL) || optind != argc ||
        !o->log) {
        fputs(usage, stderr);
        exit(2);
    }
}

static const struct shm_structure_10 *map_beside(const char *name) {
    int fd = shm_open(name, O_RDONLY, 0);
    void *map = MAP_FAILED;

    if (fd >= 0)
        map = mmap(NULL, sizeof(struct shm_structure_10), PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        quit(1, "cannot map %s: %s", name, strerror(errno));
    close(fd);
    return map;
}

int main(int argc, char **argv) {
    static struct record r = {.options = {.seconds = 10, .skip = 5}, .count = 1};

    read_options(&r.options, argc, argv);
    prctl(PR_SET_TIMERSLACK, 1UL);
    r.watched[0].v4 = map_object();
    if (!r.watched[0].v4)
        quit(1, "cannot map %s: %s", NQPTP_INTERFACE_NAME, strerror(errno));
    if (r.options.beside)
        r.watched[r.count++].v10 = map_beside(r.options.beside);
    watch(&r);
    read_log(&r);
    print_all(&r);
    return 0;
}
