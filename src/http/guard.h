/* What a server refuses by the head of a request alone, before its body is waited for: names that are not its
 * own, web pages of other sites, callers without the token, bodies of another type than the row takes.
 *
 * A browser lets a page of any site send requests to an address that the visitor can reach, loopback too. Two
 * things tell such a request from curl's or a node's: Sec-Fetch-Site or Origin (Fetch Standard sections 3.1
 * and 3.2), which name where the page is from; and Host, which after DNS rebinding names the page's host. */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include "http/server.h"

/* What a server's guard knows; its owner makes it, and the server's loop uses it. */
struct http_guard {
    const char *hosts; /* see http_host_allowed */
    struct http_denials {
        int64_t told_ms;       /* when the last line of a denial was logged */
        int64_t apart_ms;      /* how long after it the next one may come; 0: none was logged */
        unsigned untold;       /* denials since, without a line */
    } unauthorized, forbidden; /* 401, 403: a flood of one does not hide the other */
};

/* NULL where the request may go on to its row; `route` may be NULL. */
const struct http_denial *http_guard_denies(const struct http_service *service,
                                            const struct http_route *route, const struct http_head *head,
                                            const struct http_target *target);

/* Answers with the denial. A 401 and a 403 leave a line in the log: of each one a second at most, and one a
 * minute where they go on. */
void http_deny(const struct http_service *service, const struct http_denial *denial,
               const struct http_request *request, struct http_exchange *exchange);

/* Whether a Host field names this server: an IP address, `localhost`, a name without a dot, or one of
 * `names`, which are separated by commas; "*" among them stands for any. Compared without case, and without
 * the port.
 */
bool http_host_allowed(struct span host, const char *names);

/* What stands in front of the parameters in a Content-Type field's value. */
struct span http_type_alone(struct span value);

/* For a row's `denies`: 415 for whatever says that it is not application/json. */
const struct http_denial *http_denies_all_but_json(const struct http_head *head);

#endif
