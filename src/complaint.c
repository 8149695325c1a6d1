#include "complaint.h"
#include "clock.h"
#include <stdarg.h>
#include <stdio.h>

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

/* The kind's place; a new kind takes one whose minute is over. NULL where there is none. */
static struct complaint *place_find(struct complaints *complaints, uint64_t kind, int64_t now_ms)
{
    struct complaint *place = NULL;
    for (int i = 0; i < COMPLAINT_KINDS; i++) {
        struct complaint *complaint = &complaints->kinds[i];
        if (complaint->kind == kind)
            return complaint;
        if (!place && is_over(complaint, now_ms))
            place = complaint;
    }
    if (place)
        *place = (struct complaint){0};
    return place;
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
    uint64_t kind = hash(hash(UINT64_C(14695981039346656037), about, true), sentence, false);
    kind = kind << 2 | (uint64_t)(level >= LOGLINE_WARN) << 1 | 1;
    struct complaint *complaint = place_find(complaints, kind, now_ms);
    if (complaint) {
        int64_t within_ms = now_ms - complaint->since_ms;
        times = count(complaint, level >= LOGLINE_WARN ? 1 : COMPLAINT_INFOS, now_ms);
        complaint->kind = kind;
        times_write(times, within_ms, suffix, sizeof suffix);
    }
    logline_event(times ? level : LOGLINE_DEBUG, word, fields, "%s%s", sentence, times ? suffix : "");
}
