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

/* A member of a JSON object: `read` takes its value into the field at that offset. A value that is null
 * counts as left out. */
struct reading {
    const char *name;
    bool (*read)(struct json *json, void *field);
    size_t field;
};

/* Reads the members up to the object's end, and nothing behind it; those that are not in the table, which
 * ends with an empty row, are skipped. What is wrong is the text's error. */
static void members_read(struct json *json, const struct reading *table, void *out)
{
    struct json_string name;
    while (json_member(json, &name)) {
        const struct reading *row = table;
        while (row->name && !json_string_is(&name, row->name))
            row++;
        bool read =
            row->name && json_peek(json) != 'n' ? row->read(json, (char *)out + row->field) : json_skip(json);
        if (!read)
            return;
    }
    if (!json->error)
        json_end(json);
}

/* Reads an object and nothing behind it; what is wrong is the text's error. */
static struct json object_read(struct span body, const struct reading *table, void *out)
{
    struct json json = json_text(body);
    if (json_object(&json))
        members_read(&json, table, out);
    return json;
}

/* Reads a string into a fixed array. */
static bool read_text(struct json *json, char *out, size_t out_size, const char *error)
{
    struct json_string string;
    if (!json_string(json, &string))
        return false;
    if (!json_string_copy(&string, out, out_size))
        json->error = error;
    return !json->error;
}

static bool read_id(struct json *json, void *field)
{
    return read_text(json, field, WIRE_ID_SIZE, "\"id\" is longer than 263 bytes");
}

static bool read_url(struct json *json, void *field)
{
    return read_text(json, field, WIRE_URL_SIZE, "\"url\" is longer than 299 bytes");
}

static bool read_name(struct json *json, void *field)
{
    static const char error[] = "a log or boot is named by 1 to 71 bytes of visible ASCII";
    char *name = field;
    if (!read_text(json, name, WIRE_NAME_SIZE, error))
        return false;
    if (*name && !wire_name_valid(name))
        json->error = error;
    return !json->error;
}

static bool read_uint(struct json *json, void *field)
{
    return json_uint(json, field);
}

static bool read_told(struct json *json, void *field)
{
    struct wire_told *told = field;
    return told->is = json_uint(json, &told->value);
}

static bool read_port(struct json *json, void *field)
{
    uint64_t port;
    if (!json_uint(json, &port))
        return false;
    if (port < 1 || port > UINT16_MAX)
        json->error = "\"port\" must be a number from 1 to 65535";
    *(uint16_t *)field = (uint16_t)port;
    return !json->error;
}

static bool read_epoch(struct json *json, void *field)
{
    if (!json_uint(json, field))
        return false;
    if (*(uint64_t *)field > WIRE_EPOCH_MAX)
        json->error = "\"epoch\" is too large";
    return !json->error;
}

