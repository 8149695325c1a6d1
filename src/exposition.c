#include "exposition.h"

void exposition_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_add_text(out, "# HELP ");
    buf_add_text(out, name);
    buf_add_char(out, ' ');
    buf_add_text(out, help);
    buf_add_text(out, "\n# TYPE ");
    buf_add_text(out, name);
    buf_add_char(out, ' ');
    buf_add_text(out, type);
    buf_add_char(out, '\n');
}

void exposition_label(struct buf *labels, const char *name, const char *value)
{
    if (labels->len)
        buf_add_char(labels, ',');
    buf_add_text(labels, name);
    buf_add_text(labels, "=\"");
    for (; *value; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            buf_add_char(labels, '\\');
        buf_add_char(labels, *value == '\n' ? 'n' : *value);
    }
    buf_add_char(labels, '"');
}

/* The name, with "_bucket" or the like behind it, and the labels. */
static void sample_begin(struct buf *out, const char *name, const char *suffix, struct span labels)
{
    buf_add_text(out, name);
    buf_add_text(out, suffix);
    if (labels.len) {
        buf_add_char(out, '{');
        buf_add_span(out, labels);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ' ');
}

static void count_end(struct buf *out, uint64_t value)
{
    buf_add_uint(out, value);
    buf_add_char(out, '\n');
}

/* Seconds with as many decimals as there are, six at most. */
static void seconds_add(struct buf *out, uint64_t us)
{
    buf_add_uint(out, us / 1000000);
    us %= 1000000;
    if (us)
        buf_add_char(out, '.');
    for (uint64_t unit = 100000; us; us %= unit, unit /= 10)
        buf_add_char(out, (char)('0' + us / unit));
}

static void seconds_end(struct buf *out, uint64_t us)
{
    seconds_add(out, us);
    buf_add_char(out, '\n');
}

void exposition_count(struct buf *out, const char *name, struct span labels, uint64_t value)
{
    sample_begin(out, name, "", labels);
    count_end(out, value);
}

void exposition_seconds(struct buf *out, const char *name, struct span labels, int64_t us)
{
    sample_begin(out, name, "", labels);
    seconds_end(out, us > 0 ? (uint64_t)us : 0);
}

/* How many took no longer than a bound; `bound` HISTOGRAM_BOUNDS: all. */
static void bucket_add(struct buf *out, const char *name, struct span labels, int bound, uint64_t count)
{
    buf_add_text(out, name);
    buf_add_text(out, "_bucket{");
    buf_add_span(out, labels);
    buf_add_text(out, labels.len ? ",le=\"" : "le=\"");
    if (bound == HISTOGRAM_BOUNDS)
        buf_add_text(out, "+Inf");
    else
        seconds_add(out, (uint64_t)histogram_bounds_us[bound]);
    buf_add_text(out, "\"} ");
    count_end(out, count);
}

void exposition_histogram(struct buf *out, const char *name, struct span labels,
                          const struct histogram *histogram)
{
    uint64_t count = 0;
    for (int i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        count += histogram->counts[i];
        bucket_add(out, name, labels, i, count);
    }
    sample_begin(out, name, "_sum", labels);
    seconds_end(out, histogram->sum_us);
    sample_begin(out, name, "_count", labels);
    count_end(out, count);
}
