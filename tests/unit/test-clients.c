/* SPDX-License-Identifier: MIT */
/*
 * Proves the rules of the engine for players with names: the commands B, E and P, a master for each
 * client, the state after a restart, and waking clocks up. A clock stops, runs slow, resumes,
 * changes its grandmaster or moves to another address: the record that players read keeps their
 * rules at every step.
 */
#include "nqptp-commands.h"
#include "nqptp-message-handlers.h"

#include "../lib/random.h"
#include "../lib/tap.h"
#include "../lib/ptp-messages.h"
#include "../lib/engine-fixture.h"

#include <net/if.h>

/* --- a player's view of its record ------------------------------------------------------------ */

#define SETTLING_NS (5 * S)        /* Until then it may rise: all first samples may be late. */
#define JUMP_NS (20 * (int64_t)MS) /* an offset that moves by more begins a new series */

/* What a player reads: the last published record, checked against the record before. */
struct view {
    int client;
    bool may_vanish;
    struct nqptp_shm_record seen;
    unsigned looks, starts, faults;
    const char *fault; /* the first fault */
};

static void fault(struct view *v, const char *what) {
    if (v->faults++ == 0)
        v->fault = what;
}

static void judge(struct view *v, const struct world *w, const struct nqptp_shm_record *new) {
    const struct nqptp_shm_record *old = &v->seen;
    int64_t moved_ns = (int64_t)(new->offset_ns - old->offset_ns);

    if (!has_master(new)) {
        if (has_master(old) && !v->may_vanish)
            fault(v, "the clock vanished");
        return;
    }
    if (new->grandmaster_identity == 0)
        fault(v, "a clock without identity");
    if (new->start_time_ns == 0 || new->start_time_ns > new->local_time_ns)
        fault(v, "a series that begins after its last sample");
    if (new->local_time_ns > w->now_ns)
        fault(v, "a sample from the future");
    bool same = has_master(old) && new->grandmaster_identity == old->grandmaster_identity;
    if (!same || new->start_time_ns != old->start_time_ns)
        v->starts++;
    if (same && new->start_time_ns < old->start_time_ns && is_at(new, &old->address))
        fault(v, "a series that begins earlier than it did");
    bool settling = new->local_time_ns - new->start_time_ns <= SETTLING_NS;
    if (same && new->start_time_ns == old->start_time_ns && is_at(new, &old->address) &&
        ((moved_ns > JUMP_NS && !settling) || moved_ns < -JUMP_NS))
        fault(v, "the offset jumps and no new series begins");
}

/* Call it after each message, command and deadline. */
static void look(struct view *v, const struct world *w) {
    struct nqptp_shm_record now = record_of(&w->engine, v->client);

    v->looks++;
    if (w->effects.publish >> v->client & 1) {
        judge(v, w, &w->effects.records[v->client]);
        v->seen = w->effects.records[v->client];
    }
    if (!same_record(&now, &v->seen))
        fault(v, "what changed was not published");
}

static void pass_looking(struct world *w, struct view *v, uint64_t ns) {
    uint64_t end_ns = w->now_ns + ns;

    while (nqptp_engine_deadline(&w->engine) <= end_ns) {
        uint64_t deadline_ns = nqptp_engine_deadline(&w->engine);
        w->now_ns = deadline_ns > w->now_ns ? deadline_ns : w->now_ns;
        nqptp_engine_expire(&w->engine, w->now_ns, &w->effects);
        look(v, w);
    }
    w->now_ns = end_ns;
}

/* Sends a Sync and its Follow_Up with the time origin_ns, and lets the rest of 125 ms pass. */
static void pair_looking(struct world *w, struct view *v, struct sender *s, uint64_t origin_ns) {
    (void)send_sync(w, s, s->sequence_id);
    look(v, w);
    w->now_ns += MS;
    (void)send_follow_up(w, s, s->sequence_id++, origin_ns);
    look(v, w);
    pass_looking(w, v, 124 * MS);
}

/* Plays for `pairs` times 125 ms, with an Announce each second. */
static void play_looking(struct world *w, struct view *v, struct sender *s, unsigned pairs) {
    for (unsigned n = 0; n < pairs; n++) {
        if (n % 8 == 0) {
            (void)send_announce(w, s);
            look(v, w);
        }
        pair_looking(w, v, s, time_of(w, s));
    }
}

static void order(struct world *w, struct view *v, const char *text) {
    command(w, text);
    look(v, w);
}

static void check_view(const struct view *v, const char *name) {
    CHECK_EQ_STR(v->fault ? v->fault : "", "", "%s: the record keeps all rules", name);
    CHECK(v->looks > 10, "%s: in %u looks", name, v->looks);
}

/* Whether the record now has this offset, to a millisecond. */
static bool offset_is(const struct view *v, uint64_t offset_ns) {
    int64_t error_ns = (int64_t)(v->seen.offset_ns - offset_ns);
    return has_master(&v->seen) && error_ns < (int64_t)MS && error_ns > -(int64_t)MS;
}

/* --- grammar --------------------------------------------------------------------------------- */

/* Returns the client of that name, or an empty client if there is none. */
static const struct nqptp_client *client(const struct world *w, const char *name) {
    static const struct nqptp_client none;
    int c = nqptp_clients_find(&w->engine.clients, name);
    return c < 0 ? &none : &w->engine.clients.list[c];
}

static void test_named_list(void) {
    struct world w = world_begin();

    command(&w, "/nqptp T 192.0.2.1 2001:db8::1");
    CHECK(!w.answer.refusal && !w.added, "/nqptp T with addresses is understood");
    CHECK(w.command.asked == NQPTP_SHM_ASKED_NAMED && w.answer.client == 0,
          "/nqptp T is a named command of client 0");
    CHECK_EQ_U64(client(&w, "/nqptp")->peer_count, 2,
                 "/nqptp T with two addresses: its list has two");
    command(&w, "/x T");
    CHECK(w.added && w.answer.client == 1, "T of a new name adds client 1");
    CHECK(w.command.asked == NQPTP_SHM_ASKED_NAMED, "T of a new name is a named command");
    CHECK_EQ_U64(w.effects.publish, 2, "T of a new name publishes the record of the new client");
    CHECK(client(&w, "/x")->has_list && client(&w, "/x")->peer_count == 0,
          "a T without addresses makes a list without addresses");
    command(&w, "/x T 192.0.2.7");
    CHECK(!w.added && w.answer.client == 1, "a second T of a name adds no further client");
    CHECK_EQ_U64(client(&w, "/x")->peer_count, 1,
                 "a second T of a name replaces the list of that client");
    CHECK_EQ_U64(client(&w, "/nqptp")->peer_count, 2,
                 "T of another name leaves the list of /nqptp");
    command(&w, "T 192.0.2.9");
    CHECK(w.command.asked == NQPTP_SHM_ASKED_BARE && w.answer.client == 0,
          "a bare T is a command of /nqptp");
    CHECK_EQ_U64(client(&w, "/nqptp")->peer_count, 1,
                 "a bare T with one address replaces the list of /nqptp");
    CHECK_EQ_U64(client(&w, "/x")->peer_count, 1,
                 "a bare T with an address leaves the list of a named client");
    command(&w, "T");
    CHECK_EQ_U64(client(&w, "/x")->peer_count, 1,
                 "a bare T alone leaves the list of a named client as it is");
    command(&w, "?");
    CHECK(w.command.asked == NQPTP_SHM_ASKED_NOTHING && w.command.letter == '?',
          "? asks for no layout");
}

