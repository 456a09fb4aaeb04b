#include "gateway/source.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/gap.h"
#include "gateway/held.h"
#include "gateway/lineage.h"
#include "gateway/payload.h"
#include "proto/event_id.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"

/* Entries asked for in one read of a history: an answer holds fewer when they are large (see history.h). */
enum { PAGE = 1000 };

enum state { SUBSCRIBING, READING, LIVE };

struct source {
    struct source_shared *shared;
    const struct source_shard *shard;
    void *owner;
    enum state state;
    struct history_read *reading; /* that waits or is under way; NULL: none */
    bool known; /* `last` is true: the history was read at least once */
    bool interrupted; /* since `last` was seen the subscription was lost at least once */
    bool again; /* what the read under way brings is already old: read once more */
    struct lineage lineage; /* whether the history is the one that `last` was in */
    bool unsettled; /* counted in shared->unsettled */
    bool caught_up; /* while what was held is taken */
    bool reread; /* held messages were let go: the history has them */
    struct position last; /* of the newest event handed on */
    struct ring ring;
    uint32_t depth; /* the ring was read to this depth; UINT32_MAX: to the beginning of the history */
    uint32_t wanted; /* the deepest wish so far */
    struct position older_begin; /* where the ring began when the deeper read under way was asked for */
    struct position reached,
        reached_begin; /* by the deeper reads: all from here on is in the ring or nobody's event, while the ring begins there */
    bool doubted; /* before the ring is served, it is to be asked where the history begins */
    uint64_t asked_ms, verified_ms; /* when that was asked; … and answered */
    struct held held;
    size_t name_len;
    char name[];
};

static void start_read(struct source *source);

struct source *source_create(struct source_shared *shared, const struct source_shard *shard, void *owner, struct slice name)
{
    struct source *source = h2o_mem_alloc(sizeof(*source) + name.n);
    *source =
        (struct source){.shared = shared, .shard = shard, .owner = owner, .state = SUBSCRIBING, .wanted = 1, .name_len = name.n};
    memcpy(source->name, name.p, name.n);
    return source;
}

static void set_state(struct source *source, enum state next)
{
    if (source->state == LIVE && next != LIVE) {
        source->unsettled = true;
        ++source->shared->unsettled;
    } else if (next == LIVE && source->unsettled) {
        source->unsettled = false;
        --source->shared->unsettled;
    }
    source->state = next;
}

void source_destroy(struct source *source)
{
    held_clear(&source->held, source->shared->limits.memory);
    ring_clear(&source->ring);
    if (source->unsettled)
        --source->shared->unsettled;
    if (source->reading != NULL)
        history_cancel(source->reading);
    free(source);
}

void source_move(struct source *source, const struct source_shard *shard)
{
    source_lost(source);
    source->shard = shard;
}

const struct source_shard *source_shard(const struct source *source)
{
    return source->shard;
}

struct history_read *source_read_after(const struct source *source, struct position after, size_t limit, history_cb cb, void *data)
{
    return source->shard == NULL ? NULL : history_after(source->shard->history, source_name(source), after, limit, cb, data);
}

struct history_read *source_read_before(const struct source *source, struct position before, size_t limit, history_cb cb,
                                        void *data)
{
    return source->shard == NULL ? NULL : history_before(source->shard->history, source_name(source), before, limit, cb, data);
}

struct slice source_name(const struct source *source)
{
    return slice_make(source->name, source->name_len);
}

void *source_owner(const struct source *source)
{
    return source->owner;
}

const struct ring *source_ring(const struct source *source)
{
    return &source->ring;
}

struct position source_last(const struct source *source)
{
    return source->last;
}

static struct frame *frame_of_entry(const struct source *source, const struct history_entry *entry)
{
    return payload_entry_frame(source_name(source), entry);
}

/* Hands on the next event. */
static void emit(struct source *source, struct frame *frame)
{
    if (frame->durable) {
        source->last = frame->at;
        source->interrupted = source->lineage.anew = false;
        ring_append(&source->ring, frame, &source->shared->limits);
    }
    source->shared->on_event(source->owner, frame);
}

