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

Test(memory, one_kind_of_work_takes_a_part_of_it)
{
    cr_expect_eq(memory_part(3200, 1000), 100);
    cr_expect_eq(memory_part(UINT64_MAX, 1000), 1000);
    cr_expect_eq(memory_part(0, 1000), 1000, "it is not known");
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
