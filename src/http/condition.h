/* Conditional requests (RFC 9110 section 13). Takes a head and a tag and gives a status; no I/O. */
#ifndef HTTP_CONDITION_H
#define HTTP_CONDITION_H

#include "http/parser.h"

/* What the If-Match and If-None-Match fields of a request ask for, of a resource that is there and has this
 * strong entity tag (with its quotes): 0 to go on, 412, or 304 (GET and HEAD alone). In the order of section
 * 13.2.2; several lines of a field count as one. Text that is no entity tag ends the
 * list of its line: nothing behind it matches. */
int http_condition(const struct http_head *head, const char *etag);

/* The bytes that a request which is answered later may have in these two fields. */
enum { HTTP_CONDITION_KEPT_MAX = 1024 };

/* For such a request: a copy of the head that has its method and these two fields, and nothing else, is in
 * *kept, and the caller's, for free(); NULL where the request has neither field. Returns 0, or the status to
 * refuse it with: 431 where they are too long, 503 where there is no memory. */
int http_condition_keep(const struct http_head *head, struct http_head **kept);

#endif
