#include "replication/answer.h"
#include "json.h"

void answer_json(struct http_exchange *exchange, int status, struct buf *body)
{
    if (body->failed)
        http_answer_error(exchange, 503, "Retry-After: 1\r\n", "there is no memory for the answer");
    else
        http_answer(exchange, status, NULL, buf_span(body));
    buf_free(body);
}

void answer_conflict(struct http_exchange *exchange, const char *why, uint64_t last_id)
{
    struct buf body = {0};
    buf_add_text(&body, "{\"error\":");
    json_quote(span_of(why), &body);
    buf_add_text(&body, ",\"last_id\":");
    buf_add_uint(&body, last_id);
    buf_add_char(&body, '}');
    answer_json(exchange, 409, &body);
}
