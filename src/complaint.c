#include "complaint.h"
#include "clock.h"
#include <stdarg.h>
#include <stdio.h>

/* The bits of a kind that are no hash. */
enum { KIND_USED = 1, KIND_WARNS = 2, KIND_BITS = 2 };

static const uint64_t hash_begin = UINT64_C(14695981039346656037);

/* FNV-1a, with a 0 behind the text. */
static uint64_t hash(uint64_t before, const char *text, bool with_digits)
{
    const uint64_t prime = UINT64_C(1099511628211);
    for (; *text; text++)
        if (with_digits || *text < '0' || *text > '9')
            before = (before ^ (unsigned char)*text) * prime;
    return before * prime;
}

static bool is_over(const struct complaint *complaint, int64_t now_ms)
{
    return !complaint->kind || now_ms - complaint->since_ms >= COMPLAINT_MINUTE_MS;
}

/* The kind's place among so many; a new kind takes one whose minute is over, or a warning that of a kind that
 * is none. NULL where there is none. */
static struct complaint *place_find(struct complaint *places, int count, uint64_t kind, int64_t now_ms)
{
    struct complaint *over = NULL, *lesser = NULL;
    for (struct complaint *place = places; place < places + count; place++) {
        if (place->kind == kind)
            return place;
        if (is_over(place, now_ms))
            over = place;
        else if (kind & KIND_WARNS && !(place->kind & KIND_WARNS))
            lesser = place;
    }
    struct complaint *taken = over ? over : lesser;
    if (taken)
        *taken = (struct complaint){.kind = kind};
    return taken;
}

static struct complaint *kind_find(struct complaints *complaints, const char *about, const char *sentence,
                                   const char *format, uint64_t bits, int64_t now_ms)
{
    uint64_t own = hash(hash(hash_begin, about, true), sentence, false) << KIND_BITS | bits;
    uint64_t common = hash(hash_begin, format, true) << KIND_BITS | bits;
    struct complaint *place = place_find(complaints->kinds, COMPLAINT_KINDS, own, now_ms);
    return place ? place : place_find(complaints->formats, COMPLAINT_FORMATS, common, now_ms);
}

/* "; 41 times in the last minute", or nothing where all of them had lines. */
static void times_write(unsigned times, int64_t within_ms, char *out, size_t out_size)
{
    int64_t minutes = within_ms / COMPLAINT_MINUTE_MS;
    if (times == 1)
        out[0] = '\0';
    else if (minutes < 2)
        snprintf(out, out_size, "; %u times in the last minute", times);
    else
        snprintf(out, out_size, "; %u times in the last %d minutes", times, (int)minutes);
}

/* Counts one more, and begins another minute where the last is over. Returns how often it was since the last
 * line, or 0 where it has none. */
static unsigned count(struct complaint *complaint, unsigned most, int64_t now_ms)
{
    unsigned times = complaint->untold + 1;
    if (is_over(complaint, now_ms)) {
        complaint->since_ms = now_ms;
        complaint->told = times > 1 ? most : 1; /* it goes on: this is the minute's only line */
    } else if (complaint->told < most) {
        complaint->told++;
    } else {
        complaint->untold++;
        return 0;
    }
    complaint->untold = 0;
    return times;
}

void complain(struct complaints *complaints, enum logline_level level, const char *about, const char *word,
              const struct log_field *fields, const char *format, ...)
{
    char sentence[LOGLINE_EVENT_MAX];
    char suffix[64] = "";
    unsigned times = 0;
    va_list args;
    if (!logline_on(level))
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    int64_t now_ms = clock_ms();
    bool warns = level >= LOGLINE_WARN;
    struct complaint *complaint =
        kind_find(complaints, about, sentence, format, KIND_USED | (warns ? KIND_WARNS : 0), now_ms);
    if (complaint) {
        int64_t within_ms = now_ms - complaint->since_ms;
        times = count(complaint, warns ? 1 : COMPLAINT_INFOS, now_ms);
        times_write(times, within_ms, suffix, sizeof suffix);
    }
    logline_event(times ? level : LOGLINE_DEBUG, word, fields, "%s%s", sentence, times ? suffix : "");
}
