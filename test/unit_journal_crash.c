/* The journal on a disk that loses what was not synced. */
#include "journal_by_hand.h"
#include "lying_disk.h"

enum { APPENDS = 200 };

static void sizes_lower(void)
{
    journal_file_bytes = 8 * 1024;
    journal_ahead_bytes = 2 * 1024;
}

TestSuite(journal_crash, .timeout = 120, .init = sizes_lower);

/* ---- a process that writes ---- */

/* How many frames have one sync: 0: the owner asks for none; 1: most frames have their own. */
static unsigned sync_every = 1;

/* Whether frame `step` is followed by a sync. */
static bool sync_due(unsigned step)
{
    return sync_every == 1 ? step % 5 != 2 : sync_every > 0 && step % sync_every == sync_every - 1;
}

/* 1 where the disk was full, and the call is made once more. */
static int unless_full(int result)
{
    return result == -ENOSPC ? 1 : result;
}

/* Appends until the list has had so many appends in all, or something fails. `acked` is what was
 * acknowledged. Returns whether all was done. */
static bool script_run(struct by_hand *it, unsigned *appends, uint64_t *acked)
{
    int result = it->result;
    while (result == 0 && *appends < APPENDS) {
        unsigned step = (*appends)++;
        by_hand_list(it, 1 + step % 4);
        while ((result = unless_full(by_hand_write(it))) == 1)
            continue;
        if (result == 0 && sync_due(step)) {
            result = journal_sync(it->journal);
            cr_assert(result < 0 || journal_synced(it->journal) == log_last(it->log));
            *acked = journal_synced(it->journal);
        }
        if (result == 0 && step % 3 == 0)
            while ((result = unless_full(journal_reserve(it->journal))) == 1)
                continue;
        if (result == 0 && step % 50 == 49) {
            struct journal_meta meta = *journal_meta(it->journal);
            meta.epoch = step;
            meta.node = (struct buf){.data = (char *)"members", .len = 7};
            while ((result = unless_full(journal_put_meta(it->journal, &meta))) == 1)
                continue;
        }
    }
    return result == 0;
}

/* ---- what must hold afterwards ---- */

/* The list is a beginning of what was written, and what was acknowledged is in it. */
static void check_list(const struct by_hand *it, uint64_t acked, const char *when, unsigned call)
{
    cr_assert_eq(it->result, 0, "%s %u: %s", when, call, it->why);
    by_hand_check(it);
    cr_assert_geq(it->found.last, acked, "%s %u: acknowledged were %" PRIu64 ", and %" PRIu64 " are there",
                  when, call, acked, it->found.last);
    cr_assert_eq(it->found.damaged, 0, "%s %u: %" PRIu64 " is damaged", when, call, it->found.damaged);
    cr_assert_eq(it->found.missing, 0);
    cr_assert(it->found.aside == 0 || sync_every != 1);
    cr_assert_not(it->found.meta_damaged);
}

/* Starts on what the disk holds; goes on for a bit, now and then into the next file; the power fails again.
 */
static void check_start(uint64_t acked, const char *when, unsigned call)
{
    struct by_hand it = by_hand_open("/", JOURNAL_WRITE, false);
    check_list(&it, acked, when, call);
    for (unsigned i = 0; i < (call % 5 == 0 ? 30 : 3); i++)
        by_hand_append(&it, 2);
    acked = log_last(it.log);
    by_hand_close(&it);
    lying_power_fails();
    it = by_hand_open("/", JOURNAL_WRITE, false);
    check_list(&it, acked, "after another failure", call);
    by_hand_close(&it);
}

/* The same where the power fails at each call of a start. */
static void check_starts(uint64_t acked, unsigned call)
{
    static struct lying_disk kept;
    lying_copy(&kept, &lying.disk);
    for (unsigned at = 1;; at++) {
        lying_copy(&lying.disk, &kept);
        lying_restart();
        lying.seed = call * 1000 + at;
        lying.dies_at = at;
        struct by_hand it = by_hand_open("/", JOURNAL_WRITE, false);
        bool done = !lying.dead;
        by_hand_close(&it);
        lying_power_fails();
        check_start(acked, "starting died at", at);
        if (done)
            break;
    }
    lying_free(&kept);
}

