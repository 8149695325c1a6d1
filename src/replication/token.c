#include "replication/token.h"
#include <stdio.h>
#include <string.h>

/* The length of the right token may show; its bytes do not. */
static bool equal_in_constant_time(struct span given, const char *token)
{
    size_t len = strlen(token);
    unsigned differ = given.len != len;
    for (size_t i = 0; i < len; i++)
        differ |= (unsigned)((unsigned char)token[i] ^ (unsigned char)(i < given.len ? given.at[i] : 0));
    return differ == 0;
}

static struct span bearer(const struct http_head *head)
{
    static const char scheme[] = "Bearer ";
    const struct http_field *field = http_head_field(head, "Authorization");
    if (!field || field->value.len < sizeof scheme - 1)
        return (struct span){0};
    struct span start = {field->value.at, sizeof scheme - 1};
    if (!span_equals_nocase(start, scheme))
        return (struct span){0};
    return (struct span){field->value.at + start.len, field->value.len - start.len};
}

bool token_is_right(const char *token, const struct http_head *head)
{
    return !*token || equal_in_constant_time(bearer(head), token);
}

void token_fields(const char *token, char out[TOKEN_FIELDS_SIZE])
{
    int len = snprintf(out, TOKEN_FIELDS_SIZE, "Content-Type: application/json\r\n");
    if (*token)
        snprintf(out + len, TOKEN_FIELDS_SIZE - (size_t)len, "Authorization: Bearer %s\r\n", token);
}
