/* SPDX-License-Identifier: MIT */
/*
 * Shared memory objects. An object is a file in /dev/shm that clients map. The daemon keeps it
 * mapped as long as it serves it.
 *
 * One function, write_mapping(), touches the mapping: it copies the image, which is complete in
 * private memory. It is guarded against SIGBUS, because a client may cut the file short at any
 * moment. Of the bytes that clients can write, the daemon reads back only the lock word and the
 * holder beside it.
 *
 * States of an object:
 * - adopted: the image is a copy of what the earlier process published, until the first
 *   nqptp_shm_publish();
 * - pending: a client holds the mutex, and the image waits until nqptp_shm_retry() writes it;
 * - leased: no other process has the object open. Only then may the layout change, if it is
 *   automatic. nqptp-lease.h has the states of the lease.
 *
 * The daemon never waits for a client, and never calls a pthread function on the mapped mutex. Only
 * a stop gives a client 10 ms to release the mutex.
 */
#include "nqptp-shm.h"

#include "nqptp-shm-mutex.h"
#include "nqptp-time.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The time between two tries for the mutex. A client holds it for 1 us. */
#define RETRY_NS (2 * NQPTP_MS)

/* After this time with the mutex its holder must have been killed or stopped. */
#define TAKE_OVER_NS (1000 * NQPTP_MS)

/* After this time the mutex is taken over, although several clients held it in turn. */
#define PATIENCE_NS (3000 * NQPTP_MS)

/* The time for which a command, or our start, tells about an opener. */
#define ASKED_NS (10000 * NQPTP_MS)

_Static_assert(sizeof(union nqptp_shm_image) <= NQPTP_KEPT_AT, "kept state is behind every layout");

/* --- writing ---------------------------------------------------------------------------------- */

static void make_image(struct nqptp_shm *shm) {
    nqptp_shm_fill(&shm->image, shm->layout, &shm->record);
}

/* The place to go on if the page that is being written vanishes; NULL while none is written. */
static sigjmp_buf *volatile page_lost;

static void on_sigbus(int signal) {
    if (page_lost)
        siglongjmp(*page_lost, 1);
    struct sigaction fatal = {.sa_handler = SIG_DFL};
    sigaction(signal, &fatal, NULL); /* Another fault: it ends the process. */
}

static void copy_bytes(struct nqptp_shm *shm, size_t from, size_t to) {
    memcpy((char *)shm->map + from, (const char *)&shm->image + from, to - from);
}

/* Renews the mutex as well, because a client may have written over it. */
static void copy_locked(struct nqptp_shm *shm) {
    nqptp_mutex_renew(&shm->map->mutex, &shm->mutex);
    copy_bytes(shm, sizeof shm->mutex, sizeof shm->image);
    nqptp_mutex_release(&shm->map->mutex);
}

/* A reader compares the second set with the first, to know whether the first was whole. */
static void copy_sets(struct nqptp_shm *shm) {
    copy_bytes(shm, 0, shm->layout->second_at);
    atomic_thread_fence(memory_order_seq_cst);
    copy_bytes(shm, shm->layout->second_at, sizeof shm->image);
    atomic_thread_fence(memory_order_seq_cst);
}

enum mutex_rule { RESPECT_MUTEX, TAKE_MUTEX_OVER };

/*
 * Writes the image; no other function touches the mapping. Returns 0; or -EBUSY if a client holds
 * the mutex, with its thread in shm->holder; or -EFAULT if a client has cut the object short.
 */
static int write_mapping(struct nqptp_shm *shm, enum mutex_rule rule) {
    sigjmp_buf here;

    if (sigsetjmp(here, 0)) {
        page_lost = NULL;
        return -EFAULT;
    }
    page_lost = &here;
    int result = 0;
    if (!shm->layout->has_mutex) {
        copy_sets(shm);
    } else if (rule == TAKE_MUTEX_OVER || nqptp_mutex_take(&shm->map->mutex)) {
        copy_locked(shm);
    } else {
        shm->holder = nqptp_mutex_holder(&shm->map->mutex);
        result = -EBUSY;
    }
    page_lost = NULL;
    return result;
}

