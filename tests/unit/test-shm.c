/* SPDX-License-Identifier: MIT */
/*
 * Proves that the shared memory object is what clients expect, that readers that follow the
 * protocol never see half a record, and that no client can keep the daemon from writing, if it is
 * killed or stopped while it holds the mutex, overwrites the object or truncates it.
 */
#include "nqptp-shm-file.h"
#include "nqptp-shm.h"

#include "../lib/dev-shm.h"
#include "../lib/random.h"
#include "../lib/tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define START_NS UINT64_C(1000000000000)
#define NO_GROUP ((gid_t)-1)

/* A record whose members all follow from one number, so that a mixture of two shows. */
static struct nqptp_shm_record record_of(uint64_t n) {
    struct nqptp_shm_record record = {.clock_identity = n,
                                      .grandmaster_identity = n + 1,
                                      .local_time_ns = n * 3,
                                      .offset_ns = n * 5,
                                      .start_time_ns = n * 7};
    char ip[INET6_ADDRSTRLEN];

    snprintf(ip, sizeof ip, "%" PRIu64 "::%" PRIu64, n % 7 + 1, n % 9999 + 1);
    nqptp_address_parse(ip, strlen(ip), &record.address);
    return record;
}

static bool is_record(const struct shm_structure *seen, uint64_t n) {
    char ip[64];

    snprintf(ip, sizeof ip, "%" PRIu64 "::%" PRIu64, n % 7 + 1, n % 9999 + 1);
    return seen->version == 4 && seen->flags == 0 && seen->master_clock_id == n &&
           seen->local_time == n * 3 && seen->local_to_master_time_offset == n * 5 &&
           strcmp(seen->master_clock_ip, ip) == 0;
}

static bool is_no_master(const struct shm_structure *seen) {
    return seen->version == 4 && seen->flags == 0 && seen->master_clock_id == 0 &&
           seen->local_time == 0 && seen->local_to_master_time_offset == 0 &&
           seen->master_clock_ip[0] == '\0';
}

static struct shm_structure *client_map(const char *name) {
    int fd = shm_open(name, O_RDWR, 0);
    if (fd < 0)
        return NULL;
    void *map = mmap(NULL, sizeof(struct shm_structure), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map == MAP_FAILED ? NULL : map;
}

/* Reads as a client of 2021 does: open, map, lock, copy, unlock, unmap. */
static bool client_read(const char *name, struct shm_structure *copy) {
    struct shm_structure *map = client_map(name);
    if (!map)
        return false;
    pthread_mutex_lock(&map->shm_mutex);
    memcpy(copy, map, sizeof *copy);
    pthread_mutex_unlock(&map->shm_mutex);
    munmap(map, sizeof *map);
    return true;
}

static struct nqptp_shm open_as(const char *name, unsigned layout, uint64_t now_ns) {
    struct nqptp_shm shm;
    CHECK_EQ_I64(nqptp_shm_open(&shm, name, layout, NO_GROUP, now_ns), 0,
                 "the object opens, --smi=%u", layout);
    return shm;
}

static struct nqptp_shm open_object(const char *name) {
    return open_as(name, 4, START_NS);
}

static void publish(struct nqptp_shm *shm, uint64_t n, uint64_t now_ns) {
    struct nqptp_shm_record record = record_of(n);
    nqptp_shm_publish(shm, &record, 0, now_ns);
}

/* Waits until the child writes a byte or dies, but not for ever. */
static bool hear(int fd) {
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    char byte;
    return poll(&readable, 1, 10000) == 1 && read(fd, &byte, 1) == 1;
}

/* The exit status of the child, or -1 if it does not end within ten seconds. */
static int ended(pid_t child) {
    int status;

    for (int i = 0; i < 1000; i++) {
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        poll(NULL, 0, 10);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return -1;
}

/* --- the object ------------------------------------------------------------------------------ */

static void test_new_object(const char *name) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure seen = {0};
    struct stat status;
    char path[128];

    snprintf(path, sizeof path, "/dev/shm%s", name);
    CHECK(stat(path, &status) == 0, "the object has its name");
    CHECK_EQ_U64(status.st_size, NQPTP_SHM_SIZE, "a new object has its size");
    CHECK_EQ_U64(status.st_mode & 07777, 0664, "a new object of layout 4 has mode 0664");
    CHECK(client_read(name, &seen) && is_no_master(&seen), "a new object has no master");

    struct nqptp_shm_record record = record_of(7);
    nqptp_shm_publish(&shm, &record, 1000, START_NS);
    client_read(name, &seen);
    CHECK_EQ_U64(seen.local_time, 21 + 1000, "layout 4: local_time is converted to CLOCK_REALTIME");
    CHECK_EQ_U64(seen.local_to_master_time_offset, (uint64_t)35 - 1000,
                 "layout 4: the offset is converted to CLOCK_REALTIME");
    CHECK_EQ_U64(seen.local_time + seen.local_to_master_time_offset, 21 + 35,
                 "layout 4: local_time and offset together are the master's time");
    CHECK_EQ_U64(nqptp_shm_deadline(&shm), NQPTP_NO_DEADLINE,
                 "after a record is published there is no deadline");

    struct shm_structure *map = client_map(name);
    nqptp_shm_stop(&shm, false);
    CHECK(map && is_no_master(map),
          "a removed object shows \"no master\" to clients that have it mapped");
    CHECK(stat(path, &status) < 0 && errno == ENOENT, "a removed object has no name");
    munmap(map, sizeof *map);
}

/* Only root may give a file to a group that it is no member of. */
static void test_group(const char *name) {
    gid_t group = getegid() == 65534 ? 1 : 65534;
    struct nqptp_shm shm;
    struct stat status = {0};

    CHECK_EQ_I64(nqptp_shm_open(&shm, name, 4, group, START_NS), 0, "an object for a group opens");
    fstat(shm.fd, &status);
    if (getuid() == 0)
        CHECK(status.st_gid == group && status.st_uid == 0 && !shm.group_refused,
              "an object of layout 4 gets the group, and keeps its user");
    else
        CHECK(shm.group_refused, "an object of layout 4 does not get a group of others");
    nqptp_shm_stop(&shm, false);
    CHECK_EQ_I64(nqptp_shm_open(&shm, name, 10, group, START_NS), 0,
                 "an object of layout 10 opens");
    fstat(shm.fd, &status);
    CHECK(status.st_gid == getegid() && !shm.group_refused, "an object of layout 10 has no group");
    nqptp_shm_stop(&shm, false);
}

static ino_t inode_of(const char *name) {
    struct stat status = {0};
    int fd = shm_open(name, O_RDONLY, 0);
    if (fd >= 0) {
        fstat(fd, &status);
        close(fd);
    }
    return status.st_ino;
}

static void test_adoption(const char *name) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure seen;

    publish(&shm, 42, START_NS);
    ino_t inode = inode_of(name);
    nqptp_shm_close(&shm);
    shm = open_object(name);
    CHECK_EQ_U64(inode_of(name), inode, "an object that a process left is adopted in place");
    CHECK(client_read(name, &seen) && is_record(&seen, 42), "an adopted object has its record");
    publish(&shm, 43, START_NS);
    CHECK(client_read(name, &seen) && is_record(&seen, 43),
          "an adopted object has a newer record when that is published");

    shm.map->v4.version = 11;
    nqptp_shm_close(&shm);
    shm = open_object(name);
    CHECK(client_read(name, &seen) && is_no_master(&seen),
          "an object of an unknown layout is written afresh");
    CHECK_EQ_U64(inode_of(name), inode, "an object of an unknown layout stays in place");

    nqptp_shm_stop(&shm, false);
}

/* An object of that size is left over: whether it is adopted, and that it has our size then. */
static void check_adopted_size(const char *name, off_t size, bool adopted) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure seen;
    struct stat before = {0}, status = {0};

    publish(&shm, 42, START_NS);
    CHECK(ftruncate(shm.fd, size) == 0, "an object of %ld bytes is left", (long)size);
    fstat(shm.fd, &before);
    nqptp_shm_close(&shm);
    shm = open_object(name);
    fstat(shm.fd, &status);
    CHECK((status.st_ino == before.st_ino) == adopted, "%ld bytes: %s", (long)size,
          adopted ? "adopted" : "another object takes its place");
    CHECK_EQ_I64(status.st_size, NQPTP_SHM_SIZE,
                 "%ld bytes: after the start the object has our size", (long)size);
    CHECK(client_read(name, &seen) &&
              (adopted && size > 0 ? is_record(&seen, 42) : is_no_master(&seen)),
          "%ld bytes: after the start the record is %s", (long)size,
          adopted && size > 0 ? "there" : "new");
    nqptp_shm_stop(&shm, false);
}

static void test_adopted_sizes(const char *name) {
    check_adopted_size(name, 0, true);
    check_adopted_size(name, 4096, true);
    check_adopted_size(name, NQPTP_SHM_SIZE, true);
    check_adopted_size(name, 72, false);
    check_adopted_size(name, 8192, false);
    check_adopted_size(name, 1 << 20, false);
}

