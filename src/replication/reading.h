/* The reads that both roles answer: the list, a part of it, one message. On the loop's thread. */
#ifndef REPLICATION_READING_H
#define REPLICATION_READING_H

#include "http/server.h"
#include "log/log.h"

/* GET /messages: the messages up to `last`, with the query's from and limit, ETag and If-None-Match. */
void reading_list(struct log *log, uint64_t last, const struct http_request *request,
                  struct http_exchange *exchange);

/* GET /messages/ID, for the text behind /messages/: 404 past `last`. */
void reading_message(struct log *log, uint64_t last, const char *text, struct http_exchange *exchange);

/* Reads an id. Returns false where the text is none. */
bool reading_id(const char *text, uint64_t *id);

#endif
