/* SPDX-License-Identifier: MIT */
/*
 * Proves that the control port understands every form of `T` and `?`; that a list takes effect at
 * once, and the same list again has no effect; and that bad input of any kind is refused with a
 * reason and leaves the state.
 */
#include "nqptp-commands.h"
#include "nqptp-message-handlers.h"

#include "../lib/random.h"
#include "../lib/tap.h"
#include "../lib/engine-fixture.h"

static bool lists(const struct world *w, const char *text) {
    struct nqptp_address address = at(text);
    return nqptp_clients_list_address(&w->engine.clients, &address);
}

/* --- T --------------------------------------------------------------------------------------- */

/* This text lists 192.0.2.1 and 2001:db8::1, and nothing else. */
static void check_list_of_two(const char *name, const char *text, size_t length) {
    struct world w = world_begin();

    command_octets(&w, text, length, &no_record);
    CHECK(!w.answer.refusal, "%s is understood", name);
    CHECK(w.engine.clients.list[0].has_list && w.engine.clients.list[0].peer_count == 2 &&
              lists(&w, "192.0.2.1") && lists(&w, "2001:db8::1"),
          "%s lists two addresses", name);
    CHECK(idle_but(&w, 1) && told(&w, NQPTP_EVENT_LIST, 0),
          "%s: the list is told, and there is no other effect", name);
}

static void test_forms_of_a_list(void) {
#define CHECK_LIST_OF_TWO(name, text) check_list_of_two(name, text, sizeof(text) - 1)
    CHECK_LIST_OF_TWO("T and two addresses", "T 192.0.2.1 2001:db8::1");
    CHECK_LIST_OF_TWO("the other order", "T 2001:db8::1 192.0.2.1");
    CHECK_LIST_OF_TWO("a NUL at the end", "T 192.0.2.1 2001:db8::1\0");
    CHECK_LIST_OF_TWO("several spaces", "T   192.0.2.1    2001:db8::1");
    CHECK_LIST_OF_TWO("spaces at the end", "T 192.0.2.1 2001:db8::1  ");
    CHECK_LIST_OF_TWO("an LF at the end", "T 192.0.2.1 2001:db8::1\n");
    CHECK_LIST_OF_TWO("a CR LF at the end", "T 192.0.2.1 2001:db8::1\r\n");
    CHECK_LIST_OF_TWO("a CR LF and a NUL at the end", "T 192.0.2.1 2001:db8::1\r\n\0");
    CHECK_LIST_OF_TWO("spaces and a NUL at the end", "T 192.0.2.1 2001:db8::1  \0");
    CHECK_LIST_OF_TWO("another form of an address", "T 192.0.2.1 2001:DB8:0:0::0:1");
    CHECK_LIST_OF_TWO("a mapped address", "T ::ffff:192.0.2.1 2001:db8::1");
    CHECK_LIST_OF_TWO("a repeated address", "T 192.0.2.1 2001:db8::1 192.0.2.1");
    CHECK_LIST_OF_TWO("a scope", "T 192.0.2.1 2001:db8::1%eth0");
#undef CHECK_LIST_OF_TWO
}

static void check_empty_list(const char *name, const char *text, size_t length) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);

    command_octets(&w, text, length, &no_record);
    CHECK(!w.answer.refusal && w.engine.clients.list[0].has_list &&
              w.engine.clients.list[0].peer_count == 0,
          "%s is an empty list", name);
    CHECK(published_no_master(&w) && told(&w, NQPTP_EVENT_NO_MASTER, 0),
          "%s: no master is published and told", name);
    (void)send_pair(&w, &s);
    CHECK(!w.effects.publish && knows(&w, &s),
          "%s: the clock of its sample is known, not published", name);
}

static void test_forms_of_an_empty_list(void) {
    check_empty_list("T", "T", 1);
    check_empty_list("T and a NUL", "T\0", 2);
    check_empty_list("T and a space", "T ", 2);
    check_empty_list("T and spaces", "T     ", 6);
}

static void test_no_master_is_published_once(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);
    unsigned publications = 0;

    command(&w, "T");
    CHECK(published_no_master(&w), "an empty list: \"no master\" is published");
    for (int n = 0; n < 20; n++) {
        play(&w, &s, S);
        publications += w.effects.publish != 0;
    }
    CHECK_EQ_U64(publications, 0,
                 "after an empty list \"no master\" is not published again while the clock sends");
    command(&w, "T");
    CHECK(idle(&w), "the same empty list again has no effect");
    command(&w, "T 192.0.2.9");
    CHECK(idle_but(&w, 1) && told(&w, NQPTP_EVENT_LIST, 0),
          "another list without a known clock publishes nothing");
}

