/* SPDX-License-Identifier: MIT */
/*
 * A player as nqptp sees it: it starts, reads and commands as each generation of Shairport Sync
 * does, by the same rules but without its code, and checks that what it reads keeps them.
 *
 *   2021  sends `T` with addresses to 0.0.0.0, and for each look opens the object read-write, maps
 *         it, locks, copies, unlocks and unmaps: layout 4.
 *   4.1   sends `/nqptp T` and looks 5 ms later, again and again for 10 s while there is no
 *         object; maps it read-write for good: layout 8.
 *   4.2   the same; `/nqptp B` says that it plays: layout 9.
 *   5     sends `/nqptp T`, at once opens the object read-only, maps it for good and dies of any
 *         version but 10. It copies without a lock, twice, up to 9 times with 2 us between. With
 *         a name of its own, which takes one of 2026, it looks for its object for 2 s. With
 *         --patient it looks for 10 s without sending its command again, as 4.3 does.
 *
 * It knows of nqptp only the public header.
 */
#include "nqptp-shm-structures.h"

#include "../lib/program.h"
#include "../lib/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPTS 9
#define LEAST_AGE_NS (400 * MS) /* of a mastership that a player trusts */
#define HUNG_SECONDS 5
#define IDS_MAX 16

enum exit_status {
    WELL = 0,
    CANNOT = 1,        /* no object, or no way to send */
    USAGE = 2,         /* */
    OTHER_VERSION = 3, /* another layout than this player's */
    HUNG = 4,          /* in opening the object or in locking its mutex */
    TORN = 5,          /* no whole copy in 9 attempts */
    BROKEN = 6,        /* one of the rules of --watch */
    IN_VAIN = 7,       /* --wait is over, and there is no clock to play by */
};

enum generation { G_2021, G_4_1, G_4_2, G_5 };
static const char *const generations[] = {"2021", "4.1", "4.2", "5", NULL};

struct options {
    unsigned generation;
    const char *name, *to, *play;
    double watch, wait, interval, fresh;
    bool may_vanish, may_return, patient;
    bool judged; /* The errors of the offset count. */
    unsigned id_count;
    uint64_t ids[IDS_MAX];
    uint64_t raw_truth_ns; /* master's time minus CLOCK_MONOTONIC_RAW */
    int64_t within_ns;     /* -1: any error is fine. */
};

/* The record that a look at the object showed, of any layout. start_ns is 0 if it has none. */
struct look {
    unsigned version;
    uint64_t id, local_ns, offset_ns, start_ns;
    char ip[64];
};

union object {
    struct shm_structure v4;
    struct shm_structure_9 v9;
    struct shm_structure_10 v10;
};

struct player {
    struct options options;
    union object *map; /* NULL: the player opens the object for each look. */
    bool playing;      /* The player has found its version. */
};

struct summary {
    unsigned reads, starts, id_count;
    uint64_t ids[IDS_MAX];
    int64_t least_error_ns, most_error_ns;
    struct look last;
};

static void on_alarm(int signal) {
    static const char text[] = "player: hung\n";

    (void)signal;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(HUNG);
}

static volatile sig_atomic_t told_to_end;

static void on_end(int signal) {
    told_to_end = signal;
}

/* --- commands -------------------------------------------------------------------------------- */

/* Sends the text with its NUL, as all generations do. */
static void send_text(const struct player *p, const char *text) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM}, *to;
    char port[8];

    snprintf(port, sizeof port, "%d", NQPTP_CONTROL_PORT);
    if (getaddrinfo(p->options.to, port, &hints, &to) != 0)
        quit(USAGE, "%s is no address", p->options.to);
    int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, text, strlen(text) + 1, 0, to->ai_addr, to->ai_addrlen) < 0)
        quit(CANNOT, "cannot send to %s: %s", p->options.to, strerror(errno));
    freeaddrinfo(to);
    close(fd);
}

static void send_command(const struct player *p, const char *command, const char *argument) {
    char text[256];
    bool bare = p->options.generation == G_2021;

    snprintf(text, sizeof text, "%s%s%s%s%s", bare ? "" : p->options.name, bare ? "" : " ", command,
             argument ? " " : "", argument ? argument : "");
    send_text(p, text);
}

/* --- looking --------------------------------------------------------------------------------- */

static union object *map_object(const struct player *p) {
    bool read_only = p->options.generation == G_5;
    int fd = shm_open(p->options.name, read_only ? O_RDONLY : O_RDWR, 0);

