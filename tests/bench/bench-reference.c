/* SPDX-License-Identifier: MIT */
/*
 * A daemon that works the way the reference nqptp (1.2.5) is described to work, to be measured
 * beside ours on the same stream. It is no player's daemon: it does the part that costs time, or
 * decides how accurate the result is, and nothing else.
 *
 * That is: select(2) with a timeout of 10 ms; one datagram a turn from each socket that is ready;
 * its time of reception is when select returned; every datagram is written out as hexadecimal
 * text, one octet at a time, whether or not that is logged; the first address of the last `T` is
 * followed; a Follow_Up counts from the first Announce on, with its own time of reception; the
 * result is smoothed by the rule in reference.h and written in layout 10.
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

/* Returns how long the text would be, so that the compiler cannot leave the work out. */
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
    for (;;) { /* until it is killed */
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
