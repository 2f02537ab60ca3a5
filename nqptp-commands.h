/* SPDX-License-Identifier: MIT */
/*
 * The words of the control port: a datagram's text -> a command. What a command does is the
 * engine's business.
 */
#ifndef NQPTP_COMMANDS_H
#define NQPTP_COMMANDS_H

#include "nqptp-clients.h"
#include "nqptp-shm-layouts.h"

#define NQPTP_COMMAND_MAX 4096 /* The bytes of a control datagram. */

/* The value of a macro as text. */
#define NQPTP_TEXT_OF(macro) NQPTP_TEXT_OF_VALUE(macro)
#define NQPTP_TEXT_OF_VALUE(value) #value

struct nqptp_command {
    char name[NQPTP_NAME_SIZE]; /* The object's name, with the slash; empty: the text has none. */
    char letter;                /* T, B, P, E or ?. */
    bool json;                  /* Of `?`: the status as JSON, not as text. */
    enum nqptp_shm_asked asked; /* What it tells of the layout that its client reads. */
    unsigned count;             /* The number of addresses of a T. */
    struct nqptp_address addresses[NQPTP_PEERS_MAX];
};

/*
 * `T` or `/name T`, followed by addresses, each after a space; `/name B`, `/name P`, `/name E`;
 * `?`, `? json`. A NUL, an LF or a CR LF at the end is allowed.
 * Returns NULL, or why it is no command, in words that do not depend on what was sent. *command is
 * undefined then.
 */
const char *nqptp_command_parse(const char *text, size_t length, struct nqptp_command *command);

#endif
