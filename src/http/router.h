/* A table of routes, and what RFC 9110 asks for around it: HEAD wherever GET, OPTIONS, 404, 405 with
 * Allow, and 501 for a method that nobody knows. */
#ifndef HTTP_ROUTER_H
#define HTTP_ROUTER_H

#include "http/server.h"

struct http_route {
    const char *method;
    const char *path; /* all of it, or up to a "*" at its end that stands for one or more bytes */
    /* `rest` is what the "*" stands for, decoded; it lasts as long as the request. */
    void (*handle)(void *ctx, const struct http_request *request, const char *rest,
                   struct http_exchange *exchange);
    bool unlisted; /* answers with a refusal of its own: Allow does not name it */
};

/* Calls the route of the request, or answers it. `routes` ends with a route without a method. */
void http_route(const struct http_route *routes, void *ctx, const struct http_request *request,
                struct http_exchange *exchange);

/* What Allow says for a path: "GET, HEAD, OPTIONS". Empty where no route has the path. */
void http_route_allow(const struct http_route *routes, const char *path, char *out, size_t out_size);

/* The value of the query's field of that name, decoded. Returns its length; -1 where there is none; -2 where
 * it is malformed or does not fit. Of several the first counts. */
int http_request_query(const struct http_request *request, const char *name, char *out, size_t out_size);

#endif
