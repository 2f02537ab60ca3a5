/* SPDX-License-Identifier: MIT */
/*
 * Proves what -i takes, and, on the loopback interface, that endpoints stay out of the way of other
 * programs and of each other, that a reply leaves from where its clock was heard, that drops count
 * once, and that sockets follow their interface.
 */
#include "nqptp-endpoints.h"

#include "../lib/tap.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- what -i takes --------------------------------------------------------------------------- */

static void test_what_is_taken(void) {
    static const struct {
        const char *text;
        bool address;
        const char *interface;
    } good[] = {
        {"eth0", false, "eth0"},
        {"10.77.0.1", true, ""},
        {"127.0.0.1", true, ""},
        {"fd77::1", true, ""},
        {"::1", true, ""},
        {"fe80::1%eth0", true, "eth0"},
        {"fe80::1%123456789012345", true, "123456789012345"},
        {"eth0.100", false, "eth0.100"},
        {"123456789012345", false, "123456789012345"},
        {"100", false, "100"},
        {"wl-p\xC3\xA4", false, "wl-p\xC3\xA4"},
    };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct nqptp_limits limits = {.count = 0};
        CHECK(nqptp_limits_add(&limits, good[i].text) == NULL && limits.count == 1,
              "-i %s is taken", good[i].text);
        CHECK(limits.list[0].has_address == good[i].address,
              "-i with an interface or an address is understood as an %s",
              good[i].address ? "address" : "interface");
        CHECK_EQ_STR(limits.list[0].interface, good[i].interface,
                     "-i with an interface has its name");
    }
}

static void test_what_is_not(void) {
    static const char *const bad[] = {
        "",
        "10.77.0",
        "10.77.0.1.5",
        "10.77.0.256",
        "0.0.0.0",
        "224.0.1.129",
        "255.1.1.1",
        "::",
        "ff02::181",
        "fe80::1",
        "fe80::1%",
        "fe80::1%a/b",
        "fd77::1%lo",
        "a/b",
        "a b",
        "a:1",
        ".",
        "..",
        "fe80::1%1234567890123456",
        "1234567890123456",
    };
    struct nqptp_limits limits = {.count = 0};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(nqptp_limits_add(&limits, bad[i]) != NULL, "-i '%s' is refused", bad[i]);
    CHECK_EQ_U64(limits.count, 0, "what -i refuses leaves the list of places empty");
}

static void test_how_many(void) {
    struct nqptp_limits limits = {.count = 0};
    char name[16] = "eth0";

    for (int i = 0; i < NQPTP_LIMITS_MAX; i++) {
        name[3] = (char)('0' + i);
        CHECK(nqptp_limits_add(&limits, name) == NULL, "-i %s is taken", name);
    }
    CHECK(nqptp_limits_add(&limits, "eth3") == NULL,
          "-i with an interface that was given before is taken");
    CHECK_EQ_U64(limits.count, NQPTP_LIMITS_MAX,
                 "-i with an interface that was given before counts once");
    CHECK(nqptp_limits_add(&limits, "10.77.0.1") != NULL,
          "-i one time more than the maximum is refused");
}

/* --- sockets --------------------------------------------------------------------------------- */

static int open_loopback(void) {
    struct nqptp_address address;

    nqptp_address_parse("127.0.0.1", strlen("127.0.0.1"), &address);
    return nqptp_socket_open(&address, NULL, 0, NQPTP_SOCKET_LOCAL);
}

/* A pair of ports that are free on loopback addresses. */
static void find_ports(uint16_t ports[2]) {
    int fds[2];

    for (int i = 0; i < 2; i++) {
        struct sockaddr_in name = {.sin_family = AF_INET};
        socklen_t size = sizeof name;
        fds[i] = open_loopback();
        getsockname(fds[i], (struct sockaddr *)&name, &size);
        ports[i] = ntohs(name.sin_port);
    }
    close(fds[0]);
    close(fds[1]);
}

