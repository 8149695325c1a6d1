/* The master's contact with one member over connections that the test answers: which of two addresses it
 * keeps, when it dials, and what it logs. */
#include "clock.h"
#include "fake_client.h"
#include "hand_clock.h"
#include "replication/contact.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <sys/mman.h>

enum { HEARTBEAT_MS = 300, SILENCE_MS = 3000, GOODBYE_MS = 300 };

static const struct settings settings = {.heartbeat_ms = HEARTBEAT_MS};
static struct complaints complaints;
static struct base base = {
    .settings = &settings, .complaints = &complaints, .own = {.boot = "m", .log = "l", .epoch = 3}};
static const struct link_target first = {.url = {.host = "a", .port = 1}, .boot = "b1"};
static const struct link_target second = {.url = {.host = "a", .port = 2}, .boot = "b2"};
static struct contact contact;
static bool refuses; /* its owner lets no answer count */
static int lines_fd;

static int owner_told(struct link *link)
{
    if (refuses)
        return link_fail(link, EBADMSG, "its owner refuses it");
    contact_accept(link->owner, link);
    return 0;
}

static void start(void)
{
    clock_hold();
    base.log = log_open();
    fake.connects = true;
    lines_fd = memfd_create("lines", MFD_CLOEXEC);
    cr_assert_eq(logline_start(lines_fd, LOGLINE_WARN, LOGLINE_TEXT, "m"), 0);
    contact_open(&contact, &base, "s1", SILENCE_MS, clock_ms());
    contact.told = owner_told;
}

static void stop(void)
{
    contact_close(&contact);
    log_close(base.log);
    cr_assert_eq(fake_open(), 0);
}

TestSuite(contact, .init = start, .fini = stop, .timeout = 60);

static int64_t pass(void)
{
    return contact_pass(&contact, false, clock_ms());
}

/* Lets so much time go by. */
static void wait(int64_t ms)
{
    for (pass(); ms > 0; ms--) {
        clock_move(1);
        pass();
    }
}

/* The secondary on that connection answers as the process of the target, and holds nothing. */
static void prove(struct http_client *client, const struct link_target *target)
{
    char body[256];
    snprintf(body, sizeof body,
             "{\"last_id\":0,\"id\":\"s1\",\"boot\":\"%s\",\"log\":\"l\",\"epoch\":3,"
             "\"digest\":\"%016" PRIx64 "\"}",
             target->boot, log_digest(base.log, 0));
    fake_answer(client, 200, body);
}

/* It registers, is dialled, and proves itself. Returns the connection. */
static struct http_client *join(const struct link_target *target)
{
    contact_register(&contact, target, clock_ms());
    pass();
    pass();
    prove(fake_last(), target);
    cr_assert_not_null(contact_proven(&contact));
    return fake_last();
}

/* How many lines hold the text. */
static int lines_with(const char *part)
{
    static char text[65536];
    int lines = 0;
    logline_stop();
    cr_assert_geq(pread(lines_fd, text, sizeof text - 1, 0), 0);
    for (const char *at = text; (at = strstr(at, part)); at++)
        lines++;
    cr_assert_eq(logline_start(lines_fd, LOGLINE_WARN, LOGLINE_TEXT, "m"), 0);
    return lines;
}

/* ---- one address */

Test(contact, a_registration_is_dialled_at_the_next_pass)
{
    contact_register(&contact, &first, clock_ms());
    cr_assert_eq(fake_open(), 0);
    pass();
    cr_assert(fake_open() == 1 && fake_last()->url.port == 1);
}

Test(contact, a_link_that_fails_is_dialled_again_after_a_pause)
{
    fake_fail(join(&first), -EIO, "cable");
    pass();
    int64_t due_ms = pass();
    cr_assert(fake_open() == 0 && due_ms > clock_ms());
    cr_assert_eq(contact.counters.failures, 1);
    cr_assert_str_eq(contact.complaint, "cable");
    clock_move(due_ms - clock_ms());
    pass();
    cr_assert(fake_open() == 1 && fake_last()->url.port == 1);
}

Test(contact, a_registration_ends_the_pause)
{
    fake_fail(join(&first), -EIO, "cable");
    pass();
    contact_register(&contact, &first, clock_ms());
    pass();
    cr_assert_eq(fake_open(), 1);
}

Test(contact, a_registration_of_the_process_that_is_linked_changes_nothing)
{
    struct http_client *connection = join(&first);
    contact_register(&contact, &first, clock_ms());
    pass();
    cr_assert(fake_open() == 1 && fake_last() == connection);
}

