/* SPDX-License-Identifier: MIT */
/* The shared memory object: see the header. */
#include "nqptp-shm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define RETRY_NS (2 * MS)        /* a client holds the mutex for a microsecond or so */
#define TAKE_OVER_NS (1000 * MS) /* after this its holder is gone or stuck */
#define DIRECTORY "/dev/shm"
#define MODE 0664

_Static_assert(sizeof(struct shm_structure) <= NQPTP_SHM_SIZE, "the object holds its layout");

/* --- the mutex as the C library keeps it ------------------------------------------------------ */

/*
 * The lock word of a default mutex of glibc: 0 free, 1 locked, 2 locked and somebody waits. It is
 * the first member, and the holder's thread id the third. self_test() checks all that at run time.
 */
#define FREE 0
#define LOCKED 1

#ifdef __GLIBC__
_Static_assert(offsetof(pthread_mutex_t, __data.__lock) == 0, "the lock word comes first");
_Static_assert(sizeof(((pthread_mutex_t *)0)->__data.__lock) == sizeof(int), "and is an int");
_Static_assert(offsetof(pthread_mutex_t, __data.__owner) == 8, "the holder comes third");
#endif

static _Atomic int *lock_word(struct shm_structure *structure) {
    return (_Atomic int *)(void *)&structure->shm_mutex;
}

static int lock_holder(const struct shm_structure *structure) {
    int words[3];
    memcpy(words, &structure->shm_mutex, sizeof words);
    return words[2];
}

