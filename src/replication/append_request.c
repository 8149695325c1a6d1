#include "replication/append_request.h"
#include "concern.h"
#include "http/guard.h"
#include "http/router.h"
#include <string.h>

enum { TIMEOUT_MAX_S = 315360000 /* ten years */ };

static bool timeout_parse(double seconds, int64_t *out_ms)
{
    if (!(seconds >= 0 && seconds <= (double)TIMEOUT_MAX_S))
        return false;
    *out_ms = (int64_t)(seconds * 1000 + 0.5);
    if (*out_ms == 0 && seconds > 0)
        *out_ms = 1;
    return true;
}

static const char bad_w[] = "w must be " CONCERN_HINT;
static const char bad_timeout[] = "timeout must be a number of seconds, 0 to wait for ever";

static const char bad_expect[] = "expect must be the id that comes next, a whole number from 1 on";
static const char bad_receipt[] = "receipt must be 1 or 0";

enum { QUERY_NONE = -1, QUERY_BAD = -2 }; /* see http_request_query */

static const char *terms_query_timeout(const struct http_request *request, struct append_terms *terms)
{
    char text[32];
    double seconds;
    int len = http_request_query(request, "timeout", text, sizeof text);
    if (len == QUERY_NONE)
        return NULL;
    struct json number = json_text((struct span){text, len > 0 ? (size_t)len : 0});
    bool good =
        json_number(&number, &seconds) && json_end(&number) && timeout_parse(seconds, &terms->timeout_ms);
    return good ? NULL : bad_timeout;
}

static const char *terms_query_receipt(const struct http_request *request, struct append_terms *terms)
{
    char text[4];
    int len = http_request_query(request, "receipt", text, sizeof text);
    if (len == QUERY_NONE)
        return NULL;
    if (len != 1 || (text[0] != '0' && text[0] != '1'))
        return bad_receipt;
    terms->receipt = text[0] == '1';
    return NULL;
}

static const char *terms_query_expect(const struct http_request *request, struct append_terms *terms)
{
    char text[32];
    int len = http_request_query(request, "expect", text, sizeof text);
    if (len == QUERY_NONE)
        return NULL;
    bool good = len > 0 && span_uint((struct span){text, (size_t)len}, &terms->expect) && terms->expect > 0;
    return good ? NULL : bad_expect;
}

const char *append_read_terms(const struct http_request *request, struct append_terms *terms)
{
    char text[32];
    if (!request->target->query.len)
        return NULL;
    int len = http_request_query(request, "w", text, sizeof text);
    if (len == QUERY_BAD || (len >= 0 && !concern_parse((struct span){text, (size_t)len}, &terms->w)))
        return bad_w;
    const char *error = terms_query_timeout(request, terms);
    return error ? error : terms_query_receipt(request, terms);
}

static const char *terms_json_w(struct json *json, struct append_terms *terms)
{
    struct json_string text;
    char name[16];
    int named;
    uint64_t number;
    if (json_peek(json) == '"') {
        if (!json_string(json, &text))
            return json->error;
        if (!json_string_copy(&text, name, sizeof name) || !concern_parse(span_of(name), &named) || named > 0)
            return bad_w; /* a number is no string in JSON */
        terms->w = named;
        return NULL;
    }
    if (!json_uint(json, &number) || number < 1 || number > CONCERN_MAX)
        return bad_w;
    terms->w = (int)number;
    return NULL;
}

static const char *terms_json_timeout(struct json *json, struct append_terms *terms)
{
    double seconds;
    return json_number(json, &seconds) && timeout_parse(seconds, &terms->timeout_ms) ? NULL : bad_timeout;
}

static const char *terms_json_expect(struct json *json, struct append_terms *terms)
{
    return json_uint(json, &terms->expect) && terms->expect > 0 ? NULL : bad_expect;
}

static const char no_message[] =
    "the message is missing: send {\"message\":\"text\"}, or the text itself with "
    "another Content-Type";

/* One more message, of so many bytes. */
static void messages_count(struct append_messages *messages, size_t value_len)
{
    messages->count++;
    messages->value_len += value_len;
    if (value_len > messages->longest) {
        messages->longest = value_len;
        messages->longest_at = messages->count;
    }
}

