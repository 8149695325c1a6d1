/* Settings: defaults, flags, environment, and what is said about wrong ones. */
#include "buf.h"
#include "concern.h"
#include "cores.h"
#include "memory.h"
#include "settings.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARGS_MAX = 10, MANY_DESCRIPTORS = 20000 };

static struct settings settings; /* of the last run */
static char *out_text;           /* what it printed */
static char *err_text;
static uint64_t descriptor_limit = MANY_DESCRIPTORS;

/* Reads settings from lists of words, each with NULL at its end. */
static enum settings_result run(enum settings_role role, const char *const flags[],
                                const char *const environment[])
{
    char *argv[ARGS_MAX + 2] = {(char *)"program"};
    char *environ_copy[ARGS_MAX + 1] = {0};
    size_t out_len, err_len;
    int argc = 1;
    for (; flags[argc - 1]; argc++)
        argv[argc] = (char *)flags[argc - 1];
    for (int i = 0; environment[i]; i++)
        environ_copy[i] = (char *)environment[i];
    free(out_text);
    free(err_text);
    FILE *out_file = open_memstream(&out_text, &out_len);
    FILE *err_file = open_memstream(&err_text, &err_len);
    memset(&settings, 0x5a, sizeof settings);
    enum settings_result result =
        settings_read(&settings, role, argc, argv, environ_copy, descriptor_limit, out_file, err_file);
    fclose(out_file);
    fclose(err_file);
    if (result != SETTINGS_WRONG)
        cr_assert_str_eq(err_text, "");
    if (result != SETTINGS_DONE)
        cr_assert_str_eq(out_text, "");
    return result;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define FLAGS(role, ...) run(role, LIST(__VA_ARGS__), LIST(NULL))
#define ENVIRONMENT(role, ...) run(role, LIST(NULL), LIST(__VA_ARGS__))

/* Asserts that the run was refused with just this line, and left `settings` as it was. */
static void assert_refused(enum settings_result result, const char *line)
{
    struct settings untouched;
    memset(&untouched, 0x5a, sizeof untouched);
    cr_assert_eq(result, SETTINGS_WRONG, "want: %s", line);
    cr_assert_str_eq(err_text, line);
    cr_assert(memcmp(&settings, &untouched, sizeof settings) == 0);
}

static void forget(void)
{
    free(out_text);
    free(err_text);
}

TestSuite(settings, .fini = forget, .timeout = 60);

Test(settings, defaults_of_the_master)
{
    cr_assert_eq(FLAGS(SETTINGS_MASTER, NULL), SETTINGS_RUN);
    cr_assert_str_eq(settings.host, "127.0.0.1");
    cr_assert_eq(settings.port, 5000);
    cr_assert_eq(settings.log_level, LOGLINE_INFO);
    cr_assert_eq(settings.log_format, LOGLINE_AUTO);
    cr_assert_eq(settings.max_message, 1048576);
    cr_assert_eq(settings.max_connections, 10000);
    cr_assert_eq(settings.idle_timeout_ms, 75000);
    cr_assert_eq(settings.write_concern, CONCERN_ALL);
    cr_assert_eq(settings.ack_timeout_ms, 0);
    cr_assert_eq(settings.quorum, SETTINGS_QUORUM_OFF);
    cr_assert_eq(settings.heartbeat_ms, 1000);
    cr_assert_eq(settings.forget_after_ms, 0);
    cr_assert_str_eq(settings.cluster_token, "");
    cr_assert_str_eq(settings.allowed_hosts, "");
    cr_assert_str_eq(settings.data_dir, "");
    cr_assert_eq(settings.fsync_ms, SETTINGS_FSYNC_ALWAYS);
    cr_assert(!settings.check && !settings.check_data && !settings.accept_loss);
}

Test(settings, defaults_of_a_secondary)
{
    cr_assert_eq(FLAGS(SETTINGS_SECONDARY, NULL), SETTINGS_RUN);
    cr_assert_str_eq(settings.host, "127.0.0.1");
    cr_assert_eq(settings.port, 5001);
    cr_assert_str_eq(settings.master_url, "http://127.0.0.1:5000");
    cr_assert_str_eq(settings.advertise_url, "");
    cr_assert_str_eq(settings.secondary_id, "");
    cr_assert(settings.goodbye);
    cr_assert_eq(settings.delay_ms, 0);
    cr_assert(settings.errors == 0);
}

Test(settings, both_ways_to_write_a_flag)
{
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--port", "7000", "--host=::1", "--log-level", "debug"),
                 SETTINGS_RUN);
    cr_assert_eq(settings.port, 7000);
    cr_assert_str_eq(settings.host, "::1");
    cr_assert_eq(settings.log_level, LOGLINE_DEBUG);
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--cluster-token=a=b", "--health-check"), SETTINGS_RUN);
    cr_assert_str_eq(settings.cluster_token, "a=b");
    cr_assert_str_eq(settings.check, "/health");
}

