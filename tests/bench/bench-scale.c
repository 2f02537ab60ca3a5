/* SPDX-License-Identifier: MIT */
/*
 * Measures how the work of the engine grows with the number of clocks, of clients, and of addresses
 * that each client lists. For each size it prints the processor time of four kinds of work:
 *   sample     a Sync and a Follow_Up of a listed clock
 *   stranger   a Sync from an address that no client lists, while the table is full
 *   list       an address list (T)
 *   deadline   all deadlines of 125 ms
 * Below them stands the growth: the exponent of the size, the larger one of two steps. 0 means that
 * the time does not grow, 1 that it is proportional. Exits with 1 if an exponent is over its limit.
 *
 * usage: bench-scale [DIRECTORY]     writes DIRECTORY/scale.csv
 */
#include "../lib/engine-fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPEATS 7
#define TURNS 2000
#define LISTS_TURNS 200
#define EXPONENT_MAX 1.25 /* Proportional, plus the effect of processor caches. */

enum work { SAMPLE, STRANGER, LIST, DEADLINE, WORKS };

static const char *const work_names[WORKS] = {"sample", "stranger", "list", "deadline"};

/* What one measurement has. */
struct size {
    unsigned clocks, clients, addresses;
};

static struct world home;
static struct sender clocks[NQPTP_CLOCKS_MAX];
static char lists[NQPTP_CLIENTS_MAX][8192];

static double cpu_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Writes a list of addresses. The first ones are those of the clocks. */
static void write_list(char *text, size_t size, unsigned client, unsigned addresses) {
    int length = snprintf(text, size, "/scale-%u T", client);

    for (unsigned i = 0; i < addresses; i++)
        length +=
            snprintf(text + length, size - (size_t)length, " 10.0.%u.%u", i / 200, 1 + i % 200);
}

static void make_clock(unsigned i) {
    char address[INET_ADDRSTRLEN];

    snprintf(address, sizeof address, "10.0.%u.%u", i / 200, 1 + i % 200);
    clocks[i] = sender(1 + i, address, (uint8_t)(100 + i));
    (void)send_announce(&home, &clocks[i]);
    (void)send_pair(&home, &clocks[i]);
}

static void make_world(const struct size *size) {
    home.now_ns = 5000 * S;
    begin_engine(&home.engine, OUR_IDENTITY);
    for (unsigned i = 0; i < size->clients; i++) {
        char begin[64];
        write_list(lists[i], sizeof lists[i], i, size->addresses);
        command(&home, lists[i]);
        snprintf(begin, sizeof begin, "/scale-%u B", i);
        command(&home, begin);
    }
    for (unsigned i = 0; i < size->clocks; i++)
        make_clock(i);
    for (unsigned turn = 0; turn < 3; turn++) {
        pass(&home, S);
        for (unsigned i = 0; i < size->clocks; i++) {
            (void)send_announce(&home, &clocks[i]);
            (void)send_pair(&home, &clocks[i]);
        }
    }
}

static void do_sample(const struct size *size, unsigned turn) {
    home.now_ns += MS;
    (void)send_pair(&home, &clocks[turn % size->clocks]);
}

static void do_stranger(unsigned turn) {
    struct sender stranger = sender(100000 + turn, "192.0.2.1", 248);

    stranger.address.ip.s6_addr[15] = (uint8_t)turn;
    (void)send_sync(&home, &stranger, 1);
}

static void do_list(const struct size *size, unsigned turn) {
    command(&home, lists[turn % size->clients]);
}

static void do_deadline(void) {
    pass(&home, 125 * MS);
}

static void do_work(enum work work, const struct size *size, unsigned turn) {
    if (work == SAMPLE)
        do_sample(size, turn);
    else if (work == STRANGER)
        do_stranger(turn);
    else if (work == LIST)
        do_list(size, turn);
    else
        do_deadline();
}

/* Returns the smallest processor time of REPEATS repetitions. */
static double cost_ns(enum work work, const struct size *size) {
    unsigned turns = work == SAMPLE || work == STRANGER ? TURNS : LISTS_TURNS;
    double least = INFINITY;

    for (int i = 0; i < REPEATS; i++) {
        make_world(size);
        double begun = cpu_ns();
        for (unsigned turn = 0; turn < turns; turn++)
            do_work(work, size, turn);
        double each = (cpu_ns() - begun) / turns;
        least = each < least ? each : least;
    }
    return least;
}

/* --- the table ------------------------------------------------------------------------------- */

struct dimension {
    const char *name;
    unsigned sizes[3];
    size_t offset; /* Of its member in struct size. */
};

static const struct dimension dimensions[] = {
    {"clocks", {1, 8, NQPTP_CLOCKS_MAX}, offsetof(struct size, clocks)},
    {"clients", {1, 8, NQPTP_CLIENTS_MAX - 1}, offsetof(struct size, clients)},
    {"addresses", {1, 32, NQPTP_PEERS_MAX}, offsetof(struct size, addresses)},
};

/* Returns the exponent with which the time grew from size i - 1 to size i. */
static double exponent(const struct dimension *d, double costs[3][WORKS], int work, int i) {
    return log(costs[i][work] / costs[i - 1][work]) /
           log((double)d->sizes[i] / (double)d->sizes[i - 1]);
}

static bool print_growth(const struct dimension *d, double costs[3][WORKS], FILE *csv) {
    bool bad = false;

    printf("%-10s exponent", d->name);
    for (int work = 0; work < WORKS; work++) {
        double largest = fmax(exponent(d, costs, work, 1), exponent(d, costs, work, 2));
        printf("%11.2f", largest);
        fprintf(csv, "%s,exponent,%s,%.3f\n", d->name, work_names[work], largest);
        bad = bad || largest > EXPONENT_MAX;
    }
    printf("%s\n\n", bad ? "  MISSED: more than proportional" : "");
    return bad;
}

static bool measure_dimension(const struct dimension *d, FILE *csv) {
    double costs[3][WORKS];

    for (int i = 0; i < 3; i++) {
        struct size size = {.clocks = 1, .clients = 1, .addresses = NQPTP_CLOCKS_MAX};
        memcpy((char *)&size + d->offset, &d->sizes[i], sizeof d->sizes[i]);
        printf("%-10s %8u", d->name, d->sizes[i]);
        for (int work = 0; work < WORKS; work++) {
            costs[i][work] = cost_ns((enum work)work, &size);
            printf("%11.0f", costs[i][work]);
            fprintf(csv, "%s,%u,%s,%.0f\n", d->name, d->sizes[i], work_names[work], costs[i][work]);
        }
        putchar('\n');
    }
    return print_growth(d, costs, csv);
}

int main(int argc, char **argv) {
    char path[4096];
    bool bad = false;

    snprintf(path, sizeof path, "%s/scale.csv", argc > 1 ? argv[1] : ".");
    FILE *csv = fopen(path, "we");
    if (!csv) {
        perror(path);
        return 1;
    }
    printf("Processor time of the engine in ns: for a sample, for a Sync from an address that no "
           "client\n"
           "lists, for an address list (T), and for the deadlines of 125 ms. There are one clock "
           "and one\n"
           "client that lists 32 addresses, unless the row says otherwise.\n\n%-10s %8s",
           "", "");
    fputs("dimension,size,work,ns\n", csv);
    for (int work = 0; work < WORKS; work++)
        printf("%11s", work_names[work]);
    putchar('\n');
    for (size_t i = 0; i < sizeof dimensions / sizeof dimensions[0]; i++)
        bad = measure_dimension(&dimensions[i], csv) || bad;
    fclose(csv);
    return bad;
}
