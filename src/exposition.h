/* The text in which Prometheus reads metrics (exposition format 0.0.4), added to a buffer. A family of
 * metrics is begun, and its samples follow at once. Knows nothing of what is measured. */
#ifndef EXPOSITION_H
#define EXPOSITION_H

#include "buf.h"
#include "histogram.h"

#define EXPOSITION_TYPE "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"

/* The HELP and TYPE lines. `type`: "counter", "gauge" or "histogram"; `help`: one line without backslashes.
 */
void exposition_family(struct buf *out, const char *name, const char *type, const char *help);

/* Adds name="value" to labels, escaped, with a comma in front of any but the first. */
void exposition_label(struct buf *labels, const char *name, const char *value);

/* One sample; `labels` may be empty. Seconds are told in microseconds; what is negative counts as 0. */
void exposition_count(struct buf *out, const char *name, struct span labels, uint64_t value);
void exposition_seconds(struct buf *out, const char *name, struct span labels, int64_t us);

/* All samples of a histogram, in seconds. */
void exposition_histogram(struct buf *out, const char *name, struct span labels,
                          const struct histogram *histogram);

#endif
