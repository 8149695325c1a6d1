/* A condition variable whose deadlines are points on the monotonic clock, as clock.h tells them. */
#ifndef CONDVAR_H
#define CONDVAR_H

#include <pthread.h>
#include <time.h>

/* pthread_cond_destroy ends it. Returns 0 or a positive errno. */
static inline int condvar_open(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error != 0)
        return error;
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (error == 0)
        error = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

#endif
