/* The bodies of /replicate and /register and their answers: what is taken keeps the promises of wire.h, and
 * messages in any JSON spelling come out as the same list that their canonical form gives. */
#include "check.h"
#include "json.h"
#include "replication/wire.h"

static char why[JSON_WHY_SIZE];

static bool told_same(struct wire_told a, struct wire_told b)
{
    return a.is == b.is && a.value == b.value;
}

/* Walks the elements as the list will: canonical strings, one comma between two, nothing else. */
static void check_elements(const struct wire_replicate *request)
{
    struct span rest = request->elements;
    for (uint64_t i = 0; i < request->count; i++) {
        struct json json = json_text(rest);
        struct json_string message;
        CHECK(rest.len > 0 && rest.at[0] == '"' && json_string(&json, &message));
        CHECK(message.canonical && message.value_len >= 1 && message.value_len <= request->longest);
        size_t len = json_canonical_len(rest);
        CHECK(len == message.raw.len + 2 && len == wire_replicate_lens(request)[i]);
        bool last = i + 1 == request->count;
        CHECK(last ? len == rest.len : rest.at[len] == ',');
        rest.at += last ? len : len + 1;
        rest.len -= last ? len : len + 1;
    }
    CHECK(rest.len == 0);
}

/* The same request, written as a master writes it, is taken as it stands. */
static void check_rewritten(const struct wire_replicate *request)
{
    struct wire_replicate again;
    struct buf body = {0};
    wire_replicate_begin(&body, request->log, request->epoch);
    wire_replicate_first(&body, request->first, request->digest.value);
    buf_add_span(&body, request->elements);
    buf_add_text(&body, WIRE_REPLICATE_END);
    CHECK(!body.failed && wire_replicate_read(buf_span(&body), (struct span){0}, &again, why) == NULL);
    CHECK(again.rewritten.len == 0 && again.count == request->count && again.first == request->first);
    CHECK(again.elements.len == request->elements.len);
    CHECK(again.elements.len == 0 ||
          memcmp(again.elements.at, request->elements.at, again.elements.len) == 0);
    CHECK(told_same(again.digest, (struct wire_told){true, request->digest.value}));
    CHECK(again.epoch == request->epoch);
    wire_replicate_free(&again);
    buf_free(&body);
}

/* Who expects that master reads the same. */
static void check_expected(struct span body, const struct wire_replicate *request)
{
    struct wire_replicate again;
    struct buf expected = {0};
    wire_replicate_begin(&expected, request->log, request->epoch);
    CHECK(!expected.failed && wire_replicate_read(body, buf_span(&expected), &again, why) == NULL);
    CHECK(again.first == request->first && again.count == request->count);
    CHECK(told_same(again.digest, request->digest));
    CHECK(again.elements.len == request->elements.len);
    wire_replicate_free(&again);
    buf_free(&expected);
}

static void check_replicate(struct span body)
{
    struct wire_replicate request;
    if (wire_replicate_read(body, (struct span){0}, &request, why) != NULL)
        return;
    check_expected(body, &request);
    CHECK(request.first >= 1 && request.count <= UINT64_MAX - request.first && wire_name_valid(request.log));
    check_elements(&request);
    check_rewritten(&request);
    wire_replicate_free(&request);
}

static void check_register(struct span body)
{
    struct wire_register request;
    struct wire_register again;
    struct buf written = {0};
    if (wire_register_read(body, &request, why) != NULL)
        return;
    CHECK(request.stored >= request.last_id);
    request.port = request.port ? request.port : 1;
    wire_register_write(&written, &request);
    CHECK(!written.failed && wire_register_read(buf_span(&written), &again, why) == NULL);
    CHECK(again.last_id == request.last_id && again.stored == request.stored && again.port == request.port);
    CHECK(strcmp(again.from.id, request.from.id) == 0 && strcmp(again.url, request.url) == 0);
    CHECK(strcmp(again.from.log, request.from.log) == 0 && told_same(again.digest, request.digest));
    CHECK(again.from.epoch == request.from.epoch && again.complete == request.complete);
    CHECK(strcmp(again.from.boot, request.from.boot) == 0);
    buf_free(&written);
}

static void check_registered(struct span body)
{
    struct wire_registered answer;
    struct wire_registered again;
    struct buf written = {0};
    if (!wire_registered_read(body, &answer))
        return;
    CHECK(answer.heartbeat_ms == 0 ||
          (answer.heartbeat_ms >= WIRE_HEARTBEAT_LEAST_MS && answer.heartbeat_ms <= WIRE_HEARTBEAT_MOST_MS));
    wire_registered_write(&written, &answer);
    CHECK(!written.failed && wire_registered_read(buf_span(&written), &again));
    CHECK(strcmp(again.from.log, answer.from.log) == 0 && strcmp(again.from.id, answer.from.id) == 0);
    CHECK(again.from.epoch == answer.from.epoch && again.last_id == answer.last_id);
    CHECK(again.heartbeat_ms == answer.heartbeat_ms ||
          (!answer.heartbeat_ms && again.heartbeat_ms == WIRE_HEARTBEAT_LEAST_MS));
    buf_free(&written);
}

static void check_ack(struct span body)
{
    struct wire_ack ack;
    struct wire_ack again;
    struct buf identity = {0};
    struct buf written = {0};
    uint64_t last_id;
    uint64_t digest;
    bool read = wire_ack_read(body, &ack);
    CHECK(memchr(ack.error, '\0', sizeof ack.error) != NULL);
    if (!read)
        return;
    wire_identity_write(&identity, &ack.from);
    buf_add_char(&written, '{');
    wire_ack_write(&written, ack.last_id.value, buf_span(&identity), ack.digest.value);
    buf_add_text(&written, "}\n");
    CHECK(!written.failed && wire_ack_read(buf_span(&written), &again));
    CHECK(wire_ack_match(buf_span(&written), buf_span(&identity), &last_id, &digest));
    CHECK(last_id == ack.last_id.value && digest == ack.digest.value);
    if (wire_ack_match(body, buf_span(&identity), &last_id, &digest))
        CHECK(ack.last_id.is && ack.digest.is && last_id == ack.last_id.value && digest == ack.digest.value);
    CHECK(told_same(again.last_id, (struct wire_told){true, ack.last_id.value}));
    CHECK(told_same(again.digest, (struct wire_told){true, ack.digest.value}));
    CHECK(again.from.epoch == ack.from.epoch);
    CHECK(strcmp(again.from.id, ack.from.id) == 0 && strcmp(again.from.boot, ack.from.boot) == 0);
    CHECK(strcmp(again.from.log, ack.from.log) == 0);
    buf_free(&identity);
    buf_free(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span body = fuzz_copy(data, size);
    check_replicate(body);
    check_register(body);
    check_registered(body);
    check_ack(body);
    free((char *)body.at);
    return 0;
}
