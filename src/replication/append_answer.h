/* What the client of an append is told of it: the answer's fields and its body. */
#ifndef REPLICATION_APPEND_ANSWER_H
#define REPLICATION_APPEND_ANSWER_H

#include "replication/members.h"
#include "replication/post.h"
#include "replication/reads.h"

enum { APPEND_FIELDS_SIZE = READS_FIELDS_SIZE };

/* Writes the fields, which tell where the messages are, and returns where they begin in `out`. */
const char *append_fields(const struct post *post, const struct base *base, char out[APPEND_FIELDS_SIZE]);

/* The body, without a receipt: so much of memory at the most. */
enum { APPEND_ANSWER_MAX = 320 };

/* Writes the body into `out`, which is empty and has APPEND_ANSWER_MAX bytes. It cannot fail: a receipt for
 * which there is no memory is left out. */
void append_answer_write(struct buf *out, const struct post *post, const struct base *base,
                         const struct members *members);

#endif
