#include "ui/ui.h"
#include <stddef.h>
#include <string.h>

/* See files.S. */
extern const char openapi_json[];

/* A browser asks each time: the page and what belongs to it are of one version. */
#define NO_CACHE "Cache-Control: no-cache\r\n"

static const struct ui_file files[] = {
    {"/openapi.json", "Content-Type: application/json\r\n" NO_CACHE, openapi_json},
};

const struct ui_file *ui_file(const char *path)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(path, files[i].path) == 0)
            return &files[i];
    return NULL;
}
