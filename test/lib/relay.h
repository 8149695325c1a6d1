/* A TCP relay on 127.0.0.1, for the link between a master and a secondary: the secondary is given
 * `--advertise-url` of the relay (or `--master-url`), and the test spoils the link. Runs in a thread of its
 * own.
 *
 * "There" is the direction from who connected to the target, "back" the other one.
 *
 * All functions may be called from any thread; what they order is in force when they return. */
#ifndef TEST_RELAY_H
#define TEST_RELAY_H

#include <stdint.h>

enum relay_mode {
    RELAY_PASS,
    RELAY_HOLD,  /* a black hole: connections open and nothing comes through; what was sent waits for
                    RELAY_PASS */
    RELAY_REFUSE /* every connection is cut, new ones are refused */
};

enum relay_way { RELAY_THERE, RELAY_BACK };

struct relay;

/* Relays to a port of 127.0.0.1. It lasts until the test's process ends. */
struct relay *relay_open(uint16_t target);

uint16_t relay_port(const struct relay *relay);
const char *relay_url(const struct relay *relay); /* http://127.0.0.1:PORT */

void relay_target(struct relay *relay, uint16_t target); /* for connections to come */
void relay_mode(struct relay *relay, enum relay_mode mode);

/* Bytes of both directions come through so much later. */
void relay_delay(struct relay *relay, int ms);

/* At most so many bytes a second come through each way of a connection, 50 at least; 0 for no limit. */
void relay_rate(struct relay *relay, int bytes);

/* Every connection to come is cut after that many bytes one way, which still get through; -1 for none. Both
 * sides see the end of the stream. */
void relay_cut_after(struct relay *relay, enum relay_way way, long bytes);

/* Resets all connections that there are. */
void relay_cut(struct relay *relay);

int relay_connections(const struct relay *relay); /* accepted so far */
int relay_cuts(const struct relay *relay);        /* connections cut so far, by one of the above */

#endif
