/* SPDX-License-Identifier: MIT */
/* The command line: see the header. */
#include "nqptp-options.h"

#include "nqptp-shm.h"

#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

void nqptp_options_help(FILE *file) {
    fputs(
        "usage: nqptp [option ...]\n"
        "    -V, --version          print version,\n"
        "    -v, --verbose          verbose log,\n"
        "    -vv                    more verbose log,\n"
        "    -vvv                   very verbose log,\n"
        "    -h, --help             this help text,\n"
        "    --status               print what the running nqptp is doing, or why none answers,\n"
        "    --json                 with --status: as JSON,\n"
        "    -i, --interface=NAME|ADDRESS\n"
        "                           listen there only; may be repeated [everywhere],\n"
        "    --smi=VERSION          shared memory interface 4, 8, 9, 10 [auto: as clients need],\n"
        "    --user=NAME            the user to become when started as root [nqptp],\n"
        "    --group=NAME           the group that may use the shared memory [nqptp],\n"
        "    --event-port=PORT      instead of UDP port 319,\n"
        "    --general-port=PORT    instead of UDP port 320,\n"
        "    --control-port=PORT    instead of UDP port 9000,\n"
        "    --remove-left-over     remove shared memory that another user left, and exit.\n",
        file);
}

/* Each of these takes in a value. They return NULL, or what is wrong with it. */

static const char *read_port(const char *text, uint16_t *port) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || value < 1 || value > 65535)
        return "a port is 1 to 65535";
    *port = (uint16_t)value;
    return NULL;
}

static const char *read_layout(const char *text, unsigned *layout) {
    static const struct {
        const char *name;
        unsigned layout;
    } known[] = {{"4", 4}, {"8", 8}, {"9", 9}, {"10", 10}, {"auto", NQPTP_SHM_AUTO}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(text, known[i].name) != 0)
            continue;
        *layout = known[i].layout;
        return nqptp_shm_can_serve(*layout) ? NULL
                                            : "with this C library only --smi=10 and auto work";
    }
    return "--smi= takes 4, 8, 9, 10 or auto";
}

static const char *no_such(const char *kind, const char *name) {
    fprintf(stderr, "nqptp: --%s=%s: there is no such %s; as root, run: %sadd -r %s\n", kind, name,
            kind, kind, name);
    return "";
}

enum long_option {
    SMI = 256,
    USER,
    GROUP,
    STATUS,
    JSON,
    LEFT_OVER,
    EVENT_PORT,
    GENERAL_PORT,
    CONTROL_PORT
};

/* Takes in one option. Returns NULL, or what is wrong with it. */
static const char *take_option(struct nqptp_options *options, int option, const char *value) {
    switch (option) {
    case 'v':
        options->verbosity++;
        return NULL;
    case 'V':
        options->action = NQPTP_SHOW_VERSION;
        return NULL;
    case 'h':
        options->action = NQPTP_SHOW_HELP;
        return NULL;
    case 'i':
        return nqptp_limits_add(&options->limits, value);
    case STATUS:
        options->action = NQPTP_SHOW_STATUS;
        return NULL;
    case JSON:
        options->json = true;
        return NULL;
    case LEFT_OVER:
        options->action = NQPTP_REMOVE_LEFT_OVER;
        return NULL;
    case SMI:
        return read_layout(value, &options->layout);
    case USER:
        options->user = value;
        return getpwnam(value) ? NULL : no_such("user", value);
    case GROUP:
        options->group = value;
        return getgrnam(value) ? NULL : no_such("group", value);
    case EVENT_PORT:
        return read_port(value, &options->event_port);
    case GENERAL_PORT:
        return read_port(value, &options->general_port);
    case CONTROL_PORT:
        return read_port(value, &options->control_port);
    default:
        return ""; /* getopt_long() has said it already */
    }
}

struct nqptp_options nqptp_options_read(int argc, char **argv) {
    static const struct option names[] = {
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {"verbose", no_argument, NULL, 'v'},
        {"interface", required_argument, NULL, 'i'},
        {"status", no_argument, NULL, STATUS},
        {"json", no_argument, NULL, JSON},
        {"smi", required_argument, NULL, SMI},
        {"user", required_argument, NULL, USER},
        {"group", required_argument, NULL, GROUP},
        {"event-port", required_argument, NULL, EVENT_PORT},
        {"general-port", required_argument, NULL, GENERAL_PORT},
        {"control-port", required_argument, NULL, CONTROL_PORT},
        {"remove-left-over", no_argument, NULL, LEFT_OVER},
        {NULL, 0, NULL, 0},
    };
    struct nqptp_options options = {
        .argv = argv,
        .event_port = NQPTP_EVENT_PORT,
        .general_port = NQPTP_GENERAL_PORT,
        .control_port = NQPTP_CONTROL_PORT,
        .layout = NQPTP_SHM_AUTO,
    };
    const char *complaint = NULL;
    int option;

    while (!complaint && (option = getopt_long(argc, argv, "Vhvi:", names, NULL)) != -1)
        complaint = take_option(&options, option, optarg);
    if (!complaint && optind < argc)
        complaint = "it takes options only, no other arguments";
    if (!complaint && options.json && options.action != NQPTP_SHOW_STATUS)
        complaint = "--json goes with --status";
    if (!complaint && options.limits.count > 0 && options.action == NQPTP_SHOW_STATUS)
        complaint = "-i is for the daemon; --status tells where it listens";
    if (!complaint &&
        (options.event_port == options.general_port || options.event_port == options.control_port ||
         options.general_port == options.control_port))
        complaint = "the three ports must be three";
    if (complaint) {
        if (*complaint)
            fprintf(stderr, "nqptp: %s\n", complaint);
        options.action = NQPTP_REFUSE;
    }
    return options;
}
