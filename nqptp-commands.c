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

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define UNKNOWN "unknown command"
#define LONGER "longer than " NQPTP_TEXT_OF(NQPTP_COMMAND_MAX) " bytes"

/* --- reading --------------------------------------------------------------------------------- */

static bool printable(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return true;
}

/* Reads the name of an object: a slash, no other slash, and not the name of a directory. */
static const char *read_name(const char *text, size_t length, struct nqptp_command *command) {
    bool directory =
        (length == 2 && text[1] == '.') || (length == 3 && text[1] == '.' && text[2] == '.');
    if (length < 2 || length >= sizeof command->name || memchr(text + 1, '/', length - 1) ||
        directory)
        return "not a name of shared memory: / and 1 to " NQPTP_TEXT_OF(
            NQPTP_NAME_MAX) " characters, no other /";
    memcpy(command->name, text, length);
    command->name[length] = '\0';
    return NULL;
}

/*
 * Reads addresses, each after one space or more. nqptp_commands_save() writes some of them longer
 * than they came, and that text must be a command again.
 */
static const char *read_addresses(const char *text, size_t length, struct nqptp_command *command) {
    size_t saved = strlen(command->name) + 2;
    char address[INET6_ADDRSTRLEN];

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
        saved += 1 + strlen(nqptp_address_format(&command->addresses[command->count - 1], address));
        at += word;
    }
    return saved > NQPTP_COMMAND_MAX ? LONGER " once written in full" : NULL;
}

/* Reads what may come after `?`: " json", or a space and up to four digits of columns. */
static const char *read_form(const char *text, size_t length, struct nqptp_command *command) {
    bool json = length == 5 && memcmp(text, " json", length) == 0;
    size_t at = 1;

    command->columns = length > 0 ? 0 : NQPTP_STATUS_COLUMNS;
    if (length == 0 || json)
        return NULL;
    for (; at < length && at < 5 && text[at] >= '0' && text[at] <= '9'; at++)
        command->columns = command->columns * 10 + (unsigned)(text[at] - '0');
    return text[0] == ' ' && at == length && command->columns > 0 ? NULL : "unknown form of ?";
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
        return LONGER;
    if (length > 0 && text[length - 1] == '\0')
        length--;
    if (length == 0)
        return "empty";
    if (!printable(text, length))
        return "not printable ASCII";
    const char *refusal = read_client(text, length, &at, command);
    if (refusal)
        return refusal;
    if (at == length)
        return UNKNOWN;
    command->letter = text[at++];
    return read_rest(text + at, length - at, command);
}

/* --- writing --------------------------------------------------------------------------------- */

/* Adds to the text, whose length becomes size when it is full. */
__attribute__((format(printf, 4, 5))) static void add(char *text, size_t size, size_t *length,
                                                      const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    int more = vsnprintf(text + *length, size - *length, format, arguments);
    va_end(arguments);
    *length = more < 0 || (size_t)more >= size - *length ? size : *length + (size_t)more;
}

static void save_client(const struct nqptp_client *client, int c, char *text, size_t size,
                        size_t *length) {
    bool named = c > 0 || client->first_wins;

    if (client->has_list) {
        char address[INET6_ADDRSTRLEN];
        add(text, size, length, "%s%sT", named ? client->name : "", named ? " " : "");
        for (unsigned i = 0; i < client->peer_count; i++)
            add(text, size, length, " %s",
                nqptp_address_format(&client->peers[i].address, address));
        add(text, size, length, "\n");
    }
    if (client->activity != NQPTP_STOPPED)
        add(text, size, length, "%s %c\n", client->name,
            client->activity == NQPTP_PLAYING ? 'B' : 'P');
}

size_t nqptp_commands_save(const struct nqptp_clients *clients, char *text, size_t size) {
    size_t length = 0;

    if (size > 0)
        text[0] = '\0'; /* there may be no client */
    for (int c = 0; c < clients->top; c++)
        if (clients->list[c].in_use && length < size)
            save_client(&clients->list[c], c, text, size, &length);
    return length < size ? length : 0;
}
