/* SPDX-License-Identifier: MIT */
/*
 * Runs a capture, pcap or pcapng, through the engine, and prints what the daemon would have
 * published and told. It needs no ports and no root, and its time is that of the capture.
 *
 * Datagrams to UDP ports 319 and 320 count as received, unless the receiver of the Syncs sent them.
 * Datagrams to port 9000 are commands.
 */
#include "../lib/capture.h"
#include "nqptp-commands.h"
#include "nqptp-status.h"
#include "nqptp-story.h"
#include "../lib/engine-commands.h"
#include "../lib/program.h"
#include "../lib/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
#define CONTROL_PORT 9000
#define BASE_NS (1000 * NS_PER_S) /* the engine's time at the first packet */
#define SPAN_NS                                                                                    \
    (INT64_C(365) * 86400 * 1000000000) /* A time further from the first is not believed. */
#define HOSTS_MAX 128
#define TRUTHS_MAX 16
#define FILE_MAX (64u << 20)

/* A clock's true offset at a time of the capture, and its rate in ppm from then on. */
struct truth {
    uint64_t clock_identity, from_ns, offset_ns;
    double ppm;
};

struct hosts {
    struct nqptp_address at[HOSTS_MAX];
    unsigned count;
};

struct replay {
    bool csv, verbose;
    const char *list, *truth_file;
    struct truth truths[TRUTHS_MAX];
    unsigned truth_count;
    struct hosts senders, served; /* that send Syncs; that are sent some */

    struct nqptp_engine engine;
    struct nqptp_effects effects;
    uint64_t first_ns; /* of the capture's time */
    uint64_t now_ns;   /* of the engine's */
    uint64_t last_offset_ns[NQPTP_CLIENTS_MAX];
    unsigned publications, sent, commands, other;
};

/* --- what comes out -------------------------------------------------------------------------- */

static double since_first_s(uint64_t local_ns) {
    return (double)(int64_t)(local_ns - BASE_NS) / 1e9;
}

/* The error of an offset at a time of the capture. Returns whether the truth is known. */
static bool error_of(const struct replay *r, uint64_t clock_identity, uint64_t time_ns,
                     uint64_t offset_ns, int64_t *error_ns) {
    const struct truth *truth = NULL;

    for (unsigned i = 0; i < r->truth_count; i++)
        if (r->truths[i].clock_identity == clock_identity && r->truths[i].from_ns <= time_ns)
            truth = &r->truths[i];
    if (!truth)
        return false;
    double drift_ns = (double)(time_ns - truth->from_ns) * truth->ppm / 1e6;
    *error_ns = (int64_t)(offset_ns - truth->offset_ns - (uint64_t)(int64_t)drift_ns);
    return true;
}

static void print_master(struct replay *r, int c, const struct nqptp_shm_record *record) {
    const struct nqptp_estimator *e =
        &r->engine.table.clocks[r->engine.clients.list[c].master].estimator;
    uint64_t to_capture_ns = r->first_ns - BASE_NS; /* from the engine's time to the capture's */
    uint64_t offset_ns = record->offset_ns - to_capture_ns;
    int64_t error_ns;

    double time_s = since_first_s(record->local_time_ns);
    double start_s = since_first_s(record->start_time_ns);
    int64_t change_ns = r->last_offset_ns[c] == 0 ? 0 : (int64_t)(offset_ns - r->last_offset_ns[c]);
    const char *name = r->engine.clients.list[c].name;
    if (r->csv)
        printf("%.9f,%s,%016" PRIx64 ",%" PRIu64 ",%" PRId64 ",%.3f,%.1f,%.9f", time_s, name,
               record->grandmaster_identity, offset_ns, change_ns, e->slope_ppm, e->noise_us,
               start_s);
    else
        printf("%.6f  %s  master %016" PRIx64 "  offset %" PRIu64 "  change %+" PRId64
               " ns  %+.3f ppm  %.1f us  since %.6f",
               time_s, name, record->grandmaster_identity, offset_ns, change_ns, e->slope_ppm,
               e->noise_us, start_s);
    if (error_of(r, record->clock_identity, record->local_time_ns + to_capture_ns, offset_ns,
                 &error_ns))
        printf(r->csv ? ",%" PRId64 : "  error %" PRId64 " ns", error_ns);
    putchar('\n');
    r->last_offset_ns[c] = offset_ns;
}

static void publish(struct replay *r, int c) {
    const struct nqptp_shm_record *record = &r->effects.records[c];

    r->publications++;
    if (has_master(record))
        print_master(r, c, record);
    else
        printf(r->csv ? "%.9f,%s,0,0,0,0,0,0\n" : "%.6f  %s  no master\n", since_first_s(r->now_ns),
               r->engine.clients.list[c].name);
}

