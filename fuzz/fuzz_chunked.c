/* Chunked bodies: whole, cut in two and decoded in place, they come out the same; and every input survives
 * being encoded and decoded. The first two bytes say where the cut is. */
#include "check.h"
#include "http/chunked.h"

#include <stdio.h>

struct outcome {
    enum http_parse result;
    size_t used;
    char *body; /* allocated */
    size_t len;
};

/* Decodes in, the first `cut` bytes by a call of their own. */
static struct outcome decode(struct span in, size_t cut)
{
    struct http_chunked chunked = {0};
    char *out = malloc(in.len + 1);
    size_t used, len, more_used = 0, more_len = 0;
    struct span part = fuzz_copy(in.at, cut);
    CHECK(out != NULL);
    enum http_parse got = http_chunked_decode(&chunked, part.at, part.len, &used, out, &len);
    free((char *)part.at);
    CHECK(got == HTTP_PARSE_BAD || (got == HTTP_PARSE_DONE ? used <= cut : used == cut));
    if (got == HTTP_PARSE_MORE)
        got = http_chunked_decode(&chunked, in.at + cut, in.len - cut, &more_used, out + len, &more_len);
    CHECK(len + more_len <= used + more_used && used + more_used <= in.len);
    return (struct outcome){got, used + more_used, out, len + more_len};
}

static struct outcome decode_in_place(struct span in)
{
    struct http_chunked chunked = {0};
    size_t used, len;
    char *copy = (char *)fuzz_copy(in.at, in.len).at;
    enum http_parse got = http_chunked_decode(&chunked, copy, in.len, &used, copy, &len);
    return (struct outcome){got, used, copy, len};
}

static void check_same(struct outcome a, struct outcome b)
{
    CHECK(a.result == b.result);
    CHECK(a.used == b.used && a.len == b.len);
    CHECK(a.len == 0 || memcmp(a.body, b.body, a.len) == 0);
    free(b.body);
}

/* Encodes in as chunks of `step` bytes. */
static struct span encode(struct span in, size_t step)
{
    char *out = malloc(in.len * 16 + 16);
    size_t len = 0;
    CHECK(out != NULL);
    for (size_t at = 0; at < in.len; at += step) {
        size_t part = in.len - at < step ? in.len - at : step;
        len += (size_t)sprintf(out + len, "%zX;a=\"b\"\r\n", part);
        memcpy(out + len, in.at + at, part);
        len += part;
        len += (size_t)sprintf(out + len, "\r\n");
    }
    len += (size_t)sprintf(out + len, "0\r\nA: b\r\n\r\n");
    return (struct span){out, len};
}

static void check_round_trip(struct span in, size_t step)
{
    struct span encoded = encode(in, step);
    struct outcome got = decode(encoded, encoded.len / 2);
    CHECK(got.result == HTTP_PARSE_DONE && got.used == encoded.len);
    CHECK(got.len == in.len && (in.len == 0 || memcmp(got.body, in.at, in.len) == 0));
    free(got.body);
    free((char *)encoded.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct span in = fuzz_copy(data + 2, size - 2);
    size_t cut = ((size_t)data[0] << 8 | data[1]) % (in.len + 1);
    struct outcome whole = decode(in, in.len);
    check_same(whole, decode(in, cut));
    check_same(whole, decode_in_place(in));
    check_round_trip(in, cut + 1);
    free(whole.body);
    free((char *)in.at);
    return 0;
}
