#include "gateway/feed/opening.h"

#include <stdlib.h>

#include "gateway/feed/channel_inside.h"
#include "gateway/feed/replay.h"
#include "gateway/feed/uplink.h"
#include "runtime/monotonic.h"

/* A stream on its way to live. */
struct opening {
    struct openings *all;
    struct feed_request *request;
    struct replay *replay;
    h2o_linklist_t link; /* in the list where it waits for a channel, its turn or a retry, or is ready */
    uint32_t barriers; /* that it waits for: one at each shard that has a channel of its */
    struct canary_wait waits[]; /* one a channel, at most */
};

const struct refusal *opening_refusal(enum history_fault fault)
{
    static const struct refusal refusals[] = {
        [HISTORY_FORBIDDEN] = {403, 0, "this gateway's Redis user may not read the history of this channel"},
        [HISTORY_UNUSABLE] = {503, 0, "the history of this channel in Redis can't be used"},
        [HISTORY_DEADLY] = {503, 60, "Redis closes its connection when the next event of this channel's history is read"},
    };
    return fault == HISTORY_UNREAD ? NULL : &refusals[fault];
}

static void advance(struct opening *opening);

/* Those that waited for room longest go on first. */
static void give_turns(struct openings *openings)
{
    if (openings->giving_turns)
        return;
    openings->giving_turns = true;
    while (!h2o_linklist_is_empty(&openings->turns) && page_budget_room(openings->shared->pages))
        advance(H2O_STRUCT_FROM_MEMBER(struct opening, link, list_take(&openings->turns)));
    openings->giving_turns = false;
}

static void retry_later(struct opening *opening)
{
    h2o_linklist_insert(&opening->all->retrying, &opening->link);
    opening->all->retry_soon(opening->all->data);
}

/* One canary may be awaited by thousands, and a flood of them must not keep the bus thread from what Redis sends. */
static void set_ready(struct opening *opening)
{
    h2o_linklist_insert(&opening->all->ready, &opening->link);
}

static void on_barrier(void *data)
{
    struct opening *opening = data;
    if (--opening->barriers == 0)
        set_ready(opening);
}

static bool waits_at(const struct opening *opening, const struct canary *canary, struct canary *const *canaries)
{
    for (uint32_t i = 0; i < opening->barriers; ++i)
        if (canaries[i] == canary)
            return true;
    return false;
}

/* Goes on when each shard that has one of its channels has sent all that was published there before now. */
static void wait_for_barriers(struct opening *opening)
{
    struct feed_request *request = opening->request;
    struct canary **canaries = h2o_mem_alloc(request->count * sizeof(*canaries));
    opening->barriers = 0;
    for (uint32_t i = 0; i < request->count; ++i) {
        const struct channel *channel = request->channels[i].channel;
        if (channel->uplink == NULL || waits_at(opening, channel->uplink->canary, canaries))
            continue;
        canaries[opening->barriers] = channel->uplink->canary;
        opening->waits[opening->barriers++] = (struct canary_wait){.cb = on_barrier, .data = opening};
    }
    if (opening->barriers == 0)
        retry_later(opening);
    for (uint32_t i = 0, count = opening->barriers; i < count; ++i)
        canary_barrier(canaries[i], &opening->waits[i]);
    free(canaries);
}

/* Of a stream of several channels: else the ids that it is given now would stand for what has not come yet. What was read in one channel may be ahead of the subscription, on which an
 * older event of another is on its way; and of several shards each has to be heard. */
static bool is_settled(const struct opening *opening)
{
    const struct feed_request *request = opening->request;
    const struct uplink *first = NULL;
    uint64_t now_us = monotonic_us();
    bool several = false, settled = true, heard = true;
    for (uint32_t i = 0; i < request->count && request->count != 1; ++i) {
        const struct channel *channel = request->channels[i].channel;
        first = first == NULL ? channel->uplink : first;
        several = several || channel->uplink != first;
        settled = settled && channel->uplink != NULL && uplink_settled(channel->uplink, now_us);
        heard = heard && (channel->uplink == NULL || uplink_heard(channel->uplink, channel_read_us(channel)));
    }
    return heard && (settled || !several);
}

/* Another gateway may have told its clients already that the channel was abandoned. A client that comes from there with the last id must get 204, and not the same end again. */
static bool doubts_a_lease(const struct opening *opening)
{
    bool doubts = false;
    for (uint32_t i = 0; i < opening->request->count; ++i)
        doubts = channel_lease_doubted(opening->request->channels[i].channel) || doubts;
    return doubts;
}

static void free_opening(struct opening *opening)
{
    opening->request->opening = NULL;
    replay_free(opening->replay);
    free(opening);
}

/* From the last page on the worker's queue carries every event of these channels behind it, so the seam between replay and live is the queue's
 * own order. */
static void answer(struct opening *opening)
{
    struct openings *openings = opening->all;
    struct feed_request *request = opening->request;
    struct feed_update page = {.kind = UPDATE_PAGE, .request = request};
    request->place = REQUEST_AWAY;
    if (replay_page(opening->replay, &page)) {
        page.kind = UPDATE_WELCOME;
        for (uint32_t i = 0; i < request->count; ++i)
            request->channels[i].ended_ms = channel_ended_ms(request->channels[i].channel);
        free_opening(opening);
    }
    openings->send(openings->data, request->worker, page);
    give_turns(openings);
}

