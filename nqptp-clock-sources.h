/* SPDX-License-Identifier: MIT */
/*
 * The clock table: a row for each PTP clock that was heard, and the comparison of their data sets.
 *
 * A row is one clock identity at one address. The table knows no clients: its caller says by masks
 * of rows which clocks are listed and which are masters. `now_ns` is always CLOCK_MONOTONIC_RAW, as
 * the caller read it.
 */
#ifndef NQPTP_CLOCK_SOURCES_H
#define NQPTP_CLOCK_SOURCES_H

#include "nqptp-estimator.h"
#include "nqptp-interval.h"
#include "nqptp-pairing.h"
#include "nqptp-time.h"

#define NQPTP_CLOCKS_MAX 32

#define NQPTP_NO_CLOCK (-1)

/* A clock is deleted when nothing was accepted from it for this time. */
#define NQPTP_CLOCK_LIFETIME_NS UINT64_C(120000000000)

/* The clock's time by its samples: the values that are published when it is the master. */
struct nqptp_reading {
    uint64_t grandmaster_identity; /* The grandmaster of the samples; 0: it announced none yet. */
    uint64_t local_time_ns;        /* The receive time of the last sample; 0: there was none yet. */
    uint64_t offset_ns;            /* The clock's time minus CLOCK_MONOTONIC_RAW, modulo 2^64. */
    uint64_t start_time_ns;        /* The receive time of the first sample of the series. */
};

/*
 * How often something changed of late. A few changes in a row may well be true and apply at once.
 * When there are more, the next applies only after 5 s without another.
 */
struct nqptp_hysteresis {
    unsigned weight;        /* The sum of the weights of the changes that count still. */
    uint64_t changed_at_ns; /* The time of the last change. */
};

struct nqptp_clock {
    bool in_use;
    uint64_t clock_identity;
    struct nqptp_address address;
    struct nqptp_address local; /* Our address that the last message came to. */
    uint32_t interface;         /* The interface that the last message came in by. */
    unsigned address_rows;      /* The number of rows at this address, with this one. */
    uint64_t created_at_ns;     /* When this row was made. */
    uint64_t heard_at_ns;       /* The arrival of the last Sync, Follow_Up or Announce accepted. */
    uint64_t packets;           /* The number of those messages. */
    uint64_t requests;          /* The number of Delay_Reqs to it. */
    uint64_t answers;           /* The number of Delay_Resps from it that name our port. */
    uint64_t answered_ns;       /* The arrival of the last of these. */
    bool kept; /* It is the master of a client that plays: silence alone does not delete it. */

    /* Announces */
    bool announced; /* There was one, so that `announce` and `port_number` are valid. */
    bool confirmed; /* Two came in short order: the clock may displace a living master. */
    struct nqptp_announce announce;      /* What is believed of the clock. */
    struct nqptp_announce last_announce; /* What the clock said last. */
    struct nqptp_hysteresis announce_hysteresis;
    uint16_t port_number; /* The port of the clock that sent the last one. */
    uint16_t announce_id; /* The sequenceId of the last one. */
    struct nqptp_interval announce_interval;

    /* Waking it up: see nqptp-wake-up */
    unsigned listed_announces; /* The number of Announces since a client lists the clock. */
    uint64_t wake_up_at_ns;    /* The second Announce of ours is due then; 0: none is. */

    /* Samples */
    struct nqptp_pairing pairing;
    unsigned repeated_times;      /* The number of samples in a row that repeat one time. */
    uint64_t last_origin_ns;      /* The origin_ns of the last sample. */
    uint64_t last_master_ns;      /* The same with its corrections. */
    uint64_t last_local_ns;       /* The local_ns of the last sample. */
    struct nqptp_sample withheld; /* It looks like one of a backlog, and waits for the next one. */
    bool withholds;               /* `withheld` is valid, unless the estimator was reset since. */
    uint64_t sampled_at_ns;       /* A sample was used last then; 0: none yet. */
    uint64_t series_began_at_ns;  /* The receive time of the first sample of the series. */
    uint64_t newest_offset_ns;    /* The offset by the last sample, whether it was used or not. */
    bool jumped_back;             /* The direction of the last jump of that offset. */
    struct nqptp_hysteresis series_hysteresis;
    uint64_t alive_until_ns; /* It is lost then without another sample; 0: it is lost already. */
    struct nqptp_reading reading;
    struct nqptp_estimator estimator;
    double odd_rate_ppm; /* The clock's rate minus ours if no two crystals differ by it, else 0. */
};

/* The steps of the data set comparison, in its order. */
enum nqptp_rung {
    NQPTP_RUNG_PRIORITY1,
    NQPTP_RUNG_CLOCK_CLASS,
    NQPTP_RUNG_CLOCK_ACCURACY,
    NQPTP_RUNG_VARIANCE,
    NQPTP_RUNG_PRIORITY2,
    NQPTP_RUNG_GRANDMASTER_IDENTITY,
    NQPTP_RUNG_STEPS_REMOVED,
    NQPTP_RUNG_CLOCK_IDENTITY,
    NQPTP_RUNG_PORT_NUMBER,
    NQPTP_RUNG_ADDRESS, /* Not of the standard, and without values: the lower address wins. */
};

