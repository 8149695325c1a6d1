/* make simulate: plays random schedules against whole clusters in one process, on a clock of their own.
 * SEED=N is the first one, SCHEDULES=N how many, SIMULATE_SECONDS=N for how long at most; V=1 tells all that
 * happens. */
#include "checker.h"
#include "schedule.h"
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS_MAX = 64, SECONDS = 60, HANGS_SECONDS = 60 };

/* What the workers share with the process that started them. */
struct board {
    struct {
        pid_t pid;
        uint64_t seed; /* that it plays */
        uint64_t played;
        struct check_totals totals;
    } workers[WORKERS_MAX];
};

static struct {
    uint64_t seed, schedules;
    int seconds;
    bool verbose;
    unsigned workers;
} wish;

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void wish_read(void)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        abort();
    const char *seed = getenv("SEED");
    bool given = seed && *seed;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    wish.seed = number_of("SEED", random % 1000000000000);
    wish.schedules = number_of("SCHEDULES", given ? 1 : UINT64_MAX);
    wish.seconds = (int)number_of("SIMULATE_SECONDS", SECONDS);
    wish.verbose = number_of("V", 0) != 0;
    wish.workers = cores < 1 ? 1 : cores > WORKERS_MAX ? WORKERS_MAX : (unsigned)cores;
    if (wish.verbose || wish.schedules < wish.workers)
        wish.workers = 1;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static _Noreturn void worker_run(struct board *board, unsigned self, double until)
{
    mallopt(M_MMAP_THRESHOLD, 64 * 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 512 * 1024 * 1024);
    mallopt(M_TOP_PAD, 16 * 1024 * 1024);
    for (uint64_t i = self; i < wish.schedules && seconds_now() < until; i += wish.workers) {
        board->workers[self].seed = wish.seed + i;
        alarm(HANGS_SECONDS);
        schedule_play(wish.seed + i, wish.verbose);
        board->workers[self].played++;
        board->workers[self].totals = check_totals();
    }
    exit(0);
}

static void totals_add(struct check_totals *all, const struct check_totals *one)
{
    all->posts += one->posts;
    all->acked += one->acked;
    all->late += one->late;
    all->refused += one->refused;
    all->judged += one->judged;
}

static void summary_print(const struct board *board, double seconds)
{
    struct check_totals all = {0};
    uint64_t played = 0;
    for (unsigned i = 0; i < wish.workers; i++) {
        played += board->workers[i].played;
        totals_add(&all, &board->workers[i].totals);
    }
    printf("%" PRIu64 " schedules from SEED=%" PRIu64 " on in %.1f s (%.0f a minute): %" PRIu64
           " messages, %" PRIu64 " answered with 201, %" PRIu64 " with 202, %" PRIu64 " refused; %" PRIu64
           " restarts of a master judged\n",
           played, wish.seed, seconds, (double)played * 60 / seconds, all.posts, all.acked, all.late,
           all.refused, all.judged);
}

/* Waits for all, and ends the others with the first that fails. */
static bool workers_wait(const struct board *board)
{
    bool good = true;
    int status;
    pid_t pid;
    while ((pid = wait(&status)) > 0) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        for (unsigned i = 0; i < wish.workers; i++) {
            if (board->workers[i].pid == pid && WIFSIGNALED(status) && good)
                printf("SEED=%" PRIu64 ": %s\n", board->workers[i].seed, strsignal(WTERMSIG(status)));
            if (board->workers[i].pid != pid && good)
                kill(board->workers[i].pid, SIGTERM);
        }
        good = false;
    }
    return good;
}

int main(void)
{
    struct board *board =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 1;
    wish_read();
    double began = seconds_now();
    double until = began + wish.seconds;
    for (unsigned i = 0; i < wish.workers; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return 1;
        if (pid == 0)
            worker_run(board, i, until);
        board->workers[i].pid = pid;
    }
    bool good = workers_wait(board);
    summary_print(board, seconds_now() - began);
    return good ? 0 : 1;
}
