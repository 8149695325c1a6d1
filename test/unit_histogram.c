/* Times, counted by their length. */
#include "histogram.h"

#include <criterion/criterion.h>

TestSuite(histogram, .timeout = 60);

Test(histogram, a_time_counts_under_the_first_bound_that_it_does_not_pass)
{
    struct histogram histogram = {0};
    for (int i = 0; i < HISTOGRAM_BOUNDS; i++) {
        cr_expect(i == 0 || histogram_bounds_us[i] > histogram_bounds_us[i - 1]);
        histogram_observe(&histogram, histogram_bounds_us[i]);
        histogram_observe(&histogram, histogram_bounds_us[i] + 1);
    }
    cr_expect_eq(histogram.counts[0], 1);
    for (int i = 1; i < HISTOGRAM_BOUNDS; i++)
        cr_expect_eq(histogram.counts[i], 2, "%d", i);
    cr_expect_eq(histogram.counts[HISTOGRAM_BOUNDS], 1);
}

Test(histogram, the_shortest_and_the_longest_times_count_as_well_and_all_are_added_up)
{
    struct histogram histogram = {0};
    histogram_observe(&histogram, 0);
    histogram_observe(&histogram, 3);
    histogram_observe(&histogram, INT64_C(1) << 50);
    cr_expect_eq(histogram.counts[0], 2);
    cr_expect_eq(histogram.counts[HISTOGRAM_BOUNDS], 1);
    cr_expect_eq(histogram.sum_us, (UINT64_C(1) << 50) + 3);
}
