/* SPDX-License-Identifier: MIT */
/*
 * Proves that the self-test accepts a mutex that works as glibc's does, and refuses one of a C
 * library that keeps its mutex in another way. Its functions are those of this program.
 */
#include "nqptp-shm-mutex.h"

#include "../lib/tap.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How the C library's mutex works. */
static struct library {
    int locked;          /* What locking writes into the first word. */
    int freed;           /* What unlocking writes into it. */
    int holder;          /* Which word gets the thread id of the holder. */
    bool ignores_word;   /* Trying for the lock does not look at the first word. */
    bool shares_nothing; /* No mutex can be shared by processes. */
} library;

static const struct library glibc = {.locked = 1, .holder = 2};

/* These replace the functions of the C library in this program. */
int pthread_mutexattr_setpshared(pthread_mutexattr_t *attributes, int shared) {
    (void)attributes;
    (void)shared;
    return library.shares_nothing ? ENOTSUP : 0;
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes) {
    (void)attributes;
    memset(mutex, 0, sizeof(pthread_mutex_t));
    return 0;
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
    int *words = (int *)(void *)mutex;

    words[library.holder] = (int)syscall(SYS_gettid);
    words[0] = library.locked;
    return 0;
}

int pthread_mutex_trylock(pthread_mutex_t *mutex) {
    return *(int *)(void *)mutex != 0 && !library.ignores_word ? EBUSY : 0;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex) {
    *(int *)(void *)mutex = library.freed;
    return 0;
}

static bool is_known(struct library works_so) {
    pthread_mutex_t mutex;

    library = works_so;
    return nqptp_mutex_init(&mutex);
}

static void test_libraries(void) {
    struct library other = glibc;

    CHECK(is_known(other), "a mutex that works as glibc's does is known");
    other.locked = (int)syscall(SYS_gettid);
    CHECK(!is_known(other), "a lock word that is the holder, as in a robust mutex, is not known");
    other = glibc;
    other.locked = 0;
    CHECK(!is_known(other), "a first word that locking leaves 0 is not known");
    other = glibc;
    other.holder = 1;
    CHECK(!is_known(other), "a mutex with its holder in another place is not known");
    other = glibc;
    other.freed = 3;
    CHECK(!is_known(other), "a lock word that is not 0 when free is not known");
    other = glibc;
    other.ignores_word = true;
    CHECK(!is_known(other), "a C library that locks in spite of the lock word is not known");
    other = glibc;
    other.shares_nothing = true;
    CHECK(!is_known(other), "a C library without mutexes for several processes is not known");
}

int main(void) {
    test_libraries();
    return tap_done();
}
