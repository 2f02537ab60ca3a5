/* SPDX-License-Identifier: MIT */
/*
 * PTP masters that send as AirPlay senders do, for the tests. Their true time is known.
 *
 * A master's time is CLOCK_MONOTONIC_RAW, skewed, plus an offset. So a program on the same machine
 * that reads the daemon's record knows its error. Delay, loss, disorder and repetition of the
 * network are made here, so that the truth of each packet is known. The junk of hostile senders is
 * made here as well.
 *
 * It shares no code with the daemon: messages are written byte by byte at the offsets that IEEE
 * 1588-2008 clause 13 gives, so that a mistake in the daemon's own table cannot cancel itself out.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../lib/network-model.h"
#include "../lib/program.h"
#include "../lib/ptp-messages.h"
#include "../lib/settings.h"

#define SECOND_NS UINT64_C(1000000000)
#define DESTINATIONS_MAX 16
#define QUEUE_MAX 16384
#define MESSAGE_MAX 128
#define JUNK_MAX 1472
#define APPLE_PORT_NUMBER 32776
#define SPIN_NS 150000
#define EARLY_NS 200000 /* how far ahead of its Sync a reordered Follow_Up is sent */

enum type {
    SYNC = 0x0,
    DELAY_REQ = 0x1,
    PDELAY_REQ = 0x2,
    PDELAY_RESP = 0x3,
    FOLLOW_UP = 0x8,
    DELAY_RESP = 0x9,
    PDELAY_RESP_FOLLOW_UP = 0xA,
    ANNOUNCE = 0xB,
    SIGNALING = 0xC,
    MANAGEMENT = 0xD
};

enum mode { MODE_MASTERS, MODE_JUNK, MODE_TRUNCATE, MODE_FLOOD };
static const char *const modes[] = {"masters", "junk", "truncate", "flood", NULL};

/* "none", then the networks of network-model.h in their order. */
static const char *const delays[] = {"none",      "wired",   "wifi", "holdwifi",
                                     "sleepwifi", "badwifi", NULL};
#define DELAY_NONE 0

enum channel { EVENT, GENERAL, CONTROL, CHANNELS };

struct options {
    unsigned mode, delay; /* as in the two lists above */
    unsigned ports[CHANNELS], interface;
    unsigned masters, priority1, priority_step, count, seed, sequence;
    uint64_t identity, offset_ns;
    int64_t correction_ns;
    double rate, announce_rate, seconds, skew_ppm, lose_sync_percent, serve_muted, wild_percent;
    double sleep_after, sleep_for; /* In seconds; 0: the clock never sleeps. */
    double fickle;                 /* the seconds after which it becomes the other one of two: */
    uint64_t other_offset_ns, other_grandmaster;
    unsigned other_priority1;
    bool no_announce, no_sync, absurd, one_step, reorder, duplicate, low_ports, verbose, general,
        mirror;
};

struct destination {
    struct sockaddr_storage address;
    uint64_t heard_ns; /* what it sent last, to port 319 or 320 */
};

/* One master at one destination. */
struct stream {
    unsigned master, to;
    uint16_t sequence_id, announce_id;
};

struct message {
    uint8_t data[MESSAGE_MAX];
    size_t length;
    uint64_t taken_ns; /* When the time was taken that this Sync gives. */
};

enum turn { TURN_EXCHANGE, TURN_ANNOUNCE, TURN_DATAGRAM };

struct event {
    uint64_t time_ns;
    enum turn turn;
    unsigned stream;
    enum channel channel;
    struct message message;
};

struct sender {
    struct options options;
    struct air air; /* The network between us and the destinations. */
    uint64_t start_ns;
    FILE *log; /* NULL: none is kept */
    struct destination destinations[DESTINATIONS_MAX];
    unsigned destination_count, stream_count, queued;
    struct sockaddr_storage from[2]; /* IPv4, IPv6 */
    int sockets[2][2];               /* the same; event, general */
    struct stream *streams;
    struct event *queue; /* a binary heap, the next one first */
    unsigned short random[3];
};

static uint64_t now_raw_ns(void) {
    return (uint64_t)now_ns(CLOCK_MONOTONIC_RAW);
}

static double uniform(struct sender *s) {
    return erand48(s->random);
}

static uint64_t random64(struct sender *s) {
    return (uint64_t)nrand48(s->random) << 42 ^ (uint64_t)nrand48(s->random) << 21 ^
           (uint64_t)nrand48(s->random);
}

/* Waits to the microsecond, which a sleep does not. */
static void spin_until(uint64_t time_ns) {
    uint64_t now = now_raw_ns();

    while (now < time_ns)
        now = now_raw_ns();
}

static uint64_t interval_ns(double rate) {
    return (uint64_t)((double)SECOND_NS / rate);
}

/* --- the truth ------------------------------------------------------------------------------- */

