/* SPDX-License-Identifier: MIT */
/*
 * Reads /nqptp just as the Shairport Sync of May 2021 does (open read-write, map, lock, copy,
 * unlock, unmap, each time), and prints the record and, if the master's true time is known, its
 * error. It can also send commands to the control port.
 *
 * It is a tool for tests and for use by hand. It knows of nqptp only the public header.
 */
#include "../lib/layout4-client.h"
#include "../lib/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define ERRORS_MAX 10000
#define WAITED_IN_VAIN 3  /* exit status */
#define POLL_SECONDS 0.01 /* between two looks while waiting for something */

enum truth { TRUTH_UNKNOWN, TRUTH_RAW, TRUTH_REALTIME };

struct options {
    double interval, settle, fresh, wait_master, wait_none, hold;
    unsigned count; /* 0: for ever */
    enum truth truth;
    uint64_t raw_truth_ns, realtime_truth_ns; /* master's time minus that clock */
    double skew_ppm;
    int64_t within_ns; /* -1: any error is fine */
    bool median, now, quiet, no_nul;
    uint64_t expected_id; /* 0: any */
    const char *expected_ip, *command, *to;
    unsigned port;
};

struct verdict {
    unsigned reads, unreadable, failures, error_count;
    int64_t errors[ERRORS_MAX];
};

/* --- the client's way ------------------------------------------------------------------------ */

/* Returns 0 or -errno. */
static int read_object(struct shm_structure *copy) {
    *copy = (struct shm_structure){0};
    struct shm_structure *map = map_object();
    if (!map)
        return -errno;
    int error = lock_and_copy(map, copy);
    munmap(map, sizeof *map);
    if (error != 0)
        return -error;
    return copy->version == NQPTP_SHM_STRUCTURES_VERSION ? 0 : -EPROTO;
}

/* --- the truth ------------------------------------------------------------------------------- */

/* Returns the error of the published offset now. */
static int64_t error_ns(const struct options *o, const struct shm_structure *object) {
    uint64_t truth = o->realtime_truth_ns;

    if (o->truth == TRUTH_RAW)
        truth = o->raw_truth_ns - (uint64_t)realtime_minus_raw() +
                (uint64_t)gained_ns(o->skew_ppm, now_ns(CLOCK_MONOTONIC_RAW));
    return (int64_t)(object->local_to_master_time_offset - truth);
}

/* --- what is said about it ------------------------------------------------------------------- */

static void complain(int result) {
    if (result == -ENOENT)
        fprintf(stderr, "no object %s: is nqptp running?\n", NQPTP_INTERFACE_NAME);
    else if (result == -EACCES)
        fprintf(stderr, "no permission for %s: is this user a member of group nqptp?\n",
                NQPTP_INTERFACE_NAME);
    else if (result == -EPROTO)
        fprintf(stderr, "%s has another layout than version %d\n", NQPTP_INTERFACE_NAME,
                NQPTP_SHM_STRUCTURES_VERSION);
    else
        fprintf(stderr, "cannot read %s: %s\n", NQPTP_INTERFACE_NAME, strerror(-result));
}

/* Seconds since the last sample. */
static double age_of(const struct shm_structure *object) {
    return (double)(int64_t)((uint64_t)now_ns(CLOCK_REALTIME) - object->local_time) / 1e9;
}

static void show(const struct options *o, const struct shm_structure *object) {
    if (o->quiet)
        return;
    if (object->master_clock_id == 0) {
        puts("no master");
    } else {
        printf("master %016" PRIx64 " at %.*s, offset %" PRId64 " ns, sample %.1f s old",
               object->master_clock_id, (int)sizeof object->master_clock_ip,
               object->master_clock_ip, (int64_t)object->local_to_master_time_offset,
               age_of(object));
        if (o->truth != TRUTH_UNKNOWN)
            printf(", error %" PRId64 " ns", error_ns(o, object));
        putchar('\n');
    }
    fflush(stdout);
}

static bool is_none(const struct shm_structure *object) {
    return object->master_clock_id == 0 && object->master_clock_ip[0] == '\0' &&
           object->local_time == 0 && object->local_to_master_time_offset == 0;
}

static bool is_expected(const struct options *o, const struct shm_structure *object) {
    if (object->master_clock_id == 0 || object->flags != 0)
        return false;
    if (o->expected_id != 0 && object->master_clock_id != o->expected_id)
        return false;
    if (o->fresh > 0 && (age_of(object) < -0.001 || age_of(object) > o->fresh))
        return false;
    return !o->expected_ip || strcmp(object->master_clock_ip, o->expected_ip) == 0;
}

static bool expects_something(const struct options *o) {
    return o->expected_id != 0 || o->expected_ip || o->fresh > 0 || o->within_ns >= 0;
}

/* --- the modes ------------------------------------------------------------------------------- */