/* Writes the image, and gives the file its size again if a client has cut it short. */
static int write_object(struct nqptp_shm *shm, enum mutex_rule rule) {
    int result = write_mapping(shm, rule);

    for (int i = 0; i < 3 && result == -EFAULT; i++) {
        if (ftruncate(shm->fd, NQPTP_SHM_SIZE) < 0)
            return -errno;
        result = write_mapping(shm, TAKE_MUTEX_OVER);
    }
    return result;
}

/* Writes the image, or notes which thread holds the mutex and since when. */
static void write_or_wait(struct nqptp_shm *shm, uint64_t now_ns) {
    bool late = shm->pending && (now_ns - shm->blocked_ns >= TAKE_OVER_NS ||
                                 now_ns - shm->pending_ns >= PATIENCE_NS);
    int holder = shm->holder;
    int result = write_object(shm, late ? TAKE_MUTEX_OVER : RESPECT_MUTEX);

    if (!shm->pending)
        shm->pending_ns = now_ns;
    if (!shm->pending || shm->holder != holder)
        shm->blocked_ns = now_ns;
    shm->pending = result == -EBUSY;
    shm->retry_ns = now_ns + RETRY_NS;
}

/* --- the layout, by lease --------------------------------------------------------------------- */

/* Changes the layout at once, because no other process reads the object now. */
static void set_layout(struct nqptp_shm *shm, unsigned version) {
    if (version == shm->layout->version)
        return;
    shm->layout = nqptp_shm_layout(version);
    shm->pending = false;
    make_image(shm);
    write_object(shm, TAKE_MUTEX_OVER);
}

/*
 * Returns the layout for a process that opens the object. `player` says that a command came in the
 * last 10 s. Without one the layout stays, because a client of layout 4 that only reads sends none.
 * But a player of layout 10 that started before the daemon sent its command to a closed port, and
 * looks for the object until it is there.
 */
static unsigned layout_for(const struct nqptp_shm *shm, enum nqptp_opener opener, bool player,
                           uint64_t now_ns) {
    bool read_only = opener == NQPTP_OPENER_READ_ONLY;

    if (player && shm->asked == NQPTP_SHM_ASKED_BARE)
        return NQPTP_SHM_LAYOUT_4;
    if (player)
        return read_only ? NQPTP_SHM_LAYOUT_10 : NQPTP_SHM_LAYOUT_8;
    if (read_only && now_ns - shm->started_ns <= ASKED_NS)
        return NQPTP_SHM_LAYOUT_10;
    return shm->layout->version;
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

/*
 * Gives a file of ours its mode, group and size. fchown() is called only if the group is another
 * one, because the service's sandbox does not allow it.
 */
static int set_mode_and_size(struct nqptp_shm *shm) {
    bool writable = shm->automatic || shm->layout->has_mutex;
    struct stat status;

    if (fstat(shm->fd, &status) < 0)
        return -errno;
    shm->group_refused = writable && shm->group != (gid_t)-1 && shm->group != status.st_gid &&
                         fchown(shm->fd, (uid_t)-1, shm->group) < 0;
    if (fchmod(shm->fd, writable ? 0664 : 0644) < 0)
        return -errno;
    return -posix_fallocate(shm->fd, 0, NQPTP_SHM_SIZE);
}

/*
 * Locks the file while this process lives. So another daemon of this user, with other ports, leaves
 * the object alone. Returns -EBUSY if a process of this user has the lock, otherwise 0. A client
 * can take the same lock, so the lock of another user's process does not count.
 */
static int lock_against_daemons(const struct nqptp_shm *shm) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char process[32];
    struct stat status;

    if (fcntl(shm->fd, F_SETLK, &lock) == 0 || fcntl(shm->fd, F_GETLK, &lock) < 0 ||
        lock.l_type == F_UNLCK)
        return 0;
    snprintf(process, sizeof process, "/proc/%d", (int)lock.l_pid);
    return stat(process, &status) == 0 && status.st_uid == geteuid() ? -EBUSY : 0;
}

