/* SPDX-License-Identifier: MIT */
/* The command line: see the header. */
#include "nqptp-options.h"

#include "nqptp-shm.h"
#include "nqptp-utilities.h"

#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void nqptp_options_version(void) {
    printf("Version: %s. Shared Memory Interface Version: 4, 8, 9 and 10.\n", PACKAGE_VERSION);
}

void nqptp_options_help(void) {
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
        "    --claim                as root: free the name /nqptp for the service, and exit.\n",
        stdout);
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

#define LETTERS "Vhvi" /* of the short options */

enum long_option {
    SMI = 256,
    USER,
    GROUP,
    STATUS,
    JSON,
    CLAIM,
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
    case CLAIM:
        options->action = NQPTP_CLAIM;
        return NULL;
    case SMI:
        return read_layout(value, &options->layout);
    case USER:
        options->user = value;
        options->user_given = true;
        return getpwnam(value) ? NULL : "there is no user of the name that --user= gives";
    case GROUP:
        options->group = value;
        return getgrnam(value) ? NULL : "there is no group of the name that --group= gives";
    case EVENT_PORT:
        return read_port(value, &options->event_port);
    case GENERAL_PORT:
        return read_port(value, &options->general_port);
    case CONTROL_PORT:
        return read_port(value, &options->control_port);
    case ':':
        return "this option needs a value";
    default:
        return "there is no such option, or it takes no value";
    }
}

/*
 * Returns the option that getopt_long() has just refused. For one that it does not know by name it
 * leaves only the argument, for an unknown letter only the letter.
 */
static const char *refused_option(char **argv, char letter[3]) {
    bool by_name = optopt == 0 || optopt > UINT8_MAX || strchr(LETTERS, optopt);

    letter[0] = '-';
    letter[1] = (char)optopt;
    letter[2] = '\0';
    return by_name ? argv[optind - 1] : letter;
}

/* Logs why the command line is refused, in one line, so that "systemctl status" shows it. */
static void complain(const char *complaint, const char *culprit) {
    char quoted[80];

    nqptp_log(LOG_ERR, "%s%s%s; see nqptp --help",
              culprit ? nqptp_quote(culprit, quoted, sizeof quoted) : "", culprit ? ": " : "",
              complaint);
}

/* Returns what is wrong with options that are right one by one, or NULL. */
static const char *find_conflict(const struct nqptp_options *options) {
    if (options->json && options->action != NQPTP_SHOW_STATUS)
        return "--json goes with --status only";
    if (options->limits.count > 0 && options->action == NQPTP_SHOW_STATUS)
        return "-i is for the daemon; --status tells where it listens";
    if (options->event_port == options->general_port ||
        options->event_port == options->control_port ||
        options->general_port == options->control_port)
        return "the three ports must differ";
    return NULL;
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
        {"claim", no_argument, NULL, CLAIM},
        {NULL, 0, NULL, 0},
    };
    struct nqptp_options options = {
        .user = "nqptp",
        .group = "nqptp",
        .event_port = NQPTP_EVENT_PORT,
        .general_port = NQPTP_GENERAL_PORT,
        .control_port = NQPTP_CONTROL_PORT,
        .layout = NQPTP_SHM_AUTO,
    };
    const char *complaint = NULL, *culprit = NULL;
    char letter[3];
    int option;

    opterr = 0;
    while (!complaint && (option = getopt_long(argc, argv, ":Vhvi:", names, NULL)) != -1) {
        complaint = take_option(&options, option, optarg);
        culprit = !complaint                       ? NULL
                  : option == ':' || option == '?' ? refused_option(argv, letter)
                                                   : optarg;
    }
    if (!complaint && optind < argc) {
        complaint = "nqptp takes options only";
        culprit = argv[optind];
    }
    if (!complaint)
        complaint = find_conflict(&options);
    if (complaint) {
        complain(complaint, culprit);
        options.action = NQPTP_REFUSE;
    }
    return options;
}
