/* SPDX-License-Identifier: MIT */
/*
 * The command line. The table rows[] has all options: the help text, getopt_long(3) and take() read
 * it. A new option is a row there, and a kind of its own in take() if no kind fits.
 *
 * read_all() reads the arguments from left to right and stops at the first wrong one. What is wrong
 * only together with another option is found by find_conflict() at the end. Each refusal is one
 * line of the log. This module opens nothing, changes nothing and never ends the program.
 */
#include "nqptp-options.h"

#include "nqptp-privileges.h"
#include "nqptp-shm.h"
#include "nqptp-text.h"
#include "nqptp-utilities.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST 256 /* getopt_long() returns this for row 0, one more for row 1, and so on. */

enum kind { ACTION, VERBOSE, JSON, INTERFACE, LAYOUT, USER, GROUP, PORT };

#define PORT_AT(member) offsetof(struct nqptp_options, member)

static const struct row {
    const char *name;
    char letter; /* 0: the option has none. */
    enum kind kind;
    const char *value; /* "=" and its value in the help text; empty: it takes none. */
    size_t detail;     /* ACTION: the enum nqptp_action. PORT: PORT_AT() its member. */
    const char *help;
} rows[] = {
    {"version", 'V', ACTION, "", NQPTP_SHOW_VERSION, "print the version"},
    {"help", 'h', ACTION, "", NQPTP_SHOW_HELP, "print this text"},
    {"verbose", 'v', VERBOSE, "", 0, "log more; -vv each message, -vvv its bytes"},
    {"status", 0, ACTION, "", NQPTP_SHOW_STATUS, "print what the running nqptp is doing"},
    {"json", 0, JSON, "", 0, "with --status: as JSON"},
    {"interface", 'i', INTERFACE, "=NAME|ADDRESS", 0, "listen there only; repeatable"},
    {"smi", 0, LAYOUT, "=VERSION", 0,
     "shared memory interface " NQPTP_SHM_LAYOUTS " or auto [auto]"},
    {"user", 0, USER, "=NAME", 0, "the user to become when started as root [nqptp]"},
    {"group", 0, GROUP, "=NAME", 0, "the group that may use the shared memory [nqptp]"},
    {"event-port", 0, PORT, "=PORT", PORT_AT(event_port), "instead of UDP port 319"},
    {"general-port", 0, PORT, "=PORT", PORT_AT(general_port), "instead of UDP port 320"},
    {"control-port", 0, PORT, "=PORT", PORT_AT(control_port), "instead of UDP port 9000"},
    {"claim", 0, ACTION, "", NQPTP_CLAIM, "as root: free the name /nqptp for a daemon of --user="},
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
        snprintf(names, sizeof names, "--%s%s", row->name, row->value);
        printf("  %c%c%s %-24s %s\n", row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
               row->letter ? "," : " ", names, row->help);
    }
}

/* Reads a decimal number. Returns 0 if it is none, or above max. */
static unsigned read_number(const char *text, unsigned max) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    return *text >= '0' && *text <= '9' && *end == '\0' && value <= max ? (unsigned)value : 0;
}

static const char *read_layout(const char *text, unsigned *layout) {
    bool is_auto = strcmp(text, "auto") == 0;

    *layout = is_auto ? NQPTP_SHM_AUTO : read_number(text, 99);
    if (!is_auto && !nqptp_shm_layout(*layout))
        return "--smi= takes " NQPTP_SHM_LAYOUTS " or auto";
    return nqptp_shm_can_serve(*layout) ? NULL : "with this C library only --smi=10 and auto work";
}

/* Sets what the option of a row sets. Returns NULL, or what is wrong with the value. */
static const char *take(struct nqptp_options *options, const struct row *row, const char *value) {
    uint16_t *port = (uint16_t *)(void *)((char *)options + row->detail);
    uid_t user;
    gid_t group;

    switch (row->kind) {
    case ACTION:
        options->action = (enum nqptp_action)row->detail;
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
        return nqptp_user_find(value, &user, &group) == -ENOENT ? "there is no such user" : NULL;
    case GROUP:
        options->group = value;
        return nqptp_group_find(value, &group) == -ENOENT ? "there is no such group" : NULL;
    case PORT:
        *port = (uint16_t)read_number(value, UINT16_MAX);
        return *port > 0 ? NULL : "a port is 1 to 65535";
    }
    return NULL;
}

/* Fills in the options as getopt_long() takes them. */
static void list_options(struct option names[ROWS + 1], char letters[3 * ROWS]) {
    size_t used = 0;

    letters[used++] = ':'; /* With it getopt_long() returns ':' for a missing value. */
    for (size_t i = 0; i < ROWS; i++) {
        bool takes = *rows[i].value != '\0';
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
 * Returns the option that getopt_long() has just refused: for a long option its word on the command
 * line, for a short one the text made in `letter`.
 */
static const char *refused_option(char **argv, char letter[3]) {
    letter[0] = '-';
    letter[1] = (char)optopt;
    letter[2] = '\0';
    return optopt == 0 || optopt >= FIRST ? argv[optind - 1] : letter;
}

/*
 * Logs in one line, which "systemctl status" shows, why the command line is refused. `culprit` is
 * the word that is wrong, or NULL. Returns false.
 */
static bool refuse(const char *culprit, const char *complaint) {
    char shown[80] = "";

    if (culprit)
        nqptp_text_show(culprit, NQPTP_SHELL_ACTIVE, shown, sizeof shown);
    nqptp_log(LOG_ERR, "%s%s%s%s; see nqptp --help", culprit ? "\"" : "", shown,
              culprit ? "\": " : "", complaint);
    return false;
}

/* Returns what is wrong with options that do not work together, or NULL. */
static const char *find_conflict(const struct nqptp_options *options) {
    if (options->json && options->action != NQPTP_SHOW_STATUS)
        return "--json needs --status";
    if (options->limits.count > 0 && options->action == NQPTP_SHOW_STATUS)
        return "-i does not work with --status, which tells where the daemon listens";
    if (options->event_port == options->general_port ||
        options->event_port == options->control_port ||
        options->general_port == options->control_port)
        return "the three ports must be different numbers";
    return NULL;
}

/* Reads all options. Returns false if one is refused. */
static bool read_all(int argc, char **argv, struct nqptp_options *options) {
    struct option names[ROWS + 1];
    char letters[3 * ROWS], letter[3];
    const char *complaint;
    int option;

    list_options(names, letters);
    opterr = 0;
    while ((option = getopt_long(argc, argv, letters, names, NULL)) != -1) {
        const struct row *row = row_of(option);
        if (!row)
            return refuse(refused_option(argv, letter),
                          option == ':' ? "this option needs a value"
                                        : "there is no such option, or it takes no value");
        if ((complaint = take(options, row, optarg)))
            return refuse(optarg, complaint);
    }
    if (optind < argc)
        return refuse(argv[optind], "nqptp takes options only");
    complaint = find_conflict(options);
    return !complaint || refuse(NULL, complaint);
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

    if (!read_all(argc, argv, &options))
        options.action = NQPTP_REFUSE;
    return options;
}
