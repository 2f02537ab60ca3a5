/* SPDX-License-Identifier: MIT */
/*
 * PTP messages: bytes as they came in a datagram <-> a host-order struct nqptp_message.
 *
 * This is the only file that knows where a field is on the wire. It keeps no state, does no I/O
 * and decides nothing beyond "is this a PTP message of version 2, domain 0". Clauses are those of
 * IEEE 1588-2008.
 */
#ifndef NQPTP_MESSAGE_H
#define NQPTP_MESSAGE_H

#include "nqptp-address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NQPTP_EVENT_PORT 319   /* annex D.2: Sync, Delay_Req */
#define NQPTP_GENERAL_PORT 320 /* annex D.2: everything else */

/* messageType, table 19. */
enum nqptp_message_type {
    NQPTP_SYNC = 0x0,
    NQPTP_DELAY_REQ = 0x1,
    NQPTP_PDELAY_REQ = 0x2,
    NQPTP_PDELAY_RESP = 0x3,
    NQPTP_FOLLOW_UP = 0x8,
    NQPTP_DELAY_RESP = 0x9,
    NQPTP_PDELAY_RESP_FOLLOW_UP = 0xA,
    NQPTP_ANNOUNCE = 0xB,
    NQPTP_SIGNALING = 0xC,
    NQPTP_MANAGEMENT = 0xD,
};

/* flagField, table 20, first octet in the high byte. */
#define NQPTP_FLAG_TWO_STEP 0x0200
#define NQPTP_FLAG_UNICAST 0x0400
#define NQPTP_FLAG_PTP_TIMESCALE 0x0008

/* A datagram as it was received. */
struct nqptp_packet {
    const uint8_t *data;
    size_t length;
    bool truncated;              /* The datagram was longer than the buffer it was read into. */
    struct nqptp_address source; /* The address of the sender. */
    struct nqptp_address local;  /* Our address that a reply should come from; :: if unknown. */
    uint32_t interface;          /* The interface that it came in by; 0 if unknown. */
    uint64_t receive_time_ns;    /* CLOCK_MONOTONIC_RAW. */
};

#define NQPTP_DELAY_REQ_LENGTH 44
#define NQPTP_ANNOUNCE_LENGTH 64

/* A message of ours that is to be sent. */
struct nqptp_reply {
    uint8_t data[NQPTP_ANNOUNCE_LENGTH]; /* An Announce is the longest. */
    size_t length;
    bool general; /* It goes to the general port, not to the event port. */
    struct nqptp_address destination;
    struct nqptp_address local; /* The address to send it from; :: leaves that to the kernel. */
    uint32_t interface;         /* The interface to send it by; 0 leaves that to the kernel. */
};

/* What nqptp_message_parse() found. */
enum nqptp_message_check {
    NQPTP_MESSAGE_OK,
    NQPTP_MESSAGE_SHORT,   /* It is shorter than a PTP header, or than its type's minimum. */
    NQPTP_MESSAGE_VERSION, /* versionPTP is not 2. */
    NQPTP_MESSAGE_DOMAIN,  /* domainNumber is not 0. */
    NQPTP_MESSAGE_TYPE,    /* messageType is a reserved one. */
    NQPTP_MESSAGE_LENGTH,  /* messageLength is below the type's minimum or above the datagram. */
};

struct nqptp_port_identity {
    uint64_t clock_identity; /* as a number: the first octet is the most significant */
    uint16_t port_number;
};

/* What the data set comparison needs of an Announce, clause 13.5. Lower is better in each. */
struct nqptp_announce {
    uint64_t grandmaster_identity;
    uint16_t steps_removed;
    uint16_t offset_scaled_log_variance;
    uint8_t priority1;
    uint8_t clock_class;
    uint8_t clock_accuracy;
    uint8_t priority2;
};

struct nqptp_message {
    enum nqptp_message_type type;
    uint16_t flags;
    int64_t correction_ns; /* correctionField, rounded down to whole nanoseconds */
    struct nqptp_port_identity source;
    uint16_t sequence_id;
    int8_t log_message_interval;

    /* originTimestamp of a Sync, preciseOriginTimestamp of a Follow_Up: ns modulo 2^64 */
    uint64_t origin_timestamp_ns;
    struct nqptp_port_identity requesting; /* of a Delay_Resp: whose request it answers */
    struct nqptp_announce announce;        /* of an Announce */
};

/*
 * Decodes the PTP message at data[0 .. length). Bytes after messageLength are ignored, as are
 * TLVs. Members of *message that do not belong to its type are zero.
 * Returns NQPTP_MESSAGE_OK, or why it is not a message for us; *message is then undefined.
 */
enum nqptp_message_check nqptp_message_parse(const uint8_t *data, size_t length,
                                             struct nqptp_message *message);

/* Returns the name that the standard has for a type that nqptp_message_parse() accepts. */
const char *nqptp_message_name(enum nqptp_message_type type);

/* Encodes a Delay_Req (clause 13.6) of ours in the form that AirPlay senders answer. */
void nqptp_message_write_delay_req(uint8_t out[NQPTP_DELAY_REQ_LENGTH],
                                   const struct nqptp_port_identity *self, uint16_t sequence_id);

/*
 * Encodes an Announce (clause 13.5) of ours with these priorities, as of a clock that is its own
 * grandmaster. It is not meant to win anything: some clocks sleep until they hear a rival.
 */
void nqptp_message_write_announce(uint8_t out[NQPTP_ANNOUNCE_LENGTH],
                                  const struct nqptp_port_identity *self, uint8_t priority1,
                                  uint8_t priority2);

#endif
