/* The secondary's registration: it registers with the master at the start, keeps trying while the master is
 * away, registers again when the master's connection has ended and the master does not dial again, or when
 * nothing was heard from it for REGISTRAR_SILENCE heartbeat intervals, and says goodbye at the end. The pause
 * between two tries grows (retry.h), and ends with a sign of life from the master, at once but for its first
 * part (a quarter at most). Belongs to the loop's thread. */
#ifndef REPLICATION_REGISTRAR_H
#define REPLICATION_REGISTRAR_H

#include "replication/follow.h"

enum { REGISTRAR_SILENCE = 3 };

struct registrar;

/* A master that accepts the registration is followed. The first try is made in the first pass. NULL where
 * there is no memory. */
struct registrar *registrar_open(const struct base *base, struct follow *follow);
void registrar_close(struct registrar *registrar);

/* A request came, or more of it, on that connection (see http_exchange_connection; 0: not known). That of a
 * master which this secondary does not follow calls for another registration. */
void registrar_heard(struct registrar *registrar, enum follow_sender sender, uint64_t connection);

/* The master has said that it stops: that it is away then is no warning. */
void registrar_farewell(struct registrar *registrar);

/* A connection has ended. */
void registrar_ended(struct registrar *registrar, uint64_t connection);

enum registrar_status {
    REGISTRAR_OK,        /* it is registered */
    REGISTRAR_NO_MASTER, /* it is not: the master is away, or silent for too long */
    REGISTRAR_REFUSED    /* the master has turned it away */
};
enum registrar_status registrar_status(const struct registrar *registrar);

/* One sentence that says why the status is not REGISTRAR_OK. */
const char *registrar_reason(const struct registrar *registrar);

/* How long ago the master was heard last, in milliseconds; -1: never. */
int64_t registrar_silent_ms(const struct registrar *registrar, int64_t now_ms);

/* The master's heartbeat interval, as far as it is known. */
int64_t registrar_heartbeat_ms(const struct registrar *registrar);

/* Begins to say goodbye, unless GOODBYE is off, until then at most. Nothing is registered any more. */
void registrar_leave(struct registrar *registrar, int64_t until_ms);

/* Whether the goodbye is under way. */
bool registrar_leaving(const struct registrar *registrar);

/* Called once a pass of the loop. Returns when it must be called again. */
int64_t registrar_pass(struct registrar *registrar, int64_t now_ms);

#endif
