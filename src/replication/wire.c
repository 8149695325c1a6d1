#include "replication/wire.h"
#include "hex.h"
#include "json.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST_DIGITS = 16 };

bool wire_name_valid(const char *name)
{
    if (!*name)
        return false;
    for (; *name; name++)
        if (*name <= ' ' || *name > '~' || *name == '"' || *name == '\\')
            return false;
    return true;
}

/* ---- reading */

/* Reads a string member into a fixed array; false with json->error set otherwise. */
static bool read_text(struct json *json, char *out, size_t out_size, const char *error)
{
    struct json_string string;
    if (!json_string(json, &string))
        return false;
    if (json_string_copy(&string, out, out_size))
        return true;
    json->error = error;
    return false;
}

static bool read_name(struct json *json, char *out)
{
    static const char error[] = "a log or boot is named by 1 to 71 bytes of visible ASCII";
    if (!read_text(json, out, WIRE_NAME_SIZE, error))
        return false;
    if (!*out || wire_name_valid(out))
        return true;
    json->error = error;
    return false;
}

static bool read_port(struct json *json, uint16_t *out)
{
    uint64_t port;
    if (!json_uint(json, &port))
        return false;
    if (port >= 1 && port <= UINT16_MAX) {
        *out = (uint16_t)port;
        return true;
    }
    json->error = "\"port\" must be a number from 1 to 65535";
    return false;
}

static bool digest_parse(const char *text, uint64_t *digest)
{
    *digest = 0;
    for (int i = 0; i < DIGEST_DIGITS; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0)
            return false;
        *digest = *digest << 4 | (uint64_t)digit;
    }
    return true;
}

static bool read_digest(struct json *json, uint64_t *digest, bool *has_digest)
{
    static const char error[] = "\"digest\" must be 16 hexadecimal digits";
    struct json_string text;
    if (!json_string(json, &text))
        return false;
    *has_digest = text.raw.len == DIGEST_DIGITS && digest_parse(text.raw.at, digest);
    if (!*has_digest)
        json->error = error;
    return *has_digest;
}

/* One more must fit, for the next master. */
static bool read_epoch(struct json *json, uint64_t *epoch)
{
    if (!json_uint(json, epoch))
        return false;
    if (*epoch < UINT64_MAX)
        return true;
    json->error = "\"epoch\" is too large";
    return false;
}

static const char *read_end(struct json *json)
{
    if (!json->error && !json_end(json))
        json->error = "something follows the JSON object";
    return json->error;
}

static bool register_member(struct json *json, const struct json_string *name, struct wire_register *out)
{
    if (json_string_is(name, "id"))
        return read_text(json, out->id, sizeof out->id, "\"id\" is longer than 255 bytes");
    if (json_string_is(name, "url"))
        return read_text(json, out->url, sizeof out->url, "\"url\" is longer than 299 bytes");
    if (json_string_is(name, "port"))
        return read_port(json, &out->port);
    if (json_string_is(name, "log"))
        return json_peek(json) == 'n' ? json_skip(json) : read_name(json, out->log);
    if (json_string_is(name, "last_id"))
        return json_uint(json, &out->last_id);
    if (json_string_is(name, "digest"))
        return read_digest(json, &out->digest, &out->has_digest);
    if (json_string_is(name, "stored"))
        return json_uint(json, &out->stored);
    if (json_string_is(name, "epoch"))
        return read_epoch(json, &out->epoch);
    if (json_string_is(name, "boot"))
        return read_name(json, out->boot);
    return json_skip(json);
}

const char *wire_register_read(struct span body, struct wire_register *out)
{
    struct json json = json_text(body);
    struct json_string name;
    *out = (struct wire_register){0};
    if (!json_object(&json))
        return json.error;
    while (json_member(&json, &name))
        if (!register_member(&json, &name, out))
            return json.error;
    if (out->stored < out->last_id)
        out->stored = out->last_id;
    return read_end(&json);
}

/* A master tells what it likes; what would make a secondary register without end, or never again, is not
 * believed. */
static int64_t heartbeat_clamp(double seconds)
{
    if (!(seconds * 1000 > WIRE_HEARTBEAT_LEAST_MS))
        return WIRE_HEARTBEAT_LEAST_MS;
    return seconds * 1000 < WIRE_HEARTBEAT_MOST_MS ? (int64_t)(seconds * 1000) : WIRE_HEARTBEAT_MOST_MS;
}

static bool registered_member(struct json *json, const struct json_string *name, struct wire_registered *out)
{
    double heartbeat;
    if (json_string_is(name, "log"))
        return read_name(json, out->log);
    if (json_string_is(name, "last_id"))
        return json_uint(json, &out->last_id);
    if (json_string_is(name, "id"))
        return read_text(json, out->id, sizeof out->id, "\"id\" is longer than 255 bytes");
    if (json_string_is(name, "epoch"))
        return read_epoch(json, &out->epoch);
    if (!json_string_is(name, "heartbeat"))
        return json_skip(json);
    if (!json_number(json, &heartbeat))
        return false;
    out->heartbeat_ms = heartbeat_clamp(heartbeat);
    return true;
}

