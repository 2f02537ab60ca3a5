/* SPDX-License-Identifier: MIT */
/*
 * Proves which client makes room for a new one, what counts as use of an object, which kept
 * commands come back, and what becomes of an object whose name is removed.
 */
#include "nqptp-objects.h"

#include "../lib/dev-shm.h"
#include "../lib/tap.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define S UINT64_C(1000000000)

static struct nqptp_objects objects;
static struct nqptp_engine engine;
static uint64_t now_ns = 5000 * S;

/* Takes a command as the daemon does. */
static void command(const char *text) {
    struct nqptp_command command;
    struct nqptp_effects effects;

    now_ns += S / 1000;
    if (nqptp_command_parse(text, strlen(text), &command) ||
        !nqptp_objects_has_client(&objects, &engine, &command, now_ns))
        return;
    struct nqptp_answer answer = nqptp_engine_command(&engine, &command, now_ns, &effects);
    if (answer.client >= 0)
        nqptp_objects_command(&objects, answer.client, &command, text, strlen(text), now_ns);
}

static int find(const char *name) {
    return nqptp_clients_find(&engine.clients, name);
}

static bool plays(const char *name) {
    return nqptp_client_plays(&engine.clients.list[find(name)]);
}

/* Lets time pass, and does all that is due. */
static void pass(uint64_t until_ns) {
    struct nqptp_effects effects;
    uint64_t due_ns;

    while ((due_ns = nqptp_objects_due_ns(&objects, &engine.clients)) <= until_ns) {
        now_ns = due_ns > now_ns ? due_ns : now_ns + 1;
        nqptp_objects_retry(&objects, &engine, now_ns, &effects);
    }
    now_ns = until_ns;
}

static void begin_with(unsigned layout) {
    nqptp_objects_init(&objects, (gid_t)-1, "");
    nqptp_engine_init(&engine, 1);
    CHECK_EQ_I64(nqptp_objects_add(&objects, &engine, "/nqptp", layout, now_ns), 0,
                 "the first object opens");
}

static void begin(void) {
    begin_with(NQPTP_SHM_LAYOUT_10);
}

/* Returns after how many tenths of a second the client stops playing; 2000: not within 200 s. */
static unsigned stops_after(const char *name) {
    unsigned tenths = 0;

    for (; tenths < 2000 && plays(name); tenths++)
        pass(now_ns + S / 10);
    return tenths;
}

/* The daemon looks every 5 s: a process closes the object soon after a look, or just before one. */
static void check_unused(uint64_t open_ns, const char *when) {
    begin();
    command("/kitchen T 192.0.2.1");
    command("/kitchen B");
    int fd = shm_open("/kitchen", O_RDONLY, 0);
    pass(now_ns + open_ns);
    CHECK(fd >= 0 && plays("/kitchen"), "a process has its object open: a player plays on");
    close(fd);
    unsigned tenths = stops_after("/kitchen");
    CHECK(tenths > 1200 && tenths <= 1250,
          "closed %s a look: a player has stopped after 120 to 125 s (%u.%u s)", when, tenths / 10,
          tenths % 10);
    nqptp_objects_stop(&objects, &engine.clients);
}

static void test_unused(void) {
    check_unused(1000 * S + S / 10, "soon after");
    check_unused(1000 * S - S / 10, "just before");
}

/* A client of layout 4 opens the object for a moment only, which no look sees. */
static void test_signs_of_use(void) {
    struct nqptp_shm *first = &objects.list[0].shm;

    begin_with(NQPTP_SHM_LAYOUT_4);
    CHECK_EQ_U64(nqptp_objects_due_ns(&objects, &engine.clients), NQPTP_NO_DEADLINE,
                 "no client plays: there is no deadline");
    command("T 192.0.2.1");
    pass(now_ns + 1000 * S);
    CHECK(plays("/nqptp"), "a fixed layout with a mutex: the player plays on");
    nqptp_objects_stop(&objects, &engine.clients);

    begin();
    command("T 192.0.2.1");
    pass(now_ns + 102 * S);
    command("T 192.0.2.1");
    pass(now_ns + 120 * S);
    CHECK(plays("/nqptp"), "a command 120 s ago: the player plays on");
    first->lease.opener = NQPTP_OPENER_READ_WRITE;
    nqptp_objects_signalled(&objects, now_ns);
    pass(now_ns + 120 * S);
    CHECK(plays("/nqptp"), "an opener 120 s ago: the player plays on");
    pass(now_ns + 10 * S);
    CHECK(!plays("/nqptp"), "neither a command nor an opener for 130 s: the player has stopped");
    nqptp_objects_stop(&objects, &engine.clients);
}

