#include "eventually.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void (*trouble_more)(void);

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void nap_ms(int ms)
{
    poll(NULL, 0, ms);
}

/* ---- stalls */

enum { NAP_MS = 10, STALL_MS = 40 /* of oversleeping that is nothing special */ };

static _Atomic int64_t stalled;

static void *stalls_run(void *arg)
{
    (void)arg;
    for (int64_t before = now_ms(), now;; before = now) {
        nap_ms(NAP_MS);
        now = now_ms();
        if (now - before > STALL_MS)
            atomic_fetch_add(&stalled, now - before);
    }
    return NULL;
}

void stalls_watch(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, stalls_run, NULL) != 0)
        trouble("no thread");
    pthread_detach(thread);
}

int late(int limit_ms)
{
    return limit_ms + (int)atomic_load(&stalled);
}

/* ---- trouble */

void trouble(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("\n*** ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    if (trouble_more)
        trouble_more();
    fflush(stderr);
    abort();
}