const char *wire_registered_read(struct span body, struct wire_registered *out)
{
    struct json json = json_text(body);
    struct json_string name;
    *out = (struct wire_registered){0};
    if (!json_object(&json))
        return json.error;
    while (json_member(&json, &name))
        if (!registered_member(&json, &name, out))
            return json.error;
    return read_end(&json);
}

/* Adds a message to those that are rewritten; returns its length there. */
static size_t rewritten_add(struct wire_replicate *out, const struct json_string *message)
{
    if (out->count)
        buf_add_char(&out->rewritten, ',');
    size_t before = out->rewritten.len;
    json_string_canonical(message, &out->rewritten);
    return out->rewritten.len - before;
}

/* Checks the messages, counts them and notes their lengths. They are borrowed where the text is canonical and
 * has no white space between them, as a master sends it, and rewritten otherwise. */
static bool read_messages(struct json *json, struct wire_replicate *out)
{
    const char *start = NULL;
    const char *end = NULL;
    bool borrowed = true;
    if (!json_array(json))
        return false;
    out->count = out->longest = 0;
    buf_clear(&out->lens);
    buf_clear(&out->rewritten);
    for (; json_element(json); out->count++) {
        struct json_string message;
        if (!json_string(json, &message))
            return false;
        if (message.value_len == 0) {
            json->error = "a message must have at least one byte";
            return false;
        }
        if (message.value_len > out->longest)
            out->longest = message.value_len;
        const char *quote = message.raw.at - 1;
        size_t len = message.raw.len + 2;
        bool follows = !start || quote == end + 1;
        if (borrowed && !(message.canonical && follows)) {
            borrowed = false;
            if (start)
                buf_add(&out->rewritten, start, (size_t)(end - start));
        }
        if (!borrowed)
            len = rewritten_add(out, &message);
        buf_add(&out->lens, &len, sizeof len);
        if (!start)
            start = quote;
        end = message.raw.at + message.raw.len + 1;
    }
    if (borrowed && start)
        out->elements = (struct span){start, (size_t)(end - start)};
    else
        out->elements = buf_span(&out->rewritten);
    if (!json->error && (out->rewritten.failed || out->lens.failed))
        json->error = "there is no memory for the messages";
    return !json->error;
}

static bool replicate_member(struct json *json, const struct json_string *name, struct wire_replicate *out)
{
    if (json_string_is(name, "log"))
        return read_name(json, out->log);
    if (json_string_is(name, "epoch"))
        return read_epoch(json, &out->epoch);
    if (json_string_is(name, "first"))
        return json_uint(json, &out->first);
    if (json_string_is(name, "digest"))
        return read_digest(json, &out->digest, &out->has_digest);
    if (json_string_is(name, "messages"))
        return read_messages(json, out);
    return json_skip(json);
}

static const char *replicate_check(const struct wire_replicate *request, bool has_messages)
{
    if (!request->expected && !request->log[0])
        return "\"log\" is missing";
    if (!request->first)
        return "\"first\" is missing, or not a number from 1 on";
    if (!has_messages)
        return "\"messages\" is missing";
    if (request->count > UINT64_MAX - request->first)
        return "\"first\" is too large";
    return NULL;
}

/* Whether the body begins with just these members, and others follow: "epoch":31 is not "epoch":3. */
static bool members_begin(struct span body, struct span members)
{
    return members.len && body.len > members.len && memcmp(body.at, members.at, members.len) == 0 &&
           body.at[members.len] == ',';
}

const char *wire_replicate_read(struct span body, struct span expected, struct wire_replicate *out)
{
    struct json json = json_text(body);
    struct json_string name;
    bool has_messages = false;
    const char *error = NULL;
    memset(out, 0, sizeof *out);
    out->expected = members_begin(body, expected);
    if (out->expected)
        json.at += expected.len; /* at the comma behind the object's first members */
    else if (!json_object(&json))
        return json.error;
    while (json_member(&json, &name)) {
        has_messages = has_messages || json_string_is(&name, "messages");
        if (!replicate_member(&json, &name, out))
            break;
    }
    error = read_end(&json);
    if (!error)
        error = replicate_check(out, has_messages);
    if (error)
        wire_replicate_free(out);
    return error;
}

void wire_replicate_free(struct wire_replicate *request)
{
    buf_free(&request->lens);
    buf_free(&request->rewritten);
}

static void read_error(const struct json_string *text, struct wire_ack *out)
{
    size_t len = text->raw.len < sizeof out->error ? text->raw.len : sizeof out->error - 1;
    memcpy(out->error, text->raw.at, len);
    out->error[len] = '\0';
}

/* A name, or null. */
static bool read_name_or_null(struct json *json, char *out)
{
    return json_peek(json) == 'n' ? json_skip(json) : read_name(json, out);
}

