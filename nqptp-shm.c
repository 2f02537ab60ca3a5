/* SPDX-License-Identifier: MIT */
/* The shared memory object: see the header. */
#include "nqptp-shm.h"

#include "nqptp-shm-mutex.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define RETRY_NS (2 * MS)        /* a client holds the mutex for a microsecond or so */
#define TAKE_OVER_NS (1000 * MS) /* after this its holder is gone or stuck */
#define PATIENCE_NS (3000 * MS)  /* after this there are too many holders, or there is none */
#define LEASE_NS (30000 * MS)    /* how often to see whether an object in use still is */
#define AGAIN_NS (1000 * MS)     /* but one that was only looked at is not in use */
#define ASKED_NS (10000 * MS)    /* for so long a command tells of who opens the object */
#define DIRECTORY "/dev/shm"

_Static_assert(sizeof(union nqptp_shm_image) <= NQPTP_SHM_SIZE, "an object holds every layout");

/* --- the layouts, a writer each -------------------------------------------------------------- */

static void write_v4(struct nqptp_shm *shm) {
    struct shm_structure *v4 = &shm->image.v4;
    const struct nqptp_shm_record *record = &shm->record;
    bool master = record->ip[0] != '\0';

    v4->shm_mutex = shm->mutex;
    v4->version = 4;
    v4->master_clock_id = record->clock_identity;
    memcpy(v4->master_clock_ip, record->ip, sizeof v4->master_clock_ip);
    v4->local_time = master ? record->local_time_ns + shm->realtime_minus_raw_ns : 0;
    v4->local_to_master_time_offset = master ? record->offset_ns - shm->realtime_minus_raw_ns : 0;
}

static void write_v9(struct nqptp_shm *shm) {
    struct shm_structure_9 *v9 = &shm->image.v9;
    const struct nqptp_shm_record *record = &shm->record;

    v9->shm_mutex = shm->mutex;
    v9->version = (uint16_t)shm->layout; /* 8 or 9 */
    v9->master_clock_id = record->grandmaster_identity;
    memcpy(v9->master_clock_ip, record->ip, sizeof v9->master_clock_ip);
    v9->local_time = record->local_time_ns;
    v9->local_to_master_time_offset = record->offset_ns;
    v9->master_clock_start_time = record->start_time_ns;
}

static void write_v10(struct nqptp_shm *shm) {
    struct shm_structure_10 *v10 = &shm->image.v10;

    v10->version = 10;
    v10->main = v10->secondary = (struct shm_structure_set){
        .master_clock_id = shm->record.grandmaster_identity,
        .local_time = shm->record.local_time_ns,
        .local_to_master_time_offset = shm->record.offset_ns,
        .master_clock_start_time = shm->record.start_time_ns,
    };
}

