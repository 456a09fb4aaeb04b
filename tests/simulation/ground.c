/* What the programs stand on, in place of the system's: clock, timers, chance, messages between threads, the log. The linker leads them here. */
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/h2o.h"
#include "runtime/log.h"
#include "runtime/timer.h"
#include "tests/simulation/ground.h"
#include "tests/simulation/schedule.h"
#include "tests/simulation/trace.h"

static struct chance programs; /* what they draw themselves */

void ground_reset(uint64_t seed)
{
    programs.state = seed;
}

/* ---- clock and timers ---- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    uint64_t us = schedule_read_us();
    (void)clock;
    *out = (struct timespec){.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    return 0;
}

/* Its place in the schedule stands where libh2o would link it. */
static struct due *due_of(const struct timer *timer)
{
    return (struct due *)timer->entry._link.next;
}

void timer_init(struct timer *timer, h2o_loop_t *loop, void (*cb)(void *data), void *data)
{
    struct due *due = malloc(sizeof(*due));
    *due = (struct due){.run = cb, .data = data, .on = thread_now};
    *timer = (struct timer){.loop = loop, .cb = cb, .data = data};
    timer->entry._link.next = (h2o_linklist_t *)due;
}

void timer_start(struct timer *timer, uint64_t ms)
{
    schedule_after(due_of(timer), ms == 0 ? 1000 : ms * 1000);
}

void timer_stop(struct timer *timer)
{
    schedule_cancel(due_of(timer));
}

bool timer_running(const struct timer *timer)
{
    return schedule_waits(due_of(timer));
}

void timer_dispose(struct timer *timer)
{
    timer_stop(timer);
    free(due_of(timer));
}

/* ---- chance ---- */

void __wrap_arc4random_buf(void *out, size_t n);
void __wrap_arc4random_buf(void *out, size_t n)
{
    for (char *p = out; n != 0; ++p, --n)
        *p = (char)chance_next(&programs);
}

uint32_t __wrap_arc4random(void);
uint32_t __wrap_arc4random(void)
{
    return (uint32_t)chance_next(&programs);
}

uint32_t __wrap_arc4random_uniform(uint32_t n);
uint32_t __wrap_arc4random_uniform(uint32_t n)
{
    return (uint32_t)chance_below(&programs, n);
}

/* ---- messages between threads ---- */

/* What was sent and has not come yet. */
struct mailbox {
    h2o_multithread_receiver_t *receiver;
    struct due due;
};

static void deliver(void *data)
{
    struct mailbox *mailbox = data;
    h2o_linklist_t messages;
    h2o_linklist_init_anchor(&messages);
    h2o_linklist_insert_list(&messages, &mailbox->receiver->_messages);
    mailbox->receiver->cb(mailbox->receiver, &messages);
}

/* A queue stands for its thread, which calls. */
void h2o_multithread_register_receiver(h2o_multithread_queue_t *queue, h2o_multithread_receiver_t *receiver,
                                       h2o_multithread_receiver_cb cb)
{
    struct mailbox *mailbox = malloc(sizeof(*mailbox));
    *mailbox = (struct mailbox){receiver, {.run = deliver, .data = mailbox, .on = (struct thread *)queue}};
    *receiver = (h2o_multithread_receiver_t){.queue = (h2o_multithread_queue_t *)mailbox, .cb = cb};
    h2o_linklist_init_anchor(&receiver->_messages);
}

void h2o_multithread_send_message(h2o_multithread_receiver_t *receiver, h2o_multithread_message_t *message)
{
    struct mailbox *mailbox = (struct mailbox *)receiver->queue;
    h2o_linklist_insert(&receiver->_messages, &message->link);
    if (!schedule_waits(&mailbox->due))
        schedule_after(&mailbox->due, chance_below(&chance_of_order, mailbox->due.on->pace_us * 2 + 1));
}

/* ---- the log ---- */

bool __wrap_log_wants(enum log_level level);
bool __wrap_log_wants(enum log_level level)
{
    (void)level;
    return trace_on;
}

bool __wrap_log_allowed(struct log_limit *limit);
bool __wrap_log_allowed(struct log_limit *limit)
{
    (void)limit;
    return trace_on;
}

bool __wrap_log_budget_take(struct log_budget *budget, int64_t *left_out);
bool __wrap_log_budget_take(struct log_budget *budget, int64_t *left_out)
{
    (void)budget;
    *left_out = 0;
    return trace_on;
}

void __wrap_log_write(enum log_level level, const char *msg, const struct log_field *fields);
void __wrap_log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
    char line[1024];
    size_t n = (size_t)snprintf(line, sizeof(line), "log: %s", msg);
    (void)level;
    if (!trace_on)
        return;
    for (const struct log_field *field = fields + 1; field->key != NULL && n < sizeof(line); ++field)
        n += field->kind == LOG_INT
                 ? (size_t)snprintf(line + n, sizeof(line) - n, " %s=%lld", field->key, (long long)field->num)
                 : (size_t)snprintf(line + n, sizeof(line) - n, " %s=%.*s", field->key, (int)field->str.n, field->str.p);
    trace("%s", line);
}
