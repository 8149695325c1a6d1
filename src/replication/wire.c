#include "replication/wire.h"
#include "json.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void wire_name_new(char out[WIRE_NAME_SIZE])
{
    unsigned char random[16];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        abort(); /* cannot fail for so few bytes on a kernel that has it */
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(out + 2 * i, 3, "%02x", random[i]);
}

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
    static const char error[] = "a log or run is named by 1 to 71 bytes of visible ASCII";
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

static bool read_digest(struct json *json, uint64_t *digest, bool *has_digest)
{
    char text[17];
    char *end;
    if (!read_text(json, text, sizeof text, "\"digest\" must be 16 hexadecimal digits"))
        return false;
    *digest = strtoull(text, &end, 16);
    *has_digest = strlen(text) == 16 && *end == '\0';
    if (!*has_digest)
        json->error = "\"digest\" must be 16 hexadecimal digits";
    return *has_digest;
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
    if (json_string_is(name, "run"))
        return read_name(json, out->run);
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

static bool registered_member(struct json *json, const struct json_string *name, struct wire_registered *out)
{
    double heartbeat;
    if (json_string_is(name, "log"))
        return read_name(json, out->log);
    if (json_string_is(name, "last_id"))
        return json_uint(json, &out->last_id);
    if (json_string_is(name, "id"))
        return read_text(json, out->id, sizeof out->id, "\"id\" is longer than 255 bytes");
    if (json_string_is(name, "run"))
        return read_name(json, out->run);
    if (!json_string_is(name, "heartbeat"))
        return json_skip(json);
    if (!json_number(json, &heartbeat))
        return false;
    out->heartbeat_ms = heartbeat > 0 && heartbeat < 1e9 ? (int64_t)(heartbeat * 1000) : 0;
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
    out->elements =
        borrowed ? (struct span){start, start ? (size_t)(end - start) : 0} : buf_span(&out->rewritten);
    if (!json->error && (out->rewritten.failed || out->lens.failed))
        json->error = "there is no memory for the messages";
    return !json->error;
}

static bool replicate_member(struct json *json, const struct json_string *name, struct wire_replicate *out)
{
    if (json_string_is(name, "log"))
        return read_name(json, out->log);
    if (json_string_is(name, "run"))
        return read_name(json, out->run);
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
    if (!request->log[0])
        return "\"log\" is missing";
    if (!request->first)
        return "\"first\" is missing, or not a number from 1 on";
    if (!has_messages)
        return "\"messages\" is missing";
    if (request->count > UINT64_MAX - request->first)
        return "\"first\" is too large";
    return NULL;
}

const char *wire_replicate_read(struct span body, struct wire_replicate *out)
{
    struct json json = json_text(body);
    struct json_string name;
    bool has_messages = false;
    const char *error = NULL;
    memset(out, 0, sizeof *out);
    if (!json_object(&json))
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

bool wire_position_read(struct span body, uint64_t *last_id, char *error, size_t error_size)
{
    struct json json = json_text(body);
    struct json_string name;
    struct json_string text;
    bool found = false;
    error[0] = '\0';
    if (!json_object(&json))
        return false;
    while (json_member(&json, &name)) {
        if (json_string_is(&name, "last_id") && json_peek(&json) != '"') {
            found = json_uint(&json, last_id);
        } else if (json_string_is(&name, "error") && json_peek(&json) == '"') {
            if (json_string(&json, &text))
                snprintf(error, error_size, "%.*s", (int)(text.raw.len > 300 ? 300 : text.raw.len),
                         text.raw.at);
        } else {
            json_skip(&json);
        }
        if (json.error)
            return false;
    }
    return found && !json.error;
}

/* ---- writing */

static void add_text(struct buf *out, const char *before, const char *text)
{
    buf_add_text(out, before);
    json_quote(span_of(text), out);
}

static void add_digest(struct buf *out, uint64_t digest)
{
    buf_addf(out, ",\"digest\":\"%016" PRIx64 "\"", digest);
}

void wire_register_write(struct buf *out, const struct wire_register *request)
{
    buf_addf(out, "{\"last_id\":%" PRIu64 ",\"port\":%u", request->last_id, request->port);
    if (request->stored > request->last_id)
        buf_addf(out, ",\"stored\":%" PRIu64, request->stored);
    if (request->has_digest)
        add_digest(out, request->digest);
    if (request->log[0])
        add_text(out, ",\"log\":", request->log);
    if (request->run[0])
        add_text(out, ",\"run\":", request->run);
    if (request->id[0])
        add_text(out, ",\"id\":", request->id);
    if (request->url[0])
        add_text(out, ",\"url\":", request->url);
    buf_add_char(out, '}');
}

void wire_registered_write(struct buf *out, const struct wire_registered *answer)
{
    add_text(out, "{\"log\":", answer->log);
    buf_addf(out, ",\"last_id\":%" PRIu64, answer->last_id);
    add_text(out, ",\"id\":", answer->id);
    add_text(out, ",\"run\":", answer->run);
    buf_addf(out, ",\"heartbeat\":%" PRId64 ".%03d}", answer->heartbeat_ms / 1000,
             (int)(answer->heartbeat_ms % 1000));
}

void wire_replicate_begin(struct buf *out, const char *log, const char *run, uint64_t first,
                          const uint64_t *digest)
{
    add_text(out, "{\"log\":", log);
    add_text(out, ",\"run\":", run);
    buf_add_text(out, ",\"first\":");
    buf_add_uint(out, first);
    if (digest)
        add_digest(out, *digest);
    buf_add_text(out, ",\"messages\":[");
}

void wire_position_write(struct buf *out, uint64_t last_id)
{
    buf_add_text(out, "{\"last_id\":");
    buf_add_uint(out, last_id);
    buf_add_char(out, '}');
}
