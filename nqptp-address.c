/* SPDX-License-Identifier: MIT */
/*
 * IP addresses: see the header. All are kept in IPv6 form, an IPv4 one as ::ffff:a.b.c.d, so that
 * one memcmp() compares two. This module keeps no state, and asks neither a resolver nor the
 * interfaces.
 */
#include "nqptp-address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

struct nqptp_address nqptp_address_from_ipv4(struct in_addr a) {
    struct nqptp_address address = {.ip = {.s6_addr = {[10] = 0xFF, [11] = 0xFF}}};
    memcpy(&address.ip.s6_addr[12], &a, sizeof a);
    return address;
}

bool nqptp_address_is_ipv4(const struct nqptp_address *address) {
    return IN6_IS_ADDR_V4MAPPED(&address->ip);
}

bool nqptp_address_equal(const struct nqptp_address *a, const struct nqptp_address *b) {
    return memcmp(&a->ip, &b->ip, sizeof a->ip) == 0;
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
    return inet_pton(AF_INET6, copy, &address->ip) == 1 ? 0 : -EINVAL;
}

const char *nqptp_address_format(const struct nqptp_address *address, char out[INET6_ADDRSTRLEN]) {
    if (nqptp_address_is_ipv4(address))
        inet_ntop(AF_INET, &address->ip.s6_addr[12], out, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET6, &address->ip, out, INET6_ADDRSTRLEN);
    return out;
}
