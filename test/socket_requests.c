/* Requests on a wire: cut anywhere, one behind another, from clients that are slow, leave or have said all.
 */
#include "answers.h"
#include "node.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static struct node *master;

static void start(void)
{
    master = master_start("--write-concern 1");
}

TestSuite(requests, .init = start, .fini = nodes_stop, .timeout = 120);

/* A connection whose sends leave at once. */
static int dial(void)
{
    int on = 1;
    int fd = raw_open(master->port);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

#define HOST "Host: a\r\n"
#define GET "GET /messages HTTP/1.1\r\n" HOST "\r\n"
#define HEALTH "GET /health HTTP/1.1\r\n" HOST "\r\n"
#define CLOSE "GET /messages HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"
#define POST(query, text, length)                                                                            \
    "POST /messages" query " HTTP/1.1\r\n" HOST "Content-Length: " length "\r\n\r\n" text

static void expect_status(int fd, int status)
{
    struct reply reply = raw_reply(fd, false, SOON);
    cr_expect(reply.status == status, "%d, not %d: %s", reply.status, status, reply.body);
    http_free(&reply);
}

/* The next answer as text, head and body. */
static const char *answer_text(int fd, bool to_head)
{
    static char text[16384];
    struct reply reply = raw_reply(fd, to_head, SOON);
    snprintf(text, sizeof text, "%s%s", reply.head, reply.body);
    http_free(&reply);
    return text;
}

Test(requests, every_body_ends_with_a_newline)
{
    static const char *const targets[] = {"/messages",   "/messages/1",     "/messages?from=9",
                                          "/health",     "/nowhere",        "/messages/1?w=1",
                                          "/messages/2", "/messages?from=0"};
    struct reply reply = http_post(master->port, "/messages", "a", 1);
    cr_expect(reply.newline, "%s", reply.body);
    http_free(&reply);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        reply = http_get(master->port, "%s", targets[i]);
        cr_expect(reply.status && reply.newline, "%s: %d %s", targets[i], reply.status, reply.body);
        cr_expect(reply.body_len == strlen(reply.body) && !strchr(reply.body, '\n'), "one line, and one end");
        http_free(&reply);
    }
}

Test(requests, no_cache_gives_an_old_list)
{
    static const char *const targets[] = {"/messages",        "/",
                                          "/messages?from=9", "/messages/1",
                                          "/messages/2",      "/messages/1?w=1",
                                          "/messages/2?w=1",  "/messages/1?w=9&timeout=0.01"};
    http_post(master->port, "/messages", "a", 1);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct reply reply = http_get(master->port, "%s", targets[i]);
        const char *control = http_field(&reply, "Cache-Control");
        cr_expect(control && strcmp(control, "no-cache") == 0, "%s: %d", targets[i], reply.status);
    }
}

Test(requests, a_slash_behind_an_id_is_told)
{
    static const char *const targets[] = {"/messages/1/", "/messages/1/?w=1"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct reply reply = http_get(master->port, "%s", targets[i]);
        cr_expect(reply.status == 404 &&
                      strstr(reply.body, "no message 1/ here; leave out the slash at its end"),
                  "%s: %s", targets[i], reply.body);
    }
    struct reply reply = http_get(master->port, "/messages/1");
    cr_expect(!strstr(reply.body, "slash"), "%s", reply.body);
}

static void expect_list(const char *json)
{
    struct reply list = http_get(master->port, "/messages");
    cr_expect_str_eq(list.body, json);
    http_free(&list);
}

/* ---- cut anywhere */

