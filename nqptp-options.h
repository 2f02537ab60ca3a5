/* SPDX-License-Identifier: MIT */
/*
 * The command line: what is asked for, or why it is refused. It looks up the names of users, groups
 * and interfaces, and changes nothing.
 */
#ifndef NQPTP_OPTIONS_H
#define NQPTP_OPTIONS_H

#include "nqptp-endpoints.h"

enum nqptp_action {
    NQPTP_RUN,
    NQPTP_SHOW_VERSION,
    NQPTP_SHOW_HELP,
    NQPTP_SHOW_STATUS,
    NQPTP_CLAIM,
    NQPTP_REFUSE, /* it was said why */
};

struct nqptp_options {
    enum nqptp_action action;
    unsigned verbosity;
    const char *user, *group;
    unsigned layout; /* of client 0's object, or NQPTP_SHM_AUTO */
    uint16_t event_port, general_port, control_port;
    bool json; /* with NQPTP_SHOW_STATUS */
    struct nqptp_limits limits;
};

/* Reads the arguments of main(). If they are refused, logs one line that says why. */
struct nqptp_options nqptp_options_read(int argc, char **argv);

/* Print the help text, and the version, on stdout. */
void nqptp_options_help(void);
void nqptp_options_version(void);

#endif
