/* The log lines of appends and of their answers: what happens to many posts within a pass is one line. */
#ifndef REPLICATION_APPEND_LINES_H
#define REPLICATION_APPEND_LINES_H

#include "replication/post.h"

/* What was done with many posts at once, for one log line. */
struct append_line {
    uint64_t first, last, count, bytes; /* of messages */
    char peer[64];
    unsigned have;     /* nodes that hold the last one, */
    unsigned need;     /* of so many */
    int64_t waited_ms; /* the longest */
};

/* All zero: nothing was done. */
struct append_lines {
    struct append_line appends, answers;
    struct append_line lates; /* answers 202 */
};

/* The post's messages are in the list. */
void append_lines_appended(struct append_lines *lines, const struct post *post);

/* The post is about to be answered. A wait that appended nothing has no line. */
void append_lines_answered(struct append_lines *lines, const struct post *post, int status,
                           int64_t waited_us);

/* Log what was appended, or answered, since the last call. */
void append_lines_tell_appended(struct append_lines *lines);
void append_lines_tell_answered(struct append_lines *lines);

#endif
