#include "notify.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Returns the address's length, or a negative errno. */
static int address_make(const char *text, struct sockaddr_un *out)
{
    size_t len = strlen(text);
    if (*text != '/' && *text != '@')
        return -EAFNOSUPPORT;
    if (len >= sizeof out->sun_path)
        return -ENAMETOOLONG;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path, text, len);
    if (*text == '@')
        out->sun_path[0] = '\0'; /* such a name has no end but its length */
    return (int)(offsetof(struct sockaddr_un, sun_path) + len + (*text == '/'));
}

int notify_send(const char *address, const char *text)
{
    struct sockaddr_un to;
    int len = address_make(address, &to);
    if (len < 0)
        return len;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    ssize_t sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to, (socklen_t)len);
    int result = sent < 0 ? -errno : 0;
    close(fd);
    return result;
}