static void write_image(struct nqptp_shm *shm) {
    memset(&shm->image, 0, sizeof shm->image);
    switch (shm->layout) {
    case 4:
        write_v4(shm);
        break;
    case 10:
        write_v10(shm);
        break;
    default:
        write_v9(shm);
    }
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

/*
 * Writes all but the lock word, so that a mutex that was scribbled over is whole again as well. An
 * object that still has an earlier process's record gets the mutex and the version only.
 */
static void copy_locked(struct nqptp_shm *shm) {
    size_t to = shm->adopted ? offsetof(struct shm_structure, flags) : sizeof shm->image;

    nqptp_mutex_restore(&shm->map->mutex, &shm->mutex);
    memcpy((char *)shm->map + sizeof shm->mutex, (const char *)&shm->image + sizeof shm->mutex,
           to - sizeof shm->mutex);
}

/* Layout 10 has no mutex: a reader sees by the second set whether the first was whole. */
static void copy_sets(struct nqptp_shm *shm) {
    const size_t second = offsetof(struct shm_structure_10, secondary);

    memcpy(shm->map, &shm->image, second);
    atomic_thread_fence(memory_order_seq_cst);
    memcpy((char *)shm->map + second, (const char *)&shm->image + second,
           sizeof shm->image - second);
    atomic_thread_fence(memory_order_seq_cst);
}

/*
 * The one function that touches the mapping. Returns 0; -EBUSY if the mutex is held, its holder
 * then in *holder; or -EFAULT if the object has been cut short.
 */
static int touch(struct nqptp_shm *shm, bool force, int *holder) {
    sigjmp_buf here;

    if (sigsetjmp(here, 0)) {
        page_lost = NULL;
        return -EFAULT;
    }
    page_lost = &here;
    int result = 0;
    if (shm->layout == 10) {
        copy_sets(shm);
    } else if (force || nqptp_mutex_take(&shm->map->mutex)) {
        nqptp_mutex_force(&shm->map->mutex);
        copy_locked(shm);
        nqptp_mutex_release(&shm->map->mutex);
    } else {
        *holder = nqptp_mutex_holder(&shm->map->mutex);
        result = -EBUSY;
    }
    page_lost = NULL;
    return result;
}

static int touch_or_repair(struct nqptp_shm *shm, bool force, int *holder) {
    write_image(shm);
    int result = touch(shm, force, holder);
    for (int i = 0; i < 3 && result == -EFAULT; i++) {
        if (ftruncate(shm->fd, NQPTP_SHM_SIZE) < 0)
            return -errno;
        shm->adopted = false; /* there is nothing left of it */
        result = touch(shm, true, holder);
    }
    return result;
}

static void attempt(struct nqptp_shm *shm, uint64_t now_ns) {
    bool force = shm->pending && (now_ns - shm->blocked_ns >= TAKE_OVER_NS ||
                                  now_ns - shm->pending_ns >= PATIENCE_NS);
    int holder = 0;
    int result = touch_or_repair(shm, force, &holder);

    if (result == -EBUSY && (!shm->pending || holder != shm->holder)) {
        shm->blocked_ns = now_ns;
        shm->holder = holder;
    }
    if (!shm->pending)
        shm->pending_ns = now_ns;
    shm->pending = result == -EBUSY;
    shm->retry_ns = now_ns + RETRY_NS;
}

/* --- the layout, by lease -------------------------------------------------------------------- */

/*
 * A write lease is granted while nobody else has the object open, and whoever opens it then has to
 * wait until we have let go of the lease again. Letting go forgets the signal, and without one of
 * our choice the next break would come as SIGIO.
 */
static void take_lease(struct nqptp_shm *shm, uint64_t now_ns) {
    if (shm->leaseless)
        return;
    shm->impatient = false;
    fcntl(shm->fd, F_SETSIG, NQPTP_SHM_SIGNAL);
    shm->leased = fcntl(shm->fd, F_SETLEASE, F_WRLCK) == 0;
    shm->leaseless = !shm->leased && errno != EAGAIN;
    shm->lease_ns = now_ns + LEASE_NS;
}

static uint16_t read_version(int fd, off_t at) {
    uint16_t version = 0;
    return pread(fd, &version, sizeof version, at) == sizeof version ? version : 0;
}

static bool has_mutex(unsigned layout) {
    return layout == 4 || layout == 8 || layout == 9;
}

/* Which layout the object has, by the number at each layout's place; 0 if it has none of ours. */
static unsigned read_layout(int fd) {
    uint16_t version = read_version(fd, offsetof(struct shm_structure_10, version));

    if (version == 10)
        return version;
    version = read_version(fd, offsetof(struct shm_structure, version));
    return has_mutex(version) ? version : 0;
}

/* Nobody reads the object now, so it can become another at once. */
static void set_layout(struct nqptp_shm *shm, unsigned layout) {
    int holder;

    if (layout == shm->layout)
        return;
    shm->layout = layout;
    shm->pending = false;
    shm->adopted = false;
    touch_or_repair(shm, true, &holder);
}

static unsigned layout_asked(const struct nqptp_shm *shm, bool read_only) {
    return shm->asked == NQPTP_SHM_ASKED_BARE ? 4 : read_only ? 10 : 8;
}

static void let_in(struct nqptp_shm *shm, uint64_t now_ns) {
    int type = shm->leased ? fcntl(shm->fd, F_GETLEASE) : F_WRLCK;

    if (type == F_WRLCK)
        return; /* nobody is waiting */
    bool player = shm->asked != NQPTP_SHM_ASKED_NOTHING && now_ns - shm->asked_ns <= ASKED_NS;
    if (player)
        set_layout(shm, layout_asked(shm, type == F_RDLCK));
    /* Who waits for us counts as one who has it open. A player with musl's shm_open() does not
     * wait, and comes again; nor does who only looks at files, or was killed, but it sent no
     * command. */
    bool refused = fcntl(shm->fd, F_SETLEASE, F_WRLCK) == 0;
    shm->impatient = refused && player;
    shm->leased = false;
    shm->lease_ns = now_ns + (refused && !player ? AGAIN_NS : LEASE_NS);
    fcntl(shm->fd, F_SETLEASE, F_UNLCK);
}

void nqptp_shm_opened(struct nqptp_shm *shm, uint64_t now_ns) {
    let_in(shm, now_ns);
}

/* Would who reads this layout be served by the one there is? */
static bool serves(const struct nqptp_shm *shm) {
    bool bare = shm->asked == NQPTP_SHM_ASKED_BARE;
    return bare == (shm->layout == 4);
}

/* Writes what there is to write again, but nothing over an earlier process's record. */
static void refresh(struct nqptp_shm *shm, uint64_t now_ns) {
    if (!shm->adopted || shm->layout != 10)
        attempt(shm, now_ns);
}

bool nqptp_shm_ask(struct nqptp_shm *shm, enum nqptp_shm_asked asked, uint64_t now_ns) {
    /* Unless 9 still waits to be written over 8. */
    if (shm->adopted && !shm->pending && read_layout(shm->fd) != shm->layout)
        shm->adopted = false; /* somebody has been at it: there is nothing left to keep */
    refresh(shm, now_ns);
    if (!shm->automatic)
        return true;
    if (asked == NQPTP_SHM_ASKED_PLAY) {
        if (shm->layout == 8) {
            shm->layout = 9; /* the same but for its number */
            refresh(shm, now_ns);
        }
        return true;
    }
    shm->asked = asked;
    shm->asked_ns = now_ns;
    /* Its last user may have gone since we looked. Of use to who was refused is only what he asked
     * for: another one has nothing to lose by a lease. */
    if (!shm->leased && (!shm->impatient || !serves(shm)))
        take_lease(shm, now_ns);
    if (shm->leaseless)
        set_layout(shm, layout_asked(shm, true));
    return shm->leased || serves(shm);
}

/* --- making and adopting ---------------------------------------------------------------------- */

static void path_of(const char *name, char path[NAME_MAX]) {
    snprintf(path, NAME_MAX, DIRECTORY "%s", name);
}

static int map(struct nqptp_shm *shm) {
    struct sigaction guard = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER};

    void *mapping = mmap(NULL, NQPTP_SHM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, shm->fd, 0);
    if (mapping == MAP_FAILED || sigaction(SIGBUS, &guard, NULL) < 0)
        return -errno;
    shm->map = mapping;
    return 0;
}

