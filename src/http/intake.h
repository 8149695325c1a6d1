/* The bytes of one connection on their way to requests: received, looked at, kept where they make no whole
 * request yet. Tells what came, and leaves to its user what follows from that.
 *
 * What is kept has a buffer, which is freed when nothing is in it, and gives memory back when little is. What
 * all buffers have allocated together has a limit. One thread at a time uses all that share a total. */
#ifndef HTTP_INTAKE_H
#define HTTP_INTAKE_H

#include "http/request.h"
#include "http/router.h"
#include "http/server.h"
#include "http/shares.h"
#include "http/stream.h"

struct intake_total {
    size_t limit; /* see intake_receive */
    size_t bytes; /* allocated */
    size_t most;  /* its highest, with the others', since memory was last given back to the system */
    bool flooded; /* there is more to give back */
};

/* What is known of the request that comes in. All zero but for `total` and `share`: nothing of one is there.
 */
struct intake {
    struct intake_total *total;
    struct share *share; /* of the client's address: the bytes that its intakes have allocated */
    struct buf kept;     /* the bytes from its start on; of all that come in one piece none is kept */
    struct request_state request;
    bool ruled; /* its head is there, and `ruling` valid */
    struct http_ruling ruling;
    unsigned watched; /* the mark with which the service is told when more of it has come; 0: it is not */
    int64_t tell_ms;  /* when the client may be told next that more of a watched request has come */
    int64_t began_ms; /* since when the client may send the rest; 0: not now */
};

/* The bytes that are looked at now: those kept, or some in a buffer of others. */
struct intake_bytes {
    char *data;
    size_t at;  /* bytes that were handed on as requests */
    size_t len; /* bytes that are needed, with those */
};

/* Looks at the kept bytes again. */
struct intake_bytes intake_again(struct intake *intake);

/* Receives behind the kept bytes, or into `buffer` of HTTP_READ_BYTES where there are none. Returns as
 * stream_receive, with *bytes where it is more than 0; or -ENOMEM, also where the other intakes, or those of
 * the same address, leave no room in the limit (see share_has_room). Memory is taken for what has come, and
 * at most as much again: not for what a head announces. A watched request is not held to the limit: clients
 * cannot take a node's room. */
ssize_t intake_receive(struct intake *intake, struct stream *stream, char *buffer,
                       struct intake_bytes *bytes);

/* Looks for the next request. MORE: what is there is to be kept. WHOLE: intake_begin_next must be called once
 * its parts, and the ruling, are no longer needed. HEAD: the head alone decides how it is answered, and its
 * body, which has not all come, is not wanted. */
enum request_verdict intake_next(struct intake *intake, const struct http_service *service,
                                 struct intake_bytes *bytes, struct request_parts *parts);

/* What becomes of the request whose head is there. */
const struct http_ruling *intake_rule(struct intake *intake, const struct http_service *service,
                                      const struct request_parts *parts);

/* Forgets what is known of the request before. */
void intake_begin_next(struct intake *intake);

/* Keeps what is left of the bytes, which are not to be used any more. Returns false where there is no memory
 * for that. */
bool intake_keep(struct intake *intake, const struct intake_bytes *bytes);

/* Drops all. */
void intake_drop(struct intake *intake);

/* The allocator may keep what long requests, or many short ones, or many connections took, for ever: after a
 * flood of them the system gets it back. `others`: bytes of complete requests and of connections. Called now
 * and then. */
void intakes_give_back(struct intake_total *total, size_t others);

#endif