static void test_activity(void) {
    static const struct {
        const char *text;
        enum nqptp_activity activity;
    } rows[] = {
        {"/x B", NQPTP_PLAYING}, {"/x P", NQPTP_PAUSED},  {"/x B", NQPTP_PLAYING},
        {"/x E", NQPTP_STOPPED}, {"/x  P", NQPTP_PAUSED}, {"/x E", NQPTP_STOPPED},
    };
    struct world w = world_begin();

    command(&w, "/x T 192.0.2.1");
    CHECK_EQ_U64(client(&w, "/x")->activity, NQPTP_UNSAID,
                 "a new client has said nothing of its playing");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        command(&w, rows[i].text);
        CHECK(!w.answer.refusal && w.command.asked == NQPTP_SHM_ASKED_PLAY && w.answer.client == 1,
              "%s is understood as a command of client 1", rows[i].text);
        CHECK_EQ_U64(client(&w, "/x")->activity, rows[i].activity,
                     "the client's activity is that of the last B, P or E");
        CHECK(!w.effects.publish && !w.added, "B, P and E publish nothing and add no client");
    }
    CHECK_EQ_U64(client(&w, "/nqptp")->activity, NQPTP_UNSAID,
                 "B, P and E of /x leave the activity of /nqptp");
    command(&w, "/nqptp B");
    CHECK(!w.answer.refusal, "/nqptp B before any T is understood");
}

/* Returns the reason. */
static void check_refused(const char *name, const char *text, size_t length) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);
    struct nqptp_engine before;

    command(&w, "/x T 192.0.2.1");
    command(&w, "/x B");
    memcpy(&before, &w.engine, sizeof before);
    command_octets(&w, text, length, &no_record);
    CHECK(w.answer.refusal && w.answer.refusal[0], "%s: refused, with a reason", name);
    CHECK(!w.effects.publish && !w.effects.reply_count && w.effects.event_count == 0 && !w.added &&
              w.answer.client == -1,
          "%s: without any effect", name);
    CHECK(same_octets(&before, &w.engine, sizeof before), "%s: all state is as it was", name);
}

#define CHECK_REFUSED(name, text) check_refused(name, text, sizeof(text) - 1)
#define NAME_63 "/12345678901234567890123456789012345678901234567890123456789012"
#define NAME_61 "1234567890123456789012345678901234567890123456789012345678901"

static void test_bad_input(void) {
    CHECK_REFUSED("a name alone", "/x");
    CHECK_REFUSED("a name and a space", "/x ");
    for (int letter = '!'; letter <= '~'; letter++) {
        if (strchr("TBEP", letter))
            continue;
        const char text[] = {'/', 'x', ' ', (char)letter};
        check_refused("an unknown letter", text, sizeof text);
    }
    CHECK_REFUSED("a small letter", "/x b");
    CHECK_REFUSED("a bare B", "B");
    CHECK_REFUSED("a bare E", "E");
    CHECK_REFUSED("a bare P", "P");
    CHECK_REFUSED("B with an address", "/x B 192.0.2.1");
    CHECK_REFUSED("a word that begins with B", "/x Bx");
    CHECK_REFUSED("two letters", "/x B E");
    CHECK_REFUSED("no space before T", "/xT 192.0.2.1");
    CHECK_REFUSED("a named question", "/x ?");
    CHECK_REFUSED("a bad address", "/x T 192.0.2.1 z");
    CHECK_REFUSED("a bad address for a new name", "/new T 192.0.2.1 z");
    CHECK_REFUSED("B of an unknown client is refused", "/nobody B");
    CHECK_REFUSED("E of an unknown client is refused", "/nobody E");
    CHECK_REFUSED("a space before the name", " /x T");
    CHECK_REFUSED("a name without a slash", "x T");
    CHECK_REFUSED("a slash alone", "/ T");
    CHECK_REFUSED("two slashes", "//x T");
    CHECK_REFUSED("a slash within", "/x/y T");
    CHECK_REFUSED("a slash at the end", "/x/ T");
    CHECK_REFUSED("this directory", "/. T");
    CHECK_REFUSED("the one above", "/.. T");
    CHECK_REFUSED("the name of a file that was put aside", "/.x.0123456789abcdef.kept T");
    CHECK_REFUSED("64 characters", NAME_63 "3 T");
    CHECK_REFUSED("a control character in a name", "/x\1y T");
    CHECK_REFUSED("DEL in a name", "/x\x7Fy T");
    CHECK_REFUSED("63 bytes of UTF-8", "/\xC3\xA4" NAME_61 " T");
    CHECK_REFUSED("a NUL in a name", "/x\0y T");
    CHECK_REFUSED("a line end in a name", "/x\ny T");
}

static void check_name(const char *name) {
    struct world w = world_begin();
    char text[80];

    snprintf(text, sizeof text, "%s T", name);
    command(&w, text);
    CHECK(!w.answer.refusal && w.added && w.answer.client == 1, "%s is a name", name);
}

static void test_names(void) {
    check_name("/x");
    check_name(NAME_63);
    check_name("/ab~!%.");
    check_name("/K\xC3\xBC"
               "che");
    check_name("/\xE5\xAF\x9D\xE5\xAE\xA4");
    check_name("/cut\xE5\xAF");
    check_name("/nqptp2");
    check_name("/nqpt");
}

static void test_many_clients(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);
    struct nqptp_engine before;
    char text[40];
    unsigned wrong = 0;

    for (int c = 1; c < NQPTP_CLIENTS_MAX; c++) {
        snprintf(text, sizeof text, "/client%d T 192.0.2.1", c);
        command(&w, text);
        wrong += !w.added || w.answer.client != c || w.answer.refusal;
    }
    CHECK_EQ_U64(wrong, 0, "/nqptp and 63 other clients are added");
    memcpy(&before, &w.engine, sizeof before);
    command(&w, "/client64 T 192.0.2.1");
    CHECK(w.answer.refusal, "T of a 65th client is refused");
    CHECK(!w.added && w.answer.client == -1 && !w.effects.publish,
          "T of a 65th client has no effect");
    CHECK(same_octets(&before, &w.engine, sizeof before),
          "T of a 65th client leaves the state of the engine");
    command(&w, "/client64 B");
    CHECK(w.answer.refusal, "B of a 65th client is refused");
    (void)send_pair(&w, &s);
    CHECK_EQ_U64(w.effects.publish, UINT64_MAX,
                 "a sample of the master of all 64 clients is published for all 64");

    nqptp_engine_remove_client(&w.engine, 7);
    (void)send_pair(&w, &s);
    CHECK_EQ_U64(w.effects.publish, UINT64_MAX >> 1,
                 "after one of 64 clients is removed a sample is published for 63");
    CHECK_EQ_STR(w.engine.clients.list[7].name, "/client63",
                 "after a client is removed the last one takes its place in the list");
    command(&w, "/client64 T 192.0.2.1");
    CHECK(w.added && w.answer.client == 63,
          "after a client is removed there is room for another one");
    CHECK_EQ_U64(record_of(&w.engine, 63).clock_identity, 1,
                 "a client in a removed one's place follows its own list's master");
    for (int c = NQPTP_CLIENTS_MAX - 1; c > 0; c--)
        nqptp_engine_remove_client(&w.engine, c);
    CHECK_EQ_I64(w.engine.clients.top, 1, "all others are removed: only client 0 is left");
    command(&w, "T");
    CHECK(!w.answer.refusal, "all others are removed: client 0 can be told");
}

/* --- a master for each client ---------------------------------------------------------------- */

static uint64_t master_for(const struct world *w, int c) {
    return record_of(&w->engine, c).clock_identity;
}

static void play_both(struct world *w, struct sender *a, struct sender *b, unsigned pairs) {
    for (unsigned n = 0; n < pairs; n++) {
        play(w, a, 125 * MS);
        play(w, b, 125 * MS);
    }
}

static void test_published_again(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);

    command(&w, "/x T 192.0.2.1");
    command(&w, "/y T");
    nqptp_engine_republish(&w.engine, &w.effects);
    CHECK_EQ_U64(w.effects.publish, 3, "CLOCK_REALTIME is set: two of three clients have a master");
    CHECK(same_record(&w.effects.records[0], &w.record) &&
              same_record(&w.effects.records[1], &w.record),
          "CLOCK_REALTIME is set: both get the record of their master again");
    CHECK(w.effects.event_count == 0 && w.effects.reply_count == 0,
          "CLOCK_REALTIME is set: nothing is told and nothing is sent");
}

