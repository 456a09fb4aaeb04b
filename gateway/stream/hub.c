#include "gateway/stream/hub.h"

#include <stdlib.h>

#include "gateway/messages.h"
#include "gateway/own_events.h"
#include "gateway/stream/ends.h"
#include "gateway/stream/heads.h"
#include "gateway/stream/hub_channel.h"
#include "gateway/stream/keepalive.h"
#include "gateway/stream/poll.h"
#include "gateway/stream/transport.h"
#include "runtime/monotonic.h"

enum {
    SLICE_DELIVERIES = 1000, /* in one go before the worker looks at its other sockets again */
    END_COST = 10, /* of a stream's end, in deliveries */
    REFUSAL_COST = 10, /* of an answer, in deliveries; a stream that is gone gets none */
    LEAVE_US = 1000, /* of a turn, for streams that leave their channels */
    TICK_MS = 100, /* how often waits are looked at */
    TOKEN_SPREAD_MS = 60000, /* a stream ends before its token by a tenth of its life at most, and this */
    WITHDRAW_TICKS = 20, /* streams that are no longer allowed are ended over so many */
    POLL_PATIENCE_MS = 5000, /* a request that polls waits so long for the bus, at least */
    RETRY_AFTER_DRAIN_MS = 1000, /* a stream ended by a drain comes back after this and as much chance again */
};

struct hub {
    struct hub_options options;
    h2o_multithread_receiver_t updates;
    struct outbox requests;
    struct hub_channel *channels; /* uthash by name */
    h2o_linklist_t inbox; /* struct feed_update, in order; the first may be a fan-out half done */
    struct {
        struct fanout *fanout; /* NULL: none is half done */
        struct frame *frame; /* that its streams get; NULL: not made yet */
    } serving;
    size_t batch_bytes; /* events joined into one frame, at most */
    struct timer coalesce; /* runs while events wait for others to leave with */
    bool due; /* they have waited long enough: the inbox is to be emptied */
    h2o_linklist_t leaving; /* streams that are over, by subscriber->link, until their channels are left */
    h2o_linklist_t graveyard; /* by subscriber->link, until the end of the turn */
    struct heads heads;
    struct slow slow;
    struct keepalive keepalive;
    struct timer tick;
    struct {
        uint64_t until_ms; /* 0: no drain */
        uint64_t duration_ms;
        uint64_t streams; /* when it began */
    } drain;
    struct {
        h2o_linklist_t streams; /* to be ended, by subscriber->link */
        uint32_t count, each_tick;
    } withdrawn;
    unsigned seed;
};

static uint64_t hub_now(const struct hub *hub)
{
    return h2o_now(hub->options.loop);
}

/* ---- channels ---- */

uint32_t hub_count_fresh(struct hub *hub, const struct slice *names, uint32_t count, uint32_t enough)
{
    uint32_t fresh = 0;
    for (uint32_t i = 0; i < count && fresh < enough; ++i)
        fresh += hub_channel_find(hub->channels, names[i]) == NULL;
    return fresh;
}

static struct hub_channel *channel_of(const struct member *member)
{
    return member->fanout->channel;
}

/* ---- streams come and go ---- */

/* The end of a life that may be cut short at random, so that streams which began together don't end together; 0 lives for ever. */
static uint64_t end_of(struct hub *hub, uint64_t life_ms, uint64_t less_ms)
{
    return life_ms == 0 ? UINT64_MAX : hub_now(hub) + life_ms - less_ms * (uint64_t)(rand_r(&hub->seed) % 1000) / 1000;
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
    return value < limit ? value : limit;
}

/* By MAX_STREAM_SECONDS or with its token; that end comes sooner by what the wheel may be late, too. */
static void set_end(struct hub *hub, struct subscriber *subscriber, uint64_t token_ms)
{
    uint64_t max = hub->options.max_stream_ms, tenth = token_ms / 10;
    uint64_t rotate = end_of(hub, max, max / 5);
    uint64_t expiry = end_of(hub, token_ms - at_most(tenth, 2 * hub->keepalive.step_ms), at_most(tenth, TOKEN_SPREAD_MS));
    subscriber->reason = expiry < rotate ? CLOSE_EXPIRED : CLOSE_ROTATE;
    subscriber->rotate_ms = at_most(expiry, rotate);
}