static bool is_other(const struct options *o, uint64_t raw_ns) {
    return o->fickle > 0 && raw_ns / (uint64_t)(o->fickle * (double)SECOND_NS) % 2 == 1;
}

/* The master's time at raw_ns of CLOCK_MONOTONIC_RAW; shm-reader has the same rule. */
static uint64_t master_time(const struct options *o, unsigned master, uint64_t raw_ns) {
    int64_t ppb = (int64_t)(o->skew_ppm * 1000);
    int64_t skew_ns = (int64_t)(raw_ns / SECOND_NS) * ppb +
                      (int64_t)(raw_ns % SECOND_NS) * ppb / (int64_t)SECOND_NS;

    return raw_ns + (uint64_t)skew_ns + o->offset_ns + master * SECOND_NS +
           (is_other(o, raw_ns) ? o->other_offset_ns : 0);
}

/* --- messages -------------------------------------------------------------------------------- */

static uint8_t control_field(enum type type) {
    switch (type) {
    case SYNC:
        return 0;
    case DELAY_REQ:
        return 1;
    case FOLLOW_UP:
        return 2;
    case DELAY_RESP:
        return 3;
    case MANAGEMENT:
        return 4;
    case PDELAY_REQ:
    case PDELAY_RESP:
    case PDELAY_RESP_FOLLOW_UP:
    case ANNOUNCE:
    case SIGNALING:
        break;
    }
    return 5;
}

static void put_header(struct message *m, enum type type, size_t length, uint16_t flags,
                       uint64_t identity, uint16_t sequence_id, int log_interval) {
    *m = (struct message){.length = length};
    m->data[0] = (uint8_t)(0x10 | type);
    m->data[1] = 0x02;
    put_message_length(m->data, (uint16_t)length);
    put_flags(m->data, flags);
    put_source(m->data, identity, APPLE_PORT_NUMBER);
    put_sequence_id(m->data, sequence_id);
    m->data[32] = control_field(type);
    put_log_interval(m->data, (int8_t)log_interval);
}

/* logMessageInterval: the power of two of seconds next to 1 / rate. */
static int log_interval(double rate) {
    int log = 0;

    while (rate > 1.42 && log > -7) {
        rate /= 2;
        log--;
    }
    while (rate > 0 && rate < 0.71 && log < 7) {
        rate *= 2;
        log++;
    }
    return log;
}

/* An organisation extension TLV (14.3): type, length, OUI and subtype; the rest stays zero. */
static void put_extension(uint8_t *out, unsigned length, uint32_t oui, uint32_t subtype) {
    put(out, 2, 0x0003);
    put(out + 2, 2, length);
    put(out + 4, 3, oui);
    put(out + 7, 3, subtype);
}

static void make_sync(struct message *m, const struct options *o, uint64_t identity,
                      uint16_t sequence_id) {
    put_header(m, SYNC, 44, o->one_step ? 0x0408 : 0x0608, identity, sequence_id,
               log_interval(o->rate));
}

static void make_follow_up(struct message *m, const struct options *o, uint64_t identity,
                           uint16_t sequence_id, uint64_t origin_ns) {
    put_header(m, FOLLOW_UP, 96, 0x0408, identity, sequence_id, log_interval(o->rate));
    put_timestamp(m->data, origin_ns);
    put_extension(m->data + 44, 28, 0x0080C2, 1);
    put_extension(m->data + 76, 16, 0x000D93, 4);
    put(m->data + 86, 8, identity);
}

static void make_announce(struct message *m, const struct options *o, uint64_t identity,
                          uint16_t sequence_id, unsigned priority1) {
    put_header(m, ANNOUNCE, 76, 0x0408, identity, sequence_id, log_interval(o->announce_rate));
    put(m->data + 44, 2, 37); /* currentUtcOffset */
    put(m->data + 47, 1, priority1);
    put(m->data + 48, 1, 248);    /* clockClass */
    put(m->data + 49, 1, 0xFE);   /* clockAccuracy */
    put(m->data + 50, 2, 0x436A); /* offsetScaledLogVariance */
    put(m->data + 52, 1, 248);    /* priority2 */
    put_grandmaster(m->data, identity);
    put(m->data + 63, 1, 0xA0); /* timeSource */
    put(m->data + 64, 2, 0x0008);
    put(m->data + 66, 2, 8);
    put(m->data + 68, 8, identity);
}

