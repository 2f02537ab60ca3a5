/* SPDX-License-Identifier: MIT */
/*
 * The clients' objects: object c belongs to client c. This module makes or adopts an object before
 * the engine learns of its client, publishes records in it, hands it the client's commands, keeps
 * these for the next daemon, and logs the faults of objects.
 *
 * An entry of the list is empty (its descriptor is -1) or has an object for as long as the engine
 * has the client. Entry 0 is /nqptp, and the only one whose layout may change. When a client makes
 * room, the last one moves into its entry, here and in the engine.
 *
 * Root, or a process of our user, may remove the name of an object, and a player may be about to
 * open it. To look at a name costs as much as a packet. So the daemon looks once a second at most
 * while it publishes records, and at each command, because a player opens the object after it.
 *
 * This module never touches a mapping, and never decides which master a client has.
 */
#include "nqptp-objects.h"

#include "nqptp-shm-file.h"
#include "nqptp-text.h"
#include "nqptp-time.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UNUSED_NS (120 * NQPTP_S) /* After this time without use a player has stopped. */
#define CHECK_NS (5 * NQPTP_S)    /* The time between two looks whether an object is in use. */
#define LOOK_NS NQPTP_S /* The time between two looks at a name while records are published. */

void nqptp_objects_init(struct nqptp_objects *objects, gid_t group, const char *group_name) {
    *objects = (struct nqptp_objects){.group = group, .group_name = group_name};
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        objects->list[c].shm.fd = -1;
}

/* --- what goes wrong -------------------------------------------------------------------------- */

/* Logs what has the name of an object. The advice is another one for a name that a client chose. */
static void explain_foreign(const char *name, const char *shown) {
    const struct passwd *user = getpwuid(geteuid());
    char found[64];

    nqptp_shm_describe(name, found, sizeof found);
    if (strcmp(name, NQPTP_INTERFACE_NAME) == 0)
        nqptp_log(LOG_ERR, "%s is not ours: %s; as root, run: nqptp --claim --user=%s", name, found,
                  user ? user->pw_name : "root");
    else
        nqptp_log(LOG_ERR,
                  "%s is not ours: %s; give its player another name, or as root remove it from "
                  "/dev/shm",
                  shown, found);
}

/* Logs why there is no object of that name. */
static void explain(const char *name, int result) {
    const char *trouble = result == -EFBIG ? "the limit of file sizes (ulimit -f) is below 16 KiB"
                                           : nqptp_dev_shm_trouble();
    char shown[NQPTP_NAME_SIZE];

    nqptp_text_show(name, "", shown, sizeof shown);
    if (trouble)
        nqptp_log(LOG_ERR, "cannot make %s: %s", shown, trouble);
    else if (result == -EBUSY || (result == -EEXIST && nqptp_shm_is_leased(name)))
        nqptp_log(
            LOG_ERR,
            "another nqptp already serves %s: stop one of them, or give each its own /dev/shm",
            shown);
    else if (result == -EEXIST)
        explain_foreign(name, shown);
    else
        nqptp_log_error(LOG_ERR, result, "cannot make %s in /dev/shm", shown);
}

/* Without inotify a player that needs another layout may find the old one, so it is logged once. */
static void explain_watch(struct nqptp_objects *objects) {
    const struct nqptp_shm *first = &objects->list[0].shm;

    if (first->lease.watch_error == 0 || objects->told_unwatched)
        return;
    objects->told_unwatched = true;
    nqptp_log(LOG_WARNING,
              "inotify does not work: %s (its limits are in /proc/sys/fs/inotify); when you change "
              "to another version of Shairport Sync, wait 30 s between the two",
              strerror(-first->lease.watch_error));
}

/* --- making, publishing, checking ------------------------------------------------------------- */

