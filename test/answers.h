/* Answers as a strict client reads them: all bytes up to the end of the stream, one answer after another,
 * each held against what RFC 9110 and the contract ask of every answer. Include it in one file of a program.
 */
#ifndef TEST_ANSWERS_H
#define TEST_ANSWERS_H

#include "eventually.h"
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct answers {
    char *bytes; /* terminated behind len */
    size_t len;
    size_t at;  /* where the next answer begins */
    bool ended; /* the stream has ended, in an orderly way */
};

struct answer {
    int status;
    bool close; /* says that the connection is closed */
    const char *head;
    const char *body;
    size_t body_len;
    const char *fault; /* NULL, or what is wrong with it */
};

/* Receives up to the end of the stream, for limit_ms at most. The caller frees `bytes`. */
static inline struct answers answers_read(int fd, int limit_ms)
{
    struct answers all = {.bytes = malloc(1)};
    int64_t until = now_ms() + limit_ms;
    for (size_t room = 65536;; room *= 2) {
        long got = 1;
        all.bytes = realloc(all.bytes, all.len + room + 1);
        if (!all.bytes)
            trouble("no memory");
        for (size_t end = all.len + room; got > 0 && all.len<end; all.len += got> 0 ? (size_t)got : 0) {
            int64_t left = until - now_ms();
            got = raw_receive(fd, all.bytes + all.len, end - all.len, left > 0 ? (int)left : 0);
        }
        all.bytes[all.len] = '\0';
        all.ended = got == 0;
        if (got <= 0)
            return all;
    }
}

/* The value of a field in a head, or NULL. */
static inline const char *answer_field(const struct answer *answer, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(answer->head, "\r\n"); line && line < answer->body;
         line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
            return line + 2 + len + 2;
    return NULL;
}

static inline bool answer_dated(const struct answer *answer)
{
    struct tm tm = {0};
    const char *date = answer_field(answer, "Date");
    const char *end = date ? strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm) : NULL;
    return end == date + 29 && labs(timegm(&tm) - time(NULL)) <= 5;
}

static inline const char *answer_fault(const struct answer *answer, bool to_head)
{
    bool bodiless = answer->status < 200 || answer->status == 204 || answer->status == 304;
    if (answer->status < 200)
        return NULL;
    if (!answer_dated(answer))
        return "no Date";
    if (bodiless == (answer_field(answer, "Content-Length") != NULL))
        return bodiless ? "a Content-Length" : "no Content-Length";
    if (!bodiless && !answer_field(answer, "Content-Type"))
        return "no Content-Type";
    if (answer->status >= 400 && !to_head && strncmp(answer->body, "{\"error\":\"", 10) != 0)
        return "no error in words";
    if (answer->status == 405 && !answer_field(answer, "Allow"))
        return "no Allow";
    return NULL;
}

/* Takes the next answer. Returns false where there is none, or none that is whole. */
static inline bool answer_next(struct answers *all, bool to_head, struct answer *out)
{
    const char *head = all->bytes + all->at;
    const char *end = strstr(head, "\r\n\r\n");
    if (!end || strncmp(head, "HTTP/1.1 ", 9) != 0)
        return false;
    *out = (struct answer){.status = atoi(head + 9), .head = head, .body = end + 4};
    const char *length = answer_field(out, "Content-Length");
    const char *connection = answer_field(out, "Connection");
    out->body_len = length && !to_head ? strtoul(length, NULL, 10) : 0;
    out->close = connection && strncmp(connection, "close\r\n", 7) == 0;
    size_t left = all->len - (size_t)(out->body - all->bytes);
    if (out->body_len > left)
        return false;
    out->fault = answer_fault(out, to_head);
    all->at = (size_t)(out->body - all->bytes) + out->body_len;
    return true;
}

#endif
