/* A piece of the list's memory: messages one after another, each with a comma behind it. Private to the log.
 *
 * A segment starts where the one before it ends. It does not say how much of it is used: for the last one
 * the list's end tells, and the others are used up to where the next one starts. */
#ifndef LOG_SEGMENT_H
#define LOG_SEGMENT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct log_segment {
    uint64_t position;                  /* bytes of the list before this segment */
    _Atomic(struct log_segment *) next; /* another thread may read a slice that ends here */
    size_t cap;                         /* bytes allocated */
    size_t populated;                   /* how much of the segment has pages */
    char bytes[];                       /* what is used of them never changes */
};

#endif