int nqptp_objects_add(struct nqptp_objects *objects, struct nqptp_engine *engine, const char *name,
                      unsigned layout, uint64_t now_ns) {
    int c = nqptp_clients_next(&engine->clients);
    struct nqptp_object *object = &objects->list[c];
    struct nqptp_shm_record old;
    int result = nqptp_shm_open(&object->shm, name, layout, objects->group, now_ns);

    if (result < 0) {
        if (nqptp_warning_due(&objects->not_made, now_ns))
            explain(name, result);
        return result;
    }
    if (object->shm.group_refused)
        nqptp_log(LOG_WARNING,
                  "cannot give %s to group %s: players up to Shairport Sync 4.2 cannot use it; "
                  "start as root, or put this user into the group by usermod -aG",
                  name, objects->group_name);
    explain_watch(objects);
    object->asked_at_ns = object->used_at_ns = now_ns;
    nqptp_shm_inherited(&object->shm, &old);
    nqptp_engine_add_client(engine, name, &old);
    return 0;
}

/* Makes a new object if the name of this one was removed. */
static void check_name(struct nqptp_objects *objects, struct nqptp_shm *shm, uint64_t now_ns) {
    int result = nqptp_shm_mend(shm, now_ns);
    char shown[NQPTP_NAME_SIZE];

    nqptp_text_show(shm->name, "", shown, sizeof shown);
    if (result == 0 || !nqptp_warning_due(&objects->renewed, now_ns))
        return;
    if (result < 0)
        explain(shm->name, result);
    else
        nqptp_log(
            LOG_NOTICE,
            "%s was removed from /dev/shm, so there is a new one: restart the players that read "
            "the old one",
            shown);
}

void nqptp_objects_publish(struct nqptp_objects *objects, int c,
                           const struct nqptp_shm_record *record, uint64_t now_ns) {
    struct nqptp_clock_pair pair = nqptp_clock_pair_read();
    struct nqptp_object *object = &objects->list[c];

    nqptp_shm_publish(&object->shm, record, pair.realtime_ns - pair.raw_ns, now_ns);
    if (now_ns < object->look_at_ns)
        return;
    object->look_at_ns = now_ns + LOOK_NS;
    check_name(objects, &object->shm, now_ns);
}

/* Removes the client that sent no command for the longest time, of those that may go. */
static void make_room(struct nqptp_objects *objects, struct nqptp_engine *engine) {
    struct nqptp_object *last = &objects->list[engine->clients.top - 1], *oldest = NULL;

    for (struct nqptp_object *object = &objects->list[1]; object <= last; object++)
        if ((!oldest || object->asked_at_ns < oldest->asked_at_ns) &&
            !nqptp_client_plays(&engine->clients.list[object - objects->list]) &&
            !nqptp_shm_is_in_use(&object->shm))
            oldest = object;
    if (!oldest)
        return;
    nqptp_shm_stop(&oldest->shm, false);
    nqptp_engine_remove_client(engine, (int)(oldest - objects->list));
    *oldest = *last; /* The last client gets its number. */
    *last = (struct nqptp_object){.shm.fd = -1};
}

bool nqptp_objects_has_client(struct nqptp_objects *objects, struct nqptp_engine *engine,
                              const struct nqptp_command *command, uint64_t now_ns) {
    if (command->letter == 'T' && command->name[0] &&
        nqptp_clients_find(&engine->clients, command->name) < 0 &&
        nqptp_clients_next(&engine->clients) < 0)
        make_room(objects, engine);
    return !nqptp_engine_needs_client(engine, command) ||
           nqptp_objects_add(objects, engine, command->name, NQPTP_SHM_LAYOUT_10, now_ns) == 0;
}

void nqptp_objects_hello(const struct nqptp_objects *objects, const struct nqptp_engine *engine,
                         const struct nqptp_options *options) {
    const struct nqptp_shm *shm = &objects->list[0].shm;

    nqptp_log(LOG_NOTICE,
              "version %s, clock identity %016" PRIx64 ", serves %s in layout %u%s, on UDP ports "
              "%u, %u and %u",
              PACKAGE_VERSION, engine->self.port.clock_identity, shm->name, nqptp_shm_version(shm),
              shm->automatic ? " until a client wants another" : "", options->event_port,
              options->general_port, options->control_port);
}

/* --- commands --------------------------------------------------------------------------------- */