static void test_masters_of_their_own(void) {
    struct sender one = sender(1, "192.0.2.1", 100), two = sender(2, "192.0.2.2", 200);
    struct world w = world_begin();

    command(&w, "/one T 192.0.2.1");
    command(&w, "/two T 192.0.2.2");
    play_both(&w, &one, &two, 4);
    CHECK_EQ_U64(master_for(&w, 0), 1, "without a list /nqptp follows the better clock");
    CHECK_EQ_U64(master_for(&w, 1), 1, "/one follows the clock that it listed");
    CHECK_EQ_U64(master_for(&w, 2), 2, "/two follows the clock that it listed");
    CHECK_EQ_U64(record_count(&w), 2, "two clocks that three clients follow have one record each");
    (void)send_pair(&w, &one);
    CHECK_EQ_U64(w.effects.publish, 1 << 0 | 1 << 1,
                 "a sample is published for the clients that follow its clock");
    (void)send_pair(&w, &two);
    CHECK_EQ_U64(w.effects.publish, 1 << 2,
                 "a sample of the clock that only /two follows is published for /two alone");
    command(&w, "T");
    CHECK_EQ_U64(w.effects.publish, 1 << 0, "a bare T publishes for client 0 alone");
    CHECK(master_for(&w, 0) == 0 && master_for(&w, 1) == 1 && master_for(&w, 2) == 2,
          "a bare T takes the master of client 0 alone");
    command(&w, "/one T");
    CHECK_EQ_U64(w.effects.publish, 1 << 1, "a named T publishes for its own client alone");
    CHECK(master_for(&w, 1) == 0 && master_for(&w, 2) == 2,
          "a named T takes the master of its own client alone");
    (void)send_sync(&w, &one, one.sequence_id);
    CHECK_EQ_U64(w.effects.reply_count, 0, "a clock on no list gets no Delay_Req");
    (void)send_sync(&w, &two, two.sequence_id);
    CHECK_EQ_U64(w.effects.reply_count, 1, "a clock on the list of any client gets a Delay_Req");
}

static void test_first_address_wins(void) {
    struct sender first = sender(1, "192.0.2.1", 200), better = sender(2, "192.0.2.2", 1);
    struct sender elsewhere = sender(1, "2001:db8::1", 200);
    struct world w = world_begin();

    elsewhere.offset_ns = first.offset_ns;
    command(&w, "/x T 192.0.2.1 192.0.2.2");
    command(&w, "T 192.0.2.1 192.0.2.2");
    play_both(&w, &first, &better, 16);
    CHECK_EQ_U64(master_for(&w, 1), 1,
                 "the clock at the first address of a named list is followed");
    CHECK_EQ_U64(master_for(&w, 0), 2, "the better clock of a bare list is followed");
    play_both(&w, &better, &elsewhere, 30);
    CHECK_EQ_U64(
        master_for(&w, 1), 2,
        "when the first address is silent the second address wins, not the first clock elsewhere");
    play(&w, &elsewhere, 5 * S);
    CHECK(same_address(&w.engine.table.clocks[w.engine.clients.list[1].master].address,
                       &elsewhere.address),
          "when both are silent the first clock is followed elsewhere");
    play_both(&w, &better, &first, 2);
    CHECK_EQ_U64(master_for(&w, 1), 1,
                 "when the first address of a named list speaks again its clock is followed");
    command(&w, "/x T 192.0.2.2 192.0.2.1");
    CHECK_EQ_U64(
        master_for(&w, 1), 2,
        "the same addresses in another order: the clock at the new first address is followed");
}

static void test_same_named_list_again(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();
    struct view v = {.client = 1};

    order(&w, &v, "/x T 192.0.2.1");
    play_looking(&w, &v, &s, 40);
    uint64_t start_ns = v.seen.start_time_ns;
    for (int n = 0; n < 20; n++) {
        order(&w, &v, "/x T 192.0.2.1");
        CHECK(!w.effects.publish, "the same list again: nothing to publish");
        order(&w, &v, n % 2 ? "/x B" : "/x P");
        order(&w, &v, "T");
        play_looking(&w, &v, &s, 2);
    }
    CHECK_EQ_U64(v.seen.start_time_ns, start_ns,
                 "the same list again, B, P and T of another client: the series goes on");
    CHECK_EQ_U64(v.starts, 1,
                 "the same list again, B, P and T of another client: there is one series");
    check_view(&v, "a list repeated");
}

/* --- what outlives a restart ------------------------------------------------------------------ */

/* Returns the start time that is published after a restart, of a clock that is heard from then on.
 */
static uint64_t start_after(const struct nqptp_reading *before, struct sender *s, uint64_t ns) {
    struct world w = world_begin();
    struct view v = {.client = 0};

    w.now_ns += ns;
    w.engine.clients.list[0].inherited = *before;
    play_looking(&w, &v, s, 20);
    CHECK_EQ_STR(v.fault ? v.fault : "", "",
                 "after a restart what is published of the clock keeps all rules");
    CHECK_EQ_U64(v.starts, 1, "after a restart there is one series");
    return v.seen.start_time_ns;
}

static void test_inherit(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    const uint64_t began_ns = 4000 * S, fresh_ns = 5000 * S - LATENCY_NS;
    struct nqptp_reading before = {.grandmaster_identity = 1,
                                   .local_time_ns = 4999 * S,
                                   .offset_ns = s.offset_ns,
                                   .start_time_ns = began_ns};

    CHECK_EQ_U64(start_after(&before, &s, 0), began_ns,
                 "after a restart with the same clock its series goes on");
    before.offset_ns = s.offset_ns + 5 * MS - 1;
    CHECK_EQ_U64(start_after(&before, &s, 0), began_ns,
                 "after a restart with an offset less than 5 ms higher in the kept record the "
                 "series goes on");
    before.offset_ns = s.offset_ns - 5 * MS + 1;
    CHECK_EQ_U64(start_after(&before, &s, 0), began_ns,
                 "after a restart with an offset less than 5 ms lower in the kept record the "
                 "series goes on");
    before.offset_ns = s.offset_ns + 5 * MS;
    CHECK_EQ_U64(
        start_after(&before, &s, 0), fresh_ns,
        "after a restart with an offset 5 ms higher in the kept record a new series begins");
    before.offset_ns = s.offset_ns - 5 * MS;
    CHECK_EQ_U64(
        start_after(&before, &s, 0), fresh_ns,
        "after a restart with an offset 5 ms lower in the kept record a new series begins");
    before.offset_ns = s.offset_ns;
    before.grandmaster_identity = 2;
    CHECK_EQ_U64(start_after(&before, &s, 0), fresh_ns,
                 "after a restart with another grandmaster in the kept record a new series begins");
    before.grandmaster_identity = 1;
    before.start_time_ns = 5001 * S;
    CHECK_EQ_U64(
        start_after(&before, &s, 0), fresh_ns,
        "after a restart with a start in the future in the kept record a new series begins");
    before.start_time_ns = UINT64_MAX;
    CHECK_EQ_U64(
        start_after(&before, &s, 0), fresh_ns,
        "after a restart with the last possible start in the kept record a new series begins");
    before.start_time_ns = 0;
    CHECK_EQ_U64(start_after(&before, &s, 0), fresh_ns,
                 "after a restart without a start in the kept record a new series begins");
    before.start_time_ns = began_ns;
    CHECK_EQ_U64(start_after(&before, &s, 600 * S), began_ns,
                 "ten minutes after the kept record its series goes on");
}

/* Only the first master after the restart can be the one before it. */
static void test_inherit_once(void) {
    struct sender other = sender(2, "192.0.2.2", 50), s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();
    struct nqptp_reading before = {.grandmaster_identity = 1,
                                   .local_time_ns = 4999 * S,
                                   .offset_ns = s.offset_ns,
                                   .start_time_ns = 4000 * S};

    w.engine.clients.list[0].inherited = before;
    play(&w, &other, S);
    command(&w, "T 192.0.2.1");
    play(&w, &s, S);
    CHECK_EQ_U64(w.record.clock_identity, 1,
                 "after a restart and another master the clock of the kept record can be master");
    CHECK(w.record.start_time_ns > 5000 * S,
          "after a restart and another master the clock of the kept record begins a new series");
}

