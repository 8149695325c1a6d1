#include "exact.h"
#include "http/target.h"

#include <criterion/criterion.h>

Test(authority, a_host_may_have_a_port)
{
    bool has_port;
    cr_expect(http_authority_valid(span_of("A.b:80"), &has_port) && has_port);
    cr_expect(http_authority_valid(span_of("[::1]:080"), &has_port) && has_port);
    cr_expect(http_authority_valid(span_of("a:"), &has_port) && !has_port);
    cr_expect(http_authority_valid(span_of("%41~"), &has_port) && !has_port);
    cr_expect(http_authority_valid(span_of("[::1]"), &has_port) && !has_port);
}

Test(authority, what_is_no_authority_is_refused)
{
    bool has_port;
    struct exact exact = exact_new(64);
    const char *bad[] = {"",   ":",   ":80", "a:b",  "a:65536", "a:1:2",  "u@a", "a/b",    "a?b",   "a b",
                         "%4", "%4g", "a%",  "[::1", "[]",      "[::1]x", "::1", "[v1.a]", "a\x7f", "a:+1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(!http_authority_valid(exact_put(exact, bad[i], strlen(bad[i])), &has_port), "%s", bad[i]);
    cr_expect(!http_authority_valid((struct span){NULL, 0}, &has_port));
}
