#include "http/conns.h"
#include "http/conn.h"
#include "http/exchange.h"

bool conns_advance(struct http_conns *conns)
{
    bool taken = conns->lists[CONNS_TURNS];
    while (conns->lists[CONNS_TURNS])
        conn_take_turn(conns->lists[CONNS_TURNS]);
    while (conns->lists[CONNS_TOUCHED])
        conn_advance(conns->lists[CONNS_TOUCHED]);
    return taken || conns->lists[CONNS_TURNS];
}

void conns_sweep(struct http_conns *conns)
{
    while (conns->lists[CONNS_CLOSED])
        conn_free(conns->lists[CONNS_CLOSED]);
    intakes_give_back(&conns->intakes);
}

void conns_finish(struct http_conns *conns)
{
    conns->stopping = true;
    for (struct http_conn *conn = conns->lists[CONNS_OPEN], *next; conn; conn = next) {
        next = conn_next(conn, CONNS_OPEN);
        conn_finish(conn);
    }
}

void conns_close(struct http_conns *conns)
{
    while (conns->lists[CONNS_OPEN])
        conn_close(conns->lists[CONNS_OPEN]);
    conns_sweep(conns);
    exchanges_free_spare(conns);
}
