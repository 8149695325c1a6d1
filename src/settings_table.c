#include "clock.h"
#include "concern.h"
#include "setting.h"

enum { OF_BOTH = SETTING_OF_MASTER | SETTING_OF_SECONDARY };

#define LONGEST_MS (CLOCK_LONGEST_S * INT64_C(1000))
#define DIGITS_OF(number) #number
#define DIGITS(number) DIGITS_OF(number)

/* The field of a row, and what it takes. */
#define FIELD(name) .field = offsetof(struct settings, name), .size = sizeof((struct settings *)0)->name
#define TEXT(name, is_valid) .kind = SETTING_TEXT, FIELD(name), .valid = (is_valid)
#define WORDS(name, ...) .kind = SETTING_NUMBER, FIELD(name), .most = -1, .words = {__VA_ARGS__}
#define NUMBER(name, from, to) .kind = SETTING_NUMBER, FIELD(name), .least = (from), .most = (to)
#define SECONDS(name, from, to)                                                                              \
    .kind = SETTING_SECONDS, FIELD(name), .least = (from), .most = (to), .about = "SECONDS"
#define SHARE(name) .kind = SETTING_SHARE, FIELD(name), .most = SETTING_SHARE

const struct setting settings_table[SETTINGS_COUNT] = {
    {
        .name = "HOST",
        .of = OF_BOTH,
        TEXT(host, setting_host_valid),
        .standard = "127.0.0.1",
        .about = "ADDRESS",
        .want = "an IPv4 address, an IPv6 address without brackets, or a host name",
        .meaning = "address to listen on; 0.0.0.0 is every IPv4 address",
    },
    {
        .name = "PORT",
        .of = SETTING_OF_MASTER,
        NUMBER(port, 0, UINT16_MAX),
        .standard = "5000",
        .about = "PORT",
        .want = "a number from 0 to 65535",
        .meaning = "port to listen on; 0 lets the kernel choose",
    },
    {
        .name = "PORT",
        .of = SETTING_OF_SECONDARY,
        NUMBER(port, 0, UINT16_MAX),
        .standard = "5001",
        .about = "PORT",
        .want = "a number from 0 to 65535",
        .meaning = "port to listen on; 0 lets the kernel choose",
    },
    {
        .name = "LOG_LEVEL",
        .of = OF_BOTH,
        WORDS(log_level, {"debug", LOGLINE_DEBUG}, {"info", LOGLINE_INFO}, {"warn", LOGLINE_WARN},
              {"error", LOGLINE_ERROR}),
        .standard = "info",
        .about = "LEVEL",
        .want = "debug, info, warn or error",
        .meaning = "least of the events that are logged: debug, info, warn or error",
    },
    {
        .name = "LOG_FORMAT",
        .of = OF_BOTH,
        WORDS(log_json, {"text", false}, {"json", true}),
        .standard = "text",
        .about = "FORMAT",
        .want = "text or json",
        .meaning = "text or json; one line an event, on standard error",
    },
    {
        .name = "MAX_MESSAGE",
        .of = OF_BOTH,
        NUMBER(max_message, 1, 1 << 30),
        .standard = "1048576",
        .about = "BYTES",
        .want = "a number of bytes from 1 to 1073741824",
        .meaning = "longest message that is taken",
    },
    {
        .name = "MAX_CONNECTIONS",
        .of = OF_BOTH,
        NUMBER(max_connections, 1, 1000000),
        .standard = "10000",
        .about = "NUMBER",
        .want = "a number from 1 to 1000000",
        .meaning = "clients at a time; less where the descriptor limit is lower",
    },
    {
        .name = "IDLE_TIMEOUT",
        .of = OF_BOTH,
        SECONDS(idle_timeout_ms, 1, LONGEST_MS),
        .standard = "75",
        .want = "seconds from 0.001 to " DIGITS(CLOCK_LONGEST_S) ", such as 75 or 0.25",
        .meaning = "closes a keep-alive connection without a request for so long",
    },
    {
        .name = "WRITE_CONCERN",
        .of = SETTING_OF_MASTER,
        NUMBER(write_concern, 1, CONCERN_MAX),
        .words = {{"all", CONCERN_ALL}, {"majority", CONCERN_MAJORITY}},
        .standard = "all",
        .about = "W",
        .want = CONCERN_HINT,
        .meaning = "nodes to hold a message before its POST ends: number, majority, all",
    },
    {
        .name = "ACK_TIMEOUT",
        .of = SETTING_OF_MASTER,
        SECONDS(ack_timeout_ms, 0, LONGEST_MS),
        .standard = "0",
        .want = "seconds from 0 to " DIGITS(CLOCK_LONGEST_S) ", such as 2 or 0.25",
        .meaning = "wait of a POST for its ACKs, then it is answered 202; 0: for ever",
    },
    {
        .name = "NODES",
        .of = SETTING_OF_MASTER,
        NUMBER(nodes, 1, 1001),
        .empty = "not told",
        .about = "NODES",
        .want = "a number of nodes from 1 to 1001",
        .meaning = "nodes that this log is meant to have, the master included",
    },
    {
        .name = "QUORUM",
        .of = SETTING_OF_MASTER,
        NUMBER(quorum, 1, CONCERN_MAX),
        .words = {{"off", SETTINGS_QUORUM_OFF}, {"majority", CONCERN_MAJORITY}},
        .standard = "off",
        .about = "NODES",
        .want = "\"off\", \"majority\" or a number of nodes from 1 to 65535",
        .meaning = "read-only while fewer nodes are within reach: off, majority, number",
    },
    {
        .name = "HEARTBEAT_INTERVAL",
        .of = SETTING_OF_MASTER,
        SECONDS(heartbeat_ms, 10, 60000),
        .standard = "1",
        .want = "seconds from 0.01 to 60, such as 1 or 0.25",
        .meaning = "time between signs of life on an idle link",
    },
    {
        .name = "MASTER_URL",
        .of = SETTING_OF_SECONDARY,
        TEXT(master_url, setting_url_valid),
        .standard = "http://127.0.0.1:5000",
        .about = "URL",
        .want = "http://HOST:PORT, such as http://127.0.0.1:5000",
        .meaning = "the master to register at",
    },
    {
        .name = "ADVERTISE_URL",
        .of = SETTING_OF_SECONDARY,
        TEXT(advertise_url, setting_url_valid),
        .empty = "the address that the master sees, with PORT",
        .about = "URL",
        .want = "http://HOST:PORT, such as http://127.0.0.1:5000",
        .meaning = "where the master sends messages",
    },
    {
        .name = "SECONDARY_ID",
        .of = SETTING_OF_SECONDARY,
        TEXT(secondary_id, setting_id_valid),
        .empty = "its advertised host:port",
        .about = "NAME",
        .want = "1 to 200 visible ASCII characters, none of them a space or one of \" ' / ? # % \\",
        .meaning = "this node's name as a member, in /health and in logs",
    },
    {
        .name = "SECONDARY_DELAYS",
        .of = SETTING_OF_SECONDARY,
        SECONDS(delay_ms, 0, LONGEST_MS),
        .standard = "0",
        .want = "seconds from 0 to " DIGITS(CLOCK_LONGEST_S) ", such as 2 or 0.25",
        .meaning = "time by which every message shows, and its ACK leaves, late here",
    },
    {
        .name = "SECONDARY_ERRORS",
        .of = SETTING_OF_SECONDARY,
        SHARE(errors),
        .standard = "0",
        .about = "SHARE",
        .want = "a share from 0 to 1, such as 0.25",
        .meaning = "share of /replicate calls answered 500 after the store, from 0 to 1",
    },
    {
        .name = "CLUSTER_TOKEN",
        .of = OF_BOTH,
        TEXT(cluster_token, setting_token_valid),
        .empty = "none",
        .about = "TOKEN",
        .want = "1 to 255 visible ASCII characters without a space",
        .meaning = "needed for calls between nodes where set; the same on every node",
        .secret = true,
    },
};
