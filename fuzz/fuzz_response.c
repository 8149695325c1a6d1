/* Response heads, as fuzz_request.c does it. The input's first byte says whether the request was HEAD, the
 * next two where the cut is. */
#include "check_head.h"

static enum http_parse parse_cut(struct span in, size_t cut, bool to_head, struct http_head *head,
                                 struct http_refusal *why)
{
    size_t scanned = 0;
    struct span part = fuzz_copy(in.at, cut);
    enum http_parse got = http_parse_response(part, &scanned, to_head, head, why);
    free((char *)part.at);
    return got != HTTP_PARSE_MORE ? got : http_parse_response(in, &scanned, to_head, head, why);
}

static void check_response(const struct http_head *head, struct span in, bool to_head)
{
    bool bare = to_head || head->status < 200 || head->status == 204 || head->status == 304;
    check_head(head, in);
    CHECK(head->status >= 100 && head->status <= 999);
    CHECK(bare == (head->framing == HTTP_FRAMING_NONE));
    CHECK(head->framing != HTTP_FRAMING_CLOSE || !head->keep_alive);
    CHECK(head->method.len == 0 && head->target.len == 0 && !head->expect_continue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head whole, cut;
    struct http_refusal whole_why = {0, NULL}, cut_why = {0, NULL};
    if (size < 3)
        return 0;
    bool to_head = data[0] & 1;
    struct span in = fuzz_copy(data + 3, size - 3);
    size_t scanned = 0;
    enum http_parse got = http_parse_response(in, &scanned, to_head, &whole, &whole_why);
    enum http_parse again =
        parse_cut(in, ((size_t)data[1] << 8 | data[2]) % (in.len + 1), to_head, &cut, &cut_why);
    check_same(got, &whole, &whole_why, again, &cut, &cut_why);
    if (got == HTTP_PARSE_DONE)
        check_response(&whole, in, to_head);
    free((char *)in.at);
    return 0;
}
