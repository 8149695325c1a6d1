#include "http/intake.h"
#include "http/router.h"
#include <errno.h>

enum { READ_LEAST = 16 * 1024, READ_MOST = 256 * 1024 }; /* behind kept bytes */

struct intake_bytes intake_again(struct intake *intake)
{
    return (struct intake_bytes){.data = intake->kept.data, .len = intake->kept.len};
}

static ssize_t receive_behind(struct intake *intake, struct inbox_total *total, struct stream *stream)
{
    struct buf *kept = &intake->kept;
    size_t missing = request_missing(&intake->request, kept->len);
    size_t room = missing < READ_LEAST ? READ_LEAST : missing > READ_MOST ? READ_MOST : missing;
    if (!inbox_reserve(total, kept, room))
        return -ENOMEM;
    return stream_receive(stream, kept->data + kept->len, room);
}

ssize_t intake_receive(struct intake *intake, struct inbox_total *total, struct stream *stream, char *buffer,
                       struct intake_bytes *bytes)
{
    if (!intake->kept.len) {
        ssize_t got = stream_receive(stream, buffer, HTTP_READ_BYTES);
        *bytes = (struct intake_bytes){.data = buffer, .len = got > 0 ? (size_t)got : 0};
        return got;
    }
    ssize_t got = receive_behind(intake, total, stream);
    intake->kept.len += got > 0 ? (size_t)got : 0;
    *bytes = intake_again(intake);
    return got;
}

/* The head of a request with a body is there. */
static enum request_verdict head_came(struct intake *intake, const struct http_service *service, char *bytes,
                                      size_t *len, struct request_parts *parts)
{
    intake->route = http_route_find(service->routes, parts->head.method, parts->target.path);
    intake->request.limit = http_route_body_limit(service, intake->route, &parts->head);
    enum request_verdict verdict = request_take(&intake->request, bytes, len, parts);
    if (verdict == REQUEST_MORE && service->watches_body)
        intake->watched = service->watches_body(service->ctx, &parts->head, &parts->target);
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
    intake->route = NULL;
    intake->watched = 0;
    intake->tell_ms = 0;
    intake->began_ms = 0;
}

bool intake_keep(struct intake *intake, struct inbox_total *total, const struct intake_bytes *bytes)
{
    struct span rest = {bytes->data + bytes->at, bytes->len - bytes->at};
    if (bytes->data != intake->kept.data)
        return !rest.len || inbox_add(total, &intake->kept, rest);
    intake->kept.len = bytes->len;
    inbox_drop(total, &intake->kept, bytes->at);
    return true;
}

void intake_drop(struct intake *intake, struct inbox_total *total)
{
    inbox_free(total, &intake->kept);
    intake->request = (struct request_state){0};
    intake_begin_next(intake);
}