static const char *text_read(struct json *json, struct append_messages *messages, const char *no_string)
{
    struct json_string text;
    if (json_peek(json) != '"')
        return no_string;
    if (!json_string(json, &text))
        return json->error;
    messages_count(messages, text.value_len);
    json_string_canonical(&text, &messages->json);
    return text.value_len ? NULL : "the message is empty";
}

static const char no_list[] = "\"messages\" must be a list of strings";

static const char *list_element(struct json *json, struct append_messages *messages)
{
    if (messages->count == APPEND_LIST_MAX)
        return "\"messages\" has more than 10000 texts";
    if (messages->count)
        buf_add_char(&messages->json, ',');
    size_t before = messages->json.len;
    const char *error = text_read(json, messages, no_list);
    size_t len = messages->json.len - before;
    buf_add(&messages->lens, &len, sizeof len);
    return error;
}

static const char *body_json_list(struct json *json, struct append_messages *messages)
{
    const char *error = NULL;
    messages->is_list = true;
    if (json_peek(json) != '[' || !json_array(json))
        return no_list;
    while (!error && json_element(json))
        error = list_element(json, messages);
    if (error || json->error)
        return error ? error : json->error;
    return messages->count ? NULL : "\"messages\" has no text";
}

/* The members of the body that were there already. */
struct seen {
    bool message, messages, w, timeout, expect;
};

static const char *seen_once(bool *seen, const char *twice)
{
    if (*seen)
        return twice;
    *seen = true;
    return NULL;
}

static const char *member_message(struct json *json, struct seen *seen, struct append_messages *messages)
{
    const char *error = seen_once(&seen->message, "\"message\" is there twice");
    if (seen->messages)
        error = "\"message\" and \"messages\" are both there";
    return error ? error : text_read(json, messages, "\"message\" must be a string");
}

static const char *member_messages(struct json *json, struct seen *seen, struct append_messages *messages)
{
    const char *error = seen_once(&seen->messages, "\"messages\" is there twice");
    if (seen->message)
        error = "\"message\" and \"messages\" are both there";
    return error ? error : body_json_list(json, messages);
}

/* What comes with the messages. One that is null counts as left out. */
static const char *member_term(struct json *json, const struct json_string *name, struct seen *seen,
                               struct append_terms *terms)
{
    const char *(*read)(struct json *, struct append_terms *) = NULL;
    const char *error = NULL;
    if (json_string_is(name, "w")) {
        error = seen_once(&seen->w, "\"w\" is there twice");
        read = terms_json_w;
    } else if (json_string_is(name, "timeout")) {
        error = seen_once(&seen->timeout, "\"timeout\" is there twice");
        read = terms_json_timeout;
    } else if (json_string_is(name, "expect")) {
        error = seen_once(&seen->expect, "\"expect\" is there twice");
        read = terms_json_expect;
    }
    if (error)
        return error;
    if (!read || json_peek(json) == 'n')
        return json_skip(json) ? NULL : json->error;
    return read(json, terms);
}

static const char *object_read(struct json *json, struct append_messages *messages,
                               struct append_terms *terms)
{
    struct json_string name;
    struct seen seen = {0};
    const char *error = NULL;
    if (!json_object(json))
        return json->error;
    while (!error && json_member(json, &name)) {
        if (json_string_is(&name, "message"))
            error = member_message(json, &seen, messages);
        else if (json_string_is(&name, "messages"))
            error = member_messages(json, &seen, messages);
        else
            error = member_term(json, &name, &seen, terms);
    }
    if (error || json->error)
        return error ? error : json->error;
    if (!json_end(json))
        return json->error;
    return messages->count ? NULL : no_message;
}

static const char utf16[] = "the body is UTF-16 (PowerShell's > writes that): send it as UTF-8";

/* Whether the body begins with a byte order mark of UTF-16. */
static bool is_utf16(struct span body)
{
    return body.len >= 2 && (memcmp(body.at, "\xff\xfe", 2) == 0 || memcmp(body.at, "\xfe\xff", 2) == 0);
}