/* Opens endpoints for up to two limits. Returns 0 or -errno, and says where it failed. */
static int open_for(struct nqptp_endpoints *endpoints, const uint16_t ports[2], const char *first,
                    const char *second, char place[NQPTP_PLACE_SIZE]) {
    const struct nqptp_endpoint *failed;
    struct nqptp_limits limits = {.count = 0};

    if (first)
        nqptp_limits_add(&limits, first);
    if (second)
        nqptp_limits_add(&limits, second);
    nqptp_endpoints_init(endpoints, &limits, ports[0], ports[1]);
    int result = nqptp_endpoints_open(endpoints, &failed);
    place[0] = '\0';
    if (result < 0)
        nqptp_endpoint_place(failed, place);
    return result;
}

static void close_all(struct nqptp_endpoints *endpoints) {
    nqptp_endpoints_close(endpoints);
    close(endpoints->epoll);
}

/* As open_for(), in another process, which ends then. */
static int open_elsewhere(const uint16_t ports[2], const char *limit,
                          char place[NQPTP_PLACE_SIZE]) {
    struct nqptp_endpoints endpoints;
    int channel[2], result = 1;

    if (pipe(channel) < 0)
        return result;
    pid_t child = fork();
    if (child == 0) {
        for (int fd = STDERR_FILENO + 1; fd < 100; fd++)
            if (fd != channel[1])
                close(fd); /* This process must have no sockets of its parent. */
        result = open_for(&endpoints, ports, limit, NULL, place);
        bool told = write(channel[1], &result, sizeof result) == sizeof result &&
                    write(channel[1], place, NQPTP_PLACE_SIZE) == NQPTP_PLACE_SIZE;
        _exit(!told);
    }
    close(channel[1]);
    place[0] = '?';
    bool told = read(channel[0], &result, sizeof result) == sizeof result &&
                read(channel[0], place, NQPTP_PLACE_SIZE) == NQPTP_PLACE_SIZE;
    close(channel[0]);
    waitpid(child, NULL, 0);
    return told ? result : 1;
}

/* Whether an emulator of a processor with the other byte order runs this. */
static bool swaps_bytes(void) {
    int fd = open_loopback();
    bool emulated = nqptp_socket_guard(fd, false) == -ENOPROTOOPT;

    close(fd);
    return emulated && htons(1) == 1;
}

/* Checks that another socket finds the limit's place taken. */
static void check_taken(const uint16_t ports[2], const char *limit, const char *expected) {
    char place[NQPTP_PLACE_SIZE];

    if (swaps_bytes()) {
        CHECK(true, "%s # SKIP an emulator shows addresses in the other byte order", expected);
        return;
    }
    CHECK_EQ_I64(open_elsewhere(ports, limit, place), -EADDRINUSE,
                 "another process gets EADDRINUSE for its place%s", expected);
    CHECK_EQ_STR(place, expected, "another process is told which place is taken");
}

static void test_side_by_side(const uint16_t ports[2]) {
    struct nqptp_endpoints one, two;
    char place[NQPTP_PLACE_SIZE];

    CHECK_EQ_I64(open_for(&one, ports, "127.0.0.1", NULL, place), 0, "endpoints open at 127.0.0.1");
    CHECK_EQ_U64(one.count, 2, "endpoints at one address have two sockets");
    CHECK_EQ_I64(open_elsewhere(ports, "127.0.0.2", place), 0,
                 "another process opens endpoints at 127.0.0.2 beside ours");
    check_taken(ports, "127.0.0.1", " of 127.0.0.1");
    check_taken(ports, NULL, "");
    CHECK_EQ_I64(open_for(&two, ports, "192.0.2.1", NULL, place), 0,
                 "endpoints open at an address that this machine does not have");
    close_all(&two);
    close_all(&one);
}

