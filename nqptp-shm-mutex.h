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

/* Takes the mutex if it is free, and returns whether it did. */
bool nqptp_mutex_take(pthread_mutex_t *mapped);

/* Marks the mutex as taken, whatever its lock word says, and copies the rest of a fresh mutex. */
void nqptp_mutex_renew(pthread_mutex_t *mapped, const pthread_mutex_t *fresh);

/* Frees the mutex and wakes all threads that wait for it. */
void nqptp_mutex_release(pthread_mutex_t *mapped);

/* Returns the thread id of the holder. A client may have written any number there. */
int nqptp_mutex_holder(pthread_mutex_t *mapped);

#endif
