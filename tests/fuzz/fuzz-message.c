/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target for nqptp-message: the input is a datagram, and also the text of an address, the
 * octets of one, and a piece of the kernel's neighbour table. What is read must not depend on what
 * is around it, and what is written must be read as what it was.
 */
#include "nqptp-message.h"
#include "nqptp-neighbours.h"

#include "fuzz.h"

#include <arpa/inet.h>

#define HEADER 34
#define TRAILER 7 /* octets after the message, as ptp4l sends over IPv6 */
#define SHIFTED 65536
/* A netlink header, a struct ndmsg, and the attributes of an IPv4 and a link-layer address. */
#define LEAST_NEIGHBOUR (16 + 12 + 8 + 10)

static bool same_identity(const struct nqptp_port_identity *a,
                          const struct nqptp_port_identity *b) {
    return a->clock_identity == b->clock_identity && a->port_number == b->port_number;
}

static bool same_announce(const struct nqptp_announce *a, const struct nqptp_announce *b) {
    return a->grandmaster_identity == b->grandmaster_identity &&
           a->steps_removed == b->steps_removed &&
           a->offset_scaled_log_variance == b->offset_scaled_log_variance &&
           a->priority1 == b->priority1 && a->clock_class == b->clock_class &&
           a->clock_accuracy == b->clock_accuracy && a->priority2 == b->priority2;
}

static bool same_message(const struct nqptp_message *a, const struct nqptp_message *b) {
    return a->type == b->type && a->flags == b->flags && a->correction_ns == b->correction_ns &&
           same_identity(&a->source, &b->source) && a->sequence_id == b->sequence_id &&
           a->log_message_interval == b->log_message_interval &&
           a->origin_timestamp_ns == b->origin_timestamp_ns &&
           same_identity(&a->requesting, &b->requesting) &&
           same_announce(&a->announce, &b->announce);
}

/* Members that are not of its type are zero, and a correctionField is at most 2^47 ns. */
static void require_clean(const struct nqptp_message *m) {
    static const struct nqptp_port_identity no_identity;
    static const struct nqptp_announce no_announce;

    REQUIRE(m->type <= NQPTP_MANAGEMENT);
    REQUIRE(m->correction_ns >= INT64_MIN / SHIFTED && m->correction_ns <= INT64_MAX / SHIFTED);
    REQUIRE(m->type == NQPTP_SYNC || m->type == NQPTP_FOLLOW_UP || m->origin_timestamp_ns == 0);
    REQUIRE(m->type == NQPTP_DELAY_RESP || same_identity(&m->requesting, &no_identity));
    REQUIRE(m->type == NQPTP_ANNOUNCE || same_announce(&m->announce, &no_announce));
}

/* Octets after messageLength do not count, and a message that lacks octets is refused. */
static void require_bounded(const uint8_t *data, size_t size, const struct nqptp_message *message) {
    struct nqptp_message other;
    size_t length = (size_t)data[2] << 8 | data[3];
    uint8_t *longer = malloc(size + TRAILER);

    REQUIRE(length >= HEADER && length <= size && longer);
    memcpy(longer, data, size);
    memset(longer + size, 0xA5, TRAILER);
    REQUIRE(nqptp_message_parse(longer, size + TRAILER, &other) == NQPTP_MESSAGE_OK);
    REQUIRE(same_message(message, &other));
    REQUIRE(nqptp_message_parse(longer, length, &other) == NQPTP_MESSAGE_OK);
    REQUIRE(same_message(message, &other));
    enum nqptp_message_check refusal = nqptp_message_parse(longer, length - 1, &other);
    REQUIRE(refusal == NQPTP_MESSAGE_LENGTH || refusal == NQPTP_MESSAGE_SHORT);
    free(longer);
}

