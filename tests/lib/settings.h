/* SPDX-License-Identifier: MIT */
/*
 * The command line of the test programs: a table says the name of each option, what its argument
 * is, and where the value goes in a struct of the program. A wrong value ends the program with
 * status 2.
 */
#ifndef NQPTP_SETTINGS_H
#define NQPTP_SETTINGS_H

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS_MAX 64

enum setting_kind {
    FLAG,        /* no argument; a bool becomes true */
    UNSIGNED,    /* unsigned */
    NUMBER,      /* double */
    INTEGER,     /* uint64_t or int64_t, in decimal */
    HEXADECIMAL, /* uint64_t */
    TEXT,        /* const char * */
    CHOICE,      /* unsigned: the position of the word in `choices` */
    OTHER,       /* the program's function takes it */
};

struct setting {
    const char *name;
    enum setting_kind kind;
    size_t place;               /* its offset in the struct */
    const char *const *choices; /* of a CHOICE; ends with NULL */
};

typedef void settings_take(void *context, const struct setting *setting, const char *text);

__attribute__((noreturn)) static inline void settings_refuse(const struct setting *setting,
                                                             const char *text) {
    fprintf(stderr, "--%s: \"%s\" is not possible here\n", setting->name, text);
    exit(2);
}

static inline double settings_number(const struct setting *setting, const char *text) {
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0')
        settings_refuse(setting, text);
    return value;
}

static inline uint64_t settings_integer(const struct setting *setting, const char *text, int base) {
    char *end;

    errno = 0;
    uint64_t value = strtoull(text, &end, base); /* a negative one wraps, as it should */
    if (end == text || *end != '\0' || errno)
        settings_refuse(setting, text);
    return value;
}

static inline unsigned settings_choice(const struct setting *setting, const char *word) {
    for (unsigned i = 0; setting->choices[i]; i++)
        if (strcmp(word, setting->choices[i]) == 0)
            return i;
    settings_refuse(setting, word);
}

/* Takes in all kinds but OTHER. */
static inline void settings_set(const struct setting *setting, void *place, const char *text) {
    switch (setting->kind) {
    case FLAG:
        *(bool *)place = true;
        break;
    case UNSIGNED:
        *(unsigned *)place = (unsigned)settings_integer(setting, text, 10);
        break;
    case NUMBER:
        *(double *)place = settings_number(setting, text);
        break;
    case INTEGER:
        *(uint64_t *)place = settings_integer(setting, text, 10);
        break;
    case HEXADECIMAL:
        *(uint64_t *)place = settings_integer(setting, text, 16);
        break;
    case TEXT:
        *(const char **)place = text;
        break;
    case CHOICE:
        *(unsigned *)place = settings_choice(setting, text);
        break;
    case OTHER:
        break;
    }
}

/*
 * Reads the command line into `options`, and gives each OTHER to `take`, which may be NULL if there
 * is none. Returns false for an option that is not in the table, or that lacks its argument. optind
 * is the first argument that is no option.
 */
static inline bool settings_read(const struct setting *settings, size_t count, void *options,
                                 int argc, char **argv, settings_take *take, void *context) {
    struct option names[SETTINGS_MAX + 1] = {{0}};
    int i;

    for (size_t n = 0; n < count && n < SETTINGS_MAX; n++)
        names[n] = (struct option){settings[n].name, settings[n].kind != FLAG, NULL, (int)n};
    while ((i = getopt_long(argc, argv, "", names, NULL)) >= 0 && (size_t)i < count) {
        if (settings[i].kind == OTHER)
            take(context, &settings[i], optarg);
        else
            settings_set(&settings[i], (char *)options + settings[i].place, optarg);
    }
    return i == -1;
}

#endif
