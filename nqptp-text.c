/* SPDX-License-Identifier: MIT */
/* Text in a buffer: see the header. */
#include "nqptp-text.h"

#include <stdio.h>

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
