/* SPDX-License-Identifier: MIT */
/*
 * One table has all options: the help text, getopt_long(3) and take() read it. A new option is a
 * row there, and a kind of its own in take() if none fits.
 */
#include "nqptp-options.h"

#include "nqptp-shm.h"
#include "nqptp-utilities.h"

#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST 256 /* What getopt_long() returns for row 0, beyond all letters. */

enum kind { ACTION, VERBOSE, JSON, INTERFACE, LAYOUT, USER, GROUP, PORT };

static const struct row {
    const char *name;
    char letter;       /* 0: none */
    const char *value; /* What it takes, for the help text; NULL: nothing. */
    enum kind kind;
    enum nqptp_action action; /* Of an ACTION. */
    size_t port;              /* Of a PORT: where it is in struct nqptp_options. */
    const char *help;
} rows[] = {
    {"version", 'V', NULL, ACTION, NQPTP_SHOW_VERSION, 0, "print the version"},
    {"help", 'h', NULL, ACTION, NQPTP_SHOW_HELP, 0, "print this text"},
    {"verbose", 'v', NULL, VERBOSE, NQPTP_RUN, 0, "log more; -vv each message, -vvv its bytes"},
    {"status", 0, NULL, ACTION, NQPTP_SHOW_STATUS, 0, "print what the running nqptp is doing"},
    {"json", 0, NULL, JSON, NQPTP_RUN, 0, "with --status: as JSON"},
    {"interface", 'i', "NAME|ADDRESS", INTERFACE, NQPTP_RUN, 0, "listen there only; repeatable"},
    {"smi", 0, "VERSION", LAYOUT, NQPTP_RUN, 0,
     "shared memory interface " NQPTP_SHM_LAYOUTS " or auto [auto]"},
    {"user", 0, "NAME", USER, NQPTP_RUN, 0, "the user to become when started as root [nqptp]"},
    {"group", 0, "NAME", GROUP, NQPTP_RUN, 0, "the group that may use the shared memory [nqptp]"},
    {"event-port", 0, "PORT", PORT, NQPTP_RUN, offsetof(struct nqptp_options, event_port),
     "instead of UDP port 319"},
    {"general-port", 0, "PORT", PORT, NQPTP_RUN, offsetof(struct nqptp_options, general_port),
     "instead of UDP port 320"},
    {"control-port", 0, "PORT", PORT, NQPTP_RUN, offsetof(struct nqptp_options, control_port),
     "instead of UDP port 9000"},
    {"claim", 0, NULL, ACTION, NQPTP_CLAIM, 0, "as root: free the name /nqptp for the service"},
};

#define ROWS (sizeof rows / sizeof *rows)

void nqptp_options_version(void) {
    printf("Version: %s. Shared Memory Interface Version: %s.\n", PACKAGE_VERSION,
           NQPTP_SHM_LAYOUTS);
}

void nqptp_options_help(void) {
    puts("usage: nqptp [option ...]\n"
         "Listens to PTP and tells AirPlay 2 players the time of the master clock: see nqptp(8).");
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        char names[48];
        snprintf(names, sizeof names, "--%s%s%s", row->name, row->value ? "=" : "",
                 row->value ? row->value : "");
        printf("  %c%c%s %-24s %s\n", row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
               row->letter ? "," : " ", names, row->help);
    }
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
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    bool automatic = strcmp(text, "auto") == 0;

    *layout = automatic || number > UINT16_MAX ? NQPTP_SHM_AUTO : (unsigned)number;
    if (!automatic && (*text < '1' || *end != '\0' || !nqptp_shm_layout(*layout)))
        return "--smi= takes " NQPTP_SHM_LAYOUTS " or auto";
    return nqptp_shm_can_serve(*layout) ? NULL : "with this C library only --smi=10 and auto work";
}

/* Takes in the option of a row. Returns NULL, or what is wrong with it. */
static const char *take(struct nqptp_options *options, const struct row *row, const char *value) {
    switch (row->kind) {
    case ACTION:
        options->action = row->action;
        return NULL;
    case VERBOSE:
        options->verbosity++;
        return NULL;
    case JSON:
        options->json = true;
        return NULL;
    case INTERFACE:
        return nqptp_limits_add(&options->limits, value);
    case LAYOUT:
        return read_layout(value, &options->layout);
    case USER:
        options->user = value;
        options->user_given = true;
        return getpwnam(value) ? NULL : "there is no user of the name that --user= gives";
    case GROUP:
        options->group = value;
        return getgrnam(value) ? NULL : "there is no group of the name that --group= gives";
    case PORT:
        return read_port(value, (uint16_t *)(void *)((char *)options + row->port));
    }
    return NULL;
}

/* Fills in what getopt_long() wants to know. */
static void list_options(struct option names[ROWS + 1], char letters[3 * ROWS]) {
    size_t used = 0;

    letters[used++] = ':'; /* It is to tell a missing value from an unknown option. */
    for (size_t i = 0; i < ROWS; i++) {
        bool takes = rows[i].value != NULL;
        names[i] = (struct option){rows[i].name, takes ? required_argument : no_argument, NULL,
                                   FIRST + (int)i};
        if (rows[i].letter)
            letters[used++] = rows[i].letter;
        if (rows[i].letter && takes)
            letters[used++] = ':';
    }
    names[ROWS] = (struct option){NULL, 0, NULL, 0};
    letters[used] = '\0';
}

static const struct row *row_of(int option) {
    for (size_t i = 0; i < ROWS; i++)
        if (option == FIRST + (int)i || (rows[i].letter && option == rows[i].letter))
            return &rows[i];
    return NULL;
}

/*
 * Returns the option that getopt_long() has just refused: of a long one it leaves the argument
 * only, of a letter the letter only.
 */
static const char *refused_option(char **argv, char letter[3]) {
    letter[0] = '-';
    letter[1] = (char)optopt;
    letter[2] = '\0';
    return optopt == 0 || optopt >= FIRST ? argv[optind - 1] : letter;
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

/* Reads all options. Returns NULL, or what is wrong; *culprit is the word that is, or NULL. */
static const char *read_all(int argc, char **argv, struct nqptp_options *options, char letter[3],
                            const char **culprit) {
    struct option names[ROWS + 1];
    char letters[3 * ROWS];
    int option;

    list_options(names, letters);
    opterr = 0;
    while ((option = getopt_long(argc, argv, letters, names, NULL)) != -1) {
        const struct row *row = row_of(option);
        *culprit = row ? optarg : refused_option(argv, letter);
        const char *complaint = row             ? take(options, row, optarg)
                                : option == ':' ? "this option needs a value"
                                                : "there is no such option, or it takes no value";
        if (complaint)
            return complaint;
    }
    *culprit = optind < argc ? argv[optind] : NULL;
    return *culprit ? "nqptp takes options only" : find_conflict(options);
}

struct nqptp_options nqptp_options_read(int argc, char **argv) {
    struct nqptp_options options = {
        .user = "nqptp",
        .group = "nqptp",
        .event_port = NQPTP_EVENT_PORT,
        .general_port = NQPTP_GENERAL_PORT,
        .control_port = NQPTP_CONTROL_PORT,
        .layout = NQPTP_SHM_AUTO,
    };
    const char *culprit;
    char letter[3];
    const char *complaint = read_all(argc, argv, &options, letter, &culprit);

    if (complaint) {
        complain(complaint, culprit);
        options.action = NQPTP_REFUSE;
    }
    return options;
}
