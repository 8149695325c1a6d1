/* Field lines (RFC 9112 section 5). CR and LF belong to no class of bytes, and the head ends with CRLF CRLF,
 * so loops over one class need no other end: each stops within the head, at a CR at the latest, and a CR
 * always has a byte behind it. */
#include "http/fields.h"

#include "http/bytes.h"

#include <string.h>

bool http_refuse(struct http_refusal *refusal, int status, const char *text)
{
    *refusal = (struct http_refusal){status, text};
    return false;
}

bool http_list_next(struct span *list, struct span *element)
{
    const char *at = list->at;
    const char *end = list->at + list->len;
    while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
        at++;
    const char *start = at;
    bool quoted = false;
    for (; at < end && (quoted || *at != ','); at++)
        if (*at == '"')
            quoted = !quoted;
        else if (quoted && *at == '\\' && end - at > 1)
            at++;
    *list = (struct span){at, (size_t)(end - at)};
    while (at > start && (at[-1] == ' ' || at[-1] == '\t'))
        at--;
    *element = (struct span){start, (size_t)(at - start)};
    return element->len > 0;
}

static void connection_note(struct http_reader *reader, struct span list)
{
    struct span option;
    while (http_list_next(&list, &option))
        if (span_equals_nocase(option, "close"))
            reader->close = true;
        else if (span_equals_nocase(option, "keep-alive"))
            reader->keep_alive = true;
}

static void expect_note(struct http_reader *reader, struct span list)
{
    struct span expectation;
    while (http_list_next(&list, &expectation))
        if (span_equals_nocase(expectation, "100-continue"))
            reader->expect_continue = true;
        else
            reader->expect_other = true;
}

/* Remembers the value of a field that frames the body. RFC 9112 section 6.3 lets equal Content-Length values
 * pass; here a repeat is refused whatever it says, as is a Transfer-Encoding spread over lines. */
static bool framing_note(struct http_reader *reader, struct span *kept, struct span value,
                         const char *repeated)
{
    if (kept->at)
        return http_refuse(reader->refusal, 400, repeated);
    *kept = value;
    return true;
}

/* Remembers what the framing and the connection depend on. Few fields have a length of interest. */
static bool field_note(struct http_reader *reader, const struct http_field *field)
{
    struct span name = field->name;
    switch (name.len) {
    case 4:
        if (span_equals_nocase(name, "Host")) {
            reader->host_repeated = reader->host.at != NULL;
            reader->host = field->value;
        }
        return true;
    case 6:
        if (span_equals_nocase(name, "Expect"))
            expect_note(reader, field->value);
        return true;
    case 10:
        if (span_equals_nocase(name, "Connection"))
            connection_note(reader, field->value);
        return true;
    case 14:
        return !span_equals_nocase(name, "Content-Length") ||
               framing_note(reader, &reader->length, field->value, "the Content-Length field is repeated");
    case 17:
        return !span_equals_nocase(name, "Transfer-Encoding") ||
               framing_note(reader, &reader->coding, field->value, "the Transfer-Encoding field is repeated");
    default:
        return true;
    }
}

/* Says what is wrong with a field line whose name, of that length, is not followed by a colon. */
static bool name_refuse(struct http_reader *reader, size_t name_len)
{
    char byte = reader->at[name_len];
    bool space = byte == ' ' || byte == '\t';
    if (space && name_len == 0)
        return http_refuse(reader->refusal, 400, "a field line begins with white space");
    if (space)
        return http_refuse(reader->refusal, 400, "a field name is followed by white space");
    if (byte == '\r' && reader->at[name_len + 1] == '\n')
        return http_refuse(reader->refusal, 400, "a field line has no colon");
    return http_refuse(reader->refusal, 400, "a field name is empty or holds a byte that no name may have");
}

static bool name_read(struct http_reader *reader, struct span *name)
{
    const char *at = reader->at;
    while (http_byte_is(*at, HTTP_BYTE_TOKEN))
        at++;
    *name = (struct span){reader->at, (size_t)(at - reader->at)};
    if (*at != ':' || name->len == 0)
        return name_refuse(reader, name->len);
    reader->at = at + 1;
    return true;
}

bool http_value_read(struct http_reader *reader, struct span *value)
{
    const char *start = reader->at;
    while (*start == ' ' || *start == '\t')
        start++;
    const char *end = start;
    while (http_byte_is(*end, HTTP_BYTE_VALUE))
        end++;
    if (end[0] != '\r' || end[1] != '\n')
        return http_refuse(reader->refusal, 400, "a line holds a control byte or a bare carriage return");
    reader->at = end + 2;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *value = (struct span){start, (size_t)(end - start)};
    return true;
}

bool http_fields_read(struct http_reader *reader)
{
    struct http_head *head = reader->head;
    head->field_count = 0;
    while (reader->at[0] != '\r' || reader->at[1] != '\n') {
        if (head->field_count == HTTP_FIELDS_MAX)
            return http_refuse(reader->refusal, 431, "there are too many fields");
        struct http_field *field = &head->fields[head->field_count];
        if (!name_read(reader, &field->name) || !http_value_read(reader, &field->value) ||
            !field_note(reader, field))
            return false;
        head->field_count++;
    }
    return true;
}

const struct http_field *http_head_field(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (span_equals_nocase(field->name, name))
            return field;
    }
    return NULL;
}
