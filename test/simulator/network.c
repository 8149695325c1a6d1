#include "clock.h"
#include "conn.h"
#include "world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTICE_MOST_US = 50000 };

struct link_rule {
    int64_t least_us, most_us, stalled_until_us;
};

static struct {
    const struct network_rules *rules;
    struct link_rule links[HOSTS][HOSTS];
    struct proc *procs[HOSTS];
    struct conn *conns; /* those that are not over, and some that are */
    unsigned conn_count;
    unsigned duplicates, pieces;
    int64_t duplicate_most_us;
    int64_t latest_us; /* when the last message comes */
} network;

void network_begin(const struct network_rules *rules)
{
    memset(&network, 0, sizeof network);
    network.rules = rules;
}

void network_end(void)
{
    for (struct conn *conn = network.conns; conn; conn = conn->next)
        free(conn->client);
}

const struct network_rules *network_rules(void)
{
    return network.rules;
}

void network_delay(int from, int to, int64_t least_us, int64_t most_us)
{
    network.links[from][to].least_us = least_us;
    network.links[from][to].most_us = most_us;
}

void network_stall(int from, int to, int64_t until_us)
{
    network.links[from][to].stalled_until_us = until_us;
}

void network_duplicates(unsigned percent, int64_t most_us)
{
    network.duplicates = percent;
    network.duplicate_most_us = most_us;
}

void network_pieces(unsigned percent)
{
    network.pieces = percent;
}

bool network_piece_due(void)
{
    return random_percent(network.pieces);
}

const char *network_url(int host)
{
    char url[40];
    int len = snprintf(url, sizeof url, "http://10.0.0.%d:%d", host + 1, NETWORK_PORT);
    return world_copy(url, (size_t)len);
}

struct proc *network_proc(int host)
{
    return network.procs[host];
}

/* ---- processes */

static int64_t later_us(const struct proc *proc)
{
    int64_t now_us = world_now_us();
    return proc->due_us > now_us ? proc->due_us - now_us : 0;
}

static void pass_now(void *subject, void *object);

/* One timer is there at most; one that comes too early goes on. */
static void timer_set(struct proc *proc)
{
    if (proc->due_us == INT64_MAX || proc->timer_us <= proc->due_us)
        return;
    proc->timer_us = world_now_us() + later_us(proc);
    world_after(later_us(proc), pass_now, proc, proc);
}

static void proc_pass(struct proc *proc)
{
    world_speaker(proc->name);
    int64_t next_ms = proc->service.pass(proc->service.ctx, clock_ms());
    if (proc->looked)
        proc->looked(proc);
    int64_t now_us = world_now_us();
    proc->due_us = next_ms == CLOCK_NEVER ? INT64_MAX : next_ms * 1000;
    if (proc->due_us <= now_us)
        proc->due_us = now_us + 20;
    timer_set(proc);
}

/* `object`: it is the timer's. */
static void pass_now(void *subject, void *object)
{
    struct proc *proc = subject;
    bool timer = object != NULL;
    if (timer && proc->timer_us == world_now_us())
        proc->timer_us = INT64_MAX;
    if (!timer)
        proc->passes = false;
    if (!proc->alive || proc->frozen)
        return;
    if (timer && proc->due_us > world_now_us())
        timer_set(proc);
    else
        proc_pass(proc);
}

void proc_touch(struct proc *proc)
{
    if (!proc->serves || proc->passes || !proc->alive || proc->frozen)
        return;
    proc->passes = true;
    world_after(0, pass_now, proc, NULL);
}

static void delivery_run(struct proc *proc, void (*run)(void *subject, void *object), void *subject,
                         void *object)
{
    world_speaker(proc->name);
    run(subject, object);
    if (proc->looked && proc->alive)
        proc->looked(proc);
    proc_touch(proc);
    world_speaker("");
}

void proc_deliver(struct proc *proc, void (*run)(void *subject, void *object), void *subject, void *object)
{
    if (!proc->alive)
        return;
    if (!proc->frozen) {
        delivery_run(proc, run, subject, object);
        return;
    }
    struct delivery *delivery = world_alloc(sizeof *delivery);
    *delivery = (struct delivery){NULL, run, subject, object};
    *proc->end = delivery;
    proc->end = &delivery->next;
}

void proc_freeze(struct proc *proc)
{
    trace("%s is frozen", proc->name);
    proc->frozen = true;
}

