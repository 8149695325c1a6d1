/* CLUSTER_TOKEN: who may register, replicate and remove members. */
#ifndef REPLICATION_TOKEN_H
#define REPLICATION_TOKEN_H

#include "http/parser.h"

/* Whether the head carries `Authorization: Bearer TOKEN`; always, where the token is "". Compared in a time
 * that does not depend on where the texts differ. */
bool token_is_right(const char *token, const struct http_head *head);

/* The field lines of a node's own requests: Content-Type, and Authorization where there is a token. */
enum { TOKEN_FIELDS_SIZE = 400 };
void token_fields(const char *token, char out[TOKEN_FIELDS_SIZE]);

#endif
