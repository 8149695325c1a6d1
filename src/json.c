#include "json_private.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct json json_text(struct span text)
{
    return (struct json){.start = text.at, .at = text.at, .end = span_after(text, text.len).at};
}

const char *json_why(const struct json *json, char why[JSON_WHY_SIZE])
{
    if (!json->error)
        return NULL;
    snprintf(why, JSON_WHY_SIZE, "%s, at byte %zu of the body%s", json->error,
             (size_t)(json->at - json->start) + 1, json->at == json->end ? ", where it ends" : "");
    return why;
}

static bool open_take(struct json *json, char open, const char *error)
{
    json->opened = json_take(json, open);
    return json->opened || json_fail(json, error);
}

bool json_object(struct json *json)
{
    return open_take(json, '{', "a JSON object is wanted");
}

bool json_array(struct json *json)
{
    return open_take(json, '[', "a JSON array is wanted");
}

/* What comes before a member or an element: the closing byte (false), or a comma unless it is the first. */
static bool next_item(struct json *json, char close, const char *error)
{
    bool first = json->opened;
    json->opened = false;
    if (json_take(json, close))
        return false;
    if (!first && !json_take(json, ','))
        return json_fail(json, error);
    return true;
}

bool json_member(struct json *json, struct json_string *name)
{
    if (!next_item(json, '}', "a comma or \"}\" is wanted in a JSON object"))
        return false;
    if (json_peek(json) != '"')
        return json_fail(json, "a name in quotes is wanted in a JSON object");
    if (!json_string(json, name))
        return false;
    return json_take(json, ':') || json_fail(json, "a colon is wanted behind a name in a JSON object");
}

bool json_element(struct json *json)
{
    return next_item(json, ']', "a comma or \"]\" is wanted in a JSON array");
}

/* ---- Numbers and other values ---- */

/* The end of the digits, or NULL where there is not one. */
static const char *need_digits(const char *at, const char *end)
{
    const char *start = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at > start ? at : NULL;
}

/* The end of the number that starts at `at`, or NULL where the grammar of RFC 8259 section 6 has none. */
static const char *number_end(const char *at, const char *end)
{
    if (at < end && *at == '-')
        at++;
    const char *stop = need_digits(at, end);
    if (!stop || (*at == '0' && stop - at > 1))
        return NULL;
    at = stop;
    if (at < end && *at == '.' && !(at = need_digits(at + 1, end)))
        return NULL;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = need_digits(at, end);
    }
    return at;
}

static bool number_token(struct json *json, struct span *out)
{
    json_skip_space(json);
    const char *stop = number_end(json->at, json->end);
    if (!stop)
        return json_fail(json, "a JSON number is wanted");
    *out = (struct span){.at = json->at, .len = (size_t)(stop - json->at)};
    json->at = stop;
    return true;
}

bool json_uint(struct json *json, uint64_t *out)
{
    struct span token;
    if (!number_token(json, &token))
        return false;
    return span_uint(token, out) ||
           json_fail(json, "a whole number from 0 to 18446744073709551615 is wanted");
}

bool json_number(struct json *json, double *out)
{
    struct span token;
    char text[JSON_NUMBER_MAX + 1];
    if (!number_token(json, &token))
        return false;
    if (!span_copy(token, text, sizeof text))
        return json_fail(json, "a JSON number is too long");
    double number = strtod(text, NULL);
    if (!isfinite(number))
        return json_fail(json, "a JSON number is out of range");
    *out = number;
    return true;
}

static bool skip_word(struct json *json, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(json->end - json->at) < len || memcmp(json->at, word, len) != 0)
        return json_fail(json, "a JSON value is wanted");
    json->at += len;
    return true;
}

/* `depth` is how many more arrays and objects may open; it bounds the recursion. */
static bool skip_value(struct json *json, int depth)
{
    struct json_string string;
    struct span number;
    char next = json_peek(json);
    if ((next == '{' || next == '[') && depth == 0)
        return json_fail(json, "the JSON text is nested too deeply");
    switch (next) {
    case '{':
        json_object(json);
        while (json_member(json, &string) && skip_value(json, depth - 1))
            continue;
        return !json->error;
    case '[':
        json_array(json);
        while (json_element(json) && skip_value(json, depth - 1))
            continue;
        return !json->error;
    case '"':
        return json_string(json, &string);
    case 't':
        return skip_word(json, "true");
    case 'f':
        return skip_word(json, "false");
    case 'n':
        return skip_word(json, "null");
    default:
        return (next == '-' || (next >= '0' && next <= '9')) ? number_token(json, &number)
                                                             : json_fail(json, "a JSON value is wanted");
    }
}

bool json_skip(struct json *json)
{
    return skip_value(json, JSON_DEPTH_MAX);
}

char json_peek(struct json *json)
{
    json_skip_space(json);
    return json->at < json->end ? *json->at : '\0';
}

bool json_end(struct json *json)
{
    json_skip_space(json);
    return json->at == json->end || json_fail(json, "something stands behind the JSON value");
}
