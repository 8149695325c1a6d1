/* A scripted secondary: it speaks as much of POST /replicate and GET /messages as a master needs, remembers
 * what it was sent, and misbehaves as told. A thread of its own serves one connection after another, a new
 * one ending the one before.
 *
 * Its answers prove what it holds: id, boot, log, epoch, and the digest of its list. fake_forge makes one of
 * them a lie.
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
    FAKE_LIAR,     /* answers 200 and stores nothing, its last_id one too low */
    FAKE_INTERIM   /* stores nothing; interim answers without end */
};

/* What is wrong in each 200 to POST /replicate, the signs of life included. */
enum fake_forge {
    FORGE_NOTHING,
    FORGE_ID,     /* another program's name */
    FORGE_BOOT,   /* another process */
    FORGE_LOG,    /* another list */
    FORGE_EPOCH,  /* an earlier master's */
    FORGE_DIGEST, /* another list's */
    FORGE_NO_DIGEST,
    FORGE_AHEAD /* last_id one more than it holds, and than it was sent */
};

/* What it answers to GET /messages. */
enum fake_list {
    LIST_OWN,
    LIST_OTHER,   /* as many messages as its own has, and other ones */
    LIST_MORE,    /* one more than its own has */
    LIST_FEWER,   /* one less */
    LIST_ENDLESS, /* messages without end */
    LIST_STRING,  /* one message without end */
    LIST_DRIBBLE, /* one message without end, a byte now and then */
    LIST_INTERIM, /* interim answers without end */
    LIST_SILENT   /* no answer */
};

struct fake;

/* Listens; lasts until the test's process ends. The modes are for requests with messages: signs of life are
 * answered well, but for FAKE_SILENT and FAKE_DEAF. */
struct fake *fake_open(enum fake_mode mode);

/* Registers it with a master under a name, with what it holds. The second one waits for the answer in the
 * background, which a master that takes a list over lets it do. */
struct reply fake_register(struct fake *fake, const struct node *master, const char *id);
struct call *fake_register_begin(struct fake *fake, const struct node *master, const char *id);

/* The same, and waits until its first answer on a new link has proven it: it is a member that counts. */
void fake_join(struct fake *fake, const struct node *master, const char *id);

/* Holds these messages of a log from now on, words parted by spaces, as of a master of epoch 1. */
void fake_hold(struct fake *fake, const char *log, const char *words);

void fake_mode(struct fake *fake, enum fake_mode mode);
void fake_forge(struct fake *fake, enum fake_forge forge);
void fake_serve(struct fake *fake, enum fake_list list);
void fake_slow(struct fake *fake, int ms);     /* waits so long before each answer to messages */
void fake_forget(struct fake *fake);           /* holds nothing any more */
void fake_restart(struct fake *fake);          /* the same, and is another process from now on */
void fake_close_connection(struct fake *fake); /* the one that is open */

uint16_t fake_port(const struct fake *fake);
int fake_connections(struct fake *fake); /* accepted */
int fake_requests(struct fake *fake);    /* those with messages */
int fake_signs(struct fake *fake);       /* signs of life */
int fake_readings(struct fake *fake);    /* GET or HEAD of /messages */
long long fake_last_id(struct fake *fake);
char *fake_boot(struct fake *fake); /* of its process, 32 hexadecimal digits; free it */

/* The messages it holds, as GET /messages would show them; free it. Ends the test where a hole was sent. */
char *fake_list(struct fake *fake);

/* The `first` of the latest request with messages. */
long long fake_latest_first(struct fake *fake);

/* The head of the latest request; free it. */
char *fake_latest_head(struct fake *fake);

#endif
