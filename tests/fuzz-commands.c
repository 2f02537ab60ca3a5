/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target for the control port: each line of the input is a datagram, to one engine that knows
 * two clocks. A refused command changes nothing at all, and what is obeyed is kept across a
 * restart. An object whose name has an `!` cannot be made, so its client is forgotten again.
 */
#include "invariants.h"
#include "world.h"

#define PAUSE_NS                                                                                   \
    (400 * MS) /* between two commands, so that what is alive at first is not for ever */

/* Padding included: what nobody has written to is the same to the last octet. */
static bool same_octets(const void *a, const void *b, size_t size) {
    return memcmp(a, b, size) == 0;
}

static void require_refused(const struct nqptp_effects *effects) {
    REQUIRE(effects->refusal[0] && is_printable(effects->refusal, strlen(effects->refusal)));
    REQUIRE(!effects->publish && effects->reply_count == 0 && effects->event_count == 0);
    REQUIRE(effects->form == NQPTP_FORM_NONE && !effects->send_status && !effects->created);
}

static void require_obeyed(const struct world *w) {
    int c = w->effects.client;

    REQUIRE((c < 0) == w->effects.send_status);
    REQUIRE(c < 0 || w->engine.clients.list[c].in_use);
    REQUIRE(c == 0 || w->effects.form != NQPTP_FORM_BARE);
}

static void forget_if_impossible(struct world *w) {
    int c = w->effects.client;

    if (!w->effects.created || !strchr(w->engine.clients.list[c].name, '!'))
        return;
    nqptp_engine_forget(&w->engine, c);
    REQUIRE(!w->engine.clients.list[c].in_use);
}

/* `before` is the engine as it was; it is kept up to date. */
static void try_command(struct world *w, struct nqptp_engine *before, const uint8_t *data,
                        size_t length) {
    uint8_t *text = fuzz_copy(data, length);

    nqptp_engine_command(&w->engine, (const char *)text, length, w->now_ns, &w->effects);
    free(text);
    require_effects(&w->engine, &w->effects);
    REQUIRE(w->effects.reply_count == 0);
    if (w->effects.refusal) {
        require_refused(&w->effects);
        REQUIRE(same_octets(before, &w->engine, sizeof *before));
    } else {
        require_state(&w->engine, w->now_ns);
        require_masters(&w->engine, w->now_ns);
        require_obeyed(w);
        forget_if_impossible(w);
        memcpy(before, &w->engine, sizeof *before);
    }
    w->now_ns += PAUSE_NS;
}

/* All inputs begin where two clocks are known, and one that has no list follows the better one. */
static void begin(struct world *w) {
    static struct world begun;
    struct sender first = sender(APPLE_IDENTITY, "192.0.2.1", 248);
    struct sender second = sender(PTP4L_IDENTITY, "2001:db8::2", 128);

    if (begun.now_ns == 0) {
        begun = world_of(&first);
        play(&begun, &second, 2 * S);
    }
    memcpy(w, &begun, sizeof begun);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct nqptp_engine other;
    static struct world w;

    begin(&w);
    memcpy(&other, &w.engine, sizeof other);
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end ? (size_t)(end - data) : size;
        try_command(&w, &other, data, length);
        length += end != NULL;
        data += length;
        size -= length;
    }
    require_status(&w.engine, w.now_ns);
    require_saved(&w.engine, &other, w.now_ns);
    return 0;
}