static const char json_post[] = "POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                                "Content-Length: 17\r\n\r\n{\"message\":\"abc\"}";
static const char chunked_post[] = "POST /messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                   "1;x\r\na\r\n2\r\nbc\r\n0\r\nTrailer: x\r\n\r\n";

static void send_cut(int fd, const char *text, size_t cut)
{
    raw_send(fd, text, cut);
    if (cut)
        usleep(500); /* the server has most likely read the first part by then */
    raw_send(fd, text + cut, strlen(text) - cut);
    expect_status(fd, 201);
}

static void send_bytes(int fd, const char *text)
{
    for (size_t i = 0; text[i]; i++)
        raw_send(fd, text + i, 1);
    expect_status(fd, 201);
}

Test(requests, a_post_cut_in_two_anywhere_is_the_same_post)
{
    int fd = dial();
    size_t count = 0;
    for (size_t cut = 0; cut < strlen(json_post); cut++, count++)
        send_cut(fd, json_post, cut);
    for (size_t cut = 0; cut < strlen(chunked_post); cut++, count++)
        send_cut(fd, chunked_post, cut);
    char list[4096] = "{\"messages\":[\"abc\"";
    for (size_t i = 1; i < count; i++)
        strcat(list, ",\"abc\"");
    expect_list(strcat(list, "]}"));
    close(fd);
}

Test(requests, a_post_may_come_byte_by_byte)
{
    int fd = dial();
    send_bytes(fd, json_post);
    send_bytes(fd, chunked_post);
    expect_list("{\"messages\":[\"abc\",\"abc\"]}");
    close(fd);
}

Test(requests, a_large_post_comes_in_pieces)
{
    enum { LEN = 1048576 };
    char *message = malloc(LEN);
    memset(message, 'm', LEN);
    int fd = dial();
    raw_text(fd, "POST /messages HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", LEN);
    raw_send(fd, message, LEN);
    raw_text(fd, GET);
    expect_status(fd, 201);
    struct reply list = raw_reply(fd, false, SOON);
    cr_expect(list.body_len == LEN + strlen("{\"messages\":[\"\"]}"));
    http_free(&list);
    close(fd);
    free(message);
}

/* ---- one behind another */

Test(requests, answers_come_in_the_order_of_the_requests)
{
    int fd = dial();
    raw_text(fd, "%s", POST("", "a", "1") GET POST("", "b", "1") GET);
    cr_expect(strstr(answer_text(fd, false), "{\"id\":1,"));
    cr_expect(strstr(answer_text(fd, false), "{\"messages\":[\"a\"]}"));
    cr_expect(strstr(answer_text(fd, false), "{\"id\":2,"));
    cr_expect(strstr(answer_text(fd, false), "{\"messages\":[\"a\",\"b\"]}"));
    close(fd);
}

Test(requests, a_waiting_post_holds_up_only_answers_behind_it)
{
    int fd = dial();
    raw_text(fd, "%s", POST("?w=2&timeout=0.5", "a", "1") GET POST("", "b", "1"));
    eventually(SOON, strcmp(http_get(master->port, "/messages").body, "{\"messages\":[\"a\",\"b\"]}") == 0);
    char nothing;
    cr_expect(raw_receive(fd, &nothing, 1, 200) == -1); /* the answer to GET is ready, and waits its turn */
    cr_expect(strstr(answer_text(fd, false), "HTTP/1.1 202 "));
    cr_expect(strstr(answer_text(fd, false), "{\"messages\":[\"a\"")); /* what GET saw when it came */
    cr_expect(strstr(answer_text(fd, false), "HTTP/1.1 201 "));
    close(fd);
}

Test(requests, a_thousand_at_once_are_answered_in_order)
{
    enum { COUNT = 1000 };
    char *all = malloc(COUNT * 256);
    size_t len = 0;
    for (int i = 1; i <= COUNT; i++)
        len += (size_t)sprintf(all + len, "%s", i % 3 ? POST("", "message", "7") : HEALTH);
    len += (size_t)sprintf(all + len, "%s", CLOSE);
    int fd = dial();
    raw_send(fd, all, len);
    struct answers answers = answers_read(fd, SOON);
    struct answer answer;
    int id = 0;
    for (int i = 1; i <= COUNT; i++) {
        cr_assert(answer_next(&answers, false, &answer) && !answer.fault, "%d: %s", i, answer.fault);
        cr_assert(answer.status == (i % 3 ? 201 : 200), "%d: %d", i, answer.status);
        if (i % 3)
            cr_assert(json_number_of(answer.body, "id") == ++id, "%d", i);
    }
    cr_expect(answer_next(&answers, false, &answer) && answer.close && answers.at == answers.len);
    cr_expect(answers.ended);
    close(fd);
    free(answers.bytes);
    free(all);
}

/* ---- clients as they are */

Test(requests, a_slow_client_is_served_and_holds_nobody)
{
    int fd = dial();
    for (size_t i = 0; json_post[i]; i++) {
        raw_send(fd, json_post + i, 1);
        if (i % 10 == 0) {
            nap_ms(20);
            struct reply reply = http_get(master->port, "/health");
            cr_expect(reply.status == 200 && reply.ms < 1000, "%d after %d ms", reply.status, reply.ms);
            http_free(&reply);
        }
    }
    expect_status(fd, 201);
    close(fd);
}

Test(requests, a_client_that_leaves_while_it_waits_does_not_undo_its_append)
{
    int descriptors = node_descriptors(master);
    for (int i = 0; i < 20; i++) {
        int fd = dial();
        raw_text(fd, "%s", POST("?w=2&timeout=2", "a", "1"));
        eventually(SOON, json_number_of(http_get(master->port, "/health").body, "last_id") == i + 1);
        if (i % 2)
            raw_reset(fd);
        else
            close(fd);
    }
    nap_ms(2200); /* their answers go nowhere */
    eventually(SOON, node_descriptors(master) <= descriptors);
    struct reply reply = http_post(master->port, "/messages", "b", 1);
    cr_expect(json_number_of(reply.body, "id") == 21);
}

Test(requests, a_client_that_has_said_all_gets_its_answers)
{
    int fd = dial();
    raw_text(fd, "%s", POST("?w=2&timeout=0.3", "a", "1") GET);
    shutdown(fd, SHUT_WR);
    expect_status(fd, 202);
    expect_status(fd, 200);
    cr_expect(raw_closed(fd, SOON));
    close(fd);
}

Test(requests, half_a_request_and_an_end_is_no_request)
{
    int fd = dial();
    raw_text(fd, "%s", POST("", "a", "1") POST("", "hell", "5"));
    shutdown(fd, SHUT_WR);
    expect_status(fd, 201);
    cr_expect(raw_closed(fd, SOON));
    expect_list("{\"messages\":[\"a\"]}");
    close(fd);
}

Test(requests, clients_that_reset_in_mid_request_leave_nothing_behind)
{
    int descriptors = node_descriptors(master);
    for (size_t cut = 1; cut < strlen(json_post); cut += 3) {
        int fd = dial();
        raw_send(fd, json_post, cut);
        raw_reset(fd);
    }
    eventually(SOON, node_descriptors(master) <= descriptors);
    expect_list("{\"messages\":[]}");
}

/* ---- 100-continue */

static const char expecting[] =
    "POST /messages HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: %s\r\n\r\n";

static void expect_bytes(int fd, const char *text)
{
    char got[256] = "";
    size_t len = 0;
    while (len < strlen(text)) {
        long more = raw_receive(fd, got + len, strlen(text) - len, SOON);
        if (more <= 0)
            break;
        len += (size_t)more;
    }
    cr_expect_str_eq(got, text);
}

Test(requests, a_client_that_waits_to_send_its_body_is_told_to_go_on)
{
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        raw_text(fd, expecting, "5");
        expect_bytes(fd, "HTTP/1.1 100 Continue\r\n\r\n");
        raw_text(fd, "hello");
        expect_status(fd, 201);
    }
    close(fd);
}