Test(settings, the_last_of_two_flags_wins)
{
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--port", "x", "--port", "7001"), SETTINGS_RUN);
    cr_assert_eq(settings.port, 7001);
}

Test(settings, a_flag_wins_over_the_environment)
{
    cr_assert_eq(run(SETTINGS_MASTER, LIST("--port=7000"), LIST("PORT=x", "LOG_FORMAT=json")), SETTINGS_RUN);
    cr_assert_eq(settings.port, 7000);
    cr_assert_eq(settings.log_format, LOGLINE_JSON);
}

Test(settings, an_empty_variable_counts_as_not_set)
{
    cr_assert_eq(ENVIRONMENT(SETTINGS_SECONDARY, "PORT=", "SECONDARY_ID=", "MASTER_URL="), SETTINGS_RUN);
    cr_assert_eq(settings.port, 5001);
    cr_assert_str_eq(settings.secondary_id, "");
}

Test(settings, variables_of_other_names_are_left_alone)
{
    cr_assert_eq(ENVIRONMENT(SETTINGS_MASTER, "PORTAL=x", "port=x", "POR=x", "PORT", "XPORT=x"),
                 SETTINGS_RUN);
    cr_assert_eq(settings.port, 5000);
}

Test(settings, variables_of_the_other_program_are_left_alone)
{
    cr_assert_eq(ENVIRONMENT(SETTINGS_MASTER, "MASTER_URL=x", "SECONDARY_ERRORS=x"), SETTINGS_RUN);
    cr_assert_eq(ENVIRONMENT(SETTINGS_SECONDARY, "WRITE_CONCERN=x", "QUORUM=x"), SETTINGS_RUN);
}

Test(settings, every_setting_can_be_set_by_variable)
{
    cr_assert_eq(run(SETTINGS_MASTER, LIST(NULL),
                     LIST("HOST=node-1.example", "MAX_MESSAGE=1", "MAX_CONNECTIONS=5", "IDLE_TIMEOUT=0.5",
                          "WRITE_CONCERN=2", "ACK_TIMEOUT=1.25", "QUORUM=majority", "HEARTBEAT_INTERVAL=0.01",
                          "FORGET_AFTER=600.5")),
                 SETTINGS_RUN);
    cr_assert_str_eq(settings.host, "node-1.example");
    cr_assert_eq(settings.max_message, 1);
    cr_assert_eq(settings.max_connections, 5);
    cr_assert_eq(settings.idle_timeout_ms, 500);
    cr_assert_eq(settings.write_concern, 2);
    cr_assert_eq(settings.ack_timeout_ms, 1250);
    cr_assert_eq(settings.quorum, CONCERN_MAJORITY);
    cr_assert_eq(settings.heartbeat_ms, 10);
    cr_assert_eq(settings.forget_after_ms, 600500);
    cr_assert_eq(run(SETTINGS_SECONDARY, LIST(NULL),
                     LIST("MASTER_URL=http://m:1", "ADVERTISE_URL=http://[::1]:5001/", "SECONDARY_ID=s1:5001",
                          "GOODBYE=off", "SECONDARY_DELAYS=2", "SECONDARY_ERRORS=0.25", "CLUSTER_TOKEN=t",
                          "LOG_LEVEL=error")),
                 SETTINGS_RUN);
    cr_assert_str_eq(settings.master_url, "http://m:1");
    cr_assert_str_eq(settings.advertise_url, "http://[::1]:5001/");
    cr_assert_str_eq(settings.secondary_id, "s1:5001");
    cr_assert_eq(settings.delay_ms, 2000);
    cr_assert(settings.errors == 0.25);
    cr_assert_str_eq(settings.cluster_token, "t");
    cr_assert_eq(settings.log_level, LOGLINE_ERROR);
}