static const struct transport *transport_of(h2o_req_t *req, const struct hub_spec *spec)
{
    if (spec->form == FORM_JSON)
        return &transport_poll;
    if (req->version >= 0x200)
        return &transport_h2;
    return req->conn->callbacks->get_socket(req->conn)->ssl == NULL ? &transport_plain : &transport_tls;
}

/* Asks the feed for the stream's place in its channels. */
static void join(struct hub *hub, struct subscriber *subscriber, const struct hub_spec *spec)
{
    struct feed_request *request = feed_request_create(spec->count);
    request->kind = REQUEST_JOIN;
    request->worker = hub->options.worker;
    request->subscriber = subscriber;
    request->mode = spec->mode;
    request->last = spec->last;
    request->client = spec->client;
    request->promised = spec->promised;
    request->head_sent = spec->head_first;
    request->asked_ms = monotonic_ms();
    if (spec->mode == START_RESUME)
        request->resume_id = h2o_strdup(NULL, spec->resume_id.p, spec->resume_id.n).base;
    const struct variant variant = {.form = spec->form, .several = spec->count > 1, .gap_closes = spec->gap_closes};
    for (uint32_t i = 0; i < spec->count; ++i) {
        struct hub_channel *channel = hub_channel_find_or_create(&hub->channels, spec->channels[i]);
        ++channel->refs;
        subscriber->members[i].fanout = hub_channel_fanout(channel, variant);
        request->channels[i] = (struct requested_channel){.local = channel, .name = hub_channel_name(channel)};
    }
    subscriber->join = JOIN_ASKED;
    subscriber->join_request = request;
    outbox_put(&hub->requests, &request->super);
}

/* ---- what a subscriber says ---- */

static void on_drained(struct subscriber *subscriber)
{
    if (subscriber->join != JOIN_PAGE)
        return;
    subscriber->join = JOIN_ASKED;
    outbox_put(&subscriber->hub->requests, &subscriber->join_request->super);
}

/* The feed frees what it keeps of the opening; an answer that is still owed comes all the sooner. */
static void cancel(struct subscriber *subscriber)
{
    struct feed_request *request = feed_request_create(0);
    request->kind = REQUEST_CANCEL;
    request->cancelled = feed_request_hold(subscriber->join_request);
    atomic_store_explicit(&subscriber->join_request->abandoned, true, memory_order_relaxed);
    outbox_put(&subscriber->hub->requests, &request->super);
}

static void leave_soon(struct subscriber *subscriber)
{
    subscriber->join = JOIN_LEAVING;
    h2o_linklist_insert(&subscriber->hub->leaving, &subscriber->link);
}

static void on_left(struct subscriber *subscriber)
{
    for (struct member *member = subscriber->members; member != subscriber->members + subscriber->member_count; ++member)
        fanout_remove(member);
    if (subscriber->reason == CLOSE_WITHDRAWN)
        h2o_linklist_unlink(&subscriber->link);
    else
        keepalive_remove(&subscriber->hub->keepalive, subscriber);
    switch ((enum join)subscriber->join) {
    case JOIN_ASKED: /* the channels stay until the answer */
        cancel(subscriber);
        break;
    case JOIN_PAGE:
        cancel(subscriber);
        feed_request_free(subscriber->join_request);
        leave_soon(subscriber);
        break;
    case JOIN_NONE:
        leave_soon(subscriber);
        break;
    case JOIN_LEAVING:
        break;
    }
}

/* The fan-out writes straight to streams that wait for nothing. */
static void set_short_cut(const struct subscriber *subscriber)
{
    bool direct = subscriber->state == SUBSCRIBER_LIVE && !subscriber->waits;
    fanout_set_fd(subscriber, direct ? subscriber->transport->direct(subscriber) : TRANSPORT_QUEUE);
}

static void on_changed(struct subscriber *subscriber)
{
    struct hub *hub = subscriber->hub;
    uint64_t now = hub_now(hub);
    if (subscriber->progress)
        subscriber->active_ms = now;
    set_short_cut(subscriber);
    slow_update(&hub->slow, subscriber, now);
}

/* Frees it at the end of the turn, unless the feed's answer is to come, which is for it, or it has channels to leave. */
static void on_released(struct subscriber *subscriber)
{
    if (subscriber->join == JOIN_NONE)
        h2o_linklist_insert(&subscriber->hub->graveyard, &subscriber->link);
}

static const struct subscriber_owner owner = {on_changed, on_drained, on_left, on_released};

