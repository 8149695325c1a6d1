#include "http/accept.h"

/* How a range of the field fits a type. */
struct fit {
    int closeness; /* 0: not at all; 1: every type; 2: its main type; 3: itself */
    int quality;   /* in thousandths */
};

/* The weight behind a range, "q=0.5": digits past the third, and what is none, count for nothing. */
static int quality_of(struct span text)
{
    int quality = text.len && text.at[0] == '1' ? 1000 : 0;
    static const int worth[] = {100, 10, 1};
    for (size_t i = 0; quality == 0 && i < 3 && i + 2 < text.len; i++)
        if (text.at[i + 2] >= '0' && text.at[i + 2] <= '9')
            quality += (text.at[i + 2] - '0') * worth[i];
    return quality;
}

/* Takes what is in front of the next semicolon off the parameters, white space around it removed. */
static struct span parameter_take(struct span *text)
{
    const char *end = text->len ? memchr(text->at, ';', text->len) : NULL;
    struct span part = {text->at, end ? (size_t)(end - text->at) : text->len};
    *text = span_after(*text, part.len + (end ? 1 : 0));
    while (part.len && (part.at[0] == ' ' || part.at[0] == '\t'))
        part = span_after(part, 1);
    while (part.len && (part.at[part.len - 1] == ' ' || part.at[part.len - 1] == '\t'))
        part.len--;
    return part;
}

static int closeness_of(struct span range, const char *type)
{
    size_t main_len = (size_t)(strchr(type, '/') - type) + 1;
    if (span_equals_nocase(range, type))
        return 3;
    if (range.len == main_len + 1 && range.at[main_len] == '*' && strncasecmp(range.at, type, main_len) == 0)
        return 2;
    return span_equals(range, "*/*") ? 1 : 0;
}

static struct fit range_fit(struct span element, const char *type)
{
    struct fit fit = {.closeness = closeness_of(parameter_take(&element), type), .quality = 1000};
    while (element.len) {
        struct span parameter = parameter_take(&element);
        if (span_starts_nocase(parameter, "q="))
            fit.quality = quality_of(span_after(parameter, 2));
    }
    return fit;
}

/* The fit of the range that names the type most closely. */
static struct fit head_fit(const struct http_head *head, const char *type)
{
    struct fit best = {0};
    for (size_t i = 0; i < head->field_count; i++) {
        struct span list = head->fields[i].value;
        struct span element;
        if (!span_equals_nocase(head->fields[i].name, "Accept"))
            continue;
        while (http_list_next(&list, &element)) {
            struct fit fit = range_fit(element, type);
            if (fit.closeness > best.closeness)
                best = fit;
        }
    }
    return best;
}

int http_accept(const struct http_head *head, const char *const *types, int count)
{
    struct fit best = {0};
    int chosen = 0;
    for (int i = 0; i < count; i++) {
        struct fit fit = head_fit(head, types[i]);
        if (fit.quality > best.quality || (fit.quality == best.quality && fit.closeness > best.closeness)) {
            best = fit;
            chosen = i;
        }
    }
    return chosen;
}

bool http_accept_names(const struct http_head *head, const char *type)
{
    return head_fit(head, type).closeness == 3;
}
