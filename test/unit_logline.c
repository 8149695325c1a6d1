/* Log lines, read from a pipe or a file at the other end. */
#include "clock.h"
#include "json.h"
#include "logline.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

TestSuite(logline, .timeout = 60);

enum { LINE_ROOM = LOGLINE_EVENT_MAX * 6 }; /* for any one line */

/* ---- A reader ---- */

struct pipe {
    int out; /* to read from */
    int in;  /* for the log */
};

static struct pipe pipe_open(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    return (struct pipe){.out = ends[0], .in = ends[1]};
}

/* Reads until the writer's end is closed. */
static void read_all(int fd, struct buf *text)
{
    char bytes[65536];
    ssize_t len;
    while ((len = read(fd, bytes, sizeof bytes)) > 0)
        buf_add(text, bytes, (size_t)len);
}

/* A temporary file takes all lines and never blocks. */
static int file_open(void)
{
    char path[] = "/tmp/loglineXXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    unlink(path);
    return fd;
}

static struct buf file_text(int fd)
{
    struct buf text = {0};
    cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
    read_all(fd, &text);
    buf_add_char(&text, '\0');
    text.len--;
    close(fd);
    return text;
}

/* Takes the next line off the front; its newline is left out. */
static bool line_next(struct span *text, struct span *line)
{
    const char *end = text->len > 0 ? memchr(text->at, '\n', text->len) : NULL;
    if (!end)
        return false;
    *line = (struct span){.at = text->at, .len = (size_t)(end - text->at)};
    *text = (struct span){.at = end + 1, .len = text->len - line->len - 1};
    return true;
}

static size_t line_count(struct span text)
{
    struct span line;
    size_t count = 0;
    while (line_next(&text, &line))
        count++;
    cr_assert_eq(text.len, 0, "the last line is broken: %.*s", (int)text.len, text.at);
    return count;
}

