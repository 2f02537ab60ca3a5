/* SPDX-License-Identifier: MIT */
/*
 * Proves what touches the kernel, without the ports of PTP: the conversion of receive times,
 * batches of datagrams on the loopback interface, busy ports, and the log.
 */
#include "nqptp-ports.h"
#include "nqptp-utilities.h"

#include "../lib/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define S INT64_C(1000000000)
#define MS (S / 1000)
#define REALTIME (UINT64_C(1700000000) * (uint64_t)S)
#define RAW (UINT64_C(5000) * (uint64_t)S)

/* --- receive times --------------------------------------------------------------------------- */

/* Returns the receive time of a datagram that the kernel received age_ns before `now`. */
static uint64_t convert(int64_t age_ns, struct nqptp_clock_pair now, struct nqptp_clock_pair last) {
    uint64_t stamp_ns = now.realtime_ns - (uint64_t)age_ns;
    struct timespec stamp = {(time_t)(stamp_ns / (uint64_t)S), (long)(stamp_ns % (uint64_t)S)};
    return nqptp_clock_receive_time_ns(&stamp, 1, now, &last);
}

static void test_receive_time(void) {
    const struct nqptp_clock_pair none = {0, 0}, now = {RAW, REALTIME};
    struct nqptp_clock_pair last = {RAW - (uint64_t)S, REALTIME - (uint64_t)S};
    const uint64_t arrival_ns = 1; /* as convert() has it */

    CHECK_EQ_U64(convert(250000, now, none), RAW - 250000, "a receive time is moved by its age");
    CHECK_EQ_U64(convert(0, now, last), RAW, "a stamp of this moment gives this moment");
    CHECK_EQ_U64(convert(-3000, now, last), RAW + 3000,
                 "a stamp less than 5 us in the future is within the error of reading two clocks");
    CHECK_EQ_U64(convert(-6000, now, last), arrival_ns,
                 "a stamp 6 us in the future is not believed");
    CHECK_EQ_U64(convert(2 * S, now, last), RAW - 2 * (uint64_t)S,
                 "a stamp that is 2 s old keeps its age");
    CHECK_EQ_U64(convert(9 * S, now, last), RAW - 9 * (uint64_t)S,
                 "a stamp that is 9 s old keeps its age");
    CHECK_EQ_U64(nqptp_clock_receive_time_ns(NULL, 77, now, &last), 77,
                 "a datagram without a stamp has the arrival time");

    last.realtime_ns -= (uint64_t)S / 2;
    CHECK_EQ_U64(convert(1000, now, last), arrival_ns,
                 "after CLOCK_REALTIME was set forward a stamp is not believed");
    last.realtime_ns += (uint64_t)S;
    CHECK_EQ_U64(convert(1000, now, last), arrival_ns,
                 "after CLOCK_REALTIME was set back a stamp is not believed");
    last = (struct nqptp_clock_pair){RAW - (uint64_t)S, REALTIME - (uint64_t)S + 500000};
    CHECK_EQ_U64(convert(1000, now, last), RAW - 1000,
                 "after CLOCK_REALTIME was slewed by 500 ppm a stamp is believed");
    last.realtime_ns += 400000;
    CHECK_EQ_U64(convert(1000, now, last), arrival_ns,
                 "after CLOCK_REALTIME moved by 900 us in a second a stamp is not believed");
}

static void test_clock_pair(void) {
    uint64_t before_ns = nqptp_clock_now_ns();
    struct nqptp_clock_pair pair = nqptp_clock_pair_read();
    uint64_t after_ns = nqptp_clock_now_ns();
    struct timespec realtime;

    clock_gettime(CLOCK_REALTIME, &realtime);
    CHECK(before_ns <= pair.raw_ns && pair.raw_ns <= after_ns,
          "a pair of clocks: the raw time is of the moment of reading");
    uint64_t realtime_ns = (uint64_t)realtime.tv_sec * (uint64_t)S + (uint64_t)realtime.tv_nsec;
    CHECK(realtime_ns - pair.realtime_ns < 60 * (uint64_t)S,
          "a pair of clocks: the real time is within a minute of the system's");
    CHECK_EQ_U64(sizeof realtime.tv_sec, 8,
                 "the system's time has 64 bits, so it does not end in 2038");
}

