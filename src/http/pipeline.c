#include "http/pipeline.h"

enum { SEND_TOGETHER = 60 }; /* answers in one call to the kernel */

void pipeline_add(struct pipeline *pipeline, struct http_exchange *exchange)
{
    if (pipeline->first)
        pipeline->last->next = exchange;
    else
        pipeline->first = exchange;
    pipeline->last = exchange;
    pipeline->count++;
}

static void pipeline_pop(struct pipeline *pipeline)
{
    struct http_exchange *exchange = pipeline->first;
    pipeline->first = exchange->next;
    pipeline->count--;
    exchange_free(exchange);
}

/* The answers that are ready, up to one that is not, or for which there was no memory. */
static int ready_list(const struct pipeline *pipeline, struct outgoing *list[SEND_TOGETHER])
{
    int count = 0;
    for (struct http_exchange *exchange = pipeline->first;
         exchange && exchange->ready && !exchange->out.head.failed && count < SEND_TOGETHER;
         exchange = exchange->next)
        list[count++] = &exchange->out;
    return count;
}

enum stream_verdict pipeline_send(struct pipeline *pipeline, struct stream *stream, struct stream_turn *turn)
{
    enum stream_verdict verdict = STREAM_SENT;
    while (verdict == STREAM_SENT && pipeline_is_ready(pipeline)) {
        struct outgoing *list[SEND_TOGETHER];
        int count = ready_list(pipeline, list);
        if (!count)
            return STREAM_BROKEN;
        verdict = stream_send(stream, list, count, turn);
        for (int i = 0; i < count && outgoing_done(list[i]); i++)
            pipeline_pop(pipeline);
    }
    return verdict;
}

void pipeline_drop(struct pipeline *pipeline, const struct http_service *service)
{
    while (pipeline->first) {
        struct http_exchange *exchange = pipeline->first;
        pipeline->first = exchange->next;
        exchange->conn = NULL;
        if (exchange->ready)
            exchange_free(exchange);
        else if (exchange->waiter && service->gone)
            service->gone(service->ctx, exchange->waiter);
    }
    pipeline->count = 0;
}
