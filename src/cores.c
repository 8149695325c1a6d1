#include "cores.h"
#include "cgroup.h"
#include <sched.h>
#include <stdlib.h>

/* "QUOTA PERIOD", both in microseconds, or "max PERIOD". */
static uint64_t quota_read(const char *line)
{
    char *end;
    uint64_t quota = strtoull(line, &end, 10);
    uint64_t period = strtoull(end, NULL, 10);
    return quota && period ? (quota - 1) / period + 1 : UINT64_MAX;
}

unsigned cores_usable(void)
{
    static const struct cgroup_limit limit = {.file = "cpu.max", .read = quota_read};
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    uint64_t least = cgroup_least(&limit);
    if (cores < 1)
        cores = 1;
    return least < (uint64_t)cores ? (unsigned)least : (unsigned)cores;
}
