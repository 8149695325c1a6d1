#include "log/huge_pages.h"
#include "log/log.h"
#include <errno.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* of Linux; not in the headers of every libc yet */
#endif

enum { LEAST_BYTES = LOG_SEGMENT_BYTES / 2 }; /* in a segment: for less a huge page would be a waste */

/* Returns 0, or -EAGAIN where it may go better soon, or another negative errno. */
static int segment_collapse(struct log_segment *segment)
{
    if (madvise(segment, sizeof *segment + segment->cap, MADV_COLLAPSE) == 0)
        return 0;
    return -errno;
}

/* Moves what can be moved now. Returns whether that was all. */
static bool segments_collapse(struct huge_pages *huge)
{
    struct log_segment *segment = huge->from;
    bool all = true;

    while (segment != NULL && huge->list_bytes >= segment->position + LEAST_BYTES &&
           !atomic_load(&huge->stopping)) {
        struct log_segment *next = atomic_load_explicit(&segment->next, memory_order_acquire);

        if (!segment->huge) {
            int result = segment_collapse(segment);

            if (result == -EINVAL) {
                atomic_store(&huge->done, UINT64_MAX);
                return true;
            }
            segment->huge = result != -EAGAIN; /* one for which there is no huge page is not tried again */
        }
        all = all && segment->huge;
        if (all) {
            huge->from = next != NULL ? next : segment;
            atomic_store(&huge->done, segment->position + segment->cap);
        }
        segment = next;
    }
    return all;
}

static void *round_run(void *arg)
{
    static const struct timespec pause = {.tv_nsec = HUGE_PAGES_PAUSE_MS * 1000000L};
    struct huge_pages *huge = arg;

    for (int i = 0; i < HUGE_PAGES_TRIES && !segments_collapse(huge); i++)
        nanosleep(&pause, NULL);
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
