/* Connections of the simulated network: what network.c, client.c and exchange.c share. */
#ifndef SIMULATOR_CONN_H
#define SIMULATOR_CONN_H

#include "network.h"

enum conn_way { CONN_THERE, CONN_BACK };

enum message_kind {
    MESSAGE_DIAL,
    MESSAGE_ACCEPTED,
    MESSAGE_REFUSED,
    MESSAGE_BEGIN, /* of a request that comes in pieces */
    MESSAGE_MORE,
    MESSAGE_REQUEST,
    MESSAGE_INTERIM,
    MESSAGE_ANSWER,
    MESSAGE_CLOSED /* by the one who sent it */
};

struct message {
    enum message_kind kind;
    enum conn_way way;
    const char *method, *target, *fields;
    struct span body;
    int status;
    void *tag;
    const struct message *request; /* of an answer */
};

struct conn {
    struct conn *next;
    unsigned number;
    struct proc *near, *far; /* who has dialled, and who has accepted; NULL: nobody */
    int from, to;
    bool cut;           /* nothing comes any more */
    bool holds;         /* everything, for ever */
    bool closed[2];     /* by near, by far */
    int64_t last_us[2]; /* when the last message that was sent that way comes */
    struct http_client *client;
    struct http_exchange *exchanges; /* unanswered requests, and answers behind them; in order */
    unsigned mark;                   /* of a request that comes in pieces */
    const struct message *begun;
};

struct conn *conn_new(struct proc *near, int from, int to);
void conn_send(struct conn *conn, const struct message *message);
const struct network_rules *network_rules(void);
bool network_duplicate_due(const struct message *message);
void network_duplicate(struct conn *conn, const struct message *message);
bool network_piece_due(void);

/* client.c: what comes to a client. */
void client_take(struct conn *conn, const struct message *message);
void client_lost(struct conn *conn, bool midway);

/* exchange.c: what comes to a server. */
void exchange_begin(struct conn *conn, const struct message *message);
void exchange_more(struct conn *conn);
void exchange_take(struct conn *conn, const struct message *message);

/* The client has gone. */
void exchanges_gone(struct conn *conn);

/* The process is dead: its answers go nowhere. */
void exchanges_orphan(struct conn *conn);

#endif
