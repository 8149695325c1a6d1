/* The JSON bodies that master and secondary send each other, written and read. No I/O; any thread.
 *
 *     POST /register   {"id":"s1","port":5001,"log":"…","last_id":7,"stored":8,"digest":"…","run":"…"}
 *                  200 {"log":"…","last_id":9,"id":"s1","run":"…","heartbeat":1.000}
 *     POST /replicate  {"log":"…","run":"…","first":17,"digest":"…","messages":["a","b"]}
 *                  200 {"last_id":18}      also with 409, beside "error"
 *
 * `run` names one run of a program, from its start to its end. With the master's a secondary tells requests
 * of its master's earlier run, still on their way somewhere, from those of the present one. With its own,
 * which the master sends back on each new connection, it tells whether the master has reached the program
 * that registered, and not one that has got its address since. `digest` is a
 * log_digest: with it each side sees that the two lists are the same so far, and not merely as long. A
 * registration tells it of all that the secondary holds (`stored`), the first request on a connection of what
 * comes before `first`. All of them are left out by a person with curl, and not asked for then. */
#ifndef REPLICATION_WIRE_H
#define REPLICATION_WIRE_H

#include "buf.h"

enum {
    WIRE_NAME_SIZE = 72, /* a log's or run's name, its terminator included */
    WIRE_ID_SIZE = 256,  /* a member's id */
    WIRE_URL_SIZE = 300
};

/* Makes up a name that no other will have: 32 hexadecimal digits. */
void wire_name_new(char out[WIRE_NAME_SIZE]);

struct wire_register {
    char id[WIRE_ID_SIZE];   /* "": as its host:port */
    char url[WIRE_URL_SIZE]; /* "": the caller's address and `port` */
    uint16_t port;
    char log[WIRE_NAME_SIZE]; /* "": none yet */
    uint64_t last_id;         /* up to where the messages show */
    uint64_t stored;          /* up to where they are there, shown or not yet; last_id where it is left out */
    bool has_digest;
    uint64_t digest;          /* of the messages up to `stored` */
    char run[WIRE_NAME_SIZE]; /* of the secondary; "": not told */
};

void wire_register_write(struct buf *out, const struct wire_register *request);

/* Reads and checks. Returns NULL, or one sentence for the sender, *out then undefined. */
const char *wire_register_read(struct span body, struct wire_register *out);

struct wire_registered {
    char log[WIRE_NAME_SIZE];
    uint64_t last_id;
    char id[WIRE_ID_SIZE];
    char run[WIRE_NAME_SIZE];
    int64_t heartbeat_ms; /* 0: not told */
};

void wire_registered_write(struct buf *out, const struct wire_registered *answer);
const char *wire_registered_read(struct span body, struct wire_registered *out);

/* What comes before the messages in a /replicate body; what comes behind them is WIRE_REPLICATE_END. `digest`
 * is of the messages before `first`, or NULL: not told. */
void wire_replicate_begin(struct buf *out, const char *log, const char *run, uint64_t first,
                          const uint64_t *digest);
#define WIRE_REPLICATE_END "]}"

/* The field of a master's requests that names its run, for those without a body. */
#define WIRE_RUN_FIELD "Master-Run"

/* The field of the first request on a connection that names the run of the secondary that it is for, where
 * that told it. */
#define WIRE_SECONDARY_RUN_FIELD "Secondary-Run"

struct wire_replicate {
    char log[WIRE_NAME_SIZE];
    char run[WIRE_NAME_SIZE]; /* "": not told */
    uint64_t first;
    bool has_digest;
    uint64_t digest; /* of the messages before `first` */
    uint64_t count;
    uint64_t longest; /* bytes of the longest message's value */
    struct span
        elements; /* canonical strings, one comma between two; borrowed from the body or from `rewritten` */
    struct buf lens;      /* a size_t for each: its length, quotes included */
    struct buf rewritten; /* where the body was not in canonical form */
};

/* As above; *out must be freed after NULL only. */
const char *wire_replicate_read(struct span body, struct wire_replicate *out);
void wire_replicate_free(struct wire_replicate *request);

/* The lengths of the elements. */
static inline const size_t *wire_replicate_lens(const struct wire_replicate *request)
{
    return (const size_t *)(const void *)request->lens.data;
}

/* {"last_id":18} */
void wire_position_write(struct buf *out, uint64_t last_id);

/* Takes last_id out of an answer, whatever else it holds; where it has an "error", that too, cut to fit.
 * Returns whether last_id is there. */
bool wire_position_read(struct span body, uint64_t *last_id, char *error, size_t error_size);

/* What the program may use as a name: 1 to size - 1 bytes of visible ASCII but for quotes and backslashes. */
bool wire_name_valid(const char *name);

#endif