Test(settings, errors_name_the_setting_the_value_and_what_would_do)
{
    assert_refused(ENVIRONMENT(SETTINGS_MASTER, "PORT=abc"),
                   "master: PORT=abc: want a number from 0 to 65535\n");
    assert_refused(FLAGS(SETTINGS_SECONDARY, "--port", "abc"),
                   "secondary: --port abc: want a number from 0 to 65535\n");
    assert_refused(FLAGS(SETTINGS_MASTER, "--port="), "master: --port \"\": want a number from 0 to 65535\n");
    assert_refused(FLAGS(SETTINGS_MASTER, "--port"),
                   "master: --port: want a value behind it: a number from 0 to 65535\n");
    assert_refused(FLAGS(SETTINGS_MASTER, "--prot", "1"),
                   "master: --prot: no such flag; --help lists them\n");
    assert_refused(FLAGS(SETTINGS_MASTER, "--health-check=1"),
                   "master: --health-check: no such flag; --help lists them\n");
    assert_refused(
        FLAGS(SETTINGS_MASTER, "5000"),
        "master: argument 1: want flags and their values, such as --port 5000; --help lists them\n");
    assert_refused(FLAGS(SETTINGS_MASTER, "--secondary-id", "a"),
                   "master: --secondary-id: a flag of another program, the secondary\n");
    assert_refused(FLAGS(SETTINGS_SECONDARY, "--write-concern=2"),
                   "secondary: --write-concern: a flag of another program, the master\n");
    assert_refused(
        ENVIRONMENT(SETTINGS_MASTER, "WRITE_CONCERN=0"),
        "master: WRITE_CONCERN=0: want a number of nodes from 1 to 65535, \"all\" or \"majority\"\n");
}

Test(settings, an_error_is_one_line_whatever_the_value_holds)
{
    assert_refused(ENVIRONMENT(SETTINGS_MASTER, "PORT=a\nb\x1b\x7f\t"),
                   "master: PORT=a\\x0ab\\x1b\\x7f\\x09: want a number from 0 to 65535\n");
    assert_refused(FLAGS(SETTINGS_MASTER, "--a\nb"), "master: --a\\x0ab: no such flag; --help lists them\n");
    char flag[10000];
    memset(flag, '1', sizeof flag - 1);
    flag[sizeof flag - 1] = '\0';
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--port", flag), SETTINGS_WRONG);
    cr_assert(strlen(err_text) < 200);
    cr_assert_not_null(strstr(err_text, "1...: want a number"));
}

/* Rows of values for one flag; those behind NULL are refused. */
static void assert_values(enum settings_role role, const char *flag, const char *const values[])
{
    bool wanted = true;
    for (size_t i = 0; values[i] || wanted; i++) {
        if (!values[i]) {
            wanted = false;
            continue;
        }
        enum settings_result result = FLAGS(role, flag, values[i]);
        cr_assert_eq(result, wanted ? SETTINGS_RUN : SETTINGS_WRONG, "%s %s", flag, values[i]);
        if (!wanted)
            cr_assert_eq(strchr(err_text, '\n'), err_text + strlen(err_text) - 1, "%s", err_text);
    }
}

#define VALUES(role, flag, ...) assert_values(role, flag, LIST(__VA_ARGS__))

#define LABEL_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

Test(settings, which_values_are_taken)
{
    VALUES(SETTINGS_MASTER, "--port", "0", "65535", NULL, "65536", "-1", "1.0", " 1", "0x1", "");
    VALUES(SETTINGS_MASTER, "--host", "0.0.0.0", "::", "::1", "::ffff:1.2.3.4", "localhost", "a.b-c_d.e",
           "9a", "1.example.", LABEL_63 "." LABEL_63 "." LABEL_63, NULL, "", " ", "a b", "[::1]", "1.2.3",
           "300.1.1.1", "1.2.3.4.5", "a..b", ".a", "-a", "a:5000", "http://a", "a/", ":::", "a%b",
           "fe80::1%lo", LABEL_63 "a", "\xc3\xa9", LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63);
    VALUES(SETTINGS_MASTER, "--log-level", "debug", "info", "warn", "error", NULL, "INFO", "warning", "");
    VALUES(SETTINGS_MASTER, "--log-format", "auto", "text", "json", "terminal", NULL, "JSON", "xml", "");
    VALUES(SETTINGS_MASTER, "--max-message", "1", "1073741824", "1k", "1024M", "1g", NULL, "0", "1073741825",
           "1025m", "2g", "1t", "k", "-1", "");
    VALUES(SETTINGS_MASTER, "--max-connections", "1", "19872", NULL, "0", "19873", "x",
           "99999999999999999999");
    VALUES(SETTINGS_MASTER, "--idle-timeout", "0.001", "75", "315360000", NULL, "0", "0.0", "315360001", "");
    VALUES(SETTINGS_MASTER, "--write-concern", "1", "65535", "all", "majority", NULL, "0", "65536", "All",
           "off");
    VALUES(SETTINGS_MASTER, "--quorum", "off", "majority", "1", "65535", NULL, "0", "all", "65536", "");
    VALUES(SETTINGS_MASTER, "--heartbeat-interval", "0.01", "1", NULL, "0", "0.009", "-1");
    VALUES(SETTINGS_MASTER, "--forget-after", "0", "0.25", "315360000", NULL, "-1", "never", "315360001", "");
    VALUES(SETTINGS_SECONDARY, "--goodbye", "on", "off", NULL, "", "1", "yes", "Off");
    VALUES(SETTINGS_SECONDARY, "--secondary-errors", "0", "1", "0.5", ".5", "1.", "1.000", NULL, "1.01",
           "-0.1", "2", "nan", "1e-1", "0x0", "50%", "");
    VALUES(SETTINGS_SECONDARY, "--secondary-id", "a", "secondary-1:5001", "[::1]:5001", "~!", NULL, "", "a b",
           "a/b", "a\"", "'", "a?", "#", "%41", "\\", "a\tb", "\x7f", "\xc3\xa9");
    VALUES(SETTINGS_SECONDARY, "--cluster-token", "a", "a\"b", NULL, "", "a b", "a\n", "\xc3\xa9");
    VALUES(SETTINGS_MASTER, "--fsync", "always", "off", "0.001", "1", "315360000", NULL, "0", "-1", "never",
           "Always", "315360001", "");
    VALUES(SETTINGS_SECONDARY, "--data-dir", "/var/lib/log", "data", ".", "a b", NULL, "");
    VALUES(SETTINGS_MASTER, "--allowed-hosts", "a", "a.example", "a.example,b.example", "*", "a,*", NULL,
           "a b", "http://a", "a:1", "1.2.3.4", "a..b", "*.example");
}

