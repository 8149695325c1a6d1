#include "replication/reads.h"
#include "http/condition.h"
#include "http/router.h"
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

void reads_etag(const struct log *log, uint64_t from, uint64_t to, char out[READS_ETAG_SIZE])
{
    snprintf(out, READS_ETAG_SIZE, "\"%" PRIu64 "-%" PRIu64 "-%016" PRIx64 "\"", from, to,
             log_digest(log, to));
}

/* A cache may keep what it is told, and asks each time whether that still holds. */
#define NO_CACHE "Cache-Control: no-cache\r\n"

void reads_list(struct log *log, uint64_t last, const struct http_request *request,
                struct http_exchange *exchange)
{
    uint64_t from = 1;
    uint64_t limit = UINT64_MAX;
    char etag[READS_ETAG_SIZE];
    char fields[128];
    if (!reads_number(request, "from", 1, &from, exchange) ||
        !reads_number(request, "limit", 0, &limit, exchange))
        return;
    if (from > last + 1)
        from = last + 1;
    uint64_t to = limit < last - (from - 1) ? from - 1 + limit : last;
    reads_etag(log, from, to, etag);
    snprintf(fields, sizeof fields, "ETag: %s\r\n" NO_CACHE, etag);
    switch (http_condition(request->head, etag)) {
    case 304:
        http_answer(exchange, 304, fields, (struct span){0});
        return;
    case 412:
        http_answer_error(exchange, 412, fields, "the list has another entity tag than If-Match names");
        return;
    default:
        break;
    }
    struct log_slice slice = log_slice(log, from, to);
    struct http_source source = reads_source(&slice);
    http_answer_source(exchange, 200, fields, span_of("{\"messages\":["), &source, "]}\n");
}

void reads_message(struct log *log, uint64_t last, const char *text, struct http_exchange *exchange)
{
    uint64_t id;
    char before[48];
    if (!reads_id(text, &id) || id > last) {
        http_answer_error(exchange, 404, NO_CACHE, "there is no message %.100s here", text);
        return;
    }
    snprintf(before, sizeof before, "{\"id\":%" PRIu64 ",\"message\":", id);
    struct log_slice slice = log_slice(log, id, id);
    struct http_source source = reads_source(&slice);
    http_answer_source(exchange, 200, NO_CACHE, span_of(before), &source, "}\n");
}
