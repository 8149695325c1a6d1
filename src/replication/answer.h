/* An answer that the roles share. */
#ifndef REPLICATION_ANSWER_H
#define REPLICATION_ANSWER_H

#include "http/server.h"

/* 409 {"error":"...","last_id":N} */
void answer_conflict(struct http_exchange *exchange, const char *why, uint64_t last_id);

#endif
