/* The feed between its workers and the bus: who hears what, in which order, and what every request is answered. The bus, the histories, the timers and the workers are this file. */
#include "gateway/feed/feed.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/feed/uplink.h"
#include "gateway/messages.h"
#include "proto/bus/channel_slot.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "tests/unit/fake_history.h"
#include "tests/unit/moving_clock.h"

enum { WORKERS = 2, SUBSCRIPTIONS = 26, WAITS = 8, TIMERS = 8 };

/* ---- the bus ---- */

static struct uplinks_options bus;
static struct clock_steps steps, moves;
static struct uplink uplinks[2];
static struct uplink *home; /* of all channels; NULL: no shard has them */
static size_t under_way;
static bool up, settled;
static uint64_t heard_us; /* all that was published before has come */

static struct {
    char name[CHANNEL_NAME_MAX + 1];
    struct subscription *subscription;
    struct uplink *uplink;
} subscriptions[SUBSCRIPTIONS];

static struct canary_wait *waits[WAITS];
static size_t wait_count;
static unsigned doubts; /* how often a clock was to be read */

static void on_clock_doubt(void *data)
{
    (void)data;
    ++doubts;
}

struct uplinks *uplinks_open(const struct uplinks_options *options)
{
    bus = *options;
    return (struct uplinks *)&bus;
}

struct uplink *uplinks_of(const struct uplinks *of, uint16_t slot)
{
    (void)of, (void)slot;
    return home;
}

bool uplinks_ready(const struct uplinks *of)
{
    (void)of;
    return up;
}

size_t uplinks_under_way(const struct uplinks *of)
{
    (void)of;
    return under_way;
}

const char *uplinks_why(struct uplinks *of)
{
    (void)of;
    return up ? NULL : "away";
}

bool uplink_settled(const struct uplink *uplink, uint64_t now_us)
{
    (void)uplink, (void)now_us;
    return settled;
}

bool uplink_heard(const struct uplink *uplink, uint64_t since_us)
{
    (void)uplink;
    return since_us <= heard_us;
}

bool uplinks_settled(const struct uplinks *of, uint64_t now_us)
{
    (void)of, (void)now_us;
    return settled;
}

uint64_t uplinks_margin_ms(const struct uplinks *of)
{
    (void)of;
    return 2000;
}

void uplinks_publish(struct uplinks *of, struct slice channel, struct slice text)
{
    (void)of, (void)channel, (void)text;
}

struct uplink *uplinks_first(const struct uplinks *of)
{
    (void)of;
    return uplinks;
}

static int index_of(struct slice channel)
{
    for (int i = 0; i < SUBSCRIPTIONS; ++i)
        if (slice_eq(slice_of(subscriptions[i].name), channel))
            return i;
    return -1;
}

static struct subscription *subscription_of(const char *channel)
{
    int i = index_of(slice_of(channel));
    return i < 0 ? NULL : subscriptions[i].subscription;
}

void uplink_subscribe(struct uplink *uplink, struct slice channel, struct subscription *subscription)
{
    int i = index_of(SLICE(""));
    memcpy(subscriptions[i].name, channel.p, channel.n);
    subscriptions[i].subscription = subscription;
    subscriptions[i].uplink = uplink;
}

void uplink_unsubscribe(struct uplink *uplink, struct slice channel)
{
    (void)uplink;
    memset(&subscriptions[index_of(channel)], 0, sizeof(subscriptions[0]));
}

void canary_barrier(struct canary *canary, struct canary_wait *wait)
{
    (void)canary;
    waits[wait_count++] = wait;
}

static void run_barriers(void)
{
    while (wait_count != 0) {
        struct canary_wait *wait = waits[--wait_count];
        wait->cb(wait->data);
    }
}

/* ---- libh2o's loop ---- */

static struct timer *timers[TIMERS]; /* that run */

static int timer_at(const struct timer *timer)
{
    int i = 0;
    while (i < TIMERS && timers[i] != timer)
        ++i;
    return i;
}

void timer_init(struct timer *timer, h2o_loop_t *loop, void (*cb)(void *data), void *data)
{
    *timer = (struct timer){.loop = loop, .cb = cb, .data = data};
}

void timer_stop(struct timer *timer)
{
    if (timer_running(timer))
        timers[timer_at(timer)] = NULL;
}

void timer_start(struct timer *timer, uint64_t ms)
{
    (void)ms;
    if (!timer_running(timer))
        timers[timer_at(NULL)] = timer;
}