/* A whole message of any type, to be sent cut short or damaged. */
static void make_any(struct message *m, const struct options *o, enum type type, uint64_t identity,
                     uint16_t sequence_id) {
    switch (type) {
    case SYNC:
        make_sync(m, o, identity, sequence_id);
        break;
    case FOLLOW_UP:
        make_follow_up(m, o, identity, sequence_id, master_time(o, 0, now_raw_ns()));
        break;
    case ANNOUNCE:
        make_announce(m, o, identity, sequence_id, o->priority1);
        break;
    case DELAY_REQ:
        put_header(m, type, 44, 0x0400, identity, sequence_id, 0x7F);
        break;
    case SIGNALING:
        put_header(m, type, 106, 0x0408, identity, sequence_id, -128);
        put(m->data + 34, 8, UINT64_MAX);
        put_extension(m->data + 44, 22, 0x000D93, 1);
        put_extension(m->data + 70, 32, 0x000D93, 5);
        break;
    case PDELAY_REQ:
    case PDELAY_RESP:
    case PDELAY_RESP_FOLLOW_UP:
    case DELAY_RESP:
    case MANAGEMENT:
        put_header(m, type, 54, 0x0400, identity, sequence_id, 0x7F);
        break;
    }
}

/* --- sending --------------------------------------------------------------------------------- */

