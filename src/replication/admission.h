/* The master's registrations: who may become a member with the list that it has. A secondary with a beginning
 * of the master's list becomes one at once; one with more becomes one when the master has taken its list
 * over, which it does as long as nothing was appended to its own; any other is refused. Belongs to the loop's
 * thread. */
#ifndef REPLICATION_ADMISSION_H
#define REPLICATION_ADMISSION_H

#include "http/server.h"
#include "replication/members.h"

struct admission;

/* NULL where there is no memory. */
struct admission *admission_open(struct base *base, struct members *members);

/* After admission_pass with `stop`. */
void admission_close(struct admission *admission);

/* POST /register. */
void admission_register(struct admission *admission, const struct http_request *request,
                        struct http_exchange *exchange);

/* DELETE /secondaries/ID, with the boot of its query or "". */
void admission_remove(struct admission *admission, const char *id, const char *boot,
                      struct http_exchange *exchange);

/* Called once a pass of the loop: goes on with the take-over, and ends it with `stop`. Returns when it must
 * be called again. */
int64_t admission_pass(struct admission *admission, int64_t now_ms, bool stop);

/* Adds the array for GET /health, of those who were refused in the last minute, and have not become members
 * since: [{"id":…,"reason":…}]. */
void admission_write_refused(const struct admission *admission, int64_t now_ms, struct buf *out);

/* Whether a list is being taken over. */
bool admission_takes_over(const struct admission *admission);

#endif