/* It ends when its time to wait is over, too. */
static void hold_poll(struct hub *hub, struct subscriber *subscriber, h2o_req_t *req, const struct hub_spec *spec)
{
    uint64_t due_ms = hub_now(hub) + spec->poll.wait_ms;
    subscriber->poll = h2o_mem_alloc_pool(&req->pool, sizeof(*subscriber->poll));
    *subscriber->poll = (struct poll){
        .spec = spec->poll, .resume_id = spec->resume_id, .asked_ms = hub_now(hub), .memory = hub->options.limits.memory};
    if (due_ms < subscriber->rotate_ms) {
        subscriber->rotate_ms = due_ms;
        subscriber->reason = CLOSE_ANSWERED;
    }
    heads_hold_poll(&hub->heads, subscriber, req);
}

void hub_open(struct hub *hub, h2o_req_t *req, const struct hub_spec *spec)
{
    struct subscriber *subscriber = subscriber_create(&owner, hub, transport_of(req, spec), spec->count, spec->welcome);
    subscriber->client = spec->address;
    subscriber->log = spec->log;
    if (spec->end_text.p != NULL && !poll_is(subscriber))
        subscriber->end_text = h2o_strdup(NULL, spec->end_text.p, spec->end_text.n).base;
    subscriber->key = spec->key;
    join(hub, subscriber, spec);
    set_end(hub, subscriber, spec->life_ms);
    keepalive_add(&hub->keepalive, subscriber);
    if (poll_is(subscriber)) {
        hold_poll(hub, subscriber, req, spec);
        return;
    }
    heads_hold(&hub->heads, subscriber, req);
    if (spec->head_first)
        subscriber_open(subscriber);
}

bool hub_is_behind(struct hub *hub)
{
    return !h2o_linklist_is_empty(&hub->leaving);
}

/* The channels that now have no stream are left together. */
static void leave_channels(struct hub *hub, struct subscriber *subscriber)
{
    struct feed_request *request = NULL;
    for (struct member *member = subscriber->members; member != subscriber->members + subscriber->member_count; ++member) {
        struct hub_channel *channel = channel_of(member);
        if (!hub_channel_release(&hub->channels, channel, subscriber->listens))
            continue;
        if (request == NULL) {
            request = feed_request_create(subscriber->member_count);
            request->kind = REQUEST_LEAVE;
            request->worker = hub->options.worker;
            request->count = 0;
        }
        request->channels[request->count++] = (struct requested_channel){.local = channel, .name = hub_channel_name(channel)};
    }
    if (request != NULL)
        outbox_put(&hub->requests, &request->super);
}

/* A client may hang up on thousands of streams of a hundred channels at once. */
static void leave_some(struct hub *hub)
{
    for (uint64_t until_us = monotonic_us() + LEAVE_US; hub_is_behind(hub) && monotonic_us() < until_us;) {
        struct subscriber *subscriber = H2O_STRUCT_FROM_MEMBER(struct subscriber, link, list_take(&hub->leaving));
        leave_channels(hub, subscriber);
        subscriber->join = JOIN_NONE;
        if (subscriber->state == SUBSCRIBER_RELEASED)
            on_released(subscriber);
    }
}

/* ---- what the feed sends ---- */

static void take_refusal(const struct feed_update *update)
{
    struct subscriber *subscriber = update->request->subscriber;
    subscriber->listens = update->request->listens;
    if (subscriber->state >= SUBSCRIBER_ENDING) { /* it was closed meanwhile */
        leave_soon(subscriber);
    } else {
        subscriber->join = JOIN_NONE;
        subscriber_refuse(subscriber, CLOSE_REFUSED, update->refused.why);
    }
}

/* Those that still wait for their answer are refused by it. */
static void take_channel_refusal(const struct feed_update *update)
{
    for (struct fanout *fanout = &update->refused.channel->fanout; fanout != NULL; fanout = fanout->next)
        while (fanout->count != 0)
            subscriber_refuse(fanout->entries[fanout->count - 1].member->subscriber, CLOSE_REFUSED, update->refused.why);
}

/* Whether the stream ends behind this frame, as a stream of one channel does behind the channel's end. The page may hold more frames: the channel began anew, and memory still has the old events. */
static bool is_end_of_stream(const struct subscriber *subscriber, const struct frame *frame)
{
    return frame->kind == FRAME_END && !subscriber_variant(subscriber).several && !poll_is(subscriber);
}

