/* POST /messages. What is taken is what the list may be given: canonical strings with one comma between two,
 * whose lengths and sizes are told right; and it is taken again in that form. The input is a query up to the
 * first newline, then the body: JSON, but where it begins with a point. */
#include "check.h"
#include "json.h"
#include "replication/append_request.h"

static const struct append_terms defaults = {.w = 1, .timeout_ms = 7};

static const char *read_post(struct span query, struct span body, bool json, struct append_messages *messages,
                             struct append_terms *terms, char why[JSON_WHY_SIZE])
{
    struct http_head head = {.field_count = json ? 1 : 0};
    head.fields[0] = (struct http_field){span_of("Content-Type"), span_of("application/json")};
    static struct http_target target;
    target.query = query;
    const struct http_request request = {.head = &head, .target = &target, .body = body};
    *terms = defaults;
    return append_read(&request, messages, terms, why);
}

static void messages_free(struct append_messages *messages)
{
    buf_free(&messages->json);
    buf_free(&messages->lens);
}

/* Returns the bytes of the message's value. */
static size_t check_message(struct span text)
{
    struct json_string string;
    struct json json = json_text(text);
    CHECK(json_string(&json, &string) && json_end(&json));
    CHECK(string.canonical && string.value_len > 0);
    CHECK(json_canonical_len(text) == text.len);
    return string.value_len;
}

static void check_messages(const struct append_messages *messages)
{
    struct span left = buf_span(&messages->json);
    size_t all = 0;
    CHECK(messages->count > 0 && messages->count <= APPEND_LIST_MAX);
    CHECK(messages->lens.len == (messages->is_list ? messages->count * sizeof(size_t) : 0));
    for (uint64_t i = 0; i < messages->count; i++) {
        size_t len = messages->is_list ? append_lens(messages)[i] : left.len;
        CHECK(len <= left.len);
        size_t value = check_message((struct span){left.at, len});
        CHECK(value <= messages->longest);
        CHECK(i + 1 != messages->longest_at || value == messages->longest);
        all += value;
        left = span_after(left, len);
        CHECK(i + 1 == messages->count || (left.len && left.at[0] == ','));
        left = span_after(left, i + 1 < messages->count);
    }
    CHECK(left.len == 0 && all == messages->value_len);
}

/* The same messages, sent as they are kept. */
static void check_again(const struct append_messages *messages)
{
    struct append_messages again = {0};
    struct append_terms terms;
    struct buf body = {0};
    char why[JSON_WHY_SIZE];
    buf_add_text(&body, "{\"messages\":[");
    buf_add_span(&body, buf_span(&messages->json));
    buf_add_text(&body, "]}");
    CHECK(!read_post((struct span){0}, buf_span(&body), true, &again, &terms, why));
    CHECK(again.count == messages->count && again.value_len == messages->value_len);
    CHECK(again.json.len == messages->json.len &&
          memcmp(again.json.data, messages->json.data, again.json.len) == 0);
    messages_free(&again);
    buf_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct append_messages messages = {0};
    struct append_terms terms;
    char why[JSON_WHY_SIZE];
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    if (!line)
        return 0;
    size_t query_len = (size_t)(line - data);
    bool json = query_len + 1 == size || line[1] != '.';
    struct span query = fuzz_copy(data, query_len);
    struct span body = fuzz_copy(line + 1, size - query_len - 1);
    const char *error = read_post(query, body, json, &messages, &terms, why);
    CHECK(!messages.json.failed && !messages.lens.failed);
    if (error) {
        CHECK(error[0] && strlen(error) < JSON_WHY_SIZE);
    } else {
        CHECK(terms.w != 0 && terms.timeout_ms >= 0);
        check_messages(&messages);
        check_again(&messages);
    }
    messages_free(&messages);
    free((char *)query.at);
    free((char *)body.at);
    return 0;
}