/* --- datagrams ------------------------------------------------------------------------------- */

static void test_socket_addresses(void) {
    struct nqptp_address address = {0};
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;

    nqptp_address_parse("192.0.2.1", strlen("192.0.2.1"), &address);
    struct sockaddr_storage name = nqptp_socket_address(&address, 319);
    memcpy(&ipv4, &name, sizeof ipv4);
    CHECK(ipv4.sin_family == AF_INET && ntohs(ipv4.sin_port) == 319 &&
              ntohl(ipv4.sin_addr.s_addr) == 0xC0000201,
          "an IPv4 address and a port become those of a socket");
    nqptp_address_parse("fe80::1", strlen("fe80::1"), &address);
    address.scope_id = 3;
    name = nqptp_socket_address(&address, 320);
    memcpy(&ipv6, &name, sizeof ipv6);
    CHECK(ipv6.sin6_family == AF_INET6 && ntohs(ipv6.sin6_port) == 320 && ipv6.sin6_scope_id == 3 &&
              IN6_ARE_ADDR_EQUAL(&ipv6.sin6_addr, &address.ip),
          "an IPv6 address, its interface and a port become those of a socket");
}

/* The port is at the same place in the names of both families. */
static uint16_t port_of(int fd) {
    struct sockaddr_in6 name = {0};
    socklen_t size = sizeof name;

    getsockname(fd, (struct sockaddr *)&name, &size);
    return ntohs(name.sin6_port);
}

static int receive(int fd, struct nqptp_batch *batch) {
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    poll(&readable, 1, 5000);
    struct nqptp_clock_pair last = {0, 0};
    return nqptp_socket_receive(fd, NQPTP_BATCH, &last, batch);
}

/* Makes a check only if it fails, because how often it is called depends on the kernel. */
static void send_bytes(int fd, const char *to, uint16_t port, const void *bytes, size_t length) {
    struct nqptp_address address = {0};

    nqptp_address_parse(to, strlen(to), &address);
    struct sockaddr_storage name = nqptp_socket_address(&address, port);
    if (sendto(fd, bytes, length, 0, (struct sockaddr *)&name, sizeof name) != (ssize_t)length)
        CHECK(false, "%zu bytes go to %s", length, to);
}

/*
 * Sends one datagram, and waits until the receiver has it or the kernel has counted it as dropped.
 * An emulator does not count, so it waits 0.1 s at most. Returns how many the receiver gets.
 */
static int pass(int sender, const char *to, int receiver, struct nqptp_batch *batch,
                const uint8_t *data, size_t length) {
    struct pollfd readable = {.fd = receiver, .events = POLLIN};
    struct nqptp_clock_pair last = {0, 0};
    uint32_t drops = nqptp_socket_drops(receiver);

    send_bytes(sender, to, port_of(receiver), data, length);
    for (int i = 0; i < 100 && nqptp_socket_drops(receiver) == drops; i++)
        if (poll(&readable, 1, 1) > 0)
            break;
    return nqptp_socket_receive(receiver, NQPTP_BATCH, &last, batch);
}

