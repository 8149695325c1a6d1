/* The exchanges of one connection, in the order of its requests: their answers leave in that order, each when
 * it is ready and those before it have left. */
#ifndef HTTP_PIPELINE_H
#define HTTP_PIPELINE_H

#include "http/exchange.h"
#include "http/stream.h"

/* All zero: empty. Owns the exchanges whose answers are ready; the service owns those that wait. */
struct pipeline {
    struct http_exchange *first, *last; /* `last` means something where there is a first one */
    int count;
};

void pipeline_add(struct pipeline *pipeline, struct http_exchange *exchange);

/* Whether the first answer is ready. */
static inline bool pipeline_is_ready(const struct pipeline *pipeline)
{
    return pipeline->first && pipeline->first->ready;
}

/* Sends the answers that are ready, and frees their exchanges. BROKEN also where there was no memory for the
 * next answer. */
enum stream_verdict pipeline_send(struct pipeline *pipeline, struct stream *stream, struct stream_turn *turn);

/* The client has gone: exchanges whose answers are ready are freed, those that wait are told to the service,
 * and answered into nothing some time. */
void pipeline_drop(struct pipeline *pipeline, const struct http_service *service);

#endif
