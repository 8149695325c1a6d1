#include "replication/sender.h"
#include "clock.h"
#include "http/client.h"
#include "logline.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    CONNECT_MS = 2000,
    ATTEMPT_INTERVALS = 5,  /* heartbeat intervals of silence that end a link while an answer is due */
    EARLY_MS = 1000,        /* a greeting may overtake the answer to the registration by so much */
    ATTEMPT_MOST_MS = 60000 /* for a secondary that is alive and needs longer: the time doubles up to this */
};

/* What the loop calls a link that it was lent. */
static void lent_ready(struct loop_watch *watch, short revents);

struct sender {
    const struct sender_shared *shared;
    const char *name;
    pthread_t thread;
    int wake_fd;

    atomic_bool asleep; /* the thread waits on its link: sender_wake must write to wake_fd */
    atomic_bool ended;
    atomic_bool met;
    _Atomic int64_t seen_ms;

    pthread_mutex_t mutex;
    pthread_cond_t returned; /* the link is the thread's again, or the sender shall end */
    /* guarded by mutex; the flags are written under it and may be read without */
    struct sender_target target;
    struct acks_member *member; /* NULL once the sender was told to end: it records nothing more */
    atomic_bool renewed;
    atomic_bool ending;
    atomic_bool lent; /* the link belongs to the loop's thread, else to the sender's */
    int result;       /* why the loop gave the link back: 0, or the negative errno that it failed with */

    struct link link; /* see `lent` */

    /* the loop's thread alone */
    struct loop_watch watch;
    struct loop *loop; /* NULL: the link is not watched */
    short events;

    /* the sender's thread alone */
    int64_t pause_ms;
    int64_t attempt_ms;
    uint64_t stuck_at;     /* see struct link */
    uint64_t batch_bytes;  /* the same */
    int64_t registered_ms; /* when it was last seen that the secondary had registered */
    unsigned random;

    /* like the link */
    char complaint[sizeof((struct link *)0)->why]; /* what the last failure was logged as; "" when all is well
                                                    */
};