/* A file of this user that has the object's name makes room. */
static void test_in_the_way(const char *name) {
    struct nqptp_shm shm = open_object(name);
    char path[128], other[160];

    snprintf(path, sizeof path, "/dev/shm%s", name);
    snprintf(other, sizeof other, "%s-twin", path);
    CHECK(link(path, other) == 0, "the object has another name");
    ino_t inode = inode_of(name);
    nqptp_shm_close(&shm);
    shm = open_object(name);
    CHECK(inode_of(name) != inode, "an object with two names is not adopted");
    nqptp_shm_stop(&shm, false);
    unlink(other);
    CHECK(symlink("/dev/null", path) == 0, "a symbolic link of this user has the name");
    shm = open_object(name);
    struct stat status = {0};
    CHECK(lstat(path, &status) == 0 && S_ISREG(status.st_mode),
          "a symbolic link of this user makes room for an object");
    CHECK(chmod(path, 0) == 0, "an object gets mode 0");
    nqptp_shm_close(&shm);
    shm = open_object(name);
    CHECK(shm.map && stat(path, &status) == 0 && (status.st_mode & 0600) == 0600,
          "an object with mode 0 makes room for another one");
    nqptp_shm_stop(&shm, false);
}

/* A client chose the name, perhaps that of another program's file. */
static void check_other_layout(const char *name, unsigned layout, off_t size) {
    struct nqptp_shm shm;
    struct stat status = {0};
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    uint16_t version = (uint16_t)layout;

    CHECK(fd >= 0 && ftruncate(fd, size) == 0 && pwrite(fd, &version, sizeof version, 0) == 2,
          "a file of this user has %ld bytes and begins with %u", (long)size, layout);
    bool ours = layout == 10 && (size == 4096 || size == NQPTP_SHM_SIZE);
    CHECK_EQ_I64(nqptp_shm_open(&shm, name, 10, NO_GROUP, START_NS), ours ? 0 : -EEXIST,
                 "%ld bytes, %u: a named object is %s", (long)size, layout,
                 ours ? "adopted" : "refused");
    fstat(fd, &status);
    CHECK(status.st_nlink == 1 && (ours || status.st_size == size), "%ld bytes, %u: the file is %s",
          (long)size, layout, ours ? "there" : "left alone");
    close(fd);
    if (ours)
        nqptp_shm_close(&shm);
    shm_unlink(name);
}

static void test_other_layouts(const char *name) {
    check_other_layout(name, 10, NQPTP_SHM_SIZE);
    check_other_layout(name, 10, 4096);
    check_other_layout(name, 0, NQPTP_SHM_SIZE);
    check_other_layout(name, 4, NQPTP_SHM_SIZE);
    check_other_layout(name, 10, 8192);
}

/* --- claimed --------------------------------------------------------------------------------- */

/* A claim replaces whatever has the name, except the user's own object. */
static void test_claimed(const char *name) {
    uid_t user = getuid();
    struct stat status = {0};
    char path[128];

    snprintf(path, sizeof path, "/dev/shm%s", name);
    CHECK_EQ_I64(nqptp_shm_claim(name, user, getgid()), 0, "claim: a name without a file is fine");
    CHECK(access(path, F_OK) < 0, "claim: a name without a file stays without one");
    struct nqptp_shm shm = open_object(name);
    ino_t inode = inode_of(name);
    CHECK_EQ_I64(nqptp_shm_claim(name, user, getgid()), 0, "claim: the user's own object is fine");
    CHECK_EQ_U64(inode_of(name), inode, "claim: the user's own object stays");
    nqptp_shm_stop(&shm, false);
    CHECK(symlink("nowhere", path) == 0, "claim: a link that leads nowhere");
    CHECK_EQ_I64(nqptp_shm_claim(name, user, getgid()), 1, "claim: the link makes room");
    CHECK(lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0,
          "claim: an empty object takes its place");
    shm = open_object(name);
    CHECK_EQ_U64(inode_of(name), status.st_ino, "claim: the daemon adopts the empty object");
    nqptp_shm_stop(&shm, false);
}

/* A directory has the name. Removes what a claim leaves of it, and returns how many that are. */
static size_t left_by_claim(const char *name, const char *file) {
    char path[128], inside[192];
    glob_t hidden = {0};

    snprintf(path, sizeof path, "/dev/shm%s", name);
    snprintf(inside, sizeof inside, "%s/%s", path, file ? file : "");
    CHECK(mkdir(path, 0700) == 0 && (!file || mkdir(inside, 0700) == 0), "claim: a directory");
    CHECK_EQ_I64(nqptp_shm_claim(name, getuid(), getgid()), 1, "claim: the directory makes room");
    shm_unlink(name);
    glob("/dev/shm/.nqptp.*", 0, NULL, &hidden);
    for (size_t i = 0; i < hidden.gl_pathc; i++) {
        snprintf(inside, sizeof inside, "%s/%s", hidden.gl_pathv[i], file ? file : "");
        CHECK(rmdir(inside) == 0 && rmdir(hidden.gl_pathv[i]) == 0, "claim: all is still there");
    }
    size_t count = hidden.gl_pathc;
    globfree(&hidden);
    return count;
}

static void test_claimed_directory(const char *name) {
    CHECK_EQ_U64(left_by_claim(name, NULL), 0, "claim: an empty directory is removed");
    CHECK_EQ_U64(left_by_claim(name, "precious"), 1,
                 "claim: a directory that is not empty stays under a hidden name");
}

/* --- stopped and started --------------------------------------------------------------------- */

/* Whether the object has its public name. */
static bool has_public_name(const char *name) {
    char path[128];

    snprintf(path, sizeof path, "/dev/shm%s", name);
    return access(path, F_OK) == 0;
}

/* Writes the path of the object's file that is put aside. Returns whether there is one. */
static bool is_aside(const char *name, char path[320]) {
    DIR *directory = opendir("/dev/shm");
    const struct dirent *entry;
    char begin[80];
    bool is = false;

    snprintf(begin, sizeof begin, ".%s.", name + 1);
    while (directory && !is && (entry = readdir(directory))) {
        is = strncmp(entry->d_name, begin, strlen(begin)) == 0 &&
             strstr(entry->d_name, ".kept") != NULL;
        snprintf(path, 320, "/dev/shm/%s", entry->d_name);
    }
    if (directory)
        closedir(directory);
    return is;
}

/* Starts the process again. Returns whether that object is among those that it brings back. */
static bool brought_back(const char *name) {
    char names[NQPTP_KEPT_MAX];

    nqptp_shm_bring_all_back(names, sizeof names);
    return strncmp(names, name, strlen(name)) == 0 && names[strlen(name)] == ' ';
}

static void test_stopped_in_use(const char *name, bool plays) {
    const char *client = plays ? "a client plays" : "a client has it open";
    struct nqptp_shm shm = open_object(name);
    char aside[320];

    publish(&shm, 5, START_NS);
    ino_t inode = inode_of(name);
    struct shm_structure *map = client_map(name);
    CHECK_EQ_I64(nqptp_shm_stop(&shm, plays), 0, "stopped while %s", client);
    CHECK(map && (plays ? is_record(map, 5) : is_no_master(map)),
          "stopped while %s: the record is %s", client, plays ? "there" : "none");
    CHECK(!has_public_name(name), "stopped while %s: new players find no object", client);
    CHECK(is_aside(name, aside), "stopped while %s: the file is put aside", client);
    CHECK(brought_back(name), "started again: the file is brought back");
    shm = open_object(name);
    CHECK_EQ_U64(inode_of(name), inode, "started again: it is the same object");
    publish(&shm, 6, START_NS);
    CHECK(map && is_record(map, 6), "started again: a client that kept it mapped reads on");
    CHECK(!is_aside(name, aside), "started again: nothing is put aside");
    munmap(map, sizeof *map);
    nqptp_shm_stop(&shm, plays);
    CHECK(!has_public_name(name) && !is_aside(name, aside),
          "stopped and not in use: no file is left");
}

/* Stops the object while a client has it open. Returns its inode. */
static ino_t put_aside(const char *name) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure *map = client_map(name);
    ino_t inode = inode_of(name);

    nqptp_shm_stop(&shm, true);
    munmap(map, sizeof *map);
    return inode;
}

