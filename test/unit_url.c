#include "exact.h"
#include "url.h"

#include <criterion/criterion.h>

struct row {
    const char *text;
    const char *host; /* NULL: refused */
    uint16_t port;
};

static const struct row rows[] = {
    {"http://localhost:5000", "localhost", 5000},
    {"http://localhost:5000/", "localhost", 5000},
    {"http://a:1", "a", 1},
    {"http://a:65535", "a", 65535},
    {"http://a:00080", "a", 80},
    {"HtTp://Secondary_1.Example-Net.:5001", "secondary_1.example-net.", 5001},
    {"http://127.0.0.1:5001", "127.0.0.1", 5001},
    {"http://[::1]:5001", "::1", 5001},
    {"http://[2001:DB8::A]:80/", "2001:db8::a", 80},
    {"http://[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1},
    {"", NULL, 0},
    {":1", NULL, 0},
    {"http", NULL, 0},
    {"http:", NULL, 0},
    {"http://", NULL, 0},
    {"http:///", NULL, 0},
    {"http:////", NULL, 0},
    {"http:/a:1", NULL, 0},
    {"https://a:1", NULL, 0},
    {"httpx://a:1", NULL, 0},
    {"ftp://a:1", NULL, 0},
    {"a", NULL, 0},
    {"a:5000", NULL, 0},
    {"//a:5000", NULL, 0},
    {" http://a:1", NULL, 0},
    {"http://a :1", NULL, 0},
    {"http://a\n:1", NULL, 0},
    {"http://a b:1", NULL, 0},
    {"http://a:1//", NULL, 0},
    {"http://a:1/b", NULL, 0},
    {"http://a:1/?b", NULL, 0},
    {"http://a:1?b", NULL, 0},
    {"http://a:1?", NULL, 0},
    {"http://a:1#b", NULL, 0},
    {"http://a:1/#", NULL, 0},
    {"http://u@a:1", NULL, 0},
    {"http://u:p@a:1", NULL, 0},
    {"http://@a:1", NULL, 0},
    {"http://:5000", NULL, 0},
    {"http://localhost", NULL, 0}, /* a node's port is hardly 80 */
    {"http://localhost/", NULL, 0},
    {"http://[::1]", NULL, 0},
    {"http://[::1]/", NULL, 0},
    {"http://a:", NULL, 0},
    {"http://a:/", NULL, 0},
    {"http://a:0", NULL, 0},
    {"http://a:000", NULL, 0},
    {"http://a:65536", NULL, 0},
    {"http://a:4294967376", NULL, 0},
    {"http://a:18446744073709551696", NULL, 0},
    {"http://a:-1", NULL, 0},
    {"http://a:+1", NULL, 0},
    {"http://a: 1", NULL, 0},
    {"http://a:1 ", NULL, 0},
    {"http://a:x", NULL, 0},
    {"http://a:1x", NULL, 0},
    {"http://a:1:2", NULL, 0},
    {"http://::1", NULL, 0},
    {"http://::1:5000", NULL, 0},
    {"http://[::1", NULL, 0},
    {"http://::1]", NULL, 0},
    {"http://[]:1", NULL, 0},
    {"http://[a]:1", NULL, 0},
    {"http://[1.2.3.4]:1", NULL, 0},
    {"http://[::1%25eth0]:1", NULL, 0},
    {"http://[::1%eth0]:1", NULL, 0},
    {"http://[v1.a]:1", NULL, 0},
    {"http://[::1]1:1", NULL, 0},
    {"http://[::1]]:1", NULL, 0},
    {"http://[[::1]]:1", NULL, 0},
    {"http://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1", NULL, 0},
    {"http://a%41:1", NULL, 0}, /* no resolver decodes it */
    {"http://a$:1", NULL, 0},
    {"http://a*:1", NULL, 0},
    {"http://\xc3\xa4:1", NULL, 0},
};

static void check(const struct row *row, struct span text)
{
    struct http_url url = {"untouched", 7};
    bool taken = http_url_parse(text, &url);
    cr_expect(taken == (row->host != NULL), "%s", row->text);
    cr_expect_str_eq(url.host, row->host != NULL ? row->host : "untouched", "%s", row->text);
    cr_expect(url.port == (row->host != NULL ? row->port : 7), "%s", row->text);
}

Test(url, each_row_has_its_result)
{
    struct exact exact = exact_new(4096);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(&rows[i], exact_put(exact, rows[i].text, strlen(rows[i].text)));
}

static bool length_taken(size_t len)
{
    char text[512] = "http://";
    memset(text + 7, 'a', len);
    struct http_url url;
    return http_url_parse(span_of(strcat(text, ":1/")), &url);
}

Test(url, a_host_may_be_as_long_as_its_limit)
{
    cr_expect(length_taken(HTTP_HOST_MAX - 1));
    cr_expect(!length_taken(HTTP_HOST_MAX));
}

Test(url, a_nul_ends_nothing)
{
    struct http_url url;
    cr_expect(!http_url_parse((struct span){"http://a\0b:1", 12}, &url));
    cr_expect(!http_url_parse((struct span){"http://[::1\0]:1", 15}, &url));
    cr_expect(!http_url_parse((struct span){"http://a:1\0", 11}, &url));
}

static bool host_byte(int byte)
{
    return byte != 0 &&
           strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._", byte) != NULL;
}

Test(url, a_host_takes_what_resolvers_take)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[] = "http://a b:1";
        text[8] = (char)byte;
        struct http_url url;
        cr_expect(http_url_parse(span_of(text), &url) == host_byte(byte) || byte == 0, "0x%02x",
                  (unsigned)byte);
    }
}

static void round_trip(const char *text, const char *authority)
{
    struct http_url url;
    char out[HTTP_AUTHORITY_MAX];
    cr_assert(http_url_parse(span_of(text), &url), "%s", text);
    http_url_authority(&url, out, sizeof out);
    cr_expect_str_eq(out, authority);
}

Test(url, an_authority_is_written_with_its_port_and_brackets)
{
    round_trip("http://A:80", "a:80");
    round_trip("http://127.0.0.1:5000/", "127.0.0.1:5000");
    round_trip("http://[::1]:5000", "[::1]:5000");
    round_trip("http://[2001:db8::1]:80", "[2001:db8::1]:80");
}

Test(url, who_listens_on_every_address_is_reached_on_the_loopback_one)
{
    cr_assert_str_eq(http_host_reached("0.0.0.0"), "127.0.0.1");
    cr_assert_str_eq(http_host_reached("::"), "::1");
    cr_assert_str_eq(http_host_reached("10.0.0.1"), "10.0.0.1");
}

Test(url, the_longest_authority_fits)
{
    struct http_url url = {.port = 65535};
    memset(url.host, 'a', HTTP_HOST_MAX - 1);
    char out[HTTP_AUTHORITY_MAX];
    http_url_authority(&url, out, sizeof out);
    cr_expect(strlen(out) == HTTP_HOST_MAX - 1 + strlen(":65535"));
}