/* A byte order mark of UTF-8 in front of the text is passed over (RFC 8259 section 8.1). */
static const char *body_json(struct span body, struct append_messages *messages, struct append_terms *terms,
                             char why[JSON_WHY_SIZE])
{
    static const char mark[] = "\xef\xbb\xbf";
    if (is_utf16(body))
        return utf16;
    bool marked = body.len >= 3 && memcmp(body.at, mark, 3) == 0;
    struct json json = json_text(body);
    if (marked)
        json.at += 3;
    const char *error = object_read(&json, messages, terms);
    if (!error || error == no_message)
        return error;
    json.error = error;
    return json_why(&json, why);
}

static const char *body_raw(struct span body, struct append_messages *messages)
{
    if (!body.len)
        return no_message;
    if (!json_utf8_valid(body))
        return is_utf16(body) ? utf16 : "the message is not UTF-8";
    messages_count(messages, body.len);
    json_quote(body, &messages->json);
    return NULL;
}

/* ---- types of bodies */

bool append_is_json(const struct http_head *head)
{
    const struct http_field *field = http_head_field(head, "Content-Type");
    if (!field)
        return false;
    struct span type = http_type_alone(field->value);
    return span_equals_nocase(type, "application/json") || span_equals_nocase(type, "text/json") ||
           (span_starts_nocase(type, "application/") && type.len > 5 &&
            span_equals_nocase(span_after(type, type.len - 5), "+json"));
}

/* The next of a Content-Type's parameters with all that follows it; empty behind the last one. */
static struct span parameter_next(struct span type)
{
    const char *end = type.len ? memchr(type.at, ';', type.len) : NULL;
    if (!end)
        return (struct span){0};
    type = span_after(type, (size_t)(end - type.at) + 1);
    while (type.len && (type.at[0] == ' ' || type.at[0] == '\t'))
        type = span_after(type, 1);
    return type;
}

/* Whether a Content-Type names no charset (RFC 9110 section 8.3.2), or one that UTF-8 text may be in. */
static bool charset_taken(struct span type)
{
    static const char name[] = "charset=";
    static const char *const taken[] = {"utf-8", "utf8", "us-ascii", "ascii"};
    struct span parameter = parameter_next(type);
    while (parameter.len && !span_starts_nocase(parameter, name))
        parameter = parameter_next(parameter);
    if (!parameter.len)
        return true;
    struct span charset = http_type_alone(span_after(parameter, strlen(name)));
    if (charset.len > 1 && charset.at[0] == '"' && charset.at[charset.len - 1] == '"')
        charset = (struct span){charset.at + 1, charset.len - 2};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (span_equals_nocase(charset, taken[i]))
            return true;
    return false;
}

const struct http_denial *append_denies(const struct http_head *head)
{
    static const struct http_denial encoded = {
        415, "Accept-Encoding: identity\r\n",
        "a message with a Content-Encoding is not decoded: send it without"};
    static const struct http_denial multipart = {
        415, NULL,
        "a form is no message: send {\"message\":\"text\"} as application/json, or the text itself (curl -d, "
        "not curl -F)"};
    static const struct http_denial charset = {415, NULL, "a message is UTF-8: send it with charset=utf-8"};
    const struct http_field *type = http_head_field(head, "Content-Type");
    const struct http_field *encoding = http_head_field(head, "Content-Encoding");
    if (encoding && !span_equals_nocase(encoding->value, "identity"))
        return &encoded;
    if (type && span_starts_nocase(type->value, "multipart/"))
        return &multipart;
    return type && !charset_taken(type->value) ? &charset : NULL;
}

/* ---- all of it */

const char *append_read(const struct http_request *request, struct append_messages *messages,
                        struct append_terms *terms, char why[JSON_WHY_SIZE])
{
    const char *error = append_read_terms(request, terms);
    if (!error)
        error = terms_query_expect(request, terms);
    if (error)
        return error;
    messages->count = messages->longest_at = 0;
    messages->value_len = messages->longest = 0;
    messages->is_list = false;
    return append_is_json(request->head) ? body_json(request->body, messages, terms, why)
                                         : body_raw(request->body, messages);
}
