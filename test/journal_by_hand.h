/* A list and its journal, driven by hand. A call that fails ends the test. */
#ifndef TEST_JOURNAL_BY_HAND_H
#define TEST_JOURNAL_BY_HAND_H

#include "elements.h"
#include "log/journal_private.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct by_hand {
    struct journal *journal; /* NULL: it could not be opened or loaded */
    struct log *log;
    int result; /* of journal_open, or of journal_load */
    struct journal_found found;
    char why[JOURNAL_WHY_SIZE];
};

/* Opens a directory, loads it, and where it is new gives its list a name. */
static inline struct by_hand by_hand_open(const char *path, enum journal_use use, bool accept_loss)
{
    struct by_hand it = {.log = log_open()};
    struct journal_progress progress;
    cr_assert(it.log);
    it.result = journal_open(&it.journal, path, use, it.why);
    if (it.result == 0) {
        it.result = journal_load(it.journal, it.log, accept_loss, &progress, &it.found, it.why);
        if (it.result < 0) {
            journal_close(it.journal);
            it.journal = NULL;
        }
    }
    if (it.journal && use == JOURNAL_WRITE && !journal_meta(it.journal)->log[0]) {
        const struct journal_meta meta = {.log = "a-list", .epoch = 1};
        it.result = journal_put_meta(it.journal, &meta);
    }
    return it;
}

static inline void by_hand_close(struct by_hand *it)
{
    journal_close(it->journal);
    log_close(it->log);
}

/* What message `id` is: of many lengths, some longer than a sector, all different. */
static inline size_t by_hand_message(uint64_t id, char text[4096])
{
    int len = sprintf(text, "\"message %" PRIu64 " \\\" ", id);
    size_t more = (size_t)(id * 7919 % 97);
    if (id % 13 == 0)
        more += 900;
    memset(text + len, 'a' + (int)(id % 26), more);
    text[(size_t)len + more] = '"';
    return (size_t)len + more + 1;
}

/* Appends the next `count` messages to the list. */
static inline void by_hand_list(struct by_hand *it, uint64_t count)
{
    for (; count > 0; count--) {
        char text[4096];
        uint64_t last;
        struct span message = {.at = text, .len = by_hand_message(log_last(it->log) + 1, text)};
        cr_assert_eq(log_append(it->log, message, NULL, 1, &last), 0);
    }
}

/* Writes what the list has and the journal has not, as one frame. */
static inline int by_hand_write(struct by_hand *it)
{
    uint64_t first = it->journal->last + 1;
    return journal_append(it->journal, log_slice(it->log, first, UINT64_MAX), first,
                          log_tail(it->log).digest);
}

/* Appends `count` messages as one frame, on disk at return. */
static inline void by_hand_append(struct by_hand *it, uint64_t count)
{
    by_hand_list(it, count);
    cr_assert_eq(by_hand_write(it), 0);
    cr_assert_eq(journal_sync(it->journal), 0);
    cr_assert_eq(journal_reserve(it->journal), 0);
}

/* Whether the list is the messages 1 to log_last. */
static inline void by_hand_check(const struct by_hand *it)
{
    struct log_slice slice = log_slice(it->log, 1, UINT64_MAX);
    for (uint64_t id = 1; id <= log_last(it->log); id++) {
        char text[4096], got[4096];
        size_t len = by_hand_message(id, text);
        for (size_t have = 0; have < len;) {
            struct iovec iov;
            cr_assert_eq(log_slice_iov(&slice, &iov, 1), 1);
            size_t part = iov.iov_len < len - have ? iov.iov_len : len - have;
            memcpy(got + have, iov.iov_base, part);
            log_slice_skip(&slice, part);
            have += part;
        }
        cr_assert(memcmp(text, got, len) == 0, "message %" PRIu64, id);
        if (slice.len > 0)
            log_slice_skip(&slice, 1); /* the comma */
    }
    cr_assert_eq(slice.len, 0);
}

#endif