static void send_bytes(const struct sender *s, unsigned to, enum channel channel, const void *data,
                       size_t length) {
    struct sockaddr_storage address = s->destinations[to].address;
    bool v6 = address.ss_family == AF_INET6;
    uint16_t port = htons((uint16_t)s->options.ports[channel]);

    if (v6)
        ((struct sockaddr_in6 *)&address)->sin6_port = port;
    else
        ((struct sockaddr_in *)&address)->sin_port = port;
    /* A real network loses datagrams as well, so an error is no failure. */
    (void)sendto(s->sockets[v6][channel == EVENT ? EVENT : GENERAL], data, length, MSG_NOSIGNAL,
                 (struct sockaddr *)&address,
                 v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
}

static void enqueue(struct sender *s, struct event event) {
    unsigned i = s->queued;

    if (s->queued == QUEUE_MAX)
        quit(1, "more than %d datagrams are on their way", QUEUE_MAX);
    s->queued++;
    for (; i > 0 && s->queue[(i - 1) / 2].time_ns > event.time_ns; i = (i - 1) / 2)
        s->queue[i] = s->queue[(i - 1) / 2];
    s->queue[i] = event;
}

static struct event dequeue(struct sender *s) {
    struct event first = s->queue[0], last = s->queue[--s->queued];
    unsigned i = 0;

    for (unsigned child = 1; child < s->queued; child = 2 * i + 1) {
        if (child + 1 < s->queued && s->queue[child + 1].time_ns < s->queue[child].time_ns)
            child++;
        if (s->queue[child].time_ns >= last.time_ns)
            break;
        s->queue[i] = s->queue[child];
        i = child;
    }
    s->queue[i] = last;
    return first;
}

/*
 * Returns the time of the masters' clocks if they ran at the right rate: they stand still while
 * they sleep, and jump forward if the sleep is negative.
 */
static uint64_t awake_ns(const struct sender *s, uint64_t raw_ns) {
    uint64_t fell_ns = s->start_ns + (uint64_t)(s->options.sleep_after * 1e9);
    int64_t slept_ns = (int64_t)(s->options.sleep_for * 1e9);

    if (slept_ns == 0 || raw_ns <= fell_ns)
        return raw_ns;
    return (int64_t)(raw_ns - fell_ns) < slept_ns ? fell_ns : raw_ns - (uint64_t)slept_ns;
}

/*
 * Of the first master's messages that convey time: type, when the time was taken, when the message
 * left, and by how much the master's time was then ahead of CLOCK_MONOTONIC_RAW.
 */
static void log_message(const struct sender *s, struct stream stream, const struct message *message,
                        uint64_t out_ns) {
    int type = message->data[0] & 0x0F;

    if (s->log && stream.master == 0 && (type == SYNC || type == FOLLOW_UP))
        fprintf(s->log, "%u %d %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", stream.to, type,
                message->taken_ns, out_ns,
                master_time(&s->options, 0, awake_ns(s, message->taken_ns)) - message->taken_ns);
}

static void send_to(const struct sender *s, struct stream stream, enum channel channel,
                    const struct message *message) {
    uint64_t out_ns = now_raw_ns();

    send_bytes(s, stream.to, channel, message->data, message->length);
    log_message(s, stream, message, out_ns);
}

static void send_now(const struct sender *s, unsigned stream, enum channel channel,
                     const struct message *message) {
    struct stream to = s->streams[stream];

    send_to(s, to, channel, message);
    if (s->options.mirror)
        while (++to.to < s->destination_count)
            send_to(s, to, channel, message);
}

/* --- the network's vices --------------------------------------------------------------------- */

/* Returns when a datagram that is sent now arrives, after those under way, or 0 if it is lost. */
static uint64_t carried_ns(struct sender *s) {
    double sent_s = (double)(now_raw_ns() - s->start_ns) / 1e9;
    double there_s = air_carry(&s->air, sent_s, least_delay_s(s->air.network));

    return there_s < 0 ? 0 : s->start_ns + (uint64_t)(there_s * 1e9);
}

static void send_once(struct sender *s, unsigned stream, enum channel channel,
                      const struct message *message) {
    uint64_t out_ns;

    if (s->options.delay == DELAY_NONE) {
        send_now(s, stream, channel, message);
        return;
    }
    out_ns = carried_ns(s);
    if (out_ns > 0)
        enqueue(s, (struct event){out_ns, TURN_DATAGRAM, stream, channel, *message});
}

static void send_message(struct sender *s, unsigned stream, enum channel channel,
                         const struct message *message) {
    send_once(s, stream, channel, message);
    if (s->options.duplicate)
        send_once(s, stream, channel, message);
}

/* --- masters --------------------------------------------------------------------------------- */

static uint64_t identity_of(const struct options *o, const struct stream *stream) {
    return o->identity + stream->master;
}

static void send_follow_up(struct sender *s, unsigned i, uint64_t truth_ns, int64_t corrected) {
    const struct options *o = &s->options;
    const struct stream *stream = &s->streams[i];
    struct message follow_up;

    make_follow_up(&follow_up, o, identity_of(o, stream), stream->sequence_id,
                   truth_ns - (uint64_t)o->correction_ns);
    put_correction(follow_up.data, 100 * uniform(s) < o->wild_percent
                                       ? (int64_t)(random64(s) << 2)
                                       : o->correction_ns * 65536 - corrected);
    send_message(s, i, GENERAL, &follow_up);
}

/* Takes the time just before it sends the Sync, so that all error comes from the network. */
static void send_one_step(struct sender *s, unsigned i, struct message *sync) {
    const struct options *o = &s->options;

    put_correction(sync->data, o->correction_ns * 65536);
    sync->taken_ns = now_raw_ns();
    uint64_t truth_ns = master_time(o, s->streams[i].master, sync->taken_ns);
    put_timestamp(sync->data, truth_ns - (uint64_t)o->correction_ns);
    send_message(s, i, EVENT, sync);
}

static void send_two_step(struct sender *s, unsigned i, struct message *sync) {
    const struct options *o = &s->options;
    int64_t corrected = o->correction_ns * 65536 / 3; /* by the Sync; the rest by the Follow_Up */
    bool lost = 100 * uniform(s) < o->lose_sync_percent;
    uint64_t raw_ns;

    put_correction(sync->data, corrected);
    if (o->reorder) {
        sync->taken_ns = raw_ns = now_raw_ns() + EARLY_NS;
        send_follow_up(s, i, master_time(o, s->streams[i].master, raw_ns), corrected);
        spin_until(raw_ns);
        if (!lost)
            send_message(s, i, EVENT, sync);
        return;
    }
    sync->taken_ns = raw_ns = now_raw_ns();
    if (!lost)
        send_message(s, i, EVENT, sync);
    send_follow_up(s, i, master_time(o, s->streams[i].master, awake_ns(s, raw_ns)), corrected);
}

/* Whether we serve the destination: with --serve-muted only while it sends to us. */
static bool served(const struct sender *s, unsigned to) {
    double mute = (double)(now_raw_ns() - s->destinations[to].heard_ns) / 1e9;

    return !(s->options.serve_muted > 0) || mute < s->options.serve_muted;
}

static void exchange(struct sender *s, unsigned i) {
    struct stream *stream = &s->streams[i];
    struct message sync;

    if (!served(s, stream->to))
        return;
    stream->sequence_id++;
    make_sync(&sync, &s->options, identity_of(&s->options, stream), stream->sequence_id);
    if (s->options.absurd)
        sync.data[33] = (uint8_t)random64(s);
    if (s->options.one_step)
        send_one_step(s, i, &sync);
    else
        send_two_step(s, i, &sync);
}

static void announce(struct sender *s, unsigned i) {
    const struct options *o = &s->options;
    struct stream *stream = &s->streams[i];
    struct message message;

    if (!served(s, stream->to))
        return;
    bool other = is_other(o, now_raw_ns());
    make_announce(&message, o, identity_of(o, stream), ++stream->announce_id,
                  (other ? o->other_priority1 : o->priority1) + stream->master * o->priority_step);
    if (other && o->other_grandmaster != 0)
        put_grandmaster(message.data, o->other_grandmaster);
    if (o->absurd)
        message.data[33] = (uint8_t)random64(s);
    send_message(s, i, GENERAL, &message);
}

/* Does the event that is due, and queues it again if it recurs. */
static void act(struct sender *s) {
    struct event event = dequeue(s);
    double rate = s->options.rate;

    switch (event.turn) {
    case TURN_DATAGRAM:
        send_now(s, event.stream, event.channel, &event.message);
        return;
    case TURN_EXCHANGE:
        exchange(s, event.stream);
        break;
    case TURN_ANNOUNCE:
        announce(s, event.stream);
        rate = s->options.announce_rate;
        break;
    }
    event.time_ns += interval_ns(rate);
    if (event.time_ns + SECOND_NS <
        now_raw_ns()) /* We were stopped: do not send what was missed. */
        event.time_ns = now_raw_ns();
    enqueue(s, event);
}

/* --- what comes back ------------------------------------------------------------------------- */

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b) {
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

/* Returns when the kernel received the datagram, by CLOCK_REALTIME, or 0 if it does not say. */
static uint64_t receive_time(struct msghdr *header) {
    struct timespec t = {0};

    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS)
            memcpy(&t, CMSG_DATA(c), sizeof t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static void tell_announce(const struct message *m, const char *host, const char *port,
                          uint64_t time_ns) {
    printf("Announce from %s port %s at %" PRIu64 ": ", host, port, time_ns);
    for (size_t i = 0; i < m->length; i++)
        printf("%02x", m->data[i]);
    putchar('\n');
}

static void tell(const struct sender *s, const struct message *m, enum channel channel,
                 const struct sockaddr_storage *from, uint64_t time_ns) {
    char host[64], port[8];
    const uint8_t *data = m->data;

    if (getnameinfo((const struct sockaddr *)from, sizeof *from, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    if (channel == EVENT && m->length >= 44 && data[0] == (0x10 | DELAY_REQ))
        printf("Delay_Req from %s port %s, majorSdoId %d, portNumber %d, sequenceId %d of %d\n",
               host, port, data[0] >> 4, data[28] << 8 | data[29], data[30] << 8 | data[31],
               s->streams[0].sequence_id);
    else if (channel == GENERAL && m->length >= 64 && data[0] == (0x10 | ANNOUNCE))
        tell_announce(m, host, port, time_ns);
    else
        printf("something from %s port %s\n", host, port);
    fflush(stdout);
}

/* Notes which receiver sent a datagram to us: we serve it further. */
static void listen_to(struct sender *s, int socket, enum channel channel) {
    struct sockaddr_storage from = {0};
    char control[128];
    struct message m = {.length = 0};
    struct iovec bytes = {m.data, sizeof m.data};
    struct msghdr header = {.msg_name = &from,
                            .msg_namelen = sizeof from,
                            .msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof control};
    ssize_t got = recvmsg(socket, &header, MSG_DONTWAIT);

    if (got < 0)
        return;
    m.length = (size_t)got;
    for (unsigned i = 0; i < s->destination_count; i++)
        if (same_host(&s->destinations[i].address, &from))
            s->destinations[i].heard_ns = now_raw_ns();
    if (channel == EVENT ? s->options.verbose : s->options.general)
        tell(s, &m, channel, &from, receive_time(&header));
}

/*
 * Waits until the next event is due, and listens meanwhile. If we make the delays they have to be
 * exact, so the last part is no sleep.
 */
static void wait_until(struct sender *s, uint64_t due_ns) {
    struct pollfd sockets[4] = {{s->sockets[0][EVENT], POLLIN, 0},
                                {s->sockets[0][GENERAL], POLLIN, 0},
                                {s->sockets[1][EVENT], POLLIN, 0},
                                {s->sockets[1][GENERAL], POLLIN, 0}};
    uint64_t time_ns = s->options.delay == DELAY_NONE ? due_ns : due_ns - SPIN_NS;
    uint64_t now = now_raw_ns();

    if (s->log && now < time_ns)
        fflush(s->log);
    while (now < time_ns) {
        struct timespec left = {(time_t)((time_ns - now) / SECOND_NS),
                                (long)((time_ns - now) % SECOND_NS)};
        if (ppoll(sockets, 4, &left, NULL) > 0)
            for (int i = 0; i < 4; i++)
                if (sockets[i].revents)
                    listen_to(s, sockets[i].fd, i % 2 ? GENERAL : EVENT);
        now = now_raw_ns();
    }
    spin_until(due_ns);
}

static void run_masters(struct sender *s, uint64_t end_ns) {
    uint64_t start_ns = now_raw_ns();

    for (unsigned i = 0; i < s->stream_count; i++) {
        uint64_t stagger_ns = interval_ns(s->options.rate) * i / s->stream_count;
        s->streams[i].sequence_id =
            (uint16_t)((unsigned long)nrand48(s->random) + s->options.sequence);
        s->streams[i].announce_id = (uint16_t)nrand48(s->random);
        if (!s->options.no_sync)
            enqueue(s, (struct event){
                           .time_ns = start_ns + stagger_ns, .turn = TURN_EXCHANGE, .stream = i});
        if (s->options.announce_rate > 0)
            enqueue(s, (struct event){
                           .time_ns = start_ns + stagger_ns, .turn = TURN_ANNOUNCE, .stream = i});
    }
    while (s->queued > 0 && s->queue[0].time_ns < end_ns) {
        wait_until(s, s->queue[0].time_ns);
        act(s);
    }
}

/* --- hostile senders ------------------------------------------------------------------------- */

static const enum type all_types[] = {
    SYNC,     DELAY_REQ, PDELAY_REQ, PDELAY_RESP, FOLLOW_UP, DELAY_RESP, PDELAY_RESP_FOLLOW_UP,
    ANNOUNCE, SIGNALING, MANAGEMENT};
#define TYPES (sizeof all_types / sizeof all_types[0])

static void pace(const struct sender *s) {
    uint64_t ns = interval_ns(s->options.rate);
    struct timespec pause = {(time_t)(ns / SECOND_NS), (long)(ns % SECOND_NS)};

    nanosleep(&pause, NULL);
}

/* Sends the first bytes of a message by both ports, with its old and with its new messageLength. */
static void send_cut(const struct sender *s, struct message m, size_t length) {
    for (unsigned to = 0; to < s->destination_count; to++) {
        put_message_length(m.data, (uint16_t)m.length);
        send_bytes(s, to, EVENT, m.data, length);
        send_bytes(s, to, GENERAL, m.data, length);
        put_message_length(m.data, (uint16_t)length);
        send_bytes(s, to, EVENT, m.data, length);
        send_bytes(s, to, GENERAL, m.data, length);
    }
    pace(s);
}

/* Sends every beginning of every message. */
static void run_truncate(struct sender *s) {
    struct message m;

    for (size_t t = 0; t < TYPES; t++) {
        make_any(&m, &s->options, all_types[t], s->options.identity, (uint16_t)t);
        for (size_t length = 0; length <= m.length; length++)
            send_cut(s, m, length);
    }
}

/* Sends random bytes or, to reach more of the daemon, a good message with some random bytes. */
static size_t make_junk(struct sender *s, uint8_t out[JUNK_MAX], enum channel channel) {
    static const char nearly[] = {'T', ' ', '1', '0', '.', '7', '7', '.', '0', '.', '2', ' ', 'z'};
    size_t length = (size_t)(uniform(s) * (uniform(s) < 0.5 ? 120 : JUNK_MAX));
    struct message m = {0};

    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)(random64(s) >> 16);
    if (channel == CONTROL) { /* never a command that the daemon would obey */
        memcpy(out, nearly, sizeof nearly);
        if (uniform(s) < 0.8)
            out[0] = (uint8_t)(0x80 | out[0]);
        return length > sizeof nearly ? length : sizeof nearly;
    }
    if (uniform(s) < 0.5)
        return length;
    make_any(&m, &s->options, all_types[random64(s) % TYPES], random64(s), (uint16_t)length);
    for (unsigned bent = 0; bent < 4; bent++)
        m.data[random64(s) % m.length] = (uint8_t)random64(s);
    memcpy(out, m.data, m.length);
    return uniform(s) < 0.5 ? m.length : (size_t)(uniform(s) * (double)m.length);
}

static void run_junk(struct sender *s) {
    uint8_t junk[JUNK_MAX];

    for (unsigned n = 0; n < s->options.count; n++) {
        for (unsigned to = 0; to < s->destination_count; to++)
            for (enum channel channel = EVENT; channel < CHANNELS; channel++)
                if (s->options.ports[channel] != 0)
                    send_bytes(s, to, channel, junk, make_junk(s, junk, channel));
        pace(s);
    }
}

/* Sends as a new clock with every packet or two, each better than all before. */
static void run_flood(struct sender *s) {
    struct options *o = &s->options;
    struct message sync, follow_up, best;

    for (unsigned n = 0; n < o->count; n++) {
        uint64_t identity = random64(s);
        make_sync(&sync, o, identity, (uint16_t)n);
        make_follow_up(&follow_up, o, identity, (uint16_t)n, master_time(o, n, now_raw_ns()));
        make_announce(&best, o, identity, (uint16_t)n, 0);
        for (unsigned to = 0; to < s->destination_count; to++) {
            send_bytes(s, to, EVENT, sync.data, sync.length);
            send_bytes(s, to, GENERAL, follow_up.data, follow_up.length);
            send_bytes(s, to, GENERAL, best.data, best.length);
        }
        pace(s);
    }
}

/* --- setting up ------------------------------------------------------------------------------ */

static int open_socket(const struct sender *s, int family, enum channel channel) {
    struct sockaddr_storage from = s->from[family == AF_INET6];
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    uint16_t port = htons((uint16_t)(s->options.low_ports ? s->options.ports[channel] : 0));
    struct ip_mreqn by = {.imr_ifindex = (int)s->options.interface};
    int done = 0;

    if (fd < 0)
        return -1; /* a family that this machine does not have */
    from.ss_family = (sa_family_t)family;
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        ((struct sockaddr_in6 *)&from)->sin6_port = port;
        if (s->options.interface)
            done = setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &by.imr_ifindex, sizeof(int));
    } else {
        ((struct sockaddr_in *)&from)->sin_port = port;
        if (s->options.interface)
            done = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by);
    }
    if (done < 0)
        quit(1, "cannot send by that interface: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from,
             family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) < 0)
        quit(1, "cannot bind: %s", strerror(errno));
    return fd;
}

