#include "gateway/feed/divergence.h"

#include "gateway/feed/decode.h"
#include "proto/message.h"
#include "tests/check.h"
#include "tests/message.h"

/* A history as Redis would tell it: entry i is the event of that position whose data is `text`. */
enum { MOST = 8, PAYLOAD_MOST = 256 };

struct past {
    struct divergence_past past;
    struct ring ring;
};

struct history {
    struct history_entry entries[MOST];
    char payloads[MOST][PAYLOAD_MOST];
    size_t count;
};

static struct ring_memory memory;
static const struct ring_limits roomy = {.frames = 100, .bytes = 1 << 20, .memory = &memory};
static const struct slice channel = SLICE("news");

static struct position at(uint64_t ms)
{
    return (struct position){ms, 0};
}

static void add(struct history *history, uint64_t ms, uint64_t prev, const char *text)
{
    char sse[PAYLOAD_MOST / 2], *payload = history->payloads[history->count];
    int n = snprintf(sse, sizeof(sse), "event: message\ndata: %s\n\n", text);
    n = (int)message_encode(
        payload, &(struct message){.at = at(ms), .prev = prev == 0 ? POSITION_NONE : at(prev), .body = slice_make(sse, (size_t)n)});
    history->entries[history->count++] = (struct history_entry){at(ms), slice_make(payload, (size_t)n)};
}

/* Of events 1, 2, 3 … each named by its position, handed on from `first` to `last`. */
static void hand_on(struct past *past, uint64_t first, uint64_t last)
{
    *past = (struct past){.past = {.channel = channel, .last = at(last)}};
    past->past.ring = &past->ring;
    for (uint64_t ms = first; ms <= last; ++ms) {
        struct history one = {.count = 0};
        char text[32];
        snprintf(text, sizeof(text), "event %u", (unsigned)ms);
        add(&one, ms, ms - 1, text);
        struct frame *frame = payload_entry_frame(channel, &one.entries[0]);
        ring_append(&past->ring, frame, &roomy);
        frame_unref(frame);
    }
}

static struct divergence_answer judge(struct divergence *divergence, const struct past *past, const struct history *history)
{
    return divergence_judge(divergence, &past->past, history->entries, history->count, true);
}

static bool is(struct divergence_answer answer, int what, size_t from, uint64_t ms)
{
    return (int)answer.what == what && answer.from == from && position_compare(answer.at, ms == 0 ? POSITION_NONE : at(ms)) == 0;
}

static bool asks_after(struct divergence *divergence, const struct past *past, struct position after)
{
    struct divergence_question question = divergence_ask(divergence, past->past.last);
    return !question.newest && position_compare(question.after, after) == 0;
}

static void test_same(void)
{
    struct divergence divergence = {0};
    struct past past;
    hand_on(&past, 1, 3);
    struct history more = {.count = 0};
    add(&more, 4, 3, "event 4");
    check(asks_after(&divergence, &past, at(3)) && is(judge(&divergence, &past, &more), DIVERGENCE_TAKE, 0, 0),
          "a history that is trusted is read on from the last event");

    struct history with_last = {.count = 0};
    add(&with_last, 3, 2, "event 3");
    add(&with_last, 4, 3, "event 4");
    divergence_doubt(&divergence, past.past.last);
    check(asks_after(&divergence, &past, (struct position){2, UINT64_MAX}),
          "one that is doubted is read from the last event itself");
    check(is(judge(&divergence, &past, &with_last), DIVERGENCE_TAKE, 0, 0) && divergence.trust == DIVERGENCE_TRUSTED,
          "… and trusted when that stands there");

    struct history trimmed = {.count = 0};
    add(&trimmed, 6, 5, "event 6");
    divergence_doubt(&divergence, past.past.last);
    divergence_ask(&divergence, past.past.last);
    check(is(judge(&divergence, &past, &trimmed), DIVERGENCE_TAKE, 0, 0),
          "one whose first event names a later one before it was trimmed: no fork");
    divergence_doubt(&divergence, POSITION_NONE);
    check(divergence.trust == DIVERGENCE_TRUSTED, "where nothing is known there is nothing to doubt");
    ring_clear(&past.ring);
}

static void test_fork(void)
{
    struct divergence divergence = {0};
    struct past past;
    hand_on(&past, 1, 3);
    divergence_doubt(&divergence, past.past.last);
    divergence_ask(&divergence, past.past.last);
    struct history other = {.count = 0};
    add(&other, 3, 1, "another event 3");
    check(judge(&divergence, &past, &other).what == DIVERGENCE_ASK_AGAIN, "another event at the last one's position is a fork");
    check(asks_after(&divergence, &past, POSITION_NONE), "… and what follows the oldest of the ring is asked for");
    struct history all = {.count = 0};
    add(&all, 1, 0, "event 1");
    add(&all, 3, 1, "another event 3");
    check(is(judge(&divergence, &past, &all), DIVERGENCE_GO_BACK, 1, 1) && divergence.trust == DIVERGENCE_TRUSTED,
          "what was handed on after the branch is told as a gap, and the branch is taken");

    struct history shorter = {.count = 0}, none = {.count = 0};
    add(&shorter, 1, 0, "event 1");
    add(&shorter, 2, 1, "event 2");
    divergence_doubt(&divergence, past.past.last);
    divergence_ask(&divergence, past.past.last);
    check(judge(&divergence, &past, &none).what == DIVERGENCE_ASK_AGAIN, "nothing where the last event should be is a fork");
    divergence_ask(&divergence, past.past.last);
    check(is(judge(&divergence, &past, &shorter), DIVERGENCE_GO_BACK, 2, 2),
          "a history that only lacks the newest goes back to what it has");
    ring_clear(&past.ring);
}

