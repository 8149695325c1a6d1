/* The simulated network: hosts with one address each, and connections between them that carry whole requests
 * and answers, in order and late. It brings what src/http would: http_client_…, http_answer… and
 * http_exchange_… are here, over simulated time.
 *
 * A process on a host is a `struct proc`: a service that gets requests and passes, or, without a service,
 * somebody outside who only sends them. */
#ifndef SIMULATOR_NETWORK_H
#define SIMULATOR_NETWORK_H

#include "http/client.h"
#include "http/server.h"
#include "url.h"

enum { HOSTS = 12, NETWORK_PORT = 5000 };

struct conn;

struct delivery {
    struct delivery *next;
    void (*run)(void *subject, void *object);
    void *subject, *object;
};

struct proc {
    struct http_dialer dialer; /* first: what the node knows of it */
    char name[16];             /* in the trace */
    int host;
    bool serves;
    struct http_service service; /* where it serves */
    bool alive;
    bool ends; /* no connection opens any more */
    bool frozen;
    int64_t thawed_us;
    bool passes;                   /* a pass is due now */
    int64_t due_us, timer_us;      /* when the next pass is due, and the timer that there is; or INT64_MAX */
    struct delivery *first, **end; /* what waits while it is frozen */
    int resolves_to;               /* the host that the name `master` stands for here */
    void (*looked)(struct proc *proc); /* called after whatever happened to it */
    void *owner;
};

/* What an answer was, for the checker. */
struct answer {
    struct proc *proc; /* whose */
    const char *method, *target;
    struct span request; /* the request's body */
    void *tag;           /* what the request was sent with */
    int status;
    struct span body;
    bool gone; /* its client has gone: it says nothing to anybody */
};

struct network_rules {
    void (*arrived)(struct proc *proc, void *tag); /* a request with a tag */
    void (*answered)(const struct answer *answer); /* at the moment of an answer */
    /* A 200 to a POST /replicate came to the process that sent it, and was taken: the link goes on. */
    void (*acknowledged)(struct proc *master, struct proc *secondary, struct span body);
    /* A registration was answered, and the answer came. */
    void (*registered)(struct proc *secondary, int status);
};

void network_begin(const struct network_rules *rules);

/* After the end of all nodes. */
void network_end(void);

/* How late what is sent from one host to another is: from least to most. */
void network_delay(int from, int to, int64_t least_us, int64_t most_us);

/* What is sent from now on comes so much later. */
void network_stall(int from, int to, int64_t until_us);

/* The share of requests between nodes that come once more, later and on another connection. */
void network_duplicates(unsigned percent, int64_t most_us);

/* The share of requests between nodes that come in pieces. */
void network_pieces(unsigned percent);

/* How many connections there are, and what may happen to one of them: see network.c. */
void network_cut_any(void);
void network_hold_any(void);
void network_cut_between(int a, int b);

/* Connections that hold things are cut; delays are gone. Returns when the last of what was sent before comes.
 */
int64_t network_mend(void);

struct proc *network_proc(int host); /* the live one on it, or NULL */

/* Begins to serve on its host. */
void proc_start(struct proc *proc);

/* Its end: connections close, or, where `silent`, are simply not there any more. */
void proc_die(struct proc *proc, bool silent);

void proc_freeze(struct proc *proc);
void proc_thaw(struct proc *proc);

/* Something happened to it: a pass is due. */
void proc_touch(struct proc *proc);

/* Gives it something to do, at once or when it is not frozen any more. */
void proc_deliver(struct proc *proc, void (*run)(void *subject, void *object), void *subject, void *object);

/* The URL of a host, in memory that lasts. */
const char *network_url(int host);

/* One request from outside on a connection of its own, which ends with its answer, or after patience_us
 * without one. */
void network_ask(struct proc *from, int to, const char *method, const char *target, const char *fields,
                 struct span body, void *tag, int64_t patience_us);

/* The service answers a request at once, and nobody is told: the answer's body, to be freed. */
struct buf network_peek(struct proc *proc, const char *target);

#endif