/* Another socket has the port at all addresses; whether it shares the port decides. */
static void test_shared(const uint16_t ports[2]) {
    struct nqptp_endpoints endpoints;
    char place[NQPTP_PLACE_SIZE];
    struct nqptp_address everywhere = nqptp_address_from_ipv4((struct in_addr){0});
    int fd = nqptp_socket_open(&everywhere, NULL, ports[0], NQPTP_SOCKET_ALONE);

    CHECK_EQ_I64(open_for(&endpoints, ports, "127.0.0.1", NULL, place), -EADDRINUSE,
                 "a socket at all addresses that does not share its port keeps us out");
    CHECK_EQ_STR(place, " of 127.0.0.1",
                 "a socket at all addresses keeps us out: the place is told");
    nqptp_socket_share(fd);
    CHECK_EQ_I64(open_for(&endpoints, ports, "127.0.0.1", NULL, place), 0,
                 "a socket at all addresses that shares its port does not keep us out");
    close(fd);
    struct nqptp_address all;
    nqptp_address_parse("0.0.0.0", 7, &all);
    fd = nqptp_socket_open(&all, NULL, ports[0], NQPTP_SOCKET_SHARED);
    CHECK(fd >= 0, "a socket at all addresses that shares its port may also come later");
    close(fd);
    close_all(&endpoints);
}

static void test_interfaces(const uint16_t ports[2]) {
    struct nqptp_endpoints one;
    char place[NQPTP_PLACE_SIZE];

    CHECK_EQ_I64(open_for(&one, ports, "no-such-if", NULL, place), 0,
                 "endpoints open for an interface that does not exist");
    CHECK_EQ_I64(one.list[0].fd, -1,
                 "endpoints for an interface that does not exist have no socket");
    CHECK(nqptp_endpoints_may_reopen(&one),
          "endpoints for an interface that does not exist may be opened later");
    int result = open_for(&one, ports, "lo", "127.0.0.1", place);
    if (result == -EPERM) {
        CHECK(true, "interfaces # SKIP this kernel lets only root bind to them");
        close_all(&one);
        return;
    }
    CHECK_EQ_I64(result, 0, "endpoints open for an interface and its address together");
    check_taken(ports, "127.0.0.1", " of 127.0.0.1");
    check_taken(ports, "lo", " on lo");
    close_all(&one);
}

/* Waits for a datagram. On a busy machine the loopback interface delivers a moment later. */
static bool arrives(int receiver) {
    struct pollfd readable = {.fd = receiver, .events = POLLIN};
    return poll(&readable, 1, 100) == 1;
}

/*
 * Returns the source address of a reply to 127.0.0.9, whose clock was heard at `local` by
 * `interface`, or "" if no reply comes. An emulator may not know interfaces, so 0 stands for any.
 */
