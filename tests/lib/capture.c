/* SPDX-License-Identifier: MIT */
/* Captures of packets: see the header. */
#include "capture.h"

#include <math.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define PCAP_US 0xA1B2C3D4
#define PCAP_NS 0xA1B23C4D
#define SECTION 0x0A0D0D0A
#define SECTION_ORDER 0x1A2B3C4D
#define INTERFACE 1
#define ENHANCED_PACKET 6
#define OPTION_RESOLUTION 9
#define OPTION_OFFSET 14
#define BINARY 0x80 /* of a resolution */
#define UDP 17
#define HEADERS_MAX 8 /* tags of an Ethernet frame, or extension headers of IPv6 */

/* --- files ----------------------------------------------------------------------------------- */

static uint16_t u16(const struct capture *c, const uint8_t *p) {
    return (uint16_t)(c->swapped ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
}

static uint32_t u32(const struct capture *c, const uint8_t *p) {
    return c->swapped ? (uint32_t)u16(c, p) << 16 | u16(c, p + 2)
                      : (uint32_t)u16(c, p + 2) << 16 | u16(c, p);
}

static size_t left(const struct capture *c) {
    return c->size - c->at;
}

static bool end(struct capture *c, const char *complaint) {
    c->complaint = complaint;
    c->at = c->size;
    return false;
}

/* Files are written in either byte order. `swapped` means that the first byte is the highest. */
static bool has_magic(struct capture *c, size_t at, uint32_t magic) {
    c->swapped = false;
    if (u32(c, c->data + at) == magic)
        return true;
    c->swapped = true;
    return u32(c, c->data + at) == magic;
}

bool capture_open(struct capture *c, const uint8_t *data, size_t size) {
    *c = (struct capture){.data = data, .size = size};
    if (size < 24)
        return end(c, "too short for a capture");
    if (has_magic(c, 0, SECTION)) { /* the same in either order */
        c->pcapng = true;
        return true;
    }
    c->interfaces[0].resolution = 9;
    if (!has_magic(c, 0, PCAP_NS)) {
        c->interfaces[0].resolution = 6;
        if (!has_magic(c, 0, PCAP_US))
            return end(c, "neither pcap nor pcapng");
    }
    c->interfaces[0].link = u32(c, data + 20) & 0x0FFFFFFF; /* above: about checksums */
    c->interface_count = 1;
    c->at = 24;
    return true;
}

static uint64_t power_of_ten(unsigned exponent) {
    uint64_t power = 1;
    while (exponent-- > 0)
        power *= 10;
    return power;
}

static uint64_t time_ns(const struct capture_interface *interface, uint64_t ticks) {
    unsigned exponent = interface->resolution & ~BINARY & 0xFF;
    uint64_t ns = 0;

    if (interface->resolution & BINARY) {
        uint64_t whole = exponent < 64 ? ticks >> exponent : 0;
        uint64_t rest = exponent < 64 ? ticks - (whole << exponent) : ticks;
        ns = whole * NS_PER_S + (uint64_t)ldexp((double)rest * 1e9, -(int)exponent);
    } else if (exponent <= 9) {
        ns = ticks * power_of_ten(9 - exponent);
    } else if (exponent < 29) { /* more do not matter in 64 bits */
        ns = ticks / power_of_ten(exponent - 9);
    }
    return ns + (uint64_t)interface->offset_s * NS_PER_S;
}

/* Hands out a packet of `length` bytes at data, which must lie before `stop`. */
static bool give(struct capture *c, unsigned interface, uint64_t ticks, const uint8_t *data,
                 const uint8_t *stop, size_t length, struct capture_packet *packet) {
    if (length > (size_t)(stop - data))
        return end(c, "a packet ends beyond its place");
    *packet = (struct capture_packet){
        .time_ns = time_ns(&c->interfaces[interface], ticks),
        .link = c->interfaces[interface].link,
        .data = data,
        .length = length,
    };
    c->packets++;
    return true;
}

static bool next_of_pcap(struct capture *c, struct capture_packet *packet) {
    const uint8_t *record = c->data + c->at;

    if (left(c) == 0)
        return end(c, NULL);
    if (left(c) < 16)
        return end(c, "the file is cut off within the head of a packet");
    uint32_t length = u32(c, record + 8);
    if (length > left(c) - 16)
        return end(c, "the file is cut off within a packet, or damaged");
    c->at += 16 + length;
    uint64_t per_second = power_of_ten(c->interfaces[0].resolution);
    return give(c, 0, u32(c, record) * per_second + u32(c, record + 4), record + 16,
                c->data + c->at, length, packet);
}

/* Options are code, length and value, padded to four bytes. */
static void read_options(const struct capture *c, const uint8_t *at, const uint8_t *stop,
                         struct capture_interface *interface) {
    while (stop - at >= 4) {
        uint16_t code = u16(c, at);
        size_t length = u16(c, at + 2), padded = (length + 3) & ~(size_t)3;
        at += 4;
        if (code == 0 || padded > (size_t)(stop - at))
            return;
        if (code == OPTION_RESOLUTION && length == 1)
            interface->resolution = at[0];
        if (code == OPTION_OFFSET && length == 8)
            interface->offset_s =
                (int64_t)(c->swapped ? (uint64_t)u32(c, at) << 32 | u32(c, at + 4)
                                     : (uint64_t)u32(c, at + 4) << 32 | u32(c, at));
        at += padded;
    }
}

/* The body of an interface's description, which lies before `stop`. */
static bool add_interface(struct capture *c, const uint8_t *body, const uint8_t *stop) {
    if (stop - body < 8)
        return end(c, "the description of an interface is too short");
    if (c->interface_count == CAPTURE_INTERFACES_MAX)
        return end(c, "more interfaces than this can tell apart");
    struct capture_interface *interface = &c->interfaces[c->interface_count++];
    *interface = (struct capture_interface){.link = u16(c, body), .resolution = 6};
    read_options(c, body + 8, stop, interface);
    return true;
}

static bool give_enhanced(struct capture *c, const uint8_t *body, const uint8_t *stop,
                          struct capture_packet *packet) {
    if (stop - body < 20)
        return end(c, "a packet's block is too short");
    uint32_t interface = u32(c, body);
    if (interface >= c->interface_count)
        return end(c, "a packet of an interface that is not described");
    return give(c, interface, (uint64_t)u32(c, body + 4) << 32 | u32(c, body + 8), body + 20, stop,
                u32(c, body + 12), packet);
}

/* Takes the next block's extent. Each section says anew which byte order it has. */
static bool next_block(struct capture *c, const uint8_t **body, const uint8_t **stop,
                       uint32_t *type) {
    const uint8_t *block = c->data + c->at;

    if (left(c) == 0)
        return end(c, NULL);
    if (left(c) < 12)
        return end(c, "the file is cut off within the head of a block");
    *type = u32(c, block);
    if (*type == SECTION) {
        if (!has_magic(c, c->at + 8, SECTION_ORDER))
            return end(c, "a section without a byte order");
        c->interface_count = 0;
    }
    uint32_t length = u32(c, block + 4);
    if (length < 12 || length % 4 != 0)
        return end(c, "a block of an impossible length");
    if (length > left(c))
        return end(c, "the file is cut off within a block, or damaged");
    c->at += length;
    *body = block + 8;
    *stop = block + length - 4;
    return true;
}

static bool next_of_pcapng(struct capture *c, struct capture_packet *packet) {
    const uint8_t *body, *stop;
    uint32_t type;

    while (next_block(c, &body, &stop, &type)) {
        if (type == ENHANCED_PACKET)
            return give_enhanced(c, body, stop, packet);
        if (type == INTERFACE && !add_interface(c, body, stop))
            return false;
    }
    return false;
}

bool capture_next(struct capture *c, struct capture_packet *packet) {
    return c->pcapng ? next_of_pcapng(c, packet) : next_of_pcap(c, packet);
}

/* --- packets --------------------------------------------------------------------------------- */

/* The rest of a packet, as its headers are removed one after another. */
struct rest {
    const uint8_t *data;
    size_t length;
};

static bool skip(struct rest *rest, size_t bytes) {
    if (rest->length < bytes)
        return false;
    rest->data += bytes;
    rest->length -= bytes;
    return true;
}

static uint16_t be16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* Leaves a packet that begins after its EtherType, if that is IP, perhaps behind tags of VLANs. */
static bool skip_tags(struct rest *rest, uint16_t type) {
    for (int tags = 0; tags < HEADERS_MAX; tags++) {
        if (type != 0x8100 && type != 0x88A8 && type != 0x9100)
            return type == 0x0800 || type == 0x86DD;
        if (rest->length < 4)
            return false;
        type = be16(rest->data + 2);
        skip(rest, 4);
    }
    return false;
}

/* Leaves the IP packet, by the number that tcpdump.org gives the link type. */
static bool skip_link(struct rest *rest, uint32_t link, bool *outgoing) {
    const uint8_t *head = rest->data;

    switch (link) {
    case 0:   /* BSD loopback: a family in the byte order of the host */
    case 108: /* the same in that of the network */
        return skip(rest, 4);
    case 1: /* Ethernet */
        return skip(rest, 14) && skip_tags(rest, be16(head + 12));
    case 12: /* IP alone has three numbers, and one for each version */
    case 14:
    case 101:
    case 228:
    case 229:
        return true;
    case 113: /* Linux "cooked", version 1 */
        if (!skip(rest, 16))
            return false;
        *outgoing = be16(head) == 4;
        return skip_tags(rest, be16(head + 14));
    case 276: /* version 2 */
        if (!skip(rest, 20))
            return false;
        *outgoing = head[10] == 4;
        return skip_tags(rest, be16(head));
    default:
        return false;
    }
}

/* Ethernet pads what is short; the IP header says how long it is. 0: it does not say. */
static void trim(struct rest *rest, size_t length) {
    if (length > 0 && length < rest->length)
        rest->length = length;
}

static bool skip_ipv4(struct rest *rest, struct capture_datagram *datagram) {
    const uint8_t *head = rest->data;
    struct in_addr address;

    if (rest->length < 20)
        return false;
    size_t length = (size_t)(head[0] & 0x0F) * 4;
    if (length < 20 || head[9] != UDP || (be16(head + 6) & 0x3FFF) != 0) /* a fragment */
        return false;
    memcpy(&address, head + 12, 4);
    datagram->source = nqptp_address_from_ipv4(address);
    memcpy(&address, head + 16, 4);
    datagram->destination = nqptp_address_from_ipv4(address);
    trim(rest, be16(head + 2));
    return skip(rest, length);
}

static bool skip_ipv6(struct rest *rest, struct capture_datagram *datagram) {
    const uint8_t *head = rest->data;

    if (rest->length < 40)
        return false;
    uint8_t next = head[6];
    memcpy(&datagram->source.ip, head + 8, 16);
    memcpy(&datagram->destination.ip, head + 24, 16);
    trim(rest, be16(head + 4) == 0 ? 0 : 40 + (size_t)be16(head + 4));
    skip(rest, 40);
    for (int headers = 0; headers < HEADERS_MAX && next != UDP; headers++) {
        if ((next != 0 && next != 43 && next != 60) || rest->length < 8)
            return false;
        next = rest->data[0];
        if (!skip(rest, 8 + (size_t)rest->data[1] * 8))
            return false;
    }
    return next == UDP;
}

bool capture_datagram(const struct capture_packet *packet, struct capture_datagram *datagram) {
    struct rest rest = {packet->data, packet->length};

    *datagram = (struct capture_datagram){0};
    if (!skip_link(&rest, packet->link, &datagram->outgoing) || rest.length == 0)
        return false;
    unsigned version = rest.data[0] >> 4;
    if (!(version == 4   ? skip_ipv4(&rest, datagram)
          : version == 6 ? skip_ipv6(&rest, datagram)
                         : false) ||
        rest.length < 8)
        return false;
    datagram->source_port = be16(rest.data);
    datagram->destination_port = be16(rest.data + 2);
    size_t length = be16(rest.data + 4);
    skip(&rest, 8);
    if (length < 8)
        return false;
    datagram->data = rest.data;
    datagram->length = length - 8 < rest.length ? length - 8 : rest.length;
    datagram->truncated = length - 8 > rest.length;
    return true;
}
