#include "replication/pending.h"
#include "clock.h"
#include "json.h"
#include "replication/post.h"
#include "replication/reads.h"
#include <inttypes.h>
#include <stdlib.h>

struct row {
    const struct post *post;
    size_t place; /* in which acks_each told them: those at the gate stand in order of arrival */
};

struct pending {
    const struct base *base;
    const struct append *append;
    struct buf rows;    /* of struct row */
    struct buf members; /* of struct member_view */
    unsigned counting;  /* nodes that count for CONCERN_ALL */
    int64_t now_us;
};

/* ---- what is there */

static void row_add(void *ctx, struct acks_waiter *waiter)
{
    struct pending *pending = ctx;
    const struct row row = {(const struct post *)waiter, pending->rows.len / sizeof row};
    if (waiter->owner == pending->append)
        buf_add(&pending->rows, &row, sizeof row);
}

static void member_add(void *ctx, const struct member_view *member)
{
    struct pending *pending = ctx;
    buf_add(&pending->members, member, sizeof *member);
    pending->counting += member->counts;
}

static int older_first(const void *one, const void *other)
{
    const struct row *a = one, *b = other;
    if (a->post->began_us != b->post->began_us)
        return a->post->began_us < b->post->began_us ? -1 : 1;
    if (a->post->waiter.id != b->post->waiter.id)
        return a->post->waiter.id < b->post->waiter.id ? -1 : 1;
    return a->place < b->place ? -1 : 1;
}

static size_t rows_gather(struct pending *pending, const struct members *members)
{
    acks_each(pending->base->acks, row_add, pending);
    members_each(members, pending->now_us, member_add, pending);
    size_t count = pending->rows.len / sizeof(struct row);
    if (count)
        qsort(pending->rows.data, count, sizeof(struct row), older_first);
    return count;
}

/* ---- writing */

/* One that does not count for CONCERN_ALL is waited for where NODES tells of more nodes than count. */
bool pending_waits_for(const struct acks_waiter *waiter, unsigned need, const struct member_view *member,
                       unsigned counting)
{
    if (member->position >= waiter->id) /* at the gate its id is 0 */
        return false;
    return waiter->w != CONCERN_ALL || member->counts || need > counting;
}

static void waits_for_write(const struct pending *pending, const struct post *post, struct acks_count count,
                            struct buf *out)
{
    const struct member_view *members = (const struct member_view *)(const void *)pending->members.data;
    bool first = true;
    buf_add_char(out, '[');
    if (post->waiter.id > base_held(pending->base).last) { /* its own disk is not that far */
        buf_add_text(out, "\"master\"");
        first = false;
    }
    for (size_t i = 0; i < pending->members.len / sizeof *members; i++) {
        if (!pending_waits_for(&post->waiter, count.need, &members[i], pending->counting))
            continue;
        if (!first)
            buf_add_char(out, ',');
        json_quote(span_of(members[i].id), out);
        first = false;
    }
    buf_add_char(out, ']');
}

static void id_write(uint64_t id, struct buf *out)
{
    if (id)
        buf_add_uint(out, id);
    else
        buf_add_text(out, "null");
}

/* What is left until then, in seconds. */
static void timeout_write(int64_t deadline_ms, int64_t now_ms, struct buf *out)
{
    if (deadline_ms == CLOCK_NEVER)
        buf_add_text(out, "null");
    else
        buf_addf(out, "%.3f", deadline_ms > now_ms ? (double)(deadline_ms - now_ms) / 1000 : 0.0);
}

static void row_write(const struct pending *pending, const struct post *post, struct buf *out)
{
    const struct acks_waiter *waiter = &post->waiter;
    struct acks_count count = acks_count(pending->base->acks, waiter->id, waiter->w);
    buf_add_text(out, "{\"id\":");
    id_write(waiter->id, out);
    buf_addf(out, ",\"w\":%u,\"acks\":%u,\"age\":%.3f,\"timeout\":", count.need, count.have,
             (double)(pending->now_us - post->began_us) / 1e6);
    timeout_write(waiter->deadline_ms, pending->now_us / 1000, out);
    buf_add_text(out, ",\"waits_for\":");
    waits_for_write(pending, post, count, out);
    buf_add_text(out, ",\"client\":");
    json_quote_sentence(http_exchange_peer(post->exchange), out);
    buf_add_char(out, '}');
}

void pending_answer(const struct base *base, const struct members *members, const struct append *append,
                    const struct http_request *request, struct http_exchange *exchange)
{
    struct pending pending = {.base = base, .append = append, .counting = 1, .now_us = clock_us()};
    struct buf out = {0};
    uint64_t limit = PENDING_ROWS;
    if (!reads_number(request, "limit", 0, &limit, exchange))
        return;
    size_t count = rows_gather(&pending, members);
    const struct row *rows = (const struct row *)(const void *)pending.rows.data;
    buf_addf(&out, "{\"count\":%zu,\"pending\":[", count);
    for (size_t i = 0; i < count && i < limit && out.len < PENDING_BYTES_MAX && !out.failed; i++) {
        if (i > 0)
            buf_add_char(&out, ',');
        row_write(&pending, rows[i].post, &out);
    }
    buf_add_text(&out, "]}");
    out.failed = out.failed || pending.rows.failed || pending.members.failed;
    buf_free(&pending.rows);
    buf_free(&pending.members);
    http_answer_json(exchange, 200, HTTP_NO_STORE, &out);
}