/* The object of a client holds an older series of a clock that another client follows already. */
static void test_inherit_later(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();
    const struct nqptp_shm_record before = {
        .grandmaster_identity = 1, .offset_ns = s.offset_ns, .start_time_ns = 4000 * S};
    const char text[] = "/other T 192.0.2.9";

    play(&w, &s, S);
    command_octets(&w, text, strlen(text), &before);
    command(&w, "/other T 192.0.2.1");
    CHECK_EQ_U64(w.record.start_time_ns, 4000 * S,
                 "a client that inherits an older start gives it to all clients of that clock");
    CHECK_EQ_U64(w.effects.publish, 3,
                 "a client that inherits an older start: all clients of that clock are published");
}

/* --- waking up ------------------------------------------------------------------------------- */

/* Checks the Announce that wakes a clock up, byte by byte. */
static void check_wake_up(const struct world *w, const struct sender *to, uint8_t priority1,
                          uint8_t priority2, const char *name) {
    uint8_t wanted[64] = {0x1B, 0x02, 0x00, 0x40, 0x00, 0x00, 0x04, 0x08};
    const struct nqptp_reply *reply = &w->effects.replies[0];
    struct nqptp_address local = at("192.0.2.200");

    put_source(wanted, OUR_IDENTITY, 32776);
    wanted[32] = 5;
    wanted[33] = 0xFE;
    wanted[45] = 37;
    wanted[47] = priority1;
    wanted[48] = 0xF8;
    wanted[49] = 0xFE;
    wanted[50] = 0x43;
    wanted[51] = 0x6A;
    wanted[52] = priority2;
    put_grandmaster(wanted, OUR_IDENTITY);
    wanted[63] = 0xA0;
    CHECK_EQ_U64(w->effects.reply_count, 1, "%s: one message is sent", name);
    if (w->effects.reply_count == 0)
        return;
    CHECK(reply->length == 64 && memcmp(reply->data, wanted, 64) == 0,
          "%s: the message is the expected Announce", name);
    CHECK_EQ_U64(reply->data[47], priority1, "%s: its priority1 is %u", name, priority1);
    CHECK(reply->general && same_address(&reply->destination, &to->address) &&
              same_address(&reply->local, &local) && reply->interface == INTERFACE,
          "%s: it goes to the general port of the clock that announced itself, the way its "
          "Announce came",
          name);
}

static void check_pair(uint8_t theirs, uint8_t first, uint8_t second, uint8_t priority2) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", theirs);
    char name[40];

    pause_player(&w);
    command(&w, "T 192.0.2.1");
    (void)send_announce(&w, &s);
    snprintf(name, sizeof name, "for priority1 %u, first", theirs);
    check_wake_up(&w, &s, first, priority2, name);
    uint64_t sent_ns = w.now_ns;
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), sent_ns + 150 * MS,
                 "%s: the next message is due after 150 ms", name);
    nqptp_engine_expire(&w.engine, sent_ns + 150 * MS - 1, &w.effects);
    CHECK(idle(&w), "%s: 1 ns before 150 ms nothing is sent", name);
    nqptp_engine_expire(&w.engine, sent_ns + 150 * MS, &w.effects);
    snprintf(name, sizeof name, "for priority1 %u, second", theirs);
    check_wake_up(&w, &s, second, 248, name);
    nqptp_engine_expire(&w.engine, sent_ns + 150 * MS, &w.effects);
    CHECK(idle(&w), "%s: a third message is not sent", name);
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), sent_ns + 120 * S,
                 "after both Announces only the deletion of the record is due");
}

static void test_wake_up_pairs(void) {
    check_pair(248, 247, 249, 248);
    check_pair(128, 127, 129, 248);
    check_pair(0, 248, 1, 248);
    check_pair(1, 248, 2, 248);
    check_pair(2, 248, 3, 248);
    check_pair(3, 2, 4, 248);
    check_pair(253, 252, 254, 248);
    check_pair(254, 253, 250, 248);
    check_pair(255, 254, 250, 248);
}

/* priority2 is the clock's own, except in the first Announce to a clock with priority1 2 or less.
 */
static void check_priority2(uint8_t priority1, uint8_t first, uint8_t first_priority2,
                            uint8_t second) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);
    uint8_t message[sizeof apple_announce];

    memcpy(message, apple_announce, sizeof message);
    put_source(message, 1, APPLE_PORT);
    put_grandmaster(message, 1);
    put_priority1(message, priority1);
    message[52] = 77;
    command(&w, "T 192.0.2.1");
    (void)deliver(&w, &s, message, sizeof message);
    check_wake_up(&w, &s, first, first_priority2, "priority2 77, first");
    pass(&w, 150 * MS);
    check_wake_up(&w, &s, second, 77, "priority2 77, second");
}

static void test_wake_up_priority2(void) {
    check_priority2(128, 127, 77, 129);
    check_priority2(2, 248, 248, 3);
}

/* Returns the number of Announces that the effects send. */
static unsigned general_replies(const struct world *w) {
    unsigned count = 0;

    for (unsigned i = 0; i < w->effects.reply_count; i++)
        count += w->effects.replies[i].general;
    return count;
}

/* Returns how many Announces of ours go out while the clock sends `count` of its own. */
static unsigned sent_while_announcing(struct world *w, const struct sender *s, unsigned count) {
    unsigned sent = 0;

    for (unsigned n = 0; n < count; n++) {
        (void)send_announce(w, s);
        sent += general_replies(w);
        uint64_t end_ns = w->now_ns + S;
        while (nqptp_engine_deadline(&w->engine) <= end_ns) {
            w->now_ns = nqptp_engine_deadline(&w->engine);
            nqptp_engine_expire(&w->engine, w->now_ns, &w->effects);
            sent += general_replies(w);
        }
        w->now_ns = end_ns;
    }
    return sent;
}

static void test_when_to_wake_up(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100), talks = sender(2, "192.0.2.2", 100);

    CHECK_EQ_U64(sent_while_announcing(&w, &s, 10), 0, "without a list no clock is woken up");
    command(&w, "T 192.0.2.9");
    CHECK_EQ_U64(sent_while_announcing(&w, &s, 10), 0, "an unlisted clock is not woken up");
    command(&w, "T 192.0.2.1 192.0.2.2");
    CHECK_EQ_U64(w.effects.reply_count, 0, "the command itself sends nothing");
    CHECK_EQ_U64(sent_while_announcing(&w, &s, 1), 2,
                 "the first Announce of a newly listed clock wakes it up by a pair of ours");
    CHECK_EQ_U64(sent_while_announcing(&w, &s, 1), 0,
                 "the second Announce of a listed clock does not wake it up");
    CHECK_EQ_U64(sent_while_announcing(&w, &s, 1), 2,
                 "the third Announce of a listed clock that gave no time wakes it up again");
    CHECK_EQ_U64(sent_while_announcing(&w, &s, 20), 0,
                 "after the third Announce a listed clock is not woken up again");
    CHECK_EQ_U64(sent_while_announcing(&w, &talks, 1), 2,
                 "the first Announce of another listed clock wakes that up");
    (void)send_pair(&w, &talks);
    CHECK_EQ_U64(sent_while_announcing(&w, &talks, 10), 0,
                 "a clock that gave its time is not woken up again");
}

/* Lets this time pass. Returns the number of Delay_Reqs that go to the address. */
static unsigned asked_in(struct world *w, const char *address, uint64_t ns) {
    struct nqptp_address to = at(address);
    uint64_t end_ns = w->now_ns + ns;
    unsigned count = 0;

    while (nqptp_engine_deadline(&w->engine) <= end_ns) {
        uint64_t deadline_ns = nqptp_engine_deadline(&w->engine);
        w->now_ns = deadline_ns > w->now_ns ? deadline_ns : w->now_ns;
        nqptp_engine_expire(&w->engine, w->now_ns, &w->effects);
        for (unsigned i = 0; i < w->effects.reply_count; i++)
            count += !w->effects.replies[i].general &&
                     same_address(&w->effects.replies[i].destination, &to);
    }
    w->now_ns = end_ns;
    return count;
}