    if (fd < 0)
        return NULL;
    union object *map = (union object *)mmap(
        NULL, sizeof *map, read_only ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map == MAP_FAILED ? NULL : map;
}

/* Layout 10: `main` of the first copy counts if `secondary` of the second is the same. */
static void look_twice(const union object *map, struct look *look) {
    struct shm_structure_10 first, second;

    for (int i = 0; i < ATTEMPTS; i++) {
        if (i > 0)
            nanosleep(&(struct timespec){.tv_nsec = 2000}, NULL);
        memcpy(&first, &map->v10, sizeof first);
        atomic_thread_fence(memory_order_seq_cst);
        memcpy(&second, &map->v10, sizeof second);
        if (memcmp(&first.main, &second.secondary, sizeof first.main) != 0)
            continue;
        *look = (struct look){.version = first.version,
                              .id = first.main.master_clock_id,
                              .local_ns = first.main.local_time,
                              .offset_ns = first.main.local_to_master_time_offset,
                              .start_ns = first.main.master_clock_start_time};
        return;
    }
    if (first.version != 10)
        quit(OTHER_VERSION, "version %u", first.version);
    quit(TORN, "no whole copy in %d attempts", ATTEMPTS);
}

static void look_locked(union object *map, bool has_start, struct look *look) {
    union object copy;

    if (pthread_mutex_lock(&map->v4.shm_mutex) != 0)
        quit(HUNG, "the mutex cannot be locked");
    memcpy(&copy, map, sizeof copy);
    pthread_mutex_unlock(&map->v4.shm_mutex);
    *look = (struct look){.version = copy.v4.version};
    memcpy(look->ip, has_start ? copy.v9.master_clock_ip : copy.v4.master_clock_ip,
           sizeof look->ip);
    look->id = has_start ? copy.v9.master_clock_id : copy.v4.master_clock_id;
    look->local_ns = has_start ? copy.v9.local_time : copy.v4.local_time;
    look->offset_ns =
        has_start ? copy.v9.local_to_master_time_offset : copy.v4.local_to_master_time_offset;
    look->start_ns = has_start ? copy.v9.master_clock_start_time : 0;
}

static bool accepts(const struct player *p, unsigned version) {
    switch ((enum generation)p->options.generation) {
    case G_2021:
        return version == 4;
    case G_4_1:
        return version == 8;
    case G_4_2: /* 8 until the player says that it plays */
        return version == 9 || version == 8;
    case G_5:
        break;
    }
    return version == 10;
}

static void look_at(const struct player *p, struct look *look) {
    union object *map = p->map;

    alarm(HUNG_SECONDS);
    if (!map && !(map = map_object(p)))
        quit(CANNOT, "no object %s: %s", p->options.name, strerror(errno));
    if (p->options.generation == G_5)
        look_twice(map, look);
    else
        look_locked(map, p->options.generation != G_2021, look);
    if (!p->map)
        munmap(map, sizeof *map);
    alarm(0);
    if (p->playing && p->options.generation == G_5 && look->version != 0)
        return; /* It looks at the version only once. */
    if (!accepts(p, look->version))
        quit(OTHER_VERSION, "version %u", look->version);
}

/* --- starting -------------------------------------------------------------------------------- */

/* 4.1 and 4.2 ask again and again until there is an object. */
static union object *ask_and_map(const struct player *p) {
    for (int i = 0; i < 2000; i++) {
        send_command(p, "T", NULL);
        pause_for(0.005);
        union object *map = map_object(p);
        if (map || errno != ENOENT)
            return map;
    }
    return NULL;
}

/* Maps at once, which is what the tests are about. The object of its own name takes a moment. */
static union object *map_at_once(const struct player *p) {
    bool named = strcmp(p->options.name, NQPTP_INTERFACE_NAME) != 0;
    int tries = p->options.patient ? 2000 : named ? 400 : 0;
    union object *map = map_object(p);