/* Whether text has the form of the pattern, in which 0 is any digit. */
static bool has_form(const char *text, const char *pattern, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (pattern[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != pattern[i])
            return false;
    return true;
}

static const char time_form[] = "0000-00-00T00:00:00.000Z";
enum { TIME_LEN = sizeof time_form - 1 };

/* What is behind the time, as a C string. */
static const char *behind_time(struct span line, char out[LINE_ROOM])
{
    cr_assert(line.len > TIME_LEN && has_form(line.at, time_form, TIME_LEN), "%.*s", (int)line.len, line.at);

    cr_assert(span_copy((struct span){.at = line.at + TIME_LEN, .len = line.len - TIME_LEN}, out, LINE_ROOM));
    return out;
}

/* ---- Form ---- */

Test(logline, nothing_is_on_before_the_start_and_after_the_stop)
{
    cr_assert(!logline_on(LOGLINE_ERROR));
    logline(LOGLINE_ERROR, "nobody hears this");
    logline_stop();
    int fd = file_open();
    cr_assert_eq(logline_start(fd, LOGLINE_DEBUG, LOGLINE_TEXT, "master"), 0);
    cr_assert(logline_on(LOGLINE_DEBUG));
    logline_stop();
    cr_assert(!logline_on(LOGLINE_ERROR));
    logline(LOGLINE_ERROR, "nor this");
    struct buf text = file_text(fd);
    cr_assert_eq(text.len, 0);
    buf_free(&text);
}

Test(logline, text_lines_have_the_promised_form)
{
    char rest[LINE_ROOM];
    int fd = file_open();
    cr_assert_eq(logline_start(fd, LOGLINE_DEBUG, LOGLINE_TEXT, "master"), 0);
    logline(LOGLINE_INFO, "appended %d (%d bytes) from %s", 17, 5, "127.0.0.1:53211");
    logline(LOGLINE_DEBUG, "a");
    logline(LOGLINE_WARN, "b \"c\"");
    logline(LOGLINE_ERROR, "%s", "");
    logline_stop();
    struct buf text = file_text(fd);
    struct span left = buf_span(&text), line;
    cr_assert(line_next(&left, &line));
    cr_assert_str_eq(behind_time(line, rest), " INFO  master appended 17 (5 bytes) from 127.0.0.1:53211");
    cr_assert(line_next(&left, &line));
    cr_assert_str_eq(behind_time(line, rest), " DEBUG master a");
    cr_assert(line_next(&left, &line));
    cr_assert_str_eq(behind_time(line, rest), " WARN  master b \"c\"");
    cr_assert(line_next(&left, &line));
    cr_assert_str_eq(behind_time(line, rest), " ERROR master ");
    cr_assert_eq(left.len, 0);
    buf_free(&text);
}

/* Asserts that the line is one JSON object, with this behind its time. */
static void assert_json_line(struct span line, const char *wanted)
{
    static const char begin[] = "{\"time\":\"";
    struct json json = json_text(line);
    char rest[LINE_ROOM];
    cr_assert(json_skip(&json) && json_end(&json), "%.*s", (int)line.len, line.at);
    cr_assert(line.len > sizeof begin && memcmp(line.at, begin, sizeof begin - 1) == 0);
    cr_assert_str_eq(behind_time(span_after(line, sizeof begin - 1), rest), wanted);
}

Test(logline, json_lines_have_a_word_a_sentence_and_fields)
{
    static const char *const wanted[] = {
        "\",\"level\":\"info\",\"role\":\"secondary\",\"event\":\"ack\",\"message\":\"ACK up to 7\","
        "\"last\":7,\"ms\":0.2,\"member\":\"s1\"}",
        "\",\"level\":\"info\",\"role\":\"secondary\",\"event\":\"shown\",\"message\":\"7 shows\"}",
        "\",\"level\":\"error\",\"role\":\"secondary\",\"event\":\"log\",\"message\":"
        "\"say \\\"hi\\\"\\\\x0a\\\\x5c \xc3\xa9 \\\\xff\"}",
        "\",\"level\":\"warn\",\"role\":\"secondary\",\"event\":\"request\",\"message\":\"\","
        "\"path\":\"\\\"\\\\x0a\",\"status\":0,\"bytes\":123456789012345,\"ms\":-1.5}",
    };
    int fd = file_open();
    cr_assert_eq(logline_start(fd, LOGLINE_INFO, LOGLINE_JSON, "secondary"), 0);
    logline_event(LOGLINE_INFO, "ack",
                  LOG_FIELDS(LOG_NUMBER("last", 7), LOG_NUMBER("ms", 0.2), LOG_TEXT("member", "s1")),
                  "ACK up to %d", 7);
    logline_event(LOGLINE_INFO, "shown", NULL, "%d shows", 7);
    logline_event(LOGLINE_DEBUG, "shown", NULL, "%d shows", 8);
    logline(LOGLINE_ERROR, "say \"hi\"\n\\ \xc3\xa9 \xff");
    logline_event(LOGLINE_WARN, "request",
                  LOG_FIELDS(LOG_TEXT("path", "\"\n"), LOG_NUMBER("status", 0),
                             LOG_NUMBER("bytes", UINT64_C(123456789012345)), LOG_NUMBER("ms", -1.5)),
                  "%s", "");
    logline_stop();
    struct buf text = file_text(fd);
    struct span left = buf_span(&text), line;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        cr_assert(line_next(&left, &line));
        assert_json_line(line, wanted[i]);
    }
    cr_assert_eq(left.len, 0);
    buf_free(&text);
}