/* There may be a record of a process before this one. */
static void test_empty_list_at_first(void) {
    struct world w = world_begin();

    command(&w, "T");
    CHECK(published_no_master(&w), "an empty list is published though there never was a master");
}

static void test_list_takes_effect_at_once(void) {
    struct sender one = sender(1, "192.0.2.1", 100), two = sender(2, "192.0.2.2", 200);
    struct world w = world_of(&one);

    (void)send_announce(&w, &two);
    uint64_t local_ns = receive_time(&w);
    (void)send_pair(&w, &two);
    command(&w, "T 192.0.2.2");
    CHECK(published(&w, &two, local_ns), "a list makes its clock master at once");
    CHECK(told(&w, NQPTP_EVENT_MASTER, 2) && told(&w, NQPTP_EVENT_LIST, 0),
          "a list that makes a master: the list and the master are told");
    command(&w, "T 192.0.2.9 192.0.2.1 192.0.2.2");
    CHECK_EQ_U64(w.record.clock_identity, 1, "another list makes the best of its clocks master");
    command(&w, "T 192.0.2.9");
    CHECK(published_no_master(&w), "a list without a known clock leaves no master");
}

static void test_same_list_again(void) {
    struct sender s = sender(1, "192.0.2.1", 100), other = sender(2, "192.0.2.2", 1);
    struct world w = world_of(&s);

    play(&w, &other, 2 * S);
    command(&w, "T 192.0.2.1 192.0.2.9");
    CHECK_EQ_U64(master_of(&w), 1, "a listed clock is master");
    struct nqptp_reading reading = w.engine.table.clocks[0].reading;
    command(&w, "T 192.0.2.1 192.0.2.9");
    CHECK(idle(&w), "the same list again has no effect");
    command(&w, "T 192.0.2.9   192.0.2.1");
    CHECK(idle(&w), "the same addresses in another order change nothing");
    CHECK_EQ_U64(w.engine.clients.list[0].peer_count, 2,
                 "the same addresses in another order: the list has two addresses");
    (void)send_pair(&w, &s);
    CHECK_EQ_U64(w.record.start_time_ns, reading.start_time_ns,
                 "the same list again: the series goes on");
}

/* --- how many -------------------------------------------------------------------------------- */

static size_t write_list(char *text, size_t size, unsigned count) {
    size_t length = (size_t)snprintf(text, size, "T");

    for (unsigned i = 0; i < count; i++)
        length += (size_t)snprintf(text + length, size - length, " 10.0.%u.%u", i / 256, i % 256);
    return length;
}

static void test_256_addresses(void) {
    struct world w = world_begin();
    char text[NQPTP_COMMAND_MAX];

    (void)write_list(text, sizeof text, 256);
    command(&w, text);
    CHECK(!w.answer.refusal, "256 addresses are a list");
    CHECK(w.engine.clients.list[0].peer_count == 256 && lists(&w, "10.0.0.255"),
          "a list of 256 addresses has the last of them");
    command(&w, "T 192.0.2.1");
    (void)write_list(text, sizeof text, 257);
    command(&w, text);
    CHECK(w.answer.refusal, "a list of 257 addresses is refused");
    CHECK(w.engine.clients.list[0].peer_count == 1 && lists(&w, "192.0.2.1"),
          "a list of 257 addresses leaves the list before");
}

static void test_longest_command(void) {
    struct world w = world_begin();
    char text[NQPTP_COMMAND_MAX + 1];

    memset(text, ' ', sizeof text);
    // NOLINTNEXTLINE(bugprone-not-null-terminated-result): spaces are to follow, not a NUL
    memcpy(text, "T 192.0.2.1", 11);
    command_octets(&w, text, 4096, &no_record);
    CHECK(!w.answer.refusal && lists(&w, "192.0.2.1"), "a command of 4096 octets is obeyed");
    text[10] = '2';
    command_octets(&w, text, 4097, &no_record);
    CHECK(w.answer.refusal && lists(&w, "192.0.2.1"), "a command of 4097 octets is refused");
}

/* --- ? --------------------------------------------------------------------------------------- */

static void check_status(const char *name, struct world *w, size_t length) {
    struct nqptp_engine before;

    memcpy(&before, &w->engine, sizeof before);
    command_octets(w, "?\0", length, &no_record);
    CHECK(!w->answer.refusal && w->command.letter == '?', "%s: ? asks for the status", name);
    CHECK(!w->effects.publish && w->effects.event_count == 0, "%s: ? has no effect", name);
    CHECK(same_octets(&before, &w->engine, sizeof before), "%s: ? leaves the state of the engine",
          name);
}