    for (int i = 0; !map && errno == ENOENT && i < tries; i++) {
        pause_for(0.005);
        map = map_object(p);
    }
    return map;
}

/* A player of 4.2 has to find version 9 after its B. */
static void expect_9(const struct player *p) {
    struct look look = {0};

    for (int i = 0; i < 200 && look.version != 9; i++) {
        pause_for(0.005);
        look_at(p, &look);
    }
    if (look.version != 9)
        quit(OTHER_VERSION, "version %u a second after B", look.version);
    printf("version %u\n", look.version);
}

static void start(struct player *p) {
    struct look look;
    const struct options *o = &p->options;

    alarm(HUNG_SECONDS + (o->generation == G_5 && !o->patient ? 0 : 10));
    if (o->generation == G_5) {
        send_command(p, "T", NULL);
        p->map = map_at_once(p);
    } else if (o->generation != G_2021) {
        p->map = ask_and_map(p);
    } else if (o->play) {
        send_command(p, "T", o->play);
    }
    if (o->generation != G_2021 && !p->map)
        quit(CANNOT, "no object %s: %s", o->name, strerror(errno));
    look_at(p, &look);
    p->playing = true;
    printf("version %u\n", look.version);
    if (o->play && o->generation != G_2021)
        send_command(p, "T", o->play);
    if (o->play && o->generation != G_2021 && o->generation != G_4_1)
        send_command(p, "B", NULL);
    if (o->play && o->generation == G_4_2)
        expect_9(p);
    if (o->watch > 0)
        signal(SIGTERM, on_end);
    fflush(stdout);
}

/* --- the rules ------------------------------------------------------------------------------- */

static int64_t age_ns(const struct player *p, uint64_t since_ns) {
    bool realtime = p->options.generation == G_2021;
    return (int64_t)((uint64_t)now_ns(realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC_RAW) - since_ns);
}

/* Whether this player would play by the record. A start time of 0 counts as long ago. */
static bool playable(const struct player *p, const struct look *look) {
    return look->id != 0 && (look->start_ns == 0 || age_ns(p, look->start_ns) >= LEAST_AGE_NS);
}

static bool known_id(const struct options *o, uint64_t id) {
    for (unsigned i = 0; i < o->id_count; i++)
        if (o->ids[i] == id)
            return true;
    return o->id_count == 0;
}

/* Returns the rule that this look breaks, after what the look before showed, or NULL. */
static const char *broken(const struct player *p, const struct look *before,
                          const struct look *look) {
    struct sockaddr_in6 any;
    bool mutex = p->options.generation != G_5;

    if (look->id == 0 && before->id != 0 && !p->options.may_vanish)
        return "the clock vanished";
    if (look->id == 0)
        return look->local_ns || look->offset_ns || look->start_ns ? "no clock, but times" : NULL;
    if (!known_id(&p->options, look->id))
        return "a clock that no sender has";
    if (mutex &&
        (!memchr(look->ip, '\0', sizeof look->ip) ||
         (inet_pton(AF_INET, look->ip, &any) != 1 && inet_pton(AF_INET6, look->ip, &any) != 1)))
        return "an address that is none";
    if (age_ns(p, look->start_ns) < 0)
        return "a mastership that begins in the future";
    if (age_ns(p, look->local_ns) < -MS)
        return "a sample from the future";
    if (look->start_ns > look->local_ns)
        return "a sample from before the mastership";
    if (p->options.fresh > 0 && (double)age_ns(p, look->local_ns) > p->options.fresh * 1e9)
        return "the last sample is old";
    if (look->id != before->id)
        return NULL;
    if (look->start_ns < before->start_ns && !p->options.may_return)
        return "the mastership begins earlier than it did";
    if (look->local_ns + (uint64_t)SECOND < before->local_ns)
        return "the last sample goes back in time";
    return NULL;
}

static void note(const struct player *p, struct summary *s, const struct look *look) {
    bool known = look->id == 0;

    s->reads++;
    for (unsigned i = 0; i < s->id_count; i++)
        known = known || s->ids[i] == look->id;
    if (!known && s->id_count < IDS_MAX)
        s->ids[s->id_count++] = look->id;
    if (look->id != 0 && (look->id != s->last.id || look->start_ns != s->last.start_ns))
        s->starts++;
    s->last = *look;
    if (!p->options.judged || !playable(p, look))
        return;
    int64_t error_ns = (int64_t)(look->offset_ns - p->options.raw_truth_ns);
    s->least_error_ns = error_ns < s->least_error_ns ? error_ns : s->least_error_ns;
    s->most_error_ns = error_ns > s->most_error_ns ? error_ns : s->most_error_ns;
}

static void print_summary(const struct player *p, const struct summary *s) {
    printf("%u reads, %u starts, clocks", s->reads, s->starts);
    for (unsigned i = 0; i < s->id_count; i++)
        printf("%c%016" PRIx64, i == 0 ? ' ' : ',', s->ids[i]);
    printf("%s, started %" PRIu64, s->id_count == 0 ? " none" : "", s->last.start_ns);
    if (s->last.id != 0)
        printf(", sample %.2f s old", (double)age_ns(p, s->last.local_ns) / 1e9);
    if (p->options.judged)
        printf(", errors %" PRId64 " to %" PRId64 " ns", s->least_error_ns, s->most_error_ns);
    putchar('\n');
}

static void wait_for_clock(const struct player *p) {
    int64_t end = now_ns(CLOCK_MONOTONIC) + (int64_t)(p->options.wait * 1e9);
    struct look look;

    for (look_at(p, &look); !playable(p, &look); look_at(p, &look)) {
        if (now_ns(CLOCK_MONOTONIC) >= end)
            quit(IN_VAIN, "waited in vain; clock %016" PRIx64 ", its mastership %.3f s old",
                 look.id, (double)age_ns(p, look.start_ns) / 1e9);
        pause_for(p->options.interval);
    }
}

/* SIGTERM ends it early, after one more look and with the same verdict, even if the signal came
 * while the player waited for a clock. */
static enum exit_status watch(const struct player *p) {
    int64_t end = now_ns(CLOCK_MONOTONIC) + (int64_t)(p->options.watch * 1e9);
    struct summary s = {.least_error_ns = INT64_MAX, .most_error_ns = INT64_MIN};
    const char *why = NULL;
    bool last = false;

