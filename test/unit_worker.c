/* The worker, with jobs that wait until the test lets them go on. */
#include "worker.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct job {
    struct worker_job job; /* first */
    char name;
    bool hangs; /* until sem_post(&goes_on) */
};

static atomic_uint yields; /* of any thread: nobody but the worker's does */

int sched_yield(void)
{
    atomic_fetch_add(&yields, 1);
    return (int)syscall(SYS_sched_yield);
}

static struct worker *worker;
static sem_t woken, begun, goes_on;
static pthread_t owner;

/* What was done with which job: "wa" worked, "da" done, for the job a; one that is abandoned is
 * freed, as AddressSanitizer finds out. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char events[256];

static void note(char what, const struct worker_job *job)
{
    pthread_mutex_lock(&mutex);
    size_t len = strlen(events);
    snprintf(events + len, sizeof events - len, "%s%c%c", len ? " " : "", what,
             ((const struct job *)job)->name);
    pthread_mutex_unlock(&mutex);
}

static bool happened(const char *text)
{
    pthread_mutex_lock(&mutex);
    bool same = strcmp(events, text) == 0;
    pthread_mutex_unlock(&mutex);
    return same;
}

static void job_work(struct worker_job *job)
{
    cr_assert(!pthread_equal(pthread_self(), owner));
    sem_post(&begun);
    if (((struct job *)job)->hangs)
        sem_wait(&goes_on);
    note('w', job);
}

static void job_done(struct worker_job *job)
{
    cr_assert(pthread_equal(pthread_self(), owner));
    note('d', job);
    free(job);
}

static struct worker_job *job_begin(char name, bool hangs)
{
    struct job *job = calloc(1, sizeof *job);
    job->job = (struct worker_job){.work = job_work, .done = job_done};
    job->name = name;
    job->hangs = hangs;
    worker_do(worker, &job->job);
    return &job->job;
}

static void wake(void *ctx)
{
    cr_assert_eq(ctx, &woken);
    cr_assert(!pthread_equal(pthread_self(), owner));
    sem_post(&woken);
}

static void start(void)
{
    owner = pthread_self();
    sem_init(&woken, 0, 0);
    sem_init(&begun, 0, 0);
    sem_init(&goes_on, 0, 0);
    worker = worker_open(wake, &woken);
    cr_assert_not_null(worker);
}

TestSuite(worker, .init = start, .timeout = 60);

static void await(const char *text)
{
    while (!happened(text))
        usleep(1000);
}

Test(worker, one_that_does_nothing_may_be_closed)
{
    worker_collect(worker);
    worker_close(worker);
}

Test(worker, a_job_is_done_on_its_thread_and_collected_on_its_owners)
{
    job_begin('a', false);
    sem_wait(&woken);
    cr_assert(happened("wa"), "%s", events);
    worker_collect(worker);
    worker_collect(worker);
    cr_assert(happened("wa da"), "%s", events);
    worker_close(worker);
}

Test(worker, each_job_that_is_done_wakes_the_owner)
{
    for (char name = 'a'; name <= 'c'; name++)
        job_begin(name, false);
    for (int i = 0; i < 3; i++)
        sem_wait(&woken);
    worker_collect(worker);
    cr_assert(happened("wa wb wc da db dc"), "%s", events);
    worker_close(worker);
}

Test(worker, jobs_are_done_one_after_another_in_their_order)
{
    job_begin('a', true);
    job_begin('b', false);
    sem_wait(&begun);
    usleep(20000);
    cr_assert(happened(""), "%s", events);
    sem_post(&goes_on);
    sem_wait(&woken);
    sem_wait(&woken);
    worker_collect(worker);
    cr_assert(happened("wa wb da db"), "%s", events);
    worker_close(worker);
}

Test(worker, a_job_abandoned_while_it_waits_is_not_worked_on)
{
    job_begin('a', true);
    worker_abandon(worker, job_begin('b', false));
    sem_post(&goes_on);
    sem_wait(&woken);
    sem_wait(&woken);
    worker_collect(worker);
    cr_assert(happened("wa da"), "%s", events);
    worker_close(worker);
}

Test(worker, a_job_abandoned_while_it_hangs_is_not_done_when_it_returns)
{
    struct worker_job *job = job_begin('a', true);
    sem_wait(&begun);
    worker_abandon(worker, job);
    worker_collect(worker);
    cr_assert(happened(""), "%s", events);
    sem_post(&goes_on);
    sem_wait(&woken);
    worker_collect(worker);
    cr_assert(happened("wa"), "%s", events);
    worker_close(worker);
}

Test(worker, a_job_abandoned_when_it_was_worked_on_is_not_done)
{
    struct worker_job *job = job_begin('a', false);
    sem_wait(&woken);
    worker_abandon(worker, job);
    worker_collect(worker);
    cr_assert(happened("wa"), "%s", events);
    worker_close(worker);
}

Test(worker, a_close_does_not_wait_for_a_job_that_hangs)
{
    struct worker_job *hangs = job_begin('a', true);
    struct worker_job *waits = job_begin('b', false);
    sem_wait(&begun);
    worker_abandon(worker, hangs);
    worker_abandon(worker, waits);
    worker_close(worker);
    cr_assert(happened(""), "%s", events);
    sem_post(&goes_on);
    await("wa");
    cr_assert_neq(sem_trywait(&woken), 0, "nobody is woken any more");
}

Test(worker, a_job_not_collected_is_not_done_by_a_close)
{
    struct worker_job *job = job_begin('a', false);
    sem_wait(&woken);
    worker_abandon(worker, job);
    worker_close(worker);
    usleep(20000);
    cr_assert(happened("wa"), "%s", events);
}

Test(worker, behind_a_short_wait_the_thread_spins_and_then_sleeps)
{
    for (int i = 0; i < 1000 && atomic_load(&yields) == 0; i++) {
        job_begin('a', false);
        sem_wait(&woken);
        worker_collect(worker);
        events[0] = '\0';
    }
    cr_assert(atomic_load(&yields) > 0);
    unsigned before;
    do { /* as long as it takes; the time-out of the suite is the limit */
        before = atomic_load(&yields);
        usleep(20000);
    } while (atomic_load(&yields) != before);
    usleep(100000);
    cr_assert_eq(atomic_load(&yields), before);
    job_begin('b', false); /* and it is woken */
    sem_wait(&woken);
    worker_close(worker);
}
