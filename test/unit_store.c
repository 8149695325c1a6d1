/* A master by hand and its disk: what shows and counts while messages are not on disk yet, and when the disk
 * is full or fails. */
#include "disk_by_hand.h"
#include "replication/append.h"
#include "replication/store.h"

TestSuite(store, .init = disk_master_begin, .fini = disk_master_end, .timeout = 60);

/* Whether the text is in what came on a connection since the last look; those who follow may have to rest. */
static bool hears(int fd, const char *part)
{
    char text[4096];
    size_t len = 0;
    node_wait(100);
    for (ssize_t more; (more = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0; node_pass())
        len += (size_t)more;
    text[len] = '\0';
    return strstr(text, part);
}

/* ---- what is held */

Test(store, what_the_disk_has_not_does_not_show)
{
    disk_start(SETTINGS_MASTER);
    append("a");
    int poll = node_ask("GET", "/messages?from=2&wait=60", "", "");
    int stream = node_ask("GET", "/messages?from=2", "Accept: text/event-stream\r\n", "");
    cr_assert(hears(stream, "data: {\"last_id\":1,"));
    int fd = post_begin("?w=1", "b");
    expect_shows("\"a\"");
    expect_health("\"last_id\":1,\"data\":{\"fsync\":\"always\",\"durable\":1,\"disk\":\"ok\"}");
    cr_expect(strstr(node_call("GET", "/messages", "", "").fields, "Last-Id: 1\r\n"));
    cr_expect_eq(node_call("GET", "/messages/2", "", "").status, 404);
    int read = node_ask("GET", "/messages/2?w=1", "", "");
    cr_expect_eq(node_answer(read).status, 0);
    cr_expect(node_answer(poll).status == 0 && answer_of(fd).status == 0);
    cr_expect(!hears(stream, "id: "), "the stream tells of it");

    disk_run();
    expect_shows("\"a\",\"b\"");
    expect_health("\"last_id\":2,\"data\":{\"fsync\":\"always\",\"durable\":2,\"disk\":\"ok\"}");
    cr_expect(strstr(node_call("GET", "/messages", "", "").fields, "Last-Id: 2\r\n"));
    cr_expect_eq(node_answer(poll).status, 200);
    expect_answer(node_answer(fd), 201, "{\"id\":2,\"w\":1,\"acks\":1}");
    cr_expect(hears(stream, "id: 2"));
    cr_expect_eq(node_answer(read).status, 200);
    close(read);
    close(poll);
    close(stream);
    close(fd);
}

Test(store, any_nodes_count_and_the_master_only_once_its_disk_has_it)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    join(2);
    disk_run();
    int fds[] = {post_begin("?w=1", "a"), post_begin("?w=2&receipt=1", "b"), post_begin("?w=3", "c")};
    cr_expect_eq(log_last(secondaries[0].list), 3, "replication begins before the write is done");
    expect_answer(answer_of(fds[0]), 201, "{\"id\":1,\"w\":1,\"acks\":1}");
    expect_answer(answer_of(fds[1]), 201,
                  "{\"id\":2,\"w\":2,\"acks\":2,\"nodes\":[{\"id\":\"master\",\"ms\":null},{\"id\":\"s1\",");
    cr_expect_eq(answer_of(fds[2]).status, 0);
    expect_shows("");
    expect_answer(node_call("GET", "/pending", "", ""), 200, "\"w\":3,\"acks\":2,");
    expect_answer(node_call("GET", "/pending", "", ""), 200, "\"waits_for\":[\"master\"],");
    disk_run();
    expect_answer(answer_of(fds[2]), 201, "{\"id\":3,\"w\":3,\"acks\":3}");
    expect_shows("\"a\",\"b\",\"c\"");
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
}

Test(store, a_receipt_tells_when_the_master_s_disk_had_it)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    disk_run();
    int fd = post_begin("?w=all&receipt=1", "a");
    node_wait(7);
    disk_run();
    expect_answer(answer_of(fd), 201,
                  "\"nodes\":[{\"id\":\"master\",\"ms\":7.0},{\"id\":\"s1\",\"ms\":0.0}]");
    close(fd);
}

