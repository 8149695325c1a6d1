/* A secondary by hand and its disk: when it acknowledges and shows, and what it says of itself. */
#include "disk_by_hand.h"
#include "replication/store.h"

enum { DELAY_MS = 500, SILENCE_MS = 10000 /* after which it registers again */ };

/* The list that the master has, and its name. */
static struct log *list;
static const char *list_log = "l";

static void begin(void)
{
    disk_begin();
    list = log_open();
    elements_append(list, span_of("\"first\",\"second\",\"third\""), 3);
}

static void end(void)
{
    disk_stopped();
    log_close(list);
    cr_assert_eq(fake_open(), 0);
    disk_end();
}

TestSuite(store_secondary, .init = begin, .fini = end, .timeout = 60);

/* The master of epoch 3 takes the registration that is under way. */
static void accept_registration(void)
{
    char body[256];
    snprintf(body, sizeof body,
             "{\"log\":\"%s\",\"epoch\":3,\"last_id\":3,\"id\":\"s1\",\"boot\":\"m\",\"heartbeat\":1}",
             list_log);
    fake_answer(fake_last(), 200, body);
    disk_run();
}

static void start(void)
{
    disk_start(SETTINGS_SECONDARY);
    accept_registration();
}

static void restart(void)
{
    disk_stopped();
    disk_start(SETTINGS_SECONDARY);
}

/* What it says of itself when it registers. */
#define expect_registers(part) cr_expect(registers(part), "line %d: %.*s", __LINE__, REGISTRATION)
#define REGISTRATION (int)fake_last()->body.len, fake_last()->body.data

static bool registers(const char *part)
{
    const struct buf *body = &fake_last()->body;
    cr_assert_str_eq(fake_last()->target, "/register");
    return memmem(body->data, body->len, part, strlen(part));
}

/* The master sends the messages `first` to `last`; `fields` are further ones. */
static int send_messages(uint64_t first, uint64_t last, const char *fields)
{
    char head[128], body[512];
    struct iovec iov;
    struct log_slice slice = log_slice(list, first, last);
    cr_assert_eq(log_slice_iov(&slice, &iov, 1), 1);
    snprintf(head, sizeof head, "Log: %s\r\nEpoch: 3\r\nMaster: m\r\n%s", list_log, fields);
    snprintf(body, sizeof body,
             "{\"log\":\"%s\",\"epoch\":3,\"first\":%" PRIu64 ",\"digest\":\"%016" PRIx64
             "\",\"messages\":[%.*s]}",
             list_log, first, log_digest(list, first - 1), (int)slice.len, (char *)iov.iov_base);
    return node_ask("POST", "/replicate", head, body);
}

static struct node_answer replicate(uint64_t first, uint64_t last)
{
    int fd = send_messages(first, last, "");
    struct node_answer answer = node_answer(fd);
    close(fd);
    return answer;
}

/* It holds that message on its disk. */
static void take(uint64_t id)
{
    int fd = send_messages(id, id, "");
    disk_run();
    cr_assert_eq(node_answer(fd).status, 200);
    close(fd);
}

/* ---- what is held */

Test(store_secondary, what_the_disk_has_not_is_neither_shown_nor_acknowledged)
{
    start();
    int fd = send_messages(1, 1, "");
    node_wait(10000);
    struct node_answer answer = node_answer(fd);
    cr_expect(answer.status == 0 && answer.interims > 0, "its master learns that it lives");
    expect_shows("");
    expect_health("\"last_id\":0,\"data\":{\"fsync\":\"always\",\"durable\":0,\"disk\":\"ok\"}");
    expect_answer(node_call("POST", "/replicate", "Log: l\r\nEpoch: 3\r\nMaster: m\r\n", ""), 200,
                  "{\"last_id\":0,");
    disk_run();
    expect_answer(node_answer(fd), 200, "{\"last_id\":1,");
    expect_shows("\"first\"");
    expect_health("\"last_id\":1,\"data\":{\"fsync\":\"always\",\"durable\":1,\"disk\":\"ok\"}");
    close(fd);
}

