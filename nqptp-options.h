/* SPDX-License-Identifier: MIT */
/* The command line. Names of users and groups are looked up; nothing is changed. */
#ifndef NQPTP_OPTIONS_H
#define NQPTP_OPTIONS_H

#include "nqptp-endpoints.h"

enum nqptp_action {
    NQPTP_RUN,
    NQPTP_SHOW_VERSION,
    NQPTP_SHOW_HELP,
    NQPTP_SHOW_STATUS,
    NQPTP_CLAIM,
    NQPTP_REFUSE, /* The log says why. */
};

struct nqptp_options {
    enum nqptp_action action;
    unsigned verbosity;
    const char *user, *group;
    unsigned layout; /* The layout of /nqptp, or NQPTP_SHM_AUTO. */
    uint16_t event_port, general_port, control_port;
    bool json; /* With NQPTP_SHOW_STATUS: print JSON. */
    struct nqptp_limits limits;
};

/* Prints the version on stdout. */
void nqptp_options_version(void);

/* Prints the help text on stdout. */
void nqptp_options_help(void);

/* Reads the arguments of main(). If they are refused, logs one line that says why. */
struct nqptp_options nqptp_options_read(int argc, char **argv);

#endif
