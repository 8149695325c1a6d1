/* Settings. The first byte is the role; then come flags and variables, each up to a NUL, those that start
 * with
 * "-" flags. Whatever comes, there is one line on the right file or values within their bounds; and a value
 * that is taken is shown in a form that reads as the same value. */
#include "check.h"
#include "concern.h"
#include "setting.h"
#include <strings.h>

enum { WORDS_MAX = 24 };

struct words {
    char *argv[WORDS_MAX + 2];
    char *environment[WORDS_MAX + 1];
    int argc;
};

/* The words point into text, which ends in a NUL. Those behind a flag are its values. */
static struct words words_split(char *text, const char *end)
{
    struct words words = {.argv = {(char *)"program"}, .argc = 1};
    size_t variables = 0;
    for (char *at = text; at < end && words.argc + (int)variables < WORDS_MAX; at += strlen(at) + 1)
        if (strchr(at, '=') && *at != '-')
            words.environment[variables++] = at;
        else
            words.argv[words.argc++] = at;
    return words;
}

static void check_line(const char *text, size_t len)
{
    CHECK(len > 0 && text[len - 1] == '\n');
    for (size_t i = 0; i + 1 < len; i++)
        CHECK((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

static void check_ranges(const struct settings *settings, enum settings_role role, uint64_t descriptor_limit)
{
    const int64_t ms_max = INT64_C(315360000000);
    CHECK(settings->host[0] && strlen(settings->host) < SETTINGS_TEXT_MAX);
    CHECK(settings->max_message >= 1 && settings->max_message <= 1U << 30);
    CHECK(settings->max_connections >= 1 && (uint64_t)settings->max_connections <= descriptor_limit);
    CHECK(settings->idle_timeout_ms >= 1 && settings->idle_timeout_ms <= ms_max);
    if (role == SETTINGS_MASTER) {
        CHECK(settings->write_concern >= CONCERN_MAJORITY && settings->write_concern != 0);
        CHECK(settings->quorum >= CONCERN_MAJORITY && settings->quorum != CONCERN_ALL);
        CHECK(settings->heartbeat_ms >= 10 && settings->heartbeat_ms <= ms_max);
        CHECK(settings->ack_timeout_ms >= 0 && settings->ack_timeout_ms <= ms_max);
    } else {
        CHECK(strncasecmp(settings->master_url, "http://", 7) == 0);
        CHECK(settings->delay_ms >= 0 && settings->delay_ms <= ms_max);
        CHECK(settings->errors >= 0 && settings->errors <= 1);
    }
}

static void check_read(enum settings_role role, const struct words *words, uint64_t descriptor_limit)
{
    char *out_text, *err_text;
    size_t out_len, err_len;
    struct settings settings;
    FILE *out_file = open_memstream(&out_text, &out_len);
    FILE *err_file = open_memstream(&err_text, &err_len);
    CHECK(out_file && err_file);
    enum settings_result result = settings_read(&settings, role, words->argc, words->argv, words->environment,
                                                descriptor_limit, out_file, err_file);
    fclose(out_file);
    fclose(err_file);
    CHECK((result == SETTINGS_DONE) == (out_len > 0));
    CHECK((result == SETTINGS_WRONG) == (err_len > 0));
    if (result == SETTINGS_WRONG)
        check_line(err_text, err_len);
    if (result == SETTINGS_RUN)
        check_ranges(&settings, role, descriptor_limit);
    free(out_text);
    free(err_text);
}

union field {
    char text[SETTINGS_TEXT_MAX]; /* the largest */
    uint16_t port;
    enum logline_level level;
    bool json;
    size_t bytes;
    int number;
    int64_t ms;
    double share;
};

static void check_setting(const struct setting *setting, const char *text)
{
    union field field, again;
    struct buf shown = {0}, shown_again = {0};
    memset(&field, 0x5a, sizeof field);
    memset(&again, 0x5a, sizeof again);
    if (!setting_take(setting, text, &field)) {
        CHECK(memcmp(field.text, again.text, sizeof field.text) == 0);
        return;
    }
    setting_show(setting, &field, &shown);
    buf_add_char(&shown, '\0');
    CHECK(!shown.failed);
    if (!setting->secret) {
        CHECK(setting_take(setting, shown.data, &again));
        setting_show(setting, &again, &shown_again);
        buf_add_char(&shown_again, '\0');
        CHECK(strcmp(shown.data, shown_again.data) == 0);
    }
    buf_free(&shown);
    buf_free(&shown_again);
}

static void check_value(const char *text)
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++)
        check_setting(&settings_table[i], text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum settings_role role = data[0] & 1 ? SETTINGS_SECONDARY : SETTINGS_MASTER;
    char *text = malloc(size);
    CHECK(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    struct words words = words_split(text, text + size);
    check_read(role, &words, data[0] & 2 ? 1024 : UINT64_MAX);
    for (int i = 1; i < words.argc; i++)
        check_value(words.argv[i]);
    for (size_t i = 0; words.environment[i]; i++)
        check_value(strchr(words.environment[i], '=') + 1);
    free(text);
    return 0;
}