Test(logline, lines_of_text_have_no_fields)
{
    char rest[LINE_ROOM];
    int fd = file_open();
    cr_assert_eq(logline_start(fd, LOGLINE_INFO, LOGLINE_TEXT, "m"), 0);
    cr_assert_null(LOG_FIELDS(LOG_NUMBER("id", 1)));
    logline_event(LOGLINE_INFO, "appended", LOG_FIELDS(LOG_NUMBER("id", 1)), "appended %d", 1);
    logline_stop();
    struct buf text = file_text(fd);
    struct span left = buf_span(&text), line;
    cr_assert(line_next(&left, &line));
    cr_assert_str_eq(behind_time(line, rest), " INFO  m appended 1");
    buf_free(&text);
}

/* The sentence is as long as can be, and each byte of it and of the field needs five. */
Test(logline, a_field_without_room_is_left_out_and_those_behind_it_are_not)
{
    char longest[LOGLINE_EVENT_MAX + 1] = "";
    int fd = file_open();
    memset(longest, '\x1b', LOGLINE_EVENT_MAX);
    cr_assert_eq(logline_start(fd, LOGLINE_INFO, LOGLINE_JSON, "m"), 0);
    logline_event(LOGLINE_INFO, "request",
                  LOG_FIELDS(LOG_TEXT("a", longest), LOG_TEXT("b", longest + LOGLINE_EVENT_MAX - 300),
                             LOG_TEXT("c", longest + LOGLINE_EVENT_MAX - 300), LOG_NUMBER("d", 1)),
                  "%s", longest);
    logline_stop();
    struct buf text = file_text(fd);
    struct span left = buf_span(&text), line;
    cr_assert(line_next(&left, &line));
    struct json json = json_text(line);
    cr_assert(json_skip(&json) && json_end(&json));
    cr_assert(!strstr(text.data, "\"a\":") && strstr(text.data, "\"b\":") && !strstr(text.data, "\"c\":") &&
              strstr(text.data, ",\"d\":1}"));
    buf_free(&text);
}

Test(logline, lines_below_the_level_are_left_out)
{
    int fd = file_open();
    cr_assert_eq(logline_start(fd, LOGLINE_WARN, LOGLINE_TEXT, "master"), 0);
    cr_assert(!logline_on(LOGLINE_INFO) && logline_on(LOGLINE_WARN) && logline_on(LOGLINE_ERROR));
    for (int level = LOGLINE_DEBUG; level <= LOGLINE_ERROR; level++)
        logline((enum logline_level)level, "level %d", level);
    logline_stop();
    struct buf text = file_text(fd);
    cr_assert_eq(line_count(buf_span(&text)), 2);
    buf_free(&text);
}

/* Undoes \xNN; the result has the length of `len`. */
static size_t unescape(const char *at, char *out)
{
    size_t len = 0;
    for (; *at; len++)
        if (*at == '\\') {
            unsigned byte;
            cr_assert_eq(sscanf(at, "\\x%2x", &byte), 1, "%s", at);
            out[len] = (char)byte;
            at += 4;
        } else
            out[len] = *at++;
    return len;
}

Test(logline, whatever_the_event_holds_it_is_one_line_that_can_be_read_back)
{
    char rest[LINE_ROOM], back[LINE_ROOM];
    int fd = file_open();
    cr_assert_eq(logline_start(fd, LOGLINE_INFO, LOGLINE_TEXT, "m"), 0);
    for (int c = 1; c < 256; c++)
        for (int next = 1; next < 256; next += 17)
            logline(LOGLINE_INFO, "%c%cx41", c, next);
    logline_stop();
    struct buf text = file_text(fd);
    struct span left = buf_span(&text), line;
    for (int c = 1; c < 256; c++)
        for (int next = 1; next < 256; next += 17) {
            cr_assert(line_next(&left, &line), "%d %d", c, next);
            for (size_t i = 0; i < line.len; i++)
                cr_assert((unsigned char)line.at[i] >= 0x20 && line.at[i] != 0x7f);
            cr_assert(json_utf8_valid(line));
            const char *event = behind_time(line, rest) + strlen(" INFO  m ");
            char wanted[] = {(char)c, (char)next, 'x', '4', '1'};
            cr_assert_eq(unescape(event, back), sizeof wanted, "%s", event);
            cr_assert(memcmp(back, wanted, sizeof wanted) == 0, "%s", event);
        }
    cr_assert_eq(left.len, 0);
    buf_free(&text);
}

