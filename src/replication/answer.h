/* Answers whose JSON body was written into a buffer. */
#ifndef REPLICATION_ANSWER_H
#define REPLICATION_ANSWER_H

#include "buf.h"
#include "http/server.h"

/* Answers with the body, or with 503 where there was no memory to write it, and frees the buffer. */
void answer_json(struct http_exchange *exchange, int status, struct buf *body);

/* 409 {"error":"...","last_id":N} */
void answer_conflict(struct http_exchange *exchange, const char *why, uint64_t last_id);

#endif