bool timer_running(const struct timer *timer)
{
    return timer_at(timer) < TIMERS;
}

static void run_timers(void)
{
    for (int i = 0; i < TIMERS; ++i) {
        struct timer *timer = timers[i];
        timers[i] = NULL;
        if (timer != NULL)
            timer->cb(timer->data);
    }
}

void h2o_multithread_register_receiver(h2o_multithread_queue_t *queue, h2o_multithread_receiver_t *receiver,
                                       h2o_multithread_receiver_cb cb)
{
    (void)queue;
    receiver->cb = cb;
}

/* ---- the workers ---- */

static char told[WORKERS][512]; /* what each was told, in order */
static h2o_multithread_receiver_t receivers[WORKERS];
static struct feed_request *page; /* the last one that came with a page */
static struct feed *feed, *feeds[16]; /* there is no end to a feed */
static size_t feed_count;
static char locals[WORKERS][SUBSCRIPTIONS]; /* as struct hub_channel, which the feed only hands back */

static struct hub_channel *local_of(uint32_t worker, const char *channel)
{
    return (struct hub_channel *)&locals[worker][channel[0] - 'a'];
}

__attribute__((format(printf, 2, 3))) static void note(uint32_t worker, const char *fmt, ...)
{
    va_list args;
    size_t n = strlen(told[worker]);
    va_start(args, fmt);
    vsnprintf(told[worker] + n, sizeof(told[worker]) - n, fmt, args);
    va_end(args);
}

static void note_frames(uint32_t worker, const struct feed_update *update)
{
    for (uint32_t i = 0; i < update->page.count; ++i)
        fake_note(told[worker], sizeof(told[worker]), update->page.frames[i]);
}

static void take(uint32_t worker, struct feed_update *update)
{
    switch (update->kind) {
    case UPDATE_EVENT:
        note(worker, "%s%s", (size_t)((char *)update->event.channel - locals[worker]) < SUBSCRIPTIONS ? "" : "another worker's ",
             update->event.unsettled ? "?" : "");
        if (update->event.frame->kind == FRAME_END)
            note(worker, "end ");
        else
            note(worker, "%u ", (unsigned)update->event.frame->at.ms);
        break;
    case UPDATE_PAGE:
        note(worker, "page ");
        note_frames(worker, update);
        page = update->request;
        update->request = NULL;
        break;
    case UPDATE_WELCOME:
        note(worker, "welcome%d ", (int)(intptr_t)update->request->subscriber);
        note_frames(worker, update);
        break;
    case UPDATE_REFUSED:
        note(worker, "refused%d:%d ", (int)(intptr_t)update->request->subscriber, update->refused.why->status);
        break;
    case UPDATE_CHANNEL_REFUSED:
        note(worker, "channel:%d ", update->refused.why->status);
        break;
    case UPDATE_LEFT:
        note(worker, "left ");
        break;
    }
    feed_update_free(update);
}

static void on_updates(h2o_multithread_receiver_t *receiver, h2o_linklist_t *received)
{
    h2o_linklist_t updates;
    h2o_linklist_init_anchor(&updates);
    outbox_unpack(received, &updates);
    while (!h2o_linklist_is_empty(&updates)) {
        struct feed_update *update = H2O_STRUCT_FROM_MEMBER(struct feed_update, super.link, updates.next);
        h2o_linklist_unlink(&update->super.link);
        take((uint32_t)(receiver - receivers), update);
    }
}

static void turn(void)
{
    while (feed_take_requests(feed))
        continue;
    feed_turn(feed);
}

/* The feed has it in its inbox, and takes it in its next turn. */
static void put(struct feed_request *request)
{
    struct outbox outbox = {.to = feed_requests(feed), .local = true};
    outbox_put(&outbox, &request->super);
    outbox_send(&outbox);
}

static void post(struct feed_request *request)
{
    put(request);
    turn();
}

/* Of these channels, each named by one letter. */
static struct feed_request *request_of(uint32_t worker, const char *channels)
{
    struct feed_request *request = feed_request_create((uint32_t)strlen(channels));
    request->worker = worker;
    for (uint32_t i = 0; i < request->count; ++i)
        request->channels[i] =
            (struct requested_channel){.local = local_of(worker, channels + i), .name = slice_make(channels + i, 1)};
    return request;
}