/* What told two clocks from each other. */
struct nqptp_difference {
    enum nqptp_rung rung;  /* The first step at which they differ. */
    uint64_t mine, theirs; /* The values of the first and of the second clock there. */
};

/* No row from clocks_top on is in use, so that a packet costs nothing for rows never touched. */
struct nqptp_clock_table {
    int clocks_top;
    struct nqptp_clock clocks[NQPTP_CLOCKS_MAX];
};

/* Returns the number of rows that have a clock. */
unsigned nqptp_clocks_in_use(const struct nqptp_clock_table *table);

/* Row i in a mask of rows. */
static inline uint32_t nqptp_clock_bit(int i) {
    return UINT32_C(1) << i;
}

/* Notes a change of this weight. */
void nqptp_hysteresis_note(struct nqptp_hysteresis *hysteresis, unsigned weight, uint64_t now_ns);

/* Whether there were too many changes of late, so that the present one must wait. */
bool nqptp_hysteresis_holds(const struct nqptp_hysteresis *hysteresis, uint64_t now_ns);

/*
 * Returns the row of the clock with that identity at that address, or NQPTP_NO_CLOCK. A link-local
 * address on another link is another address.
 */
int nqptp_clock_find(const struct nqptp_clock_table *table, uint64_t clock_identity,
                     const struct nqptp_address *address);

/* Returns the rows of the clocks at the address: bit i is row i. */
uint32_t nqptp_clock_rows_at(const struct nqptp_clock_table *table,
                             const struct nqptp_address *address);

/*
 * Finds the row that a newcomer at that address may have: a free one, else that of the clock idle
 * longest among those that may go. Bit i of `listed` says that a client lists the clock in row i,
 * bit i of `pinned` that it is a client's master: that one never goes. Unlisted clocks go first, a
 * listed one only for another listed one. Only a listed newcomer takes the row of a clock that was
 * heard in the last 5 s, and only if that clock is unlisted. If these rules give no
 * row, a newcomer at an address without a row takes the newest row of the address that has the most
 * rows, two at least. Returns the number of the row, or NQPTP_NO_CLOCK if there is none.
 */
int nqptp_clock_row_for(const struct nqptp_clock_table *table, uint32_t listed, uint32_t pinned,
                        const struct nqptp_address *newcomer, bool newcomer_is_listed,
                        uint64_t now_ns);

/* Puts a new clock into row i. */
void nqptp_clock_create(struct nqptp_clock_table *table, int i, uint64_t clock_identity,
                        const struct nqptp_address *address, uint64_t now_ns);

/* Empties row i. */
void nqptp_clock_delete(struct nqptp_clock_table *table, int i);

/*
 * Takes in an Announce of the clock (9.5.3), sent by its port `port_number`. When a clock
 * contradicts itself again and again, the last thing believed stays, until it has said another one
 * for 5 s.
 */
void nqptp_clock_announce(struct nqptp_clock *clock, const struct nqptp_announce *announce,
                          uint16_t port_number, int8_t log_message_interval, uint64_t now_ns);

/*
 * Adds a sample. Returns whether the reading changed. The reading of a clock that jumps to and fro
 * stays as it is until a series has lasted 5 s. A clock that has stopped is known by the origin_ns
 * that it repeats: the corrections differ.
 */
bool nqptp_clock_sample(struct nqptp_clock *clock, const struct nqptp_sample *sample,
                        uint64_t now_ns);

/*
 * Judges the rate of the clock, if its estimator is sure of it: beyond +-150 ppm of ours it is odd,
 * and within +-120 ppm it is usual again. Returns whether the verdict changed.
 */
bool nqptp_clock_judge_rate(struct nqptp_clock *clock);

/* Whether it gave a sample within max(3 s, 8 Sync intervals), at most 10 s. */
bool nqptp_clock_is_alive(const struct nqptp_clock *clock, uint64_t now_ns);

/* Returns the rows of the clocks that are alive. */
uint32_t nqptp_clock_rows_alive(const struct nqptp_clock_table *table, uint64_t now_ns);

/* Whether its messages come but repeat one time. */
bool nqptp_clock_is_asleep(const struct nqptp_clock *clock);

/*
 * The data set comparison of 9.3.4 between two clocks that have announced themselves. Returns less
 * than 0 if a is better, more than 0 if b is, and 0 only for one and the same row. *difference says
 * why.
 */
int nqptp_clock_compare(const struct nqptp_clock *a, const struct nqptp_clock *b,
                        struct nqptp_difference *difference);

/* When the next thing happens to the clock if no message comes, or NQPTP_NO_DEADLINE. */
uint64_t nqptp_clock_deadline(const struct nqptp_clock *clock);

/* The row whose deadline comes first, or NQPTP_NO_CLOCK if no row is in use. */
int nqptp_clock_first_due(const struct nqptp_clock_table *table);

#endif
