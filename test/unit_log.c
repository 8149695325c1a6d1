#include "elements.h"
#include "failing_malloc.h"
#include "log/log.h"
#include "logline.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

TestSuite(log, .timeout = 60);

/* ---- a list to compare with ---- */

/* The same messages in one plain array: message id starts at starts[id - 1], a comma behind each. */
struct model {
    char *bytes;
    size_t len;
    size_t room;
    size_t *starts; /* one more than messages */
    uint64_t count;
    uint64_t count_room;
};

static void model_free(struct model *model)
{
    free(model->bytes);
    free(model->starts);
}

/* Room for the bytes of one more element. */
static char *model_room(struct model *model, size_t len)
{
    while (model->room - model->len < len) {
        model->room = model->room * 2 + len;
        model->bytes = realloc(model->bytes, model->room);
    }
    if (model->count + 2 > model->count_room) {
        model->count_room = model->count_room * 2 + 2;
        model->starts = realloc(model->starts, model->count_room * sizeof *model->starts);
    }
    model->starts[model->count] = model->len;
    return model->bytes + model->len;
}

static void model_taken(struct model *model, size_t len)
{
    model->bytes[model->len + len] = ',';
    model->len += len + 1;
    model->starts[++model->count] = model->len;
}

/* Adds `"xxx"` with len - 2 bytes inside: printable ones, or (where fancy) escapes, commas and quotes too. */
static void model_add_random(struct model *model, size_t len, bool fancy, unsigned *seed)
{
    static const char *const pieces[] = {"\\\"", "\\\\", ",", "\\n", "\\u001f", "\xc3\xa9", "x"};
    char *at = model_room(model, len + 1);
    char *end = at + len - 1;

    *at++ = '"';
    while (at < end) {
        const char *piece = pieces[(size_t)rand_r(seed) % (sizeof pieces / sizeof *pieces)];

        if (fancy && (size_t)(end - at) >= strlen(piece)) {
            memcpy(at, piece, strlen(piece));
            at += strlen(piece);
        } else {
            *at++ = (char)('a' + rand_r(seed) % 26);
        }
    }
    *at = '"';
    model_taken(model, len);
}

/* The messages from `from` to `to`, as a slice has them. */
static struct span model_slice(const struct model *model, uint64_t from, uint64_t to)
{
    size_t begin = model->starts[from - 1];

    return (struct span){.at = model->bytes + begin, .len = model->starts[to] - begin - 1};
}

/* The id that ends the longest slice from `from` that is not longer than max_bytes. */
static uint64_t model_fit(const struct model *model, uint64_t from, uint64_t to, uint64_t max_bytes)
{
    uint64_t last = from;

    while (last < to && model_slice(model, from, last + 1).len <= max_bytes)
        last++;
    return last;
}

/* ---- helpers ---- */

static uint64_t add(struct log *log, const char *elements, uint64_t count)
{
    uint64_t last_id = 0;

    cr_assert_eq(list_append(log, span_of(elements), count, &last_id), 0);
    return last_id;
}

static struct log *log_of(const char *elements, uint64_t count)
{
    struct log *log = log_open();

    cr_assert_not_null(log);
    cr_assert_eq(add(log, elements, count), count);
    return log;
}

/* Appends the model's messages `from` to `to` at once. */
static void add_model(struct log *log, const struct model *model, uint64_t from, uint64_t to)
{
    uint64_t last_id = 0;

    cr_assert_eq(list_append(log, model_slice(model, from, to), to - from + 1, &last_id), 0);
    cr_assert_eq(last_id, to);
}

/* A list with the model's messages, `batch` at a time. */
static struct log *log_of_model(const struct model *model, uint64_t batch)
{
    struct log *log = log_open();

    for (uint64_t id = 1; id <= model->count; id += batch)
        add_model(log, model, id, id + batch - 1 < model->count ? id + batch - 1 : model->count);
    return log;
}

