/* How many processors there are: held against the affinity that the test gives itself. */
#include "cores.h"

#include <criterion/criterion.h>
#include <sched.h>

Test(cores, there_is_one_at_least_and_no_more_than_the_affinity_allows)
{
    cpu_set_t all, one;
    cr_assert_eq(sched_getaffinity(0, sizeof all, &all), 0);
    cr_expect(cores_usable() >= 1 && cores_usable() <= (unsigned)CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    cr_expect_eq(cores_usable(), 1);
}
