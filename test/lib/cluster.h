/* The words in which the tests of whole clusters are written, over nodes and HTTP. */
#ifndef TEST_CLUSTER_H
#define TEST_CLUSTER_H

#include "eventually.h"
#include "fake.h"
#include "http.h"
#include "node.h"
#include "relay.h"

#include <criterion/criterion.h>
#include <criterion/options.h>

/* A test whose nodes must all end well when its script has run through, and which prints their log lines when
 * it has not. */
#define SCENARIO(suite, name)                                                                                \
    static void name(void);                                                                                  \
    Test(suite, name, .timeout = 120, .fini = scenario_end)                                                  \
    {                                                                                                        \
        stalls_watch();                                                                                      \
        name();                                                                                              \
        nodes_stop();                                                                                        \
        scenario_passed();                                                                                   \
    }                                                                                                        \
    static void name(void)

/* Scenarios mostly wait: more of them run at once than there are processors. */
__attribute__((constructor)) static void scenarios_at_once(void)
{
    criterion_options.jobs = 4;
}

void scenario_passed(void);
void scenario_end(void);

/* Starts a secondary under a name and waits until it is a member that counts and holds all. */
struct node *member_start(const struct node *master, const char *id, const char *words, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, with a relay on the way from the master to it, over which they have spoken already. */
struct node *member_behind(const struct node *master, const char *id, struct relay **relay);
/* The same, and its registrations pass another one. */
struct node *member_between(const struct node *master, const char *id, struct relay **to_master,
                            struct relay **relay);
/* Waits until it is a member that counts and holds all. */
void expect_member(const struct node *master, const char *id);

/* POST of a text as it is, to /messages with the query ("" or "?w=2"). */
struct reply post(const struct node *master, const char *query, const char *message);

/* The same, waiting for the answer in the background. */
struct call *post_begin(const struct node *master, const char *query, const char *message);

/* What a POST must end as: the status, and for 201 and 202 the whole body, 202 because its time was over. */
void expect_status(struct reply reply, int status);
void expect_stored(struct reply reply, int status, long long id, int w, int acks);

/* 202 because the master ends. */
void expect_stored_at_end(struct reply reply, long long id, int w, int acks);

/* A busy machine may take seconds for what takes milliseconds on a quiet one. So what is to happen at once is
 * given this long, and the test lets what must not be waited for take far longer, or for ever. */
enum { AT_ONCE_MS = 10000 };

/* That it waited for nobody. */
void expect_at_once(struct reply reply);

/* That it took so long, and then waited for nobody. Clocks that count whole milliseconds may differ by one.
 */
void expect_took(struct reply reply, int ms);

/* That a node ended with code 0, and in the time of the contract: two seconds, which a busy machine and the
 * sanitizers' last work make longer. */
void expect_end(struct ending ending);

/* That just so many of the node's log lines hold the text. They may come a little later than what they tell.
 */
void expect_logged(const struct node *node, const char *text, int lines);

/* Whether the node's list is just this: words parted by spaces, "" for none. */
bool shows(const struct node *node, const char *words);

/* The same for a count: m1, m2, … up to that number. */
bool shows_numbered(const struct node *node, int count);

/* Posts m1, m2, … from number `from` to `to` over one connection, pipelined; all must be answered 201. */
void post_numbered(const struct node *master, const char *query, int from, int to);

/* Whether the node's list is a prefix of m1, m2, …, and how long it is: -1 where it is none. */
int numbered_prefix(const struct node *node);

/* Whether its list is loaded: a node with a disk listens before that. */
bool serves(const struct node *node);

/* From /health. */
long long last_id(const struct node *node);
bool registered(const struct node *secondary);
int members(const struct node *master); /* registered */
bool member_is(const struct node *master, const char *id, const char *state);
long long member_number(const struct node *master, const char *id,
                        const char *name); /* "acked", "lag"; or -1 */
char *log_name(const struct node *node);

/* Its members that count for w, all, majority and the quorum: they have proven themselves to this process of
 * the master. Its log lines tell. */
int members_met(const struct node *master);

/* Whether all of the nodes' lists are the same bytes, up to a NULL. */
bool equal_lists(const struct node *first, ...) __attribute__((sentinel));

/* DELETE /secondaries/ID: the status. */
int remove_member(const struct node *master, const char *id);

/* ---- by hand */

/* POST /register of this JSON text. */
struct reply register_by_hand(const struct node *master, const char *json, ...)
    __attribute__((format(printf, 2, 3)));

/* POST /replicate of this JSON text. */
struct reply replicate_by_hand(const struct node *secondary, const char *json, ...)
    __attribute__((format(printf, 2, 3)));

/* What a node answers to POST /replicate with an empty body: a member of that, "boot" or "id"; NULL for null.
 */
const char *node_says(const struct node *secondary, const char *name);

/* The digest of the node's list, 16 hexadecimal digits; from the entity tag of the list. */
const char *list_digest(const struct node *node);

/* The members of a registration that claims the list of a master that was never restarted:
 * "log":…,"epoch":1,"last_id":…,"digest":… */
const char *list_claim(const struct node *master);

/* The boot of no process. */
#define NO_BOOT "0123456789abcdef0123456789abcdef"

#endif