static const char *sent_from(struct nqptp_endpoints *endpoints, int receiver, const char *local,
                             unsigned interface, char text[INET6_ADDRSTRLEN]) {
    struct nqptp_reply reply = {.length = 44, .interface = interface};
    struct sockaddr_in from = {.sin_family = AF_INET};
    socklen_t size = sizeof from;
    char data[64];

    nqptp_address_parse(local, strlen(local), &reply.local);
    nqptp_address_parse("127.0.0.9", 9, &reply.destination);
    nqptp_endpoints_queue(endpoints, &reply);
    nqptp_endpoints_flush(endpoints);
    if (!arrives(receiver))
        return "";
    recvfrom(receiver, data, sizeof data, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
    inet_ntop(AF_INET, &from.sin_addr, text, INET6_ADDRSTRLEN);
    CHECK_EQ_U64(ntohs(from.sin_port), endpoints->ports[0], "a reply leaves by the event port");
    return text;
}

static void test_replies(const uint16_t ports[2]) {
    struct nqptp_endpoints endpoints;
    struct nqptp_address there;
    char place[NQPTP_PLACE_SIZE], text[INET6_ADDRSTRLEN];

    nqptp_address_parse("127.0.0.9", 9, &there);
    int receiver = nqptp_socket_open(&there, NULL, ports[0], NQPTP_SOCKET_ALONE);
    CHECK_EQ_I64(open_for(&endpoints, ports, "127.0.0.2", "127.0.0.3", place), 0,
                 "endpoints open at two addresses");
    nqptp_endpoints_follow(&endpoints);
    CHECK_EQ_STR(sent_from(&endpoints, receiver, "127.0.0.2", 0, text), "127.0.0.2",
                 "a reply to a clock heard at the first address leaves from it");
    CHECK_EQ_STR(sent_from(&endpoints, receiver, "127.0.0.3", 0, text), "127.0.0.3",
                 "a reply to a clock heard at the second address leaves from it");
    CHECK_EQ_STR(sent_from(&endpoints, receiver, "127.0.0.4", 0, text), "",
                 "a reply to a clock heard at neither address does not leave");
    close_all(&endpoints);
    close(receiver);
}

/* A request to an address that was never heard, so that no local address is known. */
static void test_requests(const uint16_t ports[2]) {
    struct nqptp_endpoints endpoints;
    struct nqptp_address there;
    char place[NQPTP_PLACE_SIZE];

    nqptp_address_parse("127.0.0.9", 9, &there);
    int receiver = nqptp_socket_open(&there, NULL, ports[0], NQPTP_SOCKET_SHARED);
    if (open_for(&endpoints, ports, "lo", NULL, place) < 0) {
        CHECK(true, "a request by the interface of -i # SKIP only root may bind to one here");
    } else {
        char text[INET6_ADDRSTRLEN];
        unsigned loopback = if_nametoindex("lo");
        nqptp_endpoints_follow(&endpoints);
        CHECK_EQ_STR(sent_from(&endpoints, receiver, "::", 0, text), "127.0.0.1",
                     "a request without an interface leaves by that of -i");
        if (swaps_bytes())
            CHECK(true, "a request for the interface of -i # SKIP an emulator swaps its number");
        else
            CHECK_EQ_STR(sent_from(&endpoints, receiver, "::", loopback, text), "127.0.0.1",
                         "a request for the interface of -i leaves by it");
        CHECK_EQ_STR(sent_from(&endpoints, receiver, "::", loopback + 1000, text), "",
                     "a request for another interface does not leave");
        CHECK_EQ_U64(endpoints.unsent.count, 0, "a request for another interface is not tried");
    }
    close_all(&endpoints);
    close(receiver);
}

static bool owns(const struct nqptp_endpoints *endpoints, const char *text) {
    struct nqptp_address address;

    nqptp_address_parse(text, strlen(text), &address);
    for (unsigned i = 0; i < endpoints->own_count; i++)
        if (nqptp_address_equal(&endpoints->own[i], &address))
            return true;
    return false;
}

/* Our own messages can only come from these addresses. */
static void test_own_addresses(const uint16_t ports[2]) {
    struct nqptp_endpoints endpoints;
    char place[NQPTP_PLACE_SIZE];

    open_for(&endpoints, ports, NULL, NULL, place);
    nqptp_endpoints_follow(&endpoints);
    CHECK(owns(&endpoints, "127.0.0.1"), "without -i 127.0.0.1 is our own address");
    close_all(&endpoints);
    open_for(&endpoints, ports, "127.0.0.2", NULL, place);
    nqptp_endpoints_follow(&endpoints);
    CHECK(!owns(&endpoints, "127.0.0.1"), "with -i 127.0.0.2 127.0.0.1 is not our own address");
    close_all(&endpoints);
    open_for(&endpoints, ports, "127.0.0.1", NULL, place);
    nqptp_endpoints_follow(&endpoints);
    CHECK(owns(&endpoints, "127.0.0.1"), "with -i 127.0.0.1 it is our own address");
    close_all(&endpoints);
}

/* --- while they are open --------------------------------------------------------------------- */

/* Sends `count` datagrams of one zero byte, which is no PTP, to 127.0.0.1. */
static void send_junk(uint16_t port, int count) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    for (int i = 0; i < count; i++)
        (void)!sendto(fd, "", 1, 0, (struct sockaddr *)&to, sizeof to);
    close(fd);
}

/* Not every emulator has socket filters. */
static bool filters_work(const struct nqptp_endpoints *endpoints) {
    int fd = endpoints->list[0].fd;
    return nqptp_socket_guard(fd, true) == 0 && nqptp_socket_guard(fd, false) == 0;
}