/* The process starts again: another file has the name, or the file put aside is not ours. */
static void test_put_aside(const char *name) {
    char path[128], aside[320], moved[400];
    ino_t inode = put_aside(name);

    snprintf(path, sizeof path, "/dev/shm%s", name);
    close(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    CHECK(brought_back(name) && inode_of(name) == inode,
          "an empty object of ours makes room for one put aside");

    inode = put_aside(name);
    CHECK(mkdir(path, 0700) == 0, "a directory has the name of one put aside");
    CHECK(!brought_back(name), "a directory has the name: the start brings nothing back");
    CHECK(is_aside(name, aside), "a directory has the name: what was put aside is not lost");
    CHECK(rmdir(path) == 0, "a directory has the name: it is still there");
    CHECK(brought_back(name) && inode_of(name) == inode,
          "the directory is gone: the next start brings back what was put aside");

    put_aside(name);
    struct nqptp_shm shm = open_object(name);
    CHECK(!brought_back(name) && !is_aside(name, aside),
          "a newer object of ours has the name: what was put aside is removed");
    nqptp_shm_stop(&shm, false);

    put_aside(name);
    CHECK(is_aside(name, aside) && truncate(aside, 8192) == 0, "8192 bytes are put aside");
    CHECK(!brought_back(name), "a file of another size is not brought back");
    snprintf(moved, sizeof moved, "%s-moved", aside);
    CHECK(rename(aside, moved) == 0 && symlink(moved, aside) == 0 && truncate(moved, 0) == 0,
          "a link is where a file was put aside");
    CHECK(!brought_back(name), "a link is not brought back");
    unlink(aside);
    unlink(moved);
}

/* Another user guesses the name of the file that is put aside, and takes it first. */
static void test_put_aside_over(const char *name) {
    char taken[160], aside[320];

    snprintf(taken, sizeof taken, "/dev/shm/.%s.kept", name + 1);
    CHECK(mkdir(taken, 0700) == 0, "a directory is in the way of what is put aside");
    ino_t inode = put_aside(name);
    CHECK(is_aside(name, aside) && brought_back(name) && inode_of(name) == inode,
          "a directory is in the way: the object is put aside and brought back all the same");
    rmdir(taken);
    shm_unlink(name);
}

/*
 * Two files of one name are put aside: another user had the name at the start between the two
 * stops. The newer one is brought back, in whatever order the start finds them.
 */
static void check_put_aside_twice(const char *name, unsigned older) {
    const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    char aside[320], first[330];
    ino_t inodes[2];

    inodes[0] = put_aside(name);
    CHECK(is_aside(name, aside), "put aside twice: the first file");
    snprintf(first, sizeof first, "%s-first", aside);
    CHECK(rename(aside, first) == 0, "put aside twice: the first file is not found meanwhile");
    inodes[1] = put_aside(name);
    char second[320];
    CHECK(is_aside(name, second) && utimensat(0, older ? second : first, long_ago, 0) == 0 &&
              rename(first, aside) == 0,
          "put aside twice: file %u is the older one", older);
    CHECK(brought_back(name) && inode_of(name) == inodes[!older],
          "put aside twice: the newer file is brought back");
    CHECK(!is_aside(name, aside), "put aside twice: the older file is removed");
    shm_unlink(name);
}

static void test_put_aside_twice(const char *name) {
    check_put_aside_twice(name, 0);
    check_put_aside_twice(name, 1);
}

/* No kernel gives this error, only the emulators of other processors. */
static bool is_emulated(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), unused = 0;
    bool emulated = setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) < 0 &&
                    errno == ENOPROTOOPT;

    close(fd);
    return emulated;
}

/*
 * Another user makes many files whose names look like those of files that are put aside. The start
 * takes no memory for them, which the service manager limits. An emulator takes memory for itself.
 */
static void test_put_aside_among_many(const char *name) {
    enum { FILES = 50000 };
    struct rusage before, after;
    char path[64];

    put_aside(name);
    for (unsigned n = 0; n < FILES; n++) {
        snprintf(path, sizeof path, "/dev/shm/.many.%016u.kept", n);
        (void)!symlink("nowhere", path);
    }
    CHECK(lstat(path, &(struct stat){0}) == 0, "many files look like one that is put aside");
    pid_t child = fork();
    if (child == 0) {
        getrusage(RUSAGE_SELF, &before);
        bool back = brought_back(name);
        getrusage(RUSAGE_SELF, &after);
        bool grown = after.ru_maxrss - before.ru_maxrss > 2000 && !is_emulated();
        _exit(!back ? 1 : grown ? 2 : 0);
    }
    CHECK_EQ_I64(ended(child), 0,
                 "among many files the one that was put aside is brought back, in 2 MB at most");
    for (unsigned n = 0; n < FILES; n++) {
        snprintf(path, sizeof path, "/dev/shm/.many.%016u.kept", n);
        unlink(path);
    }
    shm_unlink(name);
}

/* The text is there for the next process, also if the name was removed meanwhile. */
static void test_kept(const char *name) {
    static const char list[] = "T 192.0.2.1";
    struct nqptp_shm shm = open_object(name);
    char text[NQPTP_KEPT_MAX];

    CHECK_EQ_U64(nqptp_kept_read(shm.fd, NQPTP_KEPT_LIST, text), 0, "a new object keeps no list");
    CHECK_EQ_I64(nqptp_kept_write(shm.fd, NQPTP_KEPT_LIST, list, strlen(list)), 0,
                 "a list is kept");
    nqptp_shm_close(&shm);
    CHECK_EQ_U64(nqptp_shm_read_kept(name, NQPTP_KEPT_LIST, text), strlen(list),
                 "the list can be read before the object is adopted");
    shm = open_object(name);
    CHECK(nqptp_kept_read(shm.fd, NQPTP_KEPT_LIST, text) == strlen(list) &&
              memcmp(text, list, strlen(list)) == 0,
          "the next process has the list");
    shm_unlink(name);
    CHECK_EQ_I64(nqptp_shm_mend(&shm, START_NS), 1, "the name is removed: there is a new object");
    CHECK_EQ_U64(nqptp_kept_read(shm.fd, NQPTP_KEPT_LIST, text), strlen(list),
                 "the new object has the list");
    publish(&shm, 3, START_NS);
    CHECK_EQ_U64(nqptp_kept_read(shm.fd, NQPTP_KEPT_LIST, text), strlen(list),
                 "a record does not write over the list");
    nqptp_shm_stop(&shm, false);
}

static void test_not_ours(const char *name) {
    struct nqptp_shm shm;
    char path[128], text[64] = "";

    snprintf(path, sizeof path, "/dev/shm%s", name);
    shm = open_object(name);
    nqptp_shm_close(&shm);
    nqptp_shm_describe(name, text, sizeof text);
    CHECK(strstr(text, "mode 0664") != NULL, "owner and mode of an object are described: %s", text);
    shm_unlink(name);
    if (getuid() != 0) {
        CHECK(true, "an object of another user # SKIP it takes root to make one");
        return;
    }
    int fd = shm_open(name, O_RDWR | O_CREAT, 0666);
    CHECK(fd >= 0 && fchown(fd, 65534, 65534) == 0, "an object of another user has our name");
    CHECK_EQ_I64(nqptp_shm_open(&shm, name, 4, NO_GROUP, START_NS), -EEXIST,
                 "an object of another user is refused");
    struct stat status = {0};
    fstat(fd, &status);
    CHECK_EQ_I64(status.st_size, 0, "an object of another user is left as it was");
    close(fd);
    shm_unlink(name);
}

/* --- the other layouts ----------------------------------------------------------------------- */

/* Starts a process that does something to the object, and waits until that is done. */
static pid_t start_holder(void (*act)(const char *name), const char *name) {
    int done[2];
    char byte;

    if (pipe(done) < 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        act(name);
        close(done[1]);
        for (;;)
            pause();
    }
    close(done[1]);
    CHECK_EQ_I64(read(done[0], &byte, 1), 0, "another process opened or locked the object");
    close(done[0]);
    return child;
}

static void end_holder(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void serve(const char *name, unsigned layout) {
    struct nqptp_shm shm;

    if (nqptp_shm_open(&shm, name, layout, NO_GROUP, START_NS) != 0)
        abort();
    struct nqptp_shm_record record = {.clock_identity = 7};
    nqptp_address_parse("7::7", 4, &record.address);
    nqptp_shm_publish(&shm, &record, 0, START_NS);
}

static void serve_layout_4(const char *name) {
    serve(name, 4);
}

static void serve_auto(const char *name) {
    serve(name, NQPTP_SHM_AUTO);
}

static void lock_as_client(const char *name) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = shm_open(name, O_RDONLY, 0);

    if (fcntl(fd, F_SETLK, &lock) < 0 || setresuid(12345, 12345, 12345) < 0)
        abort();
}

/* Two daemons may listen in different places, so their ports do not keep them apart. */
static void test_served_by_another(const char *name) {
    struct shm_structure *client, seen;
    struct nqptp_shm shm;
    pid_t other = start_holder(serve_layout_4, name);

    CHECK_EQ_I64(nqptp_shm_open(&shm, name, 10, NO_GROUP, START_NS), -EBUSY,
                 "an object that another process serves is refused");
    CHECK(client_read(name, &seen) && seen.version == 4 && seen.master_clock_id == 7,
          "an object that another process serves keeps its record");
    client = client_map(name);
    CHECK_EQ_I64(nqptp_shm_open(&shm, name, 4, NO_GROUP, START_NS), -EBUSY,
                 "an object that another process serves is refused while a client has it mapped");
    end_holder(other);
    shm = open_as(name, 4, START_NS);
    CHECK_EQ_U64(shm.map->v4.master_clock_id, 7,
                 "when the process that served it is dead an object is adopted");
    munmap(client, sizeof *client);
    nqptp_shm_stop(&shm, false);

    other = start_holder(serve_auto, name);
    CHECK_EQ_I64(nqptp_shm_open(&shm, name, 4, NO_GROUP, START_NS), -EBUSY,
                 "an object that another process serves under a lease is refused");
    CHECK(nqptp_shm_is_leased(name), "the lease of another process is seen");
    end_holder(other);
    CHECK(!nqptp_shm_is_leased(name), "no lease is seen once its process is dead");
    shm = open_as(name, 4, START_NS);
    nqptp_shm_stop(&shm, false);
}

/* A client cannot keep a daemon from starting by a lock. */
static void test_locked_by_client(const char *name) {
    struct nqptp_shm shm;

    if (geteuid() != 0) {
        CHECK(true, "another user's lock # SKIP it takes root to be another user");
        return;
    }
    end_holder(start_holder(serve_layout_4, name));
    pid_t client = start_holder(lock_as_client, name);
    shm = open_as(name, 4, START_NS);
    CHECK_EQ_U64(shm.map->v4.master_clock_id, 7,
                 "an object that another user's process has locked is adopted");
    end_holder(client);
    nqptp_shm_stop(&shm, false);
}

