/* SPDX-License-Identifier: MIT */
/*
 * The mutex that clients share with the daemon, by its lock word.
 *
 * A default mutex of glibc begins with the lock word, an int: 0 is free, 1 is locked, 2 is locked
 * while a thread waits in the kernel. The third int is the thread id of the holder. The daemon
 * calls no pthread function on a mapped mutex: a client that scribbles over one makes
 * pthread_mutex_lock() abort or crash within milliseconds. It compares and swaps the lock word
 * instead.
 *
 * Another C library keeps its mutex in another way: musl's begins with its type. The self-test
 * tells, on a mutex that no other process shares, and then the layouts with a mutex are not served.
 */
#include "nqptp-shm-mutex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FREE = 0, LOCKED = 1 };      /* values of the lock word; 2: locked, and a thread waits */
enum { LOCK_WORD = 0, HOLDER = 2 }; /* which int of the mutex is the lock word, and the holder */

#ifdef __GLIBC__
_Static_assert(offsetof(pthread_mutex_t, __data.__lock) == 0, "the lock word comes first");
_Static_assert(sizeof(((pthread_mutex_t *)0)->__data.__lock) == sizeof(int), "and is an int");
_Static_assert(offsetof(pthread_mutex_t, __data.__owner) == 8, "the holder comes third");
#endif

static _Atomic int *lock_word(pthread_mutex_t *mutex) {
    return (_Atomic int *)(void *)mutex + LOCK_WORD;
}

bool nqptp_mutex_init(pthread_mutex_t *mutex) {
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    bool made = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0 &&
                pthread_mutex_init(mutex, &attributes) == 0;
    pthread_mutexattr_destroy(&attributes);
    return made && nqptp_mutex_is_known(mutex);
}

bool nqptp_mutex_is_known(const pthread_mutex_t *fresh) {
    pthread_mutex_t mutex;

    memcpy(&mutex, fresh, sizeof mutex);
    if (*lock_word(&mutex) != FREE || pthread_mutex_lock(&mutex) != 0)
        return false;
    bool known = *lock_word(&mutex) == LOCKED && !nqptp_mutex_take(&mutex) &&
                 nqptp_mutex_holder(&mutex) == (int)syscall(SYS_gettid);
    pthread_mutex_unlock(&mutex);
    known = known && nqptp_mutex_take(&mutex) && pthread_mutex_trylock(&mutex) == EBUSY;
    nqptp_mutex_release(&mutex);
    known = known && pthread_mutex_trylock(&mutex) == 0;
    if (known)
        pthread_mutex_unlock(&mutex);
    return known;
}

bool nqptp_mutex_take(pthread_mutex_t *mutex) {
    int expected = FREE;
    return atomic_compare_exchange_strong_explicit(lock_word(mutex), &expected, LOCKED,
                                                   memory_order_acquire, memory_order_relaxed);
}

void nqptp_mutex_force(pthread_mutex_t *mutex) {
    atomic_store(lock_word(mutex), LOCKED);
}

void nqptp_mutex_restore(pthread_mutex_t *mutex, const pthread_mutex_t *fresh) {
    const size_t from = (LOCK_WORD + 1) * sizeof(int);
    memcpy((char *)mutex + from, (const char *)fresh + from, sizeof(pthread_mutex_t) - from);
}

/*
 * The lock word's value 2 does not reliably say that a thread waits: a client may have written over
 * it, or cut the object short. Also, while a thread waits as for a priority-inheritance mutex the
 * kernel wakes none behind it. So all are woken, each time. A thread that is woken in vain waits
 * again.
 */
void nqptp_mutex_release(pthread_mutex_t *mutex) {
    atomic_store_explicit(lock_word(mutex), FREE, memory_order_release);
    syscall(SYS_futex, lock_word(mutex), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

int nqptp_mutex_holder(const pthread_mutex_t *mutex) {
    int holder;
    memcpy(&holder, (const int *)(const void *)mutex + HOLDER, sizeof holder);
    return holder;
}
