#include "replication/report.h"
#include "clock.h"
#include "json.h"
#include <inttypes.h>

/* The members that both roles have, up to `last_id`. */
static void report_begin(struct buf *out, const char *role, const char *status,
                         const struct wire_identity *own, uint64_t last_id)
{
    buf_addf(out, "{\"role\":\"%s\",\"status\":\"%s\",\"log\":", role, status);
    if (own->log[0])
        json_quote(span_of(own->log), out);
    else
        buf_add_text(out, "null");
    buf_addf(out, ",\"last_id\":%" PRIu64, last_id);
}

void report_master(struct buf *out, const struct wire_identity *own, uint64_t last_id, bool read_only,
                   const struct members *members)
{
    report_begin(out, "master", read_only ? "read_only" : "ok", own, last_id);
    buf_addf(out, ",\"read_only\":%s,\"secondaries\":", read_only ? "true" : "false");
    members_write(members, clock_ms(), out);
    buf_add_char(out, '}');
}

void report_secondary(struct buf *out, const struct wire_identity *own, uint64_t last_id,
                      const char *master_url, bool registered)
{
    report_begin(out, "secondary", "ok", own, last_id);
    buf_add_text(out, ",\"master\":");
    json_quote(span_of(master_url), out);
    buf_addf(out, ",\"registered\":%s}", registered ? "true" : "false");
}
