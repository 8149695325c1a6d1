/* What json.c and json_string.c share; nobody else includes it. */
#ifndef JSON_PRIVATE_H
#define JSON_PRIVATE_H

#include "json.h"

static inline bool json_fail(struct json *json, const char *error)
{
    json->error = error;
    return false;
}

/* A text that is cut short gets a sentence of its own: it helps more than what was wanted there. */
static inline bool json_fail_here(struct json *json, const char *error)
{
    return json_fail(json, json->at == json->end ? "the JSON text ends too early" : error);
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
