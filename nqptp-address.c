/* SPDX-License-Identifier: MIT */
/*
 * IP addresses: see the header. All are kept in IPv6 form, an IPv4 one as ::ffff:a.b.c.d, so that
 * one memcmp() compares two. This module keeps no state, asks no resolver, and looks up the
 * interface of a link-local address only.
 */
#include "nqptp-address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

const struct nqptp_address nqptp_loopback[2] = {
    {.ip = {.s6_addr = {[10] = 0xFF, [11] = 0xFF, [12] = IN_LOOPBACKNET, [15] = 1}}},
    {.ip = IN6ADDR_LOOPBACK_INIT},
};

struct nqptp_address nqptp_address_from_ipv4(struct in_addr a) {
    struct nqptp_address address = {.ip = {.s6_addr = {[10] = 0xFF, [11] = 0xFF}}};
    memcpy(&address.ip.s6_addr[12], &a, sizeof a);
    return address;
}

bool nqptp_address_is_ipv4(const struct nqptp_address *address) {
    return IN6_IS_ADDR_V4MAPPED(&address->ip);
}

bool nqptp_address_is_host(const struct nqptp_address *address) {
    uint8_t first = address->ip.s6_addr[12];

    if (nqptp_address_is_ipv4(address))
        return first > 0 && first < 224;
    return !IN6_IS_ADDR_UNSPECIFIED(&address->ip) && !IN6_IS_ADDR_MULTICAST(&address->ip);
}

bool nqptp_address_is_link_local(const struct nqptp_address *address) {
    return IN6_IS_ADDR_LINKLOCAL(&address->ip);
}

bool nqptp_address_equal(const struct nqptp_address *a, const struct nqptp_address *b) {
    bool scopes_match = a->scope_id == b->scope_id || a->scope_id == 0 || b->scope_id == 0;
    return memcmp(&a->ip, &b->ip, sizeof a->ip) == 0 &&
           (scopes_match || !nqptp_address_is_link_local(a));
}

/* Returns the interface of that name or number, or 0. */
static uint32_t find_scope(const char *text, size_t length) {
    char name[IF_NAMESIZE], found[IF_NAMESIZE];

    if (length >= sizeof name)
        return 0;
    memcpy(name, text, length);
    name[length] = '\0';
    uint32_t number = (uint32_t)strtoul(name, NULL, 10);
    uint32_t index = if_nametoindex(name);
    return index > 0 ? index : number > 0 && if_indextoname(number, found) ? number : 0;
}

int nqptp_address_parse(const char *text, size_t length, struct nqptp_address *address) {
    char copy[INET6_ADDRSTRLEN];
    const char *percent = memchr(text, '%', length);
    size_t numeric = percent ? (size_t)(percent - text) : length;
    struct in_addr ipv4;

    if (numeric >= sizeof copy || (percent && numeric + 1 == length) || memchr(text, '\0', length))
        return -EINVAL;
    memcpy(copy, text, numeric);
    copy[numeric] = '\0';
    if (!percent && inet_pton(AF_INET, copy, &ipv4) == 1) {
        *address = nqptp_address_from_ipv4(ipv4);
        return 0;
    }
    address->scope_id = 0;
    if (inet_pton(AF_INET6, copy, &address->ip) != 1)
        return -EINVAL;
    if (percent && nqptp_address_is_link_local(address))
        address->scope_id = find_scope(percent + 1, length - numeric - 1);
    return 0;
}

const char *nqptp_address_format(const struct nqptp_address *address, char out[INET6_ADDRSTRLEN]) {
    if (nqptp_address_is_ipv4(address))
        inet_ntop(AF_INET, &address->ip.s6_addr[12], out, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET6, &address->ip, out, INET6_ADDRSTRLEN);
    return out;
}