_Static_assert(NQPTP_CLIENTS_MAX *NQPTP_NAME_SIZE <= NQPTP_KEPT_MAX, "all names can be kept");

int nqptp_objects_keep_names(const struct nqptp_objects *objects) {
    char names[NQPTP_KEPT_MAX];
    struct nqptp_text text = {names, sizeof names, 0};

    for (int c = 1; c < NQPTP_CLIENTS_MAX; c++)
        if (objects->list[c].shm.fd >= 0)
            nqptp_text_add(&text, "%s ", objects->list[c].shm.name);
    return nqptp_kept_write(objects->list[0].shm.fd, NQPTP_KEPT_NAMES, names, text.used);
}

/* Keeps the command for the next daemon. */
static void keep(struct nqptp_objects *objects, int c, const struct nqptp_command *command,
                 const char *text, size_t length, uint64_t now_ns) {
    bool list = command->letter == 'T';
    int result = nqptp_kept_write(objects->list[c].shm.fd,
                                  list ? NQPTP_KEPT_LIST : NQPTP_KEPT_ACTIVITY, text, length);
    if (result == 0 && list && c > 0)
        result = nqptp_objects_keep_names(objects);
    if (result < 0 && nqptp_warning_due(&objects->not_kept, now_ns))
        nqptp_log_error(LOG_WARNING, result,
                        "after a restart of nqptp restart the players as well: what they asked "
                        "for cannot be kept");
}

void nqptp_objects_command(struct nqptp_objects *objects, int c,
                           const struct nqptp_command *command, const char *text, size_t length,
                           uint64_t now_ns) {
    struct nqptp_shm *shm = &objects->list[c].shm;

    objects->list[c].asked_at_ns = objects->list[c].used_at_ns = now_ns;
    check_name(objects, shm, now_ns);
    if (!nqptp_shm_ask(shm, command->asked, now_ns) &&
        nqptp_warning_due(&objects->other_layout, now_ns))
        nqptp_log(LOG_NOTICE,
                  "a player needs another layout of %s than %u, which other players use; it can "
                  "have it once they have ended",
                  shm->name, nqptp_shm_version(shm));
    keep(objects, c, command, text, length, now_ns);
}

bool nqptp_objects_note_opener(struct nqptp_objects *objects) {
    return nqptp_lease_note_opener(&objects->list[0].shm.lease);
}

void nqptp_objects_signalled(struct nqptp_objects *objects, uint64_t now_ns) {
    struct nqptp_object *first = &objects->list[0];

    if (first->shm.lease.opener != NQPTP_OPENER_NONE)
        first->used_at_ns = now_ns;
    nqptp_shm_signalled(&first->shm, now_ns);
    explain_watch(objects);
}

/* --- what the daemon before this one kept ----------------------------------------------------- */

/*
 * Adds a kept command and a newline. A client may have written the text, so it counts only if it is
 * a command of that object's client. Returns whether it is.
 */
static bool add_kept(struct nqptp_text *out, const char *name, const char *text, size_t length) {
    struct nqptp_command command;

    while (length > 0 && (unsigned char)text[length - 1] < ' ') /* The NUL that players send. */
        length--;
    bool own = !nqptp_command_parse(text, length, &command) && strchr("TBPE", command.letter) &&
               strcmp(command.name[0] ? command.name : NQPTP_INTERFACE_NAME, name) == 0;
    if (own)
        nqptp_text_add(out, "%.*s\n", (int)length, text);
    return own;
}

