#include "log/marks.h"

#include <criterion/criterion.h>

TestSuite(marks, .timeout = 60);

/* A short message went behind one of more than 4 GiB, in the rest of its last page, and was looked for at the
 * start of the segment. */
Test(marks, a_mark_behind_4_GiB_of_a_segment_keeps_its_place)
{
    struct log_segment segment = {.position = 1000};
    struct marks marks = {0};
    const size_t far = ((size_t)4 << 30) + 17;

    cr_assert(marks_put(&marks, 0, (struct mark){.id = 1, .segment = &segment}));
    cr_assert(marks_put(&marks, 1, (struct mark){.id = 2, .segment = &segment, .offset = far}));
    cr_assert_eq(marks.at[1].offset, far);
    cr_assert_eq(mark_position(&marks.at[1]), 1000 + far);
    cr_assert_eq(marks_find_position(&marks, 2, 1000 + far - 1), 0);
    cr_assert_eq(marks_find_position(&marks, 2, 1000 + far), 1);
    marks_free(&marks);
}