static void test_status(void) {
    static struct nqptp_status status;
    enum nqptp_lease_state *state = &objects.list[0].shm.lease.state;

    begin();
    command("/kitchen T");
    nqptp_objects_status(&objects, &status);
    CHECK(status.objects[0].layout == 10 && status.objects[1].layout == 10 &&
              status.objects[2].layout == 0,
          "the status has the layout of each object");
    CHECK(status.objects[0].use == NQPTP_USE_UNKNOWN, "without a lease the use is unknown");
    *state = NQPTP_LEASE_HELD;
    nqptp_objects_status(&objects, &status);
    CHECK(status.objects[0].use == NQPTP_USE_NONE, "the lease is held: no process has it open");
    *state = NQPTP_LEASE_REFUSED;
    nqptp_objects_status(&objects, &status);
    CHECK(status.objects[0].use == NQPTP_USE_OPEN, "the lease is not held: it counts as open");
    nqptp_objects_stop(&objects, &engine.clients);
}

/* A client chose the name of a named object, and the file may be another program's. */
static void test_other_layout(void) {
    begin_with(NQPTP_SHM_LAYOUT_10);
    command("/kitchen T 192.0.2.1");
    nqptp_shm_close(&objects.list[find("/kitchen")].shm);
    nqptp_shm_close(&objects.list[0].shm);
    uint16_t version = 11;
    int fd = shm_open("/nqptp", O_RDWR, 0), named = shm_open("/kitchen", O_RDWR, 0);
    CHECK(pwrite(fd, &version, sizeof version, 0) == sizeof version &&
              pwrite(named, &version, sizeof version, 0) == sizeof version,
          "two objects get a layout that no version had");
    close(fd);
    close(named);
    begin_with(NQPTP_SHM_LAYOUT_10);
    CHECK_EQ_U64(objects.list[0].shm.map->v10.version, 10, "/nqptp gets its layout again");
    command("/kitchen T 192.0.2.1");
    CHECK(find("/kitchen") < 0, "a named object of another layout is refused");
    nqptp_objects_stop(&objects, &engine.clients);
    shm_unlink("/kitchen");
}

static void test_record_of_a_player(void) {
    struct nqptp_shm_record record = {.grandmaster_identity = 7, .start_time_ns = now_ns};
    struct shm_structure_10 *map;

    nqptp_address_parse("192.0.2.1", 9, &record.address);
    begin();
    nqptp_objects_publish(&objects, 0, &record, now_ns);
    shm_unlink("/nqptp");
    nqptp_objects_publish(&objects, 0, &record, now_ns + 999 * S / 1000);
    CHECK(access("/dev/shm/nqptp", F_OK) < 0, "the name is looked at once a second only");
    nqptp_objects_publish(&objects, 0, &record, now_ns + S);
    int fd = shm_open("/nqptp", O_RDONLY, 0);
    CHECK(fd >= 0, "the name was removed: a second later there is a new object");
    map = mmap(NULL, sizeof *map, PROT_READ, MAP_SHARED, fd, 0);

    nqptp_shm_close(&objects.list[0].shm);
    begin();
    CHECK_EQ_U64(engine.clients.list[0].inherited.start_time_ns, record.start_time_ns,
                 "the next daemon takes the record over");
    command("T 192.0.2.1");
    nqptp_objects_stop(&objects, &engine.clients);
    CHECK_EQ_U64(map->main.master_clock_id, 7, "stopped while the client plays: the record stays");
    munmap(map, sizeof *map);
    close(fd);
}

static void test_room(void) {
    char text[64];

    begin();
    command("/lists T 192.0.2.1");
    command("/plays T 192.0.2.1");
    command("/plays B");
    command("/open T");
    int fd = shm_open("/open", O_RDONLY, 0);
    command("/ended T 192.0.2.1");
    command("/ended B");
    command("/ended E");
    for (int n = 5; n < NQPTP_CLIENTS_MAX; n++) {
        snprintf(text, sizeof text, "/client%d T", n);
        command(text);
    }
    const struct nqptp_object *last = &objects.list[NQPTP_CLIENTS_MAX - 1];
    struct nqptp_shm_record record = {0};
    nqptp_objects_publish(&objects, NQPTP_CLIENTS_MAX - 1, &record, now_ns);
    uint64_t look_at_ns = last->look_at_ns;
    CHECK_EQ_U64(engine.clients.top, NQPTP_CLIENTS_MAX, "all names can be taken");
    command("/new T");
    CHECK(find("/new") >= 0, "all names are taken: a new client gets one");
    CHECK(find("/lists") >= 0, "a client that plays by its list makes no room");
    CHECK(find("/plays") >= 0, "a client that plays makes no room");
    CHECK(find("/open") >= 0, "a client whose object is open makes no room");
    CHECK(find("/ended") < 0, "the oldest client that does not play makes room");
    CHECK(access("/dev/shm/ended", F_OK) < 0, "the object of that client is removed");
    int moved = find("/client63");
    CHECK(moved >= 0 && strcmp(objects.list[moved].shm.name, "/client63") == 0 &&
              look_at_ns > now_ns && objects.list[moved].look_at_ns == look_at_ns,
          "the last client gets the free number, with all that is known of its object");
    close(fd);
    nqptp_objects_stop(&objects, &engine.clients);
}

