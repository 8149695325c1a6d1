/* A line is formatted by its caller, outside the lock; under the lock it gets its time and is copied into the
 * buffer that fills. The writer thread waits for a first line, waits LOGLINE_FLUSH_MS more for others, takes
 * the whole buffer, gives an empty one in exchange, and writes with no lock held.
 *
 * Where the reader of the lines is stuck, the writer thread hangs in write(2), the other buffer fills, and
 * callers drop lines and count them. Neither O_NONBLOCK, which is shared with every process that has the same
 * terminal or pipe, nor poll(2), after which another process may fill the pipe first, would be better. At
 * the stop a thread that hangs is left behind: it holds no lock, and ends with the process. */
#include "logline.h"
#include "block.h"
#include "clock.h"
#include "condvar.h"
#include "format.h"
#include "hex.h"
#include "span.h"
#include "utf8.h"
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    HALF = LOGLINE_BUFFER / 2,
    STOP_MS = 200, /* what waits at the stop may take that long */
    TIME_LEN = sizeof "2026-11-22T10:00:00.123Z" - 1,
    OFF = LOGLINE_ERROR + 1,
    ESCAPED_MAX = 5 * LOGLINE_EVENT_MAX, /* each byte as \\xNN */
    FIELDS_MAX = 2048,                   /* of JSON */
    LINE_MAX_BYTES = ESCAPED_MAX + FIELDS_MAX + 256
};

/* A line without its time. */
struct line {
    size_t len;
    char bytes[LINE_MAX_BYTES];
};

struct half {
    size_t len;
    char bytes[HALF];
};

/* Set by logline_start, while no other thread logs. */
static int out_fd;
static bool as_json;
static bool as_terminal;
static char before_event[LOGLINE_ERROR + 1][80];

/* OFF unless started. Not under the lock: it is asked for every line that is not written. */
static atomic_int least_level = OFF;

static pthread_t writer;
/* The writer waits for `urgent`, `stopping` or a first line; logline_stop, when no line comes any more, for
 * `finished`. */
static pthread_cond_t wake;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static bool stopping = true;                              /* or stopped, or not started yet */
static bool finished;
static bool urgent;      /* do not wait for more lines */
static uint64_t dropped; /* lines, since the last line that told of it */
static uint64_t lost;    /* lines, since the start */
static struct half halves[2];
static struct half *filling = &halves[0];
static time_t time_second = -1; /* the second that time_text holds */
static char time_text[TIME_LEN + 1];

/* ---- A line ---- */