/* Whether the slice has these bytes. Takes it in steps: `pieces` iovecs at a time, then `step` bytes. */
static bool slice_is(struct log_slice slice, struct span wanted, int pieces, size_t step)
{
    struct iovec iov[8];

    if (slice.len != wanted.len)
        return false;
    while (slice.len > 0) {
        int count = log_slice_iov(&slice, iov, pieces);
        size_t left = step;

        if (count < 1 || count > pieces)
            return false;
        for (int i = 0; i < count && left > 0; i++) {
            size_t len = iov[i].iov_len < left ? iov[i].iov_len : left;

            if (len == 0 || len > wanted.len || memcmp(iov[i].iov_base, wanted.at, len) != 0)
                return false;
            log_slice_skip(&slice, len);
            wanted.at += len;
            wanted.len -= len;
            left -= len;
        }
    }
    return wanted.len == 0 && log_slice_iov(&slice, iov, pieces) == 0;
}

static bool slice_equals(struct log_slice slice, struct span wanted)
{
    return slice_is(slice, wanted, 8, SIZE_MAX);
}

/* Bytes of the whole list, the comma behind each message included. */
static uint64_t list_bytes(const struct log *log)
{
    struct log_slice all = log_slice(log, 1, UINT64_MAX);
    return all.count ? all.len + 1 : 0;
}

static struct log_slice next_from(struct log *log, uint64_t from, uint64_t max_bytes)
{
    return log_next(log, &(struct log_cursor){.id = from}, max_bytes);
}

static void expect(struct log *log, uint64_t from, uint64_t to, uint64_t count, const char *wanted)
{
    struct log_slice slice = log_slice(log, from, to);

    cr_assert_eq(slice.count, count);
    cr_assert(slice_equals(slice, span_of(wanted)));
}

static void expect_model(struct log *log, const struct model *model, uint64_t from, uint64_t to)
{
    struct log_slice slice = log_slice(log, from, to);

    cr_assert_eq(slice.count, to - from + 1);
    cr_assert(slice_equals(slice, model_slice(model, from, to)), "slice %lu to %lu", from, to);
}

/* ---- few messages ---- */

Test(log, an_empty_list_has_nothing)
{
    struct log *log = log_open();

    cr_assert_eq(log_last(log), 0);
    cr_assert_eq(list_bytes(log), 0);
    cr_assert_eq(log_digest(log, 0), 0);
    expect(log, 1, UINT64_MAX, 0, "");
    cr_assert_eq(next_from(log, 1, 100).len, 0);
    log_close(log);
}

Test(log, closing_no_list_is_harmless)
{
    log_close(NULL);
}

Test(log, a_message_comes_back_as_it_was_appended)
{
    struct log *log = log_of("\"hello\"", 1);

    expect(log, 1, 1, 1, "\"hello\"");
    cr_assert_eq(log_last(log), 1);
    cr_assert_eq(list_bytes(log), strlen("\"hello\","));
    log_close(log);
}

Test(log, ids_are_positions_without_holes)
{
    struct log *log = log_of("\"a\"", 1);

    cr_assert_eq(add(log, "\"b\",\"c\",\"d\"", 3), 4);
    cr_assert_eq(add(log, "\"e\"", 1), 5);
    expect(log, 1, 1, 1, "\"a\"");
    expect(log, 3, 3, 1, "\"c\"");
    expect(log, 4, 5, 2, "\"d\",\"e\"");
    expect(log, 1, 5, 5, "\"a\",\"b\",\"c\",\"d\",\"e\"");
    log_close(log);
}

Test(log, a_slice_ends_where_the_list_ends)
{
    struct log *log = log_of("\"a\",\"b\",\"c\"", 3);

    expect(log, 2, 99, 2, "\"b\",\"c\"");
    expect(log, 3, UINT64_MAX, 1, "\"c\"");
    expect(log, 4, UINT64_MAX, 0, "");
    expect(log, UINT64_MAX, UINT64_MAX, 0, "");
    expect(log, 3, 2, 0, "");
    log_close(log);
}

Test(log, appending_nothing_changes_nothing)
{
    struct log *log = log_open();

    cr_assert_eq(add(log, "", 0), 0);
    cr_assert_eq(add(log, "\"a\"", 1), 1);
    cr_assert_eq(add(log, "", 0), 1);
    cr_assert_eq(log_last(log), 1);
    cr_assert_eq(list_bytes(log), 4);
    expect(log, 1, 9, 1, "\"a\"");
    log_close(log);
}

