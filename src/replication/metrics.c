#include "replication/metrics.h"
#include "exposition.h"
#include "logline.h"
#include "usage.h"

static const struct span no_labels;

/* ---- families of one sample, and of one for each value of a label */

static void gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    exposition_family(out, name, "gauge", help);
    exposition_count(out, name, no_labels, value);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    exposition_family(out, name, "counter", help);
    exposition_count(out, name, no_labels, value);
}

static void seconds(struct buf *out, const char *name, const char *type, const char *help, int64_t us)
{
    exposition_family(out, name, type, help);
    exposition_seconds(out, name, no_labels, us);
}

static void histogram(struct buf *out, const char *name, const char *help, const struct histogram *values)
{
    exposition_family(out, name, "histogram", help);
    exposition_histogram(out, name, no_labels, values);
}

static void labelled(struct buf *out, const char *name, const char *label, const char *const *values,
                     const uint64_t *counts, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct buf labels = {0};
        exposition_label(&labels, label, values[i]);
        exposition_count(out, name, buf_span(&labels), counts[i]);
        out->failed = out->failed || labels.failed;
        buf_free(&labels);
    }
}

/* ---- the process, and the node */

static void process_write(const struct metrics *metrics, struct buf *out)
{
    struct usage usage = usage_now();
    seconds(out, "process_cpu_seconds_total", "counter", "Processor time of all threads.", usage.cpu_us);
    gauge(out, "process_virtual_memory_bytes", "Size of the address space.", usage.virtual_bytes);
    gauge(out, "process_resident_memory_bytes", "Memory in use.", usage.resident_bytes);
    gauge(out, "process_open_fds", "Open descriptors.", usage.open_fds);
    gauge(out, "process_max_fds", "Descriptors that may be open.", usage.max_fds);
    seconds(out, "process_start_time_seconds", "gauge", "When the process was started, since 1970.",
            metrics->started_us);
}

static void build_write(const struct metrics *metrics, struct buf *out)
{
    static const char name[] = "rlog_build_info";
    struct buf labels = {0};
    exposition_label(&labels, "version", SETTINGS_VERSION_NUMBER);
    exposition_label(&labels, "role", metrics->health->members ? "master" : "secondary");
    exposition_family(out, name, "gauge", "1; the labels tell what runs here.");
    exposition_count(out, name, buf_span(&labels), 1);
    out->failed = out->failed || labels.failed;
    buf_free(&labels);
}

static void list_write(const struct metrics *metrics, struct buf *out)
{
    const struct base *base = metrics->health->base;
    const struct follow *follow = metrics->health->follow;
    gauge(out, "rlog_last_id", "Id of the last message that this node shows.",
          follow ? follow_shown(follow) : base_held(base).last);
    gauge(out, "rlog_epoch", "Epoch of the list; 0 while a secondary knows none.", base->own.epoch);
    gauge(out, "rlog_list_bytes", "Bytes of the list, as MAX_LOG counts them.", log_bytes(base->log));
    gauge(out, "rlog_list_limit_bytes", "MAX_LOG.", (uint64_t)base->settings->max_log);
}

static void data_write(const struct store *store, struct buf *out)
{
    gauge(out, "rlog_durable_id", "Id of the last message that is on disk for sure.", store_durable(store));
    gauge(out, "rlog_missing_id", "Highest id that was on disk once and is missing; 0: none is.",
          store_missing(store));
    gauge(out, "rlog_disk_state", "0 ok, 1 full, 2 failed.", store_disk(store));
    histogram(out, "rlog_disk_sync_seconds", "Time to write a group of messages to disk and sync it.",
              &store_counters(store)->syncs);
}

/* ---- the server */

static void answers_of_row(struct buf *out, const char *method, const char *path,
                           const uint64_t answers[HTTP_STATUSES_MAX])
{
    for (unsigned status = 0; status < HTTP_STATUSES_MAX; status++) {
        struct buf labels = {0};
        char code[4] = {0};
        if (!answers[status])
            continue;
        code[0] = (char)('0' + status / 100);
        code[1] = (char)('0' + status / 10 % 10);
        code[2] = (char)('0' + status % 10);
        exposition_label(&labels, "method", method);
        exposition_label(&labels, "path", path);
        exposition_label(&labels, "code", code);
        exposition_count(out, "rlog_http_responses_total", buf_span(&labels), answers[status]);
        out->failed = out->failed || labels.failed;
        buf_free(&labels);
    }
}

