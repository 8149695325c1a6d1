/* Request heads: cut anywhere they mean the same, and what is taken keeps the grammar. The input's first two
 * bytes say where the cut is. */
#include "check_head.h"
#include "http/target.h"

static enum http_parse parse_cut(struct span in, size_t cut, struct http_head *head, struct http_refusal *why)
{
    size_t scanned = 0;
    struct span part = fuzz_copy(in.at, cut);
    enum http_parse got = http_parse_request(part, &scanned, head, why);
    free((char *)part.at);
    return got != HTTP_PARSE_MORE ? got : http_parse_request(in, &scanned, head, why);
}

static void check_host(const struct http_head *head)
{
    const struct http_field *host = http_head_field(head, "Host");
    bool has_port;
    CHECK(count_fields(head, "Host") == 1 || (head->minor == 0 && host == NULL));
    CHECK(host == NULL || host->value.len == 0 || http_authority_valid(host->value, &has_port));
}

static void check_request(const struct http_head *head, struct span in)
{
    struct http_target target;
    const char *why;
    check_head(head, in);
    check_name(head->method);
    check_host(head);
    CHECK(fuzz_within(head->target, in) && head->target.len > 0);
    CHECK(head->framing != HTTP_FRAMING_CLOSE && head->status == 0);
    CHECK(!head->expect_continue || (head->minor > 0 && head->framing != HTTP_FRAMING_NONE));
    http_target_parse(head->method, head->target, &target, &why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head whole, cut;
    struct http_refusal whole_why = {0, NULL}, cut_why = {0, NULL};
    if (size < 2)
        return 0;
    struct span in = fuzz_copy(data + 2, size - 2);
    size_t scanned = 0;
    enum http_parse got = http_parse_request(in, &scanned, &whole, &whole_why);
    enum http_parse again = parse_cut(in, ((size_t)data[0] << 8 | data[1]) % (in.len + 1), &cut, &cut_why);
    check_same(got, &whole, &whole_why, again, &cut, &cut_why);
    if (got == HTTP_PARSE_DONE)
        check_request(&whole, in);
    free((char *)in.at);
    return 0;
}
