#include "settings.h"
#include "cores.h"
#include "memory.h"
#include "setting.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    DESCRIPTORS_KEPT =
        128, /* for listeners, standard streams and the like, and HTTP_EXTRAS_MAX connections */
    DESCRIPTORS_LINKS = 2000, /* by default also for a master's links: two to each of 1000 members */
    CARRIERS_BY_CORES_MOST = 8,
    SHOWN_MAX = 100, /* bytes of a wrong value that its error repeats */
    FLAG_MAX = 32,
    LINE_WIDTH = 56 /* of the log lines that tell the settings; with what is before it, 100 at a terminal */
};

static const char *const role_names[] = {"master", "secondary"};

static bool has_role(const struct setting *setting, enum settings_role role)
{
    return setting->of & 1U << role;
}

/* What was given for a setting. */
struct given {
    const char *value; /* NULL: nothing */
    bool by_flag;
};

struct reading {
    enum settings_role role;
    FILE *err_file;
    struct given given[SETTINGS_COUNT];
    struct settings settings;
};

/* ---- Errors: one line each ---- */

/* Repeats what the user gave, which may hold anything, without breaking the line. */
static void print_bytes(FILE *file, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len && i < SHOWN_MAX; i++) {
        unsigned char c = (unsigned char)bytes[i];
        fprintf(file, c < 0x20 || c == 0x7f ? "\\x%02x" : "%c", c);
    }
    if (len > SHOWN_MAX)
        fputs("...", file);
}

static void flag_name(const struct setting *setting, char out[FLAG_MAX])
{
    size_t len = 0;
    out[len++] = '-';
    out[len++] = '-';
    for (const char *at = setting->name; *at && len < FLAG_MAX - 1; at++)
        out[len++] = *at == '_' ? '-' : (char)(*at - 'A' + 'a');
    out[len] = '\0';
}

/* "master: PORT=abc: " or "master: --port abc: ", and of a secret just the name. */
static void print_given(const struct reading *reading, size_t index)
{
    const struct setting *setting = &settings_table[index];
    const struct given *given = &reading->given[index];
    char flag[FLAG_MAX];
    assert(given->value); /* the table's own defaults are right */
    flag_name(setting, flag);
    fprintf(reading->err_file, "%s: %s", role_names[reading->role], given->by_flag ? flag : setting->name);
    if (!setting->secret) {
        fputc(given->by_flag ? ' ' : '=', reading->err_file);
        const char *value = *given->value ? given->value : "\"\"";
        print_bytes(reading->err_file, value, strlen(value));
    }
    fputs(": ", reading->err_file);
}

static enum settings_result wrong_value(const struct reading *reading, size_t index)
{
    print_given(reading, index);
    fprintf(reading->err_file, "want %s\n", settings_table[index].want);
    return SETTINGS_WRONG;
}

/* Names a flag only, since what stands behind its "=" may be a secret. */
static enum settings_result wrong_flag(const struct reading *reading, const char *flag, const char *why,
                                       const char *want)
{
    fprintf(reading->err_file, "%s: ", role_names[reading->role]);
    print_bytes(reading->err_file, flag, strcspn(flag, "="));
    fprintf(reading->err_file, ": %s%s\n", why, want);
    return SETTINGS_WRONG;
}

static enum settings_result wrong_option(const struct reading *reading, const char *what)
{
    fprintf(reading->err_file, "%s: %s\n", role_names[reading->role], what);
    return SETTINGS_WRONG;
}

/* ---- Help ---- */

static void print_setting(FILE *file, const struct setting *setting)
{
    char flag[FLAG_MAX];
    char usage[FLAG_MAX + 16];
    flag_name(setting, flag);
    snprintf(usage, sizeof usage, "%s %s", flag, setting->about);
    fprintf(file, "  %-30s %s\n  %-30s [%s]\n", usage, setting->meaning, "",
            setting->standard ? setting->standard : setting->empty);
}

static enum settings_result print_help(FILE *file, enum settings_role role)
{
    static const char *const about[] = {
        "The master of a replicated log: takes appends over HTTP, numbers them and sends them to the\n"
        "secondaries.",
        "A secondary of a replicated log: holds a copy of its master's list and answers reads over HTTP.",
    };
    fprintf(file, "Usage: %s [FLAG VALUE]...\n\n%s\n\n", role_names[role], about[role]);
    fputs(
        "Settings, with their defaults in brackets. Each may also be given in the environment: MAX_MESSAGE\n"
        "is --max-message. A flag wins. Durations are seconds, decimals allowed.\n\n",
        file);
    for (size_t i = 0; i < SETTINGS_COUNT; i++)
        if (has_role(&settings_table[i], role))
            print_setting(file, &settings_table[i]);
    fputs(
        "\n  --health-check                 asks the node that runs at HOST and PORT for its health: exit\n"
        "                                 code 0 or 1\n"
        "  --ready-check                  asks it whether it can do its work, as --health-check does\n"
        "  --check-data DIR               says what a data directory holds, and changes nothing: exit code\n"
        "                                 0 whole, 1 torn tail, 2 damage or loss, 3 not to be read, 4 in "
        "use\n"
        "  --accept-loss                  for one start: goes on without messages that were damaged in\n"
        "                                 DATA_DIR and that no other node has\n"
        "  --version                      prints the version\n"
        "  --help, -h                     prints this\n",
        file);
    return SETTINGS_DONE;
}

