#include "http/intake.h"
#include <errno.h>
#include <malloc.h>

enum {
    DIRECT_LEAST =
        16 * 1024, /* with so many kept, the next are received behind them: no more than there are */
    READ_MOST = 256 * 1024,
    SHRINK_LEAST = 32 * 1024,          /* a smaller buffer stays as it is */
    SHRINK_SHARE = 4,                  /* one of which no more than a quarter is used is replaced */
    GIVE_BACK_BYTES = 4 * 1024 * 1024, /* see intakes_give_back */
    GIVE_BACK_LEAST = 512 * 1024
};

/* ---- what is kept */

/* Counts what is allocated now, where it was `before`. */
static void kept_count(struct intake *intake, size_t before)
{
    intake->total->bytes += intake->kept.cap - before;
    intake->share->bytes += intake->kept.cap - before;
}

static bool kept_reserve(struct intake *intake, size_t room)
{
    struct buf *kept = &intake->kept;
    const struct intake_total *total = intake->total;
    size_t cap = kept->cap;
    if (!intake->watched && !share_has_room(intake->share, cap, total->bytes, total->limit))
        return false;
    bool reserved = buf_reserve(kept, room);
    kept->failed = false; /* what is there is whole */
    kept_count(intake, cap);
    return reserved;
}

static void kept_free(struct intake *intake)
{
    size_t cap = intake->kept.cap;
    buf_free(&intake->kept);
    kept_count(intake, cap);
}

/* Moves what is left of a large buffer into a small one, where there is memory for it. */
static void kept_shrink(struct intake *intake)
{
    struct buf small = {0};
    buf_add_span(&small, buf_span(&intake->kept));
    if (small.failed)
        return;
    kept_free(intake);
    intake->kept = small;
    kept_count(intake, 0);
}

bool intake_keep(struct intake *intake, const struct intake_bytes *bytes)
{
    struct buf *kept = &intake->kept;
    size_t left = bytes->len - bytes->at;
    if (bytes->data != kept->data) {
        if (left && !kept_reserve(intake, left))
            return false;
        buf_add(kept, bytes->data + bytes->at, left);
        return true;
    }
    kept->len = bytes->len;
    buf_drop(kept, bytes->at);
    if (!left)
        kept_free(intake);
    else if (bytes->at && kept->cap >= SHRINK_LEAST && left <= kept->cap / SHRINK_SHARE)
        kept_shrink(intake);
    return true;
}

void intake_drop(struct intake *intake)
{
    kept_free(intake);
    intake->request = (struct request_state){0};
    intake_begin_next(intake);
}

void intakes_give_back(struct intake_total *total, size_t others)
{
    size_t bytes = total->bytes + others;
    if (bytes > total->most)
        total->most = bytes;
    bool falls = total->most >= GIVE_BACK_BYTES && bytes <= total->most / 4;
    if (!falls && !(total->flooded && bytes <= GIVE_BACK_LEAST))
        return;
    total->most = bytes;
    total->flooded = falls; /* what is left lies all over: once more when that has gone */
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

/* ---- receiving */

struct intake_bytes intake_again(struct intake *intake)
{
    return (struct intake_bytes){.data = intake->kept.data, .len = intake->kept.len};
}

/* While little has come, no more memory is taken than for that. */
static ssize_t receive_by_buffer(struct intake *intake, struct stream *stream, char *buffer,
                                 struct intake_bytes *bytes)
{
    ssize_t got = stream_receive(stream, buffer, HTTP_READ_BYTES);
    *bytes = (struct intake_bytes){.data = buffer, .len = got > 0 ? (size_t)got : 0};
    if (got <= 0 || !intake->kept.len)
        return got;
    if (!kept_reserve(intake, (size_t)got))
        return -ENOMEM;
    buf_add(&intake->kept, buffer, (size_t)got);
    *bytes = intake_again(intake);
    return got;
}

ssize_t intake_receive(struct intake *intake, struct stream *stream, char *buffer, struct intake_bytes *bytes)
{
    struct buf *kept = &intake->kept;
    if (kept->len < DIRECT_LEAST)
        return receive_by_buffer(intake, stream, buffer, bytes);
    size_t missing = request_missing(&intake->request, kept->len);
    size_t room = missing < DIRECT_LEAST ? DIRECT_LEAST : missing < kept->len ? missing : kept->len;
    if (room > READ_MOST)
        room = READ_MOST;
    size_t spare = kept->cap - kept->len;
    if (spare >= DIRECT_LEAST && spare < room)
        room = spare;
    if (!kept_reserve(intake, room))
        return -ENOMEM;
    ssize_t got = stream_receive(stream, kept->data + kept->len, room);
    kept->len += got > 0 ? (size_t)got : 0;
    *bytes = intake_again(intake);
    return got;
}

/* ---- requests */

const struct http_ruling *intake_rule(struct intake *intake, const struct http_service *service,
                                      const struct request_parts *parts)
{
    if (!intake->ruled)
        intake->ruling = http_rule(service, &parts->head, &parts->target);
    intake->ruled = true;
    return &intake->ruling;
}

/* The head of a request with a body is there. Where nobody reads the body, it need not come. */
static enum request_verdict head_came(struct intake *intake, const struct http_service *service, char *bytes,
                                      size_t *len, struct request_parts *parts)
{
    const struct http_head *head = &parts->head;
    const struct http_ruling *ruling = intake_rule(intake, service, parts);
    const struct http_route *route = ruling->route;
    bool wanted = route && !route->at_head && !ruling->denial;
    intake->request.limit =
        wanted && route->body_limit ? route->body_limit(service->ctx, head) : HTTP_SMALL_BODY;
    parts->body = (struct span){0};
    if (!wanted && head->content_length > HTTP_SMALL_BODY)
        return REQUEST_HEAD;
    enum request_verdict verdict = request_take(&intake->request, bytes, len, parts);
    if (verdict != REQUEST_WHOLE && !wanted)
        return REQUEST_HEAD;
    if (verdict == REQUEST_MORE && service->watches_body)
        intake->watched = service->watches_body(service->ctx, head, &parts->target);
    return verdict;
}

enum request_verdict intake_next(struct intake *intake, const struct http_service *service,
                                 struct intake_bytes *bytes, struct request_parts *parts)
{
    size_t left = bytes->len - bytes->at;
    char *data = bytes->data + bytes->at;
    enum request_verdict verdict = request_take(&intake->request, data, &left, parts);
    if (verdict == REQUEST_HEAD)
        verdict = head_came(intake, service, data, &left, parts);
    if (verdict == REQUEST_WHOLE)
        bytes->at += parts->len;
    else
        bytes->len = bytes->at + left;
    return verdict;
}

void intake_begin_next(struct intake *intake)
{
    intake->ruled = false;
    intake->watched = 0;
    intake->began_ms = 0;
}