static bool sends_to(const struct sender *s, int family) {
    for (unsigned i = 0; i < s->destination_count; i++)
        if (s->destinations[i].address.ss_family == family)
            return true;
    return false;
}

static void set_up(struct sender *s) {
    s->random[0] = (unsigned short)s->options.seed;
    s->random[1] = (unsigned short)s->options.identity;
    prctl(PR_SET_TIMERSLACK, 1UL); /* We make the delays. */
    s->start_ns = now_raw_ns();
    if (s->options.delay != DELAY_NONE)
        s->air = air_begin((enum network)(s->options.delay - 1), s->options.seed);
    unsigned apart = s->options.mirror && s->destination_count > 0 ? 1 : s->destination_count;
    s->stream_count = s->options.masters * apart;
    if (s->stream_count == 0)
        quit(1, "nothing to send, or nowhere");
    s->streams = calloc(s->stream_count, sizeof *s->streams);
    s->queue = calloc(QUEUE_MAX, sizeof *s->queue);
    if (!s->streams || !s->queue)
        quit(1, "no memory");
    for (unsigned i = 0; i < s->stream_count; i++) {
        s->streams[i].master = i / apart;
        s->streams[i].to = i % apart;
    }
    for (unsigned i = 0; i < s->destination_count; i++)
        s->destinations[i].heard_ns = now_raw_ns();
    for (enum channel channel = EVENT; channel <= GENERAL; channel++) {
        s->sockets[0][channel] = sends_to(s, AF_INET) ? open_socket(s, AF_INET, channel) : -1;
        s->sockets[1][channel] = sends_to(s, AF_INET6) ? open_socket(s, AF_INET6, channel) : -1;
    }
}

