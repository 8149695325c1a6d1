#include "exact.h"
#include "failing_malloc.h"
#include "http/condition.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct row {
    const char *match; /* values of the fields, NULL where there is none */
    const char *none_match;
    int get; /* what a GET gets, and what a POST gets */
    int post;
};

static const struct row rows[] = {
    {NULL, NULL, 0, 0},
    {"*", NULL, 0, 0},
    {"\"tag\"", NULL, 0, 0},
    {"\"a\",\"tag\"", NULL, 0, 0},
    {" ,, \"a\" ,\t\"tag\" ,", NULL, 0, 0},
    {"W/\"a\", \"tag\"", NULL, 0, 0},
    {"\"a,\\\", \"tag\"", NULL, 0, 0}, /* a backslash and a comma are bytes like others */
    {"W/\"tag\"", NULL, 412, 412},     /* compared strongly */
    {"\"TAG\"", NULL, 412, 412},
    {"\"ta\"", NULL, 412, 412},
    {"\"tag", NULL, 412, 412},
    {"tag", NULL, 412, 412},
    {"\"a\" x \"tag\"", NULL, 412, 412},
    {"\"x\"tag\"", NULL, 412, 412},
    {"\"", NULL, 412, 412},
    {"W/", NULL, 412, 412},
    {"", NULL, 412, 412},
    {"*, *", NULL, 412, 412},
    {NULL, "*", 304, 412},
    {NULL, "\"tag\"", 304, 412},
    {NULL, "W/\"tag\"", 304, 412},
    {NULL, "\"a\", W/\"b\", W/\"tag\"", 304, 412},
    {NULL, "w/\"tag\"", 0, 0},
    {NULL, "\"a\"", 0, 0},
    {NULL, "", 0, 0},
    {"\"tag\"", "\"tag\"", 304, 412},
    {"\"tag\"", "\"a\"", 0, 0},
    {"\"a\"", "\"tag\"", 412, 412},
};

static struct exact rooms[2];

static struct http_field field(const char *name, struct exact room, const char *value)
{
    return (struct http_field){span_of(name), exact_put(room, value, strlen(value))};
}

static int condition(const char *method, const struct row *row)
{
    struct http_head head = {.method = span_of(method)};
    if (row->match)
        head.fields[head.field_count++] = field("IF-Match", rooms[0], row->match);
    if (row->none_match)
        head.fields[head.field_count++] = field("if-none-MATCH", rooms[1], row->none_match);
    return http_condition(&head, "\"tag\"");
}

Test(condition, tags_are_compared_as_the_fields_ask)
{
    rooms[0] = exact_new(100);
    rooms[1] = exact_new(100);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        const char *text = row->match ? row->match : row->none_match;
        cr_expect(condition("GET", row) == row->get, "%zu: %s: %d", i, text, condition("GET", row));
        cr_expect(condition("HEAD", row) == row->get, "%zu: %s", i, text);
        cr_expect(condition("POST", row) == row->post, "%zu: %s", i, text);
    }
}

Test(condition, lines_of_one_field_count_together)
{
    struct http_head head = {.method = span_of("GET"), .field_count = 3};
    head.fields[0] = (struct http_field){span_of("If-Match"), span_of("\"a\"")};
    head.fields[1] = (struct http_field){span_of("If-None-Match"), span_of("\"b\"")};
    head.fields[2] = (struct http_field){span_of("If-Match"), span_of("\"c\"")};
    cr_expect(http_condition(&head, "\"a\"") == 0);
    cr_expect(http_condition(&head, "\"b\"") == 412);
    cr_expect(http_condition(&head, "\"c\"") == 0);
    cr_expect(http_condition(&head, "\"d\"") == 412);
}

/* ---- kept for later */

static int kept_condition(const char *method, const struct row *row)
{
    char name[10] = "", text[100] = "If-Match", value[100] = "", other[100] = "";
    snprintf(name, sizeof name, "%s", method);
    struct http_head head = {.method = span_of(name), .field_count = 1};
    head.fields[0] = (struct http_field){span_of("Host"), span_of("a")};
    snprintf(value, sizeof value, "%s", row->match ? row->match : "");
    snprintf(other, sizeof other, "%s", row->none_match ? row->none_match : "");
    if (row->match)
        head.fields[head.field_count++] = (struct http_field){span_of(text), span_of(value)};
    if (row->none_match)
        head.fields[head.field_count++] = (struct http_field){span_of("if-none-match"), span_of(other)};
    struct http_head *kept;
    cr_assert_eq(http_condition_keep(&head, &kept), 0);
    if (!row->match && !row->none_match)
        return kept ? -1 : 0;
    memset(name, 'x', sizeof name);
    memset(text, 'x', sizeof text); /* the request's bytes are others' by then */
    memset(value, 'x', sizeof value);
    memset(other, 'x', sizeof other);
    int status = http_condition(kept, "\"tag\"");
    cr_expect_eq(kept->field_count, head.field_count - 1, "the conditions alone are kept");
    free(kept);
    return status;
}

Test(condition, a_head_that_is_kept_gives_the_same_status)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *text = rows[i].match ? rows[i].match : rows[i].none_match;
        cr_expect(kept_condition("GET", &rows[i]) == rows[i].get, "%zu: %s", i, text);
        cr_expect(kept_condition("HEAD", &rows[i]) == rows[i].get, "%zu: %s", i, text);
        cr_expect(kept_condition("POST", &rows[i]) == rows[i].post, "%zu: %s", i, text);
    }
}

Test(condition, a_head_for_which_there_is_no_memory_is_not_kept)
{
    struct http_head *kept;
    struct http_head head = {
        .method = span_of("GET"), .field_count = 1, .fields = {{span_of("If-Match"), span_of("\"a\"")}}};
    failing_after(0);
    int status = http_condition_keep(&head, &kept);
    failing_after(-1);
    cr_expect(status == 503 && !kept);
}

Test(condition, a_head_without_conditions_needs_none_kept_and_long_ones_are_not)
{
    static char value[HTTP_CONDITION_KEPT_MAX + 1];
    struct http_head *kept;
    struct http_head head = {
        .method = span_of("GET"), .field_count = 1, .fields = {{span_of("Accept"), span_of("*/*")}}};
    cr_expect(http_condition_keep(&head, &kept) == 0 && !kept);
    memset(value, 'x', HTTP_CONDITION_KEPT_MAX - strlen("If-Match"));
    head.fields[0] = (struct http_field){span_of("If-Match"), span_of(value)};
    cr_expect(http_condition_keep(&head, &kept) == 0 && kept);
    free(kept);
    memset(value, 'x', HTTP_CONDITION_KEPT_MAX);
    head.fields[0].value = span_of(value);
    cr_expect(http_condition_keep(&head, &kept) == 431 && !kept);
}
