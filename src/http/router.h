/* Finds the row of a service's table for a request, and does what RFC 9110 asks for around it: HEAD wherever
 * GET, OPTIONS, 404, 405 with Allow, and 501 for a method that nobody knows. */
#ifndef HTTP_ROUTER_H
#define HTTP_ROUTER_H

#include "http/server.h"

/* What becomes of a request, by its head alone. */
struct http_ruling {
    const struct http_route *route;   /* the row that takes it; NULL: none does */
    const struct http_denial *denial; /* why it is refused; NULL: it is not */
};

struct http_ruling http_rule(const struct http_service *service, const struct http_head *head,
                             const struct http_target *target);

/* Has the request refused, or answered by its row, or answers it here where there is none. */
void http_ruling_handle(const struct http_service *service, const struct http_ruling *ruling,
                        const struct http_request *request, struct http_exchange *exchange);

/* What Allow says for a path: "GET, HEAD, OPTIONS". Empty where no route has the path. */
void http_route_allow(const struct http_route *routes, const char *path, char *out, size_t out_size);

/* The value of the query's field of that name, decoded. Returns its length; -1 where there is none; -2 where
 * it is malformed or does not fit. Of several the first counts. */
int http_request_query(const struct http_request *request, const char *name, char *out, size_t out_size);

#endif