Test(log, quotes_and_commas_inside_messages_end_none_of_them)
{
    struct log *log = log_of("\"\\\",\\\"\",\"\\\\\",\"\\\\\\\"\",\"\",\",\"", 5);

    expect(log, 1, 1, 1, "\"\\\",\\\"\"");
    expect(log, 2, 2, 1, "\"\\\\\"");
    expect(log, 3, 3, 1, "\"\\\\\\\"\"");
    expect(log, 4, 4, 1, "\"\"");
    expect(log, 5, 5, 1, "\",\"");
    log_close(log);
}

Test(log, what_comes_next_ends_before_it_would_pass_the_limit)
{
    struct log *log = log_of("\"a\",\"b\",\"cde\"", 3);

    cr_assert_eq(next_from(log, 1, 7).count, 2);
    cr_assert_eq(next_from(log, 1, 12).count, 2);
    cr_assert_eq(next_from(log, 1, 13).count, 3);
    cr_assert_eq(next_from(log, 2, UINT64_MAX).count, 2);
    log_close(log);
}

Test(log, what_comes_next_is_one_message_at_least)
{
    struct log *log = log_of("\"abc\",\"d\"", 2);

    cr_assert(slice_equals(next_from(log, 1, 0), span_of("\"abc\"")));
    cr_assert(slice_equals(next_from(log, 1, 4), span_of("\"abc\"")));
    cr_assert(slice_equals(next_from(log, 2, 1), span_of("\"d\"")));
    log_close(log);
}

/* ---- many messages ---- */

/* Mostly short ones; some fill a good part of a segment, one is longer than a segment. */
static struct model model_mixed(uint64_t count, unsigned seed)
{
    struct model model = {0};

    for (uint64_t i = 0; i < count; i++) {
        size_t len = 3 + (size_t)rand_r(&seed) % 200;

        if (rand_r(&seed) % 500 == 0)
            len += (size_t)rand_r(&seed) % (LOG_SEGMENT_BYTES / 2);
        if (i == count / 2)
            len = LOG_SEGMENT_BYTES * 3 / 2;
        model_add_random(&model, len, rand_r(&seed) % 2 == 0, &seed);
    }
    return model;
}

Test(log, it_is_one_whether_the_lengths_are_told_or_looked_for)
{
    struct model model = {0};
    unsigned seed = 5;
    size_t lens[500];
    uint64_t last_id = 0;

    for (int i = 0; i < 2000; i++)
        model_add_random(&model, 3 + (size_t)rand_r(&seed) % 3000, true, &seed);
    struct log *looked = log_of_model(&model, 500);
    struct log *told = log_open();
    for (uint64_t from = 1; from <= 2000; from += 500) {
        for (uint64_t id = from; id < from + 500; id++)
            lens[id - from] = model_slice(&model, id, id).len;
        cr_assert_eq(log_append(told, model_slice(&model, from, from + 499), lens, 500, &last_id), 0);
    }
    cr_assert_eq(last_id, 2000);
    for (uint64_t id = 1; id <= 2000; id++) {
        expect_model(told, &model, id, id);
        cr_assert_eq(log_digest(told, id), log_digest(looked, id), "%lu", id);
    }
    log_close(told);
    log_close(looked);
    model_free(&model);
}

Test(log, every_message_is_found)
{
    struct model model = model_mixed(5000, 1);
    struct log *log = log_of_model(&model, 7);

    cr_assert_eq(list_bytes(log), model.len);
    for (uint64_t id = 1; id <= model.count; id++)
        expect_model(log, &model, id, id);
    log_close(log);
    model_free(&model);
}

Test(log, every_run_of_messages_is_a_slice)
{
    struct model model = model_mixed(3000, 2);
    struct log *log = log_of_model(&model, 100);
    unsigned seed = 3;

    expect_model(log, &model, 1, model.count);
    for (int i = 0; i < 1000; i++) {
        uint64_t from = 1 + (uint64_t)rand_r(&seed) % model.count;
        uint64_t to = from + (uint64_t)rand_r(&seed) % (model.count - from + 1);

        expect_model(log, &model, from, to);
    }
    log_close(log);
    model_free(&model);
}

