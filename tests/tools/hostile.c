/* SPDX-License-Identifier: MIT */
/*
 * Clients that fail or do harm: they are killed or stopped while they hold the mutex, lock it again
 * and again, write over the object, cut it short, take its name away, open it without end, or flood
 * the control port. Two more do no harm: one waits for the mutex as any client does, and one looks,
 * without a lock, whether the record is right.
 *
 * It is a tool for the tests. It knows of nqptp only the public header.
 */
#include "../lib/layout4-client.h"

#include "../lib/random.h"
#include "../lib/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define OBJECT_SIZE 16384
#define COMMAND_MOST 4200   /* longer than a command may be */
#define PATIENCE_SECONDS 30 /* After this time a client counts as hung. */

struct options {
    const char *path; /* of the object's file */
    double seconds;
    unsigned count, processes;
    uint64_t seed, expected_id;
    const char *from; /* An IPv6 address of this machine, or NULL. */
    bool bare;        /* of truncate and unlink: no pause between */
};

struct hostile {
    struct options options;
    struct prng random;
    int64_t end_ns;
};

__attribute__((noreturn)) static void fail(const char *what) {
    quit(1, "%s: %s", what, strerror(errno));
}

static void say(const char *what) {
    puts(what);
    fflush(stdout);
}

static struct shm_structure *map_or_fail(void) {
    struct shm_structure *map = map_object();

    if (!map)
        fail("no object");
    return map;
}

static int open_file(const struct options *o, int flags) {
    int fd = open(o->path, flags | O_CLOEXEC, 0600);

    if (fd < 0)
        fail(o->path);
    return fd;
}

static bool goes_on(const struct hostile *h) {
    return now_ns(CLOCK_MONOTONIC) < h->end_ns;
}

