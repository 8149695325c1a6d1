#include "worker.h"
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
    atomic_bool any_done; /* `done` has jobs */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t called; /* there is a job, or the worker closes */
    struct queue jobs;
    struct queue done;
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

static void worker_free(struct worker *worker)
{
    struct worker_job *job;
    while ((job = queue_take(&worker->jobs)) || (job = queue_take(&worker->done)))
        free(job);
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
    queue_add(&worker->done, job);
    atomic_store(&worker->any_done, true);
    if (!worker->closing)
        worker->wake(worker->ctx);
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
            pthread_cond_wait(&worker->called, &worker->mutex);
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

void worker_do(struct worker *worker, struct worker_job *job)
{
    pthread_mutex_lock(&worker->mutex);
    job->abandoned = false;
    queue_add(&worker->jobs, job);
    pthread_mutex_unlock(&worker->mutex);
    pthread_cond_signal(&worker->called); /* not under the mutex, which the thread wants at once */
}

void worker_abandon(struct worker *worker, struct worker_job *job)
{
    pthread_mutex_lock(&worker->mutex);
    job->abandoned = true;
    pthread_mutex_unlock(&worker->mutex);
}

void worker_collect(struct worker *worker)
{
    if (!atomic_load_explicit(&worker->any_done, memory_order_relaxed))
        return;
    pthread_mutex_lock(&worker->mutex);
    struct queue done = worker->done;
    worker->done = (struct queue){0};
    atomic_store(&worker->any_done, false);
    pthread_mutex_unlock(&worker->mutex);
    struct worker_job *job;
    while ((job = queue_take(&done))) {
        if (job->abandoned)
            free(job);
        else
            job->done(job);
    }
}

void worker_close(struct worker *worker)
{
    pthread_mutex_lock(&worker->mutex);
    worker->closing = true;
    pthread_cond_signal(&worker->called);
    pthread_mutex_unlock(&worker->mutex);
}