/* A process that opens and closes a file once more gives up its lock on it. */
static void test_lock_survives_link(const char *name) {
    struct nqptp_shm shm = open_as(name, 10, START_NS), twin;
    char path[128], other[160], text[64], kept[NQPTP_KEPT_MAX];

    snprintf(path, sizeof path, "/dev/shm%s", name);
    snprintf(other, sizeof other, "%s-twin", path);
    CHECK_EQ_I64(nqptp_kept_write(shm.fd, NQPTP_KEPT_LIST, "T", 1), 0, "a text is kept");
    CHECK(link(path, other) == 0, "the object has another name");
    CHECK_EQ_U64(nqptp_shm_read_kept(other + strlen("/dev/shm"), NQPTP_KEPT_LIST, kept), 0,
                 "no kept text is read by the second name of an object");
    CHECK_EQ_I64(nqptp_shm_open(&twin, other + strlen("/dev/shm"), 10, NO_GROUP, START_NS), -EEXIST,
                 "an object with two names is refused by its second name");
    nqptp_shm_describe(other + strlen("/dev/shm"), text, sizeof text);
    unlink(other);
    pid_t child = fork();
    if (child == 0)
        _exit(nqptp_shm_open(&twin, name, 10, NO_GROUP, START_NS) == -EBUSY ? 0 : 1);
    CHECK_EQ_I64(ended(child), 0,
                 "after a look at its second name an object is still refused to another daemon");
    nqptp_shm_stop(&shm, false);
}

/* chattr +i. Returns false if the file system cannot. */
static bool make_immutable(const char *path, bool immutable) {
    int flags = 0, fd = open(path, O_RDONLY | O_CLOEXEC);
    bool done = fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;

    flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
    done = done && ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
    close(fd);
    return done;
}

static void test_immutable(const char *name) {
    struct nqptp_shm shm;
    char path[128];

    snprintf(path, sizeof path, "/dev/shm%s", name);
    close(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (make_immutable(path, true))
        CHECK_EQ_I64(nqptp_shm_open(&shm, name, 4, NO_GROUP, START_NS), -EEXIST,
                     "an immutable file is refused");
    else
        CHECK(true, "an immutable file # SKIP it takes root, and a file system that has them");
    make_immutable(path, false);
    unlink(path);
}

static void test_unknown_mutex(const char *name) {
    CHECK(!nqptp_shm_can_serve(5), "layout 5 does not exist");
    CHECK(nqptp_shm_can_serve(10) && nqptp_shm_can_serve(NQPTP_SHM_AUTO),
          "layout 10 and auto work with every C library");
    if (nqptp_shm_can_serve(4))
        return;
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    CHECK(nqptp_shm_version(&shm) == 10 && !shm.automatic,
          "unknown mutex: auto starts and stays as 10");
    nqptp_shm_stop(&shm, false);
}

static void check_layouts_8_and_9(const char *name, unsigned layout) {
    struct nqptp_shm shm = open_as(name, layout, START_NS);
    struct shm_structure_9 *map = (void *)client_map(name);

    CHECK(map->version == layout && map->master_clock_id == 0,
          "layout %u: a new object has no master", layout);
    struct nqptp_shm_record record = record_of(7);
    nqptp_shm_publish(&shm, &record, 1000, START_NS);
    pthread_mutex_lock(&map->shm_mutex);
    CHECK_EQ_U64(map->master_clock_id, 8, "layout 8 or 9: the record has the grandmaster");
    CHECK_EQ_STR(map->master_clock_ip, "1::8", "layout 8 or 9: the record has the address");
    CHECK(map->local_time == 21 && map->local_to_master_time_offset == 35 &&
              map->master_clock_start_time == 49,
          "layout 8 or 9: the times are of CLOCK_MONOTONIC_RAW");
    pthread_mutex_unlock(&map->shm_mutex);
    munmap(map, sizeof *map);
    nqptp_shm_stop(&shm, false);
}

static void test_layouts_8_and_9(const char *name) {
    check_layouts_8_and_9(name, 8);
    check_layouts_8_and_9(name, 9);
}

static void test_layout_10(const char *name) {
    struct nqptp_shm shm = open_as(name, 10, START_NS);
    struct stat status;
    int fd = shm_open(name, O_RDONLY, 0);
    struct shm_structure_10 *map =
        mmap(NULL, sizeof(struct shm_structure_10), PROT_READ, MAP_SHARED, fd, 0);

    fstat(fd, &status);
    close(fd);
    CHECK_EQ_U64(status.st_mode & 07777, 0644,
                 "layout 10: every user may read, only the owner may write");
    CHECK(map->version == 10 && map->main.master_clock_id == 0,
          "layout 10: a new object has no master");
    struct nqptp_shm_record record = record_of(7);
    nqptp_shm_publish(&shm, &record, 1000, START_NS);
    CHECK(map->main.master_clock_id == 8 && map->main.local_time == 21 &&
              map->main.local_to_master_time_offset == 35 &&
              map->main.master_clock_start_time == 49,
          "layout 10: the record has the grandmaster's identity and times of CLOCK_MONOTONIC_RAW");
    CHECK(memcmp(&map->main, &map->secondary, sizeof map->main) == 0,
          "layout 10: both copies of the record are equal");

    nqptp_shm_close(&shm);
    shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    CHECK(nqptp_shm_version(&shm) == 10 && map->main.master_clock_id == 8,
          "layout 10: an adopted object keeps layout and record");
    nqptp_shm_inherited(&shm, &record);
    CHECK(record.grandmaster_identity == 8 && record.offset_ns == 35 && record.start_time_ns == 49,
          "layout 10: the record of an adopted object can be read back");
    munmap(map, sizeof *map);
    nqptp_shm_stop(&shm, false);
}

/* --- the lease ------------------------------------------------------------------------------- */

/*
 * Opens the object as a client in a process of its own, and tells the version that it found. It
 * waits to be let in, as with glibc's shm_open(); musl's does not.
 */
static pid_t opener(const char *name, bool read_only, int say) {
    char path[128];

    pid_t child = fork();
    if (child != 0)
        return child;
    alarm(60);
    snprintf(path, sizeof path, "/dev/shm%s", name);
    int fd = open(path, read_only ? O_RDONLY : O_RDWR);
    const uint8_t *map = mmap(NULL, 64, PROT_READ, MAP_SHARED, fd, 0);
    uint16_t at_start, behind_mutex;
    memcpy(&at_start, map, sizeof at_start);
    memcpy(&behind_mutex, map + sizeof(pthread_mutex_t), sizeof behind_mutex);
    int8_t version = (int8_t)(at_start == 10 ? at_start : behind_mutex);
    if (write(say, &version, 1) != 1)
        _exit(1);
    pause(); /* keeps it open */
    _exit(0);
}

static void signal_came(struct nqptp_shm *shm, uint64_t now_ns) {
    nqptp_lease_note_opener(&shm->lease);
    nqptp_shm_signalled(shm, now_ns);
}

/* Waits for the signal that a process opens or has closed the object, as the daemon's loop does. */
static bool signalled(void) {
    sigset_t set;
    const struct timespec ten_seconds = {.tv_sec = 10};

    sigemptyset(&set);
    sigaddset(&set, NQPTP_LEASE_SIGNAL);
    return sigtimedwait(&set, NULL, &ten_seconds) == NQPTP_LEASE_SIGNAL;
}

/* Returns the version that a client finds which opens in this way. */
static int found(struct nqptp_shm *shm, bool read_only, uint64_t now_ns, pid_t *client) {
    int channel[2];
    int8_t version = -1;

    if (pipe(channel) < 0)
        return -1;
    *client = opener(shm->name, read_only, channel[1]);
    while (shm->lease.state == NQPTP_LEASE_HELD && signalled())
        signal_came(shm, now_ns);
    struct pollfd readable = {.fd = channel[0], .events = POLLIN};
    if (poll(&readable, 1, 10000) != 1 || read(channel[0], &version, 1) != 1)
        version = -1;
    close(channel[0]);
    close(channel[1]);
    return version;
}

/* Waits until an opener waits for us. */
static bool opening(struct nqptp_shm *shm) {
    while (!nqptp_lease_note_opener(&shm->lease))
        if (!signalled())
            return false;
    return true;
}

static void leave(pid_t client) {
    if (client > 0)
        kill(client, SIGKILL);
    waitpid(client, NULL, 0);
}

/*
 * The last client leaves. Its close is told, and brings the lease back at once or, as its refusals
 * count, by one of the tries after it.
 */
static bool leaves(struct nqptp_shm *shm, pid_t client, uint64_t now_ns) {
    leave(client);
    while (shm->lease.state != NQPTP_LEASE_HELD && signalled()) {
        unsigned before = shm->lease.refusals;
        signal_came(shm, now_ns);
        while (shm->lease.refusals < before && shm->lease.state != NQPTP_LEASE_HELD) {
            poll(NULL, 0, 1);
            nqptp_shm_retry(shm, shm->lease.retry_ns);
        }
    }
    return shm->lease.state == NQPTP_LEASE_HELD;
}

static void check_auto(const char *name, enum nqptp_shm_asked asked, bool read_only,
                       uint64_t ago_ns, int expected) {
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    pid_t client = 0;

    CHECK(shm.lease.state == NQPTP_LEASE_HELD, "a new object that no process has open is leased");
    CHECK_EQ_I64(shm.lease.watch_error, 0, "a new object needs no watch");
    if (asked != NQPTP_SHM_ASKED_NOTHING)
        CHECK(nqptp_shm_ask(&shm, asked, START_NS),
              "a command of a client is welcome while the object is leased");
    CHECK_EQ_I64(found(&shm, read_only, START_NS + ago_ns, &client), expected,
                 "asked %u, %" PRIu64 " ms ago, opened %s", asked, ago_ns / MS,
                 read_only ? "read-only" : "read-write");
    if (expected == 8) {
        nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_PLAY, START_NS);
        CHECK_EQ_U64(shm.map->v9.version, 9, "after B layout 8 becomes 9");
    }
    leave(client);
    nqptp_shm_stop(&shm, false);
}

