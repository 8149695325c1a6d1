#include "log/frame.h"
#include "json.h"
#include "log/digest.h"
#include <endian.h>

static const char file_magic[8] = {'r', 'l', 'o', 'g', 'f', 'i', 'l', 'e'};
/* Messages are UTF-8 without control bytes: none holds these. */
static const char frame_magic[8] = {'\xff', 'r', 'l', 'o', 'g', '\r', '\n', '\0'};

enum { CHECK_BYTES = 8 };

static char *number_write(char *at, uint64_t number)
{
    number = htole64(number);
    memcpy(at, &number, sizeof number);
    return at + sizeof number;
}

static const char *number_read(const char *at, uint64_t *number)
{
    memcpy(number, at, sizeof *number);
    *number = le64toh(*number);
    return at + sizeof *number;
}

static uint64_t head_check(const char *head, size_t len)
{
    return digest_chain(0, (struct span){.at = head, .len = len - CHECK_BYTES});
}

static bool head_holds(const char *head, size_t len)
{
    uint64_t check;
    number_read(head + len - CHECK_BYTES, &check);
    return check == head_check(head, len);
}

void frame_file_write(const struct frame_file *file, char out[FRAME_FILE_HEAD])
{
    memset(out, 0, FRAME_FILE_HEAD);
    memcpy(out, file_magic, sizeof file_magic);
    char *at = number_write(out + sizeof file_magic, FRAME_FORMAT);
    at = number_write(at, file->epoch);
    at = number_write(at, file->first);
    at = number_write(at, file->before);
    at = number_write(at, file->digest);
    memcpy(at, file->log, strlen(file->log));
    number_write(at + sizeof file->log, head_check(out, FRAME_FILE_HEAD));
}

enum frame_file_kind frame_file_read(const char in[FRAME_FILE_HEAD], struct frame_file *file)
{
    static const char zeros[FRAME_FILE_HEAD];
    uint64_t format;
    if (memcmp(in, zeros, FRAME_FILE_HEAD) == 0)
        return FRAME_FILE_UNUSED;
    if (memcmp(in, file_magic, sizeof file_magic) != 0 || !head_holds(in, FRAME_FILE_HEAD))
        return FRAME_FILE_BAD;
    const char *at = number_read(in + sizeof file_magic, &format);
    if (format != FRAME_FORMAT)
        return FRAME_FILE_UNKNOWN;
    at = number_read(at, &file->epoch);
    at = number_read(at, &file->first);
    at = number_read(at, &file->before);
    at = number_read(at, &file->digest);
    memcpy(file->log, at, sizeof file->log);
    return file->log[sizeof file->log - 1] == '\0' ? FRAME_FILE_GOOD : FRAME_FILE_BAD;
}

void frame_write(const struct frame *frame, char out[FRAME_HEAD])
{
    memcpy(out, frame_magic, sizeof frame_magic);
    char *at = number_write(out + sizeof frame_magic, frame->len);
    at = number_write(at, frame->count);
    at = number_write(at, frame->first);
    at = number_write(at, frame->synced);
    at = number_write(at, frame->epoch);
    at = number_write(at, frame->digest);
    number_write(at, head_check(out, FRAME_HEAD));
}

bool frame_read(const char in[FRAME_HEAD], struct frame *frame)
{
    if (memcmp(in, frame_magic, sizeof frame_magic) != 0 || !head_holds(in, FRAME_HEAD))
        return false;
    const char *at = number_read(in + sizeof frame_magic, &frame->len);
    at = number_read(at, &frame->count);
    at = number_read(at, &frame->first);
    at = number_read(at, &frame->synced);
    at = number_read(at, &frame->epoch);
    number_read(at, &frame->digest);
    return frame->len <= INT64_MAX && frame->first <= INT64_MAX && frame->count > 0 &&
           frame->count <= frame->len && frame->synced < frame->first;
}

/* Whether a quote ends the bytes that no backslash escapes. json_canonical_len then stops there at the
 * latest. */
static bool quote_ends(struct span messages)
{
    if (messages.len < 2 || messages.at[messages.len - 1] != '"')
        return false;
    size_t start = messages.len - 1;
    while (start > 0 && messages.at[start - 1] == '\\')
        start--;
    return (messages.len - 1 - start) % 2 == 0;
}

bool frame_split(struct span messages, uint64_t count, struct buf *lens)
{
    if (!quote_ends(messages) || count > messages.len || !buf_reserve(lens, (size_t)count * sizeof(size_t)))
        return false;
    for (; count > 0; count--) {
        if (messages.len < 2 || messages.at[0] != '"')
            return false;
        size_t len = json_canonical_len(messages);
        buf_add(lens, &len, sizeof len);
        messages = span_after(messages, len);
        if (messages.len == 0)
            return count == 1;
        if (messages.at[0] != ',')
            return false;
        messages = span_after(messages, 1);
    }
    return false;
}