/* Lets the power fail at a call. Returns false where there were not so many. */
static bool crash_at(unsigned call, unsigned seed, bool starts)
{
    uint64_t acked = 0;
    unsigned appends = 0;
    lying_begin(seed);
    lying.dies_at = call;
    struct by_hand it = by_hand_open("/", JOURNAL_WRITE, false);
    bool done = script_run(&it, &appends, &acked);
    cr_assert(done || lying.dead, "%s", it.why);
    by_hand_close(&it);
    lying_power_fails();
    if (starts)
        check_starts(acked, call);
    else
        check_start(acked, "crashed at", call);
    return !done;
}

Test(journal_crash, keeps_what_it_acknowledged_whenever_the_power_fails)
{
    unsigned call = 1;
    while (crash_at(call, call, false))
        call++;
    cr_assert_gt(call, 500);
    for (unsigned seed = 1; seed <= 4; seed++)
        for (unsigned at = 1; at < call; at++)
            crash_at(at, at * 31 + seed, false);
    lying_begin(0);
}

Test(journal_crash, keeps_a_beginning_where_nobody_syncs_or_not_often)
{
    static const unsigned often[] = {0, 30, 70};
    for (unsigned i = 0; i < 3; i++) {
        sync_every = often[i];
        for (unsigned call = 1; crash_at(call, call * 5 + i, false); call++)
            continue;
    }
    lying_begin(0);
}

Test(journal_crash, keeps_it_where_the_power_fails_again_while_it_starts)
{
    for (unsigned call = 3; crash_at(call, call, true); call += 7)
        continue;
    lying_begin(0);
}

/* One call fails; the process ends where that is final, another one goes on, and in the end the power fails.
 * Returns false where there were not so many calls. */
static bool fail_at(unsigned call, int error, unsigned seed, bool finish)
{
    uint64_t acked = 0;
    unsigned appends = 0;
    lying_begin(seed);
    lying.fails_at = call;
    lying.error = error;
    struct by_hand it = by_hand_open("/", JOURNAL_WRITE, false);
    bool done = script_run(&it, &appends, &acked);
    bool failed = lying.failed;
    cr_assert(done || failed);
    by_hand_close(&it);
    if (!done) {
        lying_restart();
        it = by_hand_open("/", JOURNAL_WRITE, false);
        check_list(&it, acked, lying.last_call, call);
        acked = journal_synced(it.journal);
        cr_assert_eq(acked, log_last(it.log));
        cr_assert(!finish || script_run(&it, &appends, &acked));
        by_hand_close(&it);
    }
    lying_power_fails();
    check_start(acked, lying.last_call ? lying.last_call : "no call", call);
    return failed;
}

Test(journal_crash, believes_no_sync_after_one_that_failed)
{
    for (unsigned seed = 1; seed <= 3; seed++)
        for (unsigned call = 1; fail_at(call, -EIO, call * 17 + seed, seed == 2); call++)
            continue;
    lying_begin(0);
}

/* A sync is then one of several files. */
Test(journal_crash, believes_no_sync_of_an_older_file_after_one_that_failed)
{
    sync_every = 70;
    for (unsigned seed = 1; seed <= 3; seed++)
        for (unsigned call = 1; fail_at(call, -EIO, call * 17 + seed, seed == 2); call++)
            continue;
    lying_begin(0);
}

/* A call fails while the next file is begun, behind which the meta file has nothing to learn. */
static bool fail_at_a_new_file(unsigned call, unsigned seed)
{
    lying_begin(seed);
    lying.error = -EIO;
    struct by_hand it = by_hand_open("/", JOURNAL_WRITE, false);
    do
        by_hand_append(&it, 2);
    while (it.journal->end > 0 && it.journal->end < journal_file_bytes - 500);
    by_hand_list(&it, 4);
    cr_assert_eq(by_hand_write(&it), 0);
    cr_assert_eq(journal_sync(it.journal), 0);
    cr_assert_eq(journal_put_meta(it.journal, journal_meta(it.journal)), 0);
    lying.fails_at = lying.calls + call;
    bool failed = journal_reserve(it.journal) < 0;
    by_hand_close(&it);
    lying_restart();
    it = by_hand_open("/", JOURNAL_WRITE, false);
    check_list(&it, 0, "beginning a file failed at", call);
    by_hand_list(&it, 1);
    cr_assert_eq(by_hand_write(&it), 0);
    cr_assert_eq(journal_sync(it.journal), 0);
    uint64_t acked = log_last(it.log);
    by_hand_close(&it);
    lying_power_fails();
    check_start(acked, "beginning a file had failed at", call);
    return failed;
}