/* Tells every stream that what stood between the last event and `until` is gone for good. */
static void emit_gap(struct source *source, struct position until)
{
    char last_id[EVENT_ID_LEN + 1];
    event_id_format(last_id, source_name(source), source->last);
    struct frame *gap = gap_frame(source_name(source), slice_of(last_id), until);
    metric_add(COUNT_GAPS, 1);
    log_warn("the history does not reach back: gap", log_slice("channel", source_name(source)));
    source->shared->on_event(source->owner, gap);
    frame_unref(gap);
    ring_clear(&source->ring);
    source->depth = UINT32_MAX; /* what is older does not join on */
}

static bool already_seen(const struct source *source, const struct frame *frame)
{
    return frame->durable && source->known && !source->lineage.anew && position_compare(frame->at, source->last) <= 0;
}

/* Whether nothing can be missing between the last event and this one. A channel whose history began anew (expired, flushed) tells no
 * position before its first event: then only an unbroken subscription vouches for it. */
static bool follows(const struct source *source, const struct frame *frame)
{
    if (!frame->durable || position_compare(frame->prev, source->last) == 0)
        return true;
    return position_is_none(frame->prev) && !source->interrupted;
}

static void hold(struct source *source, struct frame *frame)
{
    source->reread = held_add(&source->held, frame, &source->shared->limits) || source->reread;
}

/* Whether an event that seems to be old really was handed on: it stands in the ring, or is older than the ring. */
static bool in_ring(const struct source *source, const struct frame *frame)
{
    uint32_t next = ring_after(&source->ring, frame->at);
    return next == 0 || position_compare(ring_at(&source->ring, next - 1)->at, frame->at) == 0;
}

/* `last` was wrong: the history was deleted and the clock went back, or somebody published a position that was not the bus's own. What the
 * new event says of the one before it is believed instead. */
static void start_over(struct source *source, struct position previous)
{
    ring_clear(&source->ring);
    source->depth = 0;
    source->last = previous;
    source->interrupted = false;
}

/* Of an event that the history, read to its end since, does not have: whether it was of another one. A primary that slept through its shard's failover runs what lay in its
 * sockets, and its cluster passes that on. A history that was trimmed or deleted holds nothing between `last` and an event before it. */
static bool is_stray(const struct source *source, const struct frame *frame)
{
    return !position_is_none(frame->prev) && position_compare(frame->prev, source->last) < 0;
}

static void drop_stray(const struct source *source)
{
    payload_dropped(source_name(source), "its history is no more");
}

/* The frame waits for what the history says. */
static void consult(struct source *source, struct frame *frame)
{
    hold(source, frame);
    set_state(source, READING);
    start_read(source);
}

/* Which of the two is of another history, `last` or the event that seems to be older and was not handed on? The history is asked. */
static void challenge(struct source *source, struct frame *frame)
{
    lineage_challenge(&source->lineage, frame->at, frame->prev);
    consult(source, frame);
}

static void take_older_one(struct source *source, struct frame *frame)
{
    if (in_ring(source, frame))
        return;
    if (position_compare(frame->at, source->lineage.stray) == 0) {
        drop_stray(source);
    } else if (position_is_none(frame->prev)) { /* the history begins with it */
        start_over(source, frame->prev);
        consult(source, frame);
    } else {
        challenge(source, frame);
    }
}

/* An event that just arrived, or was held until now. */
static void take(struct source *source, struct frame *frame)
{
    if (source->state != LIVE) {
        hold(source, frame);
    } else if (already_seen(source, frame)) {
        take_older_one(source, frame);
    } else if (follows(source, frame)) {
        emit(source, frame);
    } else if (source->caught_up && !source->reread && is_stray(source, frame)) {
        drop_stray(source);
    } else if (source->caught_up && !source->reread) {
        emit_gap(source, frame->prev); /* the history was read to its end since this came, and does not have it */
        emit(source, frame);
    } else {
        metric_add(COUNT_HOLES, 1);
        source->reread = false;
        consult(source, frame);
    }
}

/* The history was read to its end. Streams that wait are told their place first: to them, what was held comes after it. */
static void catch_up(struct source *source)
{
    struct held held = held_take(&source->held, source->shared->limits.memory);
    set_state(source, LIVE);
    source->shared->on_live(source->owner);
    source->caught_up = true;
    for (size_t i = 0; i < held.count; ++i) {
        take(source, held.frames[i]);
        frame_unref(held.frames[i]);
    }
    source->caught_up = false;
    free(held.frames);
}

