#include "world.h"
#include "clock.h"
#include "logline.h"
#include "replication/wire.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 65536,
    STEPS_MAX = 400000, /* of a schedule: more is a circle without end */
    ARENA_BYTES = 64 * 1024 * 1024
};

struct event {
    int64_t at_us;
    uint64_t order;
    void (*run)(void *subject, void *object);
    void *subject, *object;
};

static struct {
    uint64_t seed, random;
    int64_t now_us;
    uint64_t order;
    unsigned steps;
    bool verbose;
    const char *speaker;
    struct event events[EVENTS_MAX]; /* a heap */
    unsigned count;
    char *arena;
    size_t used;
} world;

void world_begin(uint64_t seed, bool verbose)
{
    if (!world.arena && !(world.arena = malloc(ARENA_BYTES)))
        abort();
    world.seed = world.random = seed;
    world.verbose = verbose;
    world.speaker = "";
    world.order = world.steps = world.count = 0;
    world.now_us = 1000000 + random_between(0, 1000000);
}

void world_end(void)
{
    world.count = 0;
    world.used = 0;
}

/* ---- random numbers: splitmix64 */

static uint64_t random_next(void)
{
    uint64_t z = world.random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

unsigned random_below(unsigned n)
{
    return (unsigned)((random_next() >> 32) * n >> 32);
}

int64_t random_between(int64_t least, int64_t most)
{
    return least + (int64_t)(random_next() % (uint64_t)(most - least + 1));
}

bool random_percent(unsigned percent)
{
    return percent && random_below(100) < percent;
}

void wire_name_new(char out[WIRE_NAME_SIZE])
{
    snprintf(out, WIRE_NAME_SIZE, "%016" PRIx64 "%016" PRIx64, random_next(), random_next());
}

/* ---- time */

int64_t world_now_us(void)
{
    return world.now_us;
}

int64_t clock_us(void)
{
    return world.now_us;
}

int64_t clock_suspended_ms(void)
{
    return 0;
}

int64_t clock_ms(void)
{
    return world.now_us / 1000;
}

int64_t clock_after(int64_t now_ms, int64_t after_ms)
{
    return after_ms > CLOCK_NEVER - now_ms ? CLOCK_NEVER : now_ms + after_ms;
}

static bool comes_before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void world_after(int64_t after_us, void (*run)(void *subject, void *object), void *subject, void *object)
{
    if (world.count == EVENTS_MAX)
        broken("there is no end of what is to happen");
    struct event event = {world.now_us + after_us, world.order++, run, subject, object};
    unsigned at = world.count++;
    for (; at > 0 && comes_before(&event, &world.events[(at - 1) / 2]); at = (at - 1) / 2)
        world.events[at] = world.events[(at - 1) / 2];
    world.events[at] = event;
}

static struct event event_take(void)
{
    struct event first = world.events[0];
    struct event last = world.events[--world.count];
    unsigned at = 0;
    for (;;) {
        unsigned child = 2 * at + 1;
        if (child >= world.count)
            break;
        if (child + 1 < world.count && comes_before(&world.events[child + 1], &world.events[child]))
            child++;
        if (!comes_before(&world.events[child], &last))
            break;
        world.events[at] = world.events[child];
        at = child;
    }
    world.events[at] = last;
    return first;
}

bool world_step(int64_t until_us)
{
    if (!world.count || world.events[0].at_us > until_us) {
        world.now_us = until_us;
        return false;
    }
    if (++world.steps > STEPS_MAX)
        broken("it goes in a circle");
    struct event event = event_take();
    world.now_us = event.at_us;
    event.run(event.subject, event.object);
    return true;
}

/* ---- memory */

void *world_alloc(size_t size)
{
    size_t whole = (size + 15) / 16 * 16;
    if (whole > ARENA_BYTES - world.used)
        broken("a schedule takes too much memory");
    void *memory = world.arena + world.used;
    world.used += whole;
    return memset(memory, 0, size);
}

char *world_copy(const void *bytes, size_t len)
{
    char *copy = world_alloc(len + 1);
    if (len)
        memcpy(copy, bytes, len);
    return copy;
}

/* ---- words */

bool world_verbose(void)
{
    return world.verbose;
}

void world_speaker(const char *name)
{
    world.speaker = name;
}

static __attribute__((format(printf, 1, 0))) void say(const char *format, va_list args)
{
    printf("%9.4f %-9s ", (double)world.now_us / 1e6, world.speaker);
    vprintf(format, args);
    putchar('\n');
}

void trace(const char *format, ...)
{
    va_list args;
    if (!world.verbose)
        return;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

bool logline_on(enum logline_level level)
{
    (void)level;
    return world.verbose;
}

uint64_t logline_lost(void)
{
    return 0;
}

bool logline_has_fields(void)
{
    return false;
}

void logline_event(enum logline_level level, const char *word, const struct log_field *fields,
                   const char *format, ...)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    char text[LOGLINE_EVENT_MAX];
    va_list args;
    (void)word;
    (void)fields;
    if (!world.verbose)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    trace("%s %s", names[level], text);
}

void broken(const char *format, ...)
{
    va_list args;
    fflush(stdout);
    printf("SEED=%" PRIu64 " after %.3f s: ", world.seed, (double)world.now_us / 1e6);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf(" (make simulate SEED=%" PRIu64 " V=1 tells all)\n", world.seed);
    fflush(stdout);
    _exit(1);
}
