#include "data_check.h"
#include "log/journal.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* "no messages", "message 1", "messages 1 to 9". */
static void ids_print(uint64_t first, uint64_t last)
{
    if (last < first)
        printf("no messages");
    else if (last == first)
        printf("message %" PRIu64, first);
    else
        printf("messages %" PRIu64 " to %" PRIu64, first, last);
}

static void files_print(const struct journal *journal, const struct journal_found *found)
{
    const struct journal_file *files;
    size_t count = journal_files(journal, &files);
    for (size_t i = 0; i < count; i++) {
        printf("file     %020" PRIu64 ".log  %" PRIu64 " bytes, ", files[i].first, files[i].bytes);
        if (files[i].first > found->last + 1)
            printf("behind the end of the list");
        else
            ids_print(files[i].first, files[i].last);
        printf("\n");
    }
}

static void trouble_print(const struct journal_found *found)
{
    if (found->meta_damaged)
        printf("damaged  the meta file: log id and epoch are those of the files\n");
    if (found->torn_bytes > 0)
        printf("torn     %" PRIu64 " bytes of an append that was not finished, behind message %" PRIu64
               ": a start drops them\n",
               found->torn_bytes, found->last);
    if (found->stray > 0)
        printf("stray    %020" PRIu64 ".log does not go on with the list, and nothing says that it should: a "
               "start sets it aside, and those behind it\n",
               found->stray);
    if (found->damaged > 0)
        printf("damaged  message %" PRIu64
               " was on disk and cannot be read: a start sets its file aside, and those behind it\n",
               found->damaged);
    if (found->missing > 0) {
        printf("missing  ");
        ids_print(found->last + 1, found->missing);
        printf(", of which other nodes may have a copy\n");
    }
    if (found->aside > 0)
        printf("aside    %u %s that a start found damaged and set aside, named *.damaged*\n", found->aside,
               found->aside == 1 ? "file" : "files");
}

static enum data_check_result found_print(const struct journal *journal, const struct journal_found *found)
{
    const struct journal_meta *meta = journal_meta(journal);
    printf("log      %s\nepoch    %" PRIu64 "\nlist     ", meta->log[0] ? meta->log : "none yet",
           meta->epoch);
    ids_print(1, found->last);
    printf(", %" PRIu64 " bytes of files\n", journal_bytes(journal));
    files_print(journal, found);
    trouble_print(found);
    if (found->damaged > 0 || found->missing > 0 || found->meta_damaged || found->aside > 0)
        return DATA_DAMAGED;
    return found->torn_bytes > 0 || found->stray > 0 ? DATA_TORN : DATA_WHOLE;
}

/* The result that stands for an error. */
static enum data_check_result error_result(int error)
{
    if (error == -EBUSY)
        return DATA_IN_USE;
    return error == -ENODATA ? DATA_DAMAGED : DATA_UNKNOWN;
}

int data_check(const char *path)
{
    static const char *const words[] = {
        [DATA_WHOLE] = "whole",
        [DATA_TORN] = "torn tail, nothing that was on disk is lost",
        [DATA_DAMAGED] = "damaged, now or before an earlier start",
    };
    struct journal *journal = NULL;
    struct journal_progress progress;
    struct journal_found found = {0};
    char why[JOURNAL_WHY_SIZE] = "there is no memory";
    struct log *log = log_open();
    int error = log ? journal_open(&journal, path, JOURNAL_LOOK, why) : -ENOMEM;
    if (error == 0)
        error = journal_load(journal, log, false, &progress, &found, why);
    if (error == 0) { /* nobody was kept from starting meanwhile */
        struct journal *again = NULL;
        error = journal_open(&again, path, JOURNAL_LOOK, why);
        journal_close(again);
    }
    enum data_check_result result;
    if (error < 0) {
        fprintf(stderr, "%s\n", why);
        result = error_result(error);
    } else {
        result = found_print(journal, &found);
        bool empty = !journal_meta(journal)->log[0] && !found.last && result == DATA_WHOLE;
        printf("result   %s\n", empty ? "no list is here" : words[result]);
    }
    journal_close(journal);
    log_close(log);
    return (int)result;
}
