/* The disks of a schedule. It brings the functions of src/log/disk.h: files and a directory with two states,
 * as the processes see them and as they are on the platters.
 *
 * What a process that is killed has written stays as it is. A power cut leaves what is on the platters: of
 * each write that was not synced all, a part, or nothing, in no order; names that were made, renamed or
 * removed since the directory was synced may be as they were before. A sync that fails has written some of
 * it, and no later one writes the rest. No call fails in reading, and nothing that was synced is ever lost:
 * no drive is damaged. */
#ifndef SIMULATOR_DRIVE_H
#define SIMULATOR_DRIVE_H

#include <stdbool.h>
#include <stdint.h>

struct drive;

void drives_begin(void);
void drives_end(void);

/* No drive has faults any more, and all are quick. */
void drives_mend(void);

/* The drive whose directory has that path: made where there is none. */
struct drive *drive_at(const char *path);

/* Its process dies within so many calls: what comes later does nothing, and fails. */
void drive_expire(struct drive *drive, unsigned calls);

/* Its process is dead: nobody has the lock, and the descriptors are worth nothing. */
void drive_leave(struct drive *drive);

/* The power is cut; the process is dead. */
void drive_cut(struct drive *drive);

/* A person moves the directory away. */
void drive_empty(struct drive *drive);

/* Until then nothing that is there grows. */
void drive_fill(struct drive *drive, int64_t until_us);

/* One of the next calls that write or sync fails. */
void drive_fail(struct drive *drive);

/* Whether a call of this process has failed, for want of room or by drive_fail. */
bool drive_troubled(const struct drive *drive);

/* How long a job takes that begins now. */
int64_t drive_job_us(void);

/* `copy` gets what a power cut would leave that lost all it may. */
void drive_worst(const struct drive *drive, struct drive *copy);

#endif
