/* The text that Prometheus reads. */
#include "exposition.h"

#include <criterion/criterion.h>

TestSuite(exposition, .timeout = 60);

static struct buf out;

static void expect(const char *text)
{
    buf_add_char(&out, '\0');
    cr_assert(!out.failed);
    cr_expect_str_eq(out.data, text);
    buf_free(&out);
}

Test(exposition, a_family_is_begun_by_its_help_and_its_type)
{
    exposition_family(&out, "a_total", "counter", "What a is.");
    exposition_count(&out, "a_total", (struct span){0}, UINT64_MAX);
    expect("# HELP a_total What a is.\n# TYPE a_total counter\na_total 18446744073709551615\n");
}

Test(exposition, what_would_end_a_label_is_escaped)
{
    exposition_label(&out, "a", "plain {}, = it's");
    exposition_label(&out, "b", "\\ \" \n\\n");
    exposition_label(&out, "c", "");
    expect("a=\"plain {}, = it's\",b=\"\\\\ \\\" \\n\\\\n\",c=\"\"");
}

Test(exposition, seconds_have_the_decimals_that_there_are)
{
    static const struct {
        int64_t us;
        const char *text;
    } rows[] = {
        {0, "s 0\n"},       {1, "s 0.000001\n"},       {100, "s 0.0001\n"},    {250000, "s 0.25\n"},
        {1000000, "s 1\n"}, {1000001, "s 1.000001\n"}, {60500000, "s 60.5\n"}, {999999999, "s 999.999999\n"},
        {-1, "s 0\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        exposition_seconds(&out, "s", (struct span){0}, rows[i].us);
        expect(rows[i].text);
    }
}

Test(exposition, the_buckets_of_a_histogram_add_up)
{
    struct histogram histogram = {0};
    histogram_observe(&histogram, 100);
    histogram_observe(&histogram, 101);
    histogram_observe(&histogram, 2000000);
    histogram_observe(&histogram, 60000000);
    exposition_histogram(&out, "h", span_of("m=\"x\""), &histogram);
    expect("h_bucket{m=\"x\",le=\"0.0001\"} 1\nh_bucket{m=\"x\",le=\"0.00025\"} 2\n"
           "h_bucket{m=\"x\",le=\"0.001\"} 2\nh_bucket{m=\"x\",le=\"0.0025\"} 2\n"
           "h_bucket{m=\"x\",le=\"0.01\"} 2\nh_bucket{m=\"x\",le=\"0.05\"} 2\n"
           "h_bucket{m=\"x\",le=\"0.25\"} 2\nh_bucket{m=\"x\",le=\"1\"} 2\n"
           "h_bucket{m=\"x\",le=\"5\"} 3\nh_bucket{m=\"x\",le=\"30\"} 3\n"
           "h_bucket{m=\"x\",le=\"+Inf\"} 4\nh_sum{m=\"x\"} 62.000201\nh_count{m=\"x\"} 4\n");
}

Test(exposition, a_histogram_without_labels_has_its_bounds_alone)
{
    struct histogram histogram = {0};
    exposition_histogram(&out, "h", (struct span){0}, &histogram);
    buf_add_char(&out, '\0');
    cr_expect_eq(strncmp(out.data, "h_bucket{le=\"0.0001\"} 0\n", 24), 0);
    cr_expect_not_null(strstr(out.data, "\nh_sum 0\nh_count 0\n"));
    buf_free(&out);
}
