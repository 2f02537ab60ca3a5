/* SPDX-License-Identifier: MIT */
/* Text that is written piece by piece into a buffer of the caller, and text of other programs. */
#ifndef NQPTP_TEXT_H
#define NQPTP_TEXT_H

#include <stdarg.h>
#include <stddef.h>

/* The value of a macro as text. */
#define NQPTP_TEXT_OF(macro) NQPTP_TEXT_OF_VALUE(macro)
#define NQPTP_TEXT_OF_VALUE(value) #value

struct nqptp_text {
    char *at;    /* The buffer. After the first addition the text in it is terminated. */
    size_t size; /* The size of the buffer. */
    size_t used; /* The length of the text, which is less than size. */
};

/* Appends what printf(3) would write. What does not fit is left out. */
void nqptp_text_add(struct nqptp_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void nqptp_text_add_arguments(struct nqptp_text *text, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* The characters that a shell interprets even between double quotes, and the quotes. */
#define NQPTP_SHELL_ACTIVE "\"'`$\\"

/*
 * Writes text that another program chose, as people may see it: printable UTF-8 unchanged, and a ?
 * for each other byte and for each character in `unsafe`. `unsafe` is NQPTP_SHELL_ACTIVE for text
 * that is printed between double quotes, and "" for the name of an object. Cuts the text to what
 * `size` bytes can hold. Returns shown.
 */
const char *nqptp_text_show(const char *text, const char *unsafe, char *shown, size_t size);

#endif