Test(requests, a_client_that_waits_with_too_large_a_body_is_told_so)
{
    int fd = dial();
    raw_text(fd, expecting, "1048577");
    struct answers answers = answers_read(fd, SOON);
    struct answer answer;
    cr_expect(answer_next(&answers, false, &answer) && answer.status == 413 && answer.close);
    cr_expect(answers.at == answers.len && answers.ended);
    close(fd);
}

Test(requests, curl_does_not_wait_for_its_time_limit_before_it_sends)
{
    char command[256];
    int64_t began_ms = now_ms();
    snprintf(command, sizeof command,
             "head -c 1000000 /dev/zero | tr '\\0' x | curl -sS -o /dev/null -H 'Expect: 100-continue' "
             "--expect100-timeout 60 --data-binary @- %s/messages",
             master->url);
    if (system("command -v curl >/dev/null") != 0)
        cr_skip("there is no curl");
    cr_expect(system(command) == 0);
    cr_expect(now_ms() - began_ms < SOON, "%d ms", (int)(now_ms() - began_ms));
}

/* ---- heads */

static const char *without_date(const char *head)
{
    static char text[2][4096];
    static int turn;
    char *out = text[turn ^= 1];
    snprintf(out, sizeof text[0], "%s", head);
    char *date = strstr(out, "Date: ");
    if (date)
        memmove(date, date + 37, strlen(date + 37) + 1);
    return out;
}

