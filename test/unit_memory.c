/* How much memory there is: held against what the system tells. */
#include "memory.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

Test(memory, it_is_that_of_the_machine_at_most)
{
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    cr_expect(memory_size() > 0 && memory_size() <= all, "%" PRIu64 " of %" PRIu64, memory_size(), all);
}

/* The limit of the control group, where the process sees its own as the root, as in a container. */
static uint64_t container_limit(void)
{
    static const char *const paths[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    uint64_t limit = 0;
    for (size_t i = 0; i < sizeof paths / sizeof *paths && !limit; i++) {
        FILE *file = fopen(paths[i], "r");
        if (file && fscanf(file, "%" SCNu64, &limit) != 1)
            limit = 0;
        if (file)
            fclose(file);
    }
    return limit;
}

Test(memory, it_is_that_of_the_container_at_most)
{
    uint64_t limit = container_limit();
    if (!limit)
        cr_skip("the container has no limit, or this is none");
    cr_expect(memory_size() <= limit, "%" PRIu64 " of %" PRIu64, memory_size(), limit);
}