Test(store, what_comes_during_a_write_is_the_next_group)
{
    disk_start(SETTINGS_MASTER);
    append("a");
    append("b"); /* there is room ahead now */
    disk.writes = disk.syncs = 0;
    int fds[] = {post_begin("?w=1", "c"), post_begin("?w=1", "d"), post_begin("?w=1", "e")};
    cr_assert(disk_step());
    cr_expect_eq(answer_of(fds[0]).status, 201);
    cr_expect_eq(answer_of(fds[1]).status, 0);
    expect_shows("\"a\",\"b\",\"c\"");
    cr_assert(disk_step());
    cr_expect(answer_of(fds[1]).status == 201 && answer_of(fds[2]).status == 201);
    cr_expect(!disk_step());
    cr_expect(disk.writes == 2 && disk.syncs == 2, "%u writes, %u syncs", disk.writes, disk.syncs);
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
}

Test(store, with_fsync_off_what_is_in_memory_is_held_and_is_never_synced)
{
    hand.settings.fsync_ms = SETTINGS_FSYNC_OFF;
    disk_start(SETTINGS_MASTER);
    disk.writes = disk.syncs = 0;
    expect_answer(node_call("POST", "/messages?w=1", "", "a"), 201, "\"acks\":1");
    expect_shows("\"a\"");
    cr_expect_eq(disk.writes, 0);
    node_pass();
    cr_assert(disk_step(), "it is written at once");
    cr_expect(disk.writes > 0 && disk.syncs == 0);
    expect_health("\"last_id\":1,\"data\":{\"fsync\":\"off\",\"durable\":0,\"disk\":\"ok\"}");
    node_wait(100000);
    cr_expect(!disk_step() && disk.syncs == 0);
}

Test(store, with_a_number_it_is_synced_so_often)
{
    hand.settings.fsync_ms = 500;
    disk_start(SETTINGS_MASTER);
    append("a");
    node_wait(500);
    append("b"); /* there is room ahead now */
    expect_health("\"last_id\":2,\"data\":{\"fsync\":0.500,\"durable\":2,\"disk\":\"ok\"}");
    expect_answer(node_call("POST", "/messages?w=1", "", "c"), 201, "\"acks\":1");
    expect_shows("\"a\",\"b\",\"c\"");
    disk.writes = disk.syncs = 0;
    disk_run();
    cr_expect(disk.writes == 1 && disk.syncs == 0, "%u writes, %u syncs", disk.writes, disk.syncs);
    expect_health("\"durable\":2");
    cr_expect_leq(hand.due_ms, clock_ms() + 500, "it asks to be called then");
    node_wait(499);
    cr_expect(!disk_step());
    node_wait(1);
    cr_assert(disk_step());
    cr_expect(disk.writes == 1 && disk.syncs == 1, "%u writes, %u syncs", disk.writes, disk.syncs);
    expect_health("\"durable\":3");
}

Test(store, who_waits_for_the_disk_alone_takes_a_place)
{
    enum { OF_PIPELINES = APPEND_WAITING_MAX / APPEND_ADDRESSES / 2, PIPELINED = 1000 };
    static const char one[] = "POST /messages?w=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    struct buf all = {0};
    int fds[OF_PIPELINES / PIPELINED + 2];
    char count[32];
    disk_start(SETTINGS_MASTER);
    for (int i = 0; i < PIPELINED; i++)
        buf_add_text(&all, one);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        fds[i] = node_connect();
        cr_assert_eq(send(fds[i], all.data, all.len, 0), (ssize_t)all.len);
        settle();
    }
    snprintf(count, sizeof count, "{\"count\":%d,", OF_PIPELINES + 2); /* the first of each connection */
    expect_answer(node_call("GET", "/pending?limit=1", "", ""), 200, count);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
    buf_free(&all);
}