/* Stream number `stream` of this worker opens; `after`: the event of the first channel that it resumes after, 0: it is fresh. */
static struct feed_request *open_stream(uint32_t worker, int stream, const char *channels, uint64_t after)
{
    char id[EVENT_ID_LEN + 1];
    struct feed_request *request = request_of(worker, channels);
    event_id_format(id, slice_make(channels, 1), fake_at(after));
    request->kind = REQUEST_JOIN;
    request->subscriber = (struct subscriber *)(intptr_t)stream;
    request->mode = after == 0 ? START_FRESH : START_RESUME;
    request->resume_id = after == 0 ? NULL : strdup(id);
    request->asked_ms = monotonic_ms();
    post(request);
    return request;
}

static void leave(uint32_t worker, const char *channels)
{
    struct feed_request *request = request_of(worker, channels);
    request->kind = REQUEST_LEAVE;
    post(request);
}

static void cancel(struct feed_request *cancelled)
{
    struct feed_request *request = feed_request_create(0);
    request->kind = REQUEST_CANCEL;
    request->cancelled = feed_request_hold(cancelled);
    atomic_store(&cancelled->abandoned, true);
    post(request);
}

static void answer_reads(void)
{
    do
        turn();
    while (fake_answer(NULL));
}

static void confirm(const char *channel)
{
    struct subscription *subscription = subscription_of(channel);
    subscription->events->on_subscribed(subscription);
    answer_reads();
}

static void publish(const char *channel, uint64_t event)
{
    struct subscription *subscription = subscription_of(channel);
    struct slice payload = fake_publish(fake_stream(slice_of(channel)), event);
    if (subscription != NULL)
        subscription->events->on_message(subscription, payload);
    turn();
}

/* What worker 0 was told since the last call. */
static void told_is(const char *want, const char *fact)
{
    check_slice(slice_of(told[0]), slice_of(want), "%s", fact);
    told[0][0] = told[1][0] = 0;
}

static void start(size_t max_channels)
{
    static h2o_multithread_receiver_t *const to[WORKERS] = {&receivers[0], &receivers[1]};
    memset(&fake, 0, sizeof(fake));
    memset(subscriptions, 0, sizeof(subscriptions));
    memset(timers, 0, sizeof(timers));
    fake.now_ms = 2000;
    fake.born_ms = 1;
    steps = (struct clock_steps){.known = true, .most_ms = 2000 - (int64_t)monotonic_ms()};
    steps.least_ms = steps.most_ms;
    for (int i = 0; i < 2; ++i) {
        uplinks[i] = (struct uplink){.canary = (struct canary *)&uplinks[i],
                                     .shard = {.commands = (struct redis *)&fake,
                                               .history = &fake,
                                               .clock_known = true,
                                               .steps = &steps,
                                               .doubts = &moves,
                                               .leases = &uplinks[i].leases,
                                               .on_clock_doubt = on_clock_doubt,
                                               .proven_ms = 1900,
                                               .born_ms = 1,
                                               .seen_ms = 1900}};
    }
    home = &uplinks[0];
    up = settled = true;
    heard_us = UINT64_MAX;
    under_way = 0;
    doubts = 0;
    for (int w = 0; w < WORKERS; ++w)
        receivers[w].cb = on_updates;
    told[0][0] = told[1][0] = 0;
    feeds[feed_count++] = feed = feed_open(&(struct feed_options){.ring_frames = 4,
                                                                  .ring_bytes = 1 << 20,
                                                                  .ring_memory = 1 << 20,
                                                                  .workers = to,
                                                                  .worker_count = WORKERS,
                                                                  .max_channels = max_channels,
                                                                  .local = true});
}

static void test_stream(void)
{
    start(0);
    open_stream(0, 1, "a", 0);
    told_is("", "a stream waits until its channel is subscribed");
    check(subscription_of("a") != NULL, "… at its shard");
    confirm("a");
    told_is("welcome1 ", "then it is welcome");
    publish("a", 1);
    told_is("1 ", "and what is published comes");
    open_stream(0, 2, "a", 0);
    told_is("welcome2 ", "a second one is welcome at once");
    publish("a", 2);
    told_is("2 ", "a worker is told of each event once, whatever streams it has");
    open_stream(1, 3, "a", 1);
    answer_reads();
    check_slice(slice_of(told[1]), SLICE("welcome3 2 "), "another worker's stream resumes from memory");
    told_is("", "… which concerns this one not at all");
    publish("a", 3);
    check_slice(slice_of(told[1]), SLICE("3 "), "both workers hear what comes");
    told_is("3 ", "…");
    leave(0, "a");
    publish("a", 4);
    check_slice(slice_of(told[1]), SLICE("4 "), "the other one goes on to hear");
    told_is("left ", "who left hears no more");
    check(subscription_of("a") != NULL, "the other still does");
    leave(1, "a");
    check(subscription_of("a") == NULL && feed_room(feed) == SIZE_MAX, "with the last worker the subscription goes");
}