static void test_auto(const char *name) {
    check_auto(name, NQPTP_SHM_ASKED_NAMED, true, 0, 10);
    check_auto(name, NQPTP_SHM_ASKED_NAMED, false, 0, 8);
    check_auto(name, NQPTP_SHM_ASKED_BARE, true, 0, 4);
    check_auto(name, NQPTP_SHM_ASKED_BARE, false, 0, 4);
    check_auto(name, NQPTP_SHM_ASKED_NOTHING, false, 0, 4);
    check_auto(name, NQPTP_SHM_ASKED_NAMED, true, 10000 * MS, 10);
    check_auto(name, NQPTP_SHM_ASKED_NAMED, true, 10001 * MS, 4);
    check_auto(name, NQPTP_SHM_ASKED_NOTHING, true, 10000 * MS, 10);
    check_auto(name, NQPTP_SHM_ASKED_NOTHING, true, 10001 * MS, 4);
    check_auto(name, NQPTP_SHM_ASKED_NOTHING, false, 10000 * MS, 4);
}

static void test_layout_stays_while_in_use(const char *name) {
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    pid_t first = 0, second = 0;

    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_NAMED, START_NS);
    CHECK_EQ_I64(found(&shm, true, START_NS, &first), 10, "a first client gets layout 10");
    CHECK(shm.lease.state != NQPTP_LEASE_HELD, "the lease is released for the client");
    CHECK(!nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_BARE, START_NS + MS),
          "a command of another layout while a client has the object open is told");
    CHECK_EQ_I64(found(&shm, false, START_NS + MS, &second), 10,
                 "while a client has the object open a client of another layout finds its layout");
    leave(second);
    CHECK(nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_NAMED, START_NS + MS),
          "a command of the same layout while a client has the object open is welcome");
    CHECK(shm.lease.state == NQPTP_LEASE_NONE,
          "there is no lease while the first client has the object open");
    CHECK(leaves(&shm, first, START_NS + 2000 * MS), "after the last client left there is a lease");
    CHECK_EQ_U64(nqptp_shm_deadline(&shm), NQPTP_NO_DEADLINE, "a held lease has no deadline");
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_BARE, START_NS + 2000 * MS);
    CHECK_EQ_I64(found(&shm, false, START_NS + 2000 * MS, &first), 4,
                 "after the last client left the next one decides the layout");
    leave(first);
    nqptp_shm_stop(&shm, false);
}

/* While a client keeps the object open there is no deadline after a few tries, never a past one. */
static void test_no_polling(const char *name) {
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    pid_t client = 0, other = 0;
    uint64_t now_ns = START_NS, deadline_ns;
    unsigned wakeups = 0;

    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_NAMED, now_ns);
    CHECK_EQ_I64(found(&shm, true, now_ns, &client), 10,
                 "no polling: a client of layout 10 keeps the object open");
    for (; (deadline_ns = nqptp_shm_deadline(&shm)) != NQPTP_NO_DEADLINE; wakeups++) {
        if (deadline_ns <= now_ns && wakeups > 0)
            break;
        nqptp_shm_retry(&shm, now_ns = deadline_ns);
    }
    CHECK_EQ_U64(deadline_ns, NQPTP_NO_DEADLINE,
                 "no polling: a few tries after a client came there is no deadline");
    CHECK_EQ_U64(wakeups, 1, "no polling: there is one look whether the opener was killed");

    CHECK_EQ_I64(found(&shm, true, now_ns, &other), 10,
                 "no polling: another client of layout 10 comes");
    leave(other);
    CHECK(signalled(), "no polling: the daemon is told that the other client left");
    signal_came(&shm, now_ns);
    for (wakeups = 0; (deadline_ns = nqptp_shm_deadline(&shm)) != NQPTP_NO_DEADLINE; wakeups++)
        nqptp_shm_retry(&shm, now_ns = deadline_ns);
    CHECK_EQ_U64(wakeups, 4, "no polling: after that the lease is tried for 4 times");

    shm.lease.retry_ns = now_ns;
    close(shm.lease.inotify);
    shm.lease.inotify = -EMFILE;
    nqptp_shm_retry(&shm, now_ns);
    CHECK_EQ_I64(shm.lease.watch_error, -EMFILE, "without inotify: the error is kept");
    CHECK_EQ_U64(nqptp_shm_deadline(&shm), now_ns + 30000 * MS,
                 "without inotify: the next try for the lease is after 30 s");
    nqptp_shm_retry(&shm, now_ns + 30000 * MS);
    CHECK_EQ_U64(nqptp_shm_deadline(&shm), now_ns + 60000 * MS,
                 "without inotify: the try after that is after 30 s more");
    leave(client);
    nqptp_shm_retry(&shm, now_ns + 60000 * MS);
    CHECK(shm.lease.state == NQPTP_LEASE_HELD,
          "without inotify: a try after the last client left brings the lease back");
    nqptp_shm_stop(&shm, false);
}

/* A close that comes too soon after another waits, and is not lost. */
static void test_closes_in_quick_succession(const char *name) {
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    pid_t client = 0;

    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_BARE, START_NS);
    found(&shm, false, START_NS, &client);
    CHECK(leaves(&shm, client, START_NS),
          "two closes in quick succession: the first brings the lease");
    found(&shm, false, START_NS + 50 * MS, &client);
    leave(client);
    CHECK(signalled(), "two closes in quick succession: the daemon is told of the second");
    signal_came(&shm, START_NS + 51 * MS);
    CHECK(shm.lease.state == NQPTP_LEASE_NONE, "two closes in quick succession: the second waits");
    CHECK(nqptp_shm_deadline(&shm) <= START_NS + 200 * MS,
          "two closes in quick succession: the second waits for 0.1 s at most");
    poll(NULL, 0, 1);
    nqptp_shm_retry(&shm, nqptp_shm_deadline(&shm));
    CHECK(shm.lease.state == NQPTP_LEASE_HELD,
          "two closes in quick succession: after the wait there is a lease");

    uint64_t now_ns = START_NS + 160 * MS;
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_BARE, now_ns);
    found(&shm, false, now_ns, &client);
    leave(client);
    CHECK(signalled(), "a close soon after a command: the daemon is told");
    signal_came(&shm, now_ns);
    CHECK(shm.lease.state == NQPTP_LEASE_HELD || nqptp_shm_deadline(&shm) == now_ns + 1 * MS,
          "a close soon after a command: the lease is tried for at once");
    nqptp_shm_stop(&shm, false);
}

/*
 * A read-write opener is gone when the daemon looks: it did not wait, or the kernel let it in while
 * the daemon was stopped. Players of other layouts still find their layout at once.
 */
static void test_read_write_opener_is_gone(const char *name) {
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    char path[128];
    pid_t client = 0;

    snprintf(path, sizeof path, "/dev/shm%s", name);
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_NAMED, START_NS);
    CHECK(open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC) < 0 && opening(&shm),
          "an opener that does not wait is refused, and the daemon is told");
    signal_came(&shm, START_NS);
    CHECK(shm.lease.state == NQPTP_LEASE_HELD, "an opener did not wait: the lease is taken again");
    CHECK_EQ_I64(found(&shm, true, START_NS, &client), 10,
                 "an opener did not wait: the next client finds layout 10");
    leave(client);
    nqptp_shm_stop(&shm, false);

    shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    fcntl(shm.lease.fd, F_SETLEASE, F_UNLCK); /* The kernel does so after 45 s. */
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_NAMED, START_NS);
    signal_came(&shm, START_NS);
    CHECK(shm.lease.state == NQPTP_LEASE_HELD,
          "the kernel broke the lease: the lease is taken again");
    CHECK_EQ_I64(found(&shm, true, START_NS, &client), 10,
                 "the kernel broke the lease: the next client finds layout 10");
    leave(client);
    nqptp_shm_stop(&shm, false);
}

/* Each generation after each other one, without a pause: 10 read-only, 8 read-write, 4 bare. */
static void test_changes_of_generation(const char *name) {
    enum { CHANGES = 300 };
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    unsigned wrong = 0, late = 0;
    uint64_t now_ns = START_NS;
    struct prng random = {815};

    for (unsigned n = 0; n < CHANGES; n++, now_ns += 2000 * MS) {
        static const int layouts[] = {4, 8, 10};
        int wanted = layouts[prng_below(&random, 3)];
        pid_t client = 0;
        nqptp_shm_ask(&shm, wanted == 4 ? NQPTP_SHM_ASKED_BARE : NQPTP_SHM_ASKED_NAMED, now_ns);
        wrong += found(&shm, wanted == 10, now_ns, &client) != wanted;
        late += !leaves(&shm, client, now_ns);
    }
    CHECK_EQ_U64(wrong, 0, "%d changes of generation: each client finds its layout", CHANGES);
    CHECK_EQ_U64(late, 0, "%d changes of generation: each close brings the lease back", CHANGES);
    nqptp_shm_stop(&shm, false);
}

