/* What a schedule stands on: its random numbers, its time, what is to happen when, and memory that lasts as
 * long as it does. All follows from one seed. One schedule at a time, one thread. */
#ifndef SIMULATOR_WORLD_H
#define SIMULATOR_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void world_begin(uint64_t seed, bool verbose);

/* What is still to happen is forgotten. */
void world_end(void);

/* ---- random numbers */

/* From 0 to n - 1; n is not 0. */
unsigned random_below(unsigned n);

/* From least to most, both included. */
int64_t random_between(int64_t least, int64_t most);

bool random_percent(unsigned percent);

/* ---- time */

int64_t world_now_us(void);

/* Calls run(subject, object) so much later. What is due at one time happens in the order of these calls. */
void world_after(int64_t after_us, void (*run)(void *subject, void *object), void *subject, void *object);

/* Goes to the time of the next thing and lets it happen. Returns false where there is none up to until_us: it
 * is that time now. */
bool world_step(int64_t until_us);

/* ---- memory, zeroed, until world_end */

void *world_alloc(size_t size);
char *world_copy(const void *bytes, size_t len); /* terminated */

/* ---- words */

bool world_verbose(void);

/* Whose line the next ones are; "" for nobody's. */
void world_speaker(const char *name);

/* A line of the trace. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A rule is broken: tells the seed and ends the process. */
_Noreturn void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
