/* The appender and readers on one list at the same time. Each message holds its id, so a reader can tell from
 * any part of the list whether it is whole and in order. */
#include "stress.h"

#include "json.h"
#include "log/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum {
    READERS = 3,
    BATCH = 40,
    LONG = 2 * LOG_SEGMENT_BYTES,
    ROOM = BATCH * 400 + LONG,
    BYTES_MAX = 96 * 1024 * 1024 /* a list as long as this is long enough */
};

static struct log *list;
static _Atomic bool stopped;

struct worker {
    pthread_t thread;
    unsigned seed;
    uint64_t done; /* messages appended, or slices read */
};

/* Bytes of the whole list, the comma behind each message included. */
static uint64_t list_bytes(const struct log *log)
{
    struct log_slice all = log_slice(log, 1, UINT64_MAX);
    return all.count ? all.len + 1 : 0;
}

/* ---- appending ---- */

/* Writes `"id:xxx"` and a comma; returns its length with the comma. */
static size_t message_write(char *at, uint64_t id, size_t padding)
{
    size_t len = (size_t)sprintf(at, "\"%lu:", (unsigned long)id);

    memset(at + len, '.', padding);
    memcpy(at + len + padding, "\",", 3);
    return len + padding + 2;
}

static void append_batch(struct worker *worker, char *bytes)
{
    uint64_t count = 1 + (stress_random(&worker->seed, 2) ? stress_random(&worker->seed, BATCH) : 0);
    bool has_long = stress_random(&worker->seed, 500) == 0;
    uint64_t last_id = 0;
    size_t len = 0;

    for (uint64_t i = 0; i < count; i++) {
        size_t padding = (size_t)stress_random(&worker->seed, has_long && i == 0 ? LONG - 100 : 300);

        len += message_write(bytes + len, ++worker->done, padding);
    }
    CHECK(log_append(list, (struct span){.at = bytes, .len = len - 1}, NULL, count, &last_id) == 0);
    CHECK(last_id == worker->done);
    CHECK(log_last(list) == last_id);
    CHECK(log_slice(list, last_id - count + 1, last_id).len == len - 1);
}

static void *append_all(void *arg)
{
    struct worker *worker = arg;
    char *bytes = malloc(ROOM);

    CHECK(bytes != NULL);
    while (!atomic_load(&stopped) && list_bytes(list) < BYTES_MAX)
        append_batch(worker, bytes);
    free(bytes);
    return NULL;
}

/* ---- reading ---- */

/* What was seen in a part of the list so far. */
struct seen {
    uint64_t count;
    uint64_t last;    /* its last id; 0: none yet */
    struct log *copy; /* where to append all of it, or NULL */
};

/* Messages follow one another without a hole. */
static void seen_message(struct seen *seen, struct span message)
{
    char *end;
    unsigned long id = strtoul(message.at + 1, &end, 10);
    uint64_t last_id;

    CHECK(message.at[0] == '"' && message.at[message.len - 1] == '"');
    CHECK(*end == ':');
    CHECK(seen->last == 0 || seen->last + 1 == id);
    seen->last = id;
    seen->count++;
    CHECK(seen->copy == NULL || log_append(seen->copy, message, NULL, 1, &last_id) == 0);
}

/* Messages do not straddle segments, so each piece of a slice holds whole ones. */
static void seen_piece(struct seen *seen, const struct iovec *piece, bool last)
{
    struct span rest = {.at = piece->iov_base, .len = piece->iov_len};

    while (rest.len > 0) {
        struct span message = {.at = rest.at, .len = json_canonical_len(rest)};
        size_t used = message.len + 1;

        seen_message(seen, message);
        if (message.len == rest.len) {
            CHECK(last);
            return;
        }
        CHECK(rest.at[message.len] == ',');
        rest.at += used;
        rest.len -= used;
        CHECK(rest.len > 0 || !last);
    }
}

/* The slice follows what was seen before. */
static void seen_slice(struct seen *seen, struct log_slice slice)
{
    uint64_t count = seen->count + slice.count;
    struct iovec piece;

    while (log_slice_iov(&slice, &piece, 1) == 1) {
        seen_piece(seen, &piece, piece.iov_len == slice.len);
        log_slice_skip(&slice, piece.iov_len);
    }
    CHECK(slice.len == 0);
    CHECK(seen->count == count);
}

/* `from` is its first id; 0: not known. */
static struct seen slice_read(struct log_slice slice, uint64_t from, struct log *copy)
{
    struct seen seen = {.last = from ? from - 1 : 0, .copy = copy};

    seen_slice(&seen, slice);
    return seen;
}

/* A part in the middle of the list, or its end. */
static void read_part(struct worker *worker)
{
    uint64_t last = log_last(list);
    uint64_t from = 1 + stress_random(&worker->seed, last);
    uint64_t to = from + stress_random(&worker->seed, 300);
    struct log_slice slice;

    if (worker->done % 2 == 0) {
        from = last;
        to = UINT64_MAX;
    }
    slice = log_slice(list, from, to);
    CHECK(slice.count >= 1 && slice.count <= to - from + 1);
    CHECK(to > last || slice.count == to - from + 1);
    slice_read(slice, from, NULL);
}