/* Adds what is kept in the objects with these names. A client may have written the names. */
static void add_all_kept(struct nqptp_text *out, char *names) {
    char text[NQPTP_KEPT_MAX] = "", *rest;

    for (char *name = strtok_r(names, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
        if (name[0] == '/' && !strchr(name + 1, '/') && strcmp(name, NQPTP_INTERFACE_NAME) != 0 &&
            add_kept(out, name, text, nqptp_shm_read_kept(name, NQPTP_KEPT_LIST, text)))
            add_kept(out, name, text, nqptp_shm_read_kept(name, NQPTP_KEPT_ACTIVITY, text));
}

void nqptp_objects_kept(const struct nqptp_objects *objects, char *names,
                        char text[NQPTP_OBJECTS_KEPT_MAX]) {
    const struct nqptp_shm *first = &objects->list[0].shm;
    struct nqptp_text out = {text, NQPTP_OBJECTS_KEPT_MAX, 0};
    char kept[NQPTP_KEPT_MAX + 1] = "";

    text[0] = '\0';
    add_kept(&out, first->name, kept, nqptp_kept_read(first->fd, NQPTP_KEPT_LIST, kept));
    add_kept(&out, first->name, kept, nqptp_kept_read(first->fd, NQPTP_KEPT_ACTIVITY, kept));
    kept[nqptp_kept_read(first->fd, NQPTP_KEPT_NAMES, kept)] = '\0';
    add_all_kept(&out, kept);
    add_all_kept(&out, names);
}

/* --- deadlines, status, end ------------------------------------------------------------------- */

uint64_t nqptp_objects_due_ns(const struct nqptp_objects *objects,
                              const struct nqptp_clients *clients) {
    uint64_t due_ns = NQPTP_NO_DEADLINE;

    for (int c = 0; c < clients->top; c++) {
        if (nqptp_client_plays(&clients->list[c]) && objects->check_at_ns < due_ns)
            due_ns = objects->check_at_ns;
        if (nqptp_shm_deadline(&objects->list[c].shm) < due_ns)
            due_ns = nqptp_shm_deadline(&objects->list[c].shm);
    }
    return due_ns;
}

void nqptp_objects_status(const struct nqptp_objects *objects, struct nqptp_status *status) {
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++) {
        const struct nqptp_shm *shm = &objects->list[c].shm;
        status->objects[c].layout = nqptp_shm_version(shm);
        status->objects[c].use = shm->lease.state == NQPTP_LEASE_UNAVAILABLE ? NQPTP_USE_UNKNOWN
                                 : shm->lease.state == NQPTP_LEASE_HELD      ? NQPTP_USE_NONE
                                                                             : NQPTP_USE_OPEN;
    }
}

/*
 * Notes whether the client may use its object now. A client of a layout with a mutex may open it
 * for a moment only, and with a fixed layout no lease tells of that. Returns whether the client has
 * not used it for two minutes. Its last use may be later than the look that saw it, by up to
 * CHECK_NS.
 */
static bool is_unused(struct nqptp_object *object, uint64_t now_ns) {
    const struct nqptp_shm *shm = &object->shm;

    if ((!shm->automatic && shm->layout->has_mutex) || nqptp_shm_is_in_use(shm))
        object->used_at_ns = now_ns;
    return now_ns - object->used_at_ns >= UNUSED_NS + CHECK_NS;
}

bool nqptp_objects_retry(struct nqptp_objects *objects, struct nqptp_engine *engine,
                         uint64_t now_ns, struct nqptp_effects *effects) {
    uint64_t unused = 0;

    for (int c = 0; c < engine->clients.top; c++)
        nqptp_shm_retry(&objects->list[c].shm, now_ns);
    if (now_ns < objects->check_at_ns)
        return false;
    objects->check_at_ns = now_ns + CHECK_NS;
    for (int c = 0; c < engine->clients.top; c++) {
        if (!is_unused(&objects->list[c], now_ns) || !nqptp_client_plays(&engine->clients.list[c]))
            continue;
        unused |= UINT64_C(1) << c;
        nqptp_log(LOG_INFO, "%s: the player stopped: no process has had it open for 2 minutes",
                  engine->clients.list[c].shown);
    }
    if (unused)
        nqptp_engine_unused(engine, unused, now_ns, effects);
    return unused;
}

void nqptp_objects_stop(struct nqptp_objects *objects, const struct nqptp_clients *clients) {
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++) {
        int result = nqptp_shm_stop(&objects->list[c].shm, nqptp_client_plays(&clients->list[c]));
        if (result < 0)
            nqptp_log_error(LOG_WARNING, result,
                            "%s cannot be removed or put aside: after the next start of nqptp "
                            "restart the players that have it open",
                            clients->list[c].shown);
    }
}
