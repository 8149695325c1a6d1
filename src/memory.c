#include "memory.h"
#include "cgroup.h"
#include "span.h"
#include <unistd.h>

static uint64_t bytes_read(const char *line)
{
    uint64_t bytes;
    return span_uint(span_of(line), &bytes) ? bytes : UINT64_MAX;
}

uint64_t memory_size(void)
{
    static const struct cgroup_limit limit = {"memory.max", "memory", "memory.limit_in_bytes", bytes_read};
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t least = cgroup_least(&limit);
    return least < all ? least : all;
}
