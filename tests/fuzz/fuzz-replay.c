/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without a fuzzer: on each file that is named, and on each file of a directory
 * that is named. With no argument, as in "make check", it takes the directory of the target's
 * corpus. It is no fuzzer: it makes up nothing but the empty input.
 */
#include "fuzz.h"
#include "../lib/tap.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#define INPUT_MAX (1 << 20)
#define PATH_SIZE 4096

/* Prints the name of the next input before it tries it, because the input may crash the target. */
static void replay(const char *path) {
    uint8_t *data = malloc(INPUT_MAX);
    FILE *file = fopen(path, "rb");

    if (!data || !file) {
        CHECK(false, "%s: %s", path, strerror(errno));
    } else {
        size_t size = fread(data, 1, INPUT_MAX, file);
        uint8_t *input = fuzz_copy(data, size);
        printf("# %s, %zu octets\n", path, size);
        fflush(stdout);
        CHECK(LLVMFuzzerTestOneInput(input, size) == 0, "%s", path);
        free(input);
    }
    if (file)
        fclose(file);
    free(data);
}

static int visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static void replay_directory(const char *directory) {
    struct dirent **entries = NULL;
    int count = scandir(directory, &entries, visible, alphasort);
    char path[PATH_SIZE];

    CHECK(count > 0, "%s: %d inputs", directory, count);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        replay(path);
        free(entries[i]);
    }
    free((void *)entries);
}

static void replay_any(const char *path) {
    struct stat status;

    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        replay_directory(path);
    else
        replay(path);
}

/* The target's name follows "fuzz-" in the name of the program. */
static void replay_corpus(const char *program) {
    const char *source = getenv("srcdir"); /* set by automake's harness */
    const char *prefix = strstr(program, "fuzz-");
    char path[PATH_SIZE];

    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", source ? source : ".",
             prefix ? prefix + strlen("fuzz-") : "");
    replay_directory(path);
}

int main(int argc, char **argv) {
    uint8_t *nothing = fuzz_copy(NULL, 0);

    CHECK(LLVMFuzzerTestOneInput(nothing, 0) == 0, "the empty input");
    free(nothing);
    for (int i = 1; i < argc; i++)
        replay_any(argv[i]);
    if (argc == 1)
        replay_corpus(argv[0]);
    return tap_done();
}
