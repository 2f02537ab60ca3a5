/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target for the control port: each line of the input is a datagram, to one engine that knows
 * two clocks. A refused command changes nothing at all.
 */
#include "invariants.h"
#include "../lib/engine-fixture.h"

#define PAUSE_NS (400 * MS) /* between two commands, so that clocks do not stay alive for ever */

static void require_refused(const struct world *w) {
    const char *refusal = w->answer.refusal;

    REQUIRE(is_printable(refusal, strlen(refusal)));
    REQUIRE(!w->effects.publish && w->effects.event_count == 0 && !w->added);
}

/* `before` is a copy of the engine before the command. The function brings it up to date. */
static void try_command(struct world *w, struct nqptp_engine *before, const uint8_t *data,
                        size_t length) {
    uint8_t *text = fuzz_copy(data, length);

    command_octets(w, (const char *)text, length, &no_record);
    free(text);
    require_effects(&w->engine, &w->effects);
    require_answer(&w->engine, &w->command, &w->answer);
    REQUIRE(w->effects.reply_count == 0);
    if (w->answer.refusal) {
        require_refused(w);
        REQUIRE(same_octets(before, &w->engine, sizeof *before));
    } else {
        require_state(&w->engine, w->now_ns);
        require_masters(&w->engine, w->now_ns);
        memcpy(before, &w->engine, sizeof *before);
    }
    w->now_ns += PAUSE_NS;
}

/* Each input begins with two known clocks. A client without a list follows the better clock. */
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
    return 0;
}