/* The guard looks at version, domain, type and length, not at the other bytes of a datagram. */
static void test_guard(int receiver, int sender, const char *loopback, struct nqptp_batch *batch) {
    static const uint8_t types[16] = {[0x0] = 1, [0x8] = 1, [0xB] = 1};
    uint8_t data[64] = {0x1B, 0x12};
    uint32_t drops = nqptp_socket_drops(receiver);

    CHECK_EQ_I64(nqptp_socket_guard(receiver, true), 0, "%s: the socket can be guarded", loopback);
    for (uint8_t type = 0; type < 16; type++) {
        data[0] = (uint8_t)(0xA0 | type);
        CHECK_EQ_I64(pass(sender, loopback, receiver, batch, data, sizeof data), types[type],
                     "guard: a message of type %u passes if it is Sync, Follow_Up or Announce",
                     type);
    }
    data[0] = 0x10;
    CHECK_EQ_I64(pass(sender, loopback, receiver, batch, data, 44), 1,
                 "guard: a Sync of 44 bytes passes");
    CHECK_EQ_I64(pass(sender, loopback, receiver, batch, data, 43), 0,
                 "guard: a Sync of 43 bytes does not pass");
    CHECK_EQ_I64(pass(sender, loopback, receiver, batch, data, 0), 0,
                 "guard: an empty datagram does not pass");
    data[4] = 1;
    CHECK_EQ_I64(pass(sender, loopback, receiver, batch, data, 44), 0,
                 "guard: a Sync of another domain does not pass");
    data[4] = 0;
    data[1] = 0x11;
    CHECK_EQ_I64(pass(sender, loopback, receiver, batch, data, 44), 0,
                 "guard: a Sync of another version does not pass");
    int lifted = nqptp_socket_guard(receiver, false);
    if (lifted == -ENOPROTOOPT) { /* No kernel says so, only qemu-user. */
        printf("# the filter stays, for this is an emulator\n");
        return;
    }
    CHECK_EQ_I64(lifted, 0, "guard: it can be removed");
    CHECK_EQ_U64(nqptp_socket_drops(receiver) - drops, 17,
                 "guard: the datagrams that did not pass are counted");
    CHECK_EQ_I64(pass(sender, loopback, receiver, batch, data, 1), 1,
                 "guard: after it was removed a datagram of one byte passes");
}

/* How the holder of a port is described. An emulator has another name for this program. */
static const char *held_by(pid_t child) {
    static char text[64];
    char name[32] = "";
    FILE *file = fopen("/proc/self/comm", "re");

    if (file && fgets(name, sizeof name, file))
        name[strcspn(name, "\n")] = '\0';
    if (file)
        fclose(file);
    snprintf(text, sizeof text, "held by \"%s\" (pid %ld)", name, (long)child);
    return text;
}

/* Returns the wildcard address of the same family. */
static struct nqptp_address everywhere_of(const char *text) {
    struct nqptp_address address = {.ip = IN6ADDR_ANY_INIT};

    if (!strchr(text, ':'))
        address = nqptp_address_from_ipv4((struct in_addr){0});
    return address;
}

static const char *holder_of(uint16_t port, const struct nqptp_address *address) {
    static char text[160];
    struct nqptp_holder holder;
    bool found = nqptp_port_find_holder(port, address, &holder);

    return nqptp_holder_describe(found ? &holder : NULL, text, sizeof text);
}