static void test_status(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world fresh = world_begin(), w = world_of(&s);

    check_status("new engine", &fresh, 1);
    check_status("new engine, ? with a NUL", &fresh, 2);
    check_status("engine with a master", &w, 1);
    command(&w, "T 192.0.2.1");
    check_status("engine with a list", &w, 1);
    command(&w, "T");
    check_status("engine with an empty list", &w, 1);
}

static void test_status_forms(void) {
    static const struct {
        const char *text;
        bool json;
    } forms[] = {{"?", false}, {"? json", true}};
    struct world w = world_begin();

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        command(&w, forms[i].text);
        CHECK(w.command.letter == '?' && w.command.json == forms[i].json, "%s: %s", forms[i].text,
              forms[i].json ? "JSON" : "text");
    }
}

/* --- bad input ------------------------------------------------------------------------------- */

/* Returns the reason. */
static const char *check_refused(const char *name, const char *text, size_t length) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);
    struct nqptp_engine before;

    command(&w, "T 192.0.2.1 192.0.2.2");
    memcpy(&before, &w.engine, sizeof before);
    command_octets(&w, text, length, &no_record);
    CHECK(w.answer.refusal && w.answer.refusal[0], "%s: refused, with a reason", name);
    CHECK(!w.effects.publish && !w.effects.reply_count && w.effects.event_count == 0 &&
              w.answer.client < 0,
          "%s: without any effect", name);
    CHECK(same_octets(&before, &w.engine, sizeof before), "%s: all state is as it was", name);
    return w.answer.refusal ? w.answer.refusal : "";
}

#define CHECK_REFUSED(name, text) check_refused(name, text, sizeof(text) - 1)

static void test_unknown_commands(void) {
    (void)CHECK_REFUSED("an unknown letter", "X");
    (void)CHECK_REFUSED("an unknown letter with an address", "U 192.0.2.1");
    (void)CHECK_REFUSED("a small letter", "t 192.0.2.1");
    (void)CHECK_REFUSED("no space", "T192.0.2.1");
    (void)CHECK_REFUSED("a word that begins with T", "Tx");
    (void)CHECK_REFUSED("a space before T", " T 192.0.2.1");
    (void)CHECK_REFUSED("an address alone", "192.0.2.1");
    (void)CHECK_REFUSED("a space", " ");
    (void)CHECK_REFUSED("a ? and a space", "? ");
    (void)CHECK_REFUSED("a ? with 0", "? 0");
    (void)CHECK_REFUSED("a ? with 10000", "? 10000");
    (void)CHECK_REFUSED("a ? with 4x", "? 4x");
    (void)CHECK_REFUSED("a ? with -4", "? -4");
    (void)CHECK_REFUSED("a ? with 80 and no space", "?80");
    (void)CHECK_REFUSED("a ? with json and no space", "?json");
    (void)CHECK_REFUSED("a ? for xml", "? xml");
    (void)CHECK_REFUSED("a ? for json with a space at the end", "? json ");
    (void)CHECK_REFUSED("a named ?", "/nqptp ?");
    (void)CHECK_REFUSED("two ?", "??");
}

static void test_bad_addresses(void) {
    (void)CHECK_REFUSED("a host name for an address", "T localhost");
    (void)CHECK_REFUSED("a bad address at the front", "T 192.0.2.256 192.0.2.3");
    (void)CHECK_REFUSED("a bad address in the middle", "T 192.0.2.3 192.0.2.300 192.0.2.4");
    (void)CHECK_REFUSED("a bad address at the end", "T 192.0.2.3 192.0.2.4 x");
    (void)CHECK_REFUSED("a comma", "T 192.0.2.3,192.0.2.4");
    (void)CHECK_REFUSED("a scope without a name", "T fe80::1%");
    (void)CHECK_REFUSED("a scope of an IPv4 address", "T 192.0.2.3%eth0");
    (void)CHECK_REFUSED("a port", "T 192.0.2.3:319");
    (void)CHECK_REFUSED("a long word", "T 1111111111111111111111111111111111111111111111111111");
}