Test(store_secondary, what_comes_during_a_write_is_the_next_group)
{
    start();
    int fds[] = {send_messages(1, 1, ""), send_messages(2, 2, ""), send_messages(3, 3, "")};
    cr_assert(disk_step());
    expect_answer(node_answer(fds[0]), 200, "{\"last_id\":1,");
    cr_expect_eq(node_answer(fds[1]).status, 0);
    expect_shows("\"first\"");
    cr_assert(disk_step());
    expect_answer(node_answer(fds[1]), 200, "{\"last_id\":3,");
    expect_answer(node_answer(fds[2]), 200, "{\"last_id\":3,");
    cr_expect(!disk_step());
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
}

Test(store_secondary, a_delay_goes_on_beside_the_write)
{
    hand.settings.delay_ms = DELAY_MS;
    start();
    int fd = send_messages(1, 1, "");
    disk_run();
    node_wait(DELAY_MS - 10);
    cr_expect_eq(node_answer(fd).status, 0);
    expect_shows("");
    expect_health("\"durable\":1,");
    node_wait(11);
    cr_expect_eq(node_answer(fd).status, 200);
    expect_shows("\"first\"");
    close(fd);

    fd = send_messages(2, 2, "");
    node_wait(DELAY_MS + 1);
    cr_expect_eq(node_answer(fd).status, 0);
    expect_shows("\"first\"");
    disk_run();
    expect_answer(node_answer(fd), 200, "{\"last_id\":2,");
    expect_shows("\"first\",\"second\"");
    close(fd);
}

Test(store_secondary, with_fsync_off_what_is_in_memory_is_acknowledged)
{
    hand.settings.fsync_ms = SETTINGS_FSYNC_OFF;
    start();
    expect_answer(replicate(1, 2), 200, "{\"last_id\":2,");
    expect_shows("\"first\",\"second\"");
    disk_run();
    restart();
    expect_shows("\"first\",\"second\"");
    cr_expect(!registers("durable"));
    expect_registers("\"on_disk\":true");
}

/* ---- the disk is full, or fails */

Test(store_secondary, with_a_full_disk_nothing_is_stored_until_there_is_room)
{
    start();
    take(1);
    disk.full = ENOSPC;
    take(2); /* there is some room ahead */
    struct node_answer answer = replicate(3, 3);
    expect_answer(answer, 503, "the disk is full");
    cr_expect(strstr(answer.fields, "Retry-After: 1\r\n"));
    cr_expect_eq(log_last(node_view(hand.node).log), 2);
    expect_health("\"disk\":\"full\"");
    expect_answer(node_call("GET", "/readyz", "", ""), 503, "\"disk\":\"the disk is full\"");
    expect_answer(replicate(1, 2), 200, "{\"last_id\":2,");
    disk.full = 0;
    node_wait(STORE_RETRY_MS);
    disk_run();
    expect_health("\"disk\":\"ok\"");
    take(3);
    expect_shows("\"first\",\"second\",\"third\"");
}

Test(store_secondary, a_sync_that_fails_is_the_end_of_holding)
{
    start();
    take(1);
    int fd = send_messages(2, 2, "");
    disk_lines_begin();
    disk.sync_error = EIO;
    disk_run();
    expect_answer(node_answer(fd), 503, "the disk has failed");
    disk.sync_error = 0;
    node_wait(SILENCE_MS);
    expect_registers("\"last_id\":1,");
    cr_expect(!registers("\"stored\""));
    accept_registration();
    expect_answer(replicate(3, 3), 503, "the disk has failed");
    expect_answer(replicate(2, 2), 503, "the disk has failed");
    expect_answer(replicate(2, 3), 503, "the disk has failed");
    expect_answer(replicate(1, 1), 200, "{\"last_id\":1,");
    expect_shows("\"first\"");
    expect_health("\"durable\":1,\"disk\":\"failed\"");
    expect_answer(node_call("GET", "/readyz", "", ""), 503, "\"disk\":\"the disk has failed");
    cr_expect_eq(disk_lines("ERROR"), 1);
    close(fd);
}

/* ---- a start */

Test(store_secondary, while_its_list_is_loaded_it_takes_nothing)
{
    start();
    take(1);
    disk_stopped();
    node_start(SETTINGS_SECONDARY);
    expect_answer(node_call("GET", "/livez", "", ""), 200, "alive");
    struct node_answer answer = replicate(2, 2);
    expect_answer(answer, 503, "it is loading its list from disk");
    cr_expect(strstr(answer.fields, "Retry-After: 1\r\n"));
    cr_expect_eq(fake_open(), 0, "it does not register before");
    disk_run();
    accept_registration();
    take(2);
    expect_shows("\"first\",\"second\"");
}