void opening_refuse(struct openings *openings, struct feed_request *request, const struct refusal *why)
{
    request->place = REQUEST_AWAY;
    if (request->opening != NULL)
        free_opening(request->opening);
    openings->send(openings->data, request->worker,
                   (struct feed_update){.kind = UPDATE_REFUSED, .request = request, .refused = {.why = why}});
    give_turns(openings);
}

const struct refusal *opening_abandoned(const struct feed_request *request)
{
    static const struct refusal gone = {503, 1, "the client is gone"};
    return atomic_load_explicit(&request->abandoned, memory_order_relaxed) ? &gone : NULL;
}

static const struct refusal *refusal_of(const struct opening *opening)
{
    const struct feed_request *request = opening->request;
    const struct refusal *why = opening_abandoned(request);
    for (uint32_t i = 0; i < request->count && why == NULL; ++i)
        why = request->channels[i].channel->refused;
    return why;
}

/* What is not LIVE may be away for long: the stream holds no pages as long. */
static void wait_at_channel(struct opening *opening, struct channel *channel)
{
    if (channel_live(channel) && channel_left_alone(channel) != NULL) {
        opening_refuse(opening->all, opening->request, opening_refusal(HISTORY_DEADLY));
        return;
    }
    h2o_linklist_insert(&channel->waiting, &opening->link);
    if (channel_live(channel))
        return;
    replay_abandon(opening->replay);
    give_turns(opening->all);
}

/* Takes the opening stream one step on, or leaves it where it will be called again. */
static void advance(struct opening *opening)
{
    struct channel *wait_at;
    const struct refusal *why = refusal_of(opening);
    if (why != NULL) {
        opening_refuse(opening->all, opening->request, why);
        return;
    }
    switch (replay_prepare(opening->replay, &wait_at)) {
    case REPLAY_READY:
        if (is_settled(opening) && !doubts_a_lease(opening))
            answer(opening);
        else
            wait_for_barriers(opening);
        break;
    case REPLAY_CHANNEL:
        wait_at_channel(opening, wait_at);
        break;
    case REPLAY_TURN:
        h2o_linklist_insert(&opening->all->turns, &opening->link);
        break;
    case REPLAY_BARRIER:
        wait_for_barriers(opening);
        break;
    case REPLAY_READ:
        break;
    case REPLAY_REFUSED:
        opening_refuse(opening->all, opening->request, opening_refusal(replay_fault(opening->replay)));
        break;
    case REPLAY_RETRY:
        replay_abandon(opening->replay);
        retry_later(opening);
        give_turns(opening->all);
        break;
    }
}

bool openings_run(struct openings *openings, uint64_t until_us)
{
    while (!h2o_linklist_is_empty(&openings->ready) && monotonic_us() < until_us)
        advance(H2O_STRUCT_FROM_MEMBER(struct opening, link, list_take(&openings->ready)));
    return !h2o_linklist_is_empty(&openings->ready);
}

/* A fresh stream takes its place at once, which costs little: events that are handed on behind this come after it. What others look for does not depend on it. */
void openings_set_ready(struct openings *openings, struct channel *channel)
{
    h2o_linklist_t waiting;
    h2o_linklist_init_anchor(&waiting);
    h2o_linklist_insert_list(&waiting, &channel->waiting);
    while (!h2o_linklist_is_empty(&waiting)) {
        struct opening *opening = H2O_STRUCT_FROM_MEMBER(struct opening, link, list_take(&waiting));
        if (opening->request->mode == START_FRESH)
            advance(opening);
        else
            h2o_linklist_insert(&openings->ready, &opening->link);
    }
}

void openings_retry(struct openings *openings)
{
    h2o_linklist_insert_list(&openings->ready, &openings->retrying);
}

void openings_refuse(struct channel *channel, const struct refusal *why)
{
    while (!h2o_linklist_is_empty(&channel->waiting)) {
        struct opening *opening = H2O_STRUCT_FROM_MEMBER(struct opening, link, list_take(&channel->waiting));
        opening_refuse(opening->all, opening->request, why);
    }
}

static void on_own_read(void *data)
{
    set_ready(data);
}

/* Only a barrier can't be taken back: it calls soon, unless the bus is down. */
void opening_cancel(struct opening *opening)
{
    bool waits = h2o_linklist_is_linked(&opening->link);
    if (waits)
        h2o_linklist_unlink(&opening->link);
    if (opening->request->place == REQUEST_AWAY)
        free_opening(opening);
    else if (waits || replay_reading(opening->replay))
        advance(opening);
}

void opening_go_on(struct opening *opening)
{
    opening->request->place = REQUEST_OPENING;
    advance(opening);
}

void opening_start(struct openings *openings, struct feed_request *request)
{
    struct opening *opening = h2o_mem_alloc(sizeof(*opening) + request->count * sizeof(opening->waits[0]));
    *opening = (struct opening){.all = openings, .request = request};
    opening->replay = replay_create(request, openings->shared, on_own_read, opening);
    request->opening = opening;
    opening_go_on(opening);
}

void openings_init(struct openings *openings, struct channel_shared *shared,
                   void (*send)(void *data, uint32_t worker, struct feed_update update), void (*retry_soon)(void *data), void *data)
{
    *openings = (struct openings){.shared = shared, .send = send, .retry_soon = retry_soon, .data = data};
    h2o_linklist_init_anchor(&openings->turns);
    h2o_linklist_init_anchor(&openings->retrying);
    h2o_linklist_init_anchor(&openings->ready);
}
