/* SPDX-License-Identifier: MIT */
/*
 * PTP messages on the wire: see the header.
 *
 * check() decides first, by a table of lengths, whether the datagram is a message of version 2 and
 * domain 0 whose fields are all there. Decoding comes second, so that it need not check anything.
 * The octets of a field are named in one place only: where it is read, or where it is written.
 *
 * To add a message type: its number in enum nqptp_message_type and its row in types[]. The compiler
 * then points at the switch of the engine, which lacks it.
 */
#include "nqptp-message.h"

#include "nqptp-time.h"

#include <string.h>

#define HEADER_LENGTH 34

/* Each type, with its length without TLVs (clauses 13.5 to 13.12 and 15.4); 0 is a reserved type.
 */
static const struct {
    uint8_t minimum_length;
    const char *name;
} types[16] = {
    [NQPTP_SYNC] = {44, "Sync"},
    [NQPTP_DELAY_REQ] = {44, "Delay_Req"},
    [NQPTP_PDELAY_REQ] = {54, "Pdelay_Req"},
    [NQPTP_PDELAY_RESP] = {54, "Pdelay_Resp"},
    [NQPTP_FOLLOW_UP] = {44, "Follow_Up"},
    [NQPTP_DELAY_RESP] = {54, "Delay_Resp"},
    [NQPTP_PDELAY_RESP_FOLLOW_UP] = {54, "Pdelay_Resp_Follow_Up"},
    [NQPTP_ANNOUNCE] = {64, "Announce"},
    [NQPTP_SIGNALING] = {44, "Signaling"},
    [NQPTP_MANAGEMENT] = {48, "Management"},
};

const char *nqptp_message_name(enum nqptp_message_type type) {
    return types[type].name;
}

static uint16_t read_u16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t read_u32(const uint8_t *p) {
    return (uint32_t)read_u16(p) << 16 | read_u16(p + 2);
}

static uint64_t read_u64(const uint8_t *p) {
    return (uint64_t)read_u32(p) << 32 | read_u32(p + 4);
}

static void write_u16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void write_u64(uint8_t *p, uint64_t value) {
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* Clause 5.3.3. Modulo 2^64 the product may wrap: clients count the same way. */
static uint64_t read_timestamp_ns(const uint8_t *p) {
    uint64_t seconds = (uint64_t)read_u16(p) << 32 | read_u32(p + 2);
    return seconds * NQPTP_S + read_u32(p + 6);
}

static struct nqptp_port_identity read_port_identity(const uint8_t *p) {
    return (struct nqptp_port_identity){read_u64(p), read_u16(p + 8)};
}

/* Clause 5.3.2: nanoseconds times 2^16. Division rounds to zero; the rest moves it down. */
static int64_t read_correction_ns(const uint8_t *p) {
    int64_t scaled = (int64_t)read_u64(p);
    return scaled / 65536 - (scaled % 65536 < 0);
}

static enum nqptp_message_check check(const uint8_t *data, size_t length) {
    if (length < HEADER_LENGTH)
        return NQPTP_MESSAGE_SHORT;
    if ((data[1] & 0x0F) != 2)
        return NQPTP_MESSAGE_VERSION;
    if (data[4] != 0)
        return NQPTP_MESSAGE_DOMAIN;
    size_t minimum = types[data[0] & 0x0F].minimum_length;
    if (minimum == 0)
        return NQPTP_MESSAGE_TYPE;
    if (length < minimum)
        return NQPTP_MESSAGE_SHORT;
    size_t message_length = read_u16(data + 2);
    return message_length < minimum || message_length > length ? NQPTP_MESSAGE_LENGTH
                                                               : NQPTP_MESSAGE_OK;
}

static struct nqptp_announce read_announce(const uint8_t *data) {
    return (struct nqptp_announce){
        .priority1 = data[47],
        .clock_class = data[48],
        .clock_accuracy = data[49],
        .offset_scaled_log_variance = read_u16(data + 50),
        .priority2 = data[52],
        .grandmaster_identity = read_u64(data + 53),
        .steps_removed = read_u16(data + 61),
    };
}

enum nqptp_message_check nqptp_message_parse(const uint8_t *data, size_t length,
                                             struct nqptp_message *message) {
    enum nqptp_message_check found = check(data, length);
    if (found != NQPTP_MESSAGE_OK)
        return found;
    *message = (struct nqptp_message){
        .type = (enum nqptp_message_type)(data[0] & 0x0F),
        .flags = read_u16(data + 6),
        .correction_ns = read_correction_ns(data + 8),
        .source = read_port_identity(data + 20),
        .sequence_id = read_u16(data + 30),
        .log_message_interval = (int8_t)data[33],
    };
    if (message->type == NQPTP_SYNC || message->type == NQPTP_FOLLOW_UP)
        message->origin_timestamp_ns = read_timestamp_ns(data + 34);
    else if (message->type == NQPTP_DELAY_RESP)
        message->requesting = read_port_identity(data + 44);
    else if (message->type == NQPTP_ANNOUNCE)
        message->announce = read_announce(data);
    return NQPTP_MESSAGE_OK;
}

/* --- writing --------------------------------------------------------------------------------- */

/* The header of a unicast message of ours; majorSdoId 1, because some AirPlay devices drop 0. */
static void write_header(uint8_t *out, enum nqptp_message_type type, size_t length, uint16_t flags,
                         const struct nqptp_port_identity *self) {
    memset(out, 0, length);
    out[0] = (uint8_t)(0x10 | type);
    out[1] = 2;
    write_u16(out + 2, (uint16_t)length);
    write_u16(out + 6, flags);
    write_u64(out + 20, self->clock_identity);
    write_u16(out + 28, self->port_number);
}

void nqptp_message_write_delay_req(uint8_t out[NQPTP_DELAY_REQ_LENGTH],
                                   const struct nqptp_port_identity *self, uint16_t sequence_id) {
    write_header(out, NQPTP_DELAY_REQ, NQPTP_DELAY_REQ_LENGTH, NQPTP_FLAG_UNICAST, self);
    write_u16(out + 30, sequence_id);
    out[32] = 1;    /* controlField, table 23 */
    out[33] = 0x7F; /* logMessageInterval, table 24 */
}

/* Values without a comment are those that the reference implementation wakes clocks with. */
void nqptp_message_write_announce(uint8_t out[NQPTP_ANNOUNCE_LENGTH],
                                  const struct nqptp_port_identity *self, uint8_t priority1,
                                  uint8_t priority2) {
    write_header(out, NQPTP_ANNOUNCE, NQPTP_ANNOUNCE_LENGTH,
                 NQPTP_FLAG_UNICAST | NQPTP_FLAG_PTP_TIMESCALE, self);
    out[32] = 5;             /* controlField */
    out[33] = 0xFE;          /* logMessageInterval: four a second */
    write_u16(out + 44, 37); /* currentUtcOffset */
    out[47] = priority1;
    out[48] = 0xF8;              /* clockClass */
    out[49] = 0xFE;              /* clockAccuracy: unknown */
    write_u16(out + 50, 0x436A); /* offsetScaledLogVariance */
    out[52] = priority2;
    write_u64(out + 53, self->clock_identity);
    out[63] = 0xA0; /* timeSource: internal oscillator */
}