void source_message(struct source *source, struct slice payload)
{
    struct frame *frame = payload_frame(source_name(source), payload);
    if (frame == NULL)
        return;
    metric_add(COUNT_EVENTS_IN, 1);
    metric_add(COUNT_BYTES_IN, frame->body);
    take(source, frame);
    frame_unref(frame);
}

/* One entry of the history, on the way from `last` to its end. */
static void take_entry(struct source *source, const struct history_entry *entry)
{
    struct frame *frame = frame_of_entry(source, entry);
    if (frame == NULL) {
        source->last = entry->at; /* somebody else's entry: the next one of ours names it as the one before */
        return;
    }
    if (!already_seen(source, frame)) {
        if (position_compare(frame->prev, source->last) != 0)
            emit_gap(source, frame->prev);
        emit(source, frame);
    }
    frame_unref(frame);
}

/* The first read of a history: its newest events fill the ring, and nobody is told of them. */
static void take_newest(struct source *source, const struct history_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        struct frame *frame = frame_of_entry(source, &entries[i]);
        source->last = entries[i].at;
        if (frame == NULL)
            continue;
        ring_append(&source->ring, frame, &source->shared->limits);
        frame_unref(frame);
    }
    source->known = true;
}

/* What the ring holds is what follows this, and is not older than it but for nobody's events. */
static struct position ring_begin(const struct source *source)
{
    return source->ring.count == 0 ? source->last : ring_at(&source->ring, 0)->prev;
}

/* A deeper read: what is older than the ring goes in front of it. False: there is no room for all. */
static bool take_older(struct source *source, const struct history_entry *entries, size_t count)
{
    bool room = true;
    struct position reached = source->reached;
    for (size_t i = count; i-- != 0 && room;) {
        reached = entries[i].at;
        if (position_compare(entries[i].at, ring_begin(source)) > 0)
            continue;
        struct frame *frame = frame_of_entry(source, &entries[i]);
        if (frame == NULL)
            continue;
        room = ring_prepend(&source->ring, frame, &source->shared->limits);
        frame_unref(frame);
    }
    source->reached = reached;
    source->reached_begin = ring_begin(source);
    return room;
}

/* The deeper read goes on with what stands before this. */
static struct position deeper_before(const struct source *source)
{
    struct position begin = ring_begin(source);
    bool reached = !position_is_none(source->reached) && position_compare(source->reached_begin, begin) == 0;
    return reached ? source->reached : position_next(begin);
}

/* True when the callback of a read has something to go on with. */
static bool read_ended(struct source *source, const char *why)
{
    source->reading = NULL;
    if (why != NULL)
        source->shared->on_read_failed(source->owner, why);
    return why == NULL;
}

static bool read_due(const struct source *source)
{
    return source->state == READING || (source->state == LIVE && (source->doubted || source->wanted > source->depth));
}

/* After a read: on to the next, or live. */
static void go_on(struct source *source, bool complete)
{
    switch (source->state) {
    case SUBSCRIBING:
        break;
    case READING:
        if (source->again || !complete) {
            source->again = false;
            start_read(source);
        } else {
            catch_up(source);
        }
        break;
    case LIVE:
        if (read_due(source))
            start_read(source);
        else
            source->shared->on_live(source->owner);
        break;
    }
}

static void on_newest(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct source *source = data;
    if (!read_ended(source, why))
        return;
    take_newest(source, entries, count);
    source->depth = more ? (uint32_t)count : UINT32_MAX;
    source->verified_ms = source->asked_ms;
    go_on(source, true);
}

/* Where the history begins: the ring does not go back further. What came since the question was asked may be dropped, too: it is in the history, and is read there. */
static void on_first(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct source *source = data;
    (void)more;
    if (!read_ended(source, why))
        return;
    uint32_t had = source->ring.count;
    ring_drop_before(&source->ring, count == 0 ? POSITION_MAX : entries[0].at);
    if (source->ring.count != had)
        source->depth = UINT32_MAX;
    source->doubted = false;
    source->verified_ms = source->asked_ms;
    go_on(source, false);
}

/* The next answer follows at once, until the ring is as deep as was asked for. */
static void on_older(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct source *source = data;
    if (!read_ended(source, why))
        return;
    if (position_compare(ring_begin(source), source->older_begin) ==
        0) { /* else it lost events meanwhile, and these don't join on */
        bool room = take_older(source, entries, count);
        source->depth = more && room ? source->depth + (uint32_t)count : UINT32_MAX;
    }
    go_on(source, false);
}

