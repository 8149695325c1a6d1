/* A scripted secondary: it speaks as much of POST /replicate as a master needs, remembers what it was sent,
 * and misbehaves as told. A thread of its own serves one connection after another, a new one ending the one
 * before.
 *
 * All functions may be called from any thread. */
#ifndef TEST_FAKE_H
#define TEST_FAKE_H

#include "http.h"
#include "node.h"

enum fake_mode {
    FAKE_GOOD,
    FAKE_SILENT,   /* accepts, reads, and never answers */
    FAKE_DEAF,     /* accepts and never even reads */
    FAKE_500,      /* answers 500 and stores nothing */
    FAKE_500_HELD, /* stores, then answers 500 */
    FAKE_LOST_ACK, /* stores, then closes without an answer */
    FAKE_HALF,     /* stores, then closes in mid-answer */
    FAKE_GARBAGE,  /* stores, then answers what is not HTTP */
    FAKE_LIAR      /* answers 200 and stores nothing, its last_id one too low */
};

struct fake;

/* Listens; lasts until the test's process ends. The modes are for requests with messages: signs of life are
 * answered well, but for FAKE_SILENT and FAKE_DEAF. */
struct fake *fake_open(enum fake_mode mode);

/* Registers it with a master under a name, with what it holds. */
struct reply fake_register(struct fake *fake, const struct node *master, const char *id);

void fake_mode(struct fake *fake, enum fake_mode mode);
void fake_slow(struct fake *fake, int ms);     /* waits so long before each answer to messages */
void fake_forget(struct fake *fake);           /* holds nothing any more, as after a restart */
void fake_close_connection(struct fake *fake); /* the one that is open */

uint16_t fake_port(const struct fake *fake);
int fake_connections(struct fake *fake); /* accepted */
int fake_requests(struct fake *fake);    /* those with messages */
int fake_signs(struct fake *fake);       /* signs of life */
long long fake_last_id(struct fake *fake);

/* The messages it holds, as GET /messages would show them; free it. Ends the test where a hole was sent. */
char *fake_list(struct fake *fake);

/* The `first` of the latest request with messages. */
long long fake_latest_first(struct fake *fake);

/* The head of the latest request; free it. */
char *fake_latest_head(struct fake *fake);

#endif