Test(log, what_comes_next_is_the_longest_run_that_fits)
{
    struct model model = model_mixed(3000, 4);
    struct log *log = log_of_model(&model, 10);
    unsigned seed = 5;

    for (int i = 0; i < 3000; i++) {
        uint64_t from = 1 + (uint64_t)rand_r(&seed) % model.count;
        uint64_t max_bytes = (uint64_t)rand_r(&seed) % (i % 2 == 0 ? 2000 : 3 * LOG_SEGMENT_BYTES);
        uint64_t last = model_fit(&model, from, model.count, max_bytes);
        struct log_slice slice = next_from(log, from, max_bytes);

        cr_assert_eq(slice.count, last - from + 1, "from %lu within %lu", from, max_bytes);
        cr_assert(slice_equals(slice, model_slice(&model, from, last)));
        /* the limits next to what fits */
        cr_assert_eq(next_from(log, from, slice.len).count, slice.count);
        if (slice.count > 1)
            cr_assert_eq(next_from(log, from, slice.len - 1).count, slice.count - 1);
    }
    log_close(log);
    model_free(&model);
}

Test(log, a_cursor_follows_the_list_from_any_id_whatever_is_appended_meanwhile)
{
    struct model model = model_mixed(3000, 9);
    unsigned seed = 10;

    for (uint64_t begin = 1; begin < model.count; begin += 500) {
        struct log *log = log_open();
        struct log_cursor cursor = {.id = begin};
        uint64_t at = begin;

        for (uint64_t appended = 0; at <= model.count;) {
            uint64_t more = (uint64_t)rand_r(&seed) % 40;
            uint64_t max_bytes = (uint64_t)rand_r(&seed) % 20000;
            struct log_slice slice;
            uint64_t last;

            if (appended + more > model.count)
                more = model.count - appended;
            if (more > 0)
                add_model(log, &model, appended + 1, appended + more);
            appended += more;
            slice = log_next(log, &cursor, max_bytes);
            if (at > appended) {
                cr_assert(slice.len == 0 && slice.count == 0);
                continue;
            }
            last = model_fit(&model, at, appended, max_bytes);
            cr_assert_eq(slice.count, last - at + 1, "from %lu within %lu", at, max_bytes);
            cr_assert(slice_equals(slice, model_slice(&model, at, last)));
            at = last + 1;
            cr_assert_eq(cursor.id, at);
            cr_assert_eq(cursor.digest, log_digest(log, last));
        }
        cr_assert_eq(log_next(log, &cursor, UINT64_MAX).len, 0);
        log_close(log);
    }
    model_free(&model);
}

Test(log, a_slice_can_be_taken_in_steps_of_any_size)
{
    static const size_t steps[] = {1, 2, 3, 1000, 4096, LOG_SEGMENT_BYTES, 3 * LOG_SEGMENT_BYTES};
    struct model model = model_mixed(2000, 6);
    struct log *log = log_of_model(&model, 1000);

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        for (int pieces = 1; pieces <= 3; pieces++)
            cr_assert(slice_is(log_slice(log, 2, 1999), model_slice(&model, 2, 1999), pieces, steps[i]));
    log_close(log);
    model_free(&model);
}

Test(log, messages_of_any_length_meet_the_end_of_a_segment)
{
    unsigned seed = 7;

    for (size_t len = LOG_SEGMENT_BYTES - 140; len <= LOG_SEGMENT_BYTES + 2; len++) {
        struct model model = {0};
        struct log *log;

        model_add_random(&model, 40, false, &seed);
        model_add_random(&model, len - 41, false, &seed);
        model_add_random(&model, 40, false, &seed);
        model_add_random(&model, len, false, &seed);
        model_add_random(&model, 3, false, &seed);
        log = log_of_model(&model, 1 + len % 5);
        expect_model(log, &model, 1, 5);
        for (uint64_t id = 1; id <= 5; id++)
            expect_model(log, &model, id, id);
        log_close(log);
        model_free(&model);
    }
}

Test(log, the_shortest_messages_are_found_among_very_many)
{
    enum { COUNT = 900000 }; /* more marks than the first chunk of them takes */
    struct model model = {0};
    struct log *log;
    unsigned seed = 8;

    for (int i = 0; i < COUNT; i++)
        model_add_random(&model, 3, false, &seed);
    log = log_of_model(&model, 1000);
    for (uint64_t id = 1; id <= COUNT; id += 101)
        expect_model(log, &model, id, id);
    expect_model(log, &model, COUNT, COUNT);
    for (struct log_cursor cursor = {.id = 1}; cursor.id <= COUNT;) {
        uint64_t from = cursor.id;
        struct log_slice slice = log_next(log, &cursor, 5000);

        cr_assert(slice_equals(slice, model_slice(&model, from, model_fit(&model, from, COUNT, 5000))));
    }
    log_close(log);
    model_free(&model);
}