/* What waited comes now; passes may come between. */
void proc_thaw(struct proc *proc)
{
    struct delivery *delivery = proc->first;
    if (!proc->frozen || !proc->alive)
        return;
    trace("%s goes on", proc->name);
    proc->frozen = false;
    proc->thawed_us = world_now_us();
    proc->first = NULL;
    proc->end = &proc->first;
    if (proc->serves && random_percent(30))
        proc_pass(proc);
    for (; delivery && proc->alive; delivery = delivery->next) {
        delivery_run(proc, delivery->run, delivery->subject, delivery->object);
        if (proc->serves && proc->alive && random_percent(20))
            proc_pass(proc);
    }
    proc_touch(proc);
}

void proc_start(struct proc *proc)
{
    proc->alive = true;
    proc->end = &proc->first;
    proc->due_us = proc->timer_us = INT64_MAX;
    if (!proc->serves)
        return;
    network.procs[proc->host] = proc;
    proc_touch(proc);
}

static void conn_die(struct conn *conn, const struct proc *proc, bool silent)
{
    bool near = conn->near == proc;
    if (!near)
        exchanges_orphan(conn);
    if (silent)
        conn->cut = true;
    else
        conn_send(conn, &(struct message){.kind = MESSAGE_CLOSED, .way = near ? CONN_THERE : CONN_BACK});
    conn->closed[!near] = true;
}

void proc_die(struct proc *proc, bool silent)
{
    proc->alive = false;
    proc->ends = true;
    if (network.procs[proc->host] == proc)
        network.procs[proc->host] = NULL;
    for (struct conn *conn = network.conns; conn; conn = conn->next)
        if (conn->near == proc || conn->far == proc)
            conn_die(conn, proc, silent);
}

/* ---- connections */

struct conn *conn_new(struct proc *near, int from, int to)
{
    struct conn *conn = world_alloc(sizeof *conn);
    *conn = (struct conn){
        .next = network.conns, .number = ++network.conn_count, .near = near, .from = from, .to = to};
    network.conns = conn;
    return conn;
}

static bool conn_over(const struct conn *conn)
{
    return conn->cut || conn->closed[0] || conn->closed[1];
}

static const char *host_name(int host)
{
    return network.procs[host] ? network.procs[host]->name : "nobody";
}

static void message_trace(const struct conn *conn, const struct message *message, int64_t at_us)
{
    static const char *const kinds[] = {"dials",   "accepts", "refuses", "begins", "more",
                                        "request", "interim", "answer",  "closes"};
    if (!world_verbose())
        return;
    const char *from = conn->near ? conn->near->name : host_name(conn->from);
    const char *to = conn->far ? conn->far->name : host_name(conn->to);
    bool there = message->way == CONN_THERE;
    const char *target = message->request ? message->request->target : message->target;
    trace("#%u %s %s %s: %s %s %d %.*s (comes in %.3f ms)", conn->number, from, there ? "->" : "<-", to,
          kinds[message->kind], target ? target : "", message->status,
          message->body.len > 300 ? 300 : (int)message->body.len, message->body.len ? message->body.at : "",
          (double)(at_us - world_now_us()) / 1000);
}

static void arrive(void *subject, void *object);

void conn_send(struct conn *conn, const struct message *message)
{
    int from = message->way == CONN_THERE ? conn->from : conn->to;
    int to = message->way == CONN_THERE ? conn->to : conn->from;
    const struct link_rule *rule = &network.links[from][to];
    if (conn->cut || conn->closed[message->way])
        return;
    int64_t at_us = world_now_us() + random_between(rule->least_us, rule->most_us);
    if (at_us < rule->stalled_until_us)
        at_us = rule->stalled_until_us;
    if (at_us <= conn->last_us[message->way])
        at_us = conn->last_us[message->way] + 1;
    conn->last_us[message->way] = at_us;
    if (at_us > network.latest_us)
        network.latest_us = at_us;
    message_trace(conn, message, at_us);
    if (conn->holds)
        return;
    struct message *copy = world_alloc(sizeof *copy);
    *copy = *message;
    world_after(at_us - world_now_us(), arrive, conn, copy);
}

static void message_take(void *subject, void *object)
{
    struct conn *conn = subject;
    const struct message *message = object;
    if (conn->cut)
        return;
    switch (message->kind) {
    case MESSAGE_BEGIN:
        exchange_begin(conn, message);
        break;
    case MESSAGE_MORE:
        exchange_more(conn);
        break;
    case MESSAGE_REQUEST:
        exchange_take(conn, message);
        break;
    case MESSAGE_CLOSED:
        if (message->way == CONN_THERE)
            exchanges_gone(conn);
        else
            client_take(conn, message);
        break;
    default:
        client_take(conn, message);
        break;
    }
}