/* Whoever knows that the channel is subscribed may publish: a fresh stream gets that, though its channel is still being read. */
static void test_fresh(void)
{
    start(0);
    publish("a", 1);
    open_stream(0, 1, "a", 0);
    struct subscription *subscription = subscription_of("a");
    subscription->events->on_subscribed(subscription);
    fake_execute_all();
    publish("a", 2);
    told_is("", "an event comes while the answer with those before it is on the way");
    answer_reads();
    told_is("welcome1 2 ", "a fresh stream begins before it");
    leave(0, "a");
}

static void test_several(void)
{
    start(0);
    open_stream(0, 1, "ab", 0);
    confirm("a");
    told_is("", "a stream of two channels waits for both");
    confirm("b");
    told_is("welcome1 ", "…");
    publish("a", 1);
    publish("b", 2);
    told_is("1 2 ", "and hears both");
    subscription_of("a")->events->on_unsubscribed(subscription_of("a"));
    publish("b", 3);
    told_is("?3 ", "while one has lost its subscription, events of the others are not settled");
    confirm("a");
    publish("b", 4);
    told_is("4 ", "… until it is back");
    settled = false;
    open_stream(0, 2, "ab", 0);
    told_is("welcome2 ", "of one shard, its own order is enough");
    leave(0, "ab");
    settled = true;
}

static void test_refusals(void)
{
    start(2);
    open_stream(0, 1, "abc", 0);
    told_is("refused1:503 ", "more channels than there may be are refused");
    open_stream(0, 2, "ab", 0);
    check(feed_room(feed) == 0 && !feed_promise(feed, 1), "what there may be is counted");
    subscription_of("b")->events->on_refused(subscription_of("b"), "no right");
    turn();
    told_is("channel:403 ", "a channel that may not be subscribed is refused to its open streams");
    confirm("a");
    told_is("refused2:403 ", "… and to those that wait");
    open_stream(0, 3, "b", 0);
    told_is("refused3:403 ", "… and to those that come");
    leave(0, "ab");
    check(feed_room(feed) == 2, "until they are gone");
    told_is("left ", "…");
    open_stream(0, 4, "b", 0);
    confirm("b");
    told_is("welcome4 ", "a new one may have it");
    leave(0, "b");
}

static void test_cancel(void)
{
    start(0);
    struct feed_request *request = open_stream(0, 1, "a", 0);
    cancel(request);
    told_is("refused1:503 ", "a stream whose client is gone is answered at once");
    confirm("a");
    told_is("", "and not welcome later");
    under_way = SIZE_MAX;
    request = open_stream(0, 2, "b", 0);
    check(subscription_of("b") == NULL, "while the bus is busy, new channels wait");
    cancel(request);
    told_is("refused2:503 ", "… and so does nobody who is gone");
    request = open_stream(0, 3, "c", 0);
    under_way = 0;
    run_timers();
    turn();
    confirm("c");
    told_is("welcome3 ", "they come when it is not busy any more");
    leave(0, "ac");
}

static void fill(const char *channel, uint64_t events)
{
    for (uint64_t event = 1; event <= events; ++event)
        fake_publish(fake_stream(slice_of(channel)), event);
}

static void test_pages(void)
{
    start(0);
    fill("a", 9);
    open_stream(0, 1, "a", 1);
    fake.page_most = 3;
    confirm("a");
    told_is("page 2 3 ", "a long history comes page by page");
    publish("a", 10);
    told_is("10 ", "… and live events behind it");
    post(page);
    answer_reads();
    post(page);
    answer_reads();
    told_is("page 4 5 6 welcome1 7 8 9 10 ", "each page when the one before it was written");
    open_stream(0, 2, "a", 1);
    answer_reads();
    told_is("page 2 3 ", "a stream that goes away between two pages");
    cancel(page);
    feed_request_free(page);
    told_is("", "… is not answered");
    leave(0, "a");
}

