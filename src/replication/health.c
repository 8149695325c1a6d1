#include "replication/health.h"
#include "json.h"
#include <inttypes.h>

/* {"id":…,"url":…,"state":…,"acked":…,"lag":…,"last_seen":…,"durable":true,"error":…}; "durable" and "error"
 * are there where there is something to say. */
static void member_row(void *ctx, const struct member_view *member)
{
    struct buf *out = ctx;
    member_view_write(member, out);
    buf_addf(out, ",\"state\":\"%s\",\"acked\":%" PRIu64 ",\"lag\":%" PRIu64 ",\"last_seen\":%.3f",
             member_state_names[member->state], member->position, member->lag,
             (double)member->silent_ms / 1000);
    if (member->target->durable)
        buf_add_text(out, ",\"durable\":true");
    if (member->complaint[0]) {
        buf_add_text(out, ",\"error\":");
        json_quote_sentence(member->complaint, out);
    }
    buf_add_char(out, '}');
}

static void master_write(const struct health *health, int64_t now_ms, struct buf *out)
{
    buf_addf(out, ",\"read_only\":%s,\"secondaries\":[", gate_read_only(health->gate) ? "true" : "false");
    members_each(health->members, now_ms * 1000, member_row, out);
    buf_add_text(out, "],\"refused\":");
    admission_write_refused(health->admission, now_ms, out);
}

static void secondary_write(const struct health *health, struct buf *out)
{
    bool registered = registrar_status(health->registrar) == REGISTRAR_OK;
    buf_add_text(out, ",\"master\":");
    json_quote(span_of(health->base->settings->master_url), out);
    buf_addf(out, ",\"registered\":%s", registered ? "true" : "false");
    if (registered)
        return;
    buf_add_text(out, ",\"reason\":");
    json_quote_sentence(registrar_reason(health->registrar), out);
}

static const char *const disk_names[] = {[STORE_OK] = "ok", [STORE_FULL] = "full", [STORE_FAILED] = "failed"};

static void data_write(const struct base *base, struct buf *out)
{
    int64_t fsync_ms = base->settings->fsync_ms;
    if (store_missing(base->store))
        buf_addf(out, ",\"missing\":%" PRIu64, store_missing(base->store));
    buf_add_text(out, ",\"data\":{\"fsync\":");
    if (fsync_ms > 0)
        buf_addf(out, "%.3f", (double)fsync_ms / 1000);
    else
        buf_add_text(out, fsync_ms == SETTINGS_FSYNC_OFF ? "\"off\"" : "\"always\"");
    buf_addf(out, ",\"durable\":%" PRIu64 ",\"disk\":\"%s\"}", store_durable(base->store),
             disk_names[store_disk(base->store)]);
}

static const char *status_name(const struct health *health)
{
    static const char *const names[] = {
        [REGISTRAR_OK] = "ok", [REGISTRAR_NO_MASTER] = "no_master", [REGISTRAR_REFUSED] = "refused"};
    if (health->members)
        return gate_read_only(health->gate) ? "read_only" : "ok";
    return names[registrar_status(health->registrar)];
}

void health_write(const struct health *health, int64_t now_ms, struct buf *out)
{
    const struct base *base = health->base;
    buf_addf(out, "{\"role\":\"%s\",\"version\":\"%s\",\"status\":\"%s\",\"log\":",
             health->members ? "master" : "secondary", SETTINGS_VERSION_NUMBER, status_name(health));
    if (base->own.log[0])
        json_quote(span_of(base->own.log), out);
    else
        buf_add_text(out, "null");
    buf_addf(out, ",\"last_id\":%" PRIu64,
             health->follow ? follow_shown(health->follow) : base_held(base).last);
    if (base->store)
        data_write(base, out);
    if (health->members)
        master_write(health, now_ms, out);
    else
        secondary_write(health, out);
    buf_add_char(out, '}');
}

/* ---- whether it can do its work */

/* Adds a check. Returns whether all is well with it. */
static bool check_write(struct buf *out, const char *name, bool well, const char *why)
{
    buf_addf(out, "%s\"%s\":", out->len ? "," : "", name);
    json_quote_sentence(well ? "ok" : why, out);
    return well;
}

static bool master_checks(const struct health *health, struct buf *out)
{
    bool open = check_write(out, "takeover", !admission_takes_over(health->admission),
                            "the list of a secondary is being taken over");
    return check_write(out, "nodes", health->base->sure,
                       "it has not met enough of the nodes that NODES tells of since its start") &&
           open;
}

static bool secondary_checks(const struct health *health, struct buf *out)
{
    bool registered = registrar_status(health->registrar) == REGISTRAR_OK;
    const char *why = registrar_reason(health->registrar);
    bool caught_up =
        check_write(out, "caught_up", follow_caught_up(health->follow),
                    registered ? "it does not show yet what the log held when it registered" : why);
    return check_write(out, "accepted", registrar_status(health->registrar) != REGISTRAR_REFUSED, why) &&
           caught_up;
}

static bool disk_checks(const struct store *store, struct buf *out)
{
    const char *refuses = store_refuses(store);
    bool well = check_write(out, "disk", !refuses, refuses);
    return check_write(out, "missing", !store_missing(store),
                       "messages that were on its disk are missing, and no other node has sent them yet") &&
           well;
}

bool health_write_ready(const struct health *health, struct buf *out)
{
    struct buf checks = {0};
    bool ready = health->members ? master_checks(health, &checks) : secondary_checks(health, &checks);
    if (health->base->store)
        ready = disk_checks(health->base->store, &checks) && ready;
    ready = check_write(&checks, "running", !health->stopping, "it is stopping") && ready;
    buf_addf(out, "{\"status\":\"%s\",\"checks\":{", ready ? "ready" : "unready");
    buf_add_span(out, buf_span(&checks));
    buf_add_text(out, "}}");
    out->failed = out->failed || checks.failed;
    buf_free(&checks);
    return ready;
}
