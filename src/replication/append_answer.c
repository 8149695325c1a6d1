#include "replication/append_answer.h"
#include "format.h"
#include "replication/receipts.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* What the answer says of a wait that ended like this. */
static const char *outcome_text(enum acks_outcome outcome)
{
    switch (outcome) {
    case ACKS_LATE:
        return ",\"error\":\"the time is over before enough nodes hold the message; it is in the log and "
               "is still being replicated\"";
    case ACKS_STRANDED:
        return ",\"error\":\"the master's own disk has failed before enough nodes hold the message; it is "
               "still "
               "being replicated\"";
    case ACKS_ENDED:
        return ",\"error\":\"the master is shutting down before enough nodes hold the message\"";
    case ACKS_REACHED:
    case ACKS_ADMITTED:
        break;
    }
    return "";
}

const char *append_fields(const struct post *post, const struct base *base, char out[APPEND_FIELDS_SIZE])
{
    static const char field[] = "Location: /messages/";
    char location[96];
    if (post->is_get) {
        snprintf(location, sizeof location, "%s%" PRIu64 "\r\n" READS_NO_CACHE, field, post->waiter.id);
        reads_fields(base, base_held(base).last, location, out);
        return out;
    }
    if (post->messages.is_list) {
        snprintf(out, APPEND_FIELDS_SIZE, "Location: /messages?from=%" PRIu64 "&limit=%" PRIu64 "\r\n",
                 post_first(post), post->messages.count);
        return out;
    }
    char *at = out + APPEND_FIELDS_SIZE - sizeof "\r\n";
    memcpy(at, "\r\n", sizeof "\r\n");
    at = format_uint(at, post->waiter.id);
    return memcpy(at - strlen(field), field, strlen(field));
}

static void receipt_add(struct buf *out, const struct post *post, const struct base *base,
                        const struct members *members)
{
    size_t before = out->len;
    buf_add_text(out, ",\"nodes\":");
    receipt_write(post->receipt, members, base_held(base).last, post->waiter.id, out);
    if (!out->failed)
        return;
    buf_clear(out);
    out->len = before;
}

void append_answer_write(struct buf *out, const struct post *post, const struct base *base,
                         const struct members *members)
{
    const struct acks_waiter *waiter = &post->waiter;
    buf_add_text(out, "{\"id\":");
    buf_add_uint(out, waiter->id);
    if (post->messages.is_list) {
        buf_add_text(out, ",\"first_id\":");
        buf_add_uint(out, post_first(post));
        buf_add_text(out, ",\"count\":");
        buf_add_uint(out, post->messages.count);
    }
    buf_add_text(out, ",\"w\":");
    buf_add_uint(out, waiter->count.need);
    buf_add_text(out, ",\"acks\":");
    buf_add_uint(out, waiter->count.have);
    buf_add_text(out, outcome_text(waiter->outcome));
    if (post->receipt)
        receipt_add(out, post, base, members);
    buf_add_text(out, "}\n");
    assert(!out->failed);
}
