#include "replication/answer.h"
#include "json.h"

void answer_conflict(struct http_exchange *exchange, const char *why, uint64_t last_id)
{
    struct buf body = {0};
    buf_add_text(&body, "{\"error\":");
    json_quote(span_of(why), &body);
    buf_add_text(&body, ",\"last_id\":");
    buf_add_uint(&body, last_id);
    buf_add_char(&body, '}');
    http_answer_json(exchange, 409, &body);
}