Test(journal_crash, believes_no_name_that_an_earlier_process_did_not_sync)
{
    for (unsigned seed = 0; seed < 20; seed++) {
        unsigned call = 1;
        while (fail_at_a_new_file(call, seed * 100 + call))
            call++;
        cr_assert_gt(call, 3);
    }
    lying_begin(0);
}

Test(journal_crash, goes_on_where_the_disk_was_full)
{
    for (unsigned call = 1; fail_at(call, -ENOSPC, call, true); call++)
        continue;
    lying_begin(0);
}

/* Each of them is final: what follows returns the same, and asks nothing of the disk. */
Test(journal_crash, writes_nothing_more_once_a_call_has_failed)
{
    static const char *const calls[] = {"disk_write", "disk_sync"};
    for (unsigned i = 0; i < 4; i++) {
        lying_begin(i);
        struct by_hand it = by_hand_open("/", JOURNAL_WRITE, false);
        by_hand_append(&it, 3);
        by_hand_list(&it, 2);
        lying.error = i < 2 ? -EIO : -ENOSPC;
        lying.fails_at = lying.calls + 1 + i % 2;
        int result = by_hand_write(&it);
        if (result == 0)
            result = journal_sync(it.journal);
        cr_assert_eq(result, -EIO, "a frame had begun");
        cr_assert_str_eq(lying.last_call, calls[i % 2]);
        unsigned asked = lying.calls;
        by_hand_list(&it, 1);
        cr_assert_eq(by_hand_write(&it), -EIO);
        cr_assert_eq(journal_sync(it.journal), -EIO);
        cr_assert_eq(journal_reserve(it.journal), -EIO);
        cr_assert_eq(journal_put_meta(it.journal, journal_meta(it.journal)), -EIO);
        cr_assert_eq(lying.calls, asked);
        cr_assert_eq(journal_synced(it.journal), 3);
        by_hand_close(&it);
    }
    lying_begin(0);
}

Test(journal_crash, refuses_a_new_directory_on_a_full_disk)
{
    struct by_hand it;
    unsigned refused = 0;
    for (unsigned call = 1;; call++) {
        lying_begin(1);
        lying.error = -ENOSPC;
        lying.fails_at = call;
        it = by_hand_open("/", JOURNAL_WRITE, false);
        if (it.result == 0 && !lying.failed)
            break;
        bool full = strstr(it.why, "no room for the first file") != NULL;
        refused += full;
        for (int i = 0; full && i < lying.disk.now.count; i++)
            cr_assert_not(strstr(lying.disk.now.at[i].name, ".log"), "the next start would go on");
        by_hand_close(&it);
    }
    cr_assert_geq(refused, 3, "%u", refused);
    by_hand_close(&it);
    lying_begin(0);
}

/* ---- mending ---- */

/* A list, in several files, all of it on disk; returns its last id. */
static uint64_t list_make(void)
{
    uint64_t acked = 0;
    unsigned appends = 0;
    lying_begin(1);
    struct by_hand it = by_hand_open("/", JOURNAL_WRITE, false);
    cr_assert(script_run(&it, &appends, &acked));
    for (int i = 0; i < 24; i++) /* more than a page, of which the meta file does not know */
        by_hand_append(&it, 2);
    acked = log_last(it.log);
    by_hand_close(&it);
    return acked;
}

/* Starts where something cannot be read; then once more. `known`: what is known to have been on disk wherever
 * the list ends, which of the last frame, of two messages, only itself could tell. Returns whether damage was
 * told. */
