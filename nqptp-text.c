/* SPDX-License-Identifier: MIT */
/*
 * Two small jobs. nqptp_text_add() appends to a buffer, and never writes beyond it: text that does
 * not fit is cut, which is no error. nqptp_text_show() makes text of other programs printable.
 *
 * Printable UTF-8 excludes control characters, and those that change the direction of the text or
 * have no width: a name of them could look like another one. No locale is read.
 */
#include "nqptp-text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void nqptp_text_add_arguments(struct nqptp_text *text, const char *format, va_list arguments) {
    size_t room = text->size - text->used;
    int length = vsnprintf(text->at + text->used, room, format, arguments);

    text->used += length < 0 ? 0 : (size_t)length < room ? (size_t)length : room - 1;
}

void nqptp_text_add(struct nqptp_text *text, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    nqptp_text_add_arguments(text, format, arguments);
    va_end(arguments);
}

/* Returns the length of the printable UTF-8 character that the text begins with; 0: with none. */
static size_t printable_length(const char *text) {
    static const uint32_t min[] = {0, ' ', 0xA0, 0x800, 0x10000}; /* By the number of bytes. */
    unsigned char first = (unsigned char)text[0];
    size_t bytes = first < 0x80 ? 1 : first < 0xC0 ? 5 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    uint32_t code = bytes == 1 ? first : first & (0x7FU >> bytes);

    if (bytes == 5 || first >= 0xF8)
        return 0;
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xC0) != 0x80) /* Also true for the NUL at the end of the text. */
            return 0;
        code = code << 6 | (text[i] & 0x3F);
    }
    bool directs = (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
                   (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF;
    bool is_none = code == 0x7F || (code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF;
    return code < min[bytes] || directs || is_none ? 0 : bytes;
}

const char *nqptp_text_show(const char *text, const char *unsafe, char *shown, size_t size) {
    size_t bytes, at = 0;

    for (; *text && at < size - 1; text += bytes) {
        bytes = printable_length(text);
        if (bytes == 0 || at + bytes >= size || strchr(unsafe, *text)) {
            shown[at++] = '?';
            bytes = 1;
            continue;
        }
        memcpy(shown + at, text, bytes);
        at += bytes;
    }
    shown[at] = '\0';
    return shown;
}