Test(requests, head_has_the_head_of_get)
{
    const char *targets[] = {"/messages", "/", "/messages/1", "/messages?from=2", "/nowhere", "/messages/99"};
    int fd = dial();
    raw_text(fd, "%s", POST("", "a", "1"));
    expect_status(fd, 201);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        raw_text(fd, "GET %s HTTP/1.1\r\n" HOST "\r\nHEAD %s HTTP/1.1\r\n" HOST "\r\n", targets[i],
                 targets[i]);
        struct reply get = raw_reply(fd, false, SOON);
        struct reply head = raw_reply(fd, true, SOON);
        cr_expect(get.body_len > 0);
        cr_expect_str_eq(without_date(get.head), without_date(head.head));
    }
    close(fd);
}

Test(requests, an_etag_saves_the_body)
{
    struct reply list = http_get(master->port, "/messages");
    const char *etag = http_field(&list, "ETag");
    cr_assert(etag);
    int fd = dial();
    for (int i = 0; i < 2; i++) {
        raw_text(fd, "GET /messages HTTP/1.1\r\n" HOST "If-None-Match: \"x\", %s\r\n\r\n%s", etag,
                 POST("", "a", "1"));
        const char *text = answer_text(fd, true);
        cr_expect(strncmp(text, i ? "HTTP/1.1 200 " : "HTTP/1.1 304 ", 13) == 0);
        cr_expect(i || strstr(text, etag));
        if (i) { /* now it was another list, with a body */
            char body[sizeof "{\"messages\":[\"a\"]}\n"] = "";
            cr_expect(recv(fd, body, sizeof body - 1, MSG_WAITALL) > 0);
            cr_expect_str_eq(body, "{\"messages\":[\"a\"]}\n");
        }
        expect_status(fd, 201);
    }
    close(fd);
}

Test(requests, allow_names_what_a_path_takes)
{
    const struct {
        const char *target, *allow;
    } rows[] = {
        {"/messages", "GET, HEAD, POST, OPTIONS"},
        {"/", "GET, HEAD, POST, OPTIONS"},
        {"/messages/1", "GET, HEAD, OPTIONS"},
        {"/health", "GET, HEAD, OPTIONS"},
        {"/register", "POST, OPTIONS"},
        {"/secondaries/x", "DELETE, OPTIONS"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply put = http_request(master->port, "PUT", rows[i].target, NULL, NULL, 0, SOON);
        struct reply options = http_request(master->port, "OPTIONS", rows[i].target, NULL, NULL, 0, SOON);
        cr_expect(put.status == 405 && options.status == 204);
        cr_expect_str_eq(http_field(&put, "Allow"), rows[i].allow);
        cr_expect_str_eq(http_field(&options, "Allow"), rows[i].allow);
    }
}

static struct reply request_if(const char *method, const char *condition, const char *etag)
{
    char fields[200];
    snprintf(fields, sizeof fields, "%s: %s\r\n", condition, etag);
    return http_request(master->port, method, "/messages", fields, "a", *method == 'P', SOON);
}

Test(requests, an_append_may_be_meant_for_one_list_alone)
{
    struct reply list = http_get(master->port, "/messages");
    const char *etag = http_field(&list, "ETag");
    cr_assert(etag);
    cr_expect(request_if("GET", "If-Match", etag).status == 200);
    cr_expect(request_if("POST", "If-Match", etag).status == 201);
    cr_expect(request_if("POST", "If-Match", etag).status == 412);
    struct reply other = request_if("GET", "If-Match", etag);
    cr_expect(other.status == 412 && strcmp(http_field(&other, "ETag"), etag) != 0);
    struct reply health = http_get(master->port, "/health");
    cr_expect(json_number_of(health.body, "last_id") == 1);
}