static void test_trouble(void)
{
    start(0);
    fill("a", 3);
    open_stream(0, 1, "a", 1);
    subscription_of("a")->events->on_subscribed(subscription_of("a"));
    fake_answer("gone");
    turn();
    told_is("", "a history that can't be read now");
    run_timers();
    answer_reads();
    told_is("welcome1 2 3 ", "… is read later");
    fill("b", 3);
    open_stream(0, 2, "b", 1);
    subscription_of("b")->events->on_subscribed(subscription_of("b"));
    fake_answer("forbidden");
    turn();
    told_is("channel:403 refused2:403 ", "one that never can be is refused");
    home = &uplinks[1];
    bus.on_moved(bus.data);
    check(subscriptions[index_of(SLICE("a"))].uplink == home, "a channel that moved is subscribed at its new shard");
    fake_publish(fake_stream(SLICE("a")), 4);
    confirm("a");
    told_is("?4 ", "… and goes on where it was");
    bus.on_subscriber_lost(bus.data, &uplinks[0]);
    publish("a", 5);
    told_is("5 ", "the old shard is none of its concerns");
    bus.on_subscriber_lost(bus.data, &uplinks[1]);
    fake_publish(fake_stream(SLICE("a")), 6);
    confirm("a");
    told_is("?6 ", "what its own missed is read");
    up = false;
    bus.on_change(bus.data);
    check(!feed_usable(feed) && feed_why(feed) != NULL, "a bus that is away is not usable");
    leave(0, "ab");
}

/* Of a stream over two shards: both have to be heard before it is told where it stands. */
static void test_shards(void)
{
    start(0);
    open_stream(0, 1, "a", 0);
    confirm("a");
    home = &uplinks[1];
    settled = false;
    open_stream(0, 2, "abc", 0);
    confirm("b");
    told_is("welcome1 ", "…");
    confirm("c");
    told_is("", "a stream over two shards that are not settled waits");
    check(wait_count == 2, "… for a canary of each, once: %zu", wait_count);
    settled = true;
    struct canary_wait *other = waits[--wait_count];
    run_barriers();
    turn();
    told_is("", "… not for one alone");
    other->cb(other->data);
    turn();
    told_is("welcome2 ", "… but for both");
    settled = false;
    open_stream(0, 3, "bc", 0);
    told_is("welcome3 ", "of several channels of one shard none waits");
    settled = true;
    leave(0, "abc");
}

/* What was read in one channel may be ahead of what is on its way in another. */
static void test_ahead(void)
{
    start(0);
    heard_us = 0;
    open_stream(0, 1, "ab", 0);
    confirm("a");
    confirm("b");
    told_is("", "a stream of two channels that were just read waits until what was published before has come");
    check(wait_count == 1, "… for one canary");
    heard_us = UINT64_MAX;
    publish("a", 1);
    run_barriers();
    turn();
    told_is("1 welcome1 1 ", "… and what came meanwhile is its, too");
    heard_us = 0;
    open_stream(0, 2, "c", 0);
    confirm("c");
    told_is("welcome2 ", "a stream of one channel does not");
    heard_us = UINT64_MAX;
    leave(0, "abc");
}

/* An id that may be newer than what has come waits behind a canary. */
static void test_barrier(void)
{
    start(0);
    open_stream(0, 1, "a", 0);
    confirm("a");
    publish("a", 1);
    told_is("welcome1 1 ", "…");
    open_stream(0, 2, "a", 2);
    answer_reads();
    check(wait_count == 1, "an id of the future waits for what is on its way");
    publish("a", 2);
    publish("a", 3);
    run_barriers();
    feed_turn(feed);
    told_is("2 3 ", "not at once, as thousands may wait for one canary");
    turn();
    told_is("welcome2 3 ", "but in a turn's own time for them");
    leave(0, "a");
}

static uint32_t count_told(const char *word)
{
    uint32_t count = 0;
    for (const char *at = told[0]; (at = strstr(at, word)) != NULL; ++at)
        ++count;
    return count;
}