/*
 * Returns how many datagrams were dropped since the last call. Waits up to a second until there are
 * as many as expected.
 */
static uint64_t drops_of(struct nqptp_endpoints *endpoints, uint64_t expected) {
    uint64_t drops = nqptp_endpoints_drops(endpoints);

    for (int i = 0; i < 1000 && drops < expected; i++) {
        poll(NULL, 0, 1);
        drops += nqptp_endpoints_drops(endpoints);
    }
    return drops;
}

static void test_drops(const uint16_t ports[2]) {
    struct nqptp_endpoints endpoints;
    char place[NQPTP_PLACE_SIZE];

    open_for(&endpoints, ports, "127.0.0.1", NULL, place);
    CHECK_EQ_U64(nqptp_endpoints_drops(&endpoints), 0, "no datagram was dropped yet");
    if (!filters_work(&endpoints)) {
        CHECK(true, "drops # SKIP this emulator knows no socket filters");
        close_all(&endpoints);
        return;
    }
    nqptp_endpoints_guard(&endpoints, true);
    send_junk(ports[0], 3);
    send_junk(ports[1], 2);
    CHECK_EQ_U64(drops_of(&endpoints, 5), 5, "guarded sockets of both ports drop junk");
    CHECK_EQ_U64(nqptp_endpoints_drops(&endpoints), 0, "a dropped datagram counts once");
    send_junk(ports[1], 1);
    CHECK_EQ_U64(drops_of(&endpoints, 1), 1, "later drops count from there");
    nqptp_endpoints_guard(&endpoints, false);
    send_junk(ports[0], 1);
    CHECK_EQ_U64(nqptp_endpoints_drops(&endpoints), 0, "unguarded sockets keep junk");
    close_all(&endpoints);
}

static unsigned open_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

/* Returns the number of an endpoint that can be read, or -1 if none can be read in 0.1 s. */
static int ready(int epoll) {
    struct epoll_event event;

    return epoll_wait(epoll, &event, 1, 100) == 1 ? (int)event.data.u32 : -1;
}

static void test_watching(const uint16_t ports[2]) {
    struct nqptp_endpoints endpoints;
    char place[NQPTP_PLACE_SIZE];

    open_for(&endpoints, ports, "127.0.0.1", NULL, place);
    CHECK_EQ_I64(ready(endpoints.epoll), -1, "epoll reports nothing while nothing came");
    send_junk(ports[1], 1);
    CHECK_EQ_I64(ready(endpoints.epoll), 1,
                 "epoll reports the endpoint of the general port by its number");
    close_all(&endpoints);
}

/* Ports are opened again and again while one of them is busy. */
static void test_opened_again(const uint16_t ports[2]) {
    struct nqptp_endpoints endpoints;
    const struct nqptp_endpoint *failed;
    char place[NQPTP_PLACE_SIZE];

    open_for(&endpoints, ports, "127.0.0.1", NULL, place);
    unsigned descriptors = open_descriptors();
    nqptp_endpoints_close(&endpoints);
    CHECK_EQ_U64(open_descriptors(), descriptors - 2, "endpoints that are closed have no socket");
    CHECK_EQ_I64(nqptp_endpoints_open(&endpoints, &failed), 0, "closed endpoints open again");
    CHECK_EQ_U64(open_descriptors(), descriptors,
                 "endpoints that are opened again need no more descriptors");
    send_junk(ports[1], 1);
    CHECK_EQ_I64(ready(endpoints.epoll), 1, "epoll reports endpoints that were opened again");
    close_all(&endpoints);
}

