/* malloc, calloc, realloc and mmap of the test's own process, made to fail on demand in the code under test:
 * failing_after(0) lets the next call in this thread fail, failing_after(2) the third one; just that one
 * fails. failing_after(-1) calls it off. Include it in one file of a program. */
#ifndef TEST_FAILING_MALLOC_H
#define TEST_FAILING_MALLOC_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether AddressSanitizer is here: it has its own malloc, and needs memory for itself. */
#if defined __SANITIZE_ADDRESS__
#define FAILING_SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define FAILING_SANITIZED 1
#endif
#endif
#ifndef FAILING_SANITIZED
#define FAILING_SANITIZED 0
#endif

/* The names under which the replaced functions can still be called. */
#if FAILING_SANITIZED
#define FAILING_REAL(name) __interceptor_##name
#else
#define FAILING_REAL(name) __libc_##name
#endif

void *FAILING_REAL(malloc)(size_t size);
void *FAILING_REAL(calloc)(size_t count, size_t size);
void *FAILING_REAL(realloc)(void *memory, size_t size);

static _Thread_local volatile int failing_countdown = -1; /* -1: nothing fails */

static inline void failing_after(int calls)
{
    failing_countdown = calls;
}

/* Whether the call that was to fail has come. */
static inline bool failing_done(void)
{
    return failing_countdown < 0;
}

static inline bool failing_now(void)
{
    int left = failing_countdown;

    if (left >= 0)
        failing_countdown = left - 1;
    return left == 0;
}

void *malloc(size_t size)
{
    return failing_now() ? NULL : FAILING_REAL(malloc)(size);
}

void *calloc(size_t count, size_t size)
{
    return failing_now() ? NULL : FAILING_REAL(calloc)(count, size);
}

void *realloc(void *memory, size_t size)
{
    return failing_now() ? NULL : FAILING_REAL(realloc)(memory, size);
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    if (failing_now()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, len, protection, flags, fd, offset);
}

#endif