static void test_silent_addresses_are_asked(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();
    struct nqptp_address ours = at("192.0.2.200");

    nqptp_engine_set_own_addresses(&w.engine, &ours, 1);
    command(&w, "/x T 192.0.2.1 192.0.2.2 192.0.2.200");
    CHECK_EQ_U64(asked_in(&w, "192.0.2.1", 0), 1,
                 "a new list of a client that never said B: its address is asked at once");
    CHECK_EQ_U64(asked_in(&w, "192.0.2.2", 10 * S), 5,
                 "a listed address without a record is asked every 2 s");
    CHECK_EQ_U64(asked_in(&w, "192.0.2.200", 10 * S), 0, "our own address is not asked");
    command(&w, "/x B");
    CHECK_EQ_U64(asked_in(&w, "192.0.2.1", 200 * MS), 1, "at B a listed address is asked at once");
    play(&w, &s, 2 * S);
    CHECK_EQ_U64(asked_in(&w, "192.0.2.1", 2 * S), 0, "a clock that gives its time is not asked");
    CHECK_EQ_U64(asked_in(&w, "192.0.2.1", 2 * S), 1, "a listed clock that is lost is asked");
    CHECK_EQ_U64(asked_in(&w, "192.0.2.1", 300 * S), 150,
                 "a listed clock that is lost is asked every 2 s without end");
    CHECK(knows(&w, &s), "the record of a lost clock stays while a client of it plays");
    command(&w, "/x P");
    CHECK_EQ_U64(asked_in(&w, "192.0.2.1", 300 * S), 0, "after P nothing is asked");
    CHECK(!knows(&w, &s), "after P the record of a silent clock is deleted");
    unsigned asked = 0;
    for (int n = 0; n < 100; n++) {
        command(&w, "/x B");
        asked += asked_in(&w, "192.0.2.2", 10 * MS);
    }
    CHECK_EQ_U64(asked, 6, "a flood of B for a second does not ask more often than each 200 ms");
    command(&w, "/x E");
    CHECK_EQ_U64(asked_in(&w, "192.0.2.1", 300 * S), 0, "after E nothing is asked");
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), NQPTP_NO_DEADLINE,
                 "after E and the deletion of the record there is no deadline");
}

static void test_address_of_two_clients_is_asked_once(void) {
    struct world w = world_begin();

    command(&w, "/x T 192.0.2.1");
    command(&w, "/y T 192.0.2.2 192.0.2.1");
    (void)asked_in(&w, "192.0.2.1", 3 * S);
    CHECK_EQ_U64(asked_in(&w, "192.0.2.1", 10 * S), 5,
                 "a silent address that two clients list is asked once in 2 s");
}

/* A daemon that was restarted while the player paused obeys the T and the P that are kept. */
static void test_pause_without_begin(void) {
    static const char *const last[] = {"/x P", "/x E"};

    for (int n = 0; n < 2; n++) {
        struct sender s = sender(1, "192.0.2.1", 100);
        struct world w = world_begin();
        command(&w, "/x T 192.0.2.1");
        command(&w, last[n]);
        CHECK_EQ_U64(asked_in(&w, "192.0.2.1", 10 * S), 0,
                     "%s without a B before: the silent sender is not asked", last[n]);
        play(&w, &s, S);
        pass(&w, 121 * S);
        CHECK(!knows(&w, &s), "%s without a B before: a silent clock is deleted", last[n]);
        command(&w, "/x B");
        CHECK_EQ_U64(asked_in(&w, "192.0.2.1", 0), 1,
                     "%s without a B before: at B the silent sender is asked", last[n]);
    }
}

/* Clocks of another host fall silent, one each 250 ms. */
static void test_unlisted_losses_hasten_nothing(void) {
    struct world w = world_begin();
    unsigned asked = 0;

    command(&w, "/x T 192.0.2.1");
    for (unsigned n = 0; n < 100; n++) {
        struct sender s = sender(100 + n % 16, "192.0.2.66", 100);
        s.sequence_id = (uint16_t)(1 + n);
        (void)send_announce(&w, &s);
        (void)send_pair(&w, &s);
        asked += asked_in(&w, "192.0.2.1", 249 * MS);
    }
    CHECK_EQ_U64(asked, 13,
                 "a silent listed address is asked every 2 s for 25 s, though unlisted clocks are "
                 "lost all the time");
}

/* Gives each client a list of 256 addresses of its own, from which nothing comes. */
static void fill_all_lists(struct world *w) {
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++) {
        char text[256 * 16];
        int length =
            c == 0 ? snprintf(text, sizeof text, "T") : snprintf(text, sizeof text, "/%d T", c);
        for (int n = 0; n < NQPTP_PEERS_MAX; n++)
            length += snprintf(text + length, sizeof text - (size_t)length, " 10.0.%d.%d", c, n);
        command(w, text);
    }
}

/* The longest round that is possible, while a player sends B each 100 ms. */
static void test_requests_are_spread(void) {
    struct world w = world_begin();
    unsigned count = 0, most = 0, burst = 0;

    fill_all_lists(&w);
    uint64_t end_ns = w.now_ns + 2 * S, burst_at_ns = 0, command_ns = w.now_ns;
    while (nqptp_engine_deadline(&w.engine) < end_ns && count < 100000) {
        uint64_t deadline_ns = nqptp_engine_deadline(&w.engine);
        w.now_ns = deadline_ns > w.now_ns ? deadline_ns : w.now_ns;
        if (w.now_ns >= command_ns) {
            command_ns = w.now_ns + 100 * MS;
            command(&w, "/1 B");
        }
        if (w.now_ns > burst_at_ns)
            burst = 0;
        burst_at_ns = w.now_ns;
        nqptp_engine_expire(&w.engine, w.now_ns, &w.effects);
        count += w.effects.reply_count;
        burst += w.effects.reply_count;
        most = burst > most ? burst : most;
        if (count == NQPTP_CLIENTS_MAX * NQPTP_PEERS_MAX)
            break;
    }
    CHECK_EQ_U64(most, 64, "of 16,384 silent addresses 64 are asked at once");
    CHECK_EQ_U64(count, NQPTP_CLIENTS_MAX * NQPTP_PEERS_MAX,
                 "all of 16,384 silent addresses are asked within 2 s");
    struct nqptp_address last = at("10.0.63.255");
    CHECK(same_address(&w.effects.replies[0].destination, &last),
          "the last address of the last list is asked, though commands come all the time");
}

/* The last client gets the number of the one that is removed, which the round has passed. */
static void test_client_removed_during_a_round(void) {
    struct world w = world_begin();

    fill_all_lists(&w);
    CHECK_EQ_U64(asked_in(&w, "10.0.1.255", 50 * MS), 1,
                 "50 ms of the longest round: the second client's list was asked");
    nqptp_engine_remove_client(&w.engine, 1);
    command(&w, "/new T");
    CHECK_EQ_U64(
        asked_in(&w, "10.0.63.0", 1500 * MS), 1,
        "a client that moves to a place that the round has passed is asked right after it");
}

/* A Delay_Req goes by the local address that the clock used, if we still have that. */
static void test_way_of_asking(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();
    struct nqptp_address ours = at("192.0.2.200"), none = {.ip = IN6ADDR_ANY_INIT};
    const struct nqptp_reply *reply = &w.effects.replies[0];

    nqptp_engine_set_own_addresses(&w.engine, &ours, 1);
    command(&w, "T 192.0.2.1");
    expire(&w, w.now_ns);
    CHECK(w.effects.reply_count == 1 && same_address(&reply->local, &none) &&
              reply->interface == 0 && reply->length == NQPTP_DELAY_REQ_LENGTH,
          "an address without a record is asked with no local address and no interface");
    expire(&w, w.now_ns); /* the end of the round */
    (void)send_announce(&w, &s);
    pass(&w, 1999 * MS);
    expire(&w, w.now_ns += MS);
    CHECK(w.effects.reply_count == 1 && same_address(&reply->local, &ours) &&
              reply->interface == INTERFACE,
          "an address with a record is asked by the way that its Announce came");
    expire(&w, w.now_ns);
    nqptp_engine_set_own_addresses(&w.engine, &ours, 0);
    pass(&w, 1999 * MS);
    expire(&w, w.now_ns += MS);
    CHECK(w.effects.reply_count == 1 && same_address(&reply->local, &none),
          "when that address is not ours any more the kernel finds the way");
}

