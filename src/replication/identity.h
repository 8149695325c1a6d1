/* The name of the log that a node holds: made up by a master at its first start, passed to every secondary,
 * taken over from one by a restarted master. Any thread may call; the functions lock by themselves. */
#ifndef REPLICATION_IDENTITY_H
#define REPLICATION_IDENTITY_H

#include "replication/wire.h"
#include <pthread.h>

struct identity {
    pthread_mutex_t mutex;
    char name[WIRE_NAME_SIZE]; /* guarded by mutex; "": none yet */
};

#define IDENTITY_INIT                                                                                        \
    {                                                                                                        \
        .mutex = PTHREAD_MUTEX_INITIALIZER                                                                   \
    }

void identity_get(struct identity *identity, char out[WIRE_NAME_SIZE]);
void identity_set(struct identity *identity, const char *name);

#endif
