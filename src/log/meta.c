#include "log/meta.h"
#include "log/digest.h"
#include <inttypes.h>
#include <stdio.h>

static const char format_line[] = "replicated-log data 1";

enum { DIGEST_LINE = 32 };

static void digest_line(char out[DIGEST_LINE], struct span above)
{
    snprintf(out, DIGEST_LINE, "digest %016" PRIx64, digest_chain(0, above));
}

void meta_write(const struct journal_meta *meta, uint64_t synced, struct buf *out)
{
    char digest[DIGEST_LINE];
    buf_addf(out, "%s\nlog %s\nepoch %" PRIu64 "\nsynced %" PRIu64 "\nmissing %" PRIu64 "\nnode ",
             format_line, meta->log, meta->epoch, synced, meta->missing);
    buf_add_span(out, buf_span(&meta->node));
    buf_add_char(out, '\n');
    digest_line(digest, buf_span(out));
    buf_addf(out, "%s\n", digest);
}

/* Takes a line off the text: what is between `name` and the end of the line. */
static bool line_take(struct span *text, const char *name, struct span *value)
{
    size_t name_len = strlen(name);
    if (text->len < name_len || memcmp(text->at, name, name_len) != 0)
        return false;
    *value = span_after(*text, name_len);
    const char *end = memchr(value->at, '\n', value->len);
    if (!end)
        return false;
    value->len = (size_t)(end - value->at);
    *text = span_after(*text, name_len + value->len + 1);
    return true;
}

static bool number_take(struct span *text, const char *name, uint64_t *out)
{
    struct span value;
    return line_take(text, name, &value) && span_uint(value, out);
}

enum meta_kind meta_read(struct span text, struct journal_meta *meta, uint64_t *synced)
{
    struct span rest = text;
    struct span value;
    char digest[DIGEST_LINE];
    if (text.len == 0)
        return META_BAD;
    if (!line_take(&rest, format_line, &value) || value.len > 0)
        return META_UNKNOWN;
    if (!line_take(&rest, "log ", &value) || !span_copy(value, meta->log, sizeof meta->log) ||
        !number_take(&rest, "epoch ", &meta->epoch) || !number_take(&rest, "synced ", synced) ||
        !number_take(&rest, "missing ", &meta->missing) || !line_take(&rest, "node ", &value))
        return META_BAD;
    buf_add_span(&meta->node, value);
    digest_line(digest, (struct span){.at = text.at, .len = text.len - rest.len});
    return line_take(&rest, digest, &value) && value.len == 0 && rest.len == 0 ? META_GOOD : META_BAD;
}
