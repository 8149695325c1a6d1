/* Waiting for something that becomes true, and giving up loudly.
 *
 *     eventually(SOON, node_logged(master, "registered s1"));
 *     always(300, shows(secondary, "m1"));
 *
 * A limit only costs time where a test fails, so it may be large. */
#ifndef TEST_EVENTUALLY_H
#define TEST_EVENTUALLY_H

#include <stdint.h>

enum { SOON = 20000 }; /* the limit in ms of whatever says nothing of speed */

/* Monotonic milliseconds. */
int64_t now_ms(void);

void nap_ms(int ms);

/* Begins to watch how long the machine stands still, on a thread of its own: a test that shares it with
 * others cannot hold a program to a time in which nobody ran. */
void stalls_watch(void);

/* A limit, and as much more as the machine has stood still since stalls_watch. */
int late(int limit_ms);

/* Ends the test: the sentence and what every node has logged go to standard error, then the process aborts.
 * Any thread. */
_Noreturn void trouble(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Called by trouble() before it aborts; node.c prints the nodes' log lines there. */
extern void (*trouble_more)(void);

/* Waits until the condition, asked again and again, is true: for limit_ms at most. */
#define eventually(limit_ms, condition)                                                                      \
    do {                                                                                                     \
        int64_t eventually_until = now_ms() + (limit_ms);                                                    \
        while (!(condition)) {                                                                               \
            if (now_ms() > eventually_until)                                                                 \
                trouble("%s:%d: did not happen within %d ms: %s", __FILE__, __LINE__, (int)(limit_ms),       \
                        #condition);                                                                         \
            nap_ms(5);                                                                                       \
        }                                                                                                    \
    } while (0)

/* Sees that the condition stays true for so long. */
#define always(time_ms, condition)                                                                           \
    do {                                                                                                     \
        int64_t always_until = now_ms() + (time_ms);                                                         \
        do {                                                                                                 \
            if (!(condition))                                                                                \
                trouble("%s:%d: was to stay true for %d ms: %s", __FILE__, __LINE__, (int)(time_ms),         \
                        #condition);                                                                         \
            nap_ms(5);                                                                                       \
        } while (now_ms() < always_until);                                                                   \
    } while (0)

#endif
