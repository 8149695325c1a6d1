/* Tells a service manager how this process is: the protocol of sd_notify(3), which systemd and others speak,
 * without its library. The manager names a datagram socket in the environment, as NOTIFY_SOCKET. */
#ifndef NOTIFY_H
#define NOTIFY_H

/* Sends one datagram with `text`, lines of NAME=value such as "READY=1\nSTATUS=a sentence\n", to `address`:
 * the absolute path of a socket, or "@" and a name that is in no file system. Waits for nobody: a manager
 * whose queue is full does not get the text. Returns 0, -EAFNOSUPPORT for any other address, -ENAMETOOLONG,
 * or the negative errno of the system: -ENOENT and -ECONNREFUSED where nobody is there, -EAGAIN where the
 * queue is full. Any thread. */
int notify_send(const char *address, const char *text);

#endif
