/* Many connections of a server whose bytes four carriers carry: requests whole, cut, in one piece with
 * others, wrong ones and long answers, in passes that all of them take part in. Each client gets its answers,
 * and nothing else. */
#include "by_hand.h"
#include "stress.h"

#include <stdbool.h>

enum { CLIENTS = 60, PASSES = 40 };

/* What a client says in a round, and the bodies that it is to hear, one behind the other. */
struct kind {
    const char *says, *hears;
};

static const struct kind kinds[] = {
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "abc"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n23",
     "123"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n1\r\nz\r\n0\r\n\r\n", "xyz"},
    {"GET /big?3 HTTP/1.1\r\nHost: a\r\n\r\n", "<bbb>"},
    {"HEAD /big?3 HTTP/1.1\r\nHost: a\r\n\r\n", ""},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

struct client {
    int fd;
    const struct kind *kind; /* of this round */
    size_t said;             /* bytes of it */
    struct buf heard;
};

static void client_hear(struct client *client)
{
    char bytes[4096];
    ssize_t len;
    while ((len = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        buf_add(&client->heard, bytes, (size_t)len);
    CHECK(len < 0 && errno == EAGAIN);
}

/* Takes the heads off, and checks what is left of what a round has brought. */
static void client_check(struct client *client)
{
    const char *want = client->kind->hears;
    buf_add_char(&client->heard, '\0');
    char *at = client->heard.data;
    while (*at) {
        CHECK(strncmp(at, "HTTP/1.1 200 OK\r\n", 17) == 0);
        at = strstr(at, "\r\n\r\n");
        CHECK(at);
        at += 4;
        while (*at && *at != 'H') {
            CHECK(*at == *want);
            at++;
            want++;
        }
    }
    CHECK(!*want);
    buf_clear(&client->heard);
}

/* Says a part of it, or the rest. */
static void client_say(struct client *client, unsigned *seed, bool rest)
{
    size_t left = strlen(client->kind->says) - client->said;
    size_t part = rest ? left : stress_random(seed, left + 1);
    CHECK(send(client->fd, client->kind->says + client->said, part, 0) == (ssize_t)part);
    client->said += part;
}

static void round_run(struct client *clients, unsigned *seed)
{
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].kind = &kinds[stress_random(seed, KINDS)];
        clients[i].said = 0;
        client_say(&clients[i], seed, stress_random(seed, 4) > 0);
    }
    hand_run(1);
    for (int i = 0; i < CLIENTS; i++)
        client_say(&clients[i], seed, true);
    hand_run(2);
    for (int i = 0; i < CLIENTS; i++) {
        client_hear(&clients[i]);
        client_check(&clients[i]);
    }
}

/* A new server begins with trying how it goes together: so many passes are within that. */
static void server_run(unsigned *seed)
{
    struct client clients[CLIENTS] = {0};
    hand_open();
    for (int i = 0; i < CLIENTS; i++)
        clients[i].fd = hand_connect();
    for (int pass = 0; pass < PASSES; pass++)
        round_run(clients, seed);
    for (int i = 0; i < CLIENTS; i++) {
        close(clients[i].fd);
        buf_free(&clients[i].heard);
    }
    hand_run(2);
    CHECK(hand.conns.open == 0);
    hand_close();
}

int main(int argc, char *argv[])
{
    struct stress stress = stress_start(argc, argv);
    int64_t end_ms = clock_ms() + stress.run_ms;
    int servers = 0;
    setenv("CARRIERS", "4", 1);
    for (; clock_ms() < end_ms; servers++)
        server_run(&stress.seed);
    printf("%d servers\n", servers);
    return 0;
}