/* How many frames of the page come before the end of the stream: a gap that ends it, or behind an end; page.count where none does. */
static uint32_t frames_to_end(const struct subscriber *subscriber, const struct feed_update *update, bool *gap_ends)
{
    uint32_t i = 0;
    *gap_ends = false;
    for (; i < update->page.count && !*gap_ends; i += !*gap_ends) {
        *gap_ends = subscriber_variant(subscriber).gap_closes && update->page.frames[i]->kind == FRAME_GAP;
        if (is_end_of_stream(subscriber, update->page.frames[i]))
            return i + 1;
    }
    return i;
}

/* Of a page's frames so many make one answer: gaps that stand first, then events up to the limit or the next gap. Of several channels all gaps are told at once, and the events of one millisecond
 * stay together: the client goes on from a time then, behind which a gap that it was not told might not be due. */
static uint32_t count_for_poll(const struct poll *poll, struct frame *const *frames, uint32_t count, bool several)
{
    uint32_t taken = 0, events = 0, least = 0;
    for (uint32_t i = 0; i < count; ++i)
        if (frames[i]->kind == FRAME_GAP && (several || i == least))
            least = i + 1;
    for (; taken < count; ++taken) {
        bool together = several && taken != 0 && frames[taken]->at.ms == frames[taken - 1]->at.ms;
        if (taken >= least && !together && (events >= poll->spec.limit || frames[taken]->kind == FRAME_GAP))
            break;
        events += frames[taken]->kind != FRAME_GAP;
    }
    return taken;
}

/* An event's id stands for its time in the other channels, where events of that millisecond, or of some time before it, would come again with each answer, and a client that waits would never
 * have to. So one of several channels goes on from a time up to which it has all: before the next frame, or behind the last one, once that is known to be over. */
static void find_next(struct poll *poll, const struct feed_update *update, uint32_t taken, bool last)
{
    for (uint32_t i = 0; i < taken; ++i)
        if (update->page.frames[i]->kind != FRAME_GAP && update->page.frames[i]->at.ms > poll->last_ms)
            poll->last_ms = update->page.frames[i]->at.ms;
    uint64_t over_ms = last ? poll->last_ms + 1 : poll->last_ms;
    uint64_t next_ms = taken < update->page.count ? update->page.frames[taken]->at.ms : over_ms;
    if (poll->last_ms != 0 && next_ms != 0 && next_ms <= update->page.present_ms)
        event_id_format(poll->next, SLICE(""), (struct position){next_ms, EVENT_ID_TIME_PROVEN});
}

/* Of one channel whose author has used the id once more with which the client asked: that stands for the first of its events, and the client would get the same for ever. The bus's own id does
 * not. */
static void find_next_of_one(struct poll *poll, struct slice channel, const struct feed_update *update, uint32_t taken)
{
    const struct frame *last = taken == 0 ? NULL : update->page.frames[taken - 1];
    if (last != NULL && last->durable && poll->resume_id.p != NULL && slice_eq(frame_id(last), poll->resume_id))
        event_id_format(poll->next, channel, last->at);
}

/* The client would go on from where it asked. Of a whole page that is the case where all is of that millisecond, and more of it may follow: asking on, it would get the same for ever. */
static bool stands_still(const struct poll *poll)
{
    return poll->next[0] != 0 && poll->resume_id.p != NULL && slice_eq(poll->resume_id, slice_of(poll->next));
}

/* The first page that has anything is the answer, with those that it takes for the client to go on; without, a request that waits is live from the last one on. */
static void take_poll_page(struct subscriber *subscriber, struct feed_update *update, uint32_t count, uint64_t over_ms)
{
    struct poll *poll = subscriber->poll;
    bool last = update->kind == UPDATE_WELCOME;
    memcpy(poll->position, update->page.position, sizeof(poll->position));
    bool several = subscriber->member_count > 1;
    uint32_t taken = count_for_poll(poll, update->page.frames, count, several);
    poll->more = !last || taken != update->page.count;
    poll->ended = !poll->more && over_ms != 0;
    if (!several)
        find_next_of_one(poll, hub_channel_name(channel_of(&subscriber->members[0])), update, taken);
    else if (!poll->ended)
        find_next(poll, update, taken, last);
    ends_form_page(subscriber, update, over_ms, false);
    subscriber_replay(subscriber, update->page.frames, taken);
    bool goes_on = last || taken != update->page.count || !stands_still(poll);
    if (goes_on && poll->more && stands_still(poll))
        poll->next[0] = 0; /* that time is in doubt, and stands for an earlier one: the last event's id does not */
    if ((subscriber->queue.count != 0 && goes_on) || poll->ended || (last && poll->spec.wait_ms == 0))
        subscriber_answer(subscriber, CLOSE_ANSWERED);
    else if (last)
        subscriber->busy = false; /* the first event that comes is the answer */
    else
        on_drained(subscriber);
}

