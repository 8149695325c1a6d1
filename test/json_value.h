/* The value of a checked JSON string, decoded escape by escape: slow and simple, to compare with. */
#ifndef TEST_JSON_VALUE_H
#define TEST_JSON_VALUE_H

#include "json.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

static inline uint32_t json_value_unit(const char *four)
{
    char text[5] = {0};
    memcpy(text, four, 4);
    return (uint32_t)strtoul(text, NULL, 16);
}

/* Adds what the escape behind a backslash stands for, and returns where it ends. */
static inline const char *json_value_escape(const char *at, struct buf *out)
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    if (*at != 'u') {
        buf_add_char(out, bytes[strchr(letters, *at) - letters]);
        return at + 1;
    }
    uint32_t code = json_value_unit(at + 1);
    at += 5;
    if (code >= 0xd800 && code < 0xdc00) {
        code = 0x10000 + ((code - 0xd800) << 10) + (json_value_unit(at + 2) - 0xdc00);
        at += 6;
    }
    char utf8[4];
    buf_add_span(out, (struct span){.at = utf8, .len = utf8_encode(code, utf8)});
    return at;
}

static inline void json_value(const struct json_string *string, struct buf *out)
{
    const char *end = string->raw.at + string->raw.len;
    for (const char *at = string->raw.at; at < end;)
        if (*at == '\\')
            at = json_value_escape(at + 1, out);
        else
            buf_add_char(out, *at++);
}

#endif