Test(settings, how_long_a_list_of_hosts_may_be_is_told)
{
    char flag[400] = "--allowed-hosts=";
    for (size_t len = strlen(flag); len < 16 + 255; len += 2)
        memcpy(flag + len, "a,", 3);
    flag[16 + 255] = '\0';
    cr_assert_eq(FLAGS(SETTINGS_MASTER, flag), SETTINGS_RUN);
    memcpy(flag + 16 + 255, "a", 2);
    cr_assert_eq(FLAGS(SETTINGS_MASTER, flag), SETTINGS_WRONG);
    cr_expect(strstr(err_text, "255 bytes at most"), "%s", err_text);
}

Test(settings, which_urls_are_taken)
{
    static const char *const flags[] = {"--master-url", "--advertise-url"};
    for (size_t i = 0; i < 2; i++)
        VALUES(SETTINGS_SECONDARY, flags[i], "http://a:1", "http://a:65535/", "HTTP://A:1",
               "http://1.2.3.4:5", "http://[::1]:5", "http://a_b.c-d:80", NULL, "", "http", "http://a",
               "http://a/", "http://[::1]", "http:", "http://", "http:///", "http://:1",
               "http://a:", "http://a:0", "http://a:65536", "http://a:x", "http://a:1/b", "http://a:1//",
               "http://a:1?b", "http://a:1#b", "http://u@a:1", "http://u:p@a:1", "https://a:1", "a:1",
               "http://a b:1", "http://::1:5", "http://[::1", "http://[a]:5", "http://[]:5", "http://[::1]5",
               "http://1.2.3:4", "http://a:-1", "http://a:1 ", "http://a\n:1", " http://a:1");
}

Test(settings, texts_are_bounded)
{
    char text[301];
    memset(text, 'x', sizeof text);
    text[200] = '\0';
    cr_assert_eq(FLAGS(SETTINGS_SECONDARY, "--secondary-id", text), SETTINGS_RUN);
    text[200] = 'x', text[201] = '\0';
    cr_assert_eq(FLAGS(SETTINGS_SECONDARY, "--secondary-id", text), SETTINGS_WRONG);
    text[201] = 'x', text[SETTINGS_TEXT_MAX - 1] = '\0';
    cr_assert_eq(FLAGS(SETTINGS_SECONDARY, "--cluster-token", text), SETTINGS_RUN);
    cr_assert_eq(strlen(settings.cluster_token), SETTINGS_TEXT_MAX - 1);
    text[SETTINGS_TEXT_MAX - 1] = 'x', text[300] = '\0';
    cr_assert_eq(FLAGS(SETTINGS_SECONDARY, "--cluster-token", text), SETTINGS_WRONG);
}