/* Returns the interface by which the address is asked in the next 3 s, or -1 if it is not asked. */
static int interface_of_asking(struct world *w, const struct nqptp_address *address) {
    uint64_t end_ns = w->now_ns + 3 * S;

    for (uint64_t due_ns; (due_ns = nqptp_engine_deadline(&w->engine)) <= end_ns;) {
        w->now_ns = due_ns > w->now_ns ? due_ns : w->now_ns;
        expire(w, w->now_ns);
        for (unsigned i = 0; i < w->effects.reply_count; i++)
            if (!w->effects.replies[i].general &&
                same_address(&w->effects.replies[i].destination, address))
                return (int)w->effects.replies[i].interface;
    }
    w->now_ns = end_ns;
    return -1;
}

static void test_asking_of_a_link_local_address(void) {
    struct sender s = sender(1, "fe80::1", 100);
    struct world w = world_begin();

    command(&w, "T fe80::1");
    CHECK_EQ_I64(interface_of_asking(&w, &s.address), -1,
                 "a link-local address without scope is not asked before a clock is heard there");
    s.address.scope_id = 9;
    (void)send_announce(&w, &s);
    CHECK_EQ_I64(interface_of_asking(&w, &s.address), 9,
                 "a link-local address without scope is asked on the link where a clock is heard");
    command(&w, "T fe80::2%lo");
    s.address = at("fe80::2");
    CHECK_EQ_I64(interface_of_asking(&w, &s.address), (int)if_nametoindex("lo"),
                 "a link-local address with a scope is asked on that link");
}

static void test_unused_client_stops(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();

    command(&w, "/x T 192.0.2.1");
    command(&w, "/x B");
    play(&w, &s, 2 * S);
    nqptp_engine_unused(&w.engine, 1 << 1, w.now_ns, &w.effects);
    CHECK(!nqptp_client_plays(&w.engine.clients.list[1]), "an unused client does not play");
    CHECK_EQ_U64(asked_in(&w, "192.0.2.1", 10 * S), 0, "for an unused client nothing is asked");
    pass(&w, 121 * S);
    CHECK(!knows(&w, &s), "the master of an unused client is deleted after 121 s of silence");
    command(&w, "/x T 192.0.2.1");
    CHECK(!nqptp_client_plays(&w.engine.clients.list[1]),
          "a T does not make an unused client play that had said B");
    command(&w, "/x B");
    CHECK(nqptp_client_plays(&w.engine.clients.list[1]), "a B makes an unused client play again");
    command(&w, "/y T 192.0.2.1");
    nqptp_engine_unused(&w.engine, 1 << 2, w.now_ns, &w.effects);
    CHECK(!nqptp_client_plays(&w.engine.clients.list[2]),
          "an unused client that never said B does not play");
    command(&w, "/y T 192.0.2.1");
    CHECK(nqptp_client_plays(&w.engine.clients.list[2]),
          "a T makes an unused client play again that never said B");
}

/* Nothing is told of a clock that falls silent after all its clients ended. */
static void test_silence_after_the_end_is_not_told(void) {
    struct sender s = sender(1, "192.0.2.1", 100);

    for (int ends = 0; ends <= 1; ends++) {
        struct world w = world_begin();
        command(&w, "/nqptp T 192.0.2.1");
        command(&w, "/nqptp B");
        play(&w, &s, 2 * S);
        if (ends)
            command(&w, "/nqptp E");
        bool silence_told = false;
        for (uint64_t ms = 0; ms < 5000; ms++) {
            nqptp_engine_expire(&w.engine, w.now_ns += MS, &w.effects);
            silence_told = silence_told || told(&w, NQPTP_EVENT_SILENT, 1);
        }
        CHECK_EQ_I64(silence_told, !ends, "silence %s is %stold",
                     ends ? "after E" : "while playing", ends ? "not " : "");
    }
}

/* A message of another clock comes when the master's deadline has passed, and before its turn. */
static void test_loss_is_told_before_the_change(void) {
    struct sender first = sender(1, "192.0.2.1", 100), second = sender(2, "192.0.2.2", 100);
    struct world w = world_begin();

    command(&w, "/nqptp T 192.0.2.1 192.0.2.2");
    play_both_5s(&w, &first, &second);
    CHECK_EQ_U64(master_of(&w), 1, "the first clock of the list is master");
    play(&w, &second, 2 * S);
    w.now_ns = nqptp_clock_deadline(&w.engine.table.clocks[w.engine.clients.list[0].master]);
    (void)send_announce(&w, &second);
    CHECK_EQ_U64(master_of(&w), 2, "a message after the master's deadline changes the master");
    CHECK(w.effects.event_count == 2 && w.effects.events[0].kind == NQPTP_EVENT_SILENT &&
              w.effects.events[1].kind == NQPTP_EVENT_MASTER,
          "the loss of the old master is told before the change to the new one");
}

static void test_no_wake_up_of_an_unlisted_clock(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);

    command(&w, "/x T 192.0.2.1");
    (void)send_announce(&w, &s);
    CHECK_EQ_U64(w.effects.reply_count, 1,
                 "an Announce of a clock that a named client lists is answered by an Announce");
    command(&w, "/x T 192.0.2.9");
    pass(&w, S);
    CHECK_EQ_U64(w.effects.reply_count, 0,
                 "a clock that is unlisted within 150 ms gets no second Announce");
}

/* A stopped clock repeats its time for `pairs` Syncs; returns how many messages woke it up. */
static unsigned stop_for(struct world *w, struct sender *s, uint64_t stopped_ns, unsigned pairs) {
    unsigned sent = 0;

    for (unsigned n = 0; n < pairs; n++) {
        (void)send_sync(w, s, s->sequence_id);
        w->now_ns += MS;
        (void)send_follow_up(w, s, s->sequence_id++, stopped_ns);
        sent += general_replies(w);
        pass(w, 124 * MS);
    }
    return sent;
}

static void check_stopped(const char *name, unsigned seconds, uint64_t grandmaster, bool listed,
                          unsigned wanted) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();

    s.grandmaster_identity = grandmaster;
    command(&w, listed ? "/x T 192.0.2.1" : "/x T 192.0.2.9");
    play(&w, &s, seconds * S);
    uint64_t stopped_ns = time_of(&w, &s); /* the time of the first pair, which the others repeat */
    CHECK_EQ_U64(stop_for(&w, &s, stopped_ns, 480), 0,
                 "%s: for 479 repeats of its time it is not woken up", name);
    CHECK_EQ_U64(stop_for(&w, &s, stopped_ns, 1), wanted,
                 "%s: %u messages after 480 repeats of its time", name, wanted);
    CHECK_EQ_U64(stop_for(&w, &s, stopped_ns, 1000), 0,
                 "%s: after 480 repeats it is not woken up again", name);
}

static void test_stopped_clock_is_woken_up(void) {
    check_stopped("stopped soon after it began", 1, 1, true, 1);
    check_stopped("stopped after 3 s", 3, 1, true, 0);
    check_stopped("stopped, with another grandmaster", 1, 99, true, 0);
    check_stopped("stopped, not listed", 1, 1, false, 0);
}

/* --- what clocks do --------------------------------------------------------------------------- */

static struct world begin_listed(struct view *v, const char *list) {
    struct world w = world_begin();

    *v = (struct view){.client = 1};
    order(&w, v, list);
    return w;
}

/* The clock's time stands still for this number of Syncs. */
static void sleep_looking(struct world *w, struct view *v, struct sender *s, uint64_t stopped_ns,
                          unsigned pairs) {
    for (unsigned n = 0; n < pairs; n++) {
        if (n % 8 == 0) {
            (void)send_announce(w, s);
            look(v, w);
        }
        pair_looking(w, v, s, stopped_ns);
    }
}

/* The clock stops, a player perhaps sends B, and the clock goes on with the time where it stopped.
 */
