#include "replication/append_request.h"
#include "concern.h"
#include "http/router.h"
#include "json.h"
#include <string.h>

enum { TIMEOUT_MAX_S = 315360000 /* ten years */ };

static bool timeout_parse(double seconds, int64_t *out_ms)
{
    if (!(seconds >= 0 && seconds <= TIMEOUT_MAX_S))
        return false;
    *out_ms = (int64_t)(seconds * 1000 + 0.5);
    if (*out_ms == 0 && seconds > 0)
        *out_ms = 1;
    return true;
}

static const char bad_w[] = "w must be " CONCERN_HINT;
static const char bad_timeout[] = "timeout must be a number of seconds, 0 to wait for ever";

const char *append_read_terms(const struct http_request *request, struct append_terms *terms)
{
    char text[32];
    int len = http_request_query(request, "w", text, sizeof text);
    if (len == -2 || (len >= 0 && !concern_parse((struct span){text, (size_t)len}, &terms->w)))
        return bad_w;
    len = http_request_query(request, "timeout", text, sizeof text);
    if (len == -1)
        return NULL;
    double seconds;
    struct json number = json_text((struct span){text, len > 0 ? (size_t)len : 0});
    bool good =
        json_number(&number, &seconds) && json_end(&number) && timeout_parse(seconds, &terms->timeout_ms);
    return good ? NULL : bad_timeout;
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

static const char no_message[] =
    "the message is missing: send {\"message\":\"text\"}, or the text itself with "
    "another Content-Type";

static const char *body_json_message(struct json *json, struct append_message *message)
{
    struct json_string text;
    if (json_peek(json) != '"')
        return "\"message\" must be a string";
    if (!json_string(json, &text))
        return json->error;
    if (message->json.len)
        return "\"message\" is there twice";
    message->value_len = text.value_len;
    json_string_canonical(&text, &message->json);
    return text.value_len ? NULL : "the message is empty";
}

static const char *body_json(struct span body, struct append_message *message, struct append_terms *terms)
{
    struct json json = json_text(body);
    struct json_string name;
    if (!json_object(&json))
        return json.error;
    while (json_member(&json, &name)) {
        const char *error = NULL;
        if (json_string_is(&name, "message"))
            error = body_json_message(&json, message);
        else if (json_string_is(&name, "w"))
            error = terms_json_w(&json, terms);
        else if (json_string_is(&name, "timeout"))
            error = terms_json_timeout(&json, terms);
        else if (!json_skip(&json))
            error = json.error;
        if (error)
            return error;
    }
    if (json.error)
        return json.error;
    if (!json_end(&json))
        return "something follows the JSON object";
    return message->json.len ? NULL : no_message;
}

static const char *body_raw(struct span body, struct append_message *message)
{
    if (!body.len)
        return no_message;
    if (!json_utf8_valid(body))
        return "the message is not UTF-8";
    message->value_len = body.len;
    json_quote(body, &message->json);
    return NULL;
}

bool append_is_json(const struct http_head *head)
{
    static const char json[] = "application/json";
    const struct http_field *field = http_head_field(head, "Content-Type");
    if (!field || !span_starts_nocase(field->value, json))
        return false;
    size_t len = sizeof json - 1;
    return field->value.len == len || strchr("; \t", field->value.at[len]); /* there is no NUL in a value */
}

const char *append_read(const struct http_request *request, struct append_message *message,
                        struct append_terms *terms)
{
    const char *error = append_read_terms(request, terms);
    if (error)
        return error;
    return append_is_json(request->head) ? body_json(request->body, message, terms)
                                         : body_raw(request->body, message);
}
