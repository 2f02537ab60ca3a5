/* SPDX-License-Identifier: MIT */
/*
 * The text of a command: see the header.
 *
 * nqptp_command_parse() reads it from left to right: read_text() checks the bytes, read_client()
 * reads the name, and read_rest() what follows the letter. Each returns NULL, or why the text is no
 * command. The reasons are constant, so nothing that a client sent gets into the log.
 *
 * A new command is a case in read_rest(). This module keeps no state and carries out nothing. All
 * that it knows of layouts is `asked`.
 */
#include "nqptp-commands.h"

#include <string.h>

#define UNKNOWN "unknown command"

/* Copies a datagram as a string, without one NUL, one LF and one CR at its end. */
static const char *read_text(const char *data, size_t length, char text[NQPTP_COMMAND_MAX + 1]) {
    static const char ends[] = {'\0', '\n', '\r'};

    if (length > NQPTP_COMMAND_MAX)
        return "longer than " NQPTP_TEXT_OF(NQPTP_COMMAND_MAX) " bytes";
    for (size_t i = 0; i < sizeof ends; i++)
        length -= length > 0 && data[length - 1] == ends[i];
    if (length == 0)
        return "empty";
    for (size_t i = 0; i < length; i++) /* Bytes that are not ASCII may be UTF-8, in a name. */
        if ((unsigned char)data[i] < ' ' || data[i] == 0x7F)
            return "a control character";
    memcpy(text, data, length);
    text[length] = '\0';
    return NULL;
}

/*
 * Reads the name of an object, if the command begins with one. *text becomes what follows the name.
 * A name with a dot in front is refused: it is a directory, or a file that the daemon keeps.
 */
static const char *read_client(const char **text, struct nqptp_command *command) {
    const char *name = *text;
    size_t length = strcspn(name, " ");

    if (*name != '/')
        return NULL;
    *text += length + strspn(name + length, " ");
    if (length < 2 || length >= sizeof command->name || name[1] == '.' ||
        memchr(name + 1, '/', length - 1))
        return "not a name of shared memory: / and 1 to " NQPTP_TEXT_OF(
            NQPTP_NAME_MAX) " bytes, no other /, no dot in front";
    memcpy(command->name, name, length);
    command->name[length] = '\0';
    return NULL;
}

/* Reads addresses, with one space or more before each. */
static const char *read_addresses(const char *text, struct nqptp_command *command) {
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        size_t length = strcspn(text, " ");
        if (command->count == NQPTP_PEERS_MAX)
            return "more than " NQPTP_TEXT_OF(NQPTP_PEERS_MAX) " addresses";
        if (nqptp_address_parse(text, length, &command->addresses[command->count++]) < 0)
            return "not a numeric IPv4 or IPv6 address";
        text += length;
    }
    return NULL;
}

/* Reads what comes after the letter. */
static const char *read_rest(const char *text, struct nqptp_command *command) {
    bool named = command->name[0] != '\0';

    switch (command->letter) {
    case 'T':
        command->asked = named ? NQPTP_SHM_ASKED_NAMED : NQPTP_SHM_ASKED_BARE;
        return *text && *text != ' ' ? UNKNOWN : read_addresses(text, command);
    case '?':
        command->json = strcmp(text, " json") == 0;
        return named ? UNKNOWN : *text && !command->json ? "unknown form of ?" : NULL;
    case 'B':
    case 'E':
    case 'P':
        command->asked = NQPTP_SHM_ASKED_PLAY;
        return named && !*text ? NULL : UNKNOWN;
    default:
        return UNKNOWN;
    }
}

const char *nqptp_command_parse(const char *data, size_t length, struct nqptp_command *command) {
    char copy[NQPTP_COMMAND_MAX + 1];
    const char *text = copy;

    command->name[0] = '\0';
    command->count = 0;
    command->asked = NQPTP_SHM_ASKED_NOTHING;
    const char *refusal = read_text(data, length, copy);
    if (!refusal)
        refusal = read_client(&text, command);
    if (refusal)
        return refusal;
    command->letter = *text;
    return read_rest(*text ? text + 1 : text, command);
}