Test(store, a_member_tells_whether_it_holds_on_disk_what_it_holds)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    cr_expect(!strstr(node_call("GET", "/health", "", "").body, "\"durable\":true"));
    cr_assert_eq(node_call("POST", "/register", "",
                           "{\"id\":\"s2\",\"url\":\"http://a:5002\",\"boot\":\"b2\",\"durable\":true}")
                     .status,
                 200);
    expect_health(",\"durable\":true");
}

/* ---- the disk is full */

Test(store, with_a_full_disk_nothing_is_appended_until_there_is_room)
{
    disk_start(SETTINGS_MASTER);
    append("a");
    disk_lines_begin();
    for (disk.full = ENOSPC; !strstr(node_call("GET", "/health", "", "").body, "\"disk\":\"full\"");)
        append("ahead"); /* there is some room ahead */
    uint64_t last = node_view(hand.node).shown;
    struct node_answer answer = node_call("POST", "/messages?w=1", "", "b");
    expect_answer(answer, 503, "the disk is full; nothing was appended");
    cr_expect(strstr(answer.fields, "Retry-After: 1\r\n"), "%s", answer.fields);
    expect_answer(node_call("GET", "/readyz", "", ""), 503, "\"disk\":\"the disk is full\"");
    cr_expect_eq(node_view(hand.node).shown, last);
    cr_expect_eq(log_last(node_view(hand.node).log), last);
    for (int i = 0; i < 3; i++) {
        node_wait(STORE_RETRY_MS);
        disk_run();
    }
    expect_health("\"disk\":\"full\"");
    cr_expect_leq(hand.due_ms, clock_ms() + STORE_RETRY_MS, "it asks to be called then");

    disk.full = 0;
    node_wait(STORE_RETRY_MS);
    disk_run();
    expect_health("\"disk\":\"ok\"");
    expect_answer(node_call("GET", "/readyz", "", ""), 200, "\"disk\":\"ok\"");
    append("b");
    cr_expect_eq(node_view(hand.node).shown, last + 1);
    cr_expect_eq(disk_lines("there is no room left"), 1);
}

/* One that is longer than what is ahead. */
static const char *long_batch(void)
{
    static char body[32 * 1024];
    size_t len = (size_t)sprintf(body, "{\"w\":1,\"messages\":[\"b\"");
    for (int i = 0; i < 20; i++)
        len += (size_t)sprintf(body + len, ",\"%0900d\"", i);
    sprintf(body + len, "]}");
    return body;
}

Test(store, a_group_that_met_the_full_disk_is_written_once)
{
    journal_ahead_bytes = 4096;
    disk_start(SETTINGS_MASTER);
    append("a");
    disk.full = EDQUOT;
    int fd = post_begin("", long_batch());
    disk_run();
    cr_expect_eq(answer_of(fd).status, 0);
    expect_shows("\"a\"");
    expect_health("\"durable\":1,\"disk\":\"full\"");
    cr_expect_eq(node_call("POST", "/messages?w=1", "", "c").status, 503);
    node_wait(STORE_RETRY_MS);
    disk_run();
    cr_expect_eq(answer_of(fd).status, 0);

    disk.full = 0;
    node_wait(STORE_RETRY_MS);
    disk_run();
    expect_answer(answer_of(fd), 201, "{\"id\":22,\"first_id\":2,\"count\":21,");
    close(fd);
    expect_health("\"last_id\":22,\"data\":{\"fsync\":\"always\",\"durable\":22,\"disk\":\"ok\"}");
    uint64_t digest = log_tail(node_view(hand.node).log).digest;
    disk_stopped();
    disk_start(SETTINGS_MASTER);
    struct log_tail tail = log_tail(node_view(hand.node).log);
    cr_expect(tail.last == 22 && tail.digest == digest, "%" PRIu64, tail.last);
}

/* ---- it fails */

static void expect_failed(void)
{
    struct node_answer answer = node_call("POST", "/messages?w=1", "", "z");
    expect_answer(answer, 503, "the disk has failed");
    cr_expect(strstr(answer.body, "nothing was appended"));
    expect_health("\"disk\":\"failed\"");
    expect_answer(node_call("GET", "/readyz", "", ""), 503, "\"disk\":\"the disk has failed");
}

