/* Conditional requests (RFC 9110 section 13). Takes a head and a tag and gives a status; no I/O. */
#ifndef HTTP_CONDITION_H
#define HTTP_CONDITION_H

#include "http/parser.h"

/* What the If-Match and If-None-Match fields of a request ask for, of a resource that is there and has this
 * strong entity tag (with its quotes): 0 to go on, 412, or 304 (GET and HEAD alone). In the order of section
 * 13.2.2; several lines of a field count as one. Text that is no entity tag ends the
 * list of its line: nothing behind it matches. */
int http_condition(const struct http_head *head, const char *etag);

/* A copy of the head that has its method and these two fields, and nothing else: for a request that is
 * answered later. The caller's, for free(); NULL where there is no memory. */
struct http_head *http_condition_keep(const struct http_head *head);

#endif
