/* Threads that carry bytes for the loop: what is to be done for many connections, each by itself, is dealt
 * out among them and the loop's thread, which does its part and goes on when all is done. Meanwhile nothing
 * is decided, so what they read stands still, and what each of them writes is its item's alone: no lock, and
 * the same result whatever their number.
 *
 * A thread that has nothing to do waits as spin.h has it. An item that no thread has begun is done by the
 * loop's own, so a thread that loses its processor holds up nothing but the item that it has begun. Where
 * that happens too often, because others want the processors, the loop's thread does all.
 *
 * The loop's thread calls everything here. */
#ifndef HTTP_CARRIERS_H
#define HTTP_CARRIERS_H

#include <stddef.h>

enum {
    CARRIERS_MAX = 64,
    CARRIERS_ITEMS_MAX = 1024 /* dealt out at a time */
};

struct carriers;

/* So many threads, 1 at least. NULL where there is no memory or no thread. */
struct carriers *carriers_open(unsigned threads);

/* Ends the threads and waits for that: they do nothing that blocks. NULL is harmless. */
void carriers_close(struct carriers *carriers);

/* Calls `work` once for each item from 0 to count - 1, CARRIERS_ITEMS_MAX at most, in any order and on any of
 * the threads, and returns when all calls have. NULL, or few items: all on this thread, in order. */
void carriers_do(struct carriers *carriers, size_t count, void (*work)(void *ctx, size_t item), void *ctx);

#endif