Test(contact, a_process_that_lives_and_answers_late_gets_twice_the_time)
{
    for (int64_t allowed_ms = SILENCE_MS; allowed_ms <= 2 * SILENCE_MS; allowed_ms *= 2) {
        struct http_client *connection = join(&first);
        clock_move(HEARTBEAT_MS);
        pass();
        unsigned asked = connection->requests;
        cr_assert_eq(asked, 2, "a sign of life");
        clock_move(allowed_ms - 1);
        pass();
        cr_assert_not_null(contact.link);
        clock_move(1);
        pass();
        cr_assert_null(contact.link);
    }
}

/* ---- two addresses */

Test(contact, another_address_is_dialled_beside_the_link_and_its_first_proof_takes_the_place_of_the_link)
{
    struct http_client *one = join(&first);
    contact_register(&contact, &second, clock_ms());
    struct http_client *other = fake_last();
    cr_assert(fake_open() == 2 && other->url.port == 2);
    pass();
    cr_assert_eq(contact.link->target.url.port, 1);
    cr_assert_eq(contact.target.url.port, 1);
    prove(one, &first);
    prove(other, &second);
    cr_assert(fake_open() == 1 && fake_last() == other);
    cr_assert_eq(contact_proven(&contact)->target.url.port, 2);
    cr_assert_eq(contact.target.url.port, 2);
    cr_assert_null(contact_wish(&contact, "b2"));
}

Test(contact, another_address_that_fails_leaves_the_link)
{
    join(&first);
    contact_register(&contact, &second, clock_ms());
    fake_fail(fake_last(), -ECONNREFUSED, "nobody");
    pass();
    cr_assert_eq(fake_open(), 1);
    cr_assert_eq(contact_proven(&contact)->target.url.port, 1);
    cr_assert_eq(contact.target.url.port, 1);
    cr_assert_eq(contact.counters.failures, 0);
}

Test(contact, an_answer_that_its_owner_refuses_leaves_the_link)
{
    join(&first);
    contact_register(&contact, &second, clock_ms());
    pass();
    refuses = true;
    prove(fake_last(), &second);
    pass();
    cr_assert_eq(fake_open(), 1);
    cr_assert_eq(contact_proven(&contact)->target.url.port, 1);
}

Test(contact, a_link_that_fails_leaves_its_place_to_the_other_address)
{
    struct http_client *one = join(&first);
    contact_register(&contact, &second, clock_ms());
    fake_fail(one, -EIO, "cable");
    pass();
    cr_assert_eq(contact.link->target.url.port, 2);
    cr_assert_eq(contact.target.url.port, 2);
}

Test(contact, addresses_of_which_none_is_proven_are_dialled_by_turns)
{
    contact_register(&contact, &first, clock_ms());
    contact_register(&contact, &second, clock_ms());
    pass();
    for (uint16_t turn = 0; turn < 4; turn++) {
        cr_assert(fake_open() == 1 && fake_last()->url.port == 2 - turn % 2);
        fake_fail(fake_last(), -ECONNREFUSED, "nobody");
        pass();
        clock_move(pass() - clock_ms());
        pass();
    }
}

Test(contact, it_tells_where_another_process_has_registered)
{
    contact_register(&contact, &second, clock_ms());
    cr_assert_eq(contact_wish(&contact, "b1")->url.port, 2);
    join(&first);
    cr_assert_null(contact_wish(&contact, "b1"));
    contact_register(&contact, &second, clock_ms());
    cr_assert_eq(contact_wish(&contact, "b1")->url.port, 2);
    contact_renew(&contact, clock_ms());
    cr_assert_eq(fake_open(), 0);
    cr_assert_eq(contact_wish(&contact, "b1")->url.port, 2);
    pass();
    cr_assert(fake_open() == 1 && fake_last()->url.port == 2);
}

/* ---- what is logged */

Test(contact, a_failure_is_logged_at_once)
{
    fake_fail(join(&first), -EIO, "cable");
    pass();
    cr_assert_eq(lines_with("s1: cable; trying again"), 1);
}

Test(contact, a_failure_of_a_member_that_may_be_starting_is_no_warning)
{
    fake_fail(join(&first), -EIO, "cable");
    contact_pass(&contact, true, clock_ms());
    cr_assert_eq(lines_with("cable"), 0);
    cr_assert_str_eq(contact.complaint, "cable");
}

Test(contact, a_connection_that_ended_is_logged_when_no_goodbye_has_come)
{
    fake_fail(join(&first), -ECONNRESET, "the connection ended");
    wait(GOODBYE_MS - 1);
    cr_assert_eq(lines_with("the connection ended"), 0);
    wait(1);
    cr_assert_eq(lines_with("s1: the connection ended; trying again"), 1);
}