/* A client keeps the object open while the daemon starts again. */
static void test_adopted_in_use(const char *name) {
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    pid_t client = 0;

    found(&shm, true, START_NS, &client);
    nqptp_shm_close(&shm);
    shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    CHECK(shm.lease.state == NQPTP_LEASE_NONE, "an object that is in use is adopted without lease");
    CHECK(leaves(&shm, client, START_NS), "after the client left there is a lease");
    nqptp_shm_stop(&shm, false);
}

static void test_hundred_openings(const char *name) {
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    unsigned wrong = 0;
    pid_t client = 0;

    for (unsigned n = 0; n < 100; n++) {
        bool read_only = n % 3 == 0;
        enum nqptp_shm_asked asked = n % 2 ? NQPTP_SHM_ASKED_BARE : NQPTP_SHM_ASKED_NAMED;
        nqptp_shm_ask(&shm, asked, START_NS);
        int expected = asked == NQPTP_SHM_ASKED_BARE ? 4 : read_only ? 10 : 8;
        wrong += shm.lease.state != NQPTP_LEASE_HELD ||
                 found(&shm, read_only, START_NS, &client) != expected;
        leave(client);
    }
    CHECK_EQ_U64(wrong, 0, "100 openings in a row: each client finds its layout");
    nqptp_shm_stop(&shm, false);
}

/* A client that may not wait is refused, and finds the right layout when it tries again at once. */
static void test_impatient(const char *name) {
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    char path[128];
    pid_t client = 0;

    snprintf(path, sizeof path, "/dev/shm%s", name);
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_NAMED, START_NS);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(fd < 0 && errno == EWOULDBLOCK, "an opener that does not wait is refused");
    CHECK(opening(&shm), "the daemon is told of an opener that does not wait");
    signal_came(&shm, START_NS);
    CHECK(nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_NAMED, START_NS + 5 * MS),
          "a refused opener's command is welcome");
    CHECK(shm.lease.state != NQPTP_LEASE_HELD,
          "after a refused opener's command there is no lease");
    CHECK_EQ_I64(found(&shm, true, START_NS + 5 * MS, &client), 10,
                 "a refused opener finds layout 10 when it tries again");
    leave(client);
    nqptp_shm_retry(&shm, START_NS + 30000 * MS);
    CHECK(shm.lease.state == NQPTP_LEASE_HELD,
          "half a minute after a refused opener there is a lease");
    found(&shm, true, START_NS + 30000 * MS, &client);
    CHECK(shm.lease.state != NQPTP_LEASE_REFUSED,
          "half a minute after a refused opener the next one waits, and is known to have waited");
    leave(client);
    nqptp_shm_stop(&shm, false);
}

/* A process that only looks at files sends no command, so no client is expected then. */
static void test_looked_at(const char *name) {
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    char path[128];
    pid_t client = 0;

    snprintf(path, sizeof path, "/dev/shm%s", name);
    CHECK(open(path, O_RDONLY | O_NONBLOCK) < 0 && opening(&shm),
          "an opener that sent no command and does not wait is refused");
    signal_came(&shm, START_NS);
    CHECK_EQ_U64(nqptp_shm_deadline(&shm), START_NS + 1000 * MS,
                 "after an opener that sent no command the lease is tried for in 1 s");
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_NAMED, START_NS + 5 * MS);
    CHECK(shm.lease.state == NQPTP_LEASE_HELD,
          "after an opener that sent no command the next command brings the lease");
    CHECK_EQ_I64(found(&shm, true, START_NS + 5 * MS, &client), 10,
                 "after an opener that sent no command a client finds layout 10");
    CHECK(leaves(&shm, client, START_NS + 6 * MS), "after that client left there is a lease");

    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_NAMED, START_NS + 6 * MS);
    CHECK(open(path, O_RDONLY | O_NONBLOCK) < 0 && opening(&shm),
          "a player that does not wait is refused");
    signal_came(&shm, START_NS + 6 * MS);
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_BARE, START_NS + 7 * MS);
    CHECK_EQ_I64(found(&shm, false, START_NS + 7 * MS, &client), 4,
                 "after a player that does not wait a client of layout 4 finds its layout");
    leave(client);
    nqptp_shm_stop(&shm, false);
}

static void test_without_leases(const char *name) {
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS);

    fcntl(shm.fd, F_SETLEASE, F_UNLCK);
    shm.lease.state = NQPTP_LEASE_NONE;
    shm.lease.fd = open("/dev/null", O_RDWR | O_CLOEXEC); /* no lease on that */
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_NAMED, START_NS);
    CHECK(shm.lease.state == NQPTP_LEASE_UNAVAILABLE, "the lease is known to be unavailable");
    CHECK_EQ_U64(shm.map->v10.version, 10, "without leases a named command means layout 10");
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_BARE, START_NS);
    CHECK_EQ_U64(shm.map->v4.version, 4, "without leases a bare command means layout 4");
    CHECK_EQ_U64(nqptp_shm_deadline(&shm), NQPTP_NO_DEADLINE,
                 "without leases no lease is tried for");
    close(shm.lease.fd);
    nqptp_shm_stop(&shm, false);
}

/* --- readers --------------------------------------------------------------------------------- */

/* Reads until it has seen record `last`. Exits 0 if all it saw was whole and never older. */
static void reader(const char *name, uint64_t last) {
    struct shm_structure seen;
    uint64_t newest = 0;

    alarm(60);
    while (newest < last) {
        if (!client_read(name, &seen))
            _exit(1);
        if (!is_record(&seen, seen.master_clock_id) && !is_no_master(&seen))
            _exit(2);
        if (seen.master_clock_id < newest)
            _exit(3);
        newest = seen.master_clock_id;
    }
    _exit(0);
}

static bool is_set(const struct shm_structure_set *set) {
    uint64_t n = set->master_clock_id - 1;
    return set->master_clock_id == 0
               ? set->local_time == 0 && set->master_clock_start_time == 0
               : set->local_time == n * 3 && set->local_to_master_time_offset == n * 5 &&
                     set->master_clock_start_time == n * 7;
}

/*
 * The same in layout 10: two copies, a barrier between them, and the first set of the one counts if
 * the second set of the other is equal. That rule of the layout's cannot tell if the writer was at
 * the same word of both sets when they were copied. It takes an emulator to see that, which is slow
 * enough for the two to run in step; and then it is at most one copy in ten thousand. So one copy
 * in a thousand is too many.
 */
static void reader_10(const char *name, uint64_t last) {
    int fd = shm_open(name, O_RDONLY, 0);
    const struct shm_structure_10 *map = mmap(NULL, sizeof *map, PROT_READ, MAP_SHARED, fd, 0);
    struct shm_structure_10 first, second;
    uint64_t newest = 0;
    unsigned copies = 0, torn = 0;

    alarm(60);
    for (; newest < last + 1; copies++) {
        memcpy(&first, map, sizeof first);
        atomic_thread_fence(memory_order_seq_cst);
        memcpy(&second, map, sizeof second);
        if (memcmp(&first.main, &second.secondary, sizeof first.main) != 0)
            continue;
        torn += !is_set(&first.main);
        if (first.main.master_clock_id < newest)
            _exit(3);
        newest = first.main.master_clock_id;
    }
    _exit(torn > copies / 1000 ? 2 : 0);
}

static void check_readers_see_whole_records(const char *name, unsigned layout) {
    enum { READERS = 3, LAST = 50000 };
    struct nqptp_shm shm = open_as(name, layout, START_NS);
    pid_t readers[READERS];
    uint64_t now_ns = START_NS;

    for (int i = 0; i < READERS; i++)
        if ((readers[i] = fork()) == 0)
            (layout == 10 ? reader_10 : reader)(name, LAST);
    /* Time goes slowly here: a reader that has to wait for a processor is not to be taken over. */
    for (uint64_t n = 1; n <= LAST; n++, now_ns += MS / 100)
        publish(&shm, n, now_ns);
    for (int i = 0; shm.pending && i < 200; i++, now_ns += 2 * MS) {
        poll(NULL, 0, 20);
        nqptp_shm_retry(&shm, now_ns);
    }
    for (int i = 0; i < READERS; i++)
        CHECK_EQ_I64(ended(readers[i]), 0, "layout %u: reader %d saw whole records, in order",
                     layout, i);
    nqptp_shm_stop(&shm, false);
}

static void test_readers_see_whole_records(const char *name) {
    check_readers_see_whole_records(name, 4);
    check_readers_see_whole_records(name, 10);
}

/* --- clients in trouble ----------------------------------------------------------------------- */

/* Locks the mutex, says so, and stops. When it is continued it goes on as any client would. */
static void holder(const char *name, int say) {
    struct shm_structure *map = client_map(name);
    struct shm_structure seen;

    alarm(60);
    pthread_mutex_lock(&map->shm_mutex);
    if (write(say, "L", 1) != 1)
        _exit(1);
    kill(getpid(), SIGSTOP);
    pthread_mutex_unlock(&map->shm_mutex);
    munmap(map, sizeof *map);
    for (int i = 0; i < 100; i++)
        if (!client_read(name, &seen))
            _exit(2);
    _exit(0);
}

static void waiter(const char *name, int say) {
    struct shm_structure seen;

    alarm(60);
    if (write(say, "W", 1) != 1)
        _exit(1);
    _exit(client_read(name, &seen) && is_record(&seen, 2) ? 0 : 2);
}

static pid_t start(void (*client)(const char *, int), const char *name) {
    int channel[2];

    if (pipe(channel) < 0)
        return -1;
    pid_t child = fork();
    if (child == 0)
        client(name, channel[1]);
    close(channel[1]);
    CHECK(hear(channel[0]), "the client says that it runs");
    close(channel[0]);
    return child;
}