static bool has_group(int fd, gid_t group) {
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_gid == group;
}

/*
 * Gives a file of ours its mode, group and size. Of layout 10 only the daemon writes. The service's
 * sandbox does not allow fchown(), so it is not called if the group is right already.
 */
static int furnish(struct nqptp_shm *shm) {
    bool shared = shm->automatic || shm->layout != 10;

    shm->group_refused = shared && shm->group != (gid_t)-1 && !has_group(shm->fd, shm->group) &&
                         fchown(shm->fd, (uid_t)-1, shm->group) < 0;
    if (fchmod(shm->fd, shared ? 0664 : 0644) < 0)
        return -errno;
    return -posix_fallocate(shm->fd, 0, NQPTP_SHM_SIZE);
}

/*
 * As long as we live the object is locked, which tells another daemon of this user, whose ports are
 * other ones, to leave it alone. Clients could hold such a lock to keep us out, so it counts only
 * if a process of this user has it. The other sign of a daemon, a lease, is no client's to take.
 */
static int claim(const struct nqptp_shm *shm) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char process[32];
    struct stat status;

    if (fcntl(shm->fd, F_SETLK, &lock) == 0 || fcntl(shm->fd, F_GETLK, &lock) < 0 ||
        lock.l_type == F_UNLCK)
        return 0;
    snprintf(process, sizeof process, "/proc/%d", (int)lock.l_pid);
    return stat(process, &status) == 0 && status.st_uid == geteuid() ? -EBUSY : 0;
}

