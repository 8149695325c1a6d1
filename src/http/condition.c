#include "http/condition.h"
#include <stdlib.h>
#include <string.h>

/* Takes the next entity tag (RFC 9110 section 8.8.3) off the front of a list: its quotes and what is between
 * them, where a backslash or a comma means nothing. Returns false where there is none, or no right one. */
static bool tag_next(struct span *list, struct span *tag, bool *weak)
{
    const char *at = list->at;
    const char *end = at + list->len;
    while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
        at++;
    *weak = end - at > 2 && at[0] == 'W' && at[1] == '/';
    at += *weak ? 2 : 0;
    const char *quote = end - at > 1 && *at == '"' ? memchr(at + 1, '"', (size_t)(end - at) - 1) : NULL;
    if (!quote)
        return false;
    *tag = (struct span){at, (size_t)(quote - at) + 1};
    *list = (struct span){quote + 1, (size_t)(end - quote) - 1};
    return true;
}

/* Whether a list of tags, or "*", matches the tag; a weak one matches only where they are compared weakly
 * (RFC 9110 section 8.8.3.2). */
static bool tag_listed(struct span list, const char *etag, bool weakly)
{
    if (span_equals(list, "*"))
        return true;
    struct span tag;
    bool weak;
    while (tag_next(&list, &tag, &weak))
        if (span_equals(tag, etag) && (weakly || !weak))
            return true;
    return false;
}

/* Whether a line of the field matches the tag. */
static bool field_matches(const struct http_head *head, const char *name, const char *etag, bool weakly)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (span_equals_nocase(head->fields[i].name, name) && tag_listed(head->fields[i].value, etag, weakly))
            return true;
    return false;
}

static bool is_condition(const struct http_field *field)
{
    return span_equals_nocase(field->name, "if-match") || span_equals_nocase(field->name, "if-none-match");
}

/* Copies the bytes to *at, which moves behind them. */
static struct span span_keep(struct span span, char **at)
{
    struct span kept = {*at, span.len};
    if (span.len)
        memcpy(*at, span.at, span.len);
    *at += span.len;
    return kept;
}

int http_condition_keep(const struct http_head *head, struct http_head **kept)
{
    size_t bytes = 0;
    for (size_t i = 0; i < head->field_count; i++)
        bytes += is_condition(&head->fields[i]) ? head->fields[i].name.len + head->fields[i].value.len : 0;
    *kept = NULL;
    if (!bytes)
        return 0;
    if (bytes > HTTP_CONDITION_KEPT_MAX)
        return 431;
    struct http_head *copy = calloc(1, sizeof *copy + head->method.len + bytes);
    if (!copy)
        return 503;
    char *at = (char *)(copy + 1);
    copy->method = span_keep(head->method, &at);
    for (size_t i = 0; i < head->field_count; i++)
        if (is_condition(&head->fields[i]))
            copy->fields[copy->field_count++] = (struct http_field){span_keep(head->fields[i].name, &at),
                                                                    span_keep(head->fields[i].value, &at)};
    *kept = copy;
    return 0;
}

int http_condition(const struct http_head *head, const char *etag)
{
    if (http_head_field(head, "if-match") && !field_matches(head, "if-match", etag, false))
        return 412;
    if (!field_matches(head, "if-none-match", etag, true))
        return 0;
    return span_equals(head->method, "GET") || span_equals(head->method, "HEAD") ? 304 : 412;
}