/* Makes it look as if the interface had been another one when the endpoints were opened. */
static void test_interface_comes_back(const uint16_t ports[2]) {
    struct nqptp_endpoints endpoints;
    char place[NQPTP_PLACE_SIZE];

    if (open_for(&endpoints, ports, "lo", NULL, place) == 0 && filters_work(&endpoints)) {
        nqptp_endpoints_follow(&endpoints);
        uint32_t index = if_nametoindex("lo");
        nqptp_endpoints_guard(&endpoints, true);
        send_junk(ports[0], 2);
        CHECK_EQ_U64(nqptp_endpoints_drops(&endpoints), 2,
                     "before the interface changes its sockets drop junk");
        unsigned descriptors = open_descriptors();
        for (unsigned i = 0; i < endpoints.count; i++)
            endpoints.list[i].interface = index + 1000;
        nqptp_endpoints_follow(&endpoints);
        CHECK_EQ_U64(open_descriptors(), descriptors,
                     "when the interface changes the old sockets are closed");
        CHECK_EQ_U64(endpoints.list[0].interface, index,
                     "when the interface changes the new sockets are of the new one");
        CHECK(endpoints.list[0].fd >= 0 && endpoints.list[1].fd >= 0,
              "when the interface changes both ports are opened again");
        CHECK(!nqptp_endpoints_must_retry(&endpoints),
              "when the interface changes no port is waited for");
        send_junk(ports[0], 1);
        CHECK_EQ_U64(nqptp_endpoints_drops(&endpoints), 1,
                     "when the interface changes the new sockets are guarded as well");
        nqptp_endpoints_guard(&endpoints, false);
        send_junk(ports[1], 1);
        CHECK_EQ_I64(ready(endpoints.epoll), 1, "epoll watches the new sockets");
    } else {
        CHECK(true, "an interface comes back # SKIP only root may bind to one here, or there are "
                    "no filters");
    }
    close_all(&endpoints);
}

static void test_port_stays_busy(const uint16_t ports[2]) {
    struct nqptp_endpoints endpoints;
    struct nqptp_address everywhere = nqptp_address_from_ipv4((struct in_addr){0});
    char place[NQPTP_PLACE_SIZE];

    if (open_for(&endpoints, ports, "lo", NULL, place) == 0) {
        close(endpoints.list[0].fd);
        endpoints.list[0].fd = -1;
        int other = nqptp_socket_open(&everywhere, NULL, ports[0], NQPTP_SOCKET_ALONE);
        nqptp_endpoints_follow(&endpoints);
        CHECK(nqptp_endpoints_must_retry(&endpoints),
              "a port that another socket has is waited for");
        close(other);
        nqptp_endpoints_follow(&endpoints);
        CHECK(!nqptp_endpoints_must_retry(&endpoints), "a port that became free is not waited for");
        CHECK(endpoints.list[0].fd >= 0, "a port that became free is opened");
    } else {
        CHECK(true, "a port stays busy # SKIP this kernel lets only root bind to interfaces");
    }
    close_all(&endpoints);
}

/* Leaves the process room for one descriptor more. Returns the limit before. */
static struct rlimit leave_one_descriptor(void) {
    struct rlimit before, small;
    int next = dup(STDERR_FILENO);

    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    small = before;
    small.rlim_cur = (rlim_t)next + 1;
    setrlimit(RLIMIT_NOFILE, &small);
    return before;
}

/* The interface is there, but there is a descriptor for one of its two ports only. */
static void test_no_descriptor(const uint16_t ports[2]) {
    struct nqptp_endpoints endpoints;
    char place[NQPTP_PLACE_SIZE];

    if (open_for(&endpoints, ports, "lo", NULL, place) == 0) {
        nqptp_endpoints_follow(&endpoints);
        int highest = dup(STDERR_FILENO); /* The sockets' own numbers must not become free. */
        for (unsigned i = 0; i < 2; i++) {
            dup2(highest, endpoints.list[i].fd);
            endpoints.list[i].fd = -1;
        }
        close(highest);
        struct rlimit before = leave_one_descriptor();
        nqptp_endpoints_follow(&endpoints);
        setrlimit(RLIMIT_NOFILE, &before);
        CHECK(endpoints.list[0].fd >= 0 && endpoints.list[1].fd < 0,
              "with one descriptor left one of two ports is opened");
        CHECK(nqptp_endpoints_must_retry(&endpoints),
              "a port without a descriptor is tried again later");
        nqptp_endpoints_follow(&endpoints);
        CHECK(endpoints.list[1].fd >= 0 && !nqptp_endpoints_must_retry(&endpoints),
              "once there is a descriptor the port is opened");
    } else {
        CHECK(true, "no descriptor # SKIP this kernel lets only root bind to interfaces");
    }
    close_all(&endpoints);
}

