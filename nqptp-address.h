/* SPDX-License-Identifier: MIT */
/* One type for IPv4 and IPv6 addresses: parse, format, compare. */
#ifndef NQPTP_ADDRESS_H
#define NQPTP_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An IPv6 address, or an IPv4 one in its v4-mapped form. */
struct nqptp_address {
    struct in6_addr ip;
    uint32_t scope_id; /* The interface of a link-local address, 0 if any or for other addresses. */
};

/* 127.0.0.1 and ::1. */
extern const struct nqptp_address nqptp_loopback[2];

/* Returns the address of an IPv4 host; `a` is in network byte order. */
struct nqptp_address nqptp_address_from_ipv4(struct in_addr a);

/* Whether it is an IPv4 address. */
bool nqptp_address_is_ipv4(const struct nqptp_address *address);

/* Whether it can be the address of one host: it is no wildcard and no group. */
bool nqptp_address_is_host(const struct nqptp_address *address);

/* Whether it is an IPv6 address of one link only. */
bool nqptp_address_is_link_local(const struct nqptp_address *address);

/* Whether both are one address: link-local ones of one link, where scope 0 is any link. */
bool nqptp_address_equal(const struct nqptp_address *a, const struct nqptp_address *b);

/*
 * Reads length characters of numeric text: IPv4, or IPv6 with an optional %scope. The scope of a
 * link-local address is looked up; one that is no interface here, as the sender's name of its own
 * interface, counts as none. Returns 0 or -EINVAL.
 */
int nqptp_address_parse(const char *text, size_t length, struct nqptp_address *address);

/* Writes the numeric form, without scope and always terminated, and returns out. */
const char *nqptp_address_format(const struct nqptp_address *address, char out[INET6_ADDRSTRLEN]);

#endif