static void futex_wake(_Atomic int *word, int count) {
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

static bool word_take(struct shm_structure *structure) {
    int expected = FREE;
    return atomic_compare_exchange_strong_explicit(lock_word(structure), &expected, LOCKED,
                                                   memory_order_acquire, memory_order_relaxed);
}

static void word_release(struct shm_structure *structure, int wake) {
    int before = atomic_exchange_explicit(lock_word(structure), FREE, memory_order_release);
    if (before != LOCKED || wake > 1)
        futex_wake(lock_word(structure), wake);
}

/* Does the C library's mutex behave as is said above? Tried on one that nobody shares. */
static bool self_test(const struct shm_structure *image) {
    struct shm_structure trial = *image;
    pthread_mutex_t *mutex = &trial.shm_mutex;

    if (*lock_word(&trial) != FREE || pthread_mutex_lock(mutex) != 0)
        return false;
    bool as_known = *lock_word(&trial) == LOCKED && !word_take(&trial) &&
                    lock_holder(&trial) == (int)syscall(SYS_gettid);
    pthread_mutex_unlock(mutex);
    as_known = as_known && word_take(&trial) && pthread_mutex_trylock(mutex) == EBUSY;
    word_release(&trial, 1);
    as_known = as_known && pthread_mutex_trylock(mutex) == 0;
    if (as_known)
        pthread_mutex_unlock(mutex);
    return as_known;
}

static int init_image(struct nqptp_shm *shm) {
    pthread_mutexattr_t attributes;

    memset(&shm->image, 0, sizeof shm->image);
    shm->image.version = NQPTP_SHM_STRUCTURES_VERSION;
    pthread_mutexattr_init(&attributes);
    int error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (error == 0)
        error = pthread_mutex_init(&shm->image.shm_mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    shm->by_lock_word = error == 0 && self_test(&shm->image);
    return -error;
}

/* --- touching the mapping --------------------------------------------------------------------- */

/* Where to go on if the page that is being written vanishes; NULL while none is. */
static sigjmp_buf *volatile page_lost;

static void on_sigbus(int signal) {
    if (page_lost)
        siglongjmp(*page_lost, 1);
    struct sigaction fatal = {.sa_handler = SIG_DFL};
    sigaction(signal, &fatal, NULL); /* not ours: let it end the process as it would have */
}

static bool take(struct nqptp_shm *shm) {
    return shm->by_lock_word ? word_take(shm->map)
                             : pthread_mutex_trylock(&shm->map->shm_mutex) == 0;
}

static void release(struct nqptp_shm *shm) {
    if (shm->by_lock_word)
        word_release(shm->map, 1);
    else
        pthread_mutex_unlock(&shm->map->shm_mutex);
}

/* All but the lock word, so that a mutex that was scribbled over is whole again as well. */
static void copy_image(struct nqptp_shm *shm) {
    size_t from = shm->by_lock_word ? sizeof(int) : offsetof(struct shm_structure, version);

    memcpy((char *)shm->map + from, (const char *)&shm->image + from, sizeof shm->image - from);
}

/* Writes the image though the mutex is not ours, as if it were, and wakes all who wait for it. */
static void take_over(struct nqptp_shm *shm) {
    if (!shm->by_lock_word) {
        memcpy(shm->map, &shm->image, sizeof shm->image);
        return;
    }
    atomic_store(lock_word(shm->map), LOCKED);
    copy_image(shm);
    word_release(shm->map, INT_MAX);
}

/*
 * The one function that touches the mapping. Returns 0; -EBUSY if the mutex is held, its holder
 * then in *holder; or -EFAULT if the object has been cut short.
 */
static int write_image(struct nqptp_shm *shm, bool force, int *holder) {
    sigjmp_buf here;

    if (sigsetjmp(here, 0)) {
        page_lost = NULL;
        return -EFAULT;
    }
    page_lost = &here;
    int result = 0;
    if (force) {
        take_over(shm);
    } else if (take(shm)) {
        copy_image(shm);
        release(shm);
    } else {
        *holder = lock_holder(shm->map);
        result = -EBUSY;
    }
    page_lost = NULL;
    return result;
}

static int write_or_repair(struct nqptp_shm *shm, bool force, int *holder) {
    int result = write_image(shm, force, holder);
    for (int i = 0; i < 3 && result == -EFAULT; i++) {
        if (ftruncate(shm->fd, NQPTP_SHM_SIZE) < 0)
            return -errno;
        result = write_image(shm, true, holder);
    }
    return result;
}

/* --- making and adopting ---------------------------------------------------------------------- */

static int map(struct nqptp_shm *shm) {
    struct sigaction guard = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER};

    void *mapping = mmap(NULL, NQPTP_SHM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, shm->fd, 0);
    if (mapping == MAP_FAILED || sigaction(SIGBUS, &guard, NULL) < 0)
        return -errno;
    shm->map = mapping;
    return 0;
}

/* Gives a file of ours its mode, group and size. -EPERM: the group is not ours to give. */
static int furnish(int fd, gid_t group) {
    bool refused = group != (gid_t)-1 && fchown(fd, (uid_t)-1, group) < 0;

    if (fchmod(fd, MODE) < 0)
        return -errno;
    int error = posix_fallocate(fd, 0, NQPTP_SHM_SIZE);
    return error != 0 ? -error : refused ? -EPERM : 0;
}

static int create(struct nqptp_shm *shm, gid_t group) {
    char unnamed[64], path[NAME_MAX];
    int holder, result;

    shm->fd = open(DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, MODE);
    if (shm->fd < 0)
        return -errno;
    int furnished = furnish(shm->fd, group);
    if (furnished < 0 && furnished != -EPERM)
        return furnished;
    if ((result = map(shm)) < 0 || (result = write_or_repair(shm, true, &holder)) < 0)
        return result;
    snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", shm->fd);
    snprintf(path, sizeof path, DIRECTORY "%s", shm->name);
    if (linkat(AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0)
        return -errno;
    return furnished;
}

/* Is what the object holds our layout? Then its record may stay for now. */
static bool is_layout_4(int fd) {
    uint16_t version = 0;
    ssize_t length = pread(fd, &version, sizeof version, offsetof(struct shm_structure, version));
    return length == sizeof version && version == NQPTP_SHM_STRUCTURES_VERSION;
}

static int adopt(struct nqptp_shm *shm, gid_t group) {
    struct stat status;
    int holder, result;

    shm->fd = shm_open(shm->name, O_RDWR | O_NONBLOCK, 0);
    if (shm->fd < 0) /* a symbolic link and a directory are not ours either */
        return errno == EACCES || errno == ELOOP || errno == EINVAL ? -EEXIST : -errno;
    if (fstat(shm->fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid())
        return -EEXIST;
    bool keep = is_layout_4(shm->fd);
    int furnished = furnish(shm->fd, group);
    if (furnished < 0 && furnished != -EPERM)
        return furnished;
    if ((result = map(shm)) < 0)
        return result;
    if (!keep && (result = write_or_repair(shm, true, &holder)) < 0)
        return result;
    return furnished;
}

int nqptp_shm_open(struct nqptp_shm *shm, gid_t group) {
    int result = init_image(shm);
    if (result < 0)
        return result;
    result = adopt(shm, group);
    if (result == -ENOENT)
        result = create(shm, group);
    if (result < 0 && result != -EPERM)
        nqptp_shm_close(shm);
    return result;
}

/* --- publishing ------------------------------------------------------------------------------- */

static void attempt(struct nqptp_shm *shm, uint64_t now_ns) {
    bool force = shm->pending && now_ns - shm->blocked_ns >= TAKE_OVER_NS;
    int holder = 0;
    int result = write_or_repair(shm, force, &holder);

    if (result == -EBUSY && (!shm->pending || holder != shm->holder)) {
        shm->blocked_ns = now_ns;
        shm->holder = holder;
    }
    shm->pending = result == -EBUSY;
    shm->retry_ns = now_ns + RETRY_NS;
}

void nqptp_shm_publish(struct nqptp_shm *shm, const struct nqptp_shm_record *record,
                       uint64_t realtime_minus_raw_ns, uint64_t now_ns) {
    bool master = record->ip[0] != '\0';
    struct shm_structure *image = &shm->image;

    image->master_clock_id = record->clock_identity;
    memcpy(image->master_clock_ip, record->ip, sizeof image->master_clock_ip);
    image->local_time = master ? record->local_time_ns + realtime_minus_raw_ns : 0;
    image->local_to_master_time_offset = master ? record->offset_ns - realtime_minus_raw_ns : 0;
    attempt(shm, now_ns);
}

uint64_t nqptp_shm_deadline(const struct nqptp_shm *shm) {
    return shm->pending ? shm->retry_ns : NQPTP_SHM_NO_DEADLINE;
}

void nqptp_shm_retry(struct nqptp_shm *shm, uint64_t now_ns) {
    if (shm->pending && now_ns >= shm->retry_ns)
        attempt(shm, now_ns);
}

/* --- the end ---------------------------------------------------------------------------------- */

void nqptp_shm_close(struct nqptp_shm *shm) {
    if (shm->map)
        munmap(shm->map, NQPTP_SHM_SIZE);
    if (shm->fd >= 0)
        close(shm->fd);
    shm->map = NULL;
    shm->fd = -1;
}

void nqptp_shm_remove(struct nqptp_shm *shm) {
    int holder;

    if (!shm->map)
        return;
    init_image(shm);
    if (write_or_repair(shm, false, &holder) == -EBUSY) {
        nanosleep(&(struct timespec){.tv_nsec = (long)(10 * MS)}, NULL); /* it may be at it */
        write_or_repair(shm, true, &holder);
    }
    shm_unlink(shm->name);
    nqptp_shm_close(shm);
}

int nqptp_shm_remove_foreign(const char *name, uid_t owner) {
    struct stat status;
    int result = 0;

    int fd = shm_open(name, O_RDWR | O_NONBLOCK, 0);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &status) < 0)
        result = -errno;
    else if (!S_ISREG(status.st_mode))
        result = -EEXIST;
    else if (status.st_uid != owner)
        /* A write lease is granted only while nobody else has the file open or mapped. */
        result = fcntl(fd, F_SETLEASE, F_WRLCK) < 0 ? (errno == EAGAIN ? -EBUSY : -errno)
                 : shm_unlink(name) < 0             ? -errno
                                                    : 1;
    close(fd);
    return result;
}

void nqptp_shm_describe(const char *name, char *text, size_t size) {
    char path[NAME_MAX];
    struct stat status;

    snprintf(path, sizeof path, DIRECTORY "%s", name);
    if (lstat(path, &status) < 0)
        snprintf(text, size, "gone by now");
    else
        snprintf(text, size, "owned by uid %u, mode %04o", (unsigned)status.st_uid,
                 (unsigned)status.st_mode & 07777);
}