static void wake_write(struct sender *sender)
{
    uint64_t one = 1;
    while (write(sender->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void wake_read(struct sender *sender)
{
    uint64_t count;
    while (read(sender->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
}

bool sender_met(const struct sender *sender)
{
    return atomic_load(&sender->met);
}

int64_t sender_seen_ms(const struct sender *sender)
{
    return atomic_load(&sender->seen_ms);
}

bool sender_ended(const struct sender *sender)
{
    return atomic_load(&sender->ended);
}

/* ---- what both threads do with the link */

/* Returns whether waiters were released. */
static bool record_position(struct sender *sender)
{
    pthread_mutex_lock(&sender->mutex);
    bool counts = sender->member && !atomic_load(&sender->renewed);
    bool released = counts && acks_record(sender->shared->acks, sender->member, sender->link.position);
    pthread_mutex_unlock(&sender->mutex);
    return released;
}

/* Returns 1 where an ACK released waiters, else 0, or a negative errno where the link has failed. */
static int link_listen(struct sender *sender, int64_t now_ms)
{
    struct link *link = &sender->link;
    int told = link_receive(link, now_ms);
    if (told < 0)
        return told;
    if (link->heard_ms > sender_seen_ms(sender) && link->greeted)
        atomic_store(&sender->seen_ms, link->heard_ms);
    if (link->greeted && !atomic_exchange(&sender->met, true))
        sender->shared->wake(sender->shared->ctx);
    if (!told)
        return 0;
    if (link->progressed)
        sender->complaint[0] = '\0'; /* a greeting alone does not end a failure */
    return record_position(sender);
}

/* Returns 0, or a negative errno where the link has failed. */
static int link_use(struct sender *sender, int64_t now_ms)
{
    int result = link_send(&sender->link, now_ms);
    return result == 0 ? link_check(&sender->link, now_ms) : result;
}

/* ---- the loop's side */

/* Wakes the thread where it sleeps on its link: the list has grown. */
static void sender_wake(struct sender *sender)
{
    /* The list grew before this exchange; the thread says by another that it is asleep, and then looks at the
     * list. Of two exchanges the later one sees the earlier: either this finds the thread asleep, or the
     * thread what is new. */
    if (atomic_exchange(&sender->asleep, false))
        wake_write(sender);
}

/* The link is the thread's again. */
static void link_return(struct sender *sender, int result)
{
    if (sender->loop)
        loop_remove(sender->loop, &sender->watch);
    sender->loop = NULL;
    pthread_mutex_lock(&sender->mutex);
    sender->result = result;
    atomic_store(&sender->lent, false);
    pthread_cond_signal(&sender->returned);
    pthread_mutex_unlock(&sender->mutex);
}

static void lent_ready(struct loop_watch *watch, short revents)
{
    struct sender *sender = (struct sender *)((char *)watch - offsetof(struct sender, watch));
    int result = revents & ~POLLOUT ? link_listen(sender, loop_now_ms(sender->loop)) : 0;
    if (result < 0)
        link_return(sender, result);
}

static int lent_watch(struct sender *sender, struct loop *loop)
{
    sender->watch = (struct loop_watch){.fd = sender->link.fd, .ready = lent_ready};
    sender->events = link_events(&sender->link);
    int result = loop_add(loop, &sender->watch, sender->events);
    sender->loop = result == 0 ? loop : NULL;
    return result;
}

static void lent_want(struct sender *sender)
{
    short events = link_events(&sender->link);
    if (events != sender->events)
        loop_want(sender->loop, &sender->watch, events);
    sender->events = events;
}

int64_t sender_pass(struct sender *sender, struct loop *loop, int64_t now_ms, bool grown)
{
    if (!atomic_load(&sender->lent)) {
        if (grown)
            sender_wake(sender);
        return CLOCK_NEVER;
    }
    int result = sender->loop ? 0 : lent_watch(sender, loop);
    if (result == 0)
        result = link_use(sender, now_ms);
    if (result < 0) {
        link_return(sender, result);
        return CLOCK_NEVER;
    }
    lent_want(sender);
    return link_due_ms(&sender->link, now_ms);
}

void sender_renew(struct sender *sender, const struct sender_target *target)
{
    pthread_mutex_lock(&sender->mutex);
    sender->target = *target;
    atomic_store(&sender->renewed, true);
    pthread_mutex_unlock(&sender->mutex);
    if (atomic_load(&sender->lent))
        link_return(sender, 0);
    wake_write(sender);
}

void sender_end(struct sender *sender)
{
    pthread_mutex_lock(&sender->mutex);
    sender->member = NULL;
    atomic_store(&sender->ending, true);
    pthread_mutex_unlock(&sender->mutex);
    if (atomic_load(&sender->lent))
        link_return(sender, 0);
    wake_write(sender);
}

/* ---- the thread's side */

/* Whether the thread should leave what it is doing: to end, or to connect anew. */
static bool sender_called(const struct sender *sender)
{
    return atomic_load(&sender->ending) || atomic_load(&sender->renewed);
}

/* Sleeps until the link has something to say, the list grows, a time comes or somebody calls. Returns whether
 * there is something to receive. */
static bool session_wait(struct sender *sender)
{
    struct link *link = &sender->link;
    int64_t now_ms = clock_ms();
    int64_t due_ms = link_due_ms(link, now_ms);
    atomic_exchange(&sender->asleep, true); /* see sender_wake */
    if (link_has_work(link, now_ms) || sender_called(sender))
        due_ms = now_ms;
    struct pollfd polled[] = {{.fd = link->fd, .events = link_events(link)},
                              {.fd = sender->wake_fd, .events = POLLIN}};
    poll(polled, 2, clock_poll_timeout(now_ms, due_ms));
    if (!atomic_exchange(&sender->asleep, false) || polled[1].revents)
        wake_read(sender);
    return polled[0].revents & ~POLLOUT;
}

/* Lends the link to the loop's thread, and waits on the condition variable until it comes back. */
static int session_lend(struct sender *sender)
{
    pthread_mutex_lock(&sender->mutex);
    sender->result = 0;
    if (!sender_called(sender)) {
        atomic_store(&sender->lent, true);
        pthread_mutex_unlock(&sender->mutex);
        sender->shared->wake(sender->shared->ctx);
        pthread_mutex_lock(&sender->mutex);
    }
    while (atomic_load(&sender->lent))
        pthread_cond_wait(&sender->returned, &sender->mutex);
    int result = sender->result;
    pthread_mutex_unlock(&sender->mutex);
    return result;
}

/* Uses the link until it fails (the result) or the thread is called away (0): by itself until the secondary
 * has been sent all there is, lent to the loop from then on. */
static int session_run(struct sender *sender)
{
    bool readable = false;
    int result = 0;
    while (result == 0 && !sender_called(sender)) {
        int64_t now_ms = clock_ms();
        result = readable ? link_listen(sender, now_ms) : 0;
        if (result > 0)
            sender->shared->wake(sender->shared->ctx);
        if (result >= 0)
            result = link_use(sender, now_ms);
        if (result == 0 && link_is_current(&sender->link))
            return session_lend(sender);
        if (result == 0)
            readable = session_wait(sender);
    }
    return result;
}

/* What a link that ended teaches about the next one. */
static void session_learn(struct sender *sender, int result)
{
    bool stuck = result == -EPROTO && sender->link.greeted && !sender->link.progressed;
    sender->stuck_at = stuck ? sender->link.position : UINT64_MAX;
    /* A link that was given up says nothing about what it can carry. */
    sender->batch_bytes = result < 0 ? link_next_batch(&sender->link) : sender->link.batch_bytes;
    int64_t least_ms = ATTEMPT_INTERVALS * sender->shared->link.heartbeat_ms;
    if (least_ms < LINK_ATTEMPT_MS)
        least_ms = LINK_ATTEMPT_MS;
    if (sender->link.progressed) {
        sender->pause_ms = SENDER_PAUSE_LEAST_MS;
        sender->attempt_ms = least_ms;
    } else if (result == -ETIMEDOUT && sender->link.greeted) {
        sender->attempt_ms *= 2; /* it lives, and needs longer for its answer */
    }
    if (sender->attempt_ms < least_ms)
        sender->attempt_ms = least_ms;
    if (sender->attempt_ms > ATTEMPT_MOST_MS)
        sender->attempt_ms = ATTEMPT_MOST_MS;
}

/* Connects and uses the link. Returns as session_run does, with link.why filled. */
static int session(struct sender *sender)
{
    struct sender_target target;
    pthread_mutex_lock(&sender->mutex);
    target = sender->target;
    pthread_mutex_unlock(&sender->mutex);
    int fd = http_connect(&target.url, NULL, clock_ms() + CONNECT_MS, sender->wake_fd);
    if (fd < 0) {
        snprintf(sender->link.why, sizeof sender->link.why, "cannot connect to %s port %u: %s",
                 target.url.host, target.url.port, strerror(-fd));
        return fd == -ECANCELED ? 0 : fd;
    }
    link_open(&sender->link, &sender->shared->link, sender->name, &target.url, target.run, fd,
              sender->attempt_ms, clock_ms());
    sender->link.stuck_at = sender->stuck_at;
    sender->link.batch_bytes = sender->batch_bytes;
    int result = session_run(sender);
    session_learn(sender, result);
    link_close(&sender->link);
    return result;
}

/* Whether the secondary refused the greeting because it has not read the answer to its registration yet. */
static bool greeted_early(const struct sender *sender, int result)
{
    return result == -EPROTO && sender->link.status == 409 && !sender->link.greeted &&
           clock_ms() - sender->registered_ms < EARLY_MS;
}

/* Says once what is wrong, and again only when it is something else. */
static void complain(struct sender *sender, int result)
{
    if (greeted_early(sender, result)) {
        logline(LOGLINE_DEBUG, "%s: %s; trying again", sender->name, sender->link.why);
        return;
    }
    bool said = strcmp(sender->complaint, sender->link.why) == 0;
    logline(said ? LOGLINE_DEBUG : LOGLINE_WARN, "%s: %s; trying again", sender->name, sender->link.why);
    snprintf(sender->complaint, sizeof sender->complaint, "%s", sender->link.why);
}

/* Between half of the present pause and all of it, so that senders do not march in step. */
static void sender_pause(struct sender *sender)
{
    int64_t half_ms = sender->pause_ms / 2;
    int64_t until_ms = clock_ms() + half_ms + rand_r(&sender->random) % (half_ms + 1);
    while (!sender_called(sender) && clock_ms() < until_ms) {
        struct pollfd polled = {.fd = sender->wake_fd, .events = POLLIN};
        if (poll(&polled, 1, clock_poll_timeout(clock_ms(), until_ms)) > 0)
            wake_read(sender);
    }
    sender->pause_ms =
        sender->pause_ms * 2 < SENDER_PAUSE_MOST_MS ? sender->pause_ms * 2 : SENDER_PAUSE_MOST_MS;
}

static void *sender_thread(void *arg)
{
    struct sender *sender = arg;
    while (!atomic_load(&sender->ending)) {
        wake_read(sender);
        if (atomic_exchange(&sender->renewed, false)) {
            sender->pause_ms = SENDER_PAUSE_LEAST_MS;
            sender->registered_ms = clock_ms();
        }
        if (atomic_load(&sender->ending))
            break;
        int result = session(sender);
        if (result < 0) {
            complain(sender, result);
            sender_pause(sender);
        }
    }
    atomic_store(&sender->ended, true);
    return NULL;
}

struct sender *sender_start(const struct sender_shared *shared, const char *name,
                            const struct sender_target *target, struct acks_member *member)
{
    struct sender *sender = calloc(1, sizeof *sender);
    if (!sender)
        return NULL;
    sender->shared = shared;
    sender->name = name;
    sender->member = member;
    sender->target = *target;
    sender->pause_ms = SENDER_PAUSE_LEAST_MS;
    sender->registered_ms = clock_ms();
    sender->random = (unsigned)clock_us();
    atomic_store(&sender->seen_ms, clock_ms());
    pthread_mutex_init(&sender->mutex, NULL);
    pthread_cond_init(&sender->returned, NULL);
    session_learn(sender, 0);
    sender->batch_bytes = LINK_BATCH_BYTES;
    sender->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (sender->wake_fd >= 0 && pthread_create(&sender->thread, NULL, sender_thread, sender) == 0)
        return sender;
    if (sender->wake_fd >= 0)
        close(sender->wake_fd);
    pthread_mutex_destroy(&sender->mutex);
    pthread_cond_destroy(&sender->returned);
    free(sender);
    return NULL;
}

void sender_free(struct sender *sender)
{
    pthread_join(sender->thread, NULL);
    close(sender->wake_fd);
    pthread_mutex_destroy(&sender->mutex);
    pthread_cond_destroy(&sender->returned);
    free(sender);
}
