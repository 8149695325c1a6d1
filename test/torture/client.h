/* A client's connection to a node, straight and not through a relay. It belongs to one life of the node: what
 * is asked on it goes to that process or to none. Belongs to one thread. */
#ifndef TORTURE_CLIENT_H
#define TORTURE_CLIENT_H

#include "node.h"
#include "text.h"

struct client {
    const struct node *node;
    int fd; /* -1: not connected */
    unsigned life;
    struct text in;
    size_t taken; /* bytes of `in` that belong to answers already given */
};

struct answer {
    int status;
    const char *body; /* borrowed until the next call */
    size_t body_len;
    bool retry_after;
};

void client_open(struct client *client, const struct node *node);
void client_close(struct client *client);

/* Makes sure of a connection to the process that serves now. False where there is none. */
bool client_connect(struct client *client);

/* Closes with RST, whatever is under way. */
void client_abort(struct client *client);

/* These close the connection and return false when it fails, or at the deadline. */
bool client_send(struct client *client, const struct text *bytes, int64_t deadline_ms);
bool client_receive(struct client *client, struct answer *answer, int64_t deadline_ms);

/* Connects if need be, sends a request and reads its answer. Also sets client->life. */
bool client_ask(struct client *client, const struct text *request, struct answer *answer,
                int64_t deadline_ms);
bool client_get(struct client *client, const char *target, struct answer *answer, int64_t deadline_ms);

/* The number behind the first `"name":` in the body, or -1. */
int64_t answer_number(const struct answer *answer, const char *name);

/* How much of the list the master's GET /health says that member `id` holds; -1 where it is no member. Those
 * that were turned away stand there too, as no members. */
int64_t answer_acked(const struct answer *health, const char *id);

/* The text behind the first `"name":`, which has no escapes. False where there is none, or a longer one. */
bool answer_name(const struct answer *answer, const char *name, char *out, size_t out_size);

#endif