Test(store_secondary, another_process_of_it_is_of_the_same_list_and_epoch)
{
    start();
    take(1);
    restart();
    expect_registers("\"log\":\"l\",\"epoch\":3,");
    expect_registers("\"last_id\":1,");
    expect_registers("\"durable\":true");
    expect_shows("\"first\"");
    expect_answer(node_call("POST", "/replicate", "", ""), 200, "\"log\":\"l\",\"epoch\":3,");
}

/* It holds all that was acknowledged: two messages, which its master is sure of. */
static void be_complete(void)
{
    start();
    take(1);
    int fd = send_messages(2, 2, "Sure: 2\r\n");
    disk_run();
    cr_assert_eq(node_answer(fd).status, 200);
    close(fd);
    expect_answer(node_call("POST", "/replicate", "Log: l\r\nEpoch: 3\r\nMaster: m\r\nSure: 2\r\n", ""), 200,
                  "\"last_id\":2,");
    disk_run();
}

/* The master said so when the second message was not on disk yet. */
Test(store_secondary, what_the_disk_does_not_have_yet_makes_no_witness)
{
    start();
    take(1);
    int fd = send_messages(2, 2, "Sure: 2\r\n");
    disk_run();
    cr_assert_eq(node_answer(fd).status, 200);
    close(fd);
    disk_died();
    disk_start(SETTINGS_SECONDARY);
    cr_assert(!registers("\"complete\":true"));
}

Test(store_secondary, who_kept_all_is_a_witness_again)
{
    be_complete();
    disk_died();
    disk_start(SETTINGS_SECONDARY);
    expect_registers("\"complete\":true");
}

Test(store_secondary, who_was_never_complete_is_no_witness)
{
    start();
    take(1);
    restart();
    cr_expect(!registers("complete"));
}

Test(store_secondary, whose_disk_is_behind_is_a_witness_only_behind_a_stop)
{
    hand.settings.fsync_ms = 1;
    be_complete();
    disk_died();
    disk_start(SETTINGS_SECONDARY);
    cr_expect(!registers("complete"));
    accept_registration();
    int fd = send_messages(3, 3, "Sure: 3\r\n");
    close(fd);
    restart();
    expect_registers("\"complete\":true");
}

Test(store_secondary, who_lacks_messages_is_no_witness_and_is_refilled)
{
    be_complete();
    disk_stopped();
    disk_damage("second");
    disk_lines_begin();
    disk_start(SETTINGS_SECONDARY);
    cr_expect(!registers("complete"));
    expect_registers("\"last_id\":1,");
    expect_health("\"missing\":2,");
    expect_answer(node_call("GET", "/readyz", "", ""), 503, "\"missing\":\"messages that were");
    accept_registration();
    int fd = send_messages(2, 3, "");
    expect_health("\"missing\":2,");
    disk_run();
    cr_expect_eq(node_answer(fd).status, 200);
    close(fd);
    cr_expect(!strstr(node_call("GET", "/health", "", "").body, "missing"));
    expect_shows("\"first\",\"second\",\"third\"");
    disk_run();
    disk_died();
    disk_start(SETTINGS_SECONDARY);
    cr_expect(!strstr(node_call("GET", "/health", "", "").body, "missing"));
    cr_expect_eq(disk_lines("the messages up to 2 that were missing are on this disk again"), 1);
}

Test(store_secondary, who_follows_another_list_lacks_none_of_the_old_one)
{
    be_complete();
    disk_stopped();
    disk_damage("first");
    disk_lines_begin();
    disk_start(SETTINGS_SECONDARY);
    expect_registers("\"last_id\":0");
    expect_health("\"missing\":2,");
    list_log = "other";
    accept_registration();
    cr_expect(!strstr(node_call("GET", "/health", "", "").body, "missing"));
    expect_answer(node_call("GET", "/readyz", "", ""), 503, "\"missing\":\"ok\"");
    take(1);
    take(2);
    take(3);
    disk_run();
    disk_died();
    disk_start(SETTINGS_SECONDARY);
    expect_shows("\"first\",\"second\",\"third\"");
    cr_expect(!strstr(node_call("GET", "/health", "", "").body, "missing"));
    cr_expect_eq(disk_lines("on this disk again"), 0);
}
