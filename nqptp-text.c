/* SPDX-License-Identifier: MIT */
/*
 * Two small jobs. nqptp_text_add() appends to a buffer, and never writes beyond it: text that does
 * not fit is cut, which is no error. nqptp_text_show() makes text of other programs printable.
 *
 * A character is printable if it shows. Blanks do not, except the ASCII space: a name that has one
 * could look like more than a name. Nor do control characters, those that change the direction of
 * the text, and those without a width: a name with one could look like another name. No locale is
 * read.
 */
#include "nqptp-text.h"

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

/* What does not show, by the first and the last character of each range. */
static const uint32_t hidden[][2] = {
    {0, 0x1F},          {0x7F, 0xA0},       {0xAD, 0xAD},          {0x34F, 0x34F},
    {0x61C, 0x61C},     {0x115F, 0x1160},   {0x1680, 0x1680},      {0x17B4, 0x17B5},
    {0x180B, 0x180F},   {0x2000, 0x200F},   {0x2028, 0x202F},      {0x205F, 0x206F},
    {0x2800, 0x2800},   {0x3000, 0x3000},   {0x3164, 0x3164},      {0xD800, 0xDFFF},
    {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},      {0xFFF0, 0xFFFB},
    {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, UINT32_MAX},
};

/* Returns the length of the printable UTF-8 character that the text begins with; 0: with none. */
static size_t printable_length(const char *text) {
    static const uint32_t min[] = {0, 0, 0x80, 0x800, 0x10000}; /* By the number of bytes. */
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
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (code >= hidden[i][0] && code <= hidden[i][1])
            return 0;
    return code < min[bytes] ? 0 : bytes;
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
