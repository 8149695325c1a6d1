/* The reads that both roles answer at once: the list, a part of it, one message. Those that wait, and those
 * that go on, are in tail.h. On the loop's thread. */
#ifndef REPLICATION_READS_H
#define REPLICATION_READS_H

#include "http/server.h"
#include "replication/base.h"

/* What the query of a read asks for. */
struct reads_query {
    uint64_t from;   /* 1 at least; 1 where it is not named */
    bool from_named; /* and whether it is "end": `from` means nothing then */
    bool from_end;
    uint64_t limit;  /* UINT64_MAX: none */
    uint64_t min_id; /* 0: none */
    int64_t wait_ms; /* -1: not named */
};

/* Reads it. Returns false where something is wrong with it: the exchange was answered then. `from=end` is
 * taken where `end` is true. */
bool reads_query_read(const struct http_request *request, bool end, struct reads_query *out,
                      struct http_exchange *exchange);

/* The same of a single message's query, which may wait for min_id and has no part to name. */
bool reads_query_wait(const struct http_request *request, struct reads_query *out,
                      struct http_exchange *exchange);

/* The list up to `shown`, from and limit as the query says, with its ETag. `head` has the request's
 * conditions; NULL: none. */
void reads_list(const struct base *base, uint64_t shown, const struct reads_query *query,
                const struct http_head *head, struct http_exchange *exchange);

/* GET /messages/ID, for the text behind /messages/: 404 past `shown`. */
void reads_message(const struct base *base, uint64_t shown, const char *text, struct http_exchange *exchange);

/* The field lines of every answer to a read: what this node shows, of which log, and what else is told. */
enum { READS_FIELDS_SIZE = 320 };
void reads_fields(const struct base *base, uint64_t shown, const char *others, char out[READS_FIELDS_SIZE]);

/* What is answered depends on the Accept field. */
#define READS_VARY "Vary: Accept\r\n"

/* A cache may keep what it is told, and asks each time whether that still holds. */
#define READS_NO_CACHE "Cache-Control: no-cache\r\n"

/* Answers 404 for the text behind /messages/. */
void reads_answer_missing(const struct base *base, uint64_t shown, const char *text,
                          struct http_exchange *exchange);

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
