/* Input that ends where memory ends: the last byte lies before a page that nobody may touch, so that a parser
 * which looks one byte too far dies, with sanitizers or without. */
#ifndef TEST_EXACT_H
#define TEST_EXACT_H

#include "span.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Room for `room` bytes before the page. One room can take one input after another. */
struct exact {
    char *end;
};

static inline struct exact exact_new(size_t room)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t len = (room + page - 1) / page * page;
    char *at = mmap(NULL, len + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || mprotect(at + len, page, PROT_NONE) != 0)
        abort();
    return (struct exact){at + len};
}

/* Puts bytes to the end of the room. */
static inline struct span exact_put(struct exact exact, const char *bytes, size_t len)
{
    char *at = exact.end - len;
    memcpy(at, bytes, len);
    return (struct span){at, len};
}

#endif