/* All rings of a process share their memory: others' events may shorten this one at any time. */
static void test_shortened(void)
{
    struct divergence divergence = {0};
    struct past past;
    struct history none = {.count = 0}, all = {.count = 0};
    hand_on(&past, 1, 4);
    add(&all, 1, 0, "event 1");
    add(&all, 2, 1, "event 2");
    add(&all, 3, 2, "event 3");
    divergence_doubt(&divergence, past.past.last);
    divergence_ask(&divergence, past.past.last);
    judge(&divergence, &past, &none);
    check(asks_after(&divergence, &past, POSITION_NONE), "what follows the oldest of the ring is asked for");
    ring_drop_before(&past.ring, at(3));
    check(judge(&divergence, &past, &all).what == DIVERGENCE_ASK_AGAIN && asks_after(&divergence, &past, at(2)),
          "… once more when the ring was shortened meanwhile: what it let go is not taken for new");
    ring_clear(&past.ring);
}

static void test_forgotten(void)
{
    struct divergence divergence = {0};
    struct past past;
    struct history none = {.count = 0}, late = {.count = 0}, old = {.count = 0};
    hand_on(&past, 5, 6);
    add(&late, 9, 8, "event 9");
    add(&old, 3, 2, "event 3");
    for (int round = 0; round < 3; ++round) {
        divergence = (struct divergence){0};
        divergence_doubt(&divergence, past.past.last);
        divergence_ask(&divergence, past.past.last);
        judge(&divergence, &past, &none);
        divergence_ask(&divergence, past.past.last);
        judge(&divergence, &past, &none);
        check(divergence_ask(&divergence, past.past.last).newest,
              "where nothing of the ring is left the newest entry is asked for");
        if (round == 0)
            check(is(judge(&divergence, &past, &none), DIVERGENCE_TAKE, 0, 0) && divergence.emptied &&
                      asks_after(&divergence, &past, POSITION_NONE),
                  "an empty history begins anew: all it will hold is taken");
        else if (round == 1)
            check(judge(&divergence, &past, &late).what == DIVERGENCE_ASK_AGAIN && asks_after(&divergence, &past, at(4)),
                  "where the newest came since the search, others before it may have: it is searched again");
        else
            check(is(judge(&divergence, &past, &old), DIVERGENCE_GO_BACK, 1, 3),
                  "what is older than all that was handed on is where it goes back to");
    }
    ring_clear(&past.ring);
}

static void test_challenge(void)
{
    struct divergence divergence = {0};
    struct past past;
    struct history with_last = {.count = 0}, none = {.count = 0}, trimmed = {.count = 0}, other = {.count = 0};
    hand_on(&past, 4, 6);
    add(&with_last, 6, 5, "event 6");
    add(&trimmed, 8, 6, "event 8");
    add(&other, 8, 3, "another event 8");
    divergence_challenge(&divergence, at(2));
    check(asks_after(&divergence, &past, (struct position){5, UINT64_MAX}),
          "an older event that is new has the last one looked up");
    check(is(judge(&divergence, &past, &with_last), DIVERGENCE_TAKE, 0, 0), "… which is there: it is a stray, or came twice");
    divergence_challenge(&divergence, at(2));
    divergence_ask(&divergence, past.past.last);
    check(is(judge(&divergence, &past, &trimmed), DIVERGENCE_TAKE, 0, 0),
          "… which was deleted, but what follows it is there: likewise");
    divergence_challenge(&divergence, at(2));
    divergence_ask(&divergence, past.past.last);
    check(is(judge(&divergence, &past, &other), DIVERGENCE_START_OVER, 0, 2),
          "… which what is there does not follow: it is believed");
    for (int end = 0; end < 3; ++end) {
        struct history before = {.count = 0}, since = {.count = 0};
        add(&before, 3, 2, "event 3");
        add(&since, 7, 6, "event 7");
        divergence_challenge(&divergence, at(2));
        divergence_ask(&divergence, past.past.last);
        check(judge(&divergence, &past, &none).what == DIVERGENCE_ASK_AGAIN && divergence_ask(&divergence, past.past.last).newest,
              "… where nothing is from there on: the newest event is looked up");
        if (end == 0)
            check(is(judge(&divergence, &past, &before), DIVERGENCE_START_OVER, 0, 2),
                  "… which is older: what the new one says of the one before it is believed");
        else if (end == 1)
            check(is(judge(&divergence, &past, &none), DIVERGENCE_ASK_MARKER, 0, 0),
                  "… of which there is none: the marker tells whether it is an old one");
        else
            check(judge(&divergence, &past, &since).what == DIVERGENCE_ASK_AGAIN && divergence.trust == DIVERGENCE_CHALLENGED,
                  "… which came since: the last one is looked up again");
    }
    divergence_challenge(&divergence, at(2));
    divergence_ask(&divergence, past.past.last);
    divergence_ask(&divergence, past.past.last);
    divergence_doubt(&divergence, past.past.last);
    check(judge(&divergence, &past, &with_last).what == DIVERGENCE_ASK_AGAIN && divergence.trust == DIVERGENCE_DOUBTED,
          "entries that were asked for before the doubt don't answer it");
    ring_clear(&past.ring);
}

int main(void)
{
    ring_memory_init(&memory, SIZE_MAX);
    test_same();
    test_fork();
    test_shortened();
    test_forgotten();
    test_challenge();
    return check_end();
}
