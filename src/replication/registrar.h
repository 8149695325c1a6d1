/* The secondary's registration: a thread that registers with the master at the start, keeps trying while the
 * master is away, registers again when nothing was heard from it for REGISTRAR_SILENCE heartbeat intervals,
 * and says goodbye at the end. The pause between two tries grows from REGISTRAR_PAUSE_LEAST_MS to
 * REGISTRAR_PAUSE_MOST_MS, with jitter, and ends with a sign of life from the master, at once but for its
 * first part (a quarter at most). Any thread may call all but start and stop. */
#ifndef REPLICATION_REGISTRAR_H
#define REPLICATION_REGISTRAR_H

#include "replication/wire.h"
#include "url.h"

enum { REGISTRAR_SILENCE = 3, REGISTRAR_PAUSE_LEAST_MS = 50, REGISTRAR_PAUSE_MOST_MS = 2000 };

struct registrar;

struct registrar_config {
    struct http_url master;
    const char *from;   /* the local address to speak from, or NULL; see http_connect */
    const char *fields; /* as in struct link_shared */
    /* Fills in what to register: id, url, port, and the list as it is now. */
    void (*describe)(void *ctx, struct wire_register *registration);
    /* The master took it. Returns false where the list is not any more what describe told a new run of the
     * master: then this registers again. Called on the registrar's thread. */
    bool (*accepted)(void *ctx, const struct wire_registered *answer);
    void *ctx;
};

/* Starts the thread. NULL without memory or descriptors. */
struct registrar *registrar_start(const struct registrar_config *config);

/* The master was heard. */
void registrar_heard(struct registrar *registrar);

bool registrar_registered(const struct registrar *registrar);

/* The master's heartbeat interval, as far as it is known. */
int64_t registrar_heartbeat_ms(const struct registrar *registrar);

/* Ends the thread and says goodbye, for goodbye_ms at most. The other functions may still be called. */
void registrar_stop(struct registrar *registrar, int64_t goodbye_ms);

/* After registrar_stop. */
void registrar_free(struct registrar *registrar);

#endif