/* ---- Flags and environment ---- */

/* The role's setting whose flag is `flag`, up to a "=" or the end; SETTINGS_COUNT where there is none. */
static size_t find_flag(const char *flag, enum settings_role role)
{
    struct span wanted = {.at = flag, .len = strcspn(flag, "=")};
    char name[FLAG_MAX];
    size_t i = 0;
    for (; i < SETTINGS_COUNT; i++) {
        flag_name(&settings_table[i], name);
        if (has_role(&settings_table[i], role) && span_equals(wanted, name))
            break;
    }
    return i;
}

/* `number` is its place among the arguments. A word that is no flag is not shown: it may be a secret's end,
 * which was not quoted. */
static enum settings_result unknown_flag(const struct reading *reading, const char *flag, int number)
{
    enum settings_role other = reading->role == SETTINGS_MASTER ? SETTINGS_SECONDARY : SETTINGS_MASTER;
    if (*flag != '-') {
        fprintf(reading->err_file,
                "%s: argument %d: want flags and their values, such as --port 5000; --help lists them\n",
                role_names[reading->role], number);
        return SETTINGS_WRONG;
    }
    if (find_flag(flag, other) < SETTINGS_COUNT)
        return wrong_flag(reading, flag, "a flag of another program, the ", role_names[other]);
    return wrong_flag(reading, flag, "no such flag; --help lists them", "");
}

/* Takes the flag at argv[*i], and its value. */
static enum settings_result take_setting(struct reading *reading, int argc, char *const argv[], int *i)
{
    const char *flag = argv[*i];
    const char *equals = strchr(flag, '=');
    size_t index = find_flag(flag, reading->role);
    if (index == SETTINGS_COUNT)
        return unknown_flag(reading, flag, *i);
    if (!equals && *i + 1 == argc)
        return wrong_flag(reading, flag, "want a value behind it: ", settings_table[index].want);
    reading->given[index] = (struct given){.value = equals ? equals + 1 : argv[++*i], .by_flag = true};
    return SETTINGS_RUN;
}

static const char *check_path(const char *flag)
{
    return strcmp(flag, "--health-check") == 0  ? "/health"
           : strcmp(flag, "--ready-check") == 0 ? "/readyz"
                                                : NULL;
}

/* Takes a flag that is no setting. Returns whether it was one. */
static bool take_option(struct reading *reading, int argc, char *const argv[], int *i)
{
    static const char check_data[] = "--check-data";
    const char *flag = argv[*i];
    size_t len = strlen(check_data);
    const char *check = check_path(flag);
    if (check)
        reading->settings.check = check;
    else if (strcmp(flag, "--accept-loss") == 0)
        reading->settings.accept_loss = true;
    else if (strcmp(flag, check_data) == 0)
        reading->settings.check_data = *i + 1 < argc ? argv[++*i] : "";
    else if (strncmp(flag, check_data, len) == 0 && flag[len] == '=')
        reading->settings.check_data = flag + len + 1;
    else
        return false;
    return true;
}

static enum settings_result take_flags(struct reading *reading, int argc, char *const argv[], FILE *out_file)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return print_help(out_file, reading->role);
        if (strcmp(argv[i], "--version") == 0) {
            fprintf(out_file, "%s\n", SETTINGS_VERSION);
            return SETTINGS_DONE;
        }
        if (take_option(reading, argc, argv, &i))
            continue;
        enum settings_result result = take_setting(reading, argc, argv, &i);
        if (result != SETTINGS_RUN)
            return result;
    }
    return SETTINGS_RUN;
}

static const char *find_variable(char *const environment[], const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; environment[i]; i++)
        if (strncmp(environment[i], name, len) == 0 && environment[i][len] == '=')
            return environment[i] + len + 1;
    return NULL;
}

/* ---- Values ---- */

static enum settings_result take_values(struct reading *reading, char *const environment[])
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        const struct setting *setting = &settings_table[i];
        struct given *given = &reading->given[i];
        const char *variable = find_variable(environment, setting->name);
        if (!given->by_flag && variable && *variable)
            given->value = variable;
        const char *value = given->value ? given->value : setting->standard;
        if (has_role(setting, reading->role) && value &&
            !setting_take(setting, value, (char *)&reading->settings + setting->field))
            return wrong_value(reading, i);
        if (given->value)
            reading->settings.given |= UINT32_C(1) << i;
    }
    return SETTINGS_RUN;
}

/* Every connection takes a descriptor. Links have up to half of a low limit, where nobody says how many are
 * for clients. */
