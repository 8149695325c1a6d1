/* Decoder of the chunked transfer coding (RFC 9112 section 7.1). Extensions are passed over, trailer fields
 * are checked and dropped; both count against limits. Does no I/O. */
#ifndef HTTP_CHUNKED_H
#define HTTP_CHUNKED_H

#include "http/parser.h"

enum {
    HTTP_CHUNK_LINE_MAX = 1024, /* bytes of a chunk's size line, its extensions included */
    HTTP_TRAILER_MAX = 8192     /* bytes of the trailer section */
};

struct http_chunked {
    int state;     /* private; all zero at the start of a body */
    uint64_t left; /* private */
    size_t line;   /* private */
};

/* Decodes in[0..in_len) into out, which may be `in` itself, since decoded bytes never outrun the encoded.
 * *used: bytes of in that were taken, always all of them unless DONE (then what follows is the next message).
 * *out_len: bytes written to out by this call. BAD: the body is malformed, 400 and close. */
enum http_parse http_chunked_decode(struct http_chunked *chunked, const char *in, size_t in_len, size_t *used,
                                    char *out, size_t *out_len);

#endif
