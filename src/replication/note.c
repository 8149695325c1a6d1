#include "replication/note.h"
#include "clock.h"
#include "json.h"

static void member_row(void *ctx, const struct member_view *member)
{
    struct buf *out = ctx;
    if (!member->proven)
        return;
    member_view_write(member, out);
    buf_add_char(out, '}');
}

void note_write(bool complete, const struct members *members, struct buf *out)
{
    buf_addf(out, "{\"complete\":%s", complete ? "true" : "false");
    if (members) {
        buf_add_text(out, ",\"members\":[");
        members_each(members, clock_us(), member_row, out);
        buf_add_char(out, ']');
    }
    buf_add_char(out, '}');
}

/* One that is too long is as good as none. */
static bool text_read(struct json *json, char *out, size_t out_size)
{
    struct json_string string;
    if (!json_string(json, &string))
        return false;
    if (!json_string_copy(&string, out, out_size))
        *out = '\0';
    return true;
}

static bool member_read(struct json *json,
                        void (*member)(void *ctx, const char *id, const struct http_url *url), void *ctx)
{
    char id[WIRE_ID_SIZE] = "";
    char text[WIRE_URL_SIZE] = "";
    struct http_url url;
    struct json_string name;
    if (!json_object(json))
        return false;
    while (json_member(json, &name)) {
        bool read = json_string_is(&name, "id")    ? text_read(json, id, sizeof id)
                    : json_string_is(&name, "url") ? text_read(json, text, sizeof text)
                                                   : json_skip(json);
        if (!read)
            return false;
    }
    if (!json->error && wire_name_valid(id) && http_url_parse(span_of(text), &url))
        member(ctx, id, &url);
    return !json->error;
}

bool note_read(struct span note, void (*member)(void *ctx, const char *id, const struct http_url *url),
               void *ctx)
{
    struct json json = json_text(note);
    struct json_string name;
    bool complete = false;
    if (!note.len || !json_object(&json))
        return false;
    while (json_member(&json, &name)) {
        bool read = true;
        if (json_string_is(&name, "complete")) {
            complete = json_peek(&json) == 't';
            read = json_skip(&json);
        } else if (json_string_is(&name, "members")) {
            read = json_array(&json);
            while (read && json_element(&json))
                read = member_read(&json, member, ctx);
            read = read && !json.error;
        } else {
            read = json_skip(&json);
        }
        if (!read)
            break;
    }
    return complete && !json.error;
}
