/* Relays: each passes one link between two nodes, and can spoil it. One thread runs them all; any thread may
 * call relay_spoil. A relay stays where it is, whatever becomes of the node behind it. */
#ifndef TORTURE_RELAY_H
#define TORTURE_RELAY_H

#include "node.h"
#include "random.h"

enum relay_kind {
    RELAY_PASS,
    RELAY_DELAY,   /* bytes, and new connections, come late */
    RELAY_TRICKLE, /* a few bytes at a time */
    RELAY_CUT,     /* every connection breaks at a random byte */
    RELAY_SWALLOW, /* bytes are taken and thrown away; such a connection never passes anything again */
    RELAY_STALL,   /* bytes are not taken; later they are */
    RELAY_REFUSE,  /* nobody listens */
    RELAY_KINDS
};

enum { RELAY_TO_SERVER = 1, RELAY_TO_CLIENT = 2, RELAY_BOTH_WAYS = 3 };

struct relay_fault {
    enum relay_kind kind;
    unsigned directions; /* for SWALLOW, STALL and CUT */
    unsigned delay_ms;   /* for DELAY */
    unsigned cut_most;   /* for CUT: after so many bytes at most; 0: at once */
    bool reset;          /* for CUT and REFUSE: with RST, not FIN */
};

extern const char *const relay_kind_names[RELAY_KINDS];

struct relay;

struct relay_counts {
    unsigned connections;
    unsigned cuts; /* that were made in the midst of a connection */
    uint64_t bytes;
};

/* Adds a relay at an address; before relays_start. */
struct relay *relay_add(const char *name, struct in_addr address, const struct node *server);

/* Starts the thread. The random numbers are for where to cut. */
void relays_start(struct random random);
void relays_stop(void);

uint16_t relay_port(const struct relay *relay);
const char *relay_name(const struct relay *relay);

/* From now on, until the next call. */
void relay_spoil(struct relay *relay, const struct relay_fault *fault);

/* Of all relays together. */
struct relay_counts relays_count(void);

#endif
