/* Which bytes may stand where in HTTP, as one table, so that a check costs one load. Shared by the files of
 * this directory alone; each gets its own 256 bytes. */
#ifndef HTTP_BYTES_H
#define HTTP_BYTES_H

#include <stdbool.h>

enum {
    HTTP_BYTE_TOKEN = 1,  /* tchar (RFC 9110 section 5.6.2) */
    HTTP_BYTE_VALUE = 2,  /* field values: HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5) */
    HTTP_BYTE_TARGET = 4, /* VCHAR: what can be told from the spaces and the end of a request line */
    HTTP_BYTE_PATH = 8,   /* "/" and pchar without "%" (RFC 3986 section 3.3) */
    HTTP_BYTE_QUERY = 16, /* VCHAR but for '"', "#", "<", ">": RFC 3986 section 3.4 and what browsers send */
    HTTP_BYTE_HOST = 32   /* reg-name without "%" (RFC 3986 section 3.2.2) */
};

/* clang-format off */
static const unsigned char http_bytes[256] = {
      0,   0,   0,   0,   0,   0,   0,   0,   0,   2,   0,   0,   0,   0,   0,   0,
      0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
      2,  63,   6,   7,  63,  23,  63,  63,  62,  62,  63,  63,  62, 63, 63,  30,
    63, 63, 63, 63, 63, 63, 63, 63, 63, 63,  30,  62,   6,  62,   6,  22,
     30, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
    63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,  22,  22,  22,  23, 63,
     23, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
    63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,  22,  23,  22,  63,   0,
      2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
      2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
      2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
      2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
      2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
      2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
      2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
      2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
};
/* clang-format on */

static inline bool http_byte_is(char byte, unsigned classes)
{
    return (http_bytes[(unsigned char)byte] & classes) != 0;
}

#endif
