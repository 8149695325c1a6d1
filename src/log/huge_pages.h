/* Huge pages for a list that is read again and again. Private to the log.
 *
 * Long answers are sent from the list's own pages. Pages of 4 KiB lie scattered in memory, and to the kernel,
 * which copies them to a reader one by one, that is a good part of the work. So when the list has been read
 * HUGE_PAGES_READS times, a thread moves its segments into huge pages of LOG_SEGMENT_BYTES (madvise(2),
 * MADV_COLLAPSE; Linux 6.1), and what is longer as far as it fills whole ones. That costs about what sending
 * them once costs. New segments get small pages, whatever the system's setting: to find a huge page stops an
 * appender for longer, and a list that nobody reads gains nothing. The move does without that setting as
 * well.
 *
 * A page that is on its way to a socket cannot be moved, so the thread tries again for a while. Where a
 * system has no huge pages, or does not know how to move to them, all stays as it is. */
#ifndef LOG_HUGE_PAGES_H
#define LOG_HUGE_PAGES_H

#include "log/segment.h"
#include <pthread.h>
#include <stdbool.h>

enum {
    HUGE_PAGES_READS = 16,
    HUGE_PAGES_TRIES = 200,     /* of one round, until the next HUGE_PAGES_READS */
    HUGE_PAGES_PAUSE_US = 5000, /* between two of them */
    HUGE_PAGES_STAY_AWAY = 4    /* times as long as a move took, until the next move */
};

/* All zero at first. */
struct huge_pages {
    _Atomic uint64_t read; /* bytes, since the last round began */
    _Atomic uint64_t done; /* bytes at the start of the list for which there is nothing left to do */
    atomic_bool stopping;

    atomic_bool beginning; /* a caller is at it; who sets it may use what follows */
    bool begun;            /* `thread` is to be joined */
    pthread_t thread;

    atomic_bool running;      /* the round; what follows is its own then */
    struct log_segment *from; /* the first segment that is not settled */
    bool any;                 /* a segment was moved */
    uint64_t list_bytes;      /* when the round began */
};

/* Counts that `read` bytes of a list of `list_bytes` are about to be read, and begins a round when it is time
 * for one. `first` is the list's first segment. Any thread may call it. It does not wait for a round. */
void huge_pages_count(struct huge_pages *huge, struct log_segment *first, uint64_t read, uint64_t list_bytes);

/* Ends a round that is under way. No other call may follow. */
void huge_pages_close(struct huge_pages *huge);

#endif