Test(log, a_slice_stays_as_it_was_while_the_list_grows)
{
    struct model model = model_mixed(4000, 9);
    struct log *log = log_open();
    struct log_slice early;
    struct log_slice middle;

    add_model(log, &model, 1, 10);
    early = log_slice(log, 1, 10);
    add_model(log, &model, 11, 1500);
    middle = log_slice(log, 5, UINT64_MAX);
    log_slice_skip(&middle, 1000);
    add_model(log, &model, 1501, 4000);
    cr_assert(slice_equals(early, model_slice(&model, 1, 10)));
    cr_assert_eq(middle.len, model_slice(&model, 5, 1500).len - 1000);
    cr_assert(slice_equals(middle, (struct span){.at = model_slice(&model, 5, 1500).at + 1000,
                                                 .len = model_slice(&model, 5, 1500).len - 1000}));
    log_close(log);
    model_free(&model);
}

/* ---- digests ---- */

static uint64_t digest_of(const char *elements, uint64_t count)
{
    struct log *log = log_of(elements, count);
    uint64_t digest = log_digest(log, count);

    log_close(log);
    return digest;
}

Test(log, appends_nothing_where_the_digest_would_be_another)
{
    static const size_t lens[] = {4, 3, 3};
    struct log *log = log_of("\"first\"", 1);
    const struct span elements = span_of("\"ab\",\"c\",\"d\"");
    uint64_t digest = digest_of("\"first\",\"ab\",\"c\",\"d\"", 4), last = 0;
    char *long_one = calloc(1, LOG_SEGMENT_BYTES);
    struct span longer = {.at = long_one, .len = LOG_SEGMENT_BYTES};

    cr_assert_eq(log_append_proven(log, elements, lens, 3, digest + 1, &last), -EBADMSG);
    cr_assert_eq(log_append_proven(log, longer, NULL, 1, digest, &last), -EBADMSG, "a segment of its own");
    cr_assert(log_last(log) == 1 && last == 0);
    cr_assert_eq(log_append_proven(log, elements, lens, 3, digest, &last), 0);
    cr_assert(log_last(log) == 4 && last == 4 && log_digest(log, 4) == digest);
    log_close(log);
    free(long_one);
}

Test(log, lists_that_differ_have_different_digests)
{
    uint64_t digest = digest_of("\"ab\",\"c\",\"c\"", 3);

    cr_assert_neq(digest, digest_of("\"a\",\"bc\",\"c\"", 3), "another cut");
    cr_assert_neq(digest, digest_of("\"c\",\"ab\",\"c\"", 3), "another order");
    cr_assert_neq(digest, digest_of("\"ab\",\"c\"", 2), "one less");
    cr_assert_neq(digest, digest_of("\"ab\",\"c\",\"c\",\"c\"", 4), "one more");
    cr_assert_neq(digest, digest_of("\"ab\",\"c\",\"d\"", 3), "another message");
    cr_assert_neq(digest, 0);
    cr_assert_neq(digest_of("\"\"", 1), 0);
}

Test(log, a_digest_depends_on_every_byte)
{
    for (size_t len = 3; len < 70; len++) {
        char text[80] = {0};
        uint64_t digest;

        memset(text, 'x', len);
        text[0] = text[len - 1] = '"';
        digest = digest_of(text, 1);
        for (size_t i = 1; i + 1 < len; i++) {
            text[i] = 'y';
            cr_assert_neq(digest_of(text, 1), digest, "byte %zu of %zu", i, len);
            text[i] = 'x';
        }
    }
}

Test(log, a_digest_tells_nothing_of_the_sizes_of_the_appends)
{
    struct model model = model_mixed(3000, 10);
    struct log *single = log_of_model(&model, 1);
    struct log *batches = log_of_model(&model, 37);
    struct log *whole = log_of_model(&model, model.count);

    for (uint64_t id = 0; id <= model.count; id++) {
        uint64_t digest = log_digest(single, id);

        cr_assert_eq(digest, log_digest(batches, id), "id %lu", id);
        cr_assert_eq(digest, log_digest(whole, id), "id %lu", id);
    }
    log_close(single);
    log_close(batches);
    log_close(whole);
    model_free(&model);
}

