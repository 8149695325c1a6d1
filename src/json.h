/* JSON text (RFC 8259), read by pulling and written into a buffer. Knows nothing of messages or HTTP.
 *
 * Reading borrows the input and allocates nothing. A reader is a position; each call takes one thing from it
 * and returns true, or returns false and leaves in `error` one short sentence for the one who sent the text.
 * After a false the reader must not be used further. White space between tokens is taken by itself.
 *
 *     struct json in = json_text(body);
 *     struct json_string key;
 *     if (!json_object(&in)) bad(in.error);
 *     while (json_member(&in, &key)) {
 *         if (json_string_is(&key, "first")) ok = json_uint(&in, &first);
 *         else ok = json_skip(&in);
 *         if (!ok) bad(in.error);
 *     }
 *     if (in.error || !json_end(&in)) bad(in.error);
 *
 * Canonical form of a string: quotes around UTF-8; only `"`, `\` and bytes below 0x20 are escaped, as \" \\
 * \b \t \n \f \r or else \u00xx with lower-case digits. Every string value has just one canonical form.
 *
 * All functions may be called from any thread on data of its own. */
#ifndef JSON_H
#define JSON_H

#include "buf.h"

enum {
    JSON_DEPTH_MAX = 64,    /* arrays and objects inside one another that json_skip follows */
    JSON_NUMBER_MAX = 256,  /* bytes of a number that json_number reads */
    JSON_EXPANSION_MAX = 6, /* a byte of a string takes so many in JSON text at most: \u0000 */
    JSON_WHY_SIZE = 192     /* for json_why */
};

struct json {
    const char *start; /* of the text */
    const char *at;    /* the next byte */
    const char *end;   /* behind the last byte */
    const char *error; /* NULL, or what is wanted at that byte, a static sentence without a full stop */
    bool opened;       /* an object or array was just opened: no comma comes before what follows */
};

/* A string as it stands in the text, checked: valid UTF-8 and escapes, no lone surrogates. */
struct json_string {
    struct span raw;  /* what is between the quotes, still escaped; borrowed from the text */
    size_t value_len; /* bytes of the value in UTF-8 */
    bool canonical;   /* raw is in canonical form already */
};

struct json json_text(struct span text);

/* Takes `{` or `[`. */
bool json_object(struct json *json);
bool json_array(struct json *json);

/* Takes the next name of the open object with its colon; the caller takes the value next. Returns false with
 * `error` NULL where the object ends (the brace is taken), and false with `error` set on bad text. */
bool json_member(struct json *json, struct json_string *name);

/* The same for the open array: true where one more element must follow, which the caller takes next. */
bool json_element(struct json *json);

bool json_string(struct json *json, struct json_string *out);

/* A whole number from 0 to UINT64_MAX, written without fraction and exponent. */
bool json_uint(struct json *json, uint64_t *out);

/* Any JSON number of up to JSON_NUMBER_MAX bytes whose value fits a double. */
bool json_number(struct json *json, double *out);

/* Takes any one value, checking all of it. */
bool json_skip(struct json *json);

/* The first byte of the next value (such as '"', '{', 't' or a digit), or 0 at the end; takes nothing. */
char json_peek(struct json *json);

/* True where nothing but white space is left; false sets `error`. */
bool json_end(struct json *json);

/* The error with its byte's place in the text, from 1 on, for the one who sent it; NULL where there is none.
 */
const char *json_why(const struct json *json, char why[JSON_WHY_SIZE]);

/* Whether the value of the string is `text`. */
bool json_string_is(const struct json_string *string, const char *text);

/* Copies the value, terminated. Returns false where it holds a NUL or does not fit; out is in no state to be
 * used then. */
bool json_string_copy(const struct json_string *string, char *out, size_t out_size);

/* Adds the string in canonical form, quotes included. */
void json_string_canonical(const struct json_string *string, struct buf *out);

/* Adds valid UTF-8 bytes as a string in canonical form, quotes included. */
void json_quote(struct span value, struct buf *out);

/* The same for a sentence, which may quote anything, and end anywhere: where it is not UTF-8, each byte past
 * ASCII becomes a question mark. */
void json_quote_sentence(const char *sentence, struct buf *out);

/* Whether the bytes are UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF). */
bool json_utf8_valid(struct span bytes);

/* The length of the canonical string that starts at text.at[0] (its opening quote), both quotes included.
 * The text must hold a whole canonical string; no checks. For walking stored strings. */
size_t json_canonical_len(struct span text);

#endif
