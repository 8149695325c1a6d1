/* What master and secondary do alike when they start: the server, as the settings want it. For main. */
#ifndef REPLICATION_LISTEN_H
#define REPLICATION_LISTEN_H

#include "http/server.h"
#include "settings.h"

/* http_server_open with what the settings say. */
int listen_open(struct http_server **out, const struct settings *settings, const struct http_service *service,
                char *why, size_t why_size);

#endif