Test(log, the_digest_of_a_part_is_that_of_a_list_of_just_this_part)
{
    struct model model = model_mixed(1000, 11);
    struct log *whole = log_of_model(&model, 50);
    struct log *part = log_open();

    for (uint64_t id = 1; id <= model.count; id++) {
        add_model(part, &model, id, id);
        cr_assert_eq(log_digest(part, id), log_digest(whole, id), "id %lu", id);
    }
    log_close(whole);
    log_close(part);
    model_free(&model);
}

Test(log, the_tail_tells_the_last_id_and_its_digest)
{
    struct log *log = log_open();

    cr_assert_eq(log_tail(log).last, 0);
    cr_assert_eq(log_tail(log).digest, 0);
    add(log, "\"a\",\"b\"", 2);
    cr_assert_eq(log_tail(log).last, 2);
    cr_assert_eq(log_tail(log).digest, digest_of("\"a\",\"b\"", 2));
    log_close(log);
}

Test(log, a_cursor_knows_the_digest_of_what_it_has_passed)
{
    struct log *log = log_of("\"a\",\"b\",\"c\"", 3);
    struct log_cursor cursor = {.id = 2};

    cr_assert_eq(log_next(log, &cursor, 3).count, 1);
    cr_assert_eq(cursor.digest, digest_of("\"a\",\"b\"", 2));
    cr_assert_eq(log_next(log, &cursor, 3).count, 1);
    cr_assert_eq(cursor.digest, log_tail(log).digest);
    log_close(log);
}

Test(log, a_digest_is_the_same_on_every_machine)
{
    char text[1000];

    cr_assert_eq(digest_of("\"a\"", 1), UINT64_C(0x3d339b99a0398619));
    cr_assert_eq(digest_of("\"a\",\"0123456789abcd\",\"0123456789abcdef0123456789abcdef!\"", 3),
                 UINT64_C(0x74f91a47b13b136b));
    memset(text, 'z', sizeof text);
    text[0] = text[sizeof text - 2] = '"';
    text[sizeof text - 1] = '\0';
    cr_assert_eq(digest_of(text, 1), UINT64_C(0xa7cadeb5ffbdacc7));
}

Test(log, the_digest_sees_every_byte_of_a_long_message)
{
    char text[300];
    for (size_t len = 250; len < 270; len++) {
        memset(text, 'a', len);
        text[0] = text[len - 1] = '"';
        text[len] = '\0';
        uint64_t digest = digest_of(text, 1);
        for (size_t i = 1; i + 1 < len; i++) {
            text[i] = 'b';
            cr_assert_neq(digest_of(text, 1), digest, "%zu of %zu", i, len);
            text[i] = 'a';
        }
    }
}

/* ---- memory ---- */

Test(log, a_list_that_has_no_memory_to_open_is_not_there)
{
    failing_after(0);
    cr_assert_null(log_open());
}

/* Whatever allocation fails, nothing is appended, and the same append works later. */
static void append_failing(struct log *log, const struct model *model, uint64_t from, uint64_t to)
{
    struct span elements = model_slice(model, from, to);
    uint64_t digest = log_digest(log, from - 1);
    uint64_t bytes = list_bytes(log);
    uint64_t last_id = 12345;

    for (int nth = 0;; nth++) {
        int result;

        failing_after(nth);
        result = list_append(log, elements, to - from + 1, &last_id);
        if (!failing_done()) {
            failing_after(-1);
            cr_assert_eq(result, 0);
            break;
        }
        cr_assert_eq(result, -ENOMEM);
        cr_assert_eq(last_id, 12345);
        cr_assert_eq(log_last(log), from - 1);
        cr_assert_eq(list_bytes(log), bytes);
        cr_assert_eq(log_digest(log, from - 1), digest);
        if (from > 1)
            expect_model(log, model, 1, from - 1);
    }
    cr_assert_eq(last_id, to);
    expect_model(log, model, 1, to);
}