/*
 * Completes the object before a client can open it. The file has this path, or gets it later. The
 * mutex is taken over, because its holder may have died while other clients wait for it.
 */
static int complete(struct nqptp_shm *shm, const char *path, uint64_t now_ns) {
    int result = set_mode_and_size(shm);

    if (result == 0)
        result = map(shm);
    if (shm->map)
        result = write_object(shm, TAKE_MUTEX_OVER);
    if (result == 0 && shm->automatic)
        nqptp_lease_open(&shm->lease, shm->fd, path, now_ns);
    return result;
}

static int create(struct nqptp_shm *shm, const char *path, uint64_t now_ns) {
    char hidden[NQPTP_SHM_PATH_SIZE];

    shm->fd = nqptp_shm_make_file(hidden);
    if (shm->fd < 0)
        return shm->fd;
    lock_against_daemons(shm);
    int result = complete(shm, path, now_ns);
    if (result == 0)
        result = nqptp_shm_name_file(shm->fd, hidden, path);
    if (result < 0 && *hidden)
        unlink(hidden);
    return result;
}

static bool is_named(const struct nqptp_shm *shm) {
    return strcmp(shm->name, NQPTP_INTERFACE_NAME) != 0 && !shm->layout->has_mutex &&
           !shm->automatic;
}

/*
 * Opens the file that has the name, if it is ours. lstat() comes first, because the name may be a
 * second one of an object that is open already: to open it again would break its lease, and to
 * close it would release its lock. A file of this user that cannot be adopted, or that root has
 * closed to this user, is removed. Under the name of a named object it stays: a client chose that
 * name, and the file may be another program's.
 */
static int open_existing(struct nqptp_shm *shm, const char *path) {
    struct stat status;

    if (lstat(path, &status) < 0)
        return -errno;
    if (nqptp_shm_is_ours(&status)) {
        shm->fd = open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        if (shm->fd >= 0)
            return lock_against_daemons(shm);
        if (errno != EACCES && errno != EPERM)
            return errno == EWOULDBLOCK ? -EBUSY : -errno;
    }
    bool in_the_way = !is_named(shm) && status.st_uid == geteuid() && unlink(path) == 0;
    return in_the_way ? -ENOENT : -EEXIST;
}

static int adopt(struct nqptp_shm *shm, const char *path, uint64_t now_ns) {
    union nqptp_shm_image old = {0};
    int result = open_existing(shm, path);

    if (result < 0)
        return result;
    (void)!pread(shm->fd, &old, sizeof old, 0); /* The file may be empty. */
    const struct nqptp_shm_layout *found = nqptp_shm_layout_of(&old);
    if (is_named(shm) && found != shm->layout)
        return -EEXIST;
    if (shm->automatic && found)
        shm->layout = found;
    if (found == shm->layout)
        shm->image = old;
    return complete(shm, path, now_ns);
}

/* --- for the daemon --------------------------------------------------------------------------- */

bool nqptp_shm_can_serve(unsigned layout) {
    const struct nqptp_shm_layout *row = nqptp_shm_layout(layout);
    pthread_mutex_t mutex;

    return layout == NQPTP_SHM_AUTO || (row && (!row->has_mutex || nqptp_mutex_init(&mutex)));
}

/*
 * Adopts the object that has the name, or creates one. Another process may make or remove the file
 * between the two, so there are three tries.
 */