static int create(struct nqptp_shm *shm, uint64_t now_ns) {
    char unnamed[64], path[NAME_MAX];
    int holder, result;

    shm->fd = open(DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (shm->fd < 0)
        return -errno;
    if ((result = furnish(shm)) < 0 || (result = map(shm)) < 0 ||
        (result = touch_or_repair(shm, true, &holder)) < 0)
        return result;
    claim(shm);
    if (shm->automatic)
        take_lease(shm, now_ns); /* before it can be opened */
    snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", shm->fd);
    path_of(shm->name, path);
    if (linkat(AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0)
        return -errno;
    return 0;
}

/*
 * Who chose the name of a named object may have linked it to another one, or chosen that of another
 * program's file.
 */
static bool is_strange(const struct stat *status) {
    return !S_ISREG(status->st_mode) || status->st_size != NQPTP_SHM_SIZE || status->st_nlink != 1;
}

/* A symbolic link, a directory, a socket and an immutable file are not ours either. */
static int refusal(int error) {
    switch (error) {
    case EWOULDBLOCK:
        return -EBUSY;
    case EACCES:
    case EINVAL:
    case ELOOP:
    case ENXIO:
    case EPERM:
        return -EEXIST;
    default:
        return -error;
    }
}

static int adopt(struct nqptp_shm *shm, unsigned kept, uint64_t now_ns) {
    bool named =
        strcmp(shm->name, NQPTP_INTERFACE_NAME) != 0 && shm->layout == 10 && !shm->automatic;
    char path[NAME_MAX];
    struct stat status;
    int holder, result;

    /* It may be our own by another name, and to open it once more would break our lease, to close
     * it again give up our lock. */
    path_of(shm->name, path);
    if (named && lstat(path, &status) == 0 && is_strange(&status))
        return -EEXIST;
    shm->fd = shm_open(shm->name, O_RDWR | O_NONBLOCK, 0);
    if (shm->fd < 0)
        return refusal(errno);
    if (fstat(shm->fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid())
        return -EEXIST;
    if ((result = claim(shm)) < 0)
        return result;
    unsigned found = read_layout(shm->fd);
    if (named && (is_strange(&status) || found != 10))
        return -EEXIST;
    if (shm->automatic && kept == 0 && found > 0)
        shm->layout = found;
    if ((result = furnish(shm)) < 0)
        return refusal(-result);
    if ((result = map(shm)) < 0)
        return result;
    shm->adopted = found == shm->layout;
    /* Even then the mutex is new: who held it may have died meanwhile, and others wait for it. */
    if (!(shm->adopted && found == 10) && (result = touch_or_repair(shm, true, &holder)) < 0)
        return result;
    if (shm->automatic)
        take_lease(shm, now_ns);
    return 0;
}

bool nqptp_shm_can_serve(unsigned layout) {
    pthread_mutex_t mutex;

    return layout == NQPTP_SHM_AUTO || layout == 10 ||
           (has_mutex(layout) && nqptp_mutex_init(&mutex));
}

int nqptp_shm_open(struct nqptp_shm *shm, const char *name, unsigned layout, unsigned kept,
                   gid_t group, uint64_t now_ns) {
    pthread_mutex_t mutex = {0};

    if (!nqptp_mutex_init(&mutex)) {
        if (layout != NQPTP_SHM_AUTO && layout != 10)
            return -ENOTSUP;
        layout = 10;
    }
    if (!has_mutex(kept) && kept != 10)
        kept = 0; /* by a process of another version, or nonsense */
    *shm = (struct nqptp_shm){
        .fd = -1,
        .layout = layout != NQPTP_SHM_AUTO ? layout
                  : kept > 0               ? kept
                                           : NQPTP_SHM_STRUCTURES_VERSION,
        .automatic = layout == NQPTP_SHM_AUTO,
        .mutex = mutex,
        .group = group,
    };
    snprintf(shm->name, sizeof shm->name, "%s", name);
    int result = adopt(shm, kept, now_ns);
    if (result == -ENOENT)
        result = create(shm, now_ns);
    if (result < 0)
        nqptp_shm_close(shm);
    return result;
}

void nqptp_shm_inherited(const struct nqptp_shm *shm, struct nqptp_shm_record *record) {
    union nqptp_shm_image seen;

    *record = (struct nqptp_shm_record){0};
    if (shm->layout == 4 || pread(shm->fd, &seen, sizeof seen, 0) != sizeof seen)
        return;
    struct shm_structure_set set = {
        .master_clock_id = seen.v9.master_clock_id,
        .local_to_master_time_offset = seen.v9.local_to_master_time_offset,
        .master_clock_start_time = seen.v9.master_clock_start_time,
    };
    if (shm->layout == 10)
        set = seen.v10.main;
    record->grandmaster_identity = set.master_clock_id;
    record->offset_ns = set.local_to_master_time_offset;
    record->start_time_ns = set.master_clock_start_time;
}

/* --- publishing ------------------------------------------------------------------------------- */

void nqptp_shm_publish(struct nqptp_shm *shm, const struct nqptp_shm_record *record,
                       uint64_t realtime_minus_raw_ns, uint64_t now_ns) {
    shm->adopted = false;
    shm->record = *record;
    shm->realtime_minus_raw_ns = realtime_minus_raw_ns;
    attempt(shm, now_ns);
}

/* --- when the name is removed ----------------------------------------------------------------- */

/* Does the name lead to this object? */
static bool has_name(const struct nqptp_shm *shm) {
    char path[NAME_MAX];
    struct stat named, ours;

    path_of(shm->name, path);
    return lstat(path, &named) == 0 && fstat(shm->fd, &ours) == 0 && named.st_dev == ours.st_dev &&
           named.st_ino == ours.st_ino;
}

static void restore_size(const struct nqptp_shm *shm) {
    struct stat status;

    if (fstat(shm->fd, &status) == 0 && status.st_size != NQPTP_SHM_SIZE)
        (void)!ftruncate(shm->fd, NQPTP_SHM_SIZE); /* if not now, then the next time */
}

int nqptp_shm_mend(struct nqptp_shm *shm, uint64_t now_ns) {
    struct nqptp_shm successor;

    if (!shm->map)
        return 0;
    if (has_name(shm)) {
        restore_size(shm);
        return 0;
    }
    int result =
        nqptp_shm_open(&successor, shm->name, shm->automatic ? NQPTP_SHM_AUTO : shm->layout,
                       shm->layout, shm->group, now_ns);
    if (result < 0)
        return result;
    successor.asked = shm->asked;
    successor.asked_ns = shm->asked_ns;
    nqptp_shm_publish(&successor, &shm->record, shm->realtime_minus_raw_ns, now_ns);
    nqptp_shm_close(shm);
    *shm = successor;
    return 1;
}

uint64_t nqptp_shm_deadline(const struct nqptp_shm *shm) {
    bool waits_for_lease = shm->automatic && !shm->leased && !shm->leaseless;
    uint64_t deadline_ns = waits_for_lease ? shm->lease_ns : NQPTP_SHM_NO_DEADLINE;

    return shm->pending && shm->retry_ns < deadline_ns ? shm->retry_ns : deadline_ns;
}

void nqptp_shm_retry(struct nqptp_shm *shm, uint64_t now_ns) {
    if (shm->pending && now_ns >= shm->retry_ns)
        attempt(shm, now_ns);
    if (shm->automatic && !shm->leased && !shm->leaseless && now_ns >= shm->lease_ns)
        take_lease(shm, now_ns);
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

/* Clients that keep the object mapped read this last. */
static void publish_no_master(struct nqptp_shm *shm) {
    int holder;

    shm->record = (struct nqptp_shm_record){0};
    shm->adopted = false;
    if (touch_or_repair(shm, false, &holder) == -EBUSY) {
        nanosleep(&(struct timespec){.tv_nsec = (long)(10 * MS)}, NULL); /* a client copies it */
        touch_or_repair(shm, true, &holder);
    }
}

void nqptp_shm_remove(struct nqptp_shm *shm) {
    if (!shm->map)
        return;
    publish_no_master(shm);
    if (has_name(shm))
        shm_unlink(shm->name);
    nqptp_shm_close(shm);
}

int nqptp_shm_remove_foreign(const char *name, uid_t owner) {
    char path[NAME_MAX];
    struct stat status;
    int result = 0;

    path_of(name, path);
    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (status.st_uid == owner)
        return 0;
    if (!S_ISREG(status.st_mode))
        return -EEXIST;
    int fd = shm_open(name, O_RDWR | O_NONBLOCK, 0);
    if (fd < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    /* A write lease is granted only while nobody else has the file open or mapped; and only to its
     * owner, or with a capability that root has none of in most containers. */
    uid_t before = (uid_t)setfsuid(status.st_uid);
    int error = fcntl(fd, F_SETLEASE, F_WRLCK) < 0 ? errno : 0;
    setfsuid(before);
    if (error != 0)
        result = error == EAGAIN ? -EBUSY : -error;
    else
        result = shm_unlink(name) < 0 ? -errno : 1;
    close(fd);
    return result;
}

bool nqptp_shm_exists(const char *name) {
    char path[NAME_MAX];
    struct stat status;

    path_of(name, path);
    return lstat(path, &status) == 0;
}

int nqptp_shm_inspect(const char *name, struct nqptp_shm_found *found) {
    char path[NAME_MAX];
    struct stat status;

    path_of(name, path);
    *found = (struct nqptp_shm_found){0};
    if (lstat(path, &status) < 0)
        return -errno;
    found->owner = status.st_uid;
    found->mode = status.st_mode & 07777;
    if (!S_ISREG(status.st_mode) || status.st_nlink != 1) /* it may be ours by another name */
        return 0;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        found->leased = errno == EWOULDBLOCK;
        return 0;
    }
    found->layout = read_layout(fd);
    close(fd);
    return 0;
}

void nqptp_shm_describe(const char *name, char *text, size_t size) {
    struct nqptp_shm_found found;

    if (nqptp_shm_inspect(name, &found) < 0)
        snprintf(text, size, "gone by now");
    else
        snprintf(text, size, "owned by uid %u, mode %04o", (unsigned)found.owner, found.mode);
}