Test(log, an_append_without_memory_leaves_the_list_as_it_was)
{
    struct model model = model_mixed(3000, 12);
    struct log *log = log_open();
    struct log *easy = log_of_model(&model, model.count);

    append_failing(log, &model, 1, 1);
    append_failing(log, &model, 2, 1000);
    append_failing(log, &model, 1001, 1001);
    append_failing(log, &model, 1002, 2999);
    append_failing(log, &model, 3000, 3000);
    for (uint64_t id = 1; id <= model.count; id++) {
        expect_model(log, &model, id, id);
        cr_assert_eq(log_digest(log, id), log_digest(easy, id));
    }
    log_close(log);
    log_close(easy);
    model_free(&model);
}

Test(log, an_append_between_two_without_memory_shows)
{
    struct model model = model_mixed(2000, 13);
    struct log *log = log_open();
    uint64_t last_id;

    add_model(log, &model, 1, 10);
    failing_after(0);
    cr_assert_eq(list_append(log, model_slice(&model, 11, 2000), 1990, &last_id), -ENOMEM);
    for (uint64_t id = 11; id <= 2000; id++)
        add_model(log, &model, id, id);
    expect_model(log, &model, 1, 2000);
    log_close(log);
    model_free(&model);
}

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    size_t pages = 0;

    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%*s %zu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

Test(log, a_million_messages_of_100_bytes_take_106_million_bytes)
{
    struct log *log = log_open();
    size_t before = resident_bytes();
    unsigned seed = 14;

    for (int i = 0; i < 1000000; i++) {
        char text[204];
        size_t len = 0;
        uint64_t id;

        text[len++] = '"';
        for (int k = 0; k < 100; k++) {
            char c = (char)(' ' + rand_r(&seed) % 95);

            if (c == '"' || c == '\\')
                text[len++] = '\\';
            text[len++] = c;
        }
        text[len++] = '"';
        cr_assert_eq(log_append(log, (struct span){.at = text, .len = len}, NULL, 1, &id), 0);
    }
    cr_assert_gt(list_bytes(log), 105000000);
    if (!FAILING_SANITIZED)
        cr_assert_leq(resident_bytes() - before, 106000000);
    log_close(log);
}

/* ---- the limit ---- */

Test(log, past_its_limit_nothing_is_appended_and_all_stays_readable)
{
    struct log *log = log_open();
    uint64_t last = 0;
    log_limit(log, 12);
    cr_expect(log_has_room(log, 12) && !log_has_room(log, 13));
    cr_assert_eq(log_append(log, span_of("\"abc\""), NULL, 1, &last), 0); /* and its comma: 6 bytes */
    cr_assert_eq(log_append(log, span_of("\"abcd\""), NULL, 1, &last), -ENOSPC);
    cr_assert_eq(list_append(log, span_of("\"a\",\"b\""), 2, &last), -ENOSPC, "all or none");
    cr_assert(log_last(log) == 1 && last == 1);
    cr_assert_eq(log_append(log, span_of("\"def\""), NULL, 1, &last), 0, "to the last byte");
    cr_assert_eq(log_append(log, span_of("\"\""), NULL, 1, &last), -ENOSPC);
    cr_assert(log_last(log) == 2 && !log_has_room(log, 1) && log_has_room(log, 0));
    cr_assert_eq(log_slice(log, 1, 2).len, strlen("\"abc\",\"def\""));
    log_close(log);
}

Test(log, how_full_it_is_is_told_once)
{
    int ends[2];
    char text[4096];
    uint64_t last;
    struct log *log = log_open();
    cr_assert(pipe(ends) == 0);
    cr_assert_eq(logline_start(ends[1], LOGLINE_INFO, LOGLINE_TEXT, "r"), 0);
    log_limit(log, 60);
    for (int i = 0; i < 15; i++)
        log_append(log, span_of("\"abc\""), NULL, 1, &last);
    logline_stop();
    ssize_t len = read(ends[0], text, sizeof text - 1);
    cr_assert(len > 0);
    text[len] = '\0';
    char *most = strstr(text, "WARN  r the list has 48 bytes, four fifths of MAX_LOG, which is 60");
    char *full = strstr(text, "WARN  r the list is full: it has 60 bytes, and MAX_LOG is 60");
    cr_expect(most && full && most < full, "%s", text);
    cr_expect(full && !strstr(full + 1, "WARN"), "%s", text);
    log_close(log);
    close(ends[0]);
    close(ends[1]);
}
