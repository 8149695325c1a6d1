/* A chunked body, as states that take one byte each, but for chunk data, which is moved in one go:
 *
 *   size [gap] [;extension] CR LF  data CR LF  ...  0 [;extension] CR LF  [name:value CR LF]... CR LF
 *
 * A byte that has no place in its state, or one too many for its line, leads to BODY_BAD, for good.
 * White space between the size and ";" is taken, since RFC 9112 section 7.1.1 allows it (BWS); between the
 * size and the line's end it is refused. Extensions are checked byte by byte and not for their grammar: where
 * the line ends is beyond doubt, and that is what matters. */
#include "http/chunked.h"

#include "hex.h"
#include "http/bytes.h"

#include <string.h>

enum {
    SIZE_FIRST, /* at least one digit must come; 0, so that a zeroed struct starts here */
    SIZE,
    SIZE_GAP,
    EXTENSION,
    SIZE_LF,
    DATA_CR,
    DATA_LF,
    DATA,
    TRAILER_FIRST, /* from here on `line` counts the whole trailer section */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    BODY_DONE,
    BODY_BAD
};

static int size_digit(struct http_chunked *chunked, char byte)
{
    int digit = hex_digit(byte);
    if (digit < 0 || chunked->left > UINT64_MAX >> 4)
        return BODY_BAD;
    chunked->left = chunked->left << 4 | (uint64_t)digit;
    return SIZE;
}

/* What comes behind the size's digits, or the gap after them. */
static int size_end(char byte)
{
    switch (byte) {
    case ';':
        return EXTENSION;
    case ' ':
    case '\t':
        return SIZE_GAP;
    default:
        return BODY_BAD;
    }
}

/* The state after `byte`, which is not chunk data. */
static int state_next(struct http_chunked *chunked, char byte)
{
    switch (chunked->state) {
    case SIZE_FIRST:
        return size_digit(chunked, byte);
    case SIZE:
        if (hex_digit(byte) >= 0)
            return size_digit(chunked, byte);
        return byte == '\r' ? SIZE_LF : size_end(byte);
    case SIZE_GAP:
        return size_end(byte);
    case EXTENSION:
        if (http_byte_is(byte, HTTP_BYTE_VALUE))
            return EXTENSION;
        return byte == '\r' ? SIZE_LF : BODY_BAD;
    case SIZE_LF:
        chunked->line = 0;
        if (byte != '\n')
            return BODY_BAD;
        return chunked->left > 0 ? DATA : TRAILER_FIRST;
    case DATA_CR:
        return byte == '\r' ? DATA_LF : BODY_BAD;
    case DATA_LF:
        chunked->line = 0;
        return byte == '\n' ? SIZE_FIRST : BODY_BAD;
    case TRAILER_FIRST:
        if (byte == '\r')
            return END_LF;
        return http_byte_is(byte, HTTP_BYTE_TOKEN) ? TRAILER_NAME : BODY_BAD;
    case TRAILER_NAME:
        if (http_byte_is(byte, HTTP_BYTE_TOKEN))
            return TRAILER_NAME;
        return byte == ':' ? TRAILER_VALUE : BODY_BAD;
    case TRAILER_VALUE:
        if (http_byte_is(byte, HTTP_BYTE_VALUE))
            return TRAILER_VALUE;
        return byte == '\r' ? TRAILER_LF : BODY_BAD;
    case TRAILER_LF:
        return byte == '\n' ? TRAILER_FIRST : BODY_BAD;
    case END_LF:
        return byte == '\n' ? BODY_DONE : BODY_BAD;
    default:
        return BODY_BAD;
    }
}

/* Takes one byte. Both limits leave room for a last CRLF, which they do not count. */
static void byte_take(struct http_chunked *chunked, char byte)
{
    size_t limit = chunked->state < TRAILER_FIRST ? HTTP_CHUNK_LINE_MAX + 2 : HTTP_TRAILER_MAX + 2;
    chunked->line++;
    chunked->state = chunked->line > limit ? BODY_BAD : state_next(chunked, byte);
}

/* Moves the chunk data at the front of in to out and returns how much it was. */
static size_t data_take(struct http_chunked *chunked, const char *in, size_t in_len, char *out)
{
    size_t len = chunked->left < in_len ? (size_t)chunked->left : in_len;
    if (out != in)
        memmove(out, in, len);
    chunked->left -= len;
    if (chunked->left == 0)
        chunked->state = DATA_CR;
    return len;
}

enum http_parse http_chunked_decode(struct http_chunked *chunked, const char *in, size_t in_len, size_t *used,
                                    char *out, size_t *out_len)
{
    size_t at = 0;
    *out_len = 0;
    while (at < in_len && chunked->state < BODY_DONE) {
        if (chunked->state == DATA) {
            size_t len = data_take(chunked, in + at, in_len - at, out + *out_len);
            at += len;
            *out_len += len;
        } else {
            byte_take(chunked, in[at++]);
        }
    }
    *used = at;
    if (chunked->state == BODY_BAD)
        return HTTP_PARSE_BAD;
    return chunked->state == BODY_DONE ? HTTP_PARSE_DONE : HTTP_PARSE_MORE;
}