static void test_bad_octets(void) {
    (void)CHECK_REFUSED("two NULs", "T 192.0.2.3\0\0");
    (void)CHECK_REFUSED("a NUL in the middle", "T 192.0.2.3\0 192.0.2.4");
    (void)CHECK_REFUSED("a NUL at the front", "\0T 192.0.2.3");
    (void)CHECK_REFUSED("two NULs alone", "\0\0");
    (void)CHECK_REFUSED("two line ends", "T 192.0.2.3\n\n");
    (void)CHECK_REFUSED("an LF before the CR", "T 192.0.2.3\n\r");
    (void)CHECK_REFUSED("a tab", "T\t192.0.2.3");
    (void)CHECK_REFUSED("a line end alone", "\n");
    (void)CHECK_REFUSED("DEL", "T 192.0.2.3\x7F");
    (void)CHECK_REFUSED("UTF-8", "T 192.0.2.3 \xC3\xA4");
    (void)CHECK_REFUSED("a high octet", "\xD4 192.0.2.3");
}

/* A warning can name the reason only if each kind has its own. */
static void test_reasons(void) {
    char over_long[NQPTP_COMMAND_MAX + 1], many[NQPTP_COMMAND_MAX];
    memset(over_long, ' ', sizeof over_long);
    over_long[0] = 'T';
    const char *const reasons[] = {
        CHECK_REFUSED("an empty command", ""),
        CHECK_REFUSED("an unknown command", "Z"),
        CHECK_REFUSED("a bad address", "T z"),
        CHECK_REFUSED("a control character", "T \x01"),
        check_refused("over-long", over_long, sizeof over_long),
        check_refused("257 addresses", many, write_list(many, sizeof many, 257)),
    };
    unsigned alike = 0;
    for (size_t i = 1; i < sizeof reasons / sizeof reasons[0]; i++)
        for (size_t j = 0; j < i; j++)
            alike += strcmp(reasons[i], reasons[j]) == 0;
    CHECK_EQ_U64(alike, 0, "each kind of bad input has a reason of its own");
    CHECK_EQ_STR(CHECK_REFUSED("a NUL alone", "\0"), reasons[0],
                 "a NUL alone is refused like an empty command");
}

/* The log names the client of a refused command. */
static void test_name_of_a_refused_command(void) {
    static const struct {
        const char *what, *text, *name;
    } refused[] = {
        {"a bad address", "/kitchen T 192.0.2.x", "/kitchen"},
        {"an unknown letter", "/kitchen Q", "/kitchen"},
        {"a command without a name", "T x", ""},
        {"a bad name", "/a/b T", ""},
        {"a control character", "/\x01 T", ""},
        {"an empty command", "", ""},
    };

    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct nqptp_command parsed = {.name = "/before"};
        CHECK(nqptp_command_parse(refused[i].text, strlen(refused[i].text), &parsed) != NULL,
              "%s is refused", refused[i].what);
        CHECK_EQ_STR(parsed.name, refused[i].name, "%s: the name is its own", refused[i].what);
    }
}

/* Makes a text of letters that commands have, and of some random octets. */
static size_t random_command(struct prng *prng, char *text, size_t size) {
    static const char alphabet[] = "TTT?  ..::%0123456789abcdef";
    size_t length = (size_t)prng_below(prng, size + 1);

    for (size_t i = 0; i < length; i++)
        text[i] = (char)(prng_below(prng, 64) ? alphabet[prng_below(prng, sizeof alphabet)]
                                              : (char)prng_next(prng));
    if (length > 1 && prng_below(prng, 2)) {
        text[0] = 'T';
        text[1] = ' ';
    }
    return length;
}

static void test_junk(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);
    struct prng prng = {9000};
    unsigned refused = 0, insane = 0;
    const unsigned count = 200000;

    for (unsigned n = 0; n < count; n++) {
        char text[24];
        size_t length = random_command(&prng, text, sizeof text);
        command_octets(&w, text, length, &no_record);
        refused += w.answer.refusal != NULL;
        insane += !sane(&w);
    }
    CHECK_EQ_U64(insane, 0, "%u commands of junk: the engine keeps its invariants", count);
    CHECK(refused > count / 2 && refused < count - 1000,
          "of the commands of junk %u are refused, the others obeyed", refused);
    command(&w, "T 192.0.2.1");
    CHECK_EQ_U64(master_of(&w), 1, "after the commands of junk a good one is obeyed");
}

int main(void) {
    static void (*const tests[])(void) = {
        test_forms_of_a_list,
        test_forms_of_an_empty_list,
        test_no_master_is_published_once,
        test_empty_list_at_first,
        test_list_takes_effect_at_once,
        test_same_list_again,
        test_256_addresses,
        test_longest_command,
        test_status,
        test_status_forms,
        test_unknown_commands,
        test_bad_addresses,
        test_bad_octets,
        test_reasons,
        test_name_of_a_refused_command,
        test_junk,
    };
    TAP_RUN(tests);
    return tap_done();
}