/* Looks until the expected record is there. */
static bool wait_for(const struct options *o, double seconds, bool master) {
    int64_t end = now_ns(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
    struct shm_structure object;
    int result;

    do {
        result = read_object(&object);
        if (result == 0 && (master ? is_expected(o, &object) : is_none(&object)))
            return true;
        pause_for(POLL_SECONDS);
    } while (now_ns(CLOCK_MONOTONIC) < end);
    fprintf(stderr, "waited %g s in vain for %s; the last look: ", seconds,
            master ? "the master" : "no master");
    if (result == 0)
        fprintf(stderr, "%016" PRIx64 " at %.64s\n", object.master_clock_id,
                object.master_clock_ip);
    else
        complain(result);
    return false;
}

static void judge(const struct options *o, int result, const struct shm_structure *object,
                  struct verdict *verdict) {
    verdict->reads++;
    if (result != 0 || (expects_something(o) && !is_expected(o, object))) {
        verdict->failures += result == 0 || expects_something(o);
        verdict->unreadable += result != 0;
        return;
    }
    if (object->master_clock_id == 0 || o->truth == TRUTH_UNKNOWN)
        return;
    int64_t error = error_ns(o, object);
    if (verdict->error_count < ERRORS_MAX)
        verdict->errors[verdict->error_count++] = error;
    if (o->within_ns >= 0 && !o->median && llabs(error) > o->within_ns)
        verdict->failures++;
}

static bool conclude(const struct options *o, struct verdict *verdict) {
    unsigned n = verdict->error_count;

    if (n > 0) {
        sort_numbers(verdict->errors, n);
        int64_t median = verdict->errors[n / 2];
        printf("error: median %" PRId64 " ns, least %" PRId64 ", most %" PRId64 ", of %u reads\n",
               median, verdict->errors[0], verdict->errors[n - 1], n);
        if (o->within_ns >= 0 && o->median && llabs(median) > o->within_ns)
            return false;
    }
    if (verdict->failures > 0)
        printf("%u of %u reads were not as expected\n", verdict->failures, verdict->reads);
    if (o->within_ns >= 0 && n == 0)
        return false;
    return verdict->failures == 0 && verdict->unreadable < verdict->reads;
}

static volatile sig_atomic_t enough;

static void on_signal(int number) {
    (void)number;
    enough = 1;
}

/* SIGTERM ends what lasts, and the program gives its verdict. A second SIGTERM kills. */
static void end_by_signal(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGTERM, &action, NULL);
}

/* Reads as often as asked. Prints only once in a row that there is no record. */
static bool read_on(const struct options *o) {
    static struct verdict verdict;
    int64_t settled = now_ns(CLOCK_MONOTONIC) + (int64_t)(o->settle * 1e9);
    struct shm_structure object;
    int before = 0;

    if (o->count == 0 && expects_something(o))
        end_by_signal();
    for (unsigned counted = 0;;) {
        int result = read_object(&object);
        if (result == 0)
            show(o, &object);
        else if (result != before)
            complain(result);
        before = result;
        if (now_ns(CLOCK_MONOTONIC) >= settled) {
            judge(o, result, &object, &verdict);
            if (++counted == o->count || enough)
                return conclude(o, &verdict);
        }
        pause_for(o->interval);
    }
}

/*
 * Keeps the object mapped, but not open, as clients since 2022 do, until the time is over or
 * SIGTERM comes. Then it reads the object once.
 */
static bool hold(const struct options *o) {
    int64_t end_ns = now_ns(CLOCK_MONOTONIC) + (int64_t)(o->hold * 1e9);
    struct shm_structure copy = {0}, *map = map_object();

    if (!map) {
        complain(-errno);
        return false;
    }
    end_by_signal();
    puts("mapped");
    fflush(stdout);
    while (!enough && now_ns(CLOCK_MONOTONIC) < end_ns)
        pause_for(POLL_SECONDS);
    lock_and_copy(map, &copy);
    show(o, &copy);
    return is_expected(o, &copy) || !expects_something(o);
}

static void print_answer(int fd) {
    struct pollfd readable = {fd, POLLIN, 0};
    char text[16384];

    if (poll(&readable, 1, 2000) != 1)
        quit(1, "no answer");
    ssize_t length = recv(fd, text, sizeof text, 0);
    if (length < 0)
        quit(1, "no answer: %s", strerror(errno));
    fwrite(text, 1, (size_t)length, stdout);
}