/* The client that has the mutex is killed, or is stopped and goes on after it was taken over. */
static void test_taken_over(const char *name, bool killed) {
    const char *fate = killed ? "killed" : "stopped";
    struct nqptp_shm shm = open_object(name);
    struct shm_structure seen;
    int status;

    publish(&shm, 1, START_NS);
    pid_t culprit = start(holder, name);
    waitpid(culprit, &status, WUNTRACED);
    if (killed) {
        kill(culprit, SIGKILL);
        waitpid(culprit, &status, 0);
    }
    pid_t second = start(waiter, name);
    poll(NULL, 0, 50); /* let it fall asleep on the mutex; if it does not, less is proved */

    publish(&shm, 2, START_NS);
    CHECK(shm.map->v4.master_clock_id == 1, "%s: the mutex is respected at first", fate);
    CHECK_EQ_U64(nqptp_shm_deadline(&shm), START_NS + 2 * MS, "%s: the record waits for 2 ms",
                 fate);
    nqptp_shm_retry(&shm, START_NS + 999 * MS);
    CHECK_EQ_U64(nqptp_shm_deadline(&shm), START_NS + 1001 * MS,
                 "%s: after 999 ms the record waits for 2 ms more", fate);
    CHECK(shm.map->v4.master_clock_id == 1, "%s: within a second the mutex is respected", fate);
    nqptp_shm_retry(&shm, START_NS + 1001 * MS);
    CHECK(shm.map->v4.master_clock_id == 2, "%s: after a second the mutex is taken over", fate);
    CHECK_EQ_U64(nqptp_shm_deadline(&shm), NQPTP_NO_DEADLINE,
                 "after the mutex is taken over there is no deadline");
    CHECK_EQ_I64(ended(second), 0, "%s: the client that waited behind it gets the record", fate);
    if (!killed) {
        kill(culprit, SIGCONT);
        CHECK_EQ_I64(ended(culprit), 0,
                     "stopped: the client that is continued unlocks, unmaps and reads on unharmed");
    }
    publish(&shm, 3, START_NS + 2000 * MS);
    CHECK(client_read(name, &seen) && is_record(&seen, 3), "%s: a new client reads the next record",
          fate);
    nqptp_shm_stop(&shm, false);
}

static void test_another_holder_has_its_own_second(const char *name) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure *map = client_map(name);
    int *words = (int *)(void *)&map->shm_mutex; /* the lock word, and third the holder */

    words[0] = 1;
    words[2] = 111;
    publish(&shm, 5, START_NS);
    words[2] = 222;
    nqptp_shm_retry(&shm, START_NS + 900 * MS);
    nqptp_shm_retry(&shm, START_NS + 1500 * MS);
    CHECK_EQ_U64(map->master_clock_id, 0,
                 "a second holder of the mutex is not blamed for the first");
    nqptp_shm_retry(&shm, START_NS + 1910 * MS);
    CHECK_EQ_U64(map->master_clock_id, 5,
                 "a second holder of the mutex is given up after its own second");
    munmap(map, sizeof *map);
    nqptp_shm_stop(&shm, false);
}

static void test_truncated(const char *name) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure seen;
    struct stat status = {0};

    for (uint64_t n = 1; n <= 50; n++) {
        if (ftruncate(shm.fd, 0) < 0)
            CHECK(false, "ftruncate");
        publish(&shm, n, START_NS);
    }
    fstat(shm.fd, &status);
    CHECK_EQ_I64(status.st_size, NQPTP_SHM_SIZE,
                 "an object that was cut short gets its size again");
    CHECK(client_read(name, &seen) && is_record(&seen, 50),
          "an object that was cut short is written again");
    nqptp_shm_stop(&shm, false);
}

static void test_scribbled(const char *name) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure *map = client_map(name), seen;
    struct prng random = {4711};
    unsigned wrong = 0;
    uint64_t now_ns = START_NS;

    for (uint64_t n = 1; n <= 200; n++, now_ns += 10 * MS) {
        prng_fill(&random, (uint8_t *)map, sizeof *map);
        publish(&shm, n, now_ns);
        if (shm.pending) {
            now_ns += 1001 * MS;
            nqptp_shm_retry(&shm, now_ns);
        }
        wrong += shm.pending || !client_read(name, &seen) || !is_record(&seen, n);
    }
    CHECK_EQ_U64(wrong, 0, "random bytes in the object are put right within a second, 200 times");
    munmap(map, sizeof *map);
    nqptp_shm_stop(&shm, false);
}

/* A mutex that has another holder at each look. */
static void test_ever_other_holders(const char *name) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure *map = client_map(name);
    int *words = (int *)(void *)&map->shm_mutex;
    uint64_t ns = 0;

    publish(&shm, 4, START_NS);
    for (words[0] = 1; ns < 10000 * MS && map->master_clock_id != 5; ns += 100 * MS) {
        words[2] = (int)(ns / MS);
        publish(&shm, 5, START_NS + ns);
    }
    CHECK(ns > 2900 * MS && ns < 3200 * MS,
          "different holders of the mutex in turn are waited for for 3 s");
    words[0] = 1;
    publish(&shm, 6, START_NS + ns);
    CHECK_EQ_U64(map->master_clock_id, 5,
                 "different holders of the mutex after that are waited for again");
    munmap(map, sizeof *map);
    nqptp_shm_stop(&shm, false);
}

/* A client died with the mutex while there was no daemon; another one waits for it. */
static void test_adopted_mutex(const char *name) {
    struct nqptp_shm shm = open_object(name);
    int status;

    publish(&shm, 2, START_NS);
    nqptp_shm_close(&shm);
    pid_t culprit = start(holder, name);
    waitpid(culprit, &status, WUNTRACED);
    kill(culprit, SIGKILL);
    waitpid(culprit, &status, 0);
    pid_t second = start(waiter, name);
    poll(NULL, 0, 50);
    shm = open_object(name);
    CHECK_EQ_I64(ended(second), 0, "an adopted object has its record and a free mutex");
    nqptp_shm_stop(&shm, false);
}

/* Faults of an adopted object before this process has published a record. */
static void test_adopted_in_trouble(const char *name) {
    struct nqptp_shm shm = open_as(name, 9, START_NS);
    int status;

    publish(&shm, 2, START_NS);
    nqptp_shm_close(&shm);
    shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    shm.layout = nqptp_shm_layout(8);
    shm.map->v9.version = 8;
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_PLAY, START_NS);
    CHECK(shm.map->v9.version == 9 && shm.map->v9.master_clock_id == 3,
          "an adopted object of layout 8 becomes 9 and has its record");
    nqptp_shm_stop(&shm, false);

    shm = open_object(name);
    publish(&shm, 2, START_NS);
    nqptp_shm_close(&shm);
    shm = open_object(name);
    pid_t culprit = start(holder, name);
    waitpid(culprit, &status, WUNTRACED);
    kill(culprit, SIGKILL);
    waitpid(culprit, &status, 0);
    pid_t second = start(waiter, name);
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_BARE, START_NS);
    nqptp_shm_retry(&shm, START_NS + 1001 * MS);
    CHECK_EQ_I64(ended(second), 0,
                 "the mutex of an adopted object is taken over, and the record is there");
    nqptp_shm_stop(&shm, false);

    for (unsigned layout = 8; layout <= 10; layout++) {
        shm = open_as(name, layout, START_NS);
        publish(&shm, 2, START_NS);
        nqptp_shm_close(&shm);
        shm = open_as(name, layout, START_NS);
        CHECK(ftruncate(shm.fd, 0) == 0, "an adopted object is cut short");
        nqptp_shm_mend(&shm, START_NS);
        nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_NAMED, START_NS);
        CHECK_EQ_U64(layout == 10 ? shm.map->v10.version : shm.map->v9.version, layout,
                     "an adopted object that was cut short has its layout after a command");
        nqptp_shm_stop(&shm, false);
    }
}

/* A client that slept while the word it sleeps on was written over, or the object emptied. */
static void test_waits_in_vain(const char *name, bool cut) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure *map = client_map(name);
    int status;

    publish(&shm, 1, START_NS);
    pid_t culprit = start(holder, name);
    waitpid(culprit, &status, WUNTRACED);
    pid_t second = start(waiter, name);
    poll(NULL, 0, 50);
    if (cut)
        CHECK(ftruncate(shm.fd, 0) == 0 && ftruncate(shm.fd, NQPTP_SHM_SIZE) == 0,
              "the object is emptied and gets its size again");
    else
        memset(&map->shm_mutex, 0, sizeof map->shm_mutex);
    publish(&shm, 2, START_NS);
    CHECK_EQ_I64(ended(second), 0, "a client that waits for a mutex that looks free is woken");
    end_holder(culprit);
    munmap(map, sizeof *map);
    nqptp_shm_stop(&shm, false);
}

/* 9 waits to be written over 8, for a client that has the mutex. */
static void test_adopted_8_waits(const char *name) {
    struct nqptp_shm shm = open_as(name, 8, START_NS);

    publish(&shm, 2, START_NS);
    nqptp_shm_close(&shm);
    shm = open_as(name, NQPTP_SHM_AUTO, START_NS);
    pthread_mutex_lock(&shm.map->mutex);
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_PLAY, START_NS);
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_PLAY, START_NS);
    pthread_mutex_unlock(&shm.map->mutex);
    nqptp_shm_retry(&shm, START_NS + 3 * MS);
    CHECK(shm.map->v9.version == 9 && shm.map->v9.master_clock_id == 3,
          "an adopted object of layout 8 whose mutex a client has becomes 9 later and has its "
          "record");
    nqptp_shm_stop(&shm, false);
}

