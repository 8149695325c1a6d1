/* The digest of a list of messages, made message by message; log.h says what it is good for. Private to the
 * log. Equal on every machine. Any thread may call. */
#ifndef LOG_DIGEST_H
#define LOG_DIGEST_H

#include "span.h"

/* The digest of the messages whose digest is given and of one more behind them; 0 is the digest of none. */
uint64_t digest_chain(uint64_t digest, struct span message);

#endif
