#include "http/request.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct span request_start(struct span bytes)
{
    while (bytes.len && (bytes.at[0] == '\r' || bytes.at[0] == '\n'))
        bytes = span_after(bytes, 1);
    return bytes;
}

bool request_has_begun(struct span bytes)
{
    return request_start(bytes).len > 0;
}

bool request_asks_head(struct span bytes)
{
    bytes = request_start(bytes);
    return bytes.len >= 5 && memcmp(bytes.at, "HEAD ", 5) == 0;
}

static enum request_verdict refuse(struct request_state *state, struct request_parts *parts, int status,
                                   const char *why)
{
    *state = (struct request_state){0};
    parts->status = status;
    parts->why = why;
    return REQUEST_REFUSED;
}

static enum request_verdict refuse_length(struct request_state *state, struct request_parts *parts)
{
    snprintf(parts->why_text, sizeof parts->why_text,
             "the body is longer than the %" PRIu64 " bytes that are taken here", state->limit);
    return refuse(state, parts, 413, parts->why_text);
}

/* ---- the head */

static enum request_verdict head_parse(struct request_state *state, struct span in,
                                       struct request_parts *parts)
{
    struct http_refusal refusal;
    enum http_parse parsed = http_parse_request(in, &state->scanned, &parts->head, &refusal);
    if (parsed == HTTP_PARSE_MORE)
        return REQUEST_MORE;
    if (parsed == HTTP_PARSE_BAD)
        return refuse(state, parts, refusal.status, refusal.text);
    const char *why = NULL;
    int status = http_target_parse(parts->head.method, parts->head.target, &parts->target, &why);
    return status ? refuse(state, parts, status, why) : REQUEST_HEAD;
}

static enum request_verdict whole(struct request_state *state, const char *bytes, size_t len,
                                  struct request_parts *parts)
{
    parts->body = (struct span){bytes + state->head_len, (size_t)state->length};
    parts->len = len;
    *state = (struct request_state){0};
    return REQUEST_WHOLE;
}

/* Whether the bytes could begin a request line. */
static bool request_begins(struct span bytes)
{
    size_t i = 0;
    while (i < bytes.len && bytes.at[i] >= 'A' && bytes.at[i] <= 'Z')
        i++;
    if (i == bytes.len || bytes.at[i] == '\r' || bytes.at[i] == '\n')
        return true;
    return bytes.at[i] == ' ' && i > 0 && (i + 1 == bytes.len || strchr("/*hH", bytes.at[i + 1]));
}

/* Whether a request that announces no body has one all the same (RFC 9112 section 6.3). */
static bool body_follows(const struct http_head *head, struct span bytes)
{
    return span_equals(head->method, "POST") && !http_head_field(head, "Content-Length") &&
           !request_begins(span_after(bytes, head->len));
}

static enum request_verdict head_take(struct request_state *state, char *bytes, size_t len,
                                      struct request_parts *parts)
{
    const struct http_head *head = &parts->head;
    enum request_verdict verdict = head_parse(state, (struct span){bytes, len}, parts);
    if (verdict != REQUEST_HEAD)
        return verdict;
    state->head_len = head->len;
    if (head->framing == HTTP_FRAMING_NONE && body_follows(head, (struct span){bytes, len}))
        return refuse(state, parts, 411, "a body needs a Content-Length, or Transfer-Encoding: chunked");
    if (head->framing == HTTP_FRAMING_NONE)
        return whole(state, bytes, head->len, parts);
    state->phase = REQUEST_AT_LIMIT;
    state->chunked = head->framing == HTTP_FRAMING_CHUNKED;
    state->length = state->chunked ? 0 : head->content_length;
    state->wants_continue = head->expect_continue;
    return REQUEST_HEAD;
}

/* ---- the body */

/* Decodes in place what came in of it. *len becomes the length of the request: with MORE what is left of it,
 * since nothing is needed behind the bytes that were decoded. */
static enum request_verdict body_decode(struct request_state *state, char *bytes, size_t *len,
                                        struct request_parts *parts)
{
    size_t used = 0;
    size_t decoded = 0;
    size_t at = state->head_len + (size_t)state->length;
    enum http_parse parsed =
        http_chunked_decode(&state->decoder, bytes + at, *len - at, &used, bytes + at, &decoded);
    state->length += decoded;
    if (parsed == HTTP_PARSE_BAD)
        return refuse(state, parts, 400, "the chunked body is malformed");
    if (state->length > state->limit)
        return refuse_length(state, parts);
    *len = at + (parsed == HTTP_PARSE_DONE ? used : decoded);
    return parsed == HTTP_PARSE_DONE ? REQUEST_WHOLE : REQUEST_MORE;
}

static enum request_verdict body_take(struct request_state *state, char *bytes, size_t *len,
                                      struct request_parts *parts)
{
    if (state->chunked)
        return body_decode(state, bytes, len, parts);
    if (state->length > state->limit)
        return refuse_length(state, parts);
    size_t need = state->head_len + (size_t)state->length;
    if (*len < need)
        return REQUEST_MORE;
    *len = need;
    return REQUEST_WHOLE;
}

enum request_verdict request_take(struct request_state *state, char *bytes, size_t *len,
                                  struct request_parts *parts)
{
    bool head_parsed = state->phase == REQUEST_AT_LIMIT;
    if (state->phase == REQUEST_IN_HEAD)
        return head_take(state, bytes, *len, parts);
    state->phase = REQUEST_IN_BODY;
    enum request_verdict verdict = body_take(state, bytes, len, parts);
    if (verdict != REQUEST_WHOLE)
        return verdict;
    state->scanned = 0;
    if (!head_parsed && head_parse(state, (struct span){bytes, state->head_len}, parts) != REQUEST_HEAD)
        return REQUEST_REFUSED;
    return whole(state, bytes, *len, parts);
}

size_t request_missing(const struct request_state *state, size_t len)
{
    if (state->phase != REQUEST_IN_BODY || state->chunked)
        return 0;
    size_t need = state->head_len + (size_t)state->length;
    return need > len ? need - len : 0;
}

bool request_is_held_up(const struct request_state *state, size_t len)
{
    return state->wants_continue && len == state->head_len;
}