static void check_multicast(const char *any, int family) {
    struct nqptp_address address;

    nqptp_address_parse(any, strlen(any), &address);
    int fd = nqptp_socket_open(&address, NULL, 0, NQPTP_SOCKET_ALONE);
    if (fd < 0) {
        CHECK(true, "groups # SKIP this host lacks the family of %s", any);
        return;
    }
    uint32_t lo = if_nametoindex("lo");
    int joined = nqptp_multicast(fd, family, lo, MCAST_JOIN_GROUP);
    if (joined == -ENOPROTOOPT) {
        CHECK(true, "%s: groups # SKIP this emulator cannot join them", any);
        close(fd);
        return;
    }
    CHECK_EQ_I64(joined, 0, "%s: a socket joins the groups of its family", any);
    CHECK_EQ_I64(nqptp_multicast(fd, family, lo, MCAST_JOIN_GROUP), 0, "%s: a member joins again",
                 any);
    CHECK_EQ_I64(nqptp_multicast(fd, family, lo, MCAST_LEAVE_GROUP), 0,
                 "%s: a member leaves the groups", any);
    CHECK_EQ_I64(nqptp_multicast(fd, family, lo, MCAST_LEAVE_GROUP), -EADDRNOTAVAIL,
                 "%s: a socket that is no member cannot leave", any);
    close(fd);
}

static void test_multicast(void) {
    check_multicast("0.0.0.0", AF_INET);
    check_multicast("::", AF_INET6);
}

static void test_full_queue(const uint16_t ports[2]) {
    struct nqptp_endpoints endpoints;
    struct nqptp_address there;
    struct nqptp_reply reply = {.length = 44};
    char place[NQPTP_PLACE_SIZE], data[64];
    unsigned received = 0;

    nqptp_address_parse("127.0.0.9", 9, &there);
    int receiver = nqptp_socket_open(&there, NULL, ports[1], NQPTP_SOCKET_ALONE);
    open_for(&endpoints, ports, "127.0.0.2", NULL, place);
    nqptp_address_parse("127.0.0.2", 9, &reply.local);
    reply.destination = there;
    reply.general = true;
    for (unsigned i = 0; i <= NQPTP_QUEUE_MAX; i++)
        nqptp_endpoints_queue(&endpoints, &reply);
    while (arrives(receiver) && recv(receiver, data, sizeof data, MSG_DONTWAIT) > 0)
        received++;
    CHECK_EQ_U64(received, NQPTP_QUEUE_MAX, "a full queue is sent before one more is queued");
    nqptp_endpoints_flush(&endpoints);
    nqptp_endpoints_flush(&endpoints);
    while (arrives(receiver) && recv(receiver, data, sizeof data, MSG_DONTWAIT) > 0)
        received++;
    CHECK_EQ_U64(received, NQPTP_QUEUE_MAX + 1, "a queued reply is sent once, by its port");
    close_all(&endpoints);
    close(receiver);
}

int main(void) {
    static void (*const tests[])(void) = {
        test_what_is_taken,
        test_what_is_not,
        test_how_many,
        test_multicast,
    };
    static void (*const tests_of_ports[])(const uint16_t ports[2]) = {
        test_side_by_side,    test_shared,
        test_interfaces,      test_replies,
        test_requests,        test_own_addresses,
        test_drops,           test_watching,
        test_opened_again,    test_interface_comes_back,
        test_port_stays_busy, test_no_descriptor,
        test_full_queue,
    };
    uint16_t ports[2];

    nqptp_log_open(0);
    TAP_RUN(tests);
    find_ports(ports);
    TAP_RUN(tests_of_ports, ports);
    return tap_done();
}