Test(settings, durations_are_exact_and_never_rounded_to_nothing)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } rows[] = {
        {"0", 0},
        {"0.0", 0},
        {"1", 1000},
        {"0.25", 250},
        {".5", 500},
        {"5.", 5000},
        {"0.07", 70},
        {"1.001", 1001},
        {"1.0000", 1000},
        {"1.0001", 1001},
        {"0.0000001", 1},
        {"00012", 12000},
        {"0.001", 1},
        {"4.1", 4100},
        {"315360000", 315360000000},
        {"315360000.1", -1},
        {"315360001", -1},
        {"99999999999999999999", -1},
        {"", -1},
        {".", -1},
        {"-1", -1},
        {"+1", -1},
        {"1e3", -1},
        {"inf", -1},
        {"nan", -1},
        {"1s", -1},
        {" 1", -1},
        {"1 ", -1},
        {"0x10", -1},
        {"1,5", -1},
        {"1.2.3", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum settings_result result = FLAGS(SETTINGS_MASTER, "--ack-timeout", rows[i].text);
        cr_assert_eq(result, rows[i].ms < 0 ? SETTINGS_WRONG : SETTINGS_RUN, "%s", rows[i].text);
        if (rows[i].ms >= 0)
            cr_assert_eq(settings.ack_timeout_ms, rows[i].ms, "%s", rows[i].text);
    }
}

Test(settings, connections_fit_the_descriptor_limit)
{
    descriptor_limit = 1024;
    cr_assert_eq(FLAGS(SETTINGS_MASTER, NULL), SETTINGS_RUN);
    cr_assert_eq(settings.max_connections, 448, "as many are left for links");
    cr_assert_eq(FLAGS(SETTINGS_SECONDARY, NULL), SETTINGS_RUN);
    cr_assert_eq(settings.max_connections, 896);
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--max-connections=896"), SETTINGS_RUN);
    assert_refused(
        FLAGS(SETTINGS_MASTER, "--max-connections=897"),
        "master: --max-connections 897: want at most 896, since the descriptor limit (ulimit -n) is 1024\n");
    assert_refused(
        ENVIRONMENT(SETTINGS_SECONDARY, "MAX_CONNECTIONS=10000"),
        "secondary: MAX_CONNECTIONS=10000: want at most 896, since the descriptor limit (ulimit -n) is "
        "1024\n");
    descriptor_limit = 10000;
    cr_assert_eq(FLAGS(SETTINGS_MASTER, NULL), SETTINGS_RUN);
    cr_assert_eq(settings.max_connections, 10000 - 128 - 2000);
    descriptor_limit = 20;
    cr_assert_eq(FLAGS(SETTINGS_MASTER, NULL), SETTINGS_RUN);
    cr_assert_eq(settings.max_connections, 1);
    descriptor_limit = UINT64_MAX;
    cr_assert_eq(FLAGS(SETTINGS_MASTER, NULL), SETTINGS_RUN);
    cr_assert_eq(settings.max_connections, 10000);
}

Test(settings, help_lists_the_program_s_own_settings_with_their_defaults)
{
    cr_assert_eq(run(SETTINGS_MASTER, LIST("--help"), LIST("PORT=x")), SETTINGS_DONE);
    static const char *const of_master[] = {"Usage: master",
                                            "--host",
                                            "[127.0.0.1]",
                                            "--port",
                                            "[5000]",
                                            "--log-level",
                                            "[info]",
                                            "--log-format",
                                            "[auto]",
                                            "--max-message",
                                            "[1048576]",
                                            "--max-connections",
                                            "--max-log",
                                            "[four fifths of the memory]",
                                            "--allowed-hosts",
                                            "--cluster-token-file",
                                            "--ready-check",
                                            "-h",
                                            "[10000]",
                                            "--idle-timeout",
                                            "[75]",
                                            "--write-concern",
                                            "[all]",
                                            "--ack-timeout",
                                            "[0]",
                                            "--quorum",
                                            "[off]",
                                            "--heartbeat-interval",
                                            "[1]",
                                            "--cluster-token",
                                            "[none]",
                                            "--health-check",
                                            "--version",
                                            "--help"};
    for (size_t i = 0; i < sizeof of_master / sizeof *of_master; i++)
        cr_assert_not_null(strstr(out_text, of_master[i]), "%s", of_master[i]);
    cr_assert_null(strstr(out_text, "--master-url"));
    cr_assert_null(strstr(out_text, "5001"));

    cr_assert_eq(FLAGS(SETTINGS_SECONDARY, "--port", "1", "--help", "--nonsense"), SETTINGS_DONE);
    static const char *const of_secondary[] = {
        "Usage: secondary", "[5001]",         "--master-url",       "[http://127.0.0.1:5000]",
        "--advertise-url",  "--secondary-id", "--secondary-delays", "--secondary-errors"};
    for (size_t i = 0; i < sizeof of_secondary / sizeof *of_secondary; i++)
        cr_assert_not_null(strstr(out_text, of_secondary[i]), "%s", of_secondary[i]);
    cr_assert_null(strstr(out_text, "--write-concern"));
}

