#include "worker.h"
#include "clock.h"
#include "spin.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct queue {
    struct worker_job *first;
    struct worker_job *last;
};

struct worker {
    void (*wake)(void *ctx);
    void *ctx;
    struct spin spin;                  /* the thread's, before it sleeps */
    atomic_bool any;                   /* there is a job, or the worker closes: what a spin looks at */
    _Atomic(struct worker_job *) done; /* the last one done, and so on to the first */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t called; /* there is a job, or the worker closes */
    struct queue jobs;
    bool closing;
};

static void queue_add(struct queue *queue, struct worker_job *job)
{
    job->next = NULL;
    if (queue->first)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
}

static struct worker_job *queue_take(struct queue *queue)
{
    struct worker_job *job = queue->first;
    if (job)
        queue->first = job->next;
    return job;
}

/* The jobs that are done, in their order. */
static struct worker_job *done_take(struct worker *worker)
{
    struct worker_job *job = atomic_exchange(&worker->done, NULL);
    struct worker_job *first = NULL;
    while (job) {
        struct worker_job *before = job->next;
        job->next = first;
        first = job;
        job = before;
    }
    return first;
}

static void jobs_free(struct worker_job *job)
{
    while (job) {
        struct worker_job *next = job->next;
        free(job);
        job = next;
    }
}

static void worker_free(struct worker *worker)
{
    jobs_free(worker->jobs.first);
    jobs_free(done_take(worker));
    pthread_mutex_destroy(&worker->mutex);
    pthread_cond_destroy(&worker->called);
    free(worker);
}

/* Does one job without the mutex, which is held before and after. */
static void job_do(struct worker *worker, struct worker_job *job)
{
    if (!job->abandoned) {
        pthread_mutex_unlock(&worker->mutex);
        job->work(job);
        pthread_mutex_lock(&worker->mutex);
    }
    job->next = atomic_load(&worker->done);
    while (!atomic_compare_exchange_weak(&worker->done, &job->next, job))
        continue;
    if (!worker->closing)
        worker->wake(worker->ctx);
}

/* Waits until there is a job, or the worker closes. The mutex is held before and after. */
static void job_await(struct worker *worker)
{
    atomic_store(&worker->any, false);
    if (spin_begin(&worker->spin, clock_us())) {
        pthread_mutex_unlock(&worker->mutex);
        while (!atomic_load(&worker->any) && spin_goes_on(&worker->spin))
            continue;
        pthread_mutex_lock(&worker->mutex);
    }
    while (!worker->jobs.first && !worker->closing)
        pthread_cond_wait(&worker->called, &worker->mutex);
    spin_end(&worker->spin, true, clock_us());
}

static void *worker_thread(void *arg)
{
    struct worker *worker = arg;
    pthread_mutex_lock(&worker->mutex);
    while (!worker->closing) {
        struct worker_job *job = queue_take(&worker->jobs);
        if (job)
            job_do(worker, job);
        else
            job_await(worker);
    }
    pthread_mutex_unlock(&worker->mutex);
    worker_free(worker);
    return NULL;
}

struct worker *worker_open(void (*wake)(void *ctx), void *ctx)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    worker->wake = wake;
    worker->ctx = ctx;
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->called, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, worker_thread, worker) != 0) {
        worker_free(worker);
        return NULL;
    }
    pthread_detach(thread); /* nobody waits for its end */
    return worker;
}

/* The mutex is not held any more: the thread wants it at once. */
static void thread_call(struct worker *worker)
{
    atomic_store(&worker->any, true);
    pthread_cond_signal(&worker->called);
}

void worker_do(struct worker *worker, struct worker_job *job)
{
    pthread_mutex_lock(&worker->mutex);
    job->abandoned = false;
    queue_add(&worker->jobs, job);
    pthread_mutex_unlock(&worker->mutex);
    thread_call(worker);
}

void worker_abandon(struct worker *worker, struct worker_job *job)
{
    pthread_mutex_lock(&worker->mutex);
    job->abandoned = true;
    pthread_mutex_unlock(&worker->mutex);
}

void worker_collect(struct worker *worker)
{
    if (!atomic_load_explicit(&worker->done, memory_order_relaxed))
        return;
    struct worker_job *job = done_take(worker);
    while (job) {
        struct worker_job *next = job->next; /* `done` may free the job, or hand it over again */
        if (job->abandoned)
            free(job);
        else
            job->done(job);
        job = next;
    }
}

void worker_close(struct worker *worker)
{
    pthread_mutex_lock(&worker->mutex);
    worker->closing = true;
    atomic_store(&worker->any, true);
    pthread_cond_signal(&worker->called); /* with the mutex: the thread frees it all */
    pthread_mutex_unlock(&worker->mutex);
}