static enum settings_result fit_connections(struct reading *reading, uint64_t descriptor_limit)
{
    size_t index = find_flag("--max-connections", reading->role);
    bool is_given = reading->given[index].value;
    uint64_t most = descriptor_limit > DESCRIPTORS_KEPT ? descriptor_limit - DESCRIPTORS_KEPT : 1;
    if (!is_given && reading->role == SETTINGS_MASTER)
        most -= most / 2 < DESCRIPTORS_LINKS ? most / 2 : DESCRIPTORS_LINKS;
    if ((uint64_t)reading->settings.max_connections <= most)
        return SETTINGS_RUN;
    if (is_given) {
        print_given(reading, index);
        fprintf(reading->err_file, "want at most %llu, since the descriptor limit (ulimit -n) is %llu\n",
                (unsigned long long)most, (unsigned long long)descriptor_limit);
        return SETTINGS_WRONG;
    }
    reading->settings.max_connections = (int)most;
    return SETTINGS_RUN;
}

/* Reads the token's file. Returns NULL, or what is wrong. */
static const char *token_read(struct settings *out)
{
    char text[SETTINGS_TEXT_MAX + 1] = "";
    if (*out->cluster_token)
        return "want it or CLUSTER_TOKEN, and not both";
    FILE *file = fopen(out->cluster_token_file, "r");
    if (!file)
        return strerror(errno);
    bool whole = fgets(text, sizeof text, file) && fgetc(file) == EOF;
    fclose(file);
    text[strcspn(text, "\r\n")] = '\0';
    if (!whole || !setting_token_valid(text) ||
        !span_copy(span_of(text), out->cluster_token, SETTINGS_TEXT_MAX))
        return "want a file with one line of 1 to 255 visible ASCII characters without a space";
    return NULL;
}

static enum settings_result take_token(struct reading *reading)
{
    const char *why = *reading->settings.cluster_token_file ? token_read(&reading->settings) : NULL;
    if (!why)
        return SETTINGS_RUN;
    print_given(reading, find_flag("--cluster-token-file", reading->role));
    fprintf(reading->err_file, "%s\n", why);
    return SETTINGS_WRONG;
}

/* One for each two cores behind the first, since the loop and the other nodes of a machine need some, too. */
static unsigned carriers_for(unsigned cores)
{
    unsigned carriers = (cores - 1) / 2;
    return carriers < CARRIERS_BY_CORES_MOST ? carriers : CARRIERS_BY_CORES_MOST;
}

enum settings_result settings_read(struct settings *out, enum settings_role role, int argc,
                                   char *const argv[], char *const environment[], uint64_t descriptor_limit,
                                   FILE *out_file, FILE *err_file)
{
    struct reading reading = {.role = role, .err_file = err_file};
    enum settings_result result = take_flags(&reading, argc, argv, out_file);
    if (result == SETTINGS_RUN)
        result = take_values(&reading, environment);
    if (result == SETTINGS_RUN)
        result = fit_connections(&reading, descriptor_limit);
    if (result == SETTINGS_RUN)
        result = take_token(&reading);
    const char *check_data = reading.settings.check_data;
    if (result == SETTINGS_RUN && check_data && !*check_data)
        result = wrong_option(&reading, "--check-data: want the path of a directory behind it");
    if (result == SETTINGS_RUN && reading.settings.accept_loss && !*reading.settings.data_dir)
        result = wrong_option(&reading, "--accept-loss: want DATA_DIR with it");
    reading.settings.memory = memory_size();
    if (!reading.settings.max_log)
        reading.settings.max_log = (int64_t)(reading.settings.memory / 5 * 4);
    if (!reading.given[find_flag("--carriers", role)].value)
        reading.settings.carriers = carriers_for(cores_usable());
    if (result == SETTINGS_RUN)
        *out = reading.settings;
    return result;
}

static void line_log(enum logline_level level, struct buf *line)
{
    if (line->len)
        logline_event(level, "settings", NULL, "settings%.*s", (int)line->len, line->data);
    buf_clear(line);
}

/* Logs the role's settings among those whose bits are set in `which`, as many a line as fit. */
static void settings_list(const struct settings *settings, enum settings_role role, enum logline_level level,
                          uint32_t which)
{
    struct buf line = {0};
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        const struct setting *setting = &settings_table[i];
        size_t before = line.len;
        if (!has_role(setting, role) || !(which >> i & 1))
            continue;
        buf_addf(&line, " %s=", setting->name);
        setting_show(setting, (const char *)settings + setting->field, &line);
        if (before && line.len > LINE_WIDTH) { /* the setting begins the next line */
            struct buf next = {0};
            buf_add_span(&next, span_after(buf_span(&line), before));
            line.len = before;
            line_log(level, &line);
            buf_free(&line);
            line = next;
        }
    }
    line_log(level, &line);
    buf_free(&line);
}

void settings_log(const struct settings *settings, enum settings_role role)
{
    logline_event(LOGLINE_INFO, "version", NULL, "%s", SETTINGS_VERSION);
    settings_list(settings, role, LOGLINE_INFO, settings->given);
    settings_list(settings, role, LOGLINE_DEBUG, ~settings->given);
}
