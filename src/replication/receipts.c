#include "replication/receipts.h"
#include "clock.h"
#include "container.h"
#include "json.h"
#include "replication/members.h"
#include <inttypes.h>
#include <stdlib.h>

/* When a member came to hold the message. */
struct note {
    uint64_t member;
    int64_t at_us;
};

struct receipt {
    struct queue_node by_id;
    bool awaits;
    bool incomplete;  /* there was no memory for a note */
    int64_t began_us; /* the request */
    int64_t held_us;  /* since when those have held the message who did at first */
    struct buf notes;
};

struct receipt *receipt_new(void)
{
    struct receipt *receipt = calloc(1, sizeof *receipt);
    if (receipt)
        receipt->began_us = clock_us();
    return receipt;
}

void receipt_await(struct receipts *receipts, struct receipt *receipt, uint64_t id, bool was_there)
{
    receipt->awaits = true;
    receipt->held_us = was_there ? receipt->began_us : clock_us();
    queue_add(&receipts->by_id, &receipt->by_id, id);
}

void receipt_free(struct receipts *receipts, struct receipt *receipt)
{
    if (receipt->awaits)
        queue_remove(&receipts->by_id, &receipt->by_id);
    buf_free(&receipt->notes);
    free(receipt);
}

/* ---- notes */

static struct note *note_find(const struct receipt *receipt, uint64_t member)
{
    struct note *notes = (struct note *)(void *)receipt->notes.data;
    for (size_t i = 0; i < receipt->notes.len / sizeof *notes; i++)
        if (notes[i].member == member)
            return &notes[i];
    return NULL;
}

/* A member that had lost the message, and holds it again, has the later time. */
static void note_put(struct receipt *receipt, uint64_t member, int64_t at_us)
{
    const struct note note = {member, at_us};
    struct note *known = note_find(receipt, member);
    if (known)
        *known = note;
    else
        buf_add(&receipt->notes, &note, sizeof note);
    if (receipt->notes.failed) {
        receipt->incomplete = true;
        receipt->notes.failed = false;
    }
}

void receipts_ack(struct receipts *receipts, uint64_t member, uint64_t known, uint64_t position)
{
    struct queue_node *node = queue_from(&receipts->by_id, known + 1);
    int64_t now_us = clock_us();
    for (; node && node->key <= position; node = queue_next(node))
        note_put(CONTAINER_OF(node, struct receipt, by_id), member, now_us);
}

/* ---- writing */

struct writing {
    const struct receipt *receipt;
    uint64_t id;
    struct buf *out;
};

static void time_write(const struct receipt *receipt, int64_t at_us, struct buf *out)
{
    int64_t tenths = (at_us - receipt->began_us + 50) / 100; /* of a millisecond */
    buf_addf(out, "%" PRId64 ".%d}", tenths / 10, (int)(tenths % 10));
}

/* A node that holds the list up to `position`. */
static void node_write(const struct writing *writing, const char *id, uint64_t number, uint64_t position)
{
    const struct receipt *receipt = writing->receipt;
    const struct note *note = note_find(receipt, number);
    buf_add_text(writing->out, "{\"id\":");
    json_quote(span_of(id), writing->out);
    buf_add_text(writing->out, ",\"ms\":");
    if (position < writing->id)
        buf_add_text(writing->out, "null}");
    else if (note)
        time_write(receipt, note->at_us, writing->out);
    else /* it was there at first; or, without a note for want of memory, it is there by now */
        time_write(receipt, receipt->incomplete ? clock_us() : receipt->held_us, writing->out);
}

static void member_write(void *ctx, const struct member_view *member)
{
    const struct writing *writing = ctx;
    buf_add_char(writing->out, ',');
    node_write(writing, member->id, member->number, member->position);
}

void receipt_write(const struct receipt *receipt, const struct members *members, uint64_t held, uint64_t id,
                   struct buf *out)
{
    struct writing writing = {receipt, id, out};
    buf_add_char(out, '[');
    node_write(&writing, "master", RECEIPTS_MASTER, held);
    members_each(members, clock_us(), member_write, &writing);
    buf_add_char(out, ']');
}