static void check_stop(const char *name, unsigned pairs, unsigned pairs_after_b) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct view v;
    struct world w = begin_listed(&v, "/x T 192.0.2.1");

    play_looking(&w, &v, &s, 80);
    uint64_t stopped_ns = time_of(&w, &s);
    pair_looking(&w, &v, &s, stopped_ns);
    struct nqptp_shm_record before = v.seen;
    sleep_looking(&w, &v, &s, stopped_ns, pairs);
    if (pairs_after_b > 0) {
        order(&w, &v, "/x B");
        sleep_looking(&w, &v, &s, stopped_ns, pairs_after_b);
    }
    CHECK(has_master(&v.seen) && v.seen.local_time_ns == before.local_time_ns &&
              v.seen.offset_ns == before.offset_ns && v.starts == 1,
          "%s: while it stands still the published record stays", name);
    s.offset_ns = stopped_ns + 125 * MS - receive_time(&w);
    uint64_t resumed_ns = receive_time(&w);
    play_looking(&w, &v, &s, 2);
    CHECK(offset_is(&v, s.offset_ns), "%s: two samples after it goes on its offset is right", name);
    CHECK(v.seen.start_time_ns >= resumed_ns, "%s: when it goes on a new series begins", name);
    play_looking(&w, &v, &s, 80);
    CHECK(offset_is(&v, s.offset_ns), "%s: 10 s after it goes on its offset is right", name);
    CHECK_EQ_U64(v.starts, 2, "%s: there are two series in all", name);
    check_view(&v, name);
}

static void test_stopped_and_resumed_clock(void) {
    check_stop("stopped for 1 s", 8, 0);
    check_stop("stopped for 10 s", 80, 0);
    check_stop("stopped for 3 minutes", 3 * 480, 0);
    check_stop("stopped, then B", 40, 40);
    check_stop("stopped for a minute, then B", 480, 480);
}

/* The record of a silent clock stays, and its series goes on when it comes back. */
static void test_silent_and_back(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct view v;
    struct world w = begin_listed(&v, "/x T 192.0.2.1");

    play_looking(&w, &v, &s, 80);
    struct nqptp_shm_record before = v.seen;
    pass_looking(&w, &v, 30 * S);
    CHECK(same_record(&v.seen, &before), "silent for 30 s: the published record stays");
    play_looking(&w, &v, &s, 8);
    CHECK_EQ_U64(v.seen.start_time_ns, before.start_time_ns,
                 "back after 30 s of silence: the series goes on");
    pass_looking(&w, &v, 100 * S);
    CHECK(has_master(&v.seen), "silent for 100 s: the master stays");
    uint64_t back_ns = receive_time(&w);
    s.offset_ns += 3 * MS;
    play_looking(&w, &v, &s, 8);
    CHECK_EQ_U64(v.seen.start_time_ns, back_ns,
                 "back after 100 s of silence with another offset: a new series begins");
    CHECK(offset_is(&v, s.offset_ns), "back after 100 s of silence: the new offset is published");
    pass_looking(&w, &v, 1000 * S);
    CHECK(has_master(&v.seen), "silent for 1000 s: the master stays, because the client plays");
    check_view(&v, "silence");
    v.may_vanish = true;
    command(&w, "/x B");
    command(&w, "/x E");
    pass_looking(&w, &v, 121 * S);
    CHECK(!has_master(&v.seen), "silent for 121 s after E: the master is gone");
}

static void check_begin(const char *name, uint64_t silence_ns, unsigned starts) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct view v;
    struct world w = begin_listed(&v, "/x T 192.0.2.1");

    play_looking(&w, &v, &s, 80);
    pass_looking(&w, &v, silence_ns);
    struct nqptp_shm_record before = v.seen;
    order(&w, &v, "/x B");
    CHECK(same_record(&v.seen, &before), "%s: B leaves the published record", name);
    s.offset_ns -= 3 * MS; /* too little to be taken for a step */
    uint64_t first_ns = receive_time(&w);
    play_looking(&w, &v, &s, 1);
    CHECK_EQ_U64(v.starts, starts, "%s: %u series after the next sample", name, starts);
    if (starts > 1) {
        CHECK_EQ_U64(v.seen.start_time_ns, first_ns,
                     "%s: the new series begins with the next sample", name);
        CHECK(offset_is(&v, s.offset_ns), "%s: the new series has the offset of the next sample",
              name);
    }
    play_looking(&w, &v, &s, 8);
    order(&w, &v, "/x B");
    play_looking(&w, &v, &s, 8);
    CHECK_EQ_U64(v.starts, starts, "%s: a B during play begins no series", name);
    check_view(&v, name);
}

static void test_begin(void) {
    check_begin("B at once", 0, 1);
    check_begin("B after 0.8 s without a sample", 800 * MS, 1);
    check_begin("B after 1.1 s without a sample", 1100 * MS, 2);
    check_begin("B after a minute without a sample", 60 * S, 2);
}

/* A B of a client with a stale master does not touch another client. */
static void test_begin_of_another(void) {
    struct sender one = sender(1, "192.0.2.1", 100), two = sender(2, "192.0.2.2", 100);
    struct view v;
    struct world w = begin_listed(&v, "/x T 192.0.2.1");

    order(&w, &v, "/y T 192.0.2.2");
    play(&w, &two, 2 * S);
    w.effects.publish = 0;
    look(&v, &w);
    play_looking(&w, &v, &one, 16);
    order(&w, &v, "/y B");
    play_looking(&w, &v, &one, 16);
    CHECK_EQ_U64(v.starts, 1, "a B of another client begins no series for this client");
    check_view(&v, "B of another client");
}

/* The clock runs slower or faster for 5 s, then at its own rate again. */
static void check_pace(const char *name, int64_t ns_per_pair) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct view v;
    struct world w = begin_listed(&v, "/x T 192.0.2.1");

    play_looking(&w, &v, &s, 80);
    for (unsigned n = 0; n < 40; n++) {
        s.offset_ns += (uint64_t)ns_per_pair;
        pair_looking(&w, &v, &s, time_of(&w, &s));
    }
    CHECK(has_master(&v.seen) && w.now_ns - v.seen.local_time_ns < S,
          "%s: its last published sample is less than 1 s old", name);
    play_looking(&w, &v, &s, 16);
    CHECK(offset_is(&v, s.offset_ns), "%s: 2 s after it is at its own rate its offset is right",
          name);
    unsigned starts = v.starts;
    play_looking(&w, &v, &s, 80);
    CHECK(offset_is(&v, s.offset_ns), "%s: 12 s after it is at its own rate its offset is right",
          name);
    CHECK_EQ_U64(v.starts, starts, "%s: in the last 10 s at its own rate no series begins", name);
    check_view(&v, name);
}

static void test_slow_clock(void) {
    check_pace("at nine tenths", -12500 * (int64_t)US);
    check_pace("at half its pace", -62500 * (int64_t)US);
    check_pace("at a tenth", -112500 * (int64_t)US);
    check_pace("at double pace", 125000 * (int64_t)US);
    check_pace("backwards", -250000 * (int64_t)US);
}

static void test_step(void) {
    static const int64_t steps_ms[] = {50, -50, 1000, -1000, 3600000, -3600000};

    for (size_t i = 0; i < sizeof steps_ms / sizeof steps_ms[0]; i++) {
        struct sender s = sender(1, "192.0.2.1", 100);
        struct view v;
        struct world w = begin_listed(&v, "/x T 192.0.2.1");
        play_looking(&w, &v, &s, 80);
        s.offset_ns += (uint64_t)(steps_ms[i] * (int64_t)MS);
        uint64_t stepped_ns = receive_time(&w);
        play_looking(&w, &v, &s, 8);
        CHECK(offset_is(&v, s.offset_ns), "a step of %" PRId64 " ms: followed in 1 s", steps_ms[i]);
        CHECK(v.starts == 2 && v.seen.start_time_ns >= stepped_ns,
              "a step begins the second series");
        play_looking(&w, &v, &s, 80);
        CHECK_EQ_U64(v.starts, 2, "10 s after a step there are still two series");
        check_view(&v, "a step");
    }
}