static int adopt_or_create(struct nqptp_shm *shm, uint64_t now_ns) {
    char path[NQPTP_SHM_PATH_SIZE];
    int result = -EEXIST;

    shm->fd = -1;
    shm->map = NULL;
    shm->lease = (struct nqptp_lease)NQPTP_LEASE_OF_NOTHING;
    nqptp_shm_path(shm->name, path);
    for (int i = 0; i < 3; i++) {
        if ((result = adopt(shm, path, now_ns)) != -ENOENT)
            break;
        if ((result = create(shm, path, now_ns)) != -EEXIST)
            break;
        nqptp_shm_close(shm);
    }
    if (result < 0)
        nqptp_shm_close(shm);
    return result;
}

int nqptp_shm_open(struct nqptp_shm *shm, const char *name, unsigned layout, gid_t group,
                   uint64_t now_ns) {
    *shm = (struct nqptp_shm){.group = group, .started_ns = now_ns};
    if (!nqptp_mutex_init(&shm->mutex) && layout == NQPTP_SHM_AUTO)
        layout = NQPTP_SHM_LAYOUT_10;
    shm->automatic = layout == NQPTP_SHM_AUTO;
    shm->layout = nqptp_shm_layout(shm->automatic ? NQPTP_SHM_LAYOUT_4 : layout);
    snprintf(shm->name, sizeof shm->name, "%s", name);
    make_image(shm);
    return adopt_or_create(shm, now_ns);
}

unsigned nqptp_shm_version(const struct nqptp_shm *shm) {
    return shm->layout ? shm->layout->version : 0;
}

void nqptp_shm_inherited(const struct nqptp_shm *shm, struct nqptp_shm_record *record) {
    *record = (struct nqptp_shm_record){0};
    if (shm->layout->read)
        shm->layout->read(&shm->image, record);
}

void nqptp_shm_publish(struct nqptp_shm *shm, const struct nqptp_shm_record *record,
                       uint64_t realtime_minus_raw_ns, uint64_t now_ns) {
    shm->record = *record;
    shm->record.realtime_minus_raw_ns = realtime_minus_raw_ns;
    make_image(shm);
    write_or_wait(shm, now_ns);
}

/* Returns whether the name leads to this object; true if that cannot be told. */
static bool has_name(const struct nqptp_shm *shm) {
    char path[NQPTP_SHM_PATH_SIZE];
    struct stat named, ours;

    nqptp_shm_path(shm->name, path);
    if (lstat(path, &named) < 0 || fstat(shm->fd, &ours) < 0)
        return errno != ENOENT;
    return named.st_dev == ours.st_dev && named.st_ino == ours.st_ino;
}

static void copy_kept(int from, int to) {
    char kept[NQPTP_SHM_SIZE - NQPTP_KEPT_AT];
    ssize_t length = pread(from, kept, sizeof kept, NQPTP_KEPT_AT);

    if (length > 0)
        (void)!pwrite(to, kept, (size_t)length, NQPTP_KEPT_AT);
}

int nqptp_shm_mend(struct nqptp_shm *shm, uint64_t now_ns) {
    struct nqptp_shm successor = *shm;

    if (has_name(shm)) {
        (void)!ftruncate(shm->fd, NQPTP_SHM_SIZE); /* A client may have cut it short. */
        return 0;
    }
    int result = adopt_or_create(&successor, now_ns);
    if (!successor.map)
        return result;
    copy_kept(shm->fd, successor.fd);
    successor.image = shm->image;
    if (successor.layout != shm->layout)
        make_image(&successor);
    write_or_wait(&successor, now_ns);
    nqptp_shm_close(shm);
    *shm = successor;
    return 1;
}

uint64_t nqptp_shm_deadline(const struct nqptp_shm *shm) {
    return shm->pending && shm->retry_ns < shm->lease.retry_ns ? shm->retry_ns
                                                               : shm->lease.retry_ns;
}

void nqptp_shm_retry(struct nqptp_shm *shm, uint64_t now_ns) {
    if (shm->pending && now_ns >= shm->retry_ns)
        write_or_wait(shm, now_ns);
    nqptp_lease_retry(&shm->lease, now_ns);
}

