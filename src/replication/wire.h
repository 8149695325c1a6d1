/* What master and secondary send each other, written and read. No I/O; any thread.
 *
 *     POST /register   {"id":"s1","port":5001,"log":"…","epoch":2,"last_id":7,"stored":8,"digest":"…",
 *                       "boot":"…"}
 *                  200 {"log":"…","epoch":3,"last_id":9,"id":"s1","boot":"…","heartbeat":1.000}
 *     POST /replicate  {"log":"…","epoch":3,"first":17,"digest":"…","messages":["a","b"]}
 *                  200 {"last_id":18,"id":"s1","boot":"…","log":"…","epoch":3,"digest":"…"}
 *                  409 the same, and "error" before it
 *
 * - `log` names a list. It is made up with an empty list; two lists of one name have grown from one.
 * - `epoch` is a number: 1 for a new list, one more for each master that goes on with it.
 * - `id` names a member, `boot` one process: in the answer to a registration the master's, else a
 * secondary's.
 * - `digest` is a log_digest: in a registration of all that is stored, in a request of what comes before
 *   `first`, in an answer of the list up to `last_id`. So each side sees that the two lists are the same, and
 *   not merely as long.
 *
 * A person with curl may leave out all but `url` or `port`, and `log`, `first`, `messages`. */
#ifndef REPLICATION_WIRE_H
#define REPLICATION_WIRE_H

#include "json.h"

enum {
    WIRE_NAME_SIZE = 72, /* a log's or boot's name, its terminator included */
    WIRE_ID_SIZE = 264,  /* a member's id; a host and its port fit */
    WIRE_URL_SIZE = 300,
    WIRE_ERROR_SIZE = 400
};

/* Of an epoch: one more must fit, for the next master. */
#define WIRE_EPOCH_MAX ((uint64_t)1000000000000000)

/* Makes up a name that no other will have: 32 hexadecimal digits. */
void wire_name_new(char out[WIRE_NAME_SIZE]);

/* A number that may be left out. */
struct wire_told {
    bool is; /* it is there */
    uint64_t value;
};

/* A node, and the list that it has or speaks of. "" and 0: none, or not told. */
struct wire_identity {
    char id[WIRE_ID_SIZE];
    char boot[WIRE_NAME_SIZE];
    char log[WIRE_NAME_SIZE];
    uint64_t epoch;
};

struct wire_register {
    struct wire_identity from; /* no id: as its host:port. The epoch is of the master that it followed last */
    char url[WIRE_URL_SIZE];   /* "": the caller's address and `port` */
    uint16_t port;
    uint64_t last_id;        /* up to where the messages show */
    uint64_t stored;         /* up to where they are there, shown or not yet; last_id where it is left out */
    struct wire_told digest; /* of the messages up to `stored` */
    bool complete;           /* the process has once held all that was acknowledged: see WIRE_SURE_FIELD */
    bool durable;            /* it holds on disk what it holds */
    bool on_disk;            /* its list is on disk as well: a restart does not empty it */
};

void wire_register_write(struct buf *out, const struct wire_register *request);

/* Reads and checks. Returns NULL, or one sentence for the sender, which may be in `why`; *out then undefined.
 */
const char *wire_register_read(struct span body, struct wire_register *out, char why[JSON_WHY_SIZE]);

struct wire_registered {
    struct wire_identity from; /* the master, but for the id, which is the member's */
    uint64_t last_id;
    int64_t heartbeat_ms; /* within the limits below, whatever was told; 0: not told */
};

enum { WIRE_HEARTBEAT_LEAST_MS = 10, WIRE_HEARTBEAT_MOST_MS = 60000 };

void wire_registered_write(struct buf *out, const struct wire_registered *answer);

/* Reads and checks. Where it returns false, *out is undefined. */
bool wire_registered_read(struct span body, struct wire_registered *out);

/* Fields of each request of a master: whose it is, so that one without a body says it as well, and which
 * process of the secondary it is meant for. */
#define WIRE_LOG_FIELD "Log"
#define WIRE_EPOCH_FIELD "Epoch"
#define WIRE_MASTER_FIELD "Master" /* the master's boot */
#define WIRE_BOOT_FIELD "Boot"     /* the secondary's */
/* An id up to which the list of a master that is sure (see struct base) reaches: who has it holds all that
 * was acknowledged. */
#define WIRE_SURE_FIELD "Sure"

/* What a /replicate body begins with: the same in all requests of a master. */
void wire_replicate_begin(struct buf *out, const char *log, uint64_t epoch);

/* What follows that, up to the messages. `digest` is of the messages before `first`. */
void wire_replicate_first(struct buf *out, uint64_t first, uint64_t digest);

/* What comes behind the messages. */
#define WIRE_REPLICATE_END "]}"

struct wire_replicate {
    bool has_messages;
    bool expected; /* it begins as expected: `log` and `epoch` were not read */
    char log[WIRE_NAME_SIZE];
    uint64_t epoch; /* 0: not told */
    uint64_t first;
    struct wire_told digest; /* of the messages before `first` */
    uint64_t count;
    uint64_t longest; /* bytes of the longest message's value */
    struct span
        elements; /* canonical strings, one comma between two; borrowed from the body or from `rewritten` */
    struct buf lens;      /* a size_t for each: its length, quotes included */
    struct buf rewritten; /* where the body was not in canonical form */
};

/* As wire_register_read; *out must be freed after NULL only. `expected` is what wire_replicate_begin writes
 * for the master that is followed, or empty. */
const char *wire_replicate_read(struct span body, struct span expected, struct wire_replicate *out,
                                char why[JSON_WHY_SIZE]);
void wire_replicate_free(struct wire_replicate *request);

/* The lengths of the elements. */
static inline const size_t *wire_replicate_lens(const struct wire_replicate *request)
{
    return (const size_t *)(const void *)request->lens.data;
}

struct wire_ack {
    struct wire_identity from;
    struct wire_told last_id;
    struct wire_told digest;
    char error[WIRE_ERROR_SIZE]; /* "": none */
};

/* Writes what is the same in all answers of a secondary as long as its identity is: `,"id":…,"digest":"`. */
void wire_identity_write(struct buf *out, const struct wire_identity *from);

/* Writes `"last_id":18`, the identity as written by the function above, and the digest, up to the closing
 * brace. */
void wire_ack_write(struct buf *out, uint64_t last_id, struct span identity, uint64_t digest);

/* Whether the body is just what wire_ack_write writes with that identity, between braces; then *last_id and
 * *digest are filled. Spares the reading of what is the same in all answers. */
bool wire_ack_match(struct span body, struct span identity, uint64_t *last_id, uint64_t *digest);

/* Reads an answer, or any body with an "error". What is not there is zero. Returns false, and no error, where
 * it is no JSON object, or a member is not what it should be. */
bool wire_ack_read(struct span body, struct wire_ack *out);

/* What the program may use as a name: 1 to size - 1 bytes of visible ASCII but for quotes and backslashes. */
bool wire_name_valid(const char *name);

#endif