static void carry_out(struct replay *r) {
    char text[NQPTP_STORY_MAX];

    for (int c = 0; r->effects.publish >> c; c++)
        if (r->effects.publish >> c & 1)
            publish(r, c);
    for (unsigned i = 0; i < r->effects.event_count && !r->csv; i++)
        printf("%.6f  * %s\n", since_first_s(r->now_ns),
               nqptp_story_event(&r->engine, &r->effects.events[i], text));
}

static void print_message(const struct nqptp_packet *packet, enum nqptp_drop drop) {
    struct nqptp_message message;
    char text[NQPTP_MESSAGE_TEXT_MAX], from[INET6_ADDRSTRLEN];
    bool parsed = nqptp_message_parse(packet->data, packet->length, &message) == NQPTP_MESSAGE_OK;

    printf("%.6f  from %s: %s; %s\n", since_first_s(packet->receive_time_ns),
           nqptp_address_format(&packet->source, from),
           parsed ? nqptp_message_describe(&message, text) : "a datagram", nqptp_drop_name(drop));
}

static void print_summary(const struct replay *r, const struct capture *capture) {
    char text[NQPTP_STATUS_MAX];

    printf("\n%u packets in %.3f s: %" PRIu64 " received, %u sent by this machine, %u commands, "
           "%u others; %u publications\n",
           capture->packets, since_first_s(r->now_ns), r->engine.packets, r->sent, r->commands,
           r->other, r->publications);
    for (int drop = 0; drop < NQPTP_DROP_COUNT; drop++)
        if (r->engine.drops[drop] > 0)
            printf("%8" PRIu64 " %s\n", r->engine.drops[drop],
                   nqptp_drop_name((enum nqptp_drop)drop));
    nqptp_status_text(&(struct nqptp_status){.engine = &r->engine,
                                             .version = PACKAGE_VERSION,
                                             .now_ns = r->now_ns,
                                             .started_ns = BASE_NS,
                                             .event_port = NQPTP_EVENT_PORT,
                                             .general_port = NQPTP_GENERAL_PORT},
                      text, sizeof text);
    printf("\n%s", text);
}

/* --- what goes in ---------------------------------------------------------------------------- */

/* Returns the engine's time of a packet. A damaged file may give any time. */
static uint64_t local_time(const struct replay *r, uint64_t time_ns) {
    int64_t since_ns = (int64_t)(time_ns - r->first_ns);

    if (since_ns > SPAN_NS)
        since_ns = SPAN_NS;
    return since_ns < -(int64_t)BASE_NS + 1 ? 1 : BASE_NS + (uint64_t)since_ns;
}

static void pass_until(struct replay *r, uint64_t local_ns) {
    while (nqptp_engine_deadline(&r->engine) <= local_ns) {
        uint64_t due_ns = nqptp_engine_deadline(&r->engine);
        r->now_ns = due_ns > r->now_ns ? due_ns : r->now_ns;
        nqptp_engine_expire(&r->engine, r->now_ns, &r->effects);
        carry_out(r);
    }
    r->now_ns = local_ns > r->now_ns ? local_ns : r->now_ns;
}

static void command(struct replay *r, const char *text, size_t length) {
    static const struct nqptp_shm_record none;
    struct nqptp_command command;
    struct nqptp_answer answer =
        obey(&r->engine, text, length, &none, r->now_ns, &command, &r->effects);

    r->commands++;
    if (answer.refusal)
        printf("%.6f  * command refused: %s\n", since_first_s(r->now_ns), answer.refusal);
    carry_out(r);
}

static bool contains(const struct hosts *hosts, const struct nqptp_address *address) {
    for (unsigned i = 0; i < hosts->count; i++)
        if (nqptp_address_equal(&hosts->at[i], address))
            return true;
    return false;
}

static void add_host(struct hosts *hosts, const struct nqptp_address *address) {
    if (hosts->count < HOSTS_MAX && !contains(hosts, address))
        hosts->at[hosts->count++] = *address;
}

static bool is_ptp(const struct capture_datagram *d) {
    return d->destination_port == NQPTP_EVENT_PORT || d->destination_port == NQPTP_GENERAL_PORT;
}

/* Notes which hosts send Syncs, and to which receivers, whose own messages do not count. */
static void look_ahead(struct replay *r, struct capture capture) {
    struct capture_packet packet;
    struct capture_datagram datagram;
    struct nqptp_message message;

    while (capture_next(&capture, &packet)) {
        if (!capture_datagram(&packet, &datagram) || !is_ptp(&datagram) ||
            nqptp_message_parse(datagram.data, datagram.length, &message) != NQPTP_MESSAGE_OK ||
            message.type != NQPTP_SYNC)
            continue;
        add_host(&r->senders, &datagram.source);
        add_host(&r->served, &datagram.destination);
    }
}

