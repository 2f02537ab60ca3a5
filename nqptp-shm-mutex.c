/* SPDX-License-Identifier: MIT */
/*
 * The mutex that clients share with the daemon, handled by its lock word. This module has no state
 * of its own.
 *
 * A default mutex of glibc begins with the lock word, an int: 0 is free, 1 is locked, 2 is locked
 * while a thread waits in the kernel. The third int is the thread id of the holder.
 *
 * This module never calls a pthread function on a mapped mutex, and never waits for one. After a
 * client has written random bytes over it, pthread_mutex_lock() aborts or crashes within
 * milliseconds. Instead the daemon compares and swaps the lock word.
 *
 * Another C library keeps its mutex in another way: musl's begins with its type. The self-test sees
 * that, on a mutex that no other process shares, and then the daemon serves no layout with a mutex.
 */
#include "nqptp-shm-mutex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FREE = 0, LOCKED = 1 };      /* Values of the lock word. */
enum { LOCK_WORD = 0, HOLDER = 2 }; /* Which int of the mutex is the lock word or the holder. */

static _Atomic int *word(pthread_mutex_t *mutex, int which) {
    return (_Atomic int *)(void *)mutex + which;
}

/* The self-test: returns whether a copy of this unlocked mutex works as this module assumes. */
static bool is_known(const pthread_mutex_t *fresh) {
    pthread_mutex_t mutex;

    memcpy(&mutex, fresh, sizeof mutex);
    bool known = pthread_mutex_lock(&mutex) == 0 && *word(&mutex, LOCK_WORD) == LOCKED &&
                 nqptp_mutex_holder(&mutex) == (int)syscall(SYS_gettid);
    pthread_mutex_unlock(&mutex);
    return known && nqptp_mutex_take(&mutex) && pthread_mutex_trylock(&mutex) == EBUSY;
}

bool nqptp_mutex_init(pthread_mutex_t *mutex) {
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    bool made = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0 &&
                pthread_mutex_init(mutex, &attributes) == 0;
    pthread_mutexattr_destroy(&attributes);
    return made && is_known(mutex);
}

bool nqptp_mutex_take(pthread_mutex_t *mutex) {
    int expected = FREE;
    return atomic_compare_exchange_strong_explicit(word(mutex, LOCK_WORD), &expected, LOCKED,
                                                   memory_order_acquire, memory_order_relaxed);
}

void nqptp_mutex_renew(pthread_mutex_t *mutex, const pthread_mutex_t *fresh) {
    const size_t from = (LOCK_WORD + 1) * sizeof(int);

    atomic_store(word(mutex, LOCK_WORD), LOCKED);
    memcpy((char *)mutex + from, (const char *)fresh + from, sizeof(pthread_mutex_t) - from);
}

/*
 * Wakes all threads each time. The value 2 does not reliably say that a thread waits: a client may
 * have written over the lock word, or cut the object short. And if one thread waits as for a
 * priority-inheritance mutex, the kernel wakes no thread behind it. A thread that is woken although
 * the mutex is locked waits again.
 */
void nqptp_mutex_release(pthread_mutex_t *mutex) {
    atomic_store_explicit(word(mutex, LOCK_WORD), FREE, memory_order_release);
    syscall(SYS_futex, word(mutex, LOCK_WORD), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

int nqptp_mutex_holder(pthread_mutex_t *mutex) {
    return *word(mutex, HOLDER);
}
