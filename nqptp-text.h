/* SPDX-License-Identifier: MIT */
/* Text written piece by piece into a buffer of the caller. What does not fit is left out. */
#ifndef NQPTP_TEXT_H
#define NQPTP_TEXT_H

#include <stdarg.h>
#include <stddef.h>

struct nqptp_text {
    char *at;    /* The buffer; always terminated once something was added. */
    size_t size; /* Of the buffer. */
    size_t used; /* The length of the text, less than size. */
};

/* Adds as printf(3) would write. */
void nqptp_text_add(struct nqptp_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void nqptp_text_add_arguments(struct nqptp_text *text, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/*
 * Writes text that another program chose as people may see it: printable UTF-8 unchanged, and a ?
 * for each other byte. Cuts it to what `size` bytes can hold.
 */
void nqptp_text_show(const char *text, char *shown, size_t size);

#endif