/* Sends the command with its NUL, as clients do. Only `?` is answered. */
static bool send_command(const struct options *o) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM}, *to;
    size_t length = strlen(o->command) + !o->no_nul;
    char port[8];

    snprintf(port, sizeof port, "%u", o->port & 0xFFFF);
    if (getaddrinfo(o->to, port, &hints, &to) != 0)
        quit(1, "%s is no address", o->to);
    int fd = socket(to->ai_family, SOCK_DGRAM, 0);
    if (fd < 0 || sendto(fd, o->command, length, 0, to->ai_addr, to->ai_addrlen) < 0)
        quit(1, "cannot send to %s: %s", o->to, strerror(errno));
    freeaddrinfo(to);
    if (o->command[0] == '?')
        print_answer(fd);
    close(fd);
    return true;
}

/* --- options --------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: shm-reader [options]\n"
    "  --interval SECONDS, --count N  between reads [1]; how many [for ever]\n"
    "  --raw-truth NS                 the master's true time is CLOCK_MONOTONIC_RAW + NS\n"
    "  --skew PPM                     and it runs fast by this rate\n"
    "  --realtime-truth NS            the master's true time is CLOCK_REALTIME + NS\n"
    "  --expect-id HEX, --expect-ip ADDRESS\n"
    "  --within NS [--median]         what every read, or their median, may err\n"
    "  --fresh SECONDS                how old the sample may be\n"
    "  --settle SECONDS               reads that count only start after these\n"
    "  --quiet                        print only the summary\n"
    "  --wait-master SECONDS          first wait for a master (as expected)\n"
    "  --wait-none SECONDS            first wait for no master\n"
    "  --hold SECONDS                 map it, and read it this much later, or after SIGTERM\n"
    "  --command TEXT [--to ADDRESS] [--port N] [--no-nul]   only send this command\n"
    "  --now                          only print CLOCK_MONOTONIC_RAW in nanoseconds\n"
    "Exits with 1 if anything was not as expected, with 3 if it waited in vain.\n";

static const struct setting settings[] = {
    {"interval", NUMBER, offsetof(struct options, interval), NULL},
    {"count", UNSIGNED, offsetof(struct options, count), NULL},
    {"raw-truth", OTHER, 0, NULL},
    {"skew", NUMBER, offsetof(struct options, skew_ppm), NULL},
    {"realtime-truth", OTHER, 0, NULL},
    {"expect-id", HEXADECIMAL, offsetof(struct options, expected_id), NULL},
    {"expect-ip", TEXT, offsetof(struct options, expected_ip), NULL},
    {"within", INTEGER, offsetof(struct options, within_ns), NULL},
    {"fresh", NUMBER, offsetof(struct options, fresh), NULL},
    {"median", FLAG, offsetof(struct options, median), NULL},
    {"settle", NUMBER, offsetof(struct options, settle), NULL},
    {"quiet", FLAG, offsetof(struct options, quiet), NULL},
    {"wait-master", NUMBER, offsetof(struct options, wait_master), NULL},
    {"wait-none", NUMBER, offsetof(struct options, wait_none), NULL},
    {"hold", NUMBER, offsetof(struct options, hold), NULL},
    {"command", TEXT, offsetof(struct options, command), NULL},
    {"to", TEXT, offsetof(struct options, to), NULL},
    {"port", UNSIGNED, offsetof(struct options, port), NULL},
    {"no-nul", FLAG, offsetof(struct options, no_nul), NULL},
    {"now", FLAG, offsetof(struct options, now), NULL},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

__attribute__((noreturn)) static void refuse(void) {
    fputs(usage, stderr);
    exit(2);
}

static void take_truth(void *context, const struct setting *setting, const char *text) {
    struct options *o = (struct options *)context;
    uint64_t truth_ns = settings_integer(setting, text, 10);

    if (strcmp(setting->name, "raw-truth") == 0) {
        o->truth = TRUTH_RAW;
        o->raw_truth_ns = truth_ns;
    } else {
        o->truth = TRUTH_REALTIME;
        o->realtime_truth_ns = truth_ns;
    }
}

static void read_options(struct options *o, int argc, char **argv) {
    bool read = settings_read(settings, SETTINGS, o, argc, argv, take_truth, o);

    if (!read || optind < argc || (o->within_ns >= 0 && o->truth == TRUTH_UNKNOWN))
        refuse();
    if (o->count == 0 && o->wait_master + o->wait_none > 0)
        o->count = 1;
}

int main(int argc, char **argv) {
    struct options o = {
        .interval = 1, .within_ns = -1, .to = "0.0.0.0", .port = NQPTP_CONTROL_PORT};

    read_options(&o, argc, argv);
    if (o.now)
        return printf("%" PRId64 "\n", now_ns(CLOCK_MONOTONIC_RAW)) < 0;
    if (o.command)
        return !send_command(&o);
    if (o.hold > 0)
        return !hold(&o);
    if (o.wait_none > 0 && !wait_for(&o, o.wait_none, false))
        return WAITED_IN_VAIN;
    if (o.wait_master > 0 && !wait_for(&o, o.wait_master, true))
        return WAITED_IN_VAIN;
    return !read_on(&o);
}