bool nqptp_shm_ask(struct nqptp_shm *shm, enum nqptp_shm_asked asked, uint64_t now_ns) {
    bool plays = asked == NQPTP_SHM_ASKED_PLAY;

    if (shm->automatic && plays && shm->layout->version == NQPTP_SHM_LAYOUT_8) {
        shm->layout = nqptp_shm_layout(NQPTP_SHM_LAYOUT_9); /* Only the number differs. */
        shm->image.v9.version = NQPTP_SHM_LAYOUT_9;
    }
    write_or_wait(shm, now_ns);
    if (!shm->automatic || plays)
        return true;
    shm->asked = asked;
    shm->asked_ns = now_ns;
    bool bare = asked == NQPTP_SHM_ASKED_BARE;
    bool fits = bare == (shm->layout->version == NQPTP_SHM_LAYOUT_4);
    /* The last process that had the object open may have closed it. But a client that was refused
     * opens it again in a moment, and a lease would refuse it again. So then the lease is taken
     * only if the layout must change. */
    if (shm->lease.state != NQPTP_LEASE_REFUSED || !fits)
        nqptp_lease_expect(&shm->lease);
    if (shm->lease.state != NQPTP_LEASE_UNAVAILABLE)
        return shm->lease.state == NQPTP_LEASE_HELD || fits;
    set_layout(shm, layout_for(shm, NQPTP_OPENER_READ_ONLY, true, now_ns));
    return true;
}

void nqptp_shm_signalled(struct nqptp_shm *shm, uint64_t now_ns) {
    nqptp_lease_check_closed(&shm->lease, now_ns);
    if (shm->lease.opener == NQPTP_OPENER_NONE)
        return;
    /* A player with musl's shm_open() does not wait, and tries again. A process that does not wait
     * and sent no command only looked at the file, or was killed. */
    bool player = shm->asked != NQPTP_SHM_ASKED_NOTHING && now_ns - shm->asked_ns <= ASKED_NS;
    set_layout(shm, layout_for(shm, shm->lease.opener, player, now_ns));
    nqptp_lease_release(&shm->lease, player, now_ns);
}

bool nqptp_shm_is_in_use(const struct nqptp_shm *shm) {
    bool in_use = nqptp_lease_is_in_use(shm->fd) != 0;

    if (!in_use && shm->lease.state != NQPTP_LEASE_HELD)
        fcntl(shm->fd, F_SETLEASE, F_UNLCK);
    return in_use;
}

void nqptp_shm_close(struct nqptp_shm *shm) {
    nqptp_lease_close(&shm->lease);
    if (shm->map)
        munmap(shm->map, NQPTP_SHM_SIZE);
    if (shm->fd >= 0)
        close(shm->fd);
    shm->map = NULL;
    shm->fd = -1;
}

/*
 * Publishes "no master" for the clients that keep the object mapped. A client that copies the
 * record releases the mutex within the wait.
 */
static void publish_no_master(struct nqptp_shm *shm) {
    const struct timespec copying = {.tv_nsec = (long)(10 * NQPTP_MS)};

    shm->record = (struct nqptp_shm_record){0};
    make_image(shm);
    if (write_object(shm, RESPECT_MUTEX) == -EBUSY) {
        nanosleep(&copying, NULL);
        write_object(shm, TAKE_MUTEX_OVER);
    }
}

int nqptp_shm_stop(struct nqptp_shm *shm, bool plays) {
    int result = 0;

    if (!shm->map)
        return 0;
    bool in_use = nqptp_lease_is_in_use(shm->fd) > 0;
    if (!plays || !in_use)
        publish_no_master(shm);
    if (has_name(shm)) {
        if (in_use)
            result = nqptp_shm_put_aside(shm->name);
        if ((!in_use || result < 0) && shm_unlink(shm->name) < 0)
            result = -errno;
    }
    nqptp_shm_close(shm);
    return result;
}
