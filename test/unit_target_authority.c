#include "exact.h"
#include "http/target.h"

#include <criterion/criterion.h>

Test(authority, host_and_port_are_split)
{
    struct span host, port;
    cr_expect(http_authority_split(span_of("A.b:80"), &host, &port));
    cr_expect(span_equals(host, "A.b") && span_equals(port, "80"));
    cr_expect(http_authority_split(span_of("[::1]:080"), &host, &port));
    cr_expect(span_equals(host, "::1") && span_equals(port, "080"));
    cr_expect(http_authority_split(span_of("a:"), &host, &port));
    cr_expect(port.at != NULL && port.len == 0);
    cr_expect(http_authority_split(span_of("%41~"), &host, &port));
    cr_expect(span_equals(host, "%41~") && port.at == NULL);
}

Test(authority, what_is_no_authority_is_refused)
{
    struct span host, port;
    struct exact exact = exact_new(64);
    const char *bad[] = {"",   ":",   ":80", "a:b",  "a:65536", "a:1:2",  "u@a", "a/b",    "a?b",   "a b",
                         "%4", "%4g", "a%",  "[::1", "[]",      "[::1]x", "::1", "[v1.a]", "a\x7f", "a:+1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(!http_authority_split(exact_put(exact, bad[i], strlen(bad[i])), &host, &port), "%s",
                  bad[i]);
    cr_expect(!http_authority_split((struct span){NULL, 0}, &host, &port));
}
