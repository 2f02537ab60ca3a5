/* SPDX-License-Identifier: MIT */
/*
 * The C library's mutex by its lock word. A mutex that clients have mapped is taken, released and
 * taken over without a call of a pthread function and without waiting.
 */
#ifndef NQPTP_SHM_MUTEX_H
#define NQPTP_SHM_MUTEX_H

#include <pthread.h>
#include <stdbool.h>

/*
 * Makes an unlocked process-shared mutex in private memory. Returns false if it cannot, or if the
 * C library's mutex is not the one that this module knows.
 */
bool nqptp_mutex_init(pthread_mutex_t *fresh);

/* The self-test: returns whether a copy of this unlocked mutex works as this module assumes. */
bool nqptp_mutex_is_known(const pthread_mutex_t *fresh);

/* Takes the mutex if it is free, and returns whether it did. */
bool nqptp_mutex_take(pthread_mutex_t *mapped);

/* Marks the mutex as taken, whatever its lock word says. */
void nqptp_mutex_force(pthread_mutex_t *mapped);

/* Copies all of a fresh mutex but the lock word. */
void nqptp_mutex_restore(pthread_mutex_t *mapped, const pthread_mutex_t *fresh);

/* Frees the mutex and wakes all threads that wait for it. */
void nqptp_mutex_release(pthread_mutex_t *mapped);

/* Returns the thread id of the holder. A client may have written any number there. */
int nqptp_mutex_holder(const pthread_mutex_t *mapped);

#endif
