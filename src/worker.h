/* A thread for calls that block: the loop's thread hands jobs over and never waits for them. Jobs are done
 * one after another, in the order in which they came. Name look-ups are such jobs (http/client.c), and what
 * is asked of the disk (replication/store.c). Where one comes shortly behind the other, the thread does not
 * sleep in between: see spin.h.
 *
 * One thread, the owner's, calls everything here. */
#ifndef WORKER_H
#define WORKER_H

#include <stdbool.h>

/* A job; lies at the start of the struct that holds what it needs, of malloc. That struct belongs to the
 * worker from worker_do until `done` gets it. */
struct worker_job {
    void (*work)(struct worker_job *job); /* on the worker's thread; may block */
    void (*done)(struct worker_job *job); /* on the owner's thread, called by worker_collect */
    bool abandoned;                       /* private, as is `next` */
    struct worker_job *next;
};

struct worker;

/* `wake` is called on the worker's thread when a job is done: the owner then calls worker_collect. NULL where
 * there is no memory or no thread. */
struct worker *worker_open(void (*wake)(void *ctx), void *ctx);

void worker_do(struct worker *worker, struct worker_job *job);

/* Nobody wants the job's result any more: the worker frees the job instead of calling `done`. */
void worker_abandon(struct worker *worker, struct worker_job *job);

/* Calls `done` of each job that was done since the last call. Costs one load where there is none. */
void worker_collect(struct worker *worker);

/* All jobs must have been abandoned or collected. Does not wait for a job that is being done: the thread
 * frees the rest when that job returns. */
void worker_close(struct worker *worker);

#endif
