/* The files in the program are those in the source, byte for byte. */
#include "ui/ui.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(ui_files, .timeout = 60);

static const struct {
    const char *path, *source;
} files[] = {
    {"/openapi.json", "src/ui/openapi.json"},
};

/* A file of the source; the tests run in its top folder. */
static char *source_read(const char *path)
{
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fseek(file, 0, SEEK_END), 0);
    size_t len = (size_t)ftell(file);
    char *text = calloc(1, len + 1);
    rewind(file);
    cr_assert_eq(fread(text, 1, len, file), len);
    fclose(file);
    return text;
}

Test(ui_files, each_is_there_as_it_is_in_the_source)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const struct ui_file *file = ui_file(files[i].path);
        char *source = source_read(files[i].source);
        cr_assert_not_null(file, "%s", files[i].path);
        cr_expect_str_eq(file->path, files[i].path);
        cr_expect(strcmp(file->text, source) == 0, "%s is another than %s", files[i].path, files[i].source);
        cr_expect_eq(strncmp(file->fields, "Content-Type: ", 14), 0, "%s: %s", files[i].path, file->fields);
        free(source);
    }
}

Test(ui_files, there_are_no_others)
{
    cr_expect_null(ui_file("/openapi"));
    cr_expect_null(ui_file(""));
}
