/* Field lines of a head, for parser.c alone: reads them into the head and notes what the framing and the
 * connection depend on. Like the parser it does no I/O and keeps nothing.
 *
 * The bytes it reads are a whole head, found before, which ends with CRLF CRLF: no read goes past that. */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include "http/parser.h"

/* One head while it is read. Zeroed but for its first four. */
struct http_reader {
    const char *at; /* the next byte */
    const char *end;
    struct http_head *head;
    struct http_refusal *refusal;
    struct span host; /* these three: the field's value, `at` NULL where it is missing */
    struct span length;
    struct span coding;
    bool host_repeated;
    bool close; /* tokens of Connection */
    bool keep_alive;
    bool expect_continue; /* members of Expect */
    bool expect_other;
};

/* Fills *refusal and returns false. */
bool http_refuse(struct http_refusal *refusal, int status, const char *text);

/* Reads the field lines and the empty line after them into the head. False: refused. */
bool http_fields_read(struct http_reader *reader);

/* Reads the rest of a line, of bytes that a field value may have, without the white space around it. False:
 * refused. */
bool http_value_read(struct http_reader *reader, struct span *value);

/* Takes the next element off the front of a comma-separated list; empty ones are passed over (RFC 9110
 * section 5.6.1.2), and a comma in a quoted string separates nothing. Returns false when there is none left.
 */
bool http_list_next(struct span *list, struct span *element);

#endif
