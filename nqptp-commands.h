/* SPDX-License-Identifier: MIT */
/* Reads the text of a datagram to the control port as a command, which the engine carries out. */
#ifndef NQPTP_COMMANDS_H
#define NQPTP_COMMANDS_H

#include "nqptp-clients.h"
#include "nqptp-shm-layouts.h"
#include "nqptp-text.h"

#define NQPTP_COMMAND_MAX 4096 /* The bytes of a control datagram. */

struct nqptp_command {
    char name[NQPTP_NAME_SIZE]; /* The object's name, with the slash; empty: the text has none. */
    char letter;                /* T, B, P, E or ?. */
    bool json;                  /* Of `?`: the status as JSON, not as text. */
    enum nqptp_shm_asked asked; /* What the text tells about the layout that its client reads. */
    unsigned count;             /* The number of addresses of a T. */
    struct nqptp_address addresses[NQPTP_PEERS_MAX];
};

/*
 * Reads `T` or `/name T`, followed by addresses with a space before each; `/name B`, `/name P`,
 * `/name E`; `?`, `? json`. One NUL, one LF or one CR LF at the end is allowed. Returns NULL, or
 * why the datagram is no command, in constant words. Then only the name in *command is defined.
 */
const char *nqptp_command_parse(const char *data, size_t length, struct nqptp_command *command);

#endif
