#include "replication/append_lines.h"
#include "format.h"
#include "logline.h"
#include <inttypes.h>

static void line_add(struct append_line *line, const struct post *post)
{
    uint64_t first = post_first(post);
    if (line->count == 0 || first < line->first)
        line->first = first;
    if (post->waiter.id > line->last)
        line->last = post->waiter.id;
    line->count += post->messages.count;
}

void append_lines_appended(struct append_lines *lines, const struct post *post)
{
    struct append_line *line = &lines->appends;
    line_add(line, post);
    line->bytes += post->messages.value_len;
    if (line->count == 1)
        format_text(line->peer, sizeof line->peer, "%s", http_exchange_peer(post->exchange));
}

void append_lines_answered(struct append_lines *lines, const struct post *post, int status, int64_t waited_us)
{
    struct append_line *line = status == 202 ? &lines->lates : &lines->answers;
    if (status == 200)
        return;
    line_add(line, post);
    line->have = post->waiter.count.have;
    line->need = post->waiter.count.need;
    if (waited_us / 1000 > line->waited_ms)
        line->waited_ms = waited_us / 1000;
}

void append_lines_tell_appended(struct append_lines *lines)
{
    struct append_line *line = &lines->appends;
    if (line->count == 1)
        logline_event(LOGLINE_INFO, "appended",
                      LOG_FIELDS(LOG_NUMBER("id", line->first), LOG_NUMBER("bytes", line->bytes),
                                 LOG_TEXT("peer", line->peer)),
                      "appended %" PRIu64 " (%" PRIu64 " %s) from %s", line->first, line->bytes,
                      line->bytes == 1 ? "byte" : "bytes", line->peer);
    else if (line->count)
        logline_event(LOGLINE_INFO, "appended",
                      LOG_FIELDS(LOG_NUMBER("first", line->first), LOG_NUMBER("last", line->last),
                                 LOG_NUMBER("count", line->count), LOG_NUMBER("bytes", line->bytes)),
                      "appended %" PRIu64 "..%" PRIu64 " (%" PRIu64 " messages, %" PRIu64 " bytes)",
                      line->first, line->last, line->count, line->bytes);
    line->count = line->bytes = line->last = 0;
}

static void answer_log_one(const struct append_line *line, enum logline_level level, int status)
{
    const struct log_field *fields = LOG_FIELDS(LOG_NUMBER("id", line->first), LOG_NUMBER("status", status),
                                                LOG_NUMBER("ms", line->waited_ms),
                                                LOG_NUMBER("acks", line->have), LOG_NUMBER("w", line->need));
    if (status == 202)
        logline_event(level, "answered", fields,
                      "answered %" PRIu64 " with 202 after %" PRId64 " ms: %u of %u nodes hold it",
                      line->first, line->waited_ms, line->have, line->need);
    else
        logline_event(level, "answered", fields,
                      "answered %" PRIu64 " with 201 after %" PRId64 " ms: %u %s it", line->first,
                      line->waited_ms, line->have, line->have == 1 ? "node holds" : "nodes hold");
}

/* Logs what was answered with this status, and forgets it. */
static void answers_log(struct append_line *line, enum logline_level level, int status)
{
    if (line->count == 1)
        answer_log_one(line, level, status);
    else if (line->count)
        logline_event(level, "answered",
                      LOG_FIELDS(LOG_NUMBER("first", line->first), LOG_NUMBER("last", line->last),
                                 LOG_NUMBER("count", line->count), LOG_NUMBER("status", status),
                                 LOG_NUMBER("ms", line->waited_ms)),
                      "answered %" PRIu64 " messages of %" PRIu64 "..%" PRIu64 " with %d after %" PRId64
                      " ms at most",
                      line->count, line->first, line->last, status, line->waited_ms);
    line->count = line->last = 0;
    line->waited_ms = 0;
}

void append_lines_tell_answered(struct append_lines *lines)
{
    answers_log(&lines->answers, LOGLINE_INFO, 201);
    answers_log(&lines->lates, LOGLINE_WARN, 202);
}