static void answers_write(const struct metrics *metrics, struct buf *out)
{
    const struct http_counters *http = metrics->http;
    exposition_family(out, "rlog_http_responses_total", "counter",
                      "Answers by the call and the status; method and path are \"other\" where no call takes "
                      "the request.");
    answers_of_row(out, "other", "other", http->answers[0]);
    for (unsigned i = 0; i < HTTP_ROUTES_MAX && http->routes[i].method; i++)
        answers_of_row(out, http->routes[i].method, http->routes[i].path, http->answers[i + 1]);
}

static void refusals_write(const struct metrics *metrics, struct buf *out)
{
    static const char name[] = "rlog_refusals_total";
    static const char *const http[HTTP_REFUSALS] = {[HTTP_REFUSED_HOST] = "host",
                                                    [HTTP_REFUSED_SITE] = "site",
                                                    [HTTP_REFUSED_TOKEN] = "token",
                                                    [HTTP_REFUSED_TYPE] = "type",
                                                    [HTTP_REFUSED_CLOSED] = "loading",
                                                    [HTTP_REFUSED_REQUEST] = "request",
                                                    [HTTP_REFUSED_LATE] = "late",
                                                    [HTTP_REFUSED_MEMORY] = "memory",
                                                    [HTTP_REFUSED_CONNECTIONS] = "connections"};
    static const char *const append[APPEND_REFUSALS] = {[APPEND_REFUSED_READ_ONLY] = "read_only",
                                                        [APPEND_REFUSED_FULL] = "list_full",
                                                        [APPEND_REFUSED_WAITING] = "too_many_waiting",
                                                        [APPEND_REFUSED_HELD] = "held_too_long",
                                                        [APPEND_REFUSED_DISK] = "disk",
                                                        [APPEND_REFUSED_MEMORY] = "append_memory"};
    exposition_family(out, name, "counter", "Requests and connections that were refused, by the reason.");
    labelled(out, name, "reason", http, metrics->http->refused, HTTP_REFUSALS);
    if (metrics->append)
        labelled(out, name, "reason", append, append_counters(metrics->append)->refused, APPEND_REFUSALS);
}

static void server_write(const struct metrics *metrics, struct buf *out)
{
    const struct http_counters *http = metrics->http;
    gauge(out, "rlog_http_open_connections", "Connections that clients and nodes have open.", http->open);
    gauge(out, "rlog_http_open_connections_limit", "MAX_CONNECTIONS.",
          (uint64_t)metrics->health->base->settings->max_connections);
    counter(out, "rlog_http_connections_total", "Connections that were accepted.", http->connections);
    answers_write(metrics, out);
    refusals_write(metrics, out);
    gauge(out, "rlog_followers", "Streams that are open, and reads that wait for a message.",
          metrics->followers);
    counter(out, "rlog_log_lines_lost_total",
            "Log lines that were lost because their reader does not keep up.", logline_lost());
    histogram(out, "rlog_pass_seconds", "Time of a pass of the poll loop, from its waking to its next wait.",
              &http->passes);
}

/* ---- a master's appends */

static void appends_write(const struct metrics *metrics, int64_t now_us, struct buf *out)
{
    const struct append_counters *counters = append_counters(metrics->append);
    struct append_waiting waiting = append_waiting(metrics->append);
    counter(out, "rlog_appended_messages_total", "Messages that POSTs appended.", counters->messages);
    counter(out, "rlog_appended_bytes_total", "Bytes of the messages that POSTs appended.", counters->bytes);
    histogram(out, "rlog_post_seconds", "Time from a POST of a message to its 201 or 202.",
              &counters->answered);
    gauge(out, "rlog_posts_waiting", "POSTs that wait for ACKs.", waiting.for_acks);
    gauge(out, "rlog_posts_held", "POSTs that wait at the gate, before they are appended.", waiting.held);
    seconds(out, "rlog_posts_oldest_seconds", "gauge",
            "Age of the POST that has waited for longest, here or at the gate.",
            waiting.oldest_us == CLOCK_NEVER ? 0 : now_us - waiting.oldest_us);
    gauge(out, "rlog_read_only", "1 while the quorum is missing.", gate_read_only(metrics->health->gate));
}

/* ---- a master's members */

struct member_rows {
    struct buf *out;
    const char *name;
    void (*row)(struct buf *out, const char *name, struct span labels, const struct member_view *member);
};