/* The streams are told, since their clients' ids stand for nothing now, and go on from here. */
static void go_back_to(struct source *source, struct position at)
{
    emit_gap(source, at);
    source->last = at;
}

/* What was missed. True when all of it was taken. */
static bool take_missed(struct source *source, const struct history_entry *entries, size_t count, bool more)
{
    const struct lineage_past past = {source_name(source), &source->ring, source->last};
    struct lineage_answer answer = lineage_judge(&source->lineage, &past, entries, count, !more);
    switch (answer.what) {
    case LINEAGE_ASK_AGAIN:
        return false;
    case LINEAGE_START_OVER:
        start_over(source, answer.at);
        return false;
    case LINEAGE_GO_BACK:
        go_back_to(source, answer.at);
        break;
    case LINEAGE_TAKE:
        break;
    }
    for (size_t i = answer.from; i < count; ++i)
        take_entry(source, &entries[i]);
    return !more;
}

static void on_missed(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct source *source = data;
    if (read_ended(source, why))
        go_on(source, !source->again && take_missed(source, entries, count, more));
}

static struct history_read *read_missed(struct source *source)
{
    struct lineage_question question = lineage_ask(&source->lineage, source->last);
    if (question.newest)
        return source_read_before(source, POSITION_MAX, 1, on_missed, source);
    return source_read_after(source, question.after, PAGE, on_missed, source);
}

static struct history_read *read_older(struct source *source)
{
    source->older_begin = ring_begin(source);
    return source_read_before(source, deeper_before(source), source->wanted - source->depth, on_older, source);
}

static struct history_read *next_read(struct source *source)
{
    source->asked_ms = monotonic_ms();
    if (!source->known)
        return source_read_before(source, POSITION_MAX, source->wanted, on_newest, source);
    if (source->state == READING)
        return read_missed(source);
    if (source->doubted)
        return source_read_after(source, POSITION_NONE, 1, on_first, source);
    return read_older(source);
}

static void start_read(struct source *source)
{
    if (source->reading != NULL || !read_due(source))
        return;
    source->reading = next_read(source);
    if (source->reading != NULL) {
        history_hurry(source->reading); /* before those of single streams */
        metric_add(COUNT_HISTORY_READS, 1);
    } else if (source->shard != NULL && redis_ready(source->shard->commands)) {
        source->shared->on_read_failed(source->owner, "this history can't be read for the moment");
    }
}

void source_subscribed(struct source *source)
{
    set_state(source, READING);
    lineage_doubt(&source->lineage, source->known ? source->last : POSITION_NONE);
    source->again = source->reading != NULL;
    start_read(source);
}

void source_lost(struct source *source)
{
    set_state(source, SUBSCRIBING);
    source->interrupted = true;
}

void source_doubt(struct source *source)
{
    if (source->state != SUBSCRIBING) {
        source_lost(source);
        source_subscribed(source);
    }
}

void source_retry(struct source *source)
{
    start_read(source);
}

bool source_live(const struct source *source)
{
    return source->state == LIVE;
}

bool source_verify(struct source *source, uint64_t since_ms)
{
    ring_use(&source->ring);
    if (source->ring.count == 0 || source->verified_ms >= since_ms)
        return false;
    source->doubted = true;
    start_read(source);
    return true;
}

bool source_deepen(struct source *source, uint32_t depth)
{
    if (depth > source->shared->limits.frames)
        depth = source->shared->limits.frames;
    ring_use(&source->ring);
    if (ring_forget_cut(&source->ring))
        source->depth = source->ring.count;
    if (source->depth >= depth)
        return false;
    if (depth > source->wanted)
        source->wanted = depth;
    start_read(source);
    return true;
}

bool source_covers(const struct source *source, struct position after)
{
    return position_compare(source->last, after) <= 0 ||
           (source->ring.count != 0 && position_compare(ring_at(&source->ring, 0)->prev, after) <= 0);
}

size_t source_frames(struct source *source, const struct history_entry *entries, size_t count, struct frame **out)
{
    size_t n = 0;
    for (size_t i = 0; i < count; ++i) {
        struct frame *frame = frame_of_entry(source, &entries[i]);
        if (frame != NULL)
            out[n++] = frame;
    }
    return n;
}
