#include "log/huge_pages.h"
#include "clock.h"
#include "log/log.h"
#include <errno.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* of Linux; not in the headers of every libc yet */
#endif

enum { LEAST_BYTES = LOG_SEGMENT_BYTES / 2 }; /* in a segment: for less a huge page would be a waste */

static void pause_us(int64_t us)
{
    const struct timespec pause = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};

    nanosleep(&pause, NULL);
}

/* Returns 0 or a negative errno. Who makes or unmaps pages waits meanwhile, appenders above all, so the
 * thread stays away afterwards for some times as long. */
static int segment_collapse(struct log_segment *segment)
{
    size_t len = sizeof *segment + segment->cap;
    int64_t start_us = clock_us();
    int result = 0;

    (void)madvise(segment, len, MADV_HUGEPAGE); /* calls off the MADV_NOHUGEPAGE of the start */
    if (madvise(segment, len, MADV_COLLAPSE) != 0)
        result = -errno;
    pause_us((clock_us() - start_us) * HUGE_PAGES_STAY_AWAY);
    return result;
}

/* Returns 0 where the segment is as it shall be, now or for good; -EAGAIN where it may go better soon;
 * -ENOMEM where there is no huge page. `next` is the one behind it, or NULL. */
static int segment_settle(struct huge_pages *huge, struct log_segment *segment,
                          const struct log_segment *next)
{
    uint64_t end = next != NULL ? next->position : huge->list_bytes;
    int result;

    if (segment->settled || end - segment->position < LEAST_BYTES)
        return 0;
    result = segment_collapse(segment);
    if (result == -EBUSY)
        return -ENOMEM; /* there is one, and the control group may not have it */
    if (result == -EAGAIN || result == -ENOMEM)
        return result;
    huge->any = huge->any || result == 0;
    segment->settled = true;
    return 0;
}

/* Moves what can be moved now. Returns 0 where nothing is left to do, -EAGAIN where it is worth trying again
 * soon, -ENOMEM where it is not. */
static int segments_settle(struct huge_pages *huge)
{
    struct log_segment *segment = huge->from;
    int result = 0;

    while (segment != NULL && huge->list_bytes >= segment->position + LEAST_BYTES && result != -ENOMEM &&
           !atomic_load(&huge->stopping)) {
        struct log_segment *next = atomic_load_explicit(&segment->next, memory_order_acquire);
        int settled = segment_settle(huge, segment, next);

        if (settled != 0)
            result = settled;
        if (result == 0) {
            huge->from = next != NULL ? next : segment;
            atomic_store(&huge->done, next != NULL ? next->position : segment->position + segment->cap);
        }
        if (segment->settled && !huge->any) { /* the system does not know this */
            atomic_store(&huge->done, UINT64_MAX);
            return 0;
        }
        segment = next;
    }
    return result;
}

/* Where there is no huge page, the rest of the round passes without another look. */
static void *round_run(void *arg)
{
    struct huge_pages *huge = arg;
    int result = -EAGAIN;

    for (int i = 0; i < HUGE_PAGES_TRIES && result != 0 && !atomic_load(&huge->stopping); i++) {
        if (result == -EAGAIN)
            result = segments_settle(huge);
        if (result != 0)
            pause_us(HUGE_PAGES_PAUSE_US);
    }
    atomic_store(&huge->running, false);
    return NULL;
}

static bool round_due(struct huge_pages *huge, uint64_t read, uint64_t list_bytes)
{
    uint64_t total = atomic_fetch_add_explicit(&huge->read, read, memory_order_relaxed) + read;
    uint64_t done = atomic_load(&huge->done);

    return total / HUGE_PAGES_READS >= list_bytes && list_bytes > done && list_bytes - done >= LEAST_BYTES;
}

static void round_begin(struct huge_pages *huge, struct log_segment *first, uint64_t list_bytes)
{
    if (huge->begun)
        pthread_join(huge->thread, NULL); /* at its end already */
    atomic_store_explicit(&huge->read, 0, memory_order_relaxed);
    if (huge->from == NULL)
        huge->from = first;
    huge->list_bytes = list_bytes;
    atomic_store(&huge->running, true);
    huge->begun = pthread_create(&huge->thread, NULL, round_run, huge) == 0;
    if (!huge->begun)
        atomic_store(&huge->running, false);
}

void huge_pages_count(struct huge_pages *huge, struct log_segment *first, uint64_t read, uint64_t list_bytes)
{
    if (read < LEAST_BYTES || !round_due(huge, read, list_bytes) || atomic_exchange(&huge->beginning, true))
        return;
    if (!atomic_load(&huge->running))
        round_begin(huge, first, list_bytes);
    atomic_store(&huge->beginning, false);
}

void huge_pages_close(struct huge_pages *huge)
{
    atomic_store(&huge->stopping, true);
    if (huge->begun)
        pthread_join(huge->thread, NULL);
}