static bool read_true(struct json *json, void *field)
{
    *(bool *)field = json_peek(json) == 't';
    return json_skip(json);
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

static bool read_digest(struct json *json, void *field)
{
    struct wire_told *digest = field;
    struct json_string text;
    if (!json_string(json, &text))
        return false;
    digest->is = text.raw.len == DIGEST_DIGITS && digest_parse(text.raw.at, &digest->value);
    if (!digest->is)
        json->error = "\"digest\" must be 16 hexadecimal digits";
    return digest->is;
}

/* A master tells what it likes; what would make a secondary register without end, or never again, is not
 * believed. */
static bool read_heartbeat(struct json *json, void *field)
{
    double seconds;
    if (!json_number(json, &seconds))
        return false;
    static const double least_ms = WIRE_HEARTBEAT_LEAST_MS, most_ms = WIRE_HEARTBEAT_MOST_MS;
    double ms = seconds * 1000;
    if (!(ms > least_ms))
        ms = least_ms;
    *(int64_t *)field = (int64_t)(ms < most_ms ? ms : most_ms);
    return true;
}

const char *wire_register_read(struct span body, struct wire_register *out, char why[JSON_WHY_SIZE])
{
    static const struct reading table[] = {
        {"id", read_id, offsetof(struct wire_register, from.id)},
        {"url", read_url, offsetof(struct wire_register, url)},
        {"port", read_port, offsetof(struct wire_register, port)},
        {"log", read_name, offsetof(struct wire_register, from.log)},
        {"epoch", read_epoch, offsetof(struct wire_register, from.epoch)},
        {"last_id", read_uint, offsetof(struct wire_register, last_id)},
        {"stored", read_uint, offsetof(struct wire_register, stored)},
        {"digest", read_digest, offsetof(struct wire_register, digest)},
        {"boot", read_name, offsetof(struct wire_register, from.boot)},
        {"complete", read_true, offsetof(struct wire_register, complete)},
        {"durable", read_true, offsetof(struct wire_register, durable)},
        {"on_disk", read_true, offsetof(struct wire_register, on_disk)},
        {0},
    };
    *out = (struct wire_register){0};
    struct json json = object_read(body, table, out);
    if (out->stored < out->last_id)
        out->stored = out->last_id;
    return json_why(&json, why);
}

bool wire_registered_read(struct span body, struct wire_registered *out)
{
    static const struct reading table[] = {
        {"log", read_name, offsetof(struct wire_registered, from.log)},
        {"epoch", read_epoch, offsetof(struct wire_registered, from.epoch)},
        {"last_id", read_uint, offsetof(struct wire_registered, last_id)},
        {"id", read_id, offsetof(struct wire_registered, from.id)},
        {"boot", read_name, offsetof(struct wire_registered, from.boot)},
        {"heartbeat", read_heartbeat, offsetof(struct wire_registered, heartbeat_ms)},
        {0},
    };
    *out = (struct wire_registered){0};
    return !object_read(body, table, out).error;
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
static bool read_messages(struct json *json, void *field)
{
    struct wire_replicate *out = field;
    const char *start = NULL;
    const char *end = NULL;
    bool borrowed = true;
    if (!json_array(json))
        return false;
    out->has_messages = true;
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

static const char *replicate_check(const struct wire_replicate *request)
{
    if (!request->expected && !request->log[0])
        return "\"log\" is missing";
    if (!request->first)
        return "\"first\" is missing, or not a number from 1 on";
    if (!request->has_messages)
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

const char *wire_replicate_read(struct span body, struct span expected, struct wire_replicate *out,
                                char why[JSON_WHY_SIZE])
{
    static const struct reading table[] = {
        {"first", read_uint, offsetof(struct wire_replicate, first)},
        {"digest", read_digest, offsetof(struct wire_replicate, digest)},
        {"messages", read_messages, 0},
        {"log", read_name, offsetof(struct wire_replicate, log)},
        {"epoch", read_epoch, offsetof(struct wire_replicate, epoch)},
        {0},
    };
    struct json json = json_text(body);
    memset(out, 0, sizeof *out);
    out->expected = members_begin(body, expected);
    if (out->expected)
        json.at += expected.len; /* at the comma behind the object's first members */
    if (out->expected || json_object(&json))
        members_read(&json, table, out);
    const char *error = json.error ? json_why(&json, why) : replicate_check(out);
    if (error)
        wire_replicate_free(out);
    return error;
}

void wire_replicate_free(struct wire_replicate *request)
{
    buf_free(&request->lens);
    buf_free(&request->rewritten);
}

/* A sentence, cut to fit; what is no string is no sentence. */
static bool read_error(struct json *json, void *field)
{
    struct json_string text;
    char *out = field;
    if (json_peek(json) != '"')
        return json_skip(json);
    if (!json_string(json, &text))
        return false;
    size_t len = text.raw.len < WIRE_ERROR_SIZE ? text.raw.len : WIRE_ERROR_SIZE - 1;
    memcpy(out, text.raw.at, len);
    out[len] = '\0';
    return true;
}

bool wire_ack_match(struct span body, struct span identity, uint64_t *last_id, uint64_t *digest)
{
    static const char begin[] = "{\"last_id\":";
    static const char end[] = "\"}\n";
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
    static const struct reading table[] = {
        {"last_id", read_told, offsetof(struct wire_ack, last_id)},
        {"id", read_id, offsetof(struct wire_ack, from.id)},
        {"boot", read_name, offsetof(struct wire_ack, from.boot)},
        {"log", read_name, offsetof(struct wire_ack, from.log)},
        {"epoch", read_epoch, offsetof(struct wire_ack, from.epoch)},
        {"digest", read_digest, offsetof(struct wire_ack, digest)},
        {"error", read_error, offsetof(struct wire_ack, error)},
        {0},
    };
    *out = (struct wire_ack){0};
    if (!object_read(body, table, out).error)
        return true;
    out->error[0] = '\0';
    return false;
}

/* ---- writing */

static void add_text(struct buf *out, const char *before, const char *text)
{
    buf_add_text(out, before);
    json_quote(span_of(text), out);
}

static void add_digest(struct buf *out, uint64_t digest)
{
    char text[DIGEST_DIGITS];
    for (int i = DIGEST_DIGITS; i-- > 0; digest >>= 4)
        text[i] = hex_char((unsigned)digest);
    buf_add(out, text, sizeof text);
}

void wire_register_write(struct buf *out, const struct wire_register *request)
{
    buf_addf(out, "{\"last_id\":%" PRIu64 ",\"port\":%u", request->last_id, request->port);
    if (request->stored > request->last_id)
        buf_addf(out, ",\"stored\":%" PRIu64, request->stored);
    if (request->digest.is) {
        buf_add_text(out, ",\"digest\":\"");
        add_digest(out, request->digest.value);
        buf_add_char(out, '"');
    }
    if (request->from.log[0])
        add_text(out, ",\"log\":", request->from.log);
    if (request->from.epoch)
        buf_addf(out, ",\"epoch\":%" PRIu64, request->from.epoch);
    if (request->from.boot[0])
        add_text(out, ",\"boot\":", request->from.boot);
    if (request->complete)
        buf_add_text(out, ",\"complete\":true");
    if (request->durable)
        buf_add_text(out, ",\"durable\":true");
    if (request->on_disk)
        buf_add_text(out, ",\"on_disk\":true");
    if (request->from.id[0])
        add_text(out, ",\"id\":", request->from.id);
    if (request->url[0])
        add_text(out, ",\"url\":", request->url);
    buf_add_char(out, '}');
}

void wire_registered_write(struct buf *out, const struct wire_registered *answer)
{
    add_text(out, "{\"log\":", answer->from.log);
    buf_addf(out, ",\"epoch\":%" PRIu64 ",\"last_id\":%" PRIu64, answer->from.epoch, answer->last_id);
    add_text(out, ",\"id\":", answer->from.id);
    add_text(out, ",\"boot\":", answer->from.boot);
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
