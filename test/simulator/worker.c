/* worker_… over simulated time: a job is worked some time later, at once, and its result collected in the
 * next pass. A worker is the disk's alone, and its ctx is its process. */
#include "worker.h"
#include "drive.h"
#include "network.h"
#include "workers.h"
#include "world.h"
#include <stdlib.h>

struct worker {
    struct proc *proc;
    void (*wake)(void *ctx);
    struct worker_job *jobs, **jobs_end; /* in order; the first one is under way */
    struct worker_job *done, **done_end;
    bool dead;
};

struct worker *worker_open(void (*wake)(void *ctx), void *ctx)
{
    struct worker *worker = world_alloc(sizeof *worker);
    worker->proc = ctx;
    worker->wake = wake;
    worker->jobs_end = &worker->jobs;
    worker->done_end = &worker->done;
    return worker;
}

static void job_work(struct worker *worker)
{
    struct worker_job *job = worker->jobs;
    if (!job)
        return;
    worker->jobs = job->next;
    if (!worker->jobs)
        worker->jobs_end = &worker->jobs;
    if (!job->abandoned)
        job->work(job);
    job->next = NULL;
    *worker->done_end = job;
    worker->done_end = &job->next;
}

static void job_schedule(struct worker *worker);

static void job_run(void *subject, void *object)
{
    struct worker *worker = subject;
    (void)object;
    job_work(worker);
    worker->wake(worker->proc);
    if (worker->jobs)
        job_schedule(worker);
}

/* A process that is frozen works nothing. */
static void job_due(void *subject, void *object)
{
    struct worker *worker = subject;
    proc_deliver(worker->proc, job_run, worker, object);
}

static void job_schedule(struct worker *worker)
{
    world_after(drive_job_us(), job_due, worker, NULL);
}

void worker_do(struct worker *worker, struct worker_job *job)
{
    bool idle = !worker->jobs;
    job->abandoned = false;
    job->next = NULL;
    *worker->jobs_end = job;
    worker->jobs_end = &job->next;
    if (worker->dead)
        job_work(worker);
    else if (idle)
        job_schedule(worker);
}

void worker_die(struct worker *worker)
{
    worker->dead = true;
    while (worker->jobs)
        job_work(worker);
}

void worker_abandon(struct worker *worker, struct worker_job *job)
{
    (void)worker;
    job->abandoned = true;
}

/* Look-ups are done at once, and have no worker. */
void worker_collect(struct worker *worker)
{
    if (!worker || !worker->done)
        return;
    struct worker_job *next;
    struct worker_job *job = worker->done;
    worker->done = NULL;
    worker->done_end = &worker->done;
    for (; job; job = next) {
        next = job->next;
        if (job->abandoned)
            free(job);
        else
            job->done(job);
    }
}

void worker_close(struct worker *worker)
{
    (void)worker;
}
