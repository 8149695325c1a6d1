/* A whole connection: the same bytes in one piece and in many give the same requests and answers, each
 * request gets one answer, and nothing is left behind. The input's first byte chooses the pieces, the second
 * how the client goes. */
#include "../test/by_hand.h"
#include "check.h"
#include "http/parser.h"

enum {
    REQUESTS_MAX = 4096,
    PASSES = 20000, /* within which everything must have happened */
    BIG_MAX = 300000,
    CLOSES_EARLY = 1, /* after so many pieces as the other bits tell */
    ANSWERS_LATE = 2
};

/* What came of a connection. */
struct outcome {
    int requests;
    uint64_t digest; /* of the requests, in order */
    bool to_head[REQUESTS_MAX];
    int answers; /* final ones of requests that were handled */
    int refusal; /* the status of the one that refused, or 0 */
};

static struct outcome *now;

static void digest_add(struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        now->digest = (now->digest ^ (unsigned char)bytes.at[i]) * 1099511628211U;
    now->digest = (now->digest ^ bytes.len) * 1099511628211U;
}

static void request_note(const struct http_request *request)
{
    CHECK(now->requests < REQUESTS_MAX);
    CHECK(request->body.len <= HAND_BODY_MAX);
    now->to_head[now->requests++] = span_equals(request->head->method, "HEAD");
    digest_add(request->head->method);
    digest_add(span_of(request->target->path));
    digest_add(request->target->query);
    digest_add(request->body);
    for (size_t i = 0; i < request->head->field_count; i++) {
        digest_add(request->head->fields[i].name);
        digest_add(request->head->fields[i].value);
    }
}

static void receive(int client, struct buf *got)
{
    char bytes[65536];
    ssize_t len;
    while ((len = recv(client, bytes, sizeof bytes, 0)) > 0)
        buf_add(got, bytes, (size_t)len);
}

static void answer_parked(void)
{
    while (hand.parked_first < hand.parked_end)
        hand_answer("parked");
}

/* Takes the next answer off *got and returns its status, 0 where there is none. */
static int answer_take(struct span *got, bool to_head, bool *close)
{
    struct http_head head;
    struct http_refusal why;
    size_t scanned = 0;
    if (http_parse_response(*got, &scanned, to_head, &head, &why) != HTTP_PARSE_DONE)
        return 0;
    size_t len = head.len + (size_t)head.content_length;
    CHECK(head.framing != HTTP_FRAMING_CHUNKED && head.framing != HTTP_FRAMING_CLOSE);
    if (head.status >= 400 && got->len == head.len)
        len = head.len; /* the last one, to a HEAD that was refused */
    CHECK(len <= got->len);
    *got = (struct span){got->at + len, got->len - len};
    *close = !head.keep_alive;
    return head.status;
}

/* Whether the next answer is of no request that was noted: 501, which the router gives to a method that it
 * does not know, and 403, which the guard gives to what a web page of another site sends. */
static bool is_unnoted(struct span got)
{
    return got.len > 12 &&
           (memcmp(got.at, "HTTP/1.1 501", 12) == 0 || memcmp(got.at, "HTTP/1.1 403", 12) == 0);
}

static void answers_check(struct span got)
{
    bool close = false;
    while (got.len > 0) {
        CHECK(!close);
        bool known = now->answers < now->requests;
        bool unnoted = is_unnoted(got);
        int status = answer_take(&got, !unnoted && known && now->to_head[now->answers], &close);
        if (status == 100 || (unnoted && !close))
            continue;
        if (known) {
            CHECK(status == 200);
            now->answers++;
            continue;
        }
        CHECK(close && status >= 400 && status != 408 && now->refusal == 0);
        now->refusal = status;
    }
    CHECK(now->answers == now->requests);
}

static size_t piece_len(unsigned *seed, size_t left)
{
    *seed = *seed * 1103515245 + 12345;
    unsigned kind = *seed >> 16 & 7, size = *seed >> 20 & 255;
    size_t len = kind == 0 ? size * 16 + 1 : kind < 3 ? 1 : size % 40 + 1;
    return len < left ? len : left;
}

/* Feeds a connection with the bytes, in pieces where there is a seed, and sees it end. */
static void connection_run(struct span bytes, unsigned seed, unsigned how, struct outcome *outcome)
{
    struct buf got = {0};
    now = outcome;
    *now = (struct outcome){.digest = 14695981039346656037U};
    hand_open();
    hand.seen = request_note;
    hand.big_max = BIG_MAX;
    int client = hand_connect();
    for (unsigned count = 0; bytes.len > 0 && !(how & CLOSES_EARLY && count > how >> 2); count++) {
        size_t len = seed ? piece_len(&seed, bytes.len) : bytes.len;
        ssize_t sent = send(client, bytes.at, len, MSG_NOSIGNAL);
        hand_run(2);
        receive(client, &got);
        if (!(how & ANSWERS_LATE) || sent < 0)
            answer_parked(); /* at the latest when the server takes no more before that */
        if (sent < 0 && errno != EAGAIN)
            break; /* the server has closed */
        if (sent > 0)
            bytes = (struct span){bytes.at + sent, bytes.len - (size_t)sent};
    }
    if (how & CLOSES_EARLY)
        close(client);
    else
        shutdown(client, SHUT_WR);
    for (int i = 0; i < PASSES && (hand.conns.open > 0 || hand.parked_first < hand.parked_end); i++) {
        hand_run(1);
        answer_parked();
        if (!(how & CLOSES_EARLY))
            receive(client, &got);
    }
    CHECK(hand.conns.open == 0);
    CHECK(hand.conns.intakes.bytes == 0 && hand.conns.answering == 0);
    if (!(how & CLOSES_EARLY)) {
        receive(client, &got);
        answers_check(buf_span(&got));
        close(client);
    }
    buf_free(&got);
    hand_close();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole, pieces;
    if (size < 2)
        return 0;
    struct span bytes = fuzz_copy(data + 2, size - 2);
    connection_run(bytes, 0, 0, &whole);
    connection_run(bytes, data[0] + 1U, data[1], &pieces);
    if (whole.refusal !=
        411) /* what follows a POST without a length is seen only where it came with the head */
        CHECK(pieces.requests <= whole.requests);
    /* What the head alone refuses is answered at once, with a close where the body has not come with it. */
    bool at_head = pieces.refusal == 501 || pieces.refusal == 403;
    if (!(data[1] & CLOSES_EARLY) && !at_head && whole.refusal != 411 && pieces.refusal != 411) {
        CHECK(whole.requests == pieces.requests && whole.digest == pieces.digest);
        /* A chunk that is both too much and wrong is refused for what is seen first. */
        CHECK(whole.refusal == pieces.refusal || whole.refusal + pieces.refusal == 400 + 413);
    }
    free((char *)bytes.at);
    return 0;
}