    do {
        struct look look;
        last = told_to_end || now_ns(CLOCK_MONOTONIC) >= end;
        look_at(p, &look);
        why = broken(p, &s.last, &look);
        note(p, &s, &look);
        if (!last)
            pause_for(p->options.interval);
    } while (!why && !last);
    print_summary(p, &s);
    if (!why && p->options.judged &&
        (s.least_error_ns > s.most_error_ns || s.most_error_ns > p->options.within_ns ||
         s.least_error_ns < -p->options.within_ns))
        why = "the offset errs";
    if (why)
        fprintf(stderr, "player: %s\n", why);
    return why ? BROKEN : WELL;
}

/* --- options --------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: player [options]\n"
    "  --generation 2021|4.1|4.2|5    of Shairport Sync [5]\n"
    "  --name /NAME                   of the object [/nqptp]\n"
    "  --to ADDRESS                   where to send commands [0.0.0.0 for 2021, 127.0.0.1]\n"
    "  --patient                      look for the object for 10 s\n"
    "  --play ADDRESS                 then play by the clock there\n"
    "  --wait SECONDS                 then wait this long for a clock to play by\n"
    "  --watch SECONDS                then read on for this long, or until SIGTERM\n"
    "  --interval SECONDS             between two looks, each of which is checked [0.002]\n"
    "  --ids HEX[,HEX...]             the only clocks there may be\n"
    "  --fresh SECONDS                how old the last sample may be\n"
    "  --may-vanish                   there may be none after there was one\n"
    "  --may-return                   the clock may go to another address and come back\n"
    "  --raw-truth NS --within NS     the master's true time is CLOCK_MONOTONIC_RAW + NS\n"
    "Exits with 1 if there is no object, 3 if it has another version, 4 if it hangs, 5 if what it\n"
    "reads is torn, 6 if a rule is broken, and 7 if it waited in vain.\n";

static void take_ids(void *context, const struct setting *setting, const char *text) {
    struct options *o = (struct options *)context;
    char *rest;

    for (bool more = true; more; text = rest + 1) {
        errno = 0;
        uint64_t id = strtoull(text, &rest, 16);
        more = *rest == ',';
        if (rest == text || errno || (!more && *rest != '\0') || o->id_count == IDS_MAX)
            settings_refuse(setting, text);
        o->ids[o->id_count++] = id;
    }
}

static const struct setting settings[] = {
    {"generation", CHOICE, offsetof(struct options, generation), generations},
    {"name", TEXT, offsetof(struct options, name), NULL},
    {"to", TEXT, offsetof(struct options, to), NULL},
    {"patient", FLAG, offsetof(struct options, patient), NULL},
    {"play", TEXT, offsetof(struct options, play), NULL},
    {"wait", NUMBER, offsetof(struct options, wait), NULL},
    {"watch", NUMBER, offsetof(struct options, watch), NULL},
    {"interval", NUMBER, offsetof(struct options, interval), NULL},
    {"ids", OTHER, 0, NULL},
    {"fresh", NUMBER, offsetof(struct options, fresh), NULL},
    {"may-vanish", FLAG, offsetof(struct options, may_vanish), NULL},
    {"may-return", FLAG, offsetof(struct options, may_return), NULL},
    {"raw-truth", INTEGER, offsetof(struct options, raw_truth_ns), NULL},
    {"within", INTEGER, offsetof(struct options, within_ns), NULL},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

static void read_options(struct options *o, int argc, char **argv) {
    bool read = settings_read(settings, SETTINGS, o, argc, argv, take_ids, o);

    o->judged = o->within_ns >= 0;
    if (!read || optind < argc || (o->judged && o->generation == G_2021)) {
        fputs(usage, stderr);
        exit(USAGE);
    }
    if (!o->to)
        o->to = o->generation == G_2021 ? "0.0.0.0" : "127.0.0.1";
}

int main(int argc, char **argv) {
    struct player p = {
        .options = {
            .generation = G_5, .name = NQPTP_INTERFACE_NAME, .interval = 0.002, .within_ns = -1}};
    struct sigaction action = {.sa_handler = on_alarm};

    read_options(&p.options, argc, argv);
    sigaction(SIGALRM, &action, NULL);
    start(&p);
    if (p.options.wait > 0)
        wait_for_clock(&p);
    return p.options.watch > 0 ? (int)watch(&p) : WELL;
}