/* One who follows the list from its start. */
struct follower {
    struct log_cursor cursor;
    struct seen seen;
};

static void follow(struct follower *follower, struct worker *worker)
{
    uint64_t last = log_last(list);
    uint64_t id = follower->cursor.id;
    uint64_t max_bytes = stress_random(&worker->seed, 100000);
    struct log_slice slice = log_next(list, &follower->cursor, max_bytes);

    CHECK(slice.count >= 1 || id > last);
    CHECK(slice.len <= max_bytes || slice.count == 1);
    seen_slice(&follower->seen, slice);
    CHECK(follower->cursor.id == follower->seen.count + 1);
    CHECK(slice.count == 0 || follower->cursor.digest == log_digest(list, follower->cursor.id - 1));
}

/* What was there once has the same digest later, and the list grows only. */
static void read_again(struct worker *worker)
{
    uint64_t bytes = list_bytes(list);
    struct log_tail tail = log_tail(list);
    uint64_t id = stress_random(&worker->seed, tail.last + 1);
    uint64_t digest = log_digest(list, id);

    CHECK(log_digest(list, id) == digest);
    CHECK(log_digest(list, tail.last) == tail.digest);
    CHECK(log_last(list) >= tail.last);
    CHECK(list_bytes(list) >= bytes);
    CHECK(log_slice(list, 1, UINT64_MAX).count >= tail.last);
}

static void *read_all(void *arg)
{
    struct worker *worker = arg;
    struct follower follower = {.cursor.id = 1};
    struct log_slice early = {0};

    while (!atomic_load(&stopped)) {
        if (log_last(list) == 0)
            continue;
        if (early.count == 0 || stress_random(&worker->seed, 50) == 0)
            early = log_slice(list, log_last(list) > 100 ? log_last(list) - 100 : 1, UINT64_MAX);
        read_part(worker);
        follow(&follower, worker);
        read_again(worker);
        slice_read(early, 0, NULL);
        worker->done++;
    }
    return NULL;
}

/* ---- the tail ---- */

/* Messages of one length, so that the end of the list and its last id can be told from one another. */
static void *append_short(void *arg)
{
    struct worker *worker = arg;
    uint64_t last_id;

    while (!atomic_load(&stopped) && list_bytes(list) < BYTES_MAX) {
        CHECK(log_append(list, span_of("\"x\",\"y\""), NULL, 2, &last_id) == 0);
        worker->done += 2;
    }
    return NULL;
}

static void *read_tail(void *arg)
{
    struct worker *worker = arg;

    for (; !atomic_load(&stopped); worker->done++) {
        struct log_slice all = log_slice(list, 1, UINT64_MAX);
        uint64_t last = log_last(list);

        CHECK(all.count == 0 ? all.len == 0 : all.len == 4 * all.count - 1);
        CHECK(all.count % 2 == 0 && last % 2 == 0 && all.count <= last);
        CHECK(last == 0 || log_slice(list, last - 1, last).len == 7);
    }
    return NULL;
}

/* ---- the whole ---- */

static void workers_start(struct worker *workers, unsigned count, void *(*run)(void *), unsigned *seed)
{
    for (unsigned i = 0; i < count; i++) {
        workers[i].seed = (unsigned)rand_r(seed);
        CHECK(pthread_create(&workers[i].thread, NULL, run, &workers[i]) == 0);
    }
}

static uint64_t workers_join(struct worker *workers, unsigned count)
{
    uint64_t done = 0;

    for (unsigned i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
    }
    return done;
}

/* All that was appended is there, and a copy of the list has the same digest. */
static void check_whole(uint64_t appended)
{
    struct log *copy = log_open();
    struct seen seen;

    CHECK(copy != NULL);
    seen = slice_read(log_slice(list, 1, UINT64_MAX), 1, copy);
    CHECK(log_last(list) == appended && seen.count == appended);
    CHECK(list_bytes(copy) == list_bytes(list));
    CHECK(log_digest(copy, appended) == log_digest(list, appended));
    log_close(copy);
}

/* Runs the appender and readers for a while on a new list. Returns how many messages were appended. */
static uint64_t run(void *(*append)(void *), void *(*read)(void *), struct stress *stress, int64_t ms)
{
    struct worker appender = {0};
    struct worker readers[READERS] = {0};
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * 1000000)};
    uint64_t appended;

    list = log_open();
    CHECK(list != NULL);
    atomic_store(&stopped, false);
    workers_start(&appender, 1, append, &stress->seed);
    workers_start(readers, READERS, read, &stress->seed);
    nanosleep(&pause, NULL);
    atomic_store(&stopped, true);
    appended = workers_join(&appender, 1);
    printf("%lu rounds of reading, ", (unsigned long)workers_join(readers, READERS));
    printf("%lu messages in %lu bytes\n", (unsigned long)appended, (unsigned long)list_bytes(list));
    CHECK(log_last(list) == appended);
    return appended;
}

int main(int argc, char *argv[])
{
    struct stress stress = stress_start(argc, argv);

    check_whole(run(append_all, read_all, &stress, stress.run_ms * 2 / 3));
    log_close(list);
    run(append_short, read_tail, &stress, stress.run_ms / 3);
    log_close(list);
    return 0;
}