static bool check_unreadable(uint64_t acked, uint64_t known)
{
    struct by_hand it = by_hand_open("/", JOURNAL_WRITE, false);
    bool damaged = it.result == 0 && it.found.damaged;
    uint64_t missing = damaged ? it.found.missing : 0;
    uint64_t last = log_last(it.log);
    by_hand_check(&it);
    if (it.result == 0)
        cr_assert(damaged ? missing >= known && missing > last : last >= acked, "%" PRIu64 ", %" PRIu64, last,
                  missing);
    by_hand_close(&it);
    lying_power_fails();
    it = by_hand_open("/", JOURNAL_WRITE, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    by_hand_check(&it);
    cr_assert_eq(it.found.damaged, 0);
    cr_assert_eq(it.found.missing, missing);
    cr_assert_geq(log_last(it.log), damaged ? last : acked);
    cr_assert(!damaged || it.found.aside > 0);
    by_hand_close(&it);
    return damaged;
}

Test(journal_crash, takes_for_damage_what_the_disk_cannot_read)
{
    static struct lying_disk kept;
    uint64_t acked = list_make();
    unsigned damaged = 0, whole = 0;
    char last_name[JOURNAL_NAME_SIZE];
    struct by_hand it = by_hand_open("/", JOURNAL_LOOK, false);
    journal_name(it.journal->files[it.journal->count - 1].first, last_name);
    by_hand_close(&it);
    lying_copy(&kept, &lying.disk);
    for (int i = 0; i < kept.now.count; i++) {
        int file = kept.now.at[i].file;
        bool last = strcmp(kept.now.at[i].name, last_name) == 0;
        for (size_t page = 0; page * LYING_PAGE < kept.files[file].now.len; page++) {
            lying_copy(&lying.disk, &kept);
            lying_restart();
            lying.bad_file = file + 1;
            lying.bad_page = page;
            if (check_unreadable(acked, last ? 0 : acked - 2)) /* the page may have had all that follows */
                damaged++;
            else
                whole++;
        }
    }
    cr_assert_gt(damaged, 15);
    cr_assert_gt(whole, 1, "behind the last frame, and the meta file");
    lying_free(&kept);
    lying_begin(0);
}

Test(journal_crash, loses_nothing_by_a_call_that_fails_while_it_starts)
{
    static struct lying_disk kept;
    uint64_t acked = list_make();
    bool failed = true;
    lying_copy(&kept, &lying.disk);
    for (unsigned call = 1; failed; call++) {
        lying_copy(&lying.disk, &kept);
        lying_restart();
        lying.fails_at = call;
        lying.error = -EIO;
        check_unreadable(acked, acked - 2);
        failed = lying.last_call != NULL;
        lying.last_call = NULL;
    }
    lying_free(&kept);
    lying_begin(0);
}

static struct lying_file *file_of(struct lying_disk *disk, const char *name)
{
    const struct lying_name *at = lying_find(&disk->now, name);
    cr_assert(at, "%s", name);
    return &disk->files[at->file];
}

static void byte_change(const char *name, size_t at)
{
    struct lying_file *file = file_of(&lying.disk, name);
    cr_assert_gt(file->now.len, at);
    file->now.at[at] ^= 1;
    file->disk.at[at] ^= 1;
}

/* Whether a file with these bytes is there under some name. */
static bool has_bytes(const struct lying_file *file)
{
    for (int i = 0; i < lying.disk.now.count; i++) {
        const struct lying_file *at = &lying.disk.files[lying.disk.now.at[i].file];
        if (at->now.len == file->now.len && memcmp(at->now.at, file->now.at, file->now.len) == 0)
            return true;
    }
    return false;
}

/* Interrupts the start at each call, and checks what the next start makes of it. */
static void check_interrupted(void (*check)(struct lying_disk *before, const struct by_hand *it))
{
    static struct lying_disk kept;
    lying_copy(&kept, &lying.disk);
    bool done = false;
    for (unsigned at = 1; !done; at++)
        for (unsigned seed = 0; seed < 8; seed++) {
            lying_copy(&lying.disk, &kept);
            lying_restart();
            lying.seed = at * 8 + seed;
            lying.dies_at = at;
            struct by_hand it = by_hand_open("/", JOURNAL_WRITE, false);
            done = !lying.dead;
            by_hand_close(&it);
            lying_power_fails();
            it = by_hand_open("/", JOURNAL_WRITE, false);
            cr_assert_eq(it.result, 0, "interrupted at %u: %s", at, it.why);
            by_hand_check(&it);
            check(&kept, &it);
            by_hand_close(&it);
        }
    lying_free(&kept);
    lying_begin(0);
}

/* Nothing is lost, no copy keeps the room, and once there is room all is set aside. */
Test(journal_crash, asks_for_room_to_mend_in)
{
    static struct lying_disk kept;
    const char *name = "00000000000000000001.log";
    unsigned asked = 0;
    list_make();
    byte_change(name, 5000);
    lying_copy(&kept, &lying.disk);
    for (unsigned call = 1;; call++) {
        lying_copy(&lying.disk, &kept);
        lying_restart();
        lying.fails_at = call;
        lying.error = -ENOSPC;
        struct by_hand it = by_hand_open("/", JOURNAL_WRITE, false);
        bool done = !lying.failed;
        if (it.result < 0 && strstr(it.why, "make room for it and start again")) {
            asked++;
            cr_assert_not(lying_find(&lying.disk.now, "copy.new"), "%u", call);
        }
        by_hand_close(&it);
        lying_restart();
        it = by_hand_open("/", JOURNAL_WRITE, false);
        cr_assert_eq(it.result, 0, "%s", it.why);
        cr_assert_gt(it.found.missing, it.found.last);
        cr_assert(has_bytes(file_of(&kept, name)));
        by_hand_close(&it);
        if (done)
            break;
    }
    cr_assert_gt(asked, 5, "%u", asked);
    lying_free(&kept);
    lying_begin(0);
}

static char damaged_name[JOURNAL_NAME_SIZE];
static uint64_t damaged_first, missing_last;

static void check_damage(struct lying_disk *before, const struct by_hand *it)
{
    cr_assert_eq(it->found.last, damaged_first - 1);
    cr_assert_eq(it->found.missing, missing_last, "%" PRIu64, it->found.missing);
    cr_assert_eq(it->found.torn_bytes, 0, "damage is damage still");
    for (int i = 0; i < before->now.count; i++)
        if (strcmp(before->now.at[i].name, damaged_name) >= 0 && strstr(before->now.at[i].name, ".log")) {
            const struct lying_file *file = file_of(before, before->now.at[i].name);
            cr_assert(has_bytes(file), "%s is gone", before->now.at[i].name);
        }
}

enum { LAST_FRAME = 0 };

/* `at`: where in the second file a byte has changed. */
static void check_damage_at(size_t at)
{
    list_make();
    struct by_hand it = by_hand_open("/", JOURNAL_LOOK, false);
    journal_name(it.journal->files[1].first, damaged_name);
    by_hand_close(&it);
    const struct lying_file *file = file_of(&lying.disk, damaged_name);
    if (at == LAST_FRAME)
        for (at = file->now.len - 1; file->now.at[at] == 0;)
            at--;
    byte_change(damaged_name, at);
    it = by_hand_open("/", JOURNAL_LOOK, false);
    damaged_first = it.found.damaged;
    missing_last = it.found.missing;
    cr_assert_gt(damaged_first, 1);
    cr_assert_gt(missing_last, damaged_first);
    by_hand_close(&it);
    check_interrupted(check_damage);
}

Test(journal_crash, goes_on_to_set_a_damaged_file_aside)
{
    check_damage_at(5000); /* copied, and cut */
}

/* Then nothing else in the file tells that it was on disk. */
Test(journal_crash, goes_on_to_set_a_file_with_a_damaged_end_aside)
{
    check_damage_at(LAST_FRAME);
}

Test(journal_crash, goes_on_to_set_a_file_with_a_damaged_header_aside)
{
    check_damage_at(20); /* renamed */
}

static void check_meta(struct lying_disk *before, const struct by_hand *it)
{
    cr_assert_eq(it->found.last, missing_last);
    cr_assert_eq(it->found.missing, 0);
    cr_assert_str_eq(journal_meta(it->journal)->log, "a-list");
    cr_assert_eq(journal_meta(it->journal)->epoch, 199, "%" PRIu64, journal_meta(it->journal)->epoch);
    cr_assert(has_bytes(file_of(before, "meta")));
}

Test(journal_crash, goes_on_to_set_a_damaged_meta_file_aside)
{
    missing_last = list_make();
    struct by_hand it = by_hand_open("/", JOURNAL_WRITE, false);
    cr_assert_eq(journal_meta(it.journal)->epoch, 199);
    by_hand_append(&it, 1);
    missing_last++;
    by_hand_close(&it);
    byte_change("meta", 30);
    check_interrupted(check_meta);
}