/* What stands between the time and the sentence of each level's lines; in JSON, and the event's word. */
static void before_event_make(const char *role)
{
    static const char *const text[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    static const char *const json[] = {"debug", "info", "warn", "error"};
    static const char *const colours[] = {"\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[1;31m"};
    const char *no_color = getenv("NO_COLOR");
    bool plain = no_color && *no_color;
    for (int level = LOGLINE_DEBUG; level <= LOGLINE_ERROR; level++) {
        char *out = before_event[level];
        size_t size = sizeof before_event[level];
        if (as_json)
            snprintf(out, size, "\",\"level\":\"%s\",\"role\":\"%s\",\"event\":\"", json[level], role);
        else if (as_terminal)
            snprintf(out, size, " %s%s%s ", plain ? "" : colours[level], text[level], plain ? "" : "\x1b[0m");
        else
            snprintf(out, size, " %s %s ", text[level], role);
    }
}

/* Characters of more than one byte that a terminal or viewer would obey or hide instead of show. */
static bool sequence_obeyed(const char *at, size_t len)
{
    static const struct {
        unsigned from, to;
    } obeyed[] = {
        {0x80, 0x9f},   /* C1 controls */
        {0x61c, 0x61c}, /* marks and changes of direction, spaces without width, separators of lines */
        {0x200b, 0x200f},   {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, /* byte order mark */
        {0xe0000, 0xe007f},                                                       /* tags */
    };
    unsigned character = (unsigned char)at[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++)
        character = character << 6 | ((unsigned char)at[i] & 0x3f);
    for (size_t i = 0; i < sizeof obeyed / sizeof *obeyed; i++)
        if (character >= obeyed[i].from && character <= obeyed[i].to)
            return true;
    return false;
}

/* Bytes of a block that do not stand in a line as they are. */
static uint64_t block_special(const struct block *block)
{
    uint64_t quotes = as_json ? block_equal(block, '"') : 0;
    return block_control(block) | block_high(block) | block_equal(block, 0x7f) | block_equal(block, '\\') |
           quotes;
}

/* How many bytes from `at` on may stand in a line as they are: all plain ones of a block, nearly always the
 * whole event, or one character of more bytes; 0 where the first must be escaped. */
static size_t plain_len(const char *at, const char *end)
{
    struct block block = block_read(at, end);
    uint64_t special = block_special(&block);
    size_t len = end - at < BLOCK_BYTES ? (size_t)(end - at) : BLOCK_BYTES;
    if (special)
        len = (size_t)__builtin_ctzll(special);
    if (len > 0 || (unsigned char)*at < 0x80)
        return len;
    len = utf8_len(at, end);
    return len > 0 && !sequence_obeyed(at, len) ? len : 0;
}

static void line_add(struct line *line, const char *bytes, size_t len)
{
    assert(len <= sizeof line->bytes - line->len);
    memcpy(line->bytes + line->len, bytes, len);
    line->len += len;
}

static void line_add_text(struct line *line, const char *text)
{
    line_add(line, text, strlen(text));
}

static void line_add_escape(struct line *line, char c)
{
    unsigned byte = (unsigned char)c;
    char escape[] = {'\\', '\\', 'x', hex_char(byte >> 4), hex_char(byte)};
    size_t skip = as_json ? 0 : 1;
    line_add(line, escape + skip, sizeof escape - skip);
}

static void line_add_event(struct line *line, const char *at, const char *end)
{
    while (at < end) {
        size_t len = plain_len(at, end);
        if (len > 0)
            line_add(line, at, len);
        else if (*at == '"')
            line_add_text(line, "\\\"");
        else
            line_add_escape(line, *at);
        at += len > 0 ? len : 1;
    }
}

static void line_add_number(struct line *line, double number)
{
    char text[40];
    bool whole = number >= 0 && number < 1e15 && number == (double)(uint64_t)number;
    snprintf(text, sizeof text, "%.*f", whole ? 0 : 1, number);
    line_add_text(line, text);
}

/* Leaves out those for which there is no room. */
static void line_add_fields(struct line *line, const struct log_field *field)
{
    size_t most = line->len + FIELDS_MAX;
    for (; field && field->name; field++) {
        size_t len = field->text ? strlen(field->text) : 0;
        if (line->len + strlen(field->name) + 5 * len + 48 > most)
            continue;
        line_add_text(line, ",\"");
        line_add_text(line, field->name);
        line_add_text(line, field->text ? "\":\"" : "\":");
        if (!field->text) {
            line_add_number(line, field->number);
        } else {
            line_add_event(line, field->text, field->text + len);
            line_add_text(line, "\"");
        }
    }
}

/* All of the line but its time, which goes in front. */
static void line_make(struct line *line, enum logline_level level, const char *word,
                      const struct log_field *fields, struct span sentence)
{
    line->len = 0;
    line_add_text(line, before_event[level]);
    if (as_json) {
        line_add_text(line, word);
        line_add_text(line, "\",\"message\":\"");
    }
    line_add_event(line, sentence.at, sentence.at + sentence.len);
    if (as_json) {
        line_add_text(line, "\"");
        line_add_fields(line, fields);
        line_add_text(line, "}");
    }
    line_add_text(line, "\n");
}

/* ---- The buffer that fills; with the lock held ---- */

/* Most lines share their second with the line before. */
static const char *time_now(void)
{
    struct timespec now;
    struct tm tm = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != time_second && (as_terminal ? localtime_r : gmtime_r)(&now.tv_sec, &tm)) {
        strftime(time_text, sizeof time_text, as_terminal ? "%H:%M:%S.000" : "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        time_second = now.tv_sec;
    }
    int ms = (int)(now.tv_nsec / 1000000);
    char *digits = strchr(time_text, '.') + 1;
    digits[0] = (char)('0' + ms / 100);
    digits[1] = (char)('0' + ms / 10 % 10);
    digits[2] = (char)('0' + ms % 10);
    return time_text;
}

static void fill(const void *bytes, size_t len)
{
    memcpy(filling->bytes + filling->len, bytes, len);
    filling->len += len;
}

static void fill_line(const struct line *line)
{
    static const char json_open[] = "{\"time\":\"";
    size_t open_len = as_json ? sizeof json_open - 1 : 0;
    if (open_len + TIME_LEN + line->len > HALF - filling->len) {
        dropped++;
        lost++;
        return;
    }
    fill(json_open, open_len);
    const char *time = time_now();
    fill(time, strlen(time));
    fill(line->bytes, line->len);
}

/* Comes behind the lines that were kept and before those that follow. */
static void fill_dropped(void)
{
    char event[128];
    struct line line;
    snprintf(event, sizeof event, "dropped %llu log lines: their reader does not keep up",
             (unsigned long long)dropped);
    line_make(&line, LOGLINE_WARN, "dropped", LOG_FIELDS(LOG_NUMBER("count", dropped)), span_of(event));
    dropped = 0;
    fill_line(&line);
}

/* ---- The writer thread ---- */

static struct timespec point_after_ms(int ms)
{
    int64_t us = clock_us() + ms * 1000;
    return (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
}

/* Waits for lines, and then for more. Returns false where none will come any more. */
static bool wait_for_lines(void)
{
    while (filling->len == 0 && !stopping)
        pthread_cond_wait(&wake, &mutex);
    struct timespec flush = point_after_ms(LOGLINE_FLUSH_MS);
    while (!urgent && !stopping)
        if (pthread_cond_timedwait(&wake, &mutex, &flush) == ETIMEDOUT)
            break;
    return filling->len > 0;
}

/* What the descriptor refuses is lost: there is nobody to tell. */
static void write_half(const struct half *half)
{
    size_t done = 0;
    while (done < half->len) {
        ssize_t len = write(out_fd, half->bytes + done, half->len - done);
        if (len > 0)
            done += (size_t)len;
        else if (len < 0 && errno == EAGAIN)
            poll(&(struct pollfd){.fd = out_fd, .events = POLLOUT}, 1, STOP_MS);
        else if (len == 0 || errno != EINTR)
            return;
    }
}

static void *writer_run(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    while (wait_for_lines()) {
        struct half *full = filling;
        filling = full == &halves[0] ? &halves[1] : &halves[0];
        filling->len = 0;
        urgent = false;
        if (dropped > 0)
            fill_dropped();
        pthread_mutex_unlock(&mutex);
        write_half(full);
        pthread_mutex_lock(&mutex);
    }
    finished = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* ---- Start and stop ---- */

/* All signals stay with the program's own threads, SIGPIPE of this one's writes too. */
static int writer_start(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&writer, NULL, writer_run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

int logline_start(int fd, enum logline_level least, enum logline_format format, const char *role)
{
    int error = -condvar_open(&wake);
    if (error)
        return error;
    out_fd = fd;
    as_json = format == LOGLINE_JSON;
    as_terminal = format == LOGLINE_TERMINAL || (format == LOGLINE_AUTO && isatty(fd));
    time_second = -1;
    before_event_make(role);
    stopping = finished = urgent = false;
    dropped = lost = 0;
    filling->len = 0;
    error = writer_start();
    if (error) {
        stopping = true;
        pthread_cond_destroy(&wake);
        return error;
    }
    atomic_store(&least_level, (int)least);
    return 0;
}

void logline_stop(void)
{
    atomic_store(&least_level, OFF);
    pthread_mutex_lock(&mutex);
    if (stopping) {
        pthread_mutex_unlock(&mutex);
        return;
    }
    stopping = true;
    pthread_cond_signal(&wake);
    struct timespec end = point_after_ms(STOP_MS);
    while (!finished && pthread_cond_timedwait(&wake, &mutex, &end) != ETIMEDOUT)
        continue;
    bool through = finished;
    pthread_mutex_unlock(&mutex);
    if (!through) {
        pthread_detach(writer);
        return;
    }
    pthread_join(writer, NULL);
    pthread_cond_destroy(&wake);
}

/* ---- Logging ---- */

bool logline_on(enum logline_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_acquire);
}

uint64_t logline_lost(void)
{
    pthread_mutex_lock(&mutex);
    uint64_t lines = lost;
    pthread_mutex_unlock(&mutex);
    return lines;
}

bool logline_has_fields(void)
{
    return as_json;
}

/* Cuts an event that was longer than the buffer, between two characters where it has characters. */
static size_t event_cut(char event[LOGLINE_EVENT_MAX + 1])
{
    size_t len = LOGLINE_EVENT_MAX - 3;
    for (int i = 0; i < 3 && utf8_is_tail(event[len]); i++)
        len--;
    memcpy(event + len, "...", 3);
    return len + 3;
}

static void line_hand_over(const struct line *line, enum logline_level level)
{
    pthread_mutex_lock(&mutex);
    if (!stopping) {
        bool first = filling->len == 0;
        bool hurry = !urgent && (level >= LOGLINE_WARN || filling->len > HALF / 2);
        fill_line(line);
        urgent = urgent || hurry;
        if (first || hurry)
            pthread_cond_signal(&wake);
    }
    pthread_mutex_unlock(&mutex);
}

void logline_event(enum logline_level level, const char *word, const struct log_field *fields,
                   const char *format, ...)
{
    char event[LOGLINE_EVENT_MAX + 1];
    struct line line;
    va_list args;
    if (!logline_on(level))
        return;
    int saved = errno;
    va_start(args, format);
    int len = format_args(event, sizeof event, format, args);
    va_end(args);
    if (len >= 0) {
        size_t kept = len < (int)sizeof event ? (size_t)len : event_cut(event);
        line_make(&line, level, word, fields, (struct span){event, kept});
        line_hand_over(&line, level);
    }
    errno = saved;
}
