/* The messages of a run: each follows from the seed, its writer and its number, so that none has to be kept.
 * Also the two ways of JSON strings, written apart from the program's own. */
#ifndef TORTURE_TEXT_H
#define TORTURE_TEXT_H

#include "random.h"
#include <stddef.h>

/* Bytes that grow. All zero is empty. Ends the process where there is no memory. */
struct text {
    char *at;
    size_t len;
    size_t cap;
};

void text_free(struct text *text);
void text_add(struct text *text, const void *bytes, size_t len);
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Names a message: the writer and its number. */
typedef uint32_t text_key;
enum { TEXT_WRITERS = 32, TEXT_NUMBERS = 1 << 27 };

static inline text_key text_key_of(unsigned writer, unsigned number)
{
    return (text_key)(writer * (unsigned)TEXT_NUMBERS + number);
}

static inline unsigned text_writer(text_key key)
{
    return key / TEXT_NUMBERS;
}

static inline unsigned text_number(text_key key)
{
    return key % TEXT_NUMBERS;
}

/* Replaces what is in out by the message. */
void text_message(struct text *out, uint64_t seed, text_key key);

/* Whether the bytes are a message of this run, and which. `scratch` is the caller's, to be used again. */
bool text_is_message(const struct text *bytes, uint64_t seed, text_key *key, struct text *scratch);

/* Adds the bytes as a JSON string, its characters escaped in one of the ways that JSON has. */
void text_add_json(struct text *out, const struct text *bytes, struct random *random);

/* Reads the JSON string that starts at *at (with its quote) into out, and moves *at behind it. */
bool text_read_json(const char **at, const char *end, struct text *out);

#endif