static void member_row(void *ctx, const struct member_view *member)
{
    const struct member_rows *rows = ctx;
    struct buf labels = {0};
    exposition_label(&labels, "member", member->id);
    rows->row(rows->out, rows->name, buf_span(&labels), member);
    rows->out->failed = rows->out->failed || labels.failed;
    buf_free(&labels);
}

static void row_state(struct buf *out, const char *name, struct span labels, const struct member_view *member)
{
    exposition_count(out, name, labels, member->state);
}

static void row_lag(struct buf *out, const char *name, struct span labels, const struct member_view *member)
{
    exposition_count(out, name, labels, member->lag);
}

static void row_lag_seconds(struct buf *out, const char *name, struct span labels,
                            const struct member_view *member)
{
    exposition_seconds(out, name, labels, member->lag_us);
}

static void row_seen(struct buf *out, const char *name, struct span labels, const struct member_view *member)
{
    exposition_seconds(out, name, labels, member->silent_ms * 1000);
}

static void row_failures(struct buf *out, const char *name, struct span labels,
                         const struct member_view *member)
{
    exposition_count(out, name, labels, member->counters->failures);
}

static void row_acks(struct buf *out, const char *name, struct span labels, const struct member_view *member)
{
    exposition_histogram(out, name, labels, &member->counters->acks);
}

static void state_count(void *ctx, const struct member_view *member)
{
    uint64_t *counts = ctx;
    counts[member->state]++;
}

static void members_state_write(const struct members *members, int64_t now_us, struct buf *out)
{
    uint64_t counts[MEMBER_UNHEALTHY + 1] = {0};
    members_each(members, now_us, state_count, counts);
    exposition_family(out, "rlog_members", "gauge", "Members by their state.");
    labelled(out, "rlog_members", "state", member_state_names, counts, MEMBER_UNHEALTHY + 1);
}

static void member_rows_write(const struct members *members, int64_t now_us, struct buf *out)
{
    static const struct {
        const char *name, *type, *help;
        void (*row)(struct buf *out, const char *name, struct span labels, const struct member_view *member);
    } families[] = {
        {"rlog_member_state", "gauge", "0 healthy, 1 suspected, 2 unhealthy.", row_state},
        {"rlog_member_lag_messages", "gauge", "Messages that the member lacks.", row_lag},
        {"rlog_member_lag_seconds", "gauge", "For how long the member has lacked messages; 0: it has all.",
         row_lag_seconds},
        {"rlog_member_last_seen_seconds", "gauge", "Age of the member's last sign of life.", row_seen},
        {"rlog_member_link_failures_total", "counter", "Links to the member that failed.", row_failures},
        {"rlog_member_ack_seconds", "histogram", "Time from a request with messages to its ACK.", row_acks},
    };
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        struct member_rows rows = {.out = out, .name = families[i].name, .row = families[i].row};
        exposition_family(out, families[i].name, families[i].type, families[i].help);
        members_each(members, now_us, member_row, &rows);
    }
}

/* ---- a secondary */

static void secondary_write(const struct metrics *metrics, int64_t now_us, struct buf *out)
{
    const struct registrar *registrar = metrics->health->registrar;
    int64_t silent_ms = registrar_silent_ms(registrar, now_us / 1000);
    gauge(out, "rlog_stored_id",
          "Id of the last message that has come, shown or waiting for SECONDARY_DELAYS.",
          log_last(metrics->health->base->log));
    gauge(out, "rlog_registered", "1 while it is registered with its master.",
          registrar_status(registrar) == REGISTRAR_OK);
    gauge(out, "rlog_refused", "1 while the master turns its registration away.",
          registrar_status(registrar) == REGISTRAR_REFUSED);
    gauge(out, "rlog_caught_up", "1 once it has shown the list as it stood when it registered.",
          follow_caught_up(metrics->health->follow));
    if (silent_ms >= 0)
        seconds(out, "rlog_master_last_heard_seconds", "gauge", "Age of the master's last sign of life.",
                silent_ms * 1000);
}

/* ---- */

void metrics_write(const struct metrics *metrics, int64_t now_us, struct buf *out)
{
    process_write(metrics, out);
    build_write(metrics, out);
    list_write(metrics, out);
    if (metrics->health->base->store)
        data_write(metrics->health->base->store, out);
    server_write(metrics, out);
    if (!metrics->health->members) {
        secondary_write(metrics, now_us, out);
        return;
    }
    appends_write(metrics, now_us, out);
    members_state_write(metrics->health->members, now_us, out);
    member_rows_write(metrics->health->members, now_us, out);
}
