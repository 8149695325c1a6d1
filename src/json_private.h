/* What json.c and json_string.c share; nobody else includes it. */
#ifndef JSON_PRIVATE_H
#define JSON_PRIVATE_H

#include "json.h"

static inline bool json_fail(struct json *json, const char *error)
{
    json->error = error;
    return false;
}

static inline void json_skip_space(struct json *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
}

/* Takes `c` where it comes next. */
static inline bool json_take(struct json *json, char c)
{
    json_skip_space(json);
    if (json->at == json->end || *json->at != c)
        return false;
    json->at++;
    return true;
}

#endif
