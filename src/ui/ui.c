#include "ui/ui.h"
#include <stddef.h>
#include <string.h>

/* See files.S. */
extern const char ui_html[], ui_js[], ui_css[], openapi_json[];

/* A browser asks each time: the page and what belongs to it are of one version. */
#define NO_CACHE "Cache-Control: no-cache\r\n"

/* The page loads its own script and style and talks to its own node, and to nobody else (W3C Content Security
 * Policy Level 3). */
#define POLICY                                                                                               \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " \
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"                  \
    "Referrer-Policy: no-referrer\r\n"

static const struct ui_file files[] = {
    {UI_PAGE, "Content-Type: text/html; charset=utf-8\r\n" NO_CACHE "Vary: Accept\r\n" POLICY, ui_html},
    {"/ui.js", "Content-Type: text/javascript; charset=utf-8\r\n" NO_CACHE, ui_js},
    {"/ui.css", "Content-Type: text/css; charset=utf-8\r\n" NO_CACHE, ui_css},
    {"/openapi.json", "Content-Type: application/json\r\n" NO_CACHE, openapi_json},
};

const struct ui_file *ui_file(const char *path)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(path, files[i].path) == 0)
            return &files[i];
    return NULL;
}
