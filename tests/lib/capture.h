/* SPDX-License-Identifier: MIT */
/*
 * Reads captures of packets: pcap and pcapng files that are in memory as a whole, and the UDP
 * datagrams in them. It knows no PTP. Users send the files with bug reports, so the reader trusts
 * no length in them: it never reads beyond the bytes that it was given.
 */
#ifndef NQPTP_CAPTURE_H
#define NQPTP_CAPTURE_H

#include "nqptp-message.h"

#define CAPTURE_INTERFACES_MAX 64

/* How an interface of a capture gives its packets. */
struct capture_interface {
    uint32_t link;      /* LINKTYPE_ number */
    uint8_t resolution; /* of times, as in if_tsresol: 6 is 10^-6 s, 0x80 | 10 is 2^-10 s */
    int64_t offset_s;   /* To be added to each time. */
};

struct capture {
    const uint8_t *data;
    size_t size, at;
    bool pcapng, swapped; /* `swapped`: the file has the other byte order. */
    struct capture_interface interfaces[CAPTURE_INTERFACES_MAX];
    unsigned interface_count;
    unsigned packets;      /* Read so far. */
    const char *complaint; /* Why reading ended early, or NULL if it did not. */
};

struct capture_packet {
    uint64_t time_ns; /* modulo 2^64 */
    uint32_t link;
    const uint8_t *data;
    size_t length; /* that was captured */
};

struct capture_datagram {
    struct nqptp_address source, destination;
    uint16_t source_port, destination_port;
    const uint8_t *data;
    size_t length;  /* that was captured */
    bool truncated; /* there was more */
    bool outgoing;  /* the capture says that its host sent this */
};

/* Begins to read. Returns false, with a complaint, if these bytes are no capture. */
bool capture_open(struct capture *capture, const uint8_t *data, size_t size);

/* Gets the next packet. Returns false at the end, with a complaint if that is not where it should
 * be. */
bool capture_next(struct capture *capture, struct capture_packet *packet);

/* Finds the UDP datagram in a packet. Returns false if there is none, or only a fragment of one. */
bool capture_datagram(const struct capture_packet *packet, struct capture_datagram *datagram);

#endif