/* A page of a stream's replay, the last one when it came with a welcome. */
static void take_page(struct hub *hub, struct feed_update *update)
{
    static const struct refusal gap = {410, 0, "events after the last event id are gone, and gap=close asks for no stream then"};
    static const struct refusal ended = {204, 0, ""};
    struct subscriber *subscriber = update->request->subscriber;
    bool fresh = update->request->mode == START_FRESH;
    if (update->kind == UPDATE_WELCOME)
        ends_note(subscriber, update->request);
    uint64_t over_ms = update->kind == UPDATE_WELCOME ? ends_over_ms(subscriber) : 0;
    if (subscriber_variant(subscriber).form == FORM_JSON && subscriber_variant(subscriber).several)
        ends_drop(update, over_ms);
    bool gap_ends;
    uint32_t count = frames_to_end(subscriber, update, &gap_ends);
    bool is_over = over_ms != 0 || (count != 0 && is_end_of_stream(subscriber, update->page.frames[count - 1]));
    bool resumes =
        update->request->mode == START_RESUME; /* else nobody has been told anything: no 204, which ends an EventSource for good */
    bool is_empty = count == 0 && (gap_ends || (is_over && resumes));
    subscriber->listens = true;
    if (!is_empty && !poll_is(subscriber))
        subscriber_open(subscriber);
    if (subscriber->state != SUBSCRIBER_OPENING) { /* closed meanwhile, or by a head that could not be sent */
        leave_soon(subscriber);
        return;
    }
    if (update->kind == UPDATE_PAGE) {
        subscriber->join = JOIN_PAGE;
        update->request = NULL;
    } else {
        subscriber->join = JOIN_NONE;
        subscriber_go_live(subscriber);
        for (uint32_t i = 0; i < subscriber->member_count; ++i)
            fanout_add(&subscriber->members[i]);
    }
    if (is_empty && subscriber->request != NULL && (gap_ends || !poll_is(subscriber))) {
        subscriber_refuse(subscriber, gap_ends ? CLOSE_GAP : CLOSE_ENDED, gap_ends ? &gap : &ended);
        return;
    }
    if (poll_is(subscriber)) {
        take_poll_page(subscriber, update, count, over_ms);
        return;
    }
    subscriber->active_ms = hub_now(hub);
    struct frame *first = welcome_frame(subscriber->welcome, update->page.position, hub->options.retry_ms);
    if (first != NULL) {
        subscriber->welcome = WELCOME_NOTHING; /* once */
        subscriber_replay(subscriber, &first, 1);
        frame_unref(first);
    }
    ends_form_page(subscriber, update, over_ms, fresh);
    if (subscriber->state < SUBSCRIBER_ENDING && !is_empty)
        subscriber_replay(subscriber, update->page.frames, count);
    if (gap_ends || is_over)
        subscriber_end(subscriber, gap_ends ? CLOSE_GAP : CLOSE_ENDED, NULL);
    set_short_cut(subscriber);
}

static void spend(uint32_t *budget, uint32_t cost)
{
    *budget -= *budget < cost ? *budget : cost;
}

/* Ends all streams of the fan-out: they asked for gap=close and a gap came, or they are requests that poll and the event may not show
 * its id now. Such a request is answered without the event, and its client gets it when it asks again. True when all are ended. */
static bool end_all(struct fanout *fanout, uint32_t *budget)
{
    for (; fanout->count != 0 && *budget != 0; spend(budget, END_COST)) {
        struct subscriber *subscriber = fanout->entries[fanout->count - 1].member->subscriber;
        if (poll_is(subscriber))
            subscriber_answer(subscriber, CLOSE_ANSWERED);
        else
            subscriber_end(subscriber, CLOSE_GAP, NULL);
    }
    return fanout->count == 0;
}

