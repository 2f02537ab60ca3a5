/* SPDX-License-Identifier: MIT */
/* The status as text: see the header. */
#include "nqptp-status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct page {
    char *text;
    size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void add(struct page *page, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(page->text + page->used, page->size - page->used, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    size_t room = page->size - page->used - 1;
    page->used += (size_t)length < room ? (size_t)length : room;
}

static double seconds_since(uint64_t then_ns, uint64_t now_ns) {
    return (double)(now_ns - then_ns) / 1e9;
}

static void add_master(struct page *page, const struct nqptp_clock *clock, uint64_t now_ns) {
    char address[INET6_ADDRSTRLEN];

    add(page, "Master:   %016" PRIx64 " at %s\n", clock->clock_identity,
        nqptp_address_format(&clock->address, address));
    add(page, "Sample:   %.1f s ago, in an unbroken series for %.1f s\n",
        seconds_since(clock->sampled_ns, now_ns),
        seconds_since(clock->reading.start_time_ns, now_ns));
}

static void add_list(struct page *page, const struct nqptp_client *client) {
    if (!client->has_list)
        add(page, "List:     never given, so any clock may be master\n");
    else if (client->peer_count == 0)
        add(page, "List:     empty, so no clock may be master\n");
    else
        add(page, "List:     %u address%s\n", client->peer_count,
            client->peer_count == 1 ? "" : "es");
}

static void add_client(struct page *page, const struct nqptp_engine *engine, int c,
                       uint64_t now_ns) {
    static const char *const activity[] = {
        [NQPTP_STOPPED] = "", [NQPTP_PLAYING] = ", playing", [NQPTP_PAUSED] = ", paused"};
    const struct nqptp_client *client = &engine->table.clients[c];

    add(page, "Object:   %s%s\n", client->name, activity[client->activity]);
    if (client->master == NQPTP_NO_CLOCK)
        add(page, "Master:   none\n");
    else
        add_master(page, &engine->table.clocks[client->master], now_ns);
    add_list(page, client);
}

static bool qualifies(const struct nqptp_clock_table *table, int i, uint64_t now_ns) {
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        if (table->clients[c].in_use &&
            nqptp_client_qualifies(table, &table->clients[c], i, now_ns))
            return true;
    return false;
}

static void add_clock(struct page *page, const struct nqptp_clock_table *table, int i,
                      uint64_t now_ns) {
    const struct nqptp_clock *clock = &table->clocks[i];
    char address[INET6_ADDRSTRLEN];

    add(page, "%016" PRIx64 "  %-39s  %5.1f s ", clock->clock_identity,
        nqptp_address_format(&clock->address, address), seconds_since(clock->heard_ns, now_ns));
    add(page, "%s%s%s%s\n", nqptp_clock_is_master(table, i) ? " master" : "",
        nqptp_clock_listed(table, i) ? " listed" : "",
        qualifies(table, i, now_ns) ? " qualified" : "",
        nqptp_clock_alive(clock, now_ns) ? " alive" : "");
}

static unsigned clocks_in_use(const struct nqptp_clock_table *table) {
    unsigned count = 0;
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        count += table->clocks[i].in_use;
    return count;
}

size_t nqptp_status_format(const struct nqptp_engine *engine, uint64_t now_ns, char *text,
                           size_t size) {
    struct page page = {text, size, 0};
    uint64_t used = engine->drops[NQPTP_DROP_NONE];

    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        if (engine->table.clients[c].in_use)
            add_client(&page, engine, c, now_ns);
    add(&page, "Packets:  %" PRIu64 " used, %" PRIu64 " dropped\n", used, engine->packets - used);
    add(&page, "Clocks:   %u of %d\n", clocks_in_use(&engine->table), NQPTP_CLOCKS_MAX);
    if (clocks_in_use(&engine->table) > 0)
        add(&page, "\n%-16s  %-39s  %7s  Marks\n", "Clock identity", "Address", "Heard");
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        if (engine->table.clocks[i].in_use)
            add_clock(&page, &engine->table, i, now_ns);
    return page.used;
}
