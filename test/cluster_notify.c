/* NOTIFY_SOCKET: what the programs tell a service manager. The test is the manager. */
#include "cluster.h"
#include "data.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct manager {
    int fd;
    char word[128]; /* NOTIFY_SOCKET=… */
};

static void manager_listen(struct manager *manager, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = SOON / 1000};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
    snprintf(manager->word, sizeof manager->word, "NOTIFY_SOCKET=%s", name);
    if (*name == '@')
        address.sun_path[0] = '\0';
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(manager->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    cr_assert_eq(bind(manager->fd, (struct sockaddr *)&address, size), 0, "%s: %s", name, strerror(errno));
}

/* That the next thing told is this. */
__attribute__((format(printf, 2, 3))) static void expect_told(const struct manager *manager,
                                                              const char *format, ...)
{
    char want[512];
    char got[512] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(want, sizeof want, format, args);
    va_end(args);
    recv(manager->fd, got, sizeof got - 1, 0);
    cr_assert_str_eq(got, want);
}

/* Sends it a datagram, of four bytes. A sender's own buffer has its limit as well, so each has its own. */
static bool manager_fill(const struct manager *manager)
{
    struct sockaddr_un to;
    socklen_t size = sizeof to;
    cr_assert_eq(getsockname(manager->fd, (struct sockaddr *)&to, &size), 0);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool sent = sendto(fd, "X=1\n", 4, 0, (struct sockaddr *)&to, size) == 4;
    close(fd);
    return sent;
}

static void expect_told_no_more(const struct manager *manager)
{
    char got[512] = "";
    cr_assert_lt(recv(manager->fd, got, sizeof got - 1, MSG_DONTWAIT), 0, "%s", got);
}

SCENARIO(cluster_notify, a_master_tells_that_it_serves_its_members_and_that_it_stops)
{
    struct manager manager;
    manager_listen(&manager, data_dir("socket"));
    struct node *master = master_start("%s --heartbeat-interval 0.4", manager.word);
    expect_told(&manager, "READY=1\nSTATUS=master on %s, 0 members\n", master->url);
    struct node *s1 = member_start(master, "s1", "");
    expect_told(&manager, "READY=1\nSTATUS=master on %s, 1 member\n", master->url);
    node_freeze(s1);
    expect_told(&manager, "READY=1\nSTATUS=master on %s, 1 member, 1 unhealthy\n", master->url);
    node_thaw(s1);
    expect_told(&manager, "READY=1\nSTATUS=master on %s, 1 member\n", master->url);
    expect_end(node_stop(s1));
    expect_told(&manager, "READY=1\nSTATUS=master on %s, 0 members\n", master->url);
    expect_end(node_stop(master));
    expect_told(&manager, "STOPPING=1\nSTATUS=stopping\n");
    expect_told_no_more(&manager);
}

SCENARIO(cluster_notify, a_secondary_tells_of_its_master_and_serves_without_it)
{
    struct manager manager;
    char name[64];
    snprintf(name, sizeof name, "@replicated-log-test-%d", (int)getpid());
    manager_listen(&manager, name);
    struct node *master = node_later("master", "");
    struct node *s1 = secondary_start(master, "%s", manager.word);
    expect_told(&manager, "READY=1\nSTATUS=secondary on %s that is not registered with the master %s\n",
                s1->url, master->url);
    node_restart(master);
    expect_told(&manager, "READY=1\nSTATUS=secondary on %s of the master %s\n", s1->url, master->url);
    expect_end(node_stop(s1));
    expect_told(&manager, "STOPPING=1\nSTATUS=stopping\n");
    expect_told_no_more(&manager);
}

SCENARIO(cluster_notify, a_node_with_a_disk_is_ready_when_its_list_is_loaded)
{
    struct manager manager;
    manager_listen(&manager, data_dir("socket"));
    struct node *master = master_start("%s --data-dir %s", manager.word, data_dir("m"));
    expect_told(&manager, "STATUS=loading the list from disk\n");
    expect_told(&manager, "READY=1\nSTATUS=master on %s, 0 members\n", master->url);
    post_numbered(master, "", 1, 100);
    node_kill(master);
    expect_told_no_more(&manager);
    node_restart(master);
    expect_told(&manager, "STATUS=loading the list from disk\n");
    expect_told(&manager, "READY=1\nSTATUS=master on %s, 0 members\n", master->url);
    cr_assert(shows_numbered(master, 100));
}

SCENARIO(cluster_notify, a_node_that_cannot_load_its_list_is_never_ready)
{
    struct manager manager;
    char out[8192];
    char words[512];
    manager_listen(&manager, data_dir("socket"));
    struct node *master = master_start("--data-dir %s", data_dir("m"));
    eventually(SOON, serves(master));
    post_numbered(master, "", 1, 100);
    expect_end(node_stop(master));
    snprintf(words, sizeof words, "%s --max-log 1 --data-dir %s", manager.word, data_dir("m"));
    cr_assert_eq(program_run("master", words, out, sizeof out), 1, "%s", out);
    expect_told(&manager, "STATUS=loading the list from disk\n");
    expect_told(&manager, "STOPPING=1\nSTATUS=stopping\n");
    expect_told_no_more(&manager);
}

SCENARIO(cluster_notify, a_manager_whose_queue_is_full_is_told_when_it_has_room)
{
    struct manager manager;
    char got[512];
    manager_listen(&manager, data_dir("socket"));
    int filled = 0;
    while (manager_fill(&manager))
        filled++;
    struct node *master = master_start("%s", manager.word);
    expect_logged(master, "cannot tell the service manager at NOTIFY_SOCKET=", 1);
    while (filled--)
        cr_assert_eq(recv(manager.fd, got, sizeof got, 0), 4);
    expect_told(&manager, "READY=1\nSTATUS=master on %s, 0 members\n", master->url);
    expect_end(node_stop(master));
    expect_told(&manager, "STOPPING=1\nSTATUS=stopping\n");
    expect_told_no_more(&manager);
    expect_logged(master, "NOTIFY_SOCKET", 1);
}

SCENARIO(cluster_notify, where_nobody_listens_a_node_warns_once_and_goes_on)
{
    struct node *master = master_start("NOTIFY_SOCKET=%s", data_dir("nobody"));
    expect_logged(master, "cannot tell the service manager at NOTIFY_SOCKET=", 1);
    member_start(master, "s1", "");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    expect_end(node_stop(master));
    cr_assert_eq(node_told(master, "WARN", "No such file or directory"), 1);
    expect_logged(master, "NOTIFY_SOCKET", 1);
}
