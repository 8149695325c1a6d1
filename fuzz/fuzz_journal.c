/* The journal's parsers on any bytes, and journal_load on a directory in which anything has been changed:
 * bytes, also of headers whose checks hold, lengths, names. Whatever it is, a start ends, a look before it
 * says what it will do, and the next start finds all well. */
#include "../test/lying_disk.h"
#include "check.h"
#include "log/digest.h"
#include "log/journal_private.h"

/* ---- any bytes ---- */

static void check_split(struct span bytes)
{
    struct span copy = fuzz_copy(bytes.at, bytes.len);
    struct buf lens = {0};
    uint64_t count = 0;
    for (size_t i = 0; i < bytes.len; i++)
        count += bytes.at[i] == ',';
    for (uint64_t i = count > 0 ? count - 1 : 0; i <= count + 1; i++) {
        buf_clear(&lens);
        if (!frame_split(copy, i, &lens))
            continue;
        size_t sum = 0;
        for (size_t j = 0; j < i; j++) {
            size_t len;
            memcpy(&len, lens.data + j * sizeof len, sizeof len);
            CHECK(len >= 2 && copy.at[sum] == '"' && copy.at[sum + len - 1] == '"');
            sum += len + 1;
        }
        CHECK(i > 0 && sum == copy.len + 1);
    }
    buf_free(&lens);
    free((char *)(uintptr_t)copy.at);
}

static void check_meta(struct span bytes)
{
    struct span copy = fuzz_copy(bytes.at, bytes.len);
    struct journal_meta meta = {0};
    struct buf again = {0};
    uint64_t synced;
    if (meta_read(copy, &meta, &synced) == META_GOOD) {
        meta_write(&meta, synced, &again);
        CHECK(again.len <= copy.len); /* it may have zeros in front of numbers */
    }
    buf_free(&again);
    buf_free(&meta.node);
    free((char *)(uintptr_t)copy.at);
}

/* ---- a directory ---- */

struct start {
    int result;
    struct journal_found found;
    uint64_t digest;
};

static struct start start(enum journal_use use)
{
    struct start start = {0};
    struct journal *journal;
    struct journal_progress progress;
    char why[JOURNAL_WHY_SIZE] = "";
    struct log *log = log_open();
    lying_restart();
    start.result = journal_open(&journal, "/", use, why);
    if (start.result == 0) {
        start.result = journal_load(journal, log, false, &progress, &start.found, why);
        CHECK(start.result < 0 || start.found.last == log_last(log));
        start.digest = log_tail(log).digest;
        journal_close(journal);
    }
    CHECK(start.result == 0 || why[0]);
    log_close(log);
    return start;
}

/* Some frames in three files. */
static void list_make(void)
{
    struct journal *journal;
    struct journal_progress progress;
    struct journal_found found;
    const struct journal_meta meta = {.log = "a-list", .epoch = 1};
    char why[JOURNAL_WHY_SIZE];
    struct log *log = log_open();
    journal_file_bytes = 700;
    journal_ahead_bytes = 256;
    CHECK(journal_open(&journal, "/", JOURNAL_WRITE, why) == 0);
    CHECK(journal_load(journal, log, false, &progress, &found, why) == 0);
    CHECK(journal_put_meta(journal, &meta) == 0);
    for (unsigned i = 0; i < 16; i++) {
        static const char messages[] = "\"a \\\" b\",\"\\\\\",\"somewhat more\"";
        static const size_t lens[] = {8, 4, 15};
        uint64_t first = log_last(log) + 1, last;
        CHECK(log_append(log, span_of(messages), lens, 3, &last) == 0);
        CHECK(journal_append(journal, log_slice(log, first, last), first, log_tail(log).digest) == 0);
        CHECK(i % 3 == 2 || journal_sync(journal) == 0);
        CHECK(journal_reserve(journal) == 0);
    }
    journal_close(journal);
    log_close(log);
}

