#include "http/writer.h"
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {102, "Processing"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

void http_date(time_t now, char out[HTTP_DATE_SIZE])
{
    /* No locale is ever set, so the names of days and months are the English ones that the format asks for.
     */
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(out, HTTP_DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static void write_length(struct buf *out, uint64_t length)
{
    if (length == HTTP_LENGTH_CLOSE)
        return;
    if (length == HTTP_LENGTH_CHUNKED) {
        buf_add_text(out, "Transfer-Encoding: chunked\r\n");
        return;
    }
    buf_add_text(out, "Content-Length: ");
    buf_add_uint(out, length);
    buf_add_text(out, "\r\n");
}

bool http_status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

void http_write_response_head(struct buf *out, int status, const char *date, uint64_t length,
                              const char *connection, const char *fields)
{
    buf_add_text(out, "HTTP/1.1 ");
    buf_add_uint(out, (uint64_t)status);
    buf_add_char(out, ' ');
    buf_add_text(out, http_reason(status));
    buf_add_text(out, "\r\nX-Content-Type-Options: nosniff\r\nDate: ");
    buf_add_text(out, date);
    buf_add_text(out, "\r\n");
    if (http_status_has_body(status)) {
        if (!fields || !span_starts_nocase(span_of(fields), "Content-Type:"))
            buf_add_text(out, "Content-Type: application/json\r\n");
        write_length(out, length);
    }
    buf_add_text(out, connection);
    if (fields)
        buf_add_text(out, fields);
    buf_add_text(out, "\r\n");
}

static bool method_has_body(const char *method)
{
    return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && strcmp(method, "DELETE") != 0;
}

void http_write_request_head(struct buf *out, const char *method, const char *target, const char *authority,
                             const char *fields, uint64_t length)
{
    buf_add_text(out, method);
    buf_add_char(out, ' ');
    buf_add_text(out, target);
    buf_add_text(out, " HTTP/1.1\r\nHost: ");
    buf_add_text(out, authority);
    buf_add_text(out, "\r\n");
    if (fields)
        buf_add_text(out, fields);
    if (method_has_body(method))
        write_length(out, length);
    buf_add_text(out, "\r\n");
}
