/* SPDX-License-Identifier: MIT */
/*
 * The words of the control port: see the header.
 *
 * A datagram is read from left to right, by a function for each part: read_client(), then the
 * letter, then read_rest(). Each returns NULL or the reason why the text is no command, which is
 * constant: what a stranger sent never gets into the log. This module obeys nothing; `asked` is all
 * that it knows of layouts.
 */
#include "nqptp-commands.h"

#include <string.h>

#define UNKNOWN "unknown command"

/* Is there no control character? What is not ASCII may be UTF-8, in a name. */
static bool is_plain(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7F)
            return false;
    return true;
}

/* The length without one NUL, one LF and one CR at the end. */
static size_t without_end(const char *text, size_t length) {
    static const char ends[] = {'\0', '\n', '\r'};

    for (size_t i = 0; i < sizeof ends; i++)
        if (length > 0 && text[length - 1] == ends[i])
            length--;
    return length;
}

/* Reads the name of an object. Files with a dot in front are directories, or the daemon's own. */
static const char *read_name(const char *text, size_t length, struct nqptp_command *command) {
    if (length < 2 || length >= sizeof command->name || text[1] == '.' ||
        memchr(text + 1, '/', length - 1))
        return "not a name of shared memory: / and 1 to " NQPTP_TEXT_OF(
            NQPTP_NAME_MAX) " bytes, no other /, no dot in front";
    memcpy(command->name, text, length);
    command->name[length] = '\0';
    return NULL;
}

/* Reads addresses, each after one space or more. */
static const char *read_addresses(const char *text, size_t length, struct nqptp_command *command) {
    for (size_t at = 0; at < length;) {
        if (text[at] == ' ') {
            at++;
            continue;
        }
        const char *space = memchr(text + at, ' ', length - at);
        size_t word = space ? (size_t)(space - (text + at)) : length - at;
        if (command->count == NQPTP_PEERS_MAX)
            return "more than " NQPTP_TEXT_OF(NQPTP_PEERS_MAX) " addresses";
        if (nqptp_address_parse(text + at, word, &command->addresses[command->count++]) < 0)
            return "not a numeric IPv4 or IPv6 address";
        at += word;
    }
    return NULL;
}

/* Reads what may come after `?`. */
static const char *read_form(const char *text, size_t length, struct nqptp_command *command) {
    command->json = length == 5 && memcmp(text, " json", length) == 0;
    return length == 0 || command->json ? NULL : "unknown form of ?";
}

/* Reads the name before the letter, if there is one. *at becomes the place of the letter. */
static const char *read_client(const char *text, size_t length, size_t *at,
                               struct nqptp_command *command) {
    *at = 0;
    command->name[0] = '\0';
    if (text[0] != '/')
        return NULL;
    const char *space = memchr(text, ' ', length);
    size_t end = space ? (size_t)(space - text) : length;
    for (*at = end; *at < length && text[*at] == ' ';)
        ++*at;
    return read_name(text, end, command);
}

/* Reads what comes after the letter. */
static const char *read_rest(const char *text, size_t length, struct nqptp_command *command) {
    bool named = command->name[0] != '\0';

    switch (command->letter) {
    case 'T':
        command->asked = named ? NQPTP_SHM_ASKED_NAMED : NQPTP_SHM_ASKED_BARE;
        return length > 0 && text[0] != ' ' ? UNKNOWN : read_addresses(text, length, command);
    case '?':
        return named ? UNKNOWN : read_form(text, length, command);
    case 'B':
    case 'E':
    case 'P':
        command->asked = NQPTP_SHM_ASKED_PLAY;
        return named && length == 0 ? NULL : UNKNOWN;
    default:
        return UNKNOWN;
    }
}

const char *nqptp_command_parse(const char *text, size_t length, struct nqptp_command *command) {
    size_t at;

    command->count = 0;
    command->asked = NQPTP_SHM_ASKED_NOTHING;
    if (length > NQPTP_COMMAND_MAX)
        return "longer than " NQPTP_TEXT_OF(NQPTP_COMMAND_MAX) " bytes";
    length = without_end(text, length);
    if (length == 0)
        return "empty";
    if (!is_plain(text, length))
        return "a control character";
    const char *refusal = read_client(text, length, &at, command);
    if (refusal)
        return refusal;
    if (at == length)
        return UNKNOWN;
    command->letter = text[at++];
    return read_rest(text + at, length - at, command);
}