/* The channel has ended: so do the streams none of whose channels goes on. True when all were served. */
static bool serve_end(const struct feed_update *update, struct fanout *fanout, uint32_t *budget)
{
    while (fanout->cursor < fanout->count && *budget != 0) {
        struct subscriber *subscriber = fanout->entries[fanout->cursor].member->subscriber;
        uint64_t over_ms = ends_over_ms(subscriber);
        if (poll_is(subscriber) && over_ms == 0) {
            ++fanout->cursor; /* others of its channels go on: it goes on waiting for them */
            continue;
        }
        struct frame *frame = ends_form(subscriber, update->event.frame, fanout->channel, over_ms, !update->event.unsettled);
        if (poll_is(subscriber)) {
            subscriber->poll->ended = true;
            subscriber_push(subscriber, frame); /* which is its answer, so that another takes its place in the array */
        } else if (over_ms != 0) {
            subscriber_end(subscriber, CLOSE_ENDED, frame); /* another takes its place in the array */
        } else {
            ++fanout->cursor;
            subscriber_push(subscriber, frame);
        }
        frame_unref(frame);
        metric_add(COUNT_EVENTS_OUT, 1);
        spend(budget, END_COST);
    }
    if (fanout->cursor < fanout->count)
        return false;
    fanout->cursor = 0;
    return true;
}

/* The same for streams of one variant; true when all were served. */
static bool serve_variant(struct hub *hub, struct feed_update *update, struct fanout *fanout, uint32_t *budget)
{
    if (fanout->count == 0)
        return true;
    struct variant variant = fanout->variant;
    struct slice channel = hub_channel_name(fanout->channel);
    bool polls = variant.form == FORM_JSON;
    if ((variant.gap_closes && update->event.frame->kind == FRAME_GAP) || (polls && variant.several && update->event.unsettled))
        return end_all(fanout, budget);
    fanout->active_ms = hub_now(hub);
    if (update->event.frame->kind == FRAME_END)
        return serve_end(update, fanout, budget);
    if (hub->serving.frame == NULL) /* the first event is all that a request that polls waits for */
        hub->serving.frame =
            polls ? form_frame(update->event.frame, channel, variant, true) : batch_frame(update, channel, variant);
    return fanout_serve(fanout, hub->serving.frame, budget);
}

/* What has no position tells nothing of it. */
static void note_end(struct hub_channel *channel, const struct frame *frame)
{
    if (frame->kind != FRAME_EVENT || frame->durable)
        channel->ended_ms = frame->kind == FRAME_END ? frame->at.ms : 0;
}

static bool serve_event(struct hub *hub, struct feed_update *update, uint32_t *budget)
{
    struct hub_channel *channel = update->event.channel;
    if (hub->serving.fanout == NULL) {
        note_end(channel, update->event.frame);
        batch_gather(&channel->batch, update, hub_channel_is_shared(channel), hub->batch_bytes);
        for (const struct feed_update *event = update->event.next; event != NULL && channel->ended_ms != 0;
             event = event->event.next)
            note_end(channel, event->event.frame);
        hub->serving.fanout = &channel->fanout;
    }
    for (; hub->serving.fanout != NULL; hub->serving.fanout = hub->serving.fanout->next) {
        if (!serve_variant(hub, update, hub->serving.fanout, budget))
            return false;
        if (hub->serving.frame != NULL)
            frame_unref(hub->serving.frame);
        hub->serving.frame = NULL;
    }
    metric_time(COUNT_FAN_OUT, monotonic_us() - update->event.came_us);
    batch_free(update);
    return true;
}

/* Serves one message; false when its fan-out ran out of budget and goes on later. */
static bool serve(struct hub *hub, struct feed_update *update, uint32_t *budget)
{
    uint32_t cost = 1;
    switch (update->kind) {
    case UPDATE_EVENT:
        return serve_event(hub, update, budget);
    case UPDATE_PAGE:
    case UPDATE_WELCOME:
        cost = update->request->subscriber->member_count;
        take_page(hub, update);
        break;
    case UPDATE_REFUSED:
        cost = update->request->subscriber->state >= SUBSCRIBER_CLOSED ? 1 : REFUSAL_COST;
        take_refusal(update);
        break;
    case UPDATE_CHANNEL_REFUSED:
        take_channel_refusal(update);
        break;
    case UPDATE_LEFT:
        cost = update->request->count;
        for (uint32_t i = 0; i < cost; ++i)
            hub_channel_left(&hub->channels, update->request->channels[i].local);
        break;
    }
    spend(budget, cost);
    return true;
}

