#include "replication/reads.h"
#include "http/condition.h"
#include "http/router.h"
#include "json.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct log_slice) <= sizeof((struct http_source *)0)->state, "a slice fits a source");

static int slice_pieces(const void *state, struct iovec *iov, int max)
{
    return log_slice_iov(state, iov, max);
}

static void slice_skip(void *state, uint64_t bytes)
{
    log_slice_skip(state, bytes);
}

struct http_source reads_source(const struct log_slice *slice)
{
    struct http_source source = {.len = slice->len, .pieces = slice_pieces, .skip = slice_skip};
    memcpy(source.state, slice, sizeof *slice);
    return source;
}

bool reads_id(const char *text, uint64_t *id)
{
    return span_uint(span_of(text), id) && *id > 0;
}

/* ---- the query */

enum { WAIT_MAX_S = 300 };

bool reads_number(const struct http_request *request, const char *name, uint64_t least, uint64_t *out,
                  struct http_exchange *exchange)
{
    char text[24];
    int len = http_request_query(request, name, text, sizeof text);
    if (len == -1)
        return true;
    uint64_t number;
    if (len >= 0 && span_uint(span_of(text), &number) && number >= least) {
        *out = number;
        return true;
    }
    http_answer_error(exchange, 400, NULL, "%s must be a number from %" PRIu64 " on", name, least);
    return false;
}

static bool query_from(const struct http_request *request, bool end, struct reads_query *out,
                       struct http_exchange *exchange)
{
    char text[24];
    int len = http_request_query(request, "from", text, sizeof text);
    out->from_named = len != -1;
    out->from_end = end && len >= 0 && strcmp(text, "end") == 0;
    return out->from_end || reads_number(request, "from", 1, &out->from, exchange);
}

static bool query_seconds(const struct http_request *request, struct reads_query *out,
                          struct http_exchange *exchange)
{
    char text[32];
    double seconds;
    int len = http_request_query(request, "wait", text, sizeof text);
    if (len == -1)
        return true;
    struct json number = json_text((struct span){text, len > 0 ? (size_t)len : 0});
    if (!json_number(&number, &seconds) || !json_end(&number) || seconds < 0 ||
        seconds > (double)WAIT_MAX_S) {
        http_answer_error(exchange, 400, NULL, "wait must be a number of seconds from 0 to %d", WAIT_MAX_S);
        return false;
    }
    if (!out->from_named && !out->min_id) {
        http_answer_error(exchange, 400, NULL,
                          "wait needs an id to wait for: from=ID for what comes next, or min_id=ID");
        return false;
    }
    out->wait_ms = (int64_t)(seconds * 1000 + 0.5);
    return true;
}

static const struct reads_query standard = {.from = 1, .limit = UINT64_MAX, .wait_ms = -1};

bool reads_query_read(const struct http_request *request, bool end, struct reads_query *out,
                      struct http_exchange *exchange)
{
    *out = standard;
    return query_from(request, end, out, exchange) &&
           reads_number(request, "limit", 0, &out->limit, exchange) &&
           reads_number(request, "min_id", 1, &out->min_id, exchange) &&
           query_seconds(request, out, exchange);
}

bool reads_query_wait(const struct http_request *request, struct reads_query *out,
                      struct http_exchange *exchange)
{
    *out = standard;
    return reads_number(request, "min_id", 1, &out->min_id, exchange) &&
           query_seconds(request, out, exchange);
}

/* ---- the answers */

void reads_fields(const struct base *base, uint64_t shown, const char *others, char out[READS_FIELDS_SIZE])
{
    int len = snprintf(out, READS_FIELDS_SIZE, "%sLast-Id: %" PRIu64 "\r\n", others, shown);
    if (base->own.log[0])
        snprintf(out + len, READS_FIELDS_SIZE - (size_t)len, "Log-Id: %s\r\n", base->own.log);
}

void reads_etag(const struct log *log, uint64_t from, uint64_t to, char out[READS_ETAG_SIZE])
{
    snprintf(out, READS_ETAG_SIZE, "\"%" PRIu64 "-%" PRIu64 "-%016" PRIx64 "\"", from, to,
             log_digest(log, to));
}

void reads_list(const struct base *base, uint64_t shown, const struct reads_query *query,
                const struct http_head *head, struct http_exchange *exchange)
{
    uint64_t from = query->from > shown ? shown + 1 : query->from;
    uint64_t to = query->limit < shown - (from - 1) ? from - 1 + query->limit : shown;
    char etag[READS_ETAG_SIZE];
    char others[128];
    char fields[READS_FIELDS_SIZE];
    reads_etag(base->log, from, to, etag);
    snprintf(others, sizeof others, "ETag: %s\r\n" READS_NO_CACHE READS_VARY, etag);
    reads_fields(base, shown, others, fields);
    switch (head ? http_condition(head, etag) : 0) {
    case 304:
        http_answer(exchange, 304, fields, (struct span){0});
        return;
    case 412:
        http_answer_error(exchange, 412, fields, "the list has another entity tag than If-Match names");
        return;
    default:
        break;
    }
    struct log_slice slice = log_slice(base->log, from, to);
    struct http_source source = reads_source(&slice);
    http_answer_source(exchange, 200, fields, span_of("{\"messages\":["), &source, "]}\n");
}

void reads_answer_missing(const struct base *base, uint64_t shown, const char *text,
                          struct http_exchange *exchange)
{
    const char *slash = strchr(text, '/');
    char fields[READS_FIELDS_SIZE];
    reads_fields(base, shown, READS_NO_CACHE, fields);
    http_answer_error(exchange, 404, fields, "there is no message %.100s here%s", text,
                      slash && !slash[1] ? "; leave out the slash at its end" : "");
}

void reads_message(const struct base *base, uint64_t shown, const char *text, struct http_exchange *exchange)
{
    uint64_t id;
    char before[48];
    char fields[READS_FIELDS_SIZE];
    if (!reads_id(text, &id) || id > shown) {
        reads_answer_missing(base, shown, text, exchange);
        return;
    }
    snprintf(before, sizeof before, "{\"id\":%" PRIu64 ",\"message\":", id);
    struct log_slice slice = log_slice(base->log, id, id);
    struct http_source source = reads_source(&slice);
    reads_fields(base, shown, READS_NO_CACHE, fields);
    http_answer_source(exchange, 200, fields, span_of(before), &source, "}\n");
}