static void receive(struct replay *r, const struct capture_datagram *datagram, uint64_t local_ns) {
    const struct nqptp_packet packet = {
        .data = datagram->data,
        .length = datagram->length,
        .truncated = datagram->truncated,
        .source = datagram->source,
        .local = datagram->destination,
        .receive_time_ns = local_ns,
    };

    enum nqptp_drop drop = nqptp_engine_packet(&r->engine, &packet, r->now_ns, &r->effects);
    if (r->verbose)
        print_message(&packet, drop);
    carry_out(r);
}

static void take(struct replay *r, const struct capture_packet *packet) {
    struct capture_datagram datagram;
    uint64_t local_ns = local_time(r, packet->time_ns);
    bool udp = capture_datagram(packet, &datagram);

    pass_until(r, local_ns);
    if (udp && (datagram.outgoing || (is_ptp(&datagram) && contains(&r->served, &datagram.source) &&
                                      !contains(&r->senders, &datagram.source))))
        r->sent++;
    else if (udp && is_ptp(&datagram))
        receive(r, &datagram, local_ns);
    else if (udp && datagram.destination_port == CONTROL_PORT)
        command(r, (const char *)datagram.data, datagram.length);
    else
        r->other++;
}

static void run(struct replay *r, struct capture *capture) {
    struct capture_packet packet;
    char text[NQPTP_COMMAND_MAX];

    look_ahead(r, *capture);
    begin_engine(&r->engine, 0);
    r->now_ns = BASE_NS;
    if (r->list) {
        snprintf(text, sizeof text, "T %s", r->list);
        for (char *comma = text; (comma = strchr(comma, ','));)
            *comma = ' ';
        command(r, text, strlen(text));
    }
    while (capture_next(capture, &packet)) {
        if (capture->packets == 1)
            r->first_ns = packet.time_ns;
        take(r, &packet);
    }
}

/* --- files and options ----------------------------------------------------------------------- */

/* Reads a file or standard input as a whole, or nothing if it is too large. */
static uint8_t *read_file(const char *name, size_t *size) {
    static uint8_t data[FILE_MAX];
    int fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;

    for (*size = 0; fd >= 0 && *size < FILE_MAX; *size += (size_t)got)
        if ((got = read(fd, data + *size, FILE_MAX - *size)) <= 0)
            break;
    if (got < 0)
        quit(1, "%s: %s", name, strerror(errno));
    if (got > 0)
        quit(1, "%s: it is too large", name);
    close(fd);
    return data;
}

/* Lines of identity, time, offset and rate, as above; others are comments. */
static void read_truths(struct replay *r, const char *name) {
    FILE *file = fopen(name, "re");
    char line[256];

    if (!file)
        quit(1, "%s: %s", name, strerror(errno));
    while (fgets(line, sizeof line, file) && r->truth_count < TRUTHS_MAX) {
        struct truth *t = &r->truths[r->truth_count];
        r->truth_count += sscanf(line, "%" SCNx64 " %" SCNu64 " %" SCNu64 " %lf",
                                 &t->clock_identity, &t->from_ns, &t->offset_ns, &t->ppm) == 4;
    }
    fclose(file);
    if (r->truth_count == 0)
        quit(1, "%s: no truth is in it", name);
}

static const char usage[] =
    "usage: replay [option ...] FILE\n"
    "  FILE                 a capture, pcap or pcapng; - is standard input\n"
    "  --list ADDR[,ADDR]   the client lists these before the first packet\n"
    "  --csv                publications only: time, object, master, offset, change, ppm, us, "
    "start\n"
    "  --truth FILE         adds by how much each offset errs; see tests/recordings/README\n"
    "  --verbose            each message\n";

static const struct setting settings[] = {
    {"list", TEXT, offsetof(struct replay, list), NULL},
    {"csv", FLAG, offsetof(struct replay, csv), NULL},
    {"truth", TEXT, offsetof(struct replay, truth_file), NULL},
    {"verbose", FLAG, offsetof(struct replay, verbose), NULL},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

/* Returns the name of the capture. */
static const char *read_command_line(struct replay *r, int argc, char **argv) {
    if (!settings_read(settings, SETTINGS, r, argc, argv, NULL, NULL) || optind != argc - 1) {
        fputs(usage, stderr);
        exit(2);
    }
    if (r->truth_file)
        read_truths(r, r->truth_file);
    return argv[optind];
}

int main(int argc, char **argv) {
    static struct replay r;
    struct capture capture;
    size_t size;
    const char *name = read_command_line(&r, argc, argv);
    uint8_t *data = read_file(name, &size);

    if (!capture_open(&capture, data, size))
        quit(1, "%s: %s", name, capture.complaint);
    run(&r, &capture);
    if (!r.csv)
        print_summary(&r, &capture);
    fflush(stdout);
    if (capture.complaint)
        fprintf(stderr, "replay: %s: after %u packets: %s\n", name, capture.packets,
                capture.complaint);
    return capture.complaint ? 1 : 0;
}