static void serve_inbox(struct hub *hub)
{
    uint32_t budget = SLICE_DELIVERIES;
    while (!h2o_linklist_is_empty(&hub->inbox) && budget != 0) {
        struct feed_update *update = H2O_STRUCT_FROM_MEMBER(struct feed_update, super.link, hub->inbox.next);
        if (!serve(hub, update, &budget))
            break;
        h2o_linklist_unlink(&update->super.link);
        feed_update_free(update);
    }
    if (h2o_linklist_is_empty(&hub->inbox))
        hub->due = false;
}

/* Whether what waits in the inbox may still wait, for others to leave with it. */
static bool may_wait(struct hub *hub)
{
    if (hub->options.coalesce_ms == 0 || hub->due || h2o_linklist_is_empty(&hub->inbox))
        return false;
    if (!timer_running(&hub->coalesce))
        timer_start(&hub->coalesce, hub->options.coalesce_ms);
    return true;
}

static void on_coalesced(void *data)
{
    ((struct hub *)data)->due = true;
}

bool hub_turn(struct hub *hub)
{
    if (!may_wait(hub))
        serve_inbox(hub);
    if (slow_grew(&hub->slow))
        slow_check(&hub->slow, hub_now(hub));
    leave_some(hub);
    while (!h2o_linklist_is_empty(&hub->graveyard))
        subscriber_free(H2O_STRUCT_FROM_MEMBER(struct subscriber, link, list_take(&hub->graveyard)));
    outbox_send(&hub->requests);
    return hub_is_behind(hub) || (!h2o_linklist_is_empty(&hub->inbox) && !may_wait(hub));
}

static void tie(struct feed_update *update)
{
    struct subscriber *subscriber;
    switch (update->kind) {
    case UPDATE_EVENT:
        batch_append(&update->event.channel->batch, update);
        break;
    case UPDATE_WELCOME:
        subscriber = update->request->subscriber;
        for (uint32_t i = 0; i < subscriber->member_count; ++i)
            batch_seal(&channel_of(&subscriber->members[i])->batch);
        break;
    default:
        break;
    }
}

static void on_updates(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct hub *hub = H2O_STRUCT_FROM_MEMBER(struct hub, updates, receiver);
    h2o_linklist_t updates;
    h2o_linklist_init_anchor(&updates);
    outbox_unpack(messages, &updates);
    for (h2o_linklist_t *link = updates.next; link != &updates; link = link->next)
        tie(H2O_STRUCT_FROM_MEMBER(struct feed_update, super.link, link));
    h2o_linklist_insert_list(&hub->inbox, &updates);
}

/* ---- what happens with time ---- */

static void end_with_retry(struct hub *hub, struct subscriber *subscriber, enum close_reason reason)
{
    if (poll_is(subscriber) && subscriber->state == SUBSCRIBER_LIVE) {
        subscriber_answer(subscriber, reason);
        return;
    }
    struct frame *last = farewell_frame(RETRY_AFTER_DRAIN_MS + (int32_t)(rand_r(&hub->seed) % RETRY_AFTER_DRAIN_MS));
    subscriber_end(subscriber, reason, last);
    frame_unref(last);
}

/* Ends as many streams as keep the drain even: of those there were, the part that the time left is of the whole may stay. */
static void drain_some(struct hub *hub)
{
    uint64_t now = hub_now(hub), left_ms = now < hub->drain.until_ms ? hub->drain.until_ms - now : 0;
    uint64_t may_stay = (hub->drain.streams * left_ms + hub->drain.duration_ms - 1) / hub->drain.duration_ms;
    while (hub->keepalive.count > may_stay)
        end_with_retry(hub, keepalive_any(&hub->keepalive), CLOSE_DRAIN);
}

static void end_withdrawn(struct hub *hub)
{
    for (uint32_t i = 0; i < hub->withdrawn.each_tick && !h2o_linklist_is_empty(&hub->withdrawn.streams); ++i)
        end_with_retry(hub, H2O_STRUCT_FROM_MEMBER(struct subscriber, link, hub->withdrawn.streams.next), CLOSE_WITHDRAWN);
    if (h2o_linklist_is_empty(&hub->withdrawn.streams))
        hub->withdrawn.each_tick = 0;
}

