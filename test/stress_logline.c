/* For ThreadSanitizer: many threads that still log while the log is stopped, with a reader that takes a rest
 * now and then, and at last with one that never reads. */
#include "clock.h"
#include "logline.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TALKERS = 4, ROUNDS = 6, ROUND_MS = 100, STOP_MS_MAX = 10000 };

static atomic_bool over;

static void *talk(void *of)
{
    const int *number = of;
    for (unsigned i = 0; !atomic_load(&over); i++) {
        logline(LOGLINE_INFO, "talker %d says %u", *number, i);
        if (logline_on(LOGLINE_DEBUG))
            logline(LOGLINE_DEBUG, "seldom");
        if (i % 50 == 0)
            logline(LOGLINE_WARN, "in a hurry \xff\n");
        if (i % 500 == 0)
            usleep(1000);
    }
    return NULL;
}

/* Reads until the other end is closed; *of is the descriptor. */
static void *read_all(void *of)
{
    const int *fd = of;
    char bytes[65536];
    while (read(*fd, bytes, sizeof bytes) > 0)
        usleep(500);
    return NULL;
}

static void check(int error)
{
    if (error) {
        fprintf(stderr, "stress_logline: error %d\n", error);
        exit(1);
    }
}

/* Talks into fd and stops the log while all still talk. */
static void run_round(int fd, enum logline_level least)
{
    pthread_t talkers[TALKERS];
    int numbers[TALKERS];
    atomic_store(&over, false);
    check(logline_start(fd, least, false, "stress"));
    for (int i = 0; i < TALKERS; i++) {
        numbers[i] = i;
        check(pthread_create(&talkers[i], NULL, talk, &numbers[i]));
    }
    usleep(ROUND_MS * 1000);
    int64_t start_ms = clock_ms();
    logline_stop();
    check(clock_ms() - start_ms > STOP_MS_MAX);
    atomic_store(&over, true);
    for (int i = 0; i < TALKERS; i++)
        check(pthread_join(talkers[i], NULL));
}

int main(void)
{
    pthread_t reader;
    int ends[2], unread[2];
    check(pipe(ends) || pipe(unread));
    check(pthread_create(&reader, NULL, read_all, &ends[0]));
    for (int round = 0; round < ROUNDS; round++)
        run_round(ends[1], round % 2 ? LOGLINE_INFO : LOGLINE_DEBUG);
    run_round(unread[1], LOGLINE_INFO);
    close(ends[1]);
    check(pthread_join(reader, NULL));
    return 0;
}