/* Requests have 1 ms of a turn: with a clock that moves by 0.1 ms at each look these are ten at most. */
static void test_time_of_a_turn(void)
{
    enum { REQUESTS = 25 };
    uint32_t taken[2];
    start(0);
    open_stream(0, 1, "a", 0);
    confirm("a");
    told_is("welcome1 ", "…");
    for (int i = 0; i < REQUESTS; ++i) {
        struct feed_request *request = request_of(0, "a");
        request->kind = REQUEST_JOIN;
        request->asked_ms = monotonic_ms();
        put(request);
    }
    clock_step_us = 100;
    for (int i = 0; i < 2; ++i) {
        check(feed_take_requests(feed) && feed_is_behind(feed), "requests are left for the next turn");
        feed_turn(feed);
        taken[i] = count_told("welcome");
    }
    clock_step_us = 1;
    check(taken[0] >= 1 && taken[0] <= 10, "a turn takes requests for 1 ms: %u", taken[0]);
    check(taken[1] > taken[0] && taken[1] <= 20, "… and so does the next: %u", taken[1]);
    turn();
    check(count_told("welcome") == REQUESTS && !feed_is_behind(feed), "all are taken in the end");
    told[0][0] = 0;
    leave(0, "a");
}

/* Another gateway may have told already that the channel was abandoned. */
static void test_lease(void)
{
    start(0);
    uplinks[0].shard.proven_ms = 1000;
    fake.lease_s = 1;
    publish("a", 5);
    open_stream(0, 1, "a", 5);
    confirm("a");
    told_is("", "a stream of a channel whose lease is over by Redis's clock waits for the proof");
    check(wait_count == 1, "… for one canary");
    uplinks[0].shard.proven_ms = 1006;
    run_barriers();
    turn();
    told_is("end welcome1 end ", "… and is told at once that it was abandoned");
    publish("a", 6);
    told_is("6 ", "an event revives it");
    steps.most_ms = uplinks[0].shard.clock_ms = 1005 - (int64_t)monotonic_ms() - 3600000;
    open_stream(0, 2, "a", 6);
    answer_reads();
    told_is("welcome2 ", "a lease that runs keeps nobody waiting");
    check(doubts == 0, "… and no clock is read for it");
    steps.most_ms += 3600000 + 60000;
    open_stream(0, 3, "a", 6);
    answer_reads();
    told_is("", "one that may be over, since the answer of the clock had to wait, does");
    check(wait_count == 1 && doubts == 1, "… for a canary, and the clock is read again");
    steps.most_ms = uplinks[0].shard.clock_ms;
    run_barriers();
    turn();
    told_is("welcome3 ", "… and nobody longer than until that says that it runs");
    leave(0, "a");
}

/* Leases that are over have 1 ms of a turn of their own, once the clock was read. */
static void test_leases(void)
{
    enum { FIRST = 'a', SECOND = 'k', END = 'u' }; /* channels of the first shard, and of the second */
    uint32_t told_ends[2];
    start(0);
    uplinks[0].next = &uplinks[1];
    fake.lease_s = 1;
    for (char name[2] = {FIRST}; name[0] != END; ++name[0]) {
        home = &uplinks[name[0] >= SECOND];
        open_stream(0, 1, name, 0);
        confirm(name);
        publish(name, 1);
    }
    told[0][0] = 0;
    check(!feed_take_requests(feed) && !feed_turn(feed), "nothing is over before the clock was read");
    clock_step_us = 100;
    bus.on_clock(bus.data);
    for (int i = 0; i < 2; ++i) {
        check(feed_take_requests(feed) || i != 0, "leases are left for the next turn");
        check(!feed_is_behind(feed), "… and no requests");
        feed_turn(feed);
        told_ends[i] = count_told("end ");
    }
    clock_step_us = 1;
    check(told_ends[0] >= 5 && told_ends[0] <= 10, "a turn takes 1 ms for them: %u", told_ends[0]);
    check(told_ends[1] > told_ends[0], "… and so does the next: %u", told_ends[1]);
    turn();
    check(count_told("end ") == END - FIRST && !feed_take_requests(feed), "all are told in the end, of each shard");
    told[0][0] = 0;
    for (char name[2] = {FIRST}; name[0] != END; ++name[0])
        leave(0, name);
    check(uplinks[0].leases.count == 0 && uplinks[1].leases.count == 0, "… and none is left");
    told[0][0] = 0;
}

int main(void)
{
    counters_init();
    metrics_thread();
    log_set_level(LOG_ERROR);
    test_stream();
    test_fresh();
    test_several();
    test_refusals();
    test_cancel();
    test_pages();
    test_trouble();
    test_ahead();
    test_barrier();
    test_shards();
    test_lease();
    test_time_of_a_turn();
    test_leases();
    return check_end();
}