static void on_tick(void *data)
{
    struct hub *hub = data;
    slow_check(&hub->slow, hub_now(hub));
    end_withdrawn(hub);
    if (hub->drain.until_ms != 0)
        drain_some(hub);
    timer_start(&hub->tick, TICK_MS);
}

/* The time of a request that polls is over: it has nothing, or not even the bus. */
static void end_poll(struct hub *hub, struct subscriber *subscriber)
{
    static const struct refusal late = {503, 1, "Redis did not answer in time; ask again"};
    if (subscriber->state == SUBSCRIBER_LIVE)
        subscriber_answer(subscriber, subscriber->reason);
    else if (subscriber->poll->asked_ms + POLL_PATIENCE_MS <= hub_now(hub))
        subscriber_refuse(subscriber, CLOSE_REFUSED, &late);
}

static void on_rotate(void *data, struct subscriber *subscriber)
{
    if (poll_is(subscriber))
        end_poll(data, subscriber);
    else
        end_with_retry(data, subscriber, subscriber->reason);
}

struct judge {
    struct hub *hub;
    const struct hub_access *access;
    bool some_closed; /* of the channels */
};

static bool is_let_in(const struct judge *judge, const struct subscriber *subscriber)
{
    if (subscriber->key != 0 && !judge->access->knows(judge->access->data, subscriber->key))
        return false;
    for (uint32_t i = 0; judge->some_closed && i < subscriber->member_count; ++i)
        if (channel_of(&subscriber->members[i])->closed)
            return false;
    return true;
}

static void judge_stream(void *data, struct subscriber *subscriber)
{
    struct judge *judge = data;
    if (is_let_in(judge, subscriber))
        return;
    keepalive_remove(&judge->hub->keepalive, subscriber);
    subscriber->reason = CLOSE_WITHDRAWN;
    h2o_linklist_insert(&judge->hub->withdrawn.streams, &subscriber->link);
    ++judge->hub->withdrawn.count;
}

void hub_judge(struct hub *hub, const struct hub_access *access)
{
    struct judge judge = {.hub = hub, .access = access};
    for (struct hub_channel *channel = hub->channels; channel != NULL; channel = channel->hh.next) {
        channel->closed = access->closed(access->data, hub_channel_name(channel));
        judge.some_closed |= channel->closed;
    }
    hub->withdrawn.count = 0;
    keepalive_each(&hub->keepalive, judge_stream, &judge);
    /* what an earlier call left is ended no slower */
    hub->withdrawn.each_tick += (hub->withdrawn.count + WITHDRAW_TICKS - 1) / WITHDRAW_TICKS;
}

void hub_drain(struct hub *hub, uint64_t duration_ms)
{
    hub->drain.duration_ms = duration_ms + 1;
    hub->drain.until_ms = hub_now(hub) + hub->drain.duration_ms;
    hub->drain.streams = hub->keepalive.count;
    drain_some(hub);
}

struct hub *hub_create(const struct hub_options *options)
{
    struct hub *hub = h2o_mem_alloc(sizeof(*hub));
    *hub = (struct hub){.options = *options, .seed = (unsigned)monotonic_us() ^ options->worker << 24};
    h2o_linklist_init_anchor(&hub->inbox);
    h2o_linklist_init_anchor(&hub->graveyard);
    h2o_linklist_init_anchor(&hub->leaving);
    h2o_linklist_init_anchor(&hub->withdrawn.streams);
    heads_init(&hub->heads, options->loop, on_rotate, hub);
    slow_init(&hub->slow, &options->limits);
    keepalive_init(&hub->keepalive, options->loop, options->keepalive_ms, on_rotate, hub);
    hub->batch_bytes = options->limits.queue_bytes / 2 < BATCH_BYTES ? options->limits.queue_bytes / 2 : BATCH_BYTES;
    timer_init(&hub->coalesce, options->loop, on_coalesced, hub);
    timer_init(&hub->tick, options->loop, on_tick, hub);
    timer_start(&hub->tick, TICK_MS);
    h2o_multithread_register_receiver(options->queue, &hub->updates, on_updates);
    return hub;
}

h2o_multithread_receiver_t *hub_updates(struct hub *hub)
{
    return &hub->updates;
}

void hub_connect(struct hub *hub, h2o_multithread_receiver_t *requests, bool local)
{
    hub->requests = (struct outbox){.to = requests, .local = local};
}
