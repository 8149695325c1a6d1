/* The secondary's POST /replicate: what comes is stored at once and shows SECONDARY_DELAYS later; its answer
 * leaves when it shows. The delay is a latency: nothing waits behind anything but its own time.
 *
 * Belongs to the loop's thread, but for receiver_shown. */
#ifndef REPLICATION_RECEIVER_H
#define REPLICATION_RECEIVER_H

#include "http/server.h"
#include "log/log.h"
#include "replication/identity.h"

struct receiver;

struct receiver_config {
    struct log *log;
    struct identity *identity; /* of the log; taken from the first messages where there are none yet */
    size_t max_message;
    int64_t delay_ms;
    double errors; /* the share of calls answered 500 after the messages were stored */
};

/* NULL where there is no memory. */
struct receiver *receiver_open(const struct receiver_config *config);

/* Nobody may be waiting: see receiver_refuse_waiting. */
void receiver_close(struct receiver *receiver);

/* The id up to which messages show. Any thread. */
uint64_t receiver_shown(const struct receiver *receiver);

/* The longest body of a request. */
uint64_t receiver_body_limit(const struct receiver *receiver);

/* A request with a body. `run` is the master's run that messages are taken from; where it is "", it becomes
 * the one that these come from. */
void receiver_replicate(struct receiver *receiver, char run[WIRE_NAME_SIZE],
                        const struct http_request *request, struct http_exchange *exchange);

/* A request without one. */
void receiver_sign_of_life(struct receiver *receiver, struct http_exchange *exchange);

/* Shows what is due and answers; sends masters that wait a sign of life each interim_ms. Returns when it must
 * be called again. */
int64_t receiver_pass(struct receiver *receiver, int64_t now_ms, int64_t interim_ms);

/* Answers all who wait with 503: the program stops. */
void receiver_refuse_waiting(struct receiver *receiver);

#endif