/* Waits for a random time, mostly a short one. */
static void dawdle(struct hostile *h) {
    uint64_t ns = prng_magnitude(&h->random) % (20 * (uint64_t)MS);
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* --- the mutex ------------------------------------------------------------------------------- */

/*
 * Stops while it holds the mutex. When it is continued it goes on as any client would: it unlocks,
 * locks again, unmaps, maps elsewhere, locks again.
 */
static int hold(struct hostile *h) {
    struct shm_structure *map = map_or_fail(), *first = map, copy;

    (void)h;
    if (pthread_mutex_lock(&map->shm_mutex) != 0)
        fail("lock");
    say("locked");
    kill(getpid(), SIGSTOP);
    alarm(PATIENCE_SECONDS);
    if (pthread_mutex_unlock(&map->shm_mutex) != 0)
        fail("unlock");
    for (int i = 0; i < 1000; i++)
        if (lock_and_copy(map, &copy) != 0)
            fail("lock again");
    munmap(map, sizeof *map);
    (void)mmap(first, sizeof *map, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 1000; i++) {
        map = map_or_fail();
        if (map == first || lock_and_copy(map, &copy) != 0 || copy.version == 0)
            fail("after all");
        munmap(map, sizeof *map);
    }
    say("continued");
    return 0;
}

static int wait_for_mutex(struct hostile *h) {
    struct shm_structure *map = map_or_fail(), copy;

    (void)h;
    alarm(PATIENCE_SECONDS);
    say("waiting");
    if (lock_and_copy(map, &copy) != 0)
        fail("lock");
    printf("got %016" PRIx64 "\n", copy.master_clock_id);
    return 0;
}

static int lock_in_a_loop(struct hostile *h) {
    struct shm_structure *map = map_or_fail(), copy;
    uint64_t locks = 0;

    alarm((unsigned)h->options.seconds + PATIENCE_SECONDS);
    for (; goes_on(h); locks++)
        lock_and_copy(map, &copy);
    printf("%" PRIu64 " locks\n", locks);
    return 0;
}

/* --- the object ------------------------------------------------------------------------------ */

static int scribble_over(struct hostile *h, size_t size) {
    int fd = open_file(&h->options, O_RDWR);
    uint8_t *map = (uint8_t *)mmap(NULL, OBJECT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint64_t times = 0;

    if (map == MAP_FAILED)
        fail("mmap");
    for (; goes_on(h); times++) {
        prng_fill(&h->random, map, size);
        if (!h->options.bare)
            dawdle(h);
    }
    printf("scribbled %" PRIu64 " times\n", times);
    return 0;
}

static int scribble(struct hostile *h) {
    return scribble_over(h, OBJECT_SIZE);
}

static int scribble_mutex(struct hostile *h) {
    return scribble_over(h, sizeof(pthread_mutex_t));
}

static int cut(struct hostile *h) {
    static const off_t sizes[] = {0, 100, 0, 44, 4096, 0, 4095, 16384, 1 << 20};
    int fd = open_file(&h->options, O_RDWR);
    uint64_t times = 0;

    for (; goes_on(h); times++) {
        if (ftruncate(fd, sizes[prng_below(&h->random, sizeof sizes / sizeof sizes[0])]) < 0)
            fail("ftruncate");
        if (!h->options.bare)
            dawdle(h);
    }
    if (ftruncate(fd, 0) < 0)
        fail("ftruncate");
    printf("cut %" PRIu64 " times\n", times);
    return 0;
}

static int take_name(struct hostile *h) {
    uint64_t times = 0;

    for (; goes_on(h); dawdle(h))
        times += unlink(h->options.path) == 0;
    printf("unlinked %" PRIu64 " times\n", times);
    return 0;
}

/* Puts a file of its own with random bytes in the place of the object. */
static int replace(struct hostile *h) {
    uint8_t nonsense[OBJECT_SIZE];
    char aside[256];
    uint64_t times = 0;

    snprintf(aside, sizeof aside, "%s-aside", h->options.path);
    for (; goes_on(h); dawdle(h), times++) {
        int fd = open(aside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        prng_fill(&h->random, nonsense, sizeof nonsense);
        if (fd < 0 || write(fd, nonsense, (size_t)prng_below(&h->random, sizeof nonsense)) < 0 ||
            rename(aside, h->options.path) < 0)
            fail("replace");
        close(fd);
    }
    unlink(h->options.path);
    printf("replaced %" PRIu64 " times\n", times);
    return 0;
}

/* Takes the name of the object as soon as it is free. */
static int take_by_mkdir(struct hostile *h) {
    uint64_t times = 0;

    while (goes_on(h))
        times += mkdir(h->options.path, 0755) == 0;
    printf("made %" PRIu64 " directories\n", times);
    return 0;
}

static int take_by_socket(struct hostile *h) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", h->options.path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail(h->options.path);
    return 0;
}

/* --- opening --------------------------------------------------------------------------------- */

static void send_text(int fd, const char *text, size_t length) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(NQPTP_CONTROL_PORT),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    (void)sendto(fd, text, length, 0, (struct sockaddr *)&to, sizeof to);
}

/* Sends a command before each opening, so that there is a lease to break; not with --bare. */
static uint64_t open_in_a_loop(const struct hostile *h) {
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint64_t times = 0;

    for (; goes_on(h); times++) {
        if (!h->options.bare)
            send_text(control, "T 10.77.0.2", 12);
        /* One opener of several does not wait. */
        int fd = open(h->options.path, O_RDONLY | O_CLOEXEC | (times % 3 == 0 ? O_NONBLOCK : 0));
        if (fd >= 0)
            close(fd);
    }
    return times;
}

static int open_and_close(struct hostile *h) {
    uint64_t all = 0, one;
    int channel[2];

    if (pipe(channel) < 0)
        fail("pipe");
    for (unsigned i = 0; i < h->options.processes; i++) {
        if (fork() != 0)
            continue;
        alarm((unsigned)h->options.seconds + PATIENCE_SECONDS);
        one = open_in_a_loop(h);
        _exit(write(channel[1], &one, sizeof one) != sizeof one);
    }
    close(channel[1]);
    for (; read(channel[0], &one, sizeof one) == sizeof one; all += one)
        ;
    printf("opened %" PRIu64 " times\n", all);
    return 0;
}

/* --- commands -------------------------------------------------------------------------------- */

/* Good and bad commands of 40 clients, as fast as possible. Those without a client are questions.
 */
static int flood(struct hostile *h) {
    static const struct {
        const char *before, *after; /* the number of the client */
    } forms[] = {
        {"/f", " T 10.77.0.2"},
        {"/f", " T"},
        {"/f", " T 10.77.0.3 ::1"},
        {"/f", " B"},
        {"/f", " Q"},
        {"T 10.77.0.", ".1"},
        {"T", ""},
        {"/nqptp ", ""},
        {"", ""},
        {"?", "?"},
        {"/f/", " T"},
        {"/nqptp T x", ""},
    };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[COMMAND_MOST] = "";

    for (unsigned n = 0; n < h->options.count; n++) {
        size_t form = (size_t)prng_below(&h->random, sizeof forms / sizeof forms[0]);
        size_t length = (size_t)snprintf(text, sizeof text, "%s%u%s", forms[form].before,
                                         (unsigned)prng_below(&h->random, 40), forms[form].after);
        while (n % 64 == 0 && form < 3 && length < 4000)
            length +=
                (size_t)snprintf(text + length, sizeof text - length, " 2001:db8::%zx", length);
        send_text(fd, text, n % 97 == 0 ? 0 : n % 89 == 0 ? sizeof text : length + n % 2);
        if (n % 50 == 0)
            send_text(fd, "?", 1);
    }
    printf("sent %u commands\n", h->options.count);
    return 0;
}

/* Asks for the longest answer, at 127.0.0.1 or ::1, and reads no answer. */
static int flood_with_questions(struct hostile *h) {
    const char *from = h->options.from;
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(NQPTP_CONTROL_PORT)};
    int fd = socket(from ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    six.sin6_addr = in6addr_loopback;
    while (goes_on(h))
        if (from)
            (void)sendto(fd, "? json", 6, 0, (struct sockaddr *)&six, sizeof six);
        else
            send_text(fd, "? json", 6);
    return 0;
}

/* Asks from an IPv6 address that is not the loopback's, and returns whether an answer comes. */
static int ask(struct hostile *h) {
    struct sockaddr_in6 here = {.sin6_family = AF_INET6};
    struct sockaddr_in6 daemon = {.sin6_family = AF_INET6,
                                  .sin6_port = htons(NQPTP_CONTROL_PORT),
                                  .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct timeval patience = {.tv_sec = (time_t)h->options.seconds};
    const char *from = h->options.from ? h->options.from : "::1";
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char answer[64];

    if (inet_pton(AF_INET6, from, &here.sin6_addr) != 1 ||
        bind(fd, (struct sockaddr *)&here, sizeof here) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        sendto(fd, "?", 1, 0, (struct sockaddr *)&daemon, sizeof daemon) != 1)
        fail(from);
    bool answered = recv(fd, answer, sizeof answer, 0) > 0;
    close(fd);
    puts(answered ? "answered" : "no answer");
    return 0;
}

/* --- whether all is well --------------------------------------------------------------------- */

/* Whether the object has a whole record and an unlocked mutex. */
static bool is_right(const struct options *o) {
    struct shm_structure seen;
    struct stat status = {0};
    int words[3];
    int fd = open(o->path, O_RDONLY | O_CLOEXEC);
    bool read_all =
        fd >= 0 && fstat(fd, &status) == 0 && pread(fd, &seen, sizeof seen, 0) == sizeof seen;

    if (fd >= 0)
        close(fd);
    if (!read_all || status.st_size != OBJECT_SIZE)
        return false;
    memcpy(words, &seen.shm_mutex, sizeof words);
    int64_t age_ns = (int64_t)((uint64_t)now_ns(CLOCK_REALTIME) - seen.local_time);
    return words[0] == 0 && words[2] == 0 && seen.version == NQPTP_SHM_STRUCTURES_VERSION &&
           seen.flags == 0 && seen.master_clock_id == o->expected_id && age_ns > -MS &&
           age_ns < SECOND && strcmp(seen.master_clock_ip, "10.77.0.2") == 0;
}

static int look(struct hostile *h) {
    int64_t start_ns = now_ns(CLOCK_MONOTONIC);
    bool right = is_right(&h->options);

    while (!right && goes_on(h)) {
        nanosleep(&(struct timespec){.tv_nsec = (long)(5 * MS)}, NULL);
        right = is_right(&h->options);
    }
    printf("%s after %" PRId64 " ms\n", right ? "right" : "wrong",
           (now_ns(CLOCK_MONOTONIC) - start_ns) / MS);
    return !right;
}

/* --- options --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int (*play)(struct hostile *h);
} roles[] = {
    {"hold", hold},
    {"wait", wait_for_mutex},
    {"loop", lock_in_a_loop},
    {"scribble", scribble},
    {"mutex", scribble_mutex},
    {"cut", cut},
    {"unlink", take_name},
    {"replace", replace},
    {"mkdir", take_by_mkdir},
    {"socket", take_by_socket},
    {"open", open_and_close},
    {"flood", flood},
    {"questions", flood_with_questions},
    {"ask", ask},
    {"look", look},
};

static const struct setting settings[] = {
    {"path", TEXT, offsetof(struct options, path), NULL},
    {"seconds", NUMBER, offsetof(struct options, seconds), NULL},
    {"count", UNSIGNED, offsetof(struct options, count), NULL},
    {"processes", UNSIGNED, offsetof(struct options, processes), NULL},
    {"seed", INTEGER, offsetof(struct options, seed), NULL},
    {"expect-id", HEXADECIMAL, offsetof(struct options, expected_id), NULL},
    {"from", TEXT, offsetof(struct options, from), NULL},
    {"bare", FLAG, offsetof(struct options, bare), NULL},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

int main(int argc, char **argv) {
    struct hostile h = {
        .options = {.path = "/dev/shm/nqptp", .seconds = 1, .count = 1000, .processes = 1},
    };

    if (!settings_read(settings, SETTINGS, &h.options, argc, argv, NULL, NULL))
        return 2;
    h.random.state = h.options.seed + 4711;
    h.end_ns = now_ns(CLOCK_MONOTONIC) + (int64_t)(h.options.seconds * 1e9);
    for (size_t i = 0; optind + 1 == argc && i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(argv[optind], roles[i].name) == 0)
            return roles[i].play(&h);
    fputs("usage: hostile "
          "hold|wait|loop|scribble|mutex|cut|unlink|replace|mkdir|socket|open|flood|questions|ask|"
          "look\n"
          "  [--path FILE] [--seconds S] [--count N] [--processes N] [--seed N]\n"
          "  [--expect-id HEX] [--from ADDRESS] [--bare]\n",
          stderr);
    return 2;
}
