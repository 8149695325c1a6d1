#include "health_check.h"
#include "url.h"
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEALTH_CHECK_S = 2 };

static char late_line[512];

static void late(int number)
{
    (void)number;
    (void)!write(STDERR_FILENO, late_line, strlen(late_line));
    _exit(1);
}

/* Asks at an address, and receives the answer up to its status at least. Returns 0 or a negative errno. */
static int address_ask(const struct addrinfo *address, const char *path, char *answer, size_t answer_size)
{
    char question[128];
    snprintf(question, sizeof question, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
             path);
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    ssize_t got = -1;
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0 &&
        send(fd, question, strlen(question), MSG_NOSIGNAL) > 0)
        got = recv(fd, answer, answer_size, MSG_WAITALL);
    int result = got < 0 ? -errno : got == 0 ? -ECONNRESET : 0;
    close(fd);
    return result;
}

int health_check(const struct settings *settings)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    const char *host = http_host_reached(settings->host);
    char port[8], answer[32] = "";
    int status = 0;
    snprintf(port, sizeof port, "%u", settings->port);
    snprintf(late_line, sizeof late_line, "no answer from %s port %s: %s\n", host, port, strerror(ETIMEDOUT));
    signal(SIGALRM, late);
    alarm(HEALTH_CHECK_S);
    const char *why = gai_strerror(getaddrinfo(host, port, &hints, &addresses));
    int result = -1;
    for (const struct addrinfo *at = addresses; at && result < 0; at = at->ai_next) {
        result = address_ask(at, settings->check, answer, sizeof answer - 1);
        why = strerror(-result);
    }
    if (strncmp(answer, "HTTP/1.1 ", 9) == 0)
        status = (int)strtol(answer + 9, NULL, 10);
    if (result < 0)
        fprintf(stderr, "no answer from %s port %s: %s\n", host, port, why);
    else if (status != 200)
        fprintf(stderr, "%s port %s answered %d\n", host, port, status);
    if (addresses)
        freeaddrinfo(addresses);
    return status != 200;
}