Test(settings, help_fits_a_terminal)
{
    for (int role = SETTINGS_MASTER; role <= SETTINGS_SECONDARY; role++) {
        cr_assert_eq(FLAGS((enum settings_role)role, "--help"), SETTINGS_DONE);
        for (const char *line = out_text; *line; line += strcspn(line, "\n") + 1)
            cr_assert(strcspn(line, "\n") <= 100, "%.*s", (int)strcspn(line, "\n"), line);
    }
}

Test(settings, version)
{
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--version"), SETTINGS_DONE);
    cr_assert_str_eq(out_text, SETTINGS_VERSION "\n");
}

Test(settings, the_token_is_never_shown)
{
    assert_refused(ENVIRONMENT(SETTINGS_MASTER, "CLUSTER_TOKEN=secret word"),
                   "master: CLUSTER_TOKEN: want 1 to 255 visible ASCII characters without a space\n");
    assert_refused(FLAGS(SETTINGS_MASTER, "--cluster-token", "secret word"),
                   "master: --cluster-token: want 1 to 255 visible ASCII characters without a space\n");
    assert_refused(
        FLAGS(SETTINGS_MASTER, "--cluster-token", "a", "secret"),
        "master: argument 3: want flags and their values, such as --port 5000; --help lists them\n");
    assert_refused(FLAGS(SETTINGS_MASTER, "--cluster-tokn=secret"),
                   "master: --cluster-tokn: no such flag; --help lists them\n");
    cr_assert_eq(run(SETTINGS_MASTER, LIST("--help"), LIST("CLUSTER_TOKEN=secret")), SETTINGS_DONE);
    cr_assert_null(strstr(out_text, "secret"));
}

/* What settings_log writes for the last run. */
static char *logged(enum settings_role role, enum logline_level level)
{
    static char text[4096];
    char path[] = "/tmp/settingsXXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    unlink(path);
    cr_assert_eq(logline_start(fd, level, LOGLINE_TEXT, "r"), 0);
    settings_log(&settings, role);
    logline_stop();
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    close(fd);
    cr_assert(len > 0);
    text[len] = '\0';
    return strstr(text, "INFO");
}

/* All words of the lines of a level behind the first, which must be short, begin with "r settings " and be
 * parted between settings. */
static const char *logged_settings(enum settings_role role, enum logline_level level)
{
    static char words[4096];
    const char *begin = level == LOGLINE_INFO ? "INFO  r settings " : "DEBUG r settings ";
    const char *line = logged(role, level);
    cr_assert(strncmp(line, "INFO  r " SETTINGS_VERSION "\n", strlen("INFO  r " SETTINGS_VERSION "\n")) == 0,
              "%s", line);
    words[0] = '\0';
    while ((line = strstr(line + 1, begin))) {
        line += strlen(begin);
        size_t len = strcspn(line, "\n");
        cr_expect(len <= 56, "%zu columns: %.*s", len, (int)len, line);
        sprintf(words + strlen(words), "%s%.*s", words[0] ? " " : "", (int)len, line);
    }
    return words;
}

Test(settings, the_log_tells_the_version_and_what_was_given_in_short_lines)
{
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--cluster-token", "secret", "--ack-timeout", "0.250", "--quorum=2",
                       "--max-log=3g", "--allowed-hosts=a.example,b.example"),
                 SETTINGS_RUN);
    cr_assert_str_eq(logged_settings(SETTINGS_MASTER, LOGLINE_INFO),
                     "MAX_LOG=3221225472 ACK_TIMEOUT=0.25 QUORUM=2 ALLOWED_HOSTS=a.example,b.example "
                     "CLUSTER_TOKEN=set");
    cr_assert_eq(run(SETTINGS_SECONDARY, LIST("--secondary-delays", "1.005"),
                     LIST("PORT=5001", "SECONDARY_ERRORS=0.10", "QUORUM=2", "SECONDARY_ID=")),
                 SETTINGS_RUN);
    cr_assert_str_eq(logged_settings(SETTINGS_SECONDARY, LOGLINE_INFO),
                     "PORT=5001 SECONDARY_DELAYS=1.005 SECONDARY_ERRORS=0.1");
}

