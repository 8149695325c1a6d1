#include "proto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool fits(int printed, size_t room, size_t *len)
{
    *len = (size_t)printed;
    return printed >= 0 && (size_t)printed < room;
}

bool proto_post(struct proto *out, const char *host, const char *target, size_t body_len)
{
    *out = (struct proto){.kind = PROTO_POST, .body_len = body_len, .status = 201};
    return fits(snprintf(out->head, sizeof out->head,
                         "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\n"
                         "Content-Length: %zu\r\n\r\n",
                         target, host, body_len),
                sizeof out->head, &out->head_len);
}

bool proto_get(struct proto *out, const char *host, const char *target, uint64_t answer_length)
{
    *out = (struct proto){.kind = PROTO_GET, .status = 200, .answer_length = answer_length};
    return fits(snprintf(out->head, sizeof out->head, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, host),
                sizeof out->head, &out->head_len);
}

bool proto_rpush(struct proto *out, const char *list, unsigned replicas, size_t body_len)
{
    char number[16];
    int digits = snprintf(number, sizeof number, "%u", replicas);
    *out = (struct proto){.kind = PROTO_RPUSH, .body_len = body_len, .replies = 1, .replicas = replicas};
    if (!fits(snprintf(out->head, sizeof out->head, "*3\r\n$5\r\nRPUSH\r\n$%zu\r\n%s\r\n$%zu\r\n",
                       strlen(list), list, body_len),
              sizeof out->head, &out->head_len))
        return false;
    if (replicas == 0)
        return fits(snprintf(out->tail, sizeof out->tail, "\r\n"), sizeof out->tail, &out->tail_len);
    out->replies = 2;
    return fits(snprintf(out->tail, sizeof out->tail, "\r\n*3\r\n$4\r\nWAIT\r\n$%d\r\n%s\r\n$1\r\n0\r\n",
                         digits, number),
                sizeof out->tail, &out->tail_len);
}

size_t proto_size(const struct proto *proto)
{
    return proto->head_len + proto->body_len + proto->tail_len;
}

void proto_write(const struct proto *proto, const char *body, char *out)
{
    memcpy(out, proto->head, proto->head_len);
    memcpy(out + proto->head_len, body, proto->body_len);
    memcpy(out + proto->head_len + proto->body_len, proto->tail, proto->tail_len);
}

/* The value of a head's line where it is the field `name` (lower case, its colon included), or NULL. */
static const char *field_value(const char *line, const char *name, size_t name_len)
{
    if ((*line | 0x20) != *name || strncasecmp(line, name, name_len) != 0)
        return NULL;
    line += name_len;
    while (*line == ' ')
        line++;
    return line;
}

#define FIELD(line, name) field_value(line, name, sizeof(name) - 1)

/* Takes what matters of one line, which ends in CR LF. Returns false where the body's length is not plain. */
static bool take_field(struct answer *answer, const char *line, bool *has_length)
{
    const char *value;
    if ((value = FIELD(line, "content-length:"))) {
        char *end;
        answer->body_left = strtoull(value, &end, 10);
        *has_length = end > value;
        return *has_length;
    }
    if ((value = FIELD(line, "connection:")))
        answer->last = strncasecmp(value, "close", 5) == 0;
    return FIELD(line, "transfer-encoding:") == NULL;
}

/* Reads a whole head, its empty line included. Returns false where it makes no sense. */
static bool take_head(struct answer *answer, const struct proto *proto, const char *head, size_t len)
{
    const char *end = head + len - 2;
    const char *line = memchr(head, '\n', len);
    bool has_length = false;
    if (len < 14 || memcmp(head, "HTTP/1.", 7) != 0)
        return false;
    answer->wrong = strtol(head + 9, NULL, 10) != proto->status;
    for (line++; line < end; line = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1)
        if (!take_field(answer, line, &has_length))
            return false;
    if (proto->answer_length > 0 && answer->body_left != proto->answer_length)
        answer->wrong = true;
    answer->in_body = true;
    return has_length;
}

static enum answer_verdict verdict_of(struct answer *answer)
{
    enum answer_verdict verdict = answer->wrong ? ANSWER_WRONG : ANSWER_RIGHT;
    *answer = (struct answer){.last = answer->last};
    return verdict;
}

static enum answer_verdict take_http(struct answer *answer, const struct proto *proto, const char *in,
                                     size_t len, size_t *used)
{
    *used = 0;
    if (!answer->in_body) {
        const char *end = memmem(in, len, "\r\n\r\n", 4);
        if (!end)
            return len < ANSWER_HEAD_MAX ? ANSWER_MORE : ANSWER_BROKEN;
        *used = (size_t)(end - in) + 4;
        if (!take_head(answer, proto, in, *used))
            return ANSWER_BROKEN;
    }
    size_t body = len - *used < answer->body_left ? len - *used : (size_t)answer->body_left;
    *used += body;
    answer->body_left -= body;
    return answer->body_left > 0 ? ANSWER_MORE : verdict_of(answer);
}

/* RPUSH answers with a length; WAIT, the second, with the number of replicas that hold the write. */
static bool reply_is_right(const struct answer *answer, const struct proto *proto, const char *line)
{
    if (*line == '+')
        return true;
    return *line == ':' && (answer->replies == 0 || strtoull(line + 1, NULL, 10) >= proto->replicas);
}

static enum answer_verdict take_resp(struct answer *answer, const struct proto *proto, const char *in,
                                     size_t len, size_t *used)
{
    *used = 0;
    while (answer->replies < proto->replies) {
        const char *line = in + *used;
        const char *end = memchr(line, '\n', len - *used);
        if (!end)
            return len - *used < ANSWER_HEAD_MAX ? ANSWER_MORE : ANSWER_BROKEN;
        if (!strchr("+-:", *line))
            return ANSWER_BROKEN;
        if (!reply_is_right(answer, proto, line))
            answer->wrong = true;
        answer->replies++;
        *used += (size_t)(end - line) + 1;
    }
    return verdict_of(answer);
}

enum answer_verdict answer_take(struct answer *answer, const struct proto *proto, const char *in, size_t len,
                                size_t *used)
{
    if (proto->kind == PROTO_RPUSH)
        return take_resp(answer, proto, in, len, used);
    return take_http(answer, proto, in, len, used);
}