static void try_parse(const uint8_t *data, size_t size) {
    struct nqptp_message message;
    enum nqptp_message_check refusal = nqptp_message_parse(data, size, &message);

    REQUIRE(refusal <= NQPTP_MESSAGE_LENGTH); /* the engine has the others */
    REQUIRE(size >= HEADER || refusal == NQPTP_MESSAGE_SHORT);
    if (refusal != NQPTP_MESSAGE_OK)
        return;
    require_clean(&message);
    require_bounded(data, size, &message);
}

static void try_write(struct fuzz_input input) {
    struct nqptp_port_identity self = {fuzz_number(&input, 8), (uint16_t)fuzz_number(&input, 2)};
    uint16_t sequence_id = (uint16_t)fuzz_number(&input, 2);
    uint8_t priority1 = fuzz_octet(&input), priority2 = fuzz_octet(&input);
    uint8_t out[NQPTP_ANNOUNCE_LENGTH];
    struct nqptp_message message;

    nqptp_message_write_delay_req(out, &self, sequence_id);
    REQUIRE(nqptp_message_parse(out, NQPTP_DELAY_REQ_LENGTH, &message) == NQPTP_MESSAGE_OK);
    REQUIRE(message.type == NQPTP_DELAY_REQ && same_identity(&message.source, &self));
    REQUIRE(message.sequence_id == sequence_id && message.correction_ns == 0);

    nqptp_message_write_announce(out, &self, priority1, priority2);
    REQUIRE(nqptp_message_parse(out, NQPTP_ANNOUNCE_LENGTH, &message) == NQPTP_MESSAGE_OK);
    REQUIRE(message.type == NQPTP_ANNOUNCE && same_identity(&message.source, &self));
    REQUIRE(message.announce.grandmaster_identity == self.clock_identity);
    REQUIRE(message.announce.priority1 == priority1 && message.announce.priority2 == priority2);
}

/* An address that is written and read again is the same. */
static void require_readable(const struct nqptp_address *address) {
    char text[INET6_ADDRSTRLEN];
    struct nqptp_address again;

    REQUIRE(nqptp_address_format(address, text) == text);
    size_t length = strnlen(text, sizeof text);
    REQUIRE(length >= 2 && length < sizeof text);
    REQUIRE(nqptp_address_parse(text, length, &again) == 0);
    REQUIRE(nqptp_address_equal(address, &again) && again.scope_id == 0);
    REQUIRE(nqptp_address_is_ipv4(address) == (strchr(text, ':') == NULL));
}

static void try_addresses(const uint8_t *data, size_t size) {
    struct nqptp_address address = {.scope_id = 1};

    if (nqptp_address_parse((const char *)data, size, &address) == 0) {
        REQUIRE(memchr(data, '\0', size) == NULL);
        REQUIRE(address.scope_id == 0 || nqptp_address_is_link_local(&address));
        require_readable(&address);
    }
    if (size >= sizeof address.ip) {
        memcpy(&address.ip, data, sizeof address.ip);
        require_readable(&address);
    }
}

/* A part of an answer gives no neighbour that the whole does not give. */
static void try_neighbours(const uint8_t *data, size_t size) {
    static struct nqptp_neighbours whole, part;
    uint8_t *copy = fuzz_copy(data, size);

    whole.count = part.count = 0;
    int result = nqptp_neighbours_parse(&whole, copy, size);
    REQUIRE(result <= 1);
    REQUIRE(whole.count <= size / LEAST_NEIGHBOUR);
    free(copy);
    copy = fuzz_copy(data, size / 2);
    (void)nqptp_neighbours_parse(&part, copy, size / 2);
    REQUIRE(part.count <= whole.count);
    for (unsigned i = 0; i < part.count; i++) {
        REQUIRE(nqptp_address_equal(&part.list[i].address, &whole.list[i].address));
        REQUIRE(nqptp_neighbour_is_same_host(&part.list[i], &whole.list[i]));
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_parse(data, size);
    try_write((struct fuzz_input){data, size});
    try_addresses(data, size);
    try_neighbours(data, size);
    return 0;
}