static void fails(int *error)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    append("a");
    secondaries[0].silent = true;
    int early = post_begin("?w=1", "b");
    secondaries[0].silent = false;
    settle();
    int fds[] = {post_begin("?w=2", "c"), post_begin("?w=3&receipt=1", "d")};
    disk_lines_begin();
    *error = EIO;
    disk_run();
    expect_answer(answer_of(early), 201, "{\"id\":2,\"w\":1,\"acks\":1}");
    expect_answer(answer_of(fds[0]), 202, "{\"id\":3,\"w\":2,\"acks\":1,\"error\":\"the master's own disk");
    expect_answer(answer_of(fds[1]), 202, "\"w\":3,\"acks\":1,");
    expect_failed();
    expect_shows("\"a\"");
    expect_health("\"last_id\":1,\"data\":{\"fsync\":\"always\",\"durable\":1,");

    *error = 0; /* a disk that failed once is not believed again */
    node_wait(100000);
    cr_expect(!disk_step());
    expect_failed();
    expect_shows("\"a\"");
    cr_expect_eq(disk_lines("ERROR"), 1);
    cr_expect_eq(log_last(secondaries[0].list), 4, "what was taken is still replicated");
    close(early);
    close(fds[0]);
    close(fds[1]);
}

Test(store, a_write_that_fails_is_the_end_of_holding)
{
    fails(&disk.write_error);
}

Test(store, a_sync_that_fails_is_the_end_of_holding)
{
    fails(&disk.sync_error);
}

Test(store, a_disk_that_is_full_in_the_midst_of_a_write_has_failed)
{
    static int *const errors[] = {&disk.write_error, &disk.sync_error};
    for (size_t i = 0; i < 2; i++) {
        if (i)
            disk_stopped();
        disk.write_error = disk.sync_error = 0;
        disk_start(SETTINGS_MASTER);
        append("a");
        int fd = post_begin("?w=1", "b");
        *errors[i] = ENOSPC;
        disk_run();
        expect_answer(answer_of(fd), 202, "\"acks\":0,");
        expect_failed();
        close(fd);
    }
}

Test(store, a_full_disk_that_fails_is_not_tried_again)
{
    disk_start(SETTINGS_MASTER);
    append("a");
    disk.full = ENOSPC;
    append("b");
    expect_health("\"disk\":\"full\"");
    disk_lines_begin();
    disk.full = 0;
    disk.write_error = EIO;
    node_wait(STORE_RETRY_MS);
    disk_run();
    expect_failed();
    disk.write_error = 0;
    join(1); /* the meta file would tell of it */
    cr_expect(!disk_step());
    expect_failed();
    expect_shows("\"a\",\"b\"");
    cr_expect_eq(disk_lines("ERROR"), 1);
}

Test(store, a_sync_that_fails_where_all_is_held_at_once_ends_appends_as_well)
{
    hand.settings.fsync_ms = 500;
    disk_start(SETTINGS_MASTER);
    disk.sync_error = EIO;
    cr_assert_eq(node_call("POST", "/messages?w=1", "", "a").status, 201);
    disk_run();
    expect_failed();
    expect_shows("\"a\"");
    expect_health("\"durable\":0,");
}

/* ---- the end */

Test(store, a_stop_writes_all_and_the_meta_tells_of_it)
{
    char meta[1024];
    disk_start(SETTINGS_MASTER);
    append("a");
    int fd = post_begin("?w=1", "b");
    disk_stop();
    disk_file("meta", meta, sizeof meta);
    cr_expect(strstr(meta, "\nsynced 2\n"), "%s", meta);
    close(fd);
}

Test(store, a_stop_syncs_what_was_not_due_yet)
{
    char meta[1024];
    hand.settings.fsync_ms = 3600 * 1000;
    disk_start(SETTINGS_MASTER);
    append("a");
    append("b");
    expect_health("\"durable\":1,");
    disk_stop();
    disk_file("meta", meta, sizeof meta);
    cr_expect(strstr(meta, "\nsynced 2\n"), "%s", meta);
}
