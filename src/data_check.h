/* --check-data: what a data directory holds, for a person who wants to know before a node is started. */
#ifndef DATA_CHECK_H
#define DATA_CHECK_H

enum data_check_result {
    DATA_WHOLE = 0,
    DATA_TORN = 1,    /* an append was not finished: the next start drops it */
    DATA_DAMAGED = 2, /* damage, or ids are missing, or files were set aside */
    DATA_UNKNOWN = 3, /* a format that this program does not know; or it cannot be read */
    DATA_IN_USE = 4   /* by another process */
};

/* Reads the list in the directory to its end, and says on standard output what is there; where it cannot,
 * says why on standard error. Changes nothing and needs no write permission; takes the memory that a node
 * with the list would take. Returns a data_check_result, which is the exit status. Blocks. */
int data_check(const char *path);

#endif