static bool ack_member(struct json *json, const struct json_string *name, struct wire_ack *out)
{
    struct json_string text;
    if (json_string_is(name, "last_id"))
        return out->has_last_id = json_uint(json, &out->last_id);
    if (json_string_is(name, "id"))
        return json_peek(json) == 'n'
                   ? json_skip(json)
                   : read_text(json, out->from.id, sizeof out->from.id, "\"id\" is too long");
    if (json_string_is(name, "boot"))
        return read_name(json, out->from.boot);
    if (json_string_is(name, "log"))
        return read_name_or_null(json, out->from.log);
    if (json_string_is(name, "epoch"))
        return read_epoch(json, &out->from.epoch);
    if (json_string_is(name, "digest"))
        return read_digest(json, &out->digest, &out->has_digest);
    if (!json_string_is(name, "error") || json_peek(json) != '"')
        return json_skip(json);
    if (!json_string(json, &text))
        return false;
    read_error(&text, out);
    return true;
}

bool wire_ack_match(struct span body, struct span identity, uint64_t *last_id, uint64_t *digest)
{
    static const char begin[] = "{\"last_id\":";
    static const char end[] = "\"}";
    size_t around = strlen(begin) + identity.len + DIGEST_DIGITS + strlen(end);
    if (!identity.len || body.len <= around || memcmp(body.at, begin, strlen(begin)) != 0)
        return false;
    struct span number = {body.at + strlen(begin), body.len - around};
    const char *rest = number.at + number.len;
    return span_uint(number, last_id) && memcmp(rest, identity.at, identity.len) == 0 &&
           digest_parse(rest + identity.len, digest) &&
           memcmp(rest + identity.len + DIGEST_DIGITS, end, strlen(end)) == 0;
}

bool wire_ack_read(struct span body, struct wire_ack *out)
{
    struct json json = json_text(body);
    struct json_string name;
    *out = (struct wire_ack){0};
    if (!json_object(&json))
        return false;
    while (json_member(&json, &name))
        if (!ack_member(&json, &name, out))
            return false;
    return !json.error;
}

/* ---- writing */

static void add_text(struct buf *out, const char *before, const char *text)
{
    buf_add_text(out, before);
    json_quote(span_of(text), out);
}

static void add_digest(struct buf *out, uint64_t digest)
{
    static const char digits[] = "0123456789abcdef";
    char text[DIGEST_DIGITS];
    for (int i = DIGEST_DIGITS; i-- > 0; digest >>= 4)
        text[i] = digits[digest & 15];
    buf_add(out, text, sizeof text);
}

void wire_register_write(struct buf *out, const struct wire_register *request)
{
    buf_addf(out, "{\"last_id\":%" PRIu64 ",\"port\":%u", request->last_id, request->port);
    if (request->stored > request->last_id)
        buf_addf(out, ",\"stored\":%" PRIu64, request->stored);
    if (request->has_digest) {
        buf_add_text(out, ",\"digest\":\"");
        add_digest(out, request->digest);
        buf_add_char(out, '"');
    }
    if (request->log[0])
        add_text(out, ",\"log\":", request->log);
    if (request->epoch)
        buf_addf(out, ",\"epoch\":%" PRIu64, request->epoch);
    if (request->boot[0])
        add_text(out, ",\"boot\":", request->boot);
    if (request->id[0])
        add_text(out, ",\"id\":", request->id);
    if (request->url[0])
        add_text(out, ",\"url\":", request->url);
    buf_add_char(out, '}');
}

void wire_registered_write(struct buf *out, const struct wire_registered *answer)
{
    add_text(out, "{\"log\":", answer->log);
    buf_addf(out, ",\"epoch\":%" PRIu64 ",\"last_id\":%" PRIu64, answer->epoch, answer->last_id);
    add_text(out, ",\"id\":", answer->id);
    buf_addf(out, ",\"heartbeat\":%" PRId64 ".%03d}", answer->heartbeat_ms / 1000,
             (int)(answer->heartbeat_ms % 1000));
}

void wire_replicate_begin(struct buf *out, const char *log, uint64_t epoch)
{
    add_text(out, "{\"log\":", log);
    buf_addf(out, ",\"epoch\":%" PRIu64, epoch);
}

void wire_replicate_first(struct buf *out, uint64_t first, uint64_t digest)
{
    buf_add_text(out, ",\"first\":");
    buf_add_uint(out, first);
    buf_add_text(out, ",\"digest\":\"");
    add_digest(out, digest);
    buf_add_text(out, "\",\"messages\":[");
}

/* A name, or null where there is none. */
static void add_name(struct buf *out, const char *before, const char *name)
{
    if (name[0]) {
        add_text(out, before, name);
    } else {
        buf_add_text(out, before);
        buf_add_text(out, "null");
    }
}

void wire_identity_write(struct buf *out, const struct wire_identity *from)
{
    add_name(out, ",\"id\":", from->id);
    add_text(out, ",\"boot\":", from->boot);
    add_name(out, ",\"log\":", from->log);
    buf_addf(out, ",\"epoch\":%" PRIu64 ",\"digest\":\"", from->epoch);
}

void wire_ack_write(struct buf *out, uint64_t last_id, struct span identity, uint64_t digest)
{
    buf_add_text(out, "\"last_id\":");
    buf_add_uint(out, last_id);
    buf_add_span(out, identity);
    add_digest(out, digest);
    buf_add_char(out, '"');
}