/* The kernel of a host answers by itself, whether the process is frozen or not. */
static void dial_arrives(struct conn *conn)
{
    conn->far = network.procs[conn->to];
    enum message_kind kind = conn->far ? MESSAGE_ACCEPTED : MESSAGE_REFUSED;
    conn_send(conn, &(struct message){.kind = kind, .way = CONN_BACK});
}

/* Nobody is there any more who could take it. */
static void message_bounces(struct conn *conn, const struct message *message)
{
    if (message->way == CONN_THERE && message->kind == MESSAGE_REQUEST && !conn->closed[CONN_BACK])
        conn_send(conn, &(struct message){.kind = MESSAGE_CLOSED, .way = CONN_BACK});
}

static void arrive(void *subject, void *object)
{
    struct conn *conn = subject;
    struct message *message = object;
    struct proc *to = message->way == CONN_THERE ? conn->far : conn->near;
    if (conn->cut)
        return;
    if (message->kind == MESSAGE_DIAL)
        dial_arrives(conn);
    else if (to && to->alive)
        proc_deliver(to, message_take, conn, message);
    else
        message_bounces(conn, message);
}

/* ---- what happens to connections */

static void near_notices(void *subject, void *object)
{
    struct conn *conn = subject;
    client_lost(conn, object != NULL);
}

static void far_notices(void *subject, void *object)
{
    (void)object;
    exchanges_gone(subject);
}

static void notice_later(void *subject, void *object)
{
    struct conn *conn = subject;
    if (object)
        proc_deliver(conn->near, near_notices, conn, random_percent(50) ? conn : NULL);
    else
        proc_deliver(conn->far, far_notices, conn, NULL);
}

/* What is under way is lost. Each side notices soon, or never. */
static void conn_cut(struct conn *conn)
{
    trace("#%u is cut", conn->number);
    conn->cut = true;
    if (conn->near && random_percent(80))
        world_after(random_between(0, NOTICE_MOST_US), notice_later, conn, conn);
    if (conn->far && random_percent(80))
        world_after(random_between(0, NOTICE_MOST_US), notice_later, conn, NULL);
}

static struct conn *conn_any(void)
{
    struct conn *chosen = NULL;
    unsigned count = 0;
    for (struct conn *conn = network.conns; conn; conn = conn->next)
        if (!conn_over(conn) && !conn->holds && random_below(++count) == 0)
            chosen = conn;
    return chosen;
}

void network_cut_any(void)
{
    struct conn *conn = conn_any();
    if (conn)
        conn_cut(conn);
}

void network_hold_any(void)
{
    struct conn *conn = conn_any();
    if (!conn)
        return;
    trace("#%u holds all from now on", conn->number);
    conn->holds = true;
}

void network_cut_between(int a, int b)
{
    for (struct conn *conn = network.conns; conn; conn = conn->next)
        if (!conn_over(conn) && ((conn->from == a && conn->to == b) || (conn->from == b && conn->to == a)))
            conn_cut(conn);
}

int64_t network_mend(void)
{
    network.duplicates = network.pieces = 0;
    for (int from = 0; from < HOSTS; from++)
        for (int to = 0; to < HOSTS; to++)
            network.links[from][to] = (struct link_rule){200, 1000, 0};
    for (struct conn *conn = network.conns; conn; conn = conn->next)
        if (!conn_over(conn) && conn->holds)
            conn_cut(conn);
    return network.latest_us;
}

/* ---- requests that come twice */

bool network_duplicate_due(const struct message *message)
{
    return strcmp(message->target, "/messages") != 0 && random_percent(network.duplicates);
}

static void duplicate_take(void *subject, void *object)
{
    struct conn *conn = subject;
    conn->far = network.procs[conn->to];
    if (!conn->far || !network.duplicates)
        return;
    trace("#%u: a copy of %s comes to %s", conn->number, ((struct message *)object)->target, conn->far->name);
    proc_deliver(conn->far, message_take, conn, object);
}

void network_duplicate(struct conn *conn, const struct message *message)
{
    struct conn *other = conn_new(NULL, conn->from, conn->to);
    struct message *copy = world_alloc(sizeof *copy);
    *copy = *message;
    world_after(random_between(0, network.duplicate_most_us), duplicate_take, other, copy);
}
