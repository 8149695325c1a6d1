/* The page that shows what a node does, and what belongs to it: files in the program itself, which is all
 * that there is to install. Knows nothing of nodes. */
#ifndef UI_UI_H
#define UI_UI_H

struct ui_file {
    const char *path;   /* where it is answered */
    const char *fields; /* of the answer, its type the first */
    const char *text;   /* terminated */
};

/* The file at that path, or NULL. */
const struct ui_file *ui_file(const char *path);

#endif
