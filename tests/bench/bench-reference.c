/* SPDX-License-Identifier: MIT */
/*
 * A stand-in for the reference nqptp (1.2.5), written from a description of how that works. The
 * benchmark measures it beside this project's daemon on the same packets if the real one cannot be
 * downloaded. No player can use it: it has only the parts that take time or decide the accuracy.
 *
 * - It waits in select(2) for at most 10 ms, and reads one datagram from each socket that is ready.
 * - The time of reception is the time at which select() returned.
 * - It formats every datagram as hexadecimal text, one octet at a time, even if it logs nothing.
 * - It follows the first address of the last `T`.
 * - After the first Announce each Follow_Up is a sample, with the time of its own reception.
 * - It smooths the offset by the rule in reference.h, and writes it in layout 10.
 */
#include "nqptp-message.h"
#include "nqptp-shm-structures.h"
#include "reference.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TICK_US 10000
#define DATAGRAM_MAX 4096
#define OBJECT "/nqptp"

enum { EVENT, GENERAL, CONTROL, SOCKETS };

struct daemon {
    int sockets[SOCKETS];
    struct shm_structure_10 *map;
    struct in_addr followed;
    bool announced;
    uint64_t grandmaster;
    struct reference rule;
};

static uint64_t raw_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int open_socket(uint16_t port, uint32_t address) {
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(address)}};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) < 0) {
        perror("bench-reference");
        exit(1);
    }
    return fd;
}

static struct shm_structure_10 *make_object(void) {
    int fd = shm_open(OBJECT, O_RDWR | O_CREAT, 0644);
    void *map = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof(struct shm_structure_10)) == 0)
        map =
            mmap(NULL, sizeof(struct shm_structure_10), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        perror("bench-reference");
        exit(1);
    }
    return map;
}

static void publish(struct daemon *d, uint64_t local_ns) {
    d->map->main = (struct shm_structure_set){
        .master_clock_id = d->grandmaster,
        .local_time = local_ns,
        .local_to_master_time_offset = d->rule.offset_ns,
        .master_clock_start_time = d->rule.begun_ns,
    };
    atomic_thread_fence(memory_order_seq_cst);
    d->map->secondary = d->map->main;
    atomic_thread_fence(memory_order_seq_cst);
}

/* Returns the length of the text. If nothing used it, the compiler would drop the work. */
static size_t write_out(const uint8_t *data, size_t length) {
    char *text = malloc(3 * length + 1);
    size_t written = 0;

    for (size_t i = 0; text && i < length; i++)
        written += (size_t)snprintf(text + written, 4, "%02X ", data[i]);
    free(text);
    return written;
}

static void take_message(struct daemon *d, const uint8_t *data, size_t length, uint64_t now_ns) {
    struct nqptp_message message;

    if (nqptp_message_parse(data, length, &message) != NQPTP_MESSAGE_OK)
        return;
    if (message.type == NQPTP_ANNOUNCE) {
        if (message.announce.grandmaster_identity != d->grandmaster)
            d->rule.begun = false;
        d->grandmaster = message.announce.grandmaster_identity;
        d->announced = true;
    } else if (message.type == NQPTP_FOLLOW_UP && d->announced) {
        reference_sample(&d->rule, message.origin_timestamp_ns + (uint64_t)message.correction_ns,
                         now_ns);
        publish(d, now_ns);
    }
}

static void take_command(struct daemon *d, char *text) {
    char address[INET_ADDRSTRLEN];

    if (sscanf(text, "/nqptp T %15s", address) != 1 ||
        inet_pton(AF_INET, address, &d->followed) != 1)
        return;
    d->announced = false;
    d->rule.begun = false;
}

static void take_datagram(struct daemon *d, int socket, uint64_t now_ns) {
    uint8_t data[DATAGRAM_MAX + 1];
    struct sockaddr_in from = {0};
    socklen_t size = sizeof from;
    ssize_t length =
        recvfrom(d->sockets[socket], data, DATAGRAM_MAX, 0, (struct sockaddr *)&from, &size);

    if (length <= 0)
        return;
    data[length] = '\0';
    if (socket == CONTROL)
        take_command(d, (char *)data);
    else if (write_out(data, (size_t)length) > 0 && from.sin_addr.s_addr == d->followed.s_addr)
        take_message(d, data, (size_t)length, now_ns);
}

int main(void) {
    struct daemon d = {
        .sockets = {open_socket(NQPTP_EVENT_PORT, INADDR_ANY),
                    open_socket(NQPTP_GENERAL_PORT, INADDR_ANY),
                    open_socket(NQPTP_CONTROL_PORT, INADDR_LOOPBACK)},
        .map = make_object(),
    };

    d.map->version = 10;
    for (;;) { /* The script ends it with a signal. */
        struct timeval tick = {.tv_usec = TICK_US};
        fd_set ready;
        FD_ZERO(&ready);
        for (int i = 0; i < SOCKETS; i++)
            FD_SET(d.sockets[i], &ready);
        if (select(d.sockets[CONTROL] + 1, &ready, NULL, NULL, &tick) <= 0)
            continue;
        uint64_t now_ns = raw_ns();
        for (int i = 0; i < SOCKETS; i++)
            if (FD_ISSET(d.sockets[i], &ready))
                take_datagram(&d, i, now_ns);
    }
}