Test(settings, at_debug_the_log_tells_the_defaults_too)
{
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--max-log=3g", "--quorum=2", "--carriers=3"), SETTINGS_RUN);
    cr_assert_str_eq(
        logged_settings(SETTINGS_MASTER, LOGLINE_DEBUG),
        "HOST=127.0.0.1 PORT=5000 LOG_LEVEL=info LOG_FORMAT=auto MAX_MESSAGE=1048576 "
        "MAX_CONNECTIONS=10000 IDLE_TIMEOUT=75 WRITE_CONCERN=all ACK_TIMEOUT=0 NODES=none "
        "HEARTBEAT_INTERVAL=1 FORGET_AFTER=0 ALLOWED_HOSTS=auto CLUSTER_TOKEN=none CLUSTER_TOKEN_FILE=none "
        "DATA_DIR=none FSYNC=always");
    cr_assert_eq(FLAGS(SETTINGS_SECONDARY, "--max-log=1k", "--carriers=3"), SETTINGS_RUN);
    cr_assert_str_eq(
        logged_settings(SETTINGS_SECONDARY, LOGLINE_DEBUG),
        "HOST=127.0.0.1 PORT=5001 LOG_LEVEL=info LOG_FORMAT=auto MAX_MESSAGE=1048576 "
        "MAX_CONNECTIONS=10000 IDLE_TIMEOUT=75 MASTER_URL=http://127.0.0.1:5000 ADVERTISE_URL=auto "
        "SECONDARY_ID=auto GOODBYE=on SECONDARY_DELAYS=0 SECONDARY_ERRORS=0 ALLOWED_HOSTS=auto "
        "CLUSTER_TOKEN=none "
        "CLUSTER_TOKEN_FILE=none DATA_DIR=none FSYNC=always");
}

Test(settings, a_long_setting_has_a_line_to_itself)
{
    char url[300] = "http://";
    memset(url + 7, 'a', 60);
    strcpy(url + 67, ".a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a:5000");
    cr_assert_eq(FLAGS(SETTINGS_SECONDARY, "--master-url", url), SETTINGS_RUN);
    char *text = logged(SETTINGS_SECONDARY, LOGLINE_INFO);
    char line[400];
    snprintf(line, sizeof line, "INFO  r settings MASTER_URL=%s\n", url);
    cr_assert(strstr(text, line), "%s", text);
}

/* ---- the token's file */

static const char *token_file(const char *text)
{
    static char path[64];
    strcpy(path, "/tmp/tokenXXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    return path;
}

Test(settings, the_token_may_be_in_a_file)
{
    static const char *const texts[] = {"secret", "secret\n", "secret\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *path = token_file(texts[i]);
        cr_assert_eq(FLAGS(SETTINGS_MASTER, "--cluster-token-file", path), SETTINGS_RUN, "%s", err_text);
        cr_expect_str_eq(settings.cluster_token, "secret");
        unlink(path);
    }
}

Test(settings, a_file_without_a_token_is_a_wrong_one)
{
    static const char *const texts[] = {"", "\n", "two words", "two\nlines\n", "\xc3\xa9"};
    char line[256];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *path = token_file(texts[i]);
        snprintf(line, sizeof line,
                 "master: --cluster-token-file %s: want a file with one line of 1 to 255 visible ASCII "
                 "characters without a space\n",
                 path);
        assert_refused(FLAGS(SETTINGS_MASTER, "--cluster-token-file", path), line);
        unlink(path);
    }
    char much[300];
    memset(much, 'x', sizeof much - 1);
    much[sizeof much - 1] = '\0';
    const char *path = token_file(much);
    cr_expect_eq(FLAGS(SETTINGS_MASTER, "--cluster-token-file", path), SETTINGS_WRONG);
    unlink(path);
    assert_refused(ENVIRONMENT(SETTINGS_SECONDARY, "CLUSTER_TOKEN_FILE=/nowhere/token"),
                   "secondary: CLUSTER_TOKEN_FILE=/nowhere/token: No such file or directory\n");
}

Test(settings, the_token_is_in_a_file_or_in_a_setting)
{
    const char *path = token_file("secret");
    char line[256];
    snprintf(line, sizeof line, "master: --cluster-token-file %s: want it or CLUSTER_TOKEN, and not both\n",
             path);
    assert_refused(FLAGS(SETTINGS_MASTER, "--cluster-token-file", path, "--cluster-token", "a"), line);
    unlink(path);
}

/* ---- memory for the list */