Test(logline, characters_that_terminals_obey_are_escaped)
{
    static const struct {
        const char *event;
        const char *shown;
    } rows[] = {
        {"\x1b[2J", "\\x1b[2J"},
        {"\xc2\x80", "\\xc2\\x80"},
        {"\xc2\x9b", "\\xc2\\x9b"},
        {"\xc2\x9f", "\\xc2\\x9f"},
        {"\xc2\xa0", "\xc2\xa0"},
        {"\xe2\x80\xa8", "\\xe2\\x80\\xa8"},
        {"\xe2\x80\xae", "\\xe2\\x80\\xae"},
        {"\xe2\x80\xa7", "\xe2\x80\xa7"},
        {"\xe2\x80\xaf", "\xe2\x80\xaf"},
        {"\xe2\x81\xa6", "\\xe2\\x81\\xa6"},
        {"\xe2\x81\xaa", "\\xe2\\x81\\xaa"},
        {"\xd8\x9c", "\\xd8\\x9c"},
        {"\xe2\x80\x8b", "\\xe2\\x80\\x8b"},
        {"\xe2\x80\x8f", "\\xe2\\x80\\x8f"},
        {"\xe2\x80\x8a", "\xe2\x80\x8a"},
        {"\xe2\x80\x90", "\xe2\x80\x90"},
        {"\xe2\x81\xa0", "\\xe2\\x81\\xa0"},
        {"\xe2\x81\xa4", "\\xe2\\x81\\xa4"},
        {"\xe2\x81\xb0", "\xe2\x81\xb0"},
        {"\xef\xbb\xbf", "\\xef\\xbb\\xbf"},
        {"\xf3\xa0\x81\xa1", "\\xf3\\xa0\\x81\\xa1"},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
        {"\xf0\x9f\x98", "\\xf0\\x9f\\x98"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
    };
    char rest[LINE_ROOM];
    int fd = file_open();
    cr_assert_eq(logline_start(fd, LOGLINE_INFO, LOGLINE_TEXT, "m"), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        logline(LOGLINE_INFO, "%s", rows[i].event);
    logline_stop();
    struct buf text = file_text(fd);
    struct span left = buf_span(&text), line;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert(line_next(&left, &line));
        cr_assert_str_eq(behind_time(line, rest) + strlen(" INFO  m "), rows[i].shown);
    }
    buf_free(&text);
}

/* The event of the one line that is logged. */
static void log_one(const char *event, bool json, char out[LINE_ROOM])
{
    int fd = file_open();
    cr_assert_eq(logline_start(fd, LOGLINE_INFO, json ? LOGLINE_JSON : LOGLINE_TEXT, "m"), 0);
    logline(LOGLINE_INFO, "%s", event);
    logline_stop();
    struct buf text = file_text(fd);
    struct span left = buf_span(&text), line;
    cr_assert(line_next(&left, &line));
    cr_assert_eq(left.len, 0);
    if (json)
        cr_assert(span_copy(line, out, LINE_ROOM));
    else
        memmove(out, behind_time(line, out) + strlen(" INFO  m "),
                line.len - TIME_LEN - strlen(" INFO  m ") + 1);
    buf_free(&text);
}

Test(logline, a_long_event_is_cut_between_two_characters)
{
    char event[LOGLINE_EVENT_MAX * 2 + 1] = "", out[LINE_ROOM];
    memset(event, 'x', LOGLINE_EVENT_MAX);
    log_one(event, false, out);
    cr_assert_str_eq(out, event, "the longest that is not cut");
    event[LOGLINE_EVENT_MAX] = 'y';
    log_one(event, false, out);
    cr_assert_eq(strlen(out), LOGLINE_EVENT_MAX);
    cr_assert_str_eq(out + LOGLINE_EVENT_MAX - 4, "x...");

    for (size_t shift = 0; shift < 4; shift++) {
        memset(event, 'x', shift);
        for (size_t i = shift; i + 4 < sizeof event; i += 4)
            memcpy(event + i, "\xf0\x9f\x98\x80", 4);
        log_one(event, false, out);
        size_t len = strlen(out);
        cr_assert(len <= LOGLINE_EVENT_MAX && len > LOGLINE_EVENT_MAX - 4);
        cr_assert(!strchr(out, '\\'), "a character was cut in two");
        cr_assert_str_eq(out + len - 3, "...");
    }
}

Test(logline, the_longest_line_fits)
{
    char event[LOGLINE_EVENT_MAX + 1] = "", out[LINE_ROOM];
    memset(event, '\x1b', LOGLINE_EVENT_MAX);
    log_one(event, true, out);
    cr_assert(strlen(out) > 5 * LOGLINE_EVENT_MAX);
    struct json json = json_text(span_of(out));
    cr_assert(json_skip(&json) && json_end(&json));
}

Test(logline, errno_stays_as_it_was)
{
    int fd = file_open();
    cr_assert_eq(logline_start(fd, LOGLINE_INFO, LOGLINE_TEXT, "m"), 0);
    errno = EXDEV;
    logline(LOGLINE_INFO, "x");
    logline(LOGLINE_DEBUG, "x");
    cr_assert_eq(errno, EXDEV);
    logline_stop();
    close(fd);
}

/* ---- Readers of all kinds ---- */

Test(logline, a_line_arrives_without_a_stop)
{
    struct pipe pipe = pipe_open();
    cr_assert_eq(logline_start(pipe.in, LOGLINE_INFO, LOGLINE_TEXT, "m"), 0);
    for (int i = 0; i < 3; i++) {
        char bytes[256];
        logline(i == 1 ? LOGLINE_WARN : LOGLINE_INFO, "line %d", i);
        cr_assert_eq(poll(&(struct pollfd){.fd = pipe.out, .events = POLLIN}, 1, 5000), 1);
        cr_assert(read(pipe.out, bytes, sizeof bytes) > 0);
    }
    logline_stop();
}

struct talker {
    pthread_t thread;
    int number;
};

enum { TALKERS = 6, LINES = 3000 };

static void *talk(void *of)
{
    const struct talker *talker = of;
    for (int i = 0; i < LINES; i++) {
        logline(LOGLINE_INFO, "%d %d", talker->number, i);
        if (i % 200 == 0)
            usleep(1000);
    }
    return NULL;
}

Test(logline, lines_of_many_threads_arrive_whole_and_in_order)
{
    struct talker talkers[TALKERS];
    int next[TALKERS] = {0};
    char rest[LINE_ROOM], time[TIME_LEN + 1] = "";
    int fd = file_open();
    cr_assert_eq(logline_start(fd, LOGLINE_INFO, LOGLINE_TEXT, "m"), 0);
    for (int i = 0; i < TALKERS; i++) {
        talkers[i].number = i;
        cr_assert_eq(pthread_create(&talkers[i].thread, NULL, talk, &talkers[i]), 0);
    }
    for (int i = 0; i < TALKERS; i++)
        pthread_join(talkers[i].thread, NULL);
    logline_stop();
    struct buf text = file_text(fd);
    struct span left = buf_span(&text), line;
    while (line_next(&left, &line)) {
        int number, i;
        cr_assert_eq(sscanf(behind_time(line, rest), " INFO  m %d %d", &number, &i), 2, "%s", rest);
        cr_assert(number >= 0 && number < TALKERS);
        cr_assert_eq(i, next[number]++);
        cr_assert(memcmp(time, line.at, TIME_LEN) <= 0, "lines stand in the order of their times");
        memcpy(time, line.at, TIME_LEN);
    }
    for (int i = 0; i < TALKERS; i++)
        cr_assert_eq(next[i], LINES);
    buf_free(&text);
}

Test(logline, callers_do_not_wait_for_a_reader_that_is_stuck_and_the_stop_not_for_long)
{
    struct pipe pipe = pipe_open();
    cr_assert_eq(logline_start(pipe.in, LOGLINE_INFO, LOGLINE_TEXT, "m"), 0);
    int64_t start_ms = clock_ms();
    for (int i = 0; i < 100000; i++)
        logline(LOGLINE_INFO, "line %d", i);
    cr_assert(clock_ms() - start_ms < 10000);
    start_ms = clock_ms();
    logline_stop();
    cr_assert(clock_ms() - start_ms < 5000);
}

struct reader {
    int fd;
    struct buf text;
    atomic_size_t len; /* of the text */
};

static void *reader_run(void *of)
{
    struct reader *reader = of;
    char bytes[65536];
    ssize_t len;
    while ((len = read(reader->fd, bytes, sizeof bytes)) > 0) {
        buf_add(&reader->text, bytes, (size_t)len);
        atomic_store(&reader->len, reader->text.len);
    }
    return NULL;
}

/* Waits until all of a full buffer has been read: a line that is logged then finds room. */
static void reader_await(const struct reader *reader)
{
    size_t before;
    do {
        before = atomic_load(&reader->len);
        usleep(300000);
    } while (before < LOGLINE_BUFFER / 2 || before != atomic_load(&reader->len));
}

/* Logs more than the buffer holds, and only then begins to read. Asserts that all lines were read or counted
 * as dropped. */
static void log_to_late_reader(int flags)
{
    enum { MANY = 60000 };
    struct pipe pipe = pipe_open();
    struct reader reader = {.fd = pipe.out};
    pthread_t thread;
    unsigned long long dropped = 0, all_dropped = 0;
    cr_assert_eq(fcntl(pipe.in, F_SETFL, fcntl(pipe.in, F_GETFL) | flags), 0);
    cr_assert_eq(logline_start(pipe.in, LOGLINE_INFO, LOGLINE_TEXT, "m"), 0);
    for (int i = 0; i < MANY; i++)
        logline(LOGLINE_INFO, "line %d", i);
    cr_assert_eq(pthread_create(&thread, NULL, reader_run, &reader), 0);
    reader_await(&reader);
    logline(LOGLINE_INFO, "last");
    logline_stop();
    close(pipe.in);
    pthread_join(thread, NULL);

    struct span left = buf_span(&reader.text), line;
    size_t lines = 0;
    while (line_next(&left, &line)) {
        char rest[LINE_ROOM];
        if (sscanf(behind_time(line, rest), " WARN  m dropped %llu log lines", &dropped) == 1)
            all_dropped += dropped;
        else
            lines++;
    }
    cr_assert_eq(left.len, 0);
    cr_assert(all_dropped > 0);
    cr_assert_eq(lines + all_dropped, MANY + 1);
    cr_assert_eq(logline_lost(), all_dropped);
    cr_assert(line.len > 4 && memcmp(line.at + line.len - 4, "last", 4) == 0);
    buf_free(&reader.text);
}

Test(logline, a_reader_that_comes_late_is_told_how_many_lines_were_dropped)
{
    log_to_late_reader(0);
}

Test(logline, a_descriptor_that_someone_made_non_blocking_loses_nothing_more)
{
    log_to_late_reader(O_NONBLOCK);
}

Test(logline, a_reader_that_is_gone_harms_nobody)
{
    struct pipe pipe = pipe_open();
    close(pipe.out);
    cr_assert_eq(logline_start(pipe.in, LOGLINE_INFO, LOGLINE_TEXT, "m"), 0);
    logline(LOGLINE_ERROR, "x");
    usleep(50000);
    logline(LOGLINE_INFO, "y");
    logline_stop();
    cr_assert_eq(logline_start(-1, LOGLINE_INFO, LOGLINE_TEXT, "m"), 0);
    logline(LOGLINE_INFO, "z");
    logline_stop();
}

/* ---- At a terminal ---- */

/* One line of each level, as a terminal gets them. */
static struct buf terminal_text(void)
{
    int fd = file_open();
    cr_assert_eq(logline_start(fd, LOGLINE_DEBUG, LOGLINE_TERMINAL, "m"), 0);
    for (int level = LOGLINE_DEBUG; level <= LOGLINE_ERROR; level++)
        logline((enum logline_level)level, "event");
    logline_stop();
    return file_text(fd);
}

static void expect_terminal(const char *const behind[])
{
    static const char form[] = "00:00:00.000";
    struct buf text = terminal_text();
    struct span left = buf_span(&text), line;
    for (int i = 0; i < 4; i++) {
        cr_assert(line_next(&left, &line));
        cr_assert(has_form(line.at, form, strlen(form)), "%.*s", (int)line.len, line.at);
        cr_expect(span_equals(span_after(line, strlen(form)), behind[i]), "%.*s", (int)line.len, line.at);
    }
    cr_expect_eq(left.len, 0);
    buf_free(&text);
}

static const char *const plain_lines[] = {" DEBUG event", " INFO  event", " WARN  event", " ERROR event"};

Test(logline, at_a_terminal_the_time_is_short_and_levels_have_colours)
{
    static const char *const coloured[] = {" \x1b[2mDEBUG\x1b[0m event", " \x1b[32mINFO \x1b[0m event",
                                           " \x1b[33mWARN \x1b[0m event", " \x1b[1;31mERROR\x1b[0m event"};
    unsetenv("NO_COLOR");
    expect_terminal(coloured);
    setenv("NO_COLOR", "", 1); /* as if it were not there (no-color.org) */
    expect_terminal(coloured);
}

/* The role stands in the lines where they are not for a terminal. */
static bool role_is_told(int fd, enum logline_format format)
{
    char text[256] = "";
    int reader = ptsname(fd) ? fd : -1;
    int writer = reader < 0 ? fd : open(ptsname(fd), O_WRONLY | O_NOCTTY);
    cr_assert_eq(logline_start(writer, LOGLINE_INFO, format, "role"), 0);
    logline(LOGLINE_INFO, "event");
    logline_stop();
    if (reader < 0)
        cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
    cr_assert(read(fd, text, sizeof text - 1) > 0);
    close(writer);
    return strstr(text, "role event");
}

Test(logline, lines_are_for_a_terminal_where_there_is_one_and_nothing_else_was_asked_for)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    cr_expect(!role_is_told(terminal, LOGLINE_AUTO));
    cr_expect(role_is_told(terminal, LOGLINE_TEXT));
    cr_expect(role_is_told(file_open(), LOGLINE_AUTO));
}

Test(logline, at_a_terminal_no_color_is_obeyed)
{
    setenv("NO_COLOR", "1", 1);
    expect_terminal(plain_lines);
}

Test(logline, at_a_terminal_the_time_is_the_local_one)
{
    setenv("NO_COLOR", "1", 1);
    setenv("TZ", "XXX-05:30", 1); /* ahead by that */
    tzset();
    struct buf text = terminal_text();
    time_t now = time(NULL);
    struct tm tm;
    int minutes = (text.data[0] - '0') * 600 + (text.data[1] - '0') * 60 + (text.data[3] - '0') * 10 +
                  text.data[4] - '0';
    gmtime_r(&now, &tm);
    int ahead = (minutes - tm.tm_hour * 60 - tm.tm_min + 1440) % 1440;
    cr_expect(ahead == 330 || ahead == 329, "%d", ahead);
    buf_free(&text);
}