static void test_grandmaster_changes(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct view v;
    struct world w = begin_listed(&v, "/x T 192.0.2.1");

    play_looking(&w, &v, &s, 80);
    for (unsigned n = 0; n < 5; n++) {
        uint64_t old = s.grandmaster_identity;
        s.grandmaster_identity = 99 + n;
        (void)send_announce(&w, &s);
        look(&v, &w);
        CHECK_EQ_U64(v.seen.grandmaster_identity, old,
                     "a new grandmaster without a sample: the old one is published");
        s.offset_ns += 2 * MS;
        uint64_t local_ns = receive_time(&w);
        pair_looking(&w, &v, &s, time_of(&w, &s));
        CHECK_EQ_U64(v.seen.grandmaster_identity, 99 + n,
                     "a new grandmaster with a sample is published");
        CHECK_EQ_U64(v.seen.start_time_ns, local_ns,
                     "a new grandmaster begins a series with its first sample");
        CHECK(offset_is(&v, s.offset_ns), "a new grandmaster: its offset is published");
        play_looking(&w, &v, &s, 16);
    }
    CHECK_EQ_U64(v.starts, 6, "six grandmasters have six series");
    check_view(&v, "grandmasters");
}

/* One clock at three addresses, of which one is listed; they fall silent in turn. */
static void test_several_addresses(void) {
    struct sender at_address[3] = {sender(1, "192.0.2.1", 100), sender(1, "2001:db8::1", 100),
                                   sender(1, "fe80::1", 100)};
    struct view v;
    struct world w = begin_listed(&v, "/x T 192.0.2.1");
    unsigned wrong = 0;

    play_looking(&w, &v, &at_address[0], 1); /* The daemon knows the clock. */
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned n = 0; n < 40; n++) {
            struct sender *s = &at_address[n % 3];
            if (n % 3 != round % 3)
                play_looking(&w, &v, s, 1);
        }
        wrong += !offset_is(&v, at_address[0].offset_ns) || v.seen.grandmaster_identity != 1 ||
                 is_at(&v.seen, &at_address[round % 3].address);
        if (round % 3 != 0)
            wrong += !is_at(&v.seen, &at_address[0].address);
    }
    CHECK_EQ_U64(wrong, 0, "whichever address is silent, the clock is followed at another");
    check_view(&v, "several addresses");
}

/* Two clocks by turns, as players change between senders. */
static void test_change_of_list(void) {
    struct sender one = sender(1, "192.0.2.1", 100), two = sender(2, "192.0.2.2", 100);
    struct view v;
    struct world w = begin_listed(&v, "/x T 192.0.2.1");

    play_looking(&w, &v, &one, 16);
    for (unsigned n = 0; n < 20; n++) {
        play_looking(&w, &v, &one, 4);
        play_looking(&w, &v, &two, 4);
        order(&w, &v, n % 2 ? "/x T 192.0.2.1" : "/x T 192.0.2.2");
        CHECK_EQ_U64(v.seen.clock_identity, n % 2 ? 1 : 2,
                     "another list: the clock that it lists is published at once");
    }
    CHECK_EQ_U64(v.starts, 21, "20 changes of the list make 20 further masterships");
    check_view(&v, "lists");
    v.may_vanish = true;
    order(&w, &v, "/x T");
    CHECK(!has_master(&v.seen), "an empty list: no master is published");
}

/* Random events at two clients. Only a list without a clock may leave no master. */
static void test_anything(void) {
    static const char *const commands[] = {
        "/x B", "/x E",        "/x P", "/x T 192.0.2.1 192.0.2.2", "/x T 192.0.2.2 192.0.2.1",
        "T",    "T 192.0.2.2", "/y T", "/y T 192.0.2.1",           "/y B"};
    struct sender s[2] = {sender(1, "192.0.2.1", 100), sender(2, "192.0.2.2", 90)};
    struct prng prng = {2021};
    struct view v;
    struct world w = begin_listed(&v, "/x T 192.0.2.1 192.0.2.2");

    play_looking(&w, &v, &s[0], 16);
    for (unsigned n = 0; n < 40000; n++) {
        struct sender *from = &s[prng_below(&prng, 2)];
        switch (prng_below(&prng, 64)) {
        case 0:
            order(&w, &v, commands[prng_below(&prng, 10)]);
            break;
        case 1:
            from->offset_ns += prng_magnitude(&prng) >> 20;
            break;
        case 2:
            sleep_looking(&w, &v, from, time_of(&w, from), (unsigned)prng_below(&prng, 40));
            break;
        case 3:
            pass_looking(&w, &v, prng_below(&prng, 20 * S));
            break;
        case 4:
            from->grandmaster_identity = 1 + prng_below(&prng, 3);
            break;
        default:
            play_looking(&w, &v, from, 1);
        }
    }
    CHECK(v.starts > 1000, "%u masterships", v.starts);
    check_view(&v, "anything at any time");
}

static void test_wake_up_when_listed_again(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);

    command(&w, "T 192.0.2.1");
    for (int n = 0; n < 5; n++) {
        (void)send_announce(&w, &s);
        pass(&w, S);
    }
    command(&w, "T");
    pass(&w, 20 * S);
    command(&w, "T 192.0.2.1");
    (void)send_announce(&w, &s);
    CHECK_EQ_U64(w.effects.reply_count, 1,
                 "a clock that is listed again is woken up at its first Announce");
}

static void test_same_list_changes_nothing(void) {
    struct world w = world_begin();

    command(&w, "T 192.0.2.1 192.0.2.2");
    w.engine.clients.list[0].hysteresis = (struct nqptp_hysteresis){80, w.now_ns};
    command(&w, "T 192.0.2.1 192.0.2.2");
    CHECK_EQ_U64(w.engine.clients.list[0].hysteresis.weight, 80,
                 "T with the list in force keeps the delay of a change of master");
    CHECK(idle(&w), "T with the list in force has no effect");
}

/* A new client's object may hold the record of a process before. */
static void test_inherited_late(void) {
    struct sender m = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&m);
    const struct nqptp_shm_record old = {
        .grandmaster_identity = 1, .offset_ns = m.offset_ns, .start_time_ns = 1000 * S};
    const char text[] = "/x T 192.0.2.1";

    play(&w, &m, 4 * S);
    command_octets(&w, text, strlen(text), &old);
    int c = w.answer.client;
    CHECK_EQ_U64(w.effects.publish, 3,
                 "a client that inherits is published together with one of the same clock");
    CHECK_EQ_U64(w.effects.records[c].start_time_ns, 1000 * S,
                 "a client that inherits keeps the start time of its object");
    command(&w, "/x T");
    pass(&w, 70 * S);
    play(&w, &m, 4 * S);
    uint64_t start_ns = w.engine.table.clocks[0].reading.start_time_ns;
    command(&w, "/x T 192.0.2.1");
    CHECK_EQ_U64(w.effects.records[c].start_time_ns, start_ns,
                 "a mastership that begins later has the start time of the clock");
}

/* Called by their addresses, so that no compiler puts all their worlds into one stack frame. */
int main(void) {
    static void (*const tests[])(void) = {
        test_named_list,
        test_activity,
        test_bad_input,
        test_names,
        test_many_clients,
        test_published_again,
        test_masters_of_their_own,
        test_first_address_wins,
        test_same_named_list_again,
        test_inherit,
        test_inherit_once,
        test_inherit_later,
        test_wake_up_pairs,
        test_wake_up_priority2,
        test_when_to_wake_up,
        test_silent_addresses_are_asked,
        test_unlisted_losses_hasten_nothing,
        test_address_of_two_clients_is_asked_once,
        test_pause_without_begin,
        test_requests_are_spread,
        test_client_removed_during_a_round,
        test_way_of_asking,
        test_asking_of_a_link_local_address,
        test_unused_client_stops,
        test_silence_after_the_end_is_not_told,
        test_loss_is_told_before_the_change,
        test_no_wake_up_of_an_unlisted_clock,
        test_stopped_clock_is_woken_up,
        test_stopped_and_resumed_clock,
        test_silent_and_back,
        test_begin,
        test_begin_of_another,
        test_slow_clock,
        test_step,
        test_grandmaster_changes,
        test_several_addresses,
        test_change_of_list,
        test_anything,
        test_wake_up_when_listed_again,
        test_same_list_changes_nothing,
        test_inherited_late,
    };
    TAP_RUN(tests);
    return tap_done();
}