static void test_room_of_the_last_client(void) {
    char text[64];

    begin();
    for (int n = 1; n < NQPTP_CLIENTS_MAX; n++) {
        snprintf(text, sizeof text, "/client%d T", n);
        command(text);
        snprintf(text, sizeof text, "/client%d B", n);
        if (n < NQPTP_CLIENTS_MAX - 1)
            command(text);
    }
    command("/new T");
    CHECK(find("/new") == NQPTP_CLIENTS_MAX - 1 && find("/client63") < 0,
          "all clients but the last one play: the last one makes room");
    CHECK_EQ_STR(objects.list[NQPTP_CLIENTS_MAX - 1].shm.name, "/new",
                 "the new client has the object of the last number");
    nqptp_objects_stop(&objects, &engine.clients);
}

/* A name of an interface may end with bytes beyond ASCII, and a char may be signed. */
static void test_kept(void) {
    static const char list[] = "T fe80::1%w\xc3\xa4";
    static char kept[NQPTP_OBJECTS_KEPT_MAX];
    char names[] = "";

    begin();
    CHECK_EQ_I64(nqptp_kept_write(objects.list[0].shm.fd, NQPTP_KEPT_LIST, list, sizeof list), 0,
                 "a list with a NUL at its end is kept");
    nqptp_objects_kept(&objects, names, kept);
    CHECK(strcmp(kept, "T fe80::1%w\xc3\xa4\n") == 0,
          "a list that ends with a letter beyond ASCII comes back whole, without its NUL");
    nqptp_objects_stop(&objects, &engine.clients);
}

/*
 * Root removes the name of /nqptp while a process opens it: the command that the daemon reads then
 * makes a new object. The opener waits for the old one, so the new one's lease must stay.
 */
static void test_removed_at_an_opening(void) {
    if (!nqptp_shm_can_serve(NQPTP_SHM_LAYOUT_4)) {
        CHECK(true, "a lease # SKIP it takes a C library whose mutex is known, as glibc's is");
        return;
    }
    begin_with(NQPTP_SHM_AUTO);
    command("/nqptp T 192.0.2.1");
    pid_t opener = fork();
    if (opener == 0)
        _exit(shm_open("/nqptp", O_RDONLY, 0) >= 0 ? 0 : 1);
    bool waits = false;
    for (int i = 0; i < 10000 && !(waits = nqptp_objects_note_opener(&objects)); i++)
        poll(NULL, 0, 1);
    CHECK(waits, "a process opens the object and waits");
    shm_unlink("/nqptp");
    command("/nqptp T 192.0.2.1");
    nqptp_objects_signalled(&objects, now_ns);
    CHECK_EQ_U64(objects.list[0].shm.lease.state, NQPTP_LEASE_HELD,
                 "the object that was made meanwhile keeps its lease");
    int status = -1;
    waitpid(opener, &status, 0);
    CHECK_EQ_I64(status, 0, "the process that waited goes on");
    nqptp_objects_stop(&objects, &engine.clients);
}

static void keep(const char *name, const char *text) {
    nqptp_kept_write(objects.list[find(name)].shm.fd, NQPTP_KEPT_LIST, text, strlen(text));
}

static void test_kept_of_all(void) {
    static char kept[NQPTP_OBJECTS_KEPT_MAX];
    char names[] = "/cellar /nqptp /a/b ";

    begin();
    command("T 192.0.2.1");
    command("/kitchen T 192.0.2.2");
    command("/kitchen P");
    CHECK(nqptp_kept_read(objects.list[0].shm.fd, NQPTP_KEPT_NAMES, kept) == 9 &&
              memcmp(kept, "/kitchen ", 9) == 0,
          "the name of the only named object is kept");
    command("/attic T 192.0.2.3");
    command("/cellar T 192.0.2.4");
    keep("/attic", "/kitchen T 192.0.2.6");
    nqptp_kept_write(objects.list[0].shm.fd, NQPTP_KEPT_ACTIVITY, "?", 1);
    for (int c = 1; c < engine.clients.top; c++)
        nqptp_shm_close(&objects.list[c].shm);
    nqptp_objects_kept(&objects, names, kept);
    CHECK_EQ_STR(kept,
                 "T 192.0.2.1\n/kitchen T 192.0.2.2\n/kitchen P\n/cellar T 192.0.2.4\n"
                 "/cellar T 192.0.2.4\n",
                 "each object's own list comes back, and no other command");
    nqptp_objects_stop(&objects, &engine.clients);
    CHECK(shm_unlink("/kitchen") == 0 && shm_unlink("/attic") == 0 && shm_unlink("/cellar") == 0,
          "a closed object stays");
}

int main(void) {
    static void (*const tests[])(void) = {
        test_removed_at_an_opening,
        test_unused,
        test_signs_of_use,
        test_status,
        test_other_layout,
        test_room_of_the_last_client,
        test_record_of_a_player,
        test_room,
        test_kept,
        test_kept_of_all,
    };
    sigset_t set;

    if (!make_dev_shm_private()) {
        puts("1..0 # SKIP it takes a /dev/shm of its own");
        return 0;
    }
    sigemptyset(&set); /* The daemon blocks it as well, and reads it. */
    sigaddset(&set, NQPTP_LEASE_SIGNAL);
    sigprocmask(SIG_BLOCK, &set, NULL);
    TAP_RUN(tests);
    return tap_done();
}
