/* Directories of lists on disk (DATA_DIR) for nodes of a test, and harm done to them while no node has them.
 * They lie in one temporary directory, which is removed where the test passes. */
#ifndef TEST_DATA_H
#define TEST_DATA_H

#include <stdbool.h>
#include <stdint.h>

/* The path of a directory of this name. A node makes it. */
const char *data_dir(const char *name);

/* Removes all of them; scenario_end does. */
void data_remove(void);

/* A file's path in a directory; borrowed until the next call. */
const char *data_path(const char *dir, const char *name);

/* The last file with frames; borrowed until the next call. */
const char *data_last(const char *dir);

/* How many files have a name that holds the text. */
int data_count(const char *dir, const char *text);

/* The offset behind the last byte that is not zero: there the last frame's messages end. */
int64_t data_end(const char *path);

/* Flips a bit of the byte at an offset. */
void data_flip(const char *path, int64_t at);

/* Lets the file end at an offset. */
void data_cut(const char *path, int64_t at);

/* Adds bytes at an offset, in the place of what is there. */
void data_put(const char *path, int64_t at, const void *bytes, int len);

/* The first offset of the text in the file; ends the test where it is not there. */
int64_t data_find(const char *path, const char *text);

#endif