Test(settings, bytes_may_have_a_unit)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } rows[] = {{"1", 1},          {"1k", 1024},      {"500m", 500LL << 20},
                {"4g", 4LL << 30}, {"4G", 4LL << 30}, {"1048576g", 1LL << 50},
                {"00K", -1},       {"k", -1},         {"1kk", -1},
                {"1kb", -1},       {"1.5g", -1},      {"-1k", -1},
                {"0", -1},         {"1048577g", -1},  {"99999999999999999999g", -1},
                {"1 k", -1},       {"1t", -1},        {"", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum settings_result result = FLAGS(SETTINGS_MASTER, "--max-log", rows[i].text);
        cr_expect_eq(result, rows[i].bytes < 0 ? SETTINGS_WRONG : SETTINGS_RUN, "%s", rows[i].text);
        if (rows[i].bytes > 0)
            cr_expect_eq(settings.max_log, rows[i].bytes, "%s", rows[i].text);
    }
}

Test(settings, the_list_takes_four_fifths_of_the_memory_by_default)
{
    cr_assert_eq(FLAGS(SETTINGS_MASTER, NULL), SETTINGS_RUN);
    cr_expect_eq(settings.max_log, (int64_t)(memory_size() / 5 * 4));
}

Test(settings, carriers_go_by_the_cores_where_nobody_tells)
{
    unsigned most = (cores_usable() - 1) / 2;
    cr_assert_eq(FLAGS(SETTINGS_MASTER, NULL), SETTINGS_RUN);
    cr_expect_eq(settings.carriers, most < 8 ? most : 8);
    cr_assert_eq(ENVIRONMENT(SETTINGS_SECONDARY, "CARRIERS=64"), SETTINGS_RUN);
    cr_expect_eq(settings.carriers, 64);
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--carriers=0"), SETTINGS_RUN);
    cr_expect_eq(settings.carriers, 0);
    assert_refused(FLAGS(SETTINGS_MASTER, "--carriers=65"),
                   "master: --carriers 65: want a number from 0 to 64\n");
}

Test(settings, a_directory_for_the_list_and_when_it_is_synced)
{
    cr_assert_eq(run(SETTINGS_MASTER, LIST("--fsync=off"), LIST("DATA_DIR=/d", "FSYNC=1")), SETTINGS_RUN);
    cr_expect_str_eq(settings.data_dir, "/d");
    cr_expect_eq(settings.fsync_ms, SETTINGS_FSYNC_OFF);
    cr_assert_eq(ENVIRONMENT(SETTINGS_SECONDARY, "DATA_DIR=d", "FSYNC=0.05"), SETTINGS_RUN);
    cr_expect_eq(settings.fsync_ms, 50);
    cr_assert_str_eq(logged_settings(SETTINGS_SECONDARY, LOGLINE_INFO), "DATA_DIR=d FSYNC=0.05");
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--data-dir", "d", "--fsync", "off"), SETTINGS_RUN);
    cr_assert_str_eq(logged_settings(SETTINGS_MASTER, LOGLINE_INFO), "DATA_DIR=d FSYNC=off");
}

Test(settings, a_loss_is_accepted_for_one_start_of_a_node_with_a_directory)
{
    cr_assert_eq(FLAGS(SETTINGS_SECONDARY, "--accept-loss", "--data-dir=d"), SETTINGS_RUN);
    cr_expect(settings.accept_loss);
    assert_refused(FLAGS(SETTINGS_MASTER, "--accept-loss"), "master: --accept-loss: want DATA_DIR with it\n");
    cr_assert_eq(ENVIRONMENT(SETTINGS_MASTER, "ACCEPT_LOSS=1", "DATA_DIR=d"), SETTINGS_RUN);
    cr_expect(!settings.accept_loss, "no variable would be for one start");
}

Test(settings, a_directory_to_look_at)
{
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--check-data", "/d"), SETTINGS_RUN);
    cr_expect_str_eq(settings.check_data, "/d");
    cr_assert_eq(FLAGS(SETTINGS_SECONDARY, "--check-data=d=e", "--port", "7"), SETTINGS_RUN);
    cr_expect_str_eq(settings.check_data, "d=e");
    static const char wants[] = "master: --check-data: want the path of a directory behind it\n";
    assert_refused(FLAGS(SETTINGS_MASTER, "--check-data"), wants);
    assert_refused(FLAGS(SETTINGS_MASTER, "--check-data="), wants);
    assert_refused(FLAGS(SETTINGS_MASTER, "--check-data", ""), wants);
    assert_refused(FLAGS(SETTINGS_MASTER, "--check-datum"),
                   "master: --check-datum: no such flag; --help lists them\n");
}

Test(settings, what_is_asked_of_a_running_node)
{
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "--ready-check", "--port", "7"), SETTINGS_RUN);
    cr_expect_str_eq(settings.check, "/readyz");
    cr_expect_eq(settings.port, 7);
    cr_assert_eq(FLAGS(SETTINGS_MASTER, "-h"), SETTINGS_DONE);
    cr_expect(strstr(out_text, "Usage: master"));
}
