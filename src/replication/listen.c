#include "replication/listen.h"

int listen_open(struct http_server **out, const struct settings *settings, const struct http_service *service,
                char *why, size_t why_size)
{
    const struct http_server_config config = {
        .host = settings->host,
        .port = settings->port,
        .max_connections = settings->max_connections,
        .idle_timeout_ms = settings->idle_timeout_ms,
    };
    return http_server_open(out, &config, service, why, why_size);
}