/* The process that has the port is named, except this process. */
static void test_holder(int receiver, const char *loopback) {
    struct nqptp_address wildcard = everywhere_of(loopback), address;
    uint16_t port = port_of(receiver);

    nqptp_address_parse(loopback, strlen(loopback), &address);
    CHECK_EQ_STR(holder_of(port, NULL), "the process that holds it is not visible from here",
                 "holder of a port: this process is not named");
    CHECK(!nqptp_port_taken(port, &wildcard),
          "holder of a port: a port of this process is not called taken");
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    close(receiver);
    CHECK_EQ_STR(holder_of(port, NULL), held_by(child),
                 "holder of a port: another process is named");
    CHECK_EQ_STR(holder_of(port, &address), held_by(child),
                 "holder of a port at one address: another process is named");
    CHECK(nqptp_port_taken(port, &wildcard),
          "a socket at all addresses takes the port of all addresses");
    CHECK(!nqptp_port_taken(port, &address),
          "a socket at all addresses that shares its port does not take the port of one address");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/*
 * An emulator of another processor does not pass the kernel's receive times on. A kernel gives them
 * a moment after the first socket has asked for them.
 */
static bool has_kernel_stamps(int sender, struct nqptp_batch *batch) {
    struct nqptp_address everywhere = everywhere_of("127.0.0.1");
    struct nqptp_clock_pair last = nqptp_clock_pair_read();
    struct timespec pause = {0, 5 * MS};
    int receiver = nqptp_socket_open(&everywhere, NULL, 0, NQPTP_SOCKET_ALONE);
    bool has = false;

    for (int i = 0; i < 20 && !has; i++) {
        send_bytes(sender, "127.0.0.1", port_of(receiver), "x", 1);
        nanosleep(&pause, NULL);
        uint64_t read_ns = nqptp_clock_now_ns();
        has = nqptp_socket_receive(receiver, NQPTP_BATCH, &last, batch) == 1 &&
              batch->packets[0].receive_time_ns + (uint64_t)(2 * MS) < read_ns;
    }
    close(receiver);
    return has;
}

/* CLOCK_REALTIME was set by 50 ms while packets waited in two sockets; one is read first. */
static void test_set_while_packets_wait(void) {
    struct nqptp_batch *batch = calloc(1, sizeof *batch);
    struct nqptp_address everywhere = everywhere_of("127.0.0.1");
    struct nqptp_clock_pair before = nqptp_clock_pair_read();
    struct nqptp_clock_pair set = {before.raw_ns, before.realtime_ns - (uint64_t)(50 * MS)};
    int sender = nqptp_socket_open(&everywhere, NULL, 0, NQPTP_SOCKET_LOCAL), receivers[2];

    nqptp_batch_init(batch);
    bool kernel_stamps = has_kernel_stamps(sender, batch);
    for (int i = 0; i < 2; i++) {
        receivers[i] = nqptp_socket_open(&everywhere, NULL, 0, NQPTP_SOCKET_ALONE);
        send_bytes(sender, "127.0.0.1", port_of(receivers[i]), "x", 1);
    }
    struct timespec pause = {0, 5 * MS};
    nanosleep(&pause, NULL);
    for (int i = 0; i < 2; i++) {
        struct nqptp_clock_pair last = set;
        uint64_t read_ns = nqptp_clock_now_ns();
        CHECK_EQ_I64(nqptp_socket_receive(receivers[i], NQPTP_BATCH, &last, batch), 1,
                     "socket %d is read", i);
        CHECK(batch->packets[0].receive_time_ns >= read_ns,
              "socket %d: the stamp of a packet from before the step is not trusted", i);
        send_bytes(sender, "127.0.0.1", port_of(receivers[i]), "x", 1);
        nanosleep(&pause, NULL);
        read_ns = nqptp_clock_now_ns();
        CHECK_EQ_I64(nqptp_socket_receive(receivers[i], NQPTP_BATCH, &last, batch), 1,
                     "socket %d: a packet that came after the step is read", i);
        CHECK(!kernel_stamps || batch->packets[0].receive_time_ns + (uint64_t)(2 * MS) < read_ns,
              "the stamp of a packet that came after the step is trusted%s",
              kernel_stamps ? "" : " # SKIP no stamps by this kernel");
        close(receivers[i]);
    }
    close(sender);
    free(batch);
}

static void check_datagrams(const char *loopback) {
    struct nqptp_batch *batch = calloc(1, sizeof *batch);
    char text[INET6_ADDRSTRLEN], big[NQPTP_DATAGRAM_MAX + 1] = {0};
    struct nqptp_address here, everywhere = everywhere_of(loopback);
    nqptp_address_parse(loopback, strlen(loopback), &here);
    int receiver = nqptp_socket_open(&everywhere, NULL, 0, NQPTP_SOCKET_ALONE);
    int sender = nqptp_socket_open(&here, NULL, 0, NQPTP_SOCKET_LOCAL);

    if (receiver == -EAFNOSUPPORT || sender == -EADDRNOTAVAIL) {
        CHECK(true, "%s # SKIP this machine lacks the family", loopback);
        free(batch);
        return;
    }
    nqptp_batch_init(batch);
    struct nqptp_clock_pair last = {0, 0};
    CHECK_EQ_I64(nqptp_socket_receive(receiver, NQPTP_BATCH, &last, batch), 0,
                 "%s: a socket without a datagram gives none", loopback);
    uint64_t before_ns = nqptp_clock_now_ns();
    for (unsigned i = 0; i < NQPTP_BATCH + 3; i++)
        send_bytes(sender, loopback, port_of(receiver), &(char){(char)i}, 1);
    CHECK_EQ_I64(receive(receiver, batch), NQPTP_BATCH,
                 "a batch has no more datagrams than its size");
    uint64_t after_ns = nqptp_clock_now_ns();
    const struct nqptp_packet *first = &batch->packets[0];
    CHECK(first->length == 1 && first->data[0] == 0 && !first->truncated,
          "the first datagram of a batch is whole");
    CHECK_EQ_STR(nqptp_address_format(&first->source, text), loopback,
                 "a datagram has its source address");
    CHECK_EQ_STR(nqptp_address_format(&first->local, text), loopback,
                 "a datagram has the address that it was sent to");
    CHECK(first->interface > 0, "a datagram has the interface that it came in by");
    CHECK(first->receive_time_ns + 10000 > before_ns && first->receive_time_ns < after_ns + 10000,
          "a datagram has a receive time between sending and reading");
    CHECK_EQ_I64(receive(receiver, batch), 3, "the next batch has the rest");
    send_bytes(sender, loopback, port_of(receiver), big, sizeof big);
    CHECK_EQ_I64(receive(receiver, batch), 1, "a datagram that is too long is read");
    CHECK(batch->packets[0].truncated, "a datagram that is too long is marked as truncated");

    struct nqptp_reply reply = {
        .length = NQPTP_DELAY_REQ_LENGTH, .destination = first->source, .local = first->source};
    memcpy(reply.data, "hello", 6);
    CHECK_EQ_I64(nqptp_socket_send(receiver, &reply, port_of(sender)), 0, "a reply is sent");
    CHECK_EQ_I64(receive(sender, batch), 1, "a reply arrives");
    CHECK(batch->packets[0].length == NQPTP_DELAY_REQ_LENGTH &&
              memcmp(batch->packets[0].data, reply.data, NQPTP_DELAY_REQ_LENGTH) == 0,
          "a reply arrives whole");
    if (!strchr(loopback, ':')) {
        nqptp_address_parse("127.0.0.5", strlen("127.0.0.5"), &reply.local);
        nqptp_socket_send(receiver, &reply, port_of(sender));
        CHECK_EQ_I64(receive(sender, batch), 1, "a reply of another address is sent");
        CHECK_EQ_STR(nqptp_address_format(&batch->packets[0].source, text), "127.0.0.5",
                     "a reply leaves from the address that it names");
    }

    test_guard(receiver, sender, loopback, batch);
    CHECK_EQ_I64(nqptp_socket_open(&everywhere, NULL, port_of(receiver), NQPTP_SOCKET_ALONE),
                 -EADDRINUSE, "a port that another socket has is refused");
    test_holder(receiver, loopback);
    close(sender);
    free(batch);
}

static void test_datagrams(void) {
    check_datagrams("127.0.0.1");
    check_datagrams("::1");
}

static void test_interfaces_by_number(void) {
    const struct nqptp_interfaces none = {.count = 0}, two = {.count = 2, .indices = {3, 7}};

    CHECK(!nqptp_interfaces_has(&none, 0), "a list without interfaces has none");
    CHECK(nqptp_interfaces_has(&two, 3) && nqptp_interfaces_has(&two, 7),
          "a list of two interfaces has both");
    CHECK(!nqptp_interfaces_has(&two, 5), "a list of two interfaces has no third one");
}

static void test_interfaces(void) {
    struct nqptp_interfaces *interfaces = calloc(1, sizeof *interfaces);
    bool loopback = false;
    char text[INET6_ADDRSTRLEN];

    CHECK_EQ_I64(nqptp_interfaces_read(interfaces), 0, "the interfaces can be read");
    for (unsigned i = 0; i < interfaces->address_count; i++)
        loopback |= strcmp(nqptp_address_format(&interfaces->addresses[i], text), "127.0.0.1") == 0;
    CHECK(loopback, "the addresses of this machine have 127.0.0.1");
    CHECK(nqptp_clock_identity() != 0, "this machine has a clock identity");
    unsigned count = interfaces->address_count;
    struct rlimit before, none;
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    CHECK_EQ_I64(nqptp_interfaces_read(interfaces), -EMFILE,
                 "without a descriptor the interfaces cannot be read");
    setrlimit(RLIMIT_NOFILE, &before);
    CHECK_EQ_U64(interfaces->address_count, count,
                 "interfaces that cannot be read: those that were read before are left");
    free(interfaces);
}

/* --- the log --------------------------------------------------------------------------------- */

/* Logs a line with stderr in a pipe. Returns what came out of the pipe. */
static const char *logged(unsigned verbosity, int priority, char *text, size_t size) {
    int channel[2], saved = dup(STDERR_FILENO);

    if (pipe(channel) < 0)
        return "";
    dup2(channel[1], STDERR_FILENO);
    nqptp_log_open(verbosity);
    errno = ENOENT;
    nqptp_log(priority, "text %d", 5);
    bool kept = errno == ENOENT;
    dup2(saved, STDERR_FILENO);
    close(channel[1]);
    ssize_t length = read(channel[0], text, size - 1);
    text[length > 0 ? length : 0] = '\0';
    close(channel[0]);
    close(saved);
    return kept ? text : "errno was lost";
}

static void test_log(void) {
    char text[256];

    unsetenv("JOURNAL_STREAM");
    CHECK_EQ_STR(logged(0, LOG_NOTICE, text, sizeof text), "nqptp: text 5\n", "a notice is logged");
    CHECK_EQ_STR(logged(0, LOG_WARNING, text, sizeof text), "nqptp: warning: text 5\n",
                 "a warning is logged");
    CHECK_EQ_STR(logged(0, LOG_ERR, text, sizeof text), "nqptp: error: text 5\n",
                 "an error is logged");
    CHECK_EQ_STR(logged(0, LOG_INFO, text, sizeof text), "", "without -v an info is not logged");
    CHECK_EQ_STR(logged(1, LOG_INFO, text, sizeof text), "nqptp: text 5\n",
                 "with -v an info is logged");
    CHECK_EQ_STR(logged(1, LOG_DEBUG, text, sizeof text), "",
                 "with -v a debug message is not logged");
    CHECK_EQ_STR(logged(2, LOG_DEBUG, text, sizeof text), "nqptp: text 5\n",
                 "with -vv a debug message is logged");
    CHECK_EQ_STR(logged(99, LOG_DEBUG, text, sizeof text), "nqptp: text 5\n",
                 "with more -v than there are levels a debug message is logged");
    setenv("JOURNAL_STREAM", "1:1", 1);
    CHECK_EQ_STR(logged(0, LOG_ERR, text, sizeof text), "nqptp: error: text 5\n",
                 "with a JOURNAL_STREAM that is not stderr an error has its prefix");
}

/* Returns whether the process ends by itself within 10 s. */
static bool ends(pid_t child) {
    struct timespec pause = {0, 10 * MS};

    for (int i = 0; i < 1000; i++) {
        if (waitpid(child, NULL, WNOHANG) == child)
            return true;
        nanosleep(&pause, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return false;
}

/* A terminal holds some ten thousand bytes that nothing reads. Two million are logged. */
static void test_log_to_a_terminal(void) {
    char text[16] = "";
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);

    if (terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0) {
        CHECK(true, "the log on a terminal # SKIP there is no terminal here");
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        int stream = open(ptsname(terminal), O_RDWR | O_NOCTTY);
        dup2(stream, STDERR_FILENO);
        nqptp_log_open(0);
        for (int i = 0; i < 20000; i++)
            nqptp_log(LOG_NOTICE, "%*d", 100, i);
        _exit(0);
    }
    CHECK(ends(child), "a terminal that nothing reads does not stop the log");
    CHECK(read(terminal, text, 10) == 10, "a terminal that nothing reads has the first lines");
    CHECK_EQ_STR(text, "nqptp:    ", "the log on a terminal has its prefix");
    close(terminal);
}

int main(void) {
    static void (*const tests[])(void) = {
        test_receive_time,
        test_clock_pair,
        test_set_while_packets_wait,
        test_socket_addresses,
        test_datagrams,
        test_interfaces,
        test_log,
        test_log_to_a_terminal,
        test_interfaces_by_number,
    };
    TAP_RUN(tests);
    return tap_done();
}
