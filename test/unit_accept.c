#include "http/accept.h"

#include <criterion/criterion.h>

static const char *const types[] = {"application/json", "application/x-ndjson", "text/event-stream",
                                    "text/html"};
enum { JSON, LINES, EVENTS, HTML };

struct row {
    const char *accept; /* NULL: no field */
    int chosen;
};

static const struct row rows[] = {
    {NULL, JSON},
    {"", JSON},
    {"*/*", JSON}, /* curl, Postman */
    {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", HTML},
    {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML}, /* Firefox, Safari */
    {"text/event-stream", EVENTS},                                             /* EventSource */
    {"application/json, text/plain, */*", JSON},                               /* axios */
    {"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", HTML},            /* Java's HttpURLConnection */
    {"application/x-ndjson", LINES},
    {"Application/X-NDJSON", LINES},
    {"image/png", JSON},
    {"text/*", EVENTS},
    {"text/*, text/html", HTML}, /* itself is closer than its main type */
    {"application/*", JSON},
    {"text/*, */*", EVENTS},
    {"*/*, text/html;q=0.9", JSON},
    {"*/*;q=0.1, text/html;q=0.9", HTML},
    {"text/html;q=0.8, text/event-stream;q=0.9", EVENTS},
    {"text/html;q=0.8,text/event-stream;q=0.81", EVENTS},
    {"text/html;q=0.899,text/event-stream;q=0.9", EVENTS},
    {"text/html;q=1.000,text/event-stream;q=0.999", HTML},
    {"text/html;q=0, */*", JSON},
    {"application/json;q=0, */*", LINES},
    {"application/json;q=0", JSON}, /* it takes none of them */
    {"application/json;q=0,application/x-ndjson;q=0,text/event-stream;q=0.001", EVENTS},
    {"text/html;level=1;q=0.5, text/event-stream;q=0.4", HTML},
    {"text/html ; Q=0.5 , text/event-stream\t;\tq=0.6", EVENTS},
    {"text/html;q=x, text/event-stream;q=0.1", EVENTS},
    {"text/html;q=, text/event-stream;q=0.1", EVENTS},
    {"text/html;q, text/event-stream;q=0.1", HTML}, /* a parameter that is no weight */
    {",, text/html ,", HTML},
    {";q=1", JSON},
    {"text/html;q=0.1, text/html, text/event-stream;q=0.5", EVENTS}, /* the first of two that are alike */
    {"text/htm", JSON},
    {"text/htmll", JSON},
    {"text/", JSON},
    {"text", JSON},
    {"*", JSON},
    {"*/html", JSON},
};

static int chosen(const char *accept, const char *more)
{
    struct http_head head = {0};
    head.fields[head.field_count++] = (struct http_field){span_of("Host"), span_of("text/html")};
    if (accept)
        head.fields[head.field_count++] = (struct http_field){span_of("ACCept"), span_of(accept)};
    if (more)
        head.fields[head.field_count++] = (struct http_field){span_of("accept"), span_of(more)};
    return http_accept(&head, types, 4);
}

Test(accept, the_type_with_the_highest_quality_is_chosen_then_the_closest_then_the_first)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect(chosen(rows[i].accept, NULL) == rows[i].chosen, "%s: %d", rows[i].accept,
                  chosen(rows[i].accept, NULL));
}

Test(accept, lines_of_the_field_count_as_one)
{
    cr_expect_eq(chosen("*/*;q=0.5", "text/event-stream"), EVENTS);
    cr_expect_eq(chosen("text/html", "*/*"), HTML);
    cr_expect_eq(chosen("*/*", "application/json;q=0.1"), LINES);
}

Test(accept, a_type_is_named_by_itself_and_by_no_range)
{
    struct http_head head = {.field_count = 1,
                             .fields = {{span_of("accept"), span_of("a/b, Text/Event-Stream;q=0.1")}}};
    cr_expect(http_accept_names(&head, "text/event-stream"));
    head.fields[0].value = span_of("text/*, */*");
    cr_expect_not(http_accept_names(&head, "text/event-stream"));
}