static struct sockaddr_storage address_of(const char *text) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM}, *found;
    struct sockaddr_storage address = {0};

    if (getaddrinfo(text, NULL, &hints, &found) != 0)
        quit(1, "%s is no address", text);
    memcpy(&address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return address;
}

static const char usage[] =
    "usage: ptp-sender --to ADDRESS [options]\n"
    "  --to ADDRESS           destination, unicast or multicast, perhaps with %scope; repeatable\n"
    "  --from ADDRESS         source; once per family\n"
    "  --interface NAME       for multicast\n"
    "  --low-ports            send from ports 319 and 320, and listen there\n"
    "  --event-port N, --general-port N, --control-port N   destination ports\n"
    "  --masters N            clocks of identity, identity + 1 and so on\n"
    "  --identity HEX         clockIdentity\n"
    "  --rate HZ              Syncs, or junk, per second\n"
    "  --announce-rate HZ, --no-announce, --no-sync\n"
    "  --priority1 N, --priority-step N\n"
    "  --offset NS            master's time minus CLOCK_MONOTONIC_RAW; + 1 s for each master\n"
    "  --skew PPM             by which it runs fast\n"
    "  --fickle SECONDS       after this time it becomes the other one of two, which has\n"
    "  --other-offset NS (added), --other-priority1 N, --other-grandmaster HEX\n"
    "  --absurd-intervals     state any logMessageInterval, another one each time\n"
    "  --correction NS        leave this much to the correctionFields\n"
    "  --wild-percent N       this share of the two-step correctionFields is random\n"
    "  --sequence N           the first sequenceId is N more than it would be\n"
    "  --one-step, --reorder, --duplicate, --lose-sync-percent N\n"
    "  --delay none|wired|wifi|holdwifi|sleepwifi|badwifi\n"
    "  --log FILE             of each of the first master's Syncs and Follow_Ups: to which\n"
    "                         destination, type, time taken, time sent, the master's time less\n"
    "                         the time taken\n"
    "  --mirror               all destinations get the same, with the same delays\n"
    "  --sleep-after SECONDS, --sleep-for SECONDS   its two-step clock stands still meanwhile;\n"
    "                         if the second is negative, it jumps forward\n"
    "  --serve-muted SECONDS  stop serving receivers that send nothing for this long (with "
    "--low-ports)\n"
    "  --mode masters|junk|truncate|flood, --count N\n"
    "  --seconds N, --seed N\n"
    "  --verbose, --verbose-general   tell what comes in by port 319; by port 320\n";

