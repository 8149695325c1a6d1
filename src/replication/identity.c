#include "replication/identity.h"
#include <stdio.h>
#include <string.h>

void identity_get(struct identity *identity, char out[WIRE_NAME_SIZE])
{
    pthread_mutex_lock(&identity->mutex);
    memcpy(out, identity->name, WIRE_NAME_SIZE);
    pthread_mutex_unlock(&identity->mutex);
}

void identity_set(struct identity *identity, const char *name)
{
    pthread_mutex_lock(&identity->mutex);
    snprintf(identity->name, sizeof identity->name, "%s", name);
    pthread_mutex_unlock(&identity->mutex);
}
