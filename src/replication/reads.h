/* The reads that both roles answer: the list, a part of it, one message. On the loop's thread. */
#ifndef REPLICATION_READS_H
#define REPLICATION_READS_H

#include "http/server.h"
#include "log/log.h"

/* GET /messages: the messages up to `last`, with the query's from and limit, ETag, If-Match and
 * If-None-Match. */
void reads_list(struct log *log, uint64_t last, const struct http_request *request,
                struct http_exchange *exchange);

/* GET /messages/ID, for the text behind /messages/: 404 past `last`. */
void reads_message(struct log *log, uint64_t last, const char *text, struct http_exchange *exchange);

/* A source of the slice's bytes. */
struct http_source reads_source(const struct log_slice *slice);

/* The entity tag of the messages from `from` to `to` (ids that are there, or none), with its quotes. Two
 * nodes give the same one where their messages 1 to `to` are the same. */
enum { READS_ETAG_SIZE = 64 };
void reads_etag(const struct log *log, uint64_t from, uint64_t to, char out[READS_ETAG_SIZE]);

/* A number of the query; left as it is where it is not named. Returns false where it was answered as bad. */
bool reads_number(const struct http_request *request, const char *name, uint64_t least, uint64_t *out,
                  struct http_exchange *exchange);

/* Reads an id. Returns false where the text is none. */
bool reads_id(const char *text, uint64_t *id);

#endif
