#include "eventually.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void (*trouble_more)(void);

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void nap_ms(int ms)
{
    poll(NULL, 0, ms);
}

void trouble(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("\n*** ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    if (trouble_more)
        trouble_more();
    fflush(stderr);
    abort();
}
