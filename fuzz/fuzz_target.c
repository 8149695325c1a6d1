/* Request targets, query fields and URLs of nodes. What is taken keeps what the headers promise. */
#include "check.h"
#include "http/target.h"
#include "url.h"

static void check_value(struct span encoded)
{
    char out[64];
    int len = http_query_decode(encoded, out, sizeof out);
    CHECK(len >= -1 && len < (int)sizeof out);
    CHECK(len == -1 || strlen(out) == (size_t)len);
    CHECK(len == -1 || (size_t)len <= encoded.len);
}

static void check_query(struct span query)
{
    struct span all = query, name, value;
    size_t taken = 0;
    while (http_query_next(&query, &name, &value)) {
        CHECK(fuzz_within(name, all) && fuzz_within(value, all));
        CHECK(name.len + value.len > 0 || all.len > 0);
        taken += name.len + value.len;
        check_value(name);
        check_value(value);
    }
    CHECK(query.len == 0 && taken <= all.len);
}

static void check_target(const char *method, struct span text)
{
    struct http_target target;
    const char *why = NULL;
    int status = http_target_parse(span_of(method), text, &target, &why);
    CHECK(status == 0 || ((status == 400 || status == 414 || status == 501) && why != NULL));
    if (status != 0)
        return;
    CHECK(strnlen(target.path, HTTP_PATH_MAX) < HTTP_PATH_MAX);
    CHECK(target.path[0] == '/' || strcmp(target.path, "*") == 0);
    CHECK(fuzz_within(target.query, text));
    check_query(target.query);
}

static void check_url(struct span text)
{
    struct http_url url, again;
    char written[sizeof "http://" + HTTP_AUTHORITY_MAX] = "http://";
    if (!http_url_parse(text, &url))
        return;
    CHECK(url.port > 0 && url.host[0] != '\0');
    http_url_authority(&url, written + strlen(written), HTTP_AUTHORITY_MAX);
    CHECK(http_url_parse(span_of(written), &again));
    CHECK(again.port == url.port && strcmp(again.host, url.host) == 0);
}

static void check_authority(struct span text)
{
    bool has_port;
    if (http_authority_valid(text, &has_port))
        CHECK(text.len > 0 && (!has_port || memchr(text.at, ':', text.len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = fuzz_copy(data, size);
    check_target("GET", in);
    check_target("OPTIONS", in);
    check_target("CONNECT", in);
    check_query(in);
    check_value(in);
    check_url(in);
    check_authority(in);
    free((char *)in.at);
    return 0;
}
