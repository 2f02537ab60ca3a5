/* SPDX-License-Identifier: MIT */
/*
 * Sends as many datagrams a second as one processor can, for a bounded time, from many addresses
 * that look like different machines. They have to be addresses of this machine: "ip route add local
 * 10.99.0.0/16 dev lo" makes 65536 of them. The receiver needs a route back.
 *
 *     flood ADDRESS SECONDS junk|sync|announce|delay-resp|mixed|checksum [COUNT]
 *
 * COUNT, a multiple of 64, ends it earlier. Junk is random bytes. Syncs and Delay_Resps are of a
 * new clock each; Announces are of clocks better than any other. "checksum" sends COUNT Syncs, 10 a
 * second, with a wrong UDP checksum; this needs the right to open a raw socket. It prints how many
 * datagrams it sent.
 */
#include "../lib/ptp-messages.h"
#include "../lib/random.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define LENGTH 96
#define SOURCES 10000
#define FIRST_SOURCE UINT32_C(0x0A630001) /* 10.99.0.1 */

struct kind {
    const char *name;
    bool junk, sync, announce, delay_resp;
};

static const struct kind kinds[] = {
    {"junk", .junk = true},
    {"sync", .sync = true},
    {"announce", .announce = true},
    {"delay-resp", .delay_resp = true},
    {"mixed", .junk = true, .sync = true, .announce = true},
};

struct flood {
    struct kind kind;
    struct prng prng;
    struct sockaddr_in to[2]; /* port 319, port 320 */
    uint32_t source;
    unsigned long most;
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    _Alignas(struct cmsghdr) uint8_t control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
    uint8_t data[BATCH][LENGTH];
};

enum { SYNC = 0, DELAY_RESP = 9, ANNOUNCE = 11 }; /* as on the wire */

static void make_message(uint8_t data[LENGTH], unsigned type, uint64_t identity) {
    memset(data, 0, LENGTH);
    data[0] = (uint8_t)(0x10 | type);
    data[1] = 2;
    put_message_length(data, type == ANNOUNCE ? 64 : type == DELAY_RESP ? 54 : 44);
    put_flags(data, 0x0608);
    put_source(data, identity, 1);
    put_sequence_id(data, (uint16_t)identity);
    if (type == ANNOUNCE) /* All priorities are 0: the best clock possible. */
        put_grandmaster(data, identity);
}

/* Whether the next datagram is of this sort. "mixed" takes one of the sorts at random. */
static bool choose(struct flood *f, bool wanted, bool others) {
    return wanted && (!others || prng_next(&f->prng) % 3 == 0);
}

static void fill(struct flood *f, int i) {
    bool announce = choose(f, f->kind.announce, f->kind.sync || f->kind.junk);
    bool junk = !announce && choose(f, f->kind.junk, f->kind.sync);
    unsigned type = announce ? ANNOUNCE : f->kind.delay_resp ? DELAY_RESP : SYNC;
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(FIRST_SOURCE + f->source++ % SOURCES)};

    if (junk)
        prng_fill(&f->prng, f->data[i], LENGTH);
    else
        make_message(f->data[i], type, prng_next(&f->prng));
    f->vectors[i] = (struct iovec){f->data[i], LENGTH};
    f->messages[i].msg_hdr = (struct msghdr){
        .msg_name = &f->to[type != SYNC],
        .msg_namelen = sizeof f->to[0],
        .msg_iov = &f->vectors[i],
        .msg_iovlen = 1,
        .msg_control = f->control[i],
        .msg_controllen = sizeof f->control[i],
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&f->messages[i].msg_hdr);
    *header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
    memcpy(CMSG_DATA(header), &info, sizeof info);
}

static double now_s(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned long run(struct flood *f, int fd, double seconds) {
    unsigned long sent = 0;

    for (double end_s = now_s() + seconds; now_s() < end_s && sent < f->most;) {
        for (int i = 0; i < BATCH; i++)
            fill(f, i);
        int count = sendmmsg(fd, f->messages, BATCH, 0);
        if (count > 0)
            sent += (unsigned long)count;
        else if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED) {
            perror("flood");
            exit(1);
        }
    }
    return sent;
}

/* Sends a Sync with a UDP header of our own: port 319 to port 319, a checksum that cannot be right.
 */
static unsigned long send_wrong(struct in_addr to, unsigned long count) {
    const struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = to};
    uint8_t datagram[8 + LENGTH];
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
    unsigned long sent = 0;

    make_message(datagram + 8, SYNC, 1);
    for (; sent < count; sent++) {
        put(datagram, 2, 319);
        put(datagram + 2, 2, 319);
        put(datagram + 4, 2, sizeof datagram);
        put(datagram + 6, 2, 1 + sent % 2); /* Two checksums by turns: at least one is wrong. */
        if (sendto(fd, datagram, sizeof datagram, 0, (const struct sockaddr *)&name, sizeof name) <
            0) {
            perror("flood");
            exit(1);
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    close(fd);
    return sent;
}

int main(int argc, char **argv) {
    static struct flood f = {.prng = {20261125}};
    struct in_addr to;

    for (size_t i = 0; argc >= 4 && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(argv[3], kinds[i].name) == 0)
            f.kind = kinds[i];
    double seconds = argc >= 4 ? strtod(argv[2], NULL) : 0;
    f.most = argc == 5 ? strtoul(argv[4], NULL, 10) : ULONG_MAX;
    if (argc == 5 && strcmp(argv[3], "checksum") == 0 && inet_pton(AF_INET, argv[1], &to) == 1) {
        printf("%lu\n", send_wrong(to, f.most));
        return 0;
    }
    if (argc > 5 || !f.kind.name || inet_pton(AF_INET, argv[1], &to) != 1 ||
        !(seconds > 0 && seconds <= 60)) {
        fputs("usage: flood ADDRESS SECONDS junk|sync|announce|delay-resp|mixed|checksum [COUNT]\n",
              stderr);
        return 2;
    }
    for (int i = 0; i < 2; i++)
        f.to[i] = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = htons((uint16_t)(319 + i)), .sin_addr = to};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0) {
        perror("flood");
        return 1;
    }
    printf("%lu\n", run(&f, fd, seconds));
    return 0;
}