/* --- when the object is taken away ------------------------------------------------------------ */

static void test_removed(const char *name) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure seen;

    CHECK_EQ_I64(nqptp_shm_mend(&shm, START_NS), 0, "an object that has its name stays");
    publish(&shm, 8, START_NS);
    struct shm_structure *old = client_map(name);
    shm_unlink(name);
    CHECK_EQ_I64(nqptp_shm_mend(&shm, START_NS), 1, "the name is removed: there is a new object");
    CHECK(client_read(name, &seen) && is_record(&seen, 8), "the new object has the record");
    CHECK_EQ_I64(nqptp_shm_mend(&shm, START_NS), 0, "the new object has its name");
    publish(&shm, 9, START_NS);
    CHECK(client_read(name, &seen) && is_record(&seen, 9), "the new object is written");
    CHECK(is_record(old, 8), "after the name was removed the old mapping is not written");
    munmap(old, sizeof *old);
    nqptp_shm_stop(&shm, false);
    CHECK_EQ_U64(inode_of(name), 0,
                 "after the name was removed the new object is removed at the end");
}

/* The first sample after a restart has not come yet. */
static void test_adopted_and_removed(const char *name) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure seen;

    publish(&shm, 8, START_NS);
    nqptp_shm_close(&shm);
    shm = open_object(name);
    CHECK(ftruncate(shm.fd, 0) == 0, "an adopted object is cut short");
    nqptp_shm_mend(&shm, START_NS);
    nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_BARE, START_NS);
    CHECK(client_read(name, &seen) && is_record(&seen, 8),
          "an adopted object was cut short: it has its record again");
    shm_unlink(name);
    CHECK_EQ_I64(nqptp_shm_mend(&shm, START_NS), 1, "an adopted object's name is removed");
    CHECK(client_read(name, &seen) && is_record(&seen, 8),
          "an adopted object's name was removed: the new object has its record");
    nqptp_shm_stop(&shm, false);
}

static void test_replaced(const char *name) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure seen;
    char path[128], text[64];

    snprintf(path, sizeof path, "/dev/shm%s", name);
    publish(&shm, 1, START_NS);
    CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0, "a directory takes the object's name");
    CHECK_EQ_I64(nqptp_shm_mend(&shm, START_NS), -EEXIST,
                 "a directory has the object's name: mend fails");
    nqptp_shm_describe(name, text, sizeof text);
    CHECK(strncmp(text, "a directory, owned by uid ", 26) == 0 && strstr(text, "mode 0700"),
          "a directory has the object's name: it is described as one: %s", text);
    CHECK(!nqptp_shm_is_leased(name), "a directory has the object's name: no lease is seen");
    publish(&shm, 2, START_NS);
    CHECK(is_record(&shm.map->v4, 2), "the object without a name is written all the same");
    nqptp_shm_stop(&shm, false);
    CHECK(rmdir(path) == 0, "a directory has the object's name: it is still there at the end");

    shm = open_object(name);
    publish(&shm, 2, START_NS);
    unlink(path);
    close(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    CHECK_EQ_I64(nqptp_shm_mend(&shm, START_NS), 1, "an empty file of ours has the name: taken");
    CHECK(client_read(name, &seen) && is_record(&seen, 2), "the file of ours is filled");
    nqptp_shm_stop(&shm, false);
}

/* The object that has the name now keeps its layout, because a client may have it open. */
static void test_replaced_by_another_layout(const char *name) {
    struct nqptp_shm shm = open_as(name, NQPTP_SHM_AUTO, START_NS), other;
    char path[128], other_name[80], other_path[160];

    snprintf(path, sizeof path, "/dev/shm%s", name);
    snprintf(other_name, sizeof other_name, "%s-other", name);
    snprintf(other_path, sizeof other_path, "/dev/shm%s", other_name);
    publish(&shm, 2, START_NS);
    CHECK_EQ_U64(shm.map->v4.version, 4, "the object has layout 4");
    other = open_as(other_name, 10, START_NS);
    publish(&other, 1, START_NS);
    nqptp_shm_close(&other);
    CHECK(rename(other_path, path) == 0, "an object of layout 10 takes its name");
    CHECK_EQ_I64(nqptp_shm_mend(&shm, START_NS), 1, "an object of layout 10 has the name: taken");
    CHECK(shm.map->v10.version == 10 && shm.map->v10.main.master_clock_id == 3 &&
              shm.map->v10.secondary.master_clock_id == 3,
          "an object of layout 10 has the name: it has the record, in its layout");
    nqptp_shm_stop(&shm, false);
}

static void check_size(const char *name, off_t size) {
    struct nqptp_shm shm = open_object(name);
    struct shm_structure seen;
    struct stat status = {0};

    CHECK(ftruncate(shm.fd, size) == 0, "an object is made %ld bytes long", (long)size);
    CHECK_EQ_I64(nqptp_shm_mend(&shm, START_NS), 0, "an object of another size is no other object");
    publish(&shm, 3, START_NS);
    fstat(shm.fd, &status);
    CHECK_EQ_I64(status.st_size, NQPTP_SHM_SIZE, "an object of another size gets its size again");
    CHECK(client_read(name, &seen) && is_record(&seen, 3),
          "an object of another size has its record");
    nqptp_shm_stop(&shm, false);
}

static void test_sizes(const char *name) {
    static const off_t sizes[] = {0, 1, 44, 100, 4095, 4096, 16383, 1 << 20};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check_size(name, sizes[i]);
}

static void check_command_mends(const char *name, unsigned layout) {
    struct nqptp_shm shm = open_as(name, layout, START_NS);
    union nqptp_shm_image before = *shm.map;
    struct prng random = {42};

    prng_fill(&random, (uint8_t *)shm.map, sizeof *shm.map);
    for (uint64_t ns = 0; ns <= 1100 * MS; ns += 1100 * MS)
        nqptp_shm_ask(&shm, NQPTP_SHM_ASKED_BARE, START_NS + ns);
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c): wanted
    bool same = memcmp(shm.map, &before, sizeof before) == 0;
    CHECK(same,
          "layout %u: a command puts right what random bytes overwrote, with a master or without",
          layout);
    nqptp_shm_stop(&shm, false);
}

static void test_command_mends(const char *name) {
    check_command_mends(name, 4);
    check_command_mends(name, 9);
    check_command_mends(name, 10);
}

static void test_leases(const char *name) {
    test_auto(name);
    test_layout_stays_while_in_use(name);
    test_no_polling(name);
    test_closes_in_quick_succession(name);
    test_changes_of_generation(name);
    test_adopted_in_use(name);
    test_hundred_openings(name);
    test_impatient(name);
    test_read_write_opener_is_gone(name);
    test_looked_at(name);
    test_without_leases(name);
}

static void test_stops(const char *name) {
    test_stopped_in_use(name, true);
    test_stopped_in_use(name, false);
    test_put_aside(name);
    test_put_aside_over(name);
    test_put_aside_twice(name);
    test_put_aside_among_many(name);
    test_claimed_directory(name);
}

static void test_clients_in_trouble(const char *name) {
    test_taken_over(name, true);
    test_taken_over(name, false);
    test_another_holder_has_its_own_second(name);
    test_truncated(name);
    test_scribbled(name);
    test_ever_other_holders(name);
    test_adopted_mutex(name);
    test_adopted_in_trouble(name);
    test_adopted_8_waits(name);
    test_waits_in_vain(name, true);
    test_waits_in_vain(name, false);
}

int main(void) {
    static void (*const tests_without_mutex[])(const char *name) = {
        test_unknown_mutex,
        test_layout_10,
    };
    static void (*const tests[])(const char *name) = {
        test_new_object,
        test_group,
        test_adoption,
        test_adopted_sizes,
        test_in_the_way,
        test_other_layouts,
        test_kept,
        test_claimed,
        test_not_ours,
        test_served_by_another,
        test_locked_by_client,
        test_lock_survives_link,
        test_immutable,
        test_layouts_8_and_9,
        test_leases,
        test_readers_see_whole_records,
        test_clients_in_trouble,
        test_removed,
        test_adopted_and_removed,
        test_replaced,
        test_replaced_by_another_layout,
        test_sizes,
        test_command_mends,
    };
    char name[64];
    sigset_t set;
    bool private = make_dev_shm_private();

    sigemptyset(&set); /* The tests wait for it, as the daemon does. */
    sigaddset(&set, NQPTP_LEASE_SIGNAL);
    sigprocmask(SIG_BLOCK, &set, NULL);
    snprintf(name, sizeof name, "/nqptp-test-%ld", (long)getpid());
    int result = private ? -1 : test_in_child(name + 1);
    if (result >= 0)
        return result;
    TAP_RUN(tests_without_mutex, name);
#ifdef __GLIBC__
    CHECK(nqptp_shm_can_serve(4), "the mutex of glibc is known");
#endif
    if (!nqptp_shm_can_serve(4)) {
        CHECK(true, "all else # SKIP it takes a C library whose mutex is known, as glibc's is");
        return tap_done();
    }
    TAP_RUN(tests, name);
    if (private)
        test_stops(name);
    else
        CHECK(true, "stop and start # SKIP they take a /dev/shm of their own, so CAP_SYS_ADMIN or "
                    "a user namespace");
    return tap_done();
}