static const struct setting settings[] = {
    {"to", OTHER, 0, NULL}, /* The first four are not plain numbers. */
    {"from", OTHER, 0, NULL},
    {"interface", OTHER, 0, NULL},
    {"log", OTHER, 0, NULL},
    {"mode", CHOICE, offsetof(struct options, mode), modes},
    {"delay", CHOICE, offsetof(struct options, delay), delays},
    {"event-port", UNSIGNED, offsetof(struct options, ports[EVENT]), NULL},
    {"general-port", UNSIGNED, offsetof(struct options, ports[GENERAL]), NULL},
    {"control-port", UNSIGNED, offsetof(struct options, ports[CONTROL]), NULL},
    {"masters", UNSIGNED, offsetof(struct options, masters), NULL},
    {"priority1", UNSIGNED, offsetof(struct options, priority1), NULL},
    {"priority-step", UNSIGNED, offsetof(struct options, priority_step), NULL},
    {"count", UNSIGNED, offsetof(struct options, count), NULL},
    {"seed", UNSIGNED, offsetof(struct options, seed), NULL},
    {"sequence", UNSIGNED, offsetof(struct options, sequence), NULL},
    {"identity", HEXADECIMAL, offsetof(struct options, identity), NULL},
    {"offset", INTEGER, offsetof(struct options, offset_ns), NULL},
    {"correction", INTEGER, offsetof(struct options, correction_ns), NULL},
    {"rate", NUMBER, offsetof(struct options, rate), NULL},
    {"announce-rate", NUMBER, offsetof(struct options, announce_rate), NULL},
    {"seconds", NUMBER, offsetof(struct options, seconds), NULL},
    {"skew", NUMBER, offsetof(struct options, skew_ppm), NULL},
    {"lose-sync-percent", NUMBER, offsetof(struct options, lose_sync_percent), NULL},
    {"sleep-after", NUMBER, offsetof(struct options, sleep_after), NULL},
    {"sleep-for", NUMBER, offsetof(struct options, sleep_for), NULL},
    {"wild-percent", NUMBER, offsetof(struct options, wild_percent), NULL},
    {"serve-muted", NUMBER, offsetof(struct options, serve_muted), NULL},
    {"fickle", NUMBER, offsetof(struct options, fickle), NULL},
    {"other-offset", INTEGER, offsetof(struct options, other_offset_ns), NULL},
    {"other-priority1", UNSIGNED, offsetof(struct options, other_priority1), NULL},
    {"other-grandmaster", HEXADECIMAL, offsetof(struct options, other_grandmaster), NULL},
    {"absurd-intervals", FLAG, offsetof(struct options, absurd), NULL},
    {"no-announce", FLAG, offsetof(struct options, no_announce), NULL},
    {"no-sync", FLAG, offsetof(struct options, no_sync), NULL},
    {"one-step", FLAG, offsetof(struct options, one_step), NULL},
    {"reorder", FLAG, offsetof(struct options, reorder), NULL},
    {"duplicate", FLAG, offsetof(struct options, duplicate), NULL},
    {"low-ports", FLAG, offsetof(struct options, low_ports), NULL},
    {"mirror", FLAG, offsetof(struct options, mirror), NULL},
    {"verbose", FLAG, offsetof(struct options, verbose), NULL},
    {"verbose-general", FLAG, offsetof(struct options, general), NULL},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

static void take_name(void *context, const struct setting *setting, const char *text) {
    struct sender *s = (struct sender *)context;
    const char *option = setting->name;

    if (strcmp(option, "interface") == 0) {
        s->options.interface = if_nametoindex(text);
        if (s->options.interface == 0)
            quit(1, "no interface %s", text);
        return;
    }
    if (strcmp(option, "log") == 0) {
        s->log = fopen(text, "we");
        if (!s->log)
            quit(1, "cannot write %s: %s", text, strerror(errno));
        return;
    }
    struct sockaddr_storage address = address_of(text);
    if (strcmp(option, "from") == 0)
        s->from[address.ss_family == AF_INET6] = address;
    else if (s->destination_count < DESTINATIONS_MAX)
        s->destinations[s->destination_count++].address = address;
    else
        quit(1, "more than %d destinations", DESTINATIONS_MAX);
}

static void read_options(struct sender *s, int argc, char **argv) {
    bool read = settings_read(settings, SETTINGS, &s->options, argc, argv, take_name, s);

    if (!read || optind < argc || s->destination_count == 0 || s->options.masters == 0 ||
        !(s->options.rate > 0)) {
        fputs(usage, stderr);
        exit(2);
    }
    if (s->options.no_announce)
        s->options.announce_rate = 0;
}

int main(int argc, char **argv) {
    static struct sender s = {
        .options = {.masters = 1,
                    .identity = UINT64_C(0x98698aaf9c950008),
                    .rate = 8,
                    .announce_rate = 1,
                    .priority1 = 248,
                    .priority_step = 1,
                    .other_priority1 = 248,
                    .count = 1000,
                    .ports = {319, 320, 0}},
        .random = {1, 2, 3},
    };

    read_options(&s, argc, argv);
    set_up(&s);
    uint64_t end_ns =
        s.options.seconds > 0 ? now_raw_ns() + (uint64_t)(s.options.seconds * 1e9) : UINT64_MAX;
    switch ((enum mode)s.options.mode) {
    case MODE_MASTERS:
        run_masters(&s, end_ns);
        break;
    case MODE_JUNK:
        run_junk(&s);
        break;
    case MODE_TRUNCATE:
        run_truncate(&s);
        break;
    case MODE_FLOOD:
        run_flood(&s);
        break;
    }
    return 0;
}
