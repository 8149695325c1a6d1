#include "report.h"
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 200, EVENT_SIZE = 220 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char events[EVENTS][EVENT_SIZE];
static unsigned event_count;
static int64_t start_ms;
static const char *repeat_command;
static const char *log_folder;
static void (*end_nodes)(void);
static bool verbose;

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
}

void report_open(const char *command, const char *folder, void (*at_failure)(void))
{
    start_ms = now_ms();
    repeat_command = command;
    log_folder = folder;
    end_nodes = at_failure;
    verbose = getenv("TORTURE_VERBOSE") != NULL;
}

/* Under the mutex. */
__attribute__((format(printf, 1, 0))) static void event_add(const char *format, va_list args)
{
    char *text = events[event_count++ % EVENTS];
    int len = snprintf(text, EVENT_SIZE, "%9.3f ", (double)(now_ms() - start_ms) / 1000);
    vsnprintf(text + len, (size_t)(EVENT_SIZE - len), format, args);
    if (verbose)
        printf("%s\n", text);
}

void report_event(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&mutex);
    event_add(format, args);
    pthread_mutex_unlock(&mutex);
    va_end(args);
}

void report_line(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&mutex);
    vprintf(format, args);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&mutex);
    va_end(args);
}

_Noreturn void report_fail(const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&mutex); /* for good: the first failure is the one to tell of */
    if (end_nodes)
        end_nodes();
    printf("\nwhat happened last (seconds since the start):\n");
    for (unsigned i = event_count > EVENTS ? event_count - EVENTS : 0; i < event_count; i++)
        printf("%s\n", events[i % EVENTS]);
    printf("\nFAILED after %.3f s: ", (double)(now_ms() - start_ms) / 1000);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\nthe log lines of the nodes: %s\nthe same again: %s\n", log_folder ? log_folder : "none",
           repeat_command ? repeat_command : "");
    fflush(stdout);
    _exit(1);
}