/* Takes a number off the input. */
static size_t take(struct span *input, size_t below)
{
    size_t number = 0;
    for (int i = 0; i < 2 && input->len > 0; i++) {
        number = number << 8 | (unsigned char)input->at[0];
        *input = span_after(*input, 1);
    }
    return below > 0 ? number % below : 0;
}

/* Makes the check of the header at an offset hold. */
static void check_renew(struct lying_file *file, size_t at, size_t len)
{
    if (at + len > file->now.len)
        return;
    uint64_t check = digest_chain(0, (struct span){.at = file->now.at + at, .len = len - 8});
    memcpy(file->now.at + at + len - 8, &check, 8);
}

static void change(struct span *input)
{
    struct lying_names *names = &lying.disk.now;
    size_t kind = take(input, 8);
    struct lying_name *name = &names->at[take(input, (size_t)names->count)];
    struct lying_file *file = &lying.disk.files[name->file];
    size_t at = take(input, file->now.len + 1);
    char to[LYING_NAME];
    switch (kind) {
    case 0:
    case 1:
    case 2:
        if (at < file->now.len)
            file->now.at[at] = (char)take(input, 256);
        break;
    case 3:
    case 4:
        check_renew(file, at / FRAME_ALIGN * FRAME_ALIGN, FRAME_HEAD);
        break;
    case 5:
        check_renew(file, 0, FRAME_FILE_HEAD);
        break;
    case 6:
        memset(file->now.at + at, 0, file->cap - at);
        file->now.len = at;
        break;
    default:
        journal_name(take(input, 64), to);
        if (names->count > 1 && !lying_find(names, to))
            memcpy(name->name, to, sizeof to);
        else
            lying_unname(names, name->name);
    }
}

static bool same_disk(const struct lying_disk *a, const struct lying_disk *b)
{
    if (a->now.count != b->now.count)
        return false;
    for (int i = 0; i < a->now.count; i++) {
        const struct lying_bytes *left = &a->files[a->now.at[i].file].now,
                                 *right = &b->files[b->now.at[i].file].now;
        if (strcmp(a->now.at[i].name, b->now.at[i].name) != 0 || left->len != right->len ||
            (left->len > 0 && memcmp(left->at, right->at, left->len) != 0))
            return false;
    }
    return true;
}

static void check_directory(struct span input)
{
    static struct lying_disk whole, before;
    if (whole.count == 0) {
        lying_begin(1);
        list_make();
        lying_copy(&whole, &lying.disk);
    }
    lying_copy(&lying.disk, &whole);
    lying.seed = 1;
    while (input.len > 0 && lying.disk.now.count > 0)
        change(&input);
    lying_copy(&before, &lying.disk);
    struct start look = start(JOURNAL_LOOK);
    CHECK(same_disk(&before, &lying.disk));
    struct start first = start(JOURNAL_WRITE);
    CHECK(first.result == look.result);
    if (first.result < 0) {
        CHECK(same_disk(&before, &lying.disk));
        return;
    }
    CHECK(look.digest == first.digest && look.found.last == first.found.last);
    CHECK(look.found.damaged == first.found.damaged && look.found.missing == first.found.missing);
    CHECK(look.found.torn_bytes == first.found.torn_bytes && look.found.files == first.found.files);
    struct start next = start(JOURNAL_WRITE);
    CHECK(next.result == 0 && next.digest == first.digest && next.found.last == first.found.last);
    CHECK(next.found.damaged == 0 && next.found.torn_bytes == 0 && !next.found.meta_damaged);
    CHECK(next.found.missing == first.found.missing && next.found.aside == first.found.aside);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct span input = {.at = (const char *)data + 1, .len = size - 1};
    switch (data[0] % 4) {
    case 0:
        check_split(input);
        break;
    case 1:
        check_meta(input);
        break;
    default:
        check_directory(input);
    }
    return 0;
}
