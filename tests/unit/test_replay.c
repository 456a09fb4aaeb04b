/* What a stream gets of the past, whatever its id stands for: every event after it once, in order, and a gap wherever something is missing. The channels are true ones; their histories are
 * fake_history.h. */
#include "gateway/feed/replay.h"

#include "gateway/counters.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "tests/unit/fake_history.h"

enum { CHANNELS = 3, NOW_MS = 2000, STEPS_MOST = 200 };

static struct ring_memory memory;
static struct clock_steps steps, doubts;
static struct leases leases;
static struct channel_shard shard;
static struct channel_shared shared;
static struct page_budget pages;
static struct channel *channels[CHANNELS];
static struct fake_stream *streams[CHANNELS];
static bool live;

static void on_event(struct channel *of, struct frame *frame)
{
    (void)of, (void)frame;
}

static void on_read_failed(struct channel *of, const char *why)
{
    (void)of, (void)why;
}

static void on_live(struct channel *of)
{
    (void)of;
}

static void on_call(void *data)
{
    (void)data;
}

static void start(void)
{
    static const struct slice names[] = {SLICE("a"), SLICE("b"), SLICE("c")};
    memset(&fake, 0, sizeof(fake));
    fake.now_ms = NOW_MS;
    fake.born_ms = 1;
    live = false;
    steps = (struct clock_steps){.known = true, .most_ms = NOW_MS - (int64_t)monotonic_ms()};
    steps.least_ms = steps.most_ms;
    shard = (struct channel_shard){.commands = (struct redis *)&fake,
                                   .history = &fake,
                                   .clock_known = true,
                                   .clock_ms = steps.most_ms,
                                   .steps = &steps,
                                   .doubts = &doubts,
                                   .leases = &leases,
                                   .on_clock_doubt = on_call,
                                   .proven_ms = NOW_MS - 100,
                                   .born_ms = 1,
                                   .seen_ms = NOW_MS - 100};
    pages = (struct page_budget){.most = 1 << 20};
    memset(&shared, 0, sizeof(shared));
    shared.limits = (struct ring_limits){.frames = 4, .bytes = 1 << 20, .memory = &memory};
    shared.pages = &pages;
    shared.on_event = on_event;
    shared.on_read_failed = on_read_failed;
    shared.on_live = on_live;
    h2o_linklist_init_anchor(&shared.counted);
    for (int i = 0; i < CHANNELS; ++i) {
        streams[i] = fake_stream(names[i]);
        channels[i] = channel_create(&shared, &shard, names[i]);
    }
}

static void answer_all(void)
{
    while (fake_answer(NULL))
        continue;
}

static void stop(void)
{
    for (int i = 0; i < CHANNELS; ++i)
        channel_destroy(channels[i]);
    answer_all();
}

static void publish(int channel, uint64_t event)
{
    struct slice payload = fake_publish(streams[channel], event);
    if (live)
        channel_message(channels[channel], payload);
}

/* Steps of a script: "a3" publishes event 3 in channel a, "ea3" its end, "S" lets all channels go live, "Ta3" trims a to what begins with 3, "Ka3" takes 3 and all after it away, "Xa" deletes a's history,
 * "Fa" takes its marker, too, and all births begin anew,
 * "ha3" publishes an event whose message is on its way, "da3" lets it arrive, "fa3" is an entry of somebody else; behind "N" events name these. "L" loses all subscriptions, which come back. Behind "l2" events have a lease of 2 s, behind "t1500" all up to that time has come. "P2" lets answers hold 2 entries at most, "V" lets the second pass in which rings are believed. */
static void run(const char *script)
{
    for (const char *at = script; *at != 0;) {
        char what = *at++;
        int channel = strchr("TKXFhdfe", what) != NULL ? *at++ - 'a' : what - 'a';
        char *end;
        uint64_t event = strtoull(at, &end, 10);
        for (at = end; *at == ' ';)
            ++at;
        if (what == 'l') {
            fake.lease_s = (uint32_t)event;
        } else if (what == 't') {
            shard.proven_ms = event;
            channel_check_leases(&shard, UINT64_MAX);
        } else if (what == 'T') {
            fake_trim(streams[channel], event, UINT64_MAX);
        } else if (what == 'K') {
            fake_trim(streams[channel], 0, event);
        } else if (what == 'X') {
            streams[channel]->count = 0;
        } else if (what == 'F') {
            streams[channel]->count = streams[channel]->marked = 0;
            fake.born_ms = shard.born_ms = NOW_MS - 50;
        } else if (what == 'L') {
            for (int i = 0; i < CHANNELS; ++i)
                channel_lost(channels[i]);
            run("S");
        } else if (what == 'h') {
            fake_publish(streams[channel], event);
        } else if (what == 'd') {
            channel_message(channels[channel], slice_make(streams[channel]->payloads[event], streams[channel]->sizes[event]));
            answer_all();
        } else if (what == 'e') {
            fake.ends |= UINT64_C(1) << event;
            publish(channel, event);
            fake.ends &= ~(UINT64_C(1) << event);
        } else if (what == 'f') {
            fake_stranger(streams[channel], event);
        } else if (what == 'N') {
            fake.names_strangers = true;
        } else if (what == 'P') {
            fake.page_most = event;
        } else if (what == 'V') {
            for (int i = 0; i < CHANNELS; ++i)
                channel_verify(channels[i], UINT64_MAX);
            answer_all();
        } else if (what == 'S') {
            for (int i = 0; i < CHANNELS; ++i)
                channel_subscribed(channels[i]);
            answer_all();
            live = true;
        } else {
            publish(channel, event);
        }
    }
}

/* What happened on the way. */
static struct {
    char frames[1024]; /* as fake_note() writes them; "| " after each page but the last */
    char first[EVENT_ID_LEN + 1]; /* the id before the first page */
    char gap[512]; /* the first one's bytes */
    char ids[64]; /* i for a frame with an id, - for one without */
    unsigned pages, barriers, reads;
    enum replay_need end;
} got;

static void take_frames(struct feed_update *page)
{
    for (uint32_t i = 0; i < page->page.count; ++i) {
        struct slice body = frame_body(page->page.frames[i]);
        fake_note(got.frames, sizeof(got.frames), page->page.frames[i]);
        if (strlen(got.ids) + 1 < sizeof(got.ids))
            strcat(got.ids, memmem(body.p, body.n, "\nid: ", 5) != NULL ? "i" : "-");
        if (got.gap[0] == 0 && slice_starts(body, SLICE("event: gap")))
            snprintf(got.gap, sizeof(got.gap), "%.*s", (int)body.n, body.p);
        frame_unref(page->page.frames[i]);
    }
    free(page->page.frames);
    if (got.pages++ == 0)
        memcpy(got.first, page->page.position, sizeof(got.first));
}

/* Makes all pages; the scripts are run at the first barrier, and between the first two pages. */
static void replay(const struct feed_request *request, const char *at_barrier, const char *between)
{
    struct channel *wait_at;
    struct replay *replay = replay_create(request, &shared, on_call, NULL);
    memset(&got, 0, sizeof(got));
    for (int i = 0; i < STEPS_MOST; ++i) {
        struct feed_update page = {.kind = UPDATE_PAGE};
        got.end = replay_prepare(replay, &wait_at);
        if (got.end == REPLAY_READY) {
            if (replay_page(replay, &page)) {
                take_frames(&page);
                break;
            }
            take_frames(&page);
            replay_abandon(replay); /* it may have to wait for long */
            snprintf(got.frames + strlen(got.frames), 3, "| ");
            run(got.pages == 1 ? between : "");
        } else if (got.end == REPLAY_BARRIER) {
            run(got.barriers++ == 0 ? at_barrier : "");
        } else if (got.end == REPLAY_READ || got.end == REPLAY_CHANNEL) {
            got.reads += got.end == REPLAY_READ;
            if (!fake_answer(NULL) && got.end == REPLAY_READ)
                break;
        } else {
            break;
        }
    }
    check(got.end != REPLAY_READY || pages.promised == 0, "… and no page is kept");
    replay_free(replay);
}

static struct feed_request *ask_for(uint32_t count, enum start_mode mode, uint32_t last, const char *id)
{
    struct feed_request *request = feed_request_create(count);
    char text[EVENT_ID_LEN + 1];
    uint64_t event = strtoull(id + (id[0] != 0), NULL, 10);
    request->mode = mode;
    request->last = last;
    request->asked_ms = monotonic_ms();
    for (uint32_t i = 0; i < count; ++i)
        request->channels[i].channel = channels[i];
    if (id[0] == 'v')
        event_id_format_end(text, SLICE(""), fake_at(event));
    else if (id[0] == 't')
        event_id_format(text, SLICE(""), fake_at(event));
    else if (id[0] >= 'a' && id[0] < 'a' + CHANNELS)
        event_id_format(text, slice_of(streams[id[0] - 'a']->name), fake_at(event));
    else
        snprintf(text, sizeof(text), "%s", id + (id[0] == '='));
    request->resume_id = strdup(text);
    return request;
}

static const struct {
    const char *fact, *script;
    uint32_t channels;
    enum start_mode mode;
    uint32_t last;
    const char *id; /* a3: event 3 of channel a; t3: time 3; v3: that, and all had ended by then; =text: that text */
    const char *at_barrier, *between;
    const char *frames;
} rows[] = {
    /* fresh, and the newest */
    {"a fresh stream gets nothing of the past", "a1 a2 S", 1, START_FRESH, 0, "", "", "", ""},
    {"the newest two of a channel", "a1 a2 a3 S", 1, START_LAST, 2, "", "", "", "2 3 "},
    {"the newest two of those in memory", "S a1 a2 a3", 1, START_LAST, 2, "", "", "", "2 3 "},
    {"all, where there are fewer", "a1 a2 a3 S", 1, START_LAST, 9, "", "", "", "1 2 3 "},
    {"none, where there are none", "S", 1, START_LAST, 9, "", "", "", ""},
    {"the newest one of each channel, in order of time", "a1 b2 a3 b4 c5 S", 3, START_LAST, 1, "", "", "", "3 4 5 "},
    {"more than the ring holds are counted in the history", "a1 a2 a3 a4 a5 a6 a7 a8 S", 1, START_LAST, 6, "", "", "",
     "3 4 5 6 7 8 "},
    /* an event's id */
    {"from the earliest on, all", "a1 a2 a3 a4 a5 a6 a7 a8 S", 1, START_EARLIEST, 0, "", "", "", "1 2 3 4 5 6 7 8 "},
    {"all there is, where there is nothing", "S", 1, START_EARLIEST, 0, "", "", "", ""},
    {"all that the history still has is no gap", "a1 a2 a3 a4 S Ta3", 1, START_EARLIEST, 0, "", "", "", "3 4 "},
    {"… nor where that is in memory", "S a1 a2 a3 a4 Ta3", 1, START_EARLIEST, 0, "", "", "", "3 4 "},
    {"nor is a history that was deleted", "S a1 a2 Xa V", 1, START_EARLIEST, 0, "", "", "", ""},
    {"several channels, in order of time", "a1 b2 a3 b4 c5 S", 3, START_EARLIEST, 0, "", "", "", "1 2 3 4 5 "},
    {"what is trimmed behind the first page is a gap", "a1 a2 a3 a4 a5 a6 a7 a8 a9 S P3", 1, START_EARLIEST, 0, "", "", "Ta6",
     "1 2 3 | gap 6 7 8 | 9 "},
    {"… not in a channel that had none on the page before", "a1 a2 a3 a4 a5 a6 a7 a8 a9 b20 b21 S P3", 2, START_EARLIEST, 0, "", "",
     "Tb21 V", "1 2 3 | 4 5 6 | 7 8 9 21 "},
    {"what follows an event", "a1 a2 a3 S", 1, START_RESUME, 0, "a1", "", "", "2 3 "},
    {"nothing follows the newest", "a1 a2 a3 S", 1, START_RESUME, 0, "a3", "", "", ""},
    {"also what came live", "a1 S a2 a3", 1, START_RESUME, 0, "a1", "", "", "2 3 "},
    {"and what is only in the history", "a1 a2 a3 a4 a5 a6 a7 a8 S", 1, START_RESUME, 0, "a2", "", "", "3 4 5 6 7 8 "},
    {"other channels go on from its time", "a1 b2 a3 b4 a5 S", 2, START_RESUME, 0, "a3", "", "", "4 5 "},
    {"an event that was trimmed, named by the next one, is no gap", "a1 a2 a3 S Ta2", 1, START_RESUME, 0, "a1", "", "", "2 3 "},
    {"an event trimmed with the next one is", "a1 a2 a3 a4 S Ta3", 1, START_RESUME, 0, "a1", "", "", "gap 3 4 "},
    {"so is one whose whole history is gone", "a1 a2 a3 S Xa V", 1, START_RESUME, 0, "a1", "", "", "gap "},
    {"an event trimmed from the history is not served from memory", "S a1 a2 a3 a4 Ta3", 1, START_RESUME, 0, "a1", "", "",
     "gap 3 4 "},
    {"one that was trimmed stands, too, when the first that is read names it", "a1 a2 a3 a4 a5 a6 a7 a8 S Ta3", 1, START_RESUME, 0,
     "a2", "", "", "3 4 5 6 7 8 "},
    {"so does one that an entry of somebody else follows", "a1 a2 fa3 a4 a5 a6 a7 a8 S", 1, START_RESUME, 0, "a2", "", "",
     "4 5 6 7 8 "},
    {"… which the next event names", "N a1 a2 fa3 a4 a5 a6 a7 a8 S", 1, START_RESUME, 0, "a2", "", "", "4 5 6 7 8 "},
    {"where only such entries are left, the newest event is none that is missing", "a1 a2 fa3 S Ta3 V", 1, START_RESUME, 0, "a2",
     "", "", ""},
    {"… nor at a gateway that never had it", "a1 a2 fa3 fa4 Ta3 S", 1, START_RESUME, 0, "a2", "", "", ""},
    {"… but one before it is a gap", "a1 a2 fa3 fa4 Ta3 S", 1, START_RESUME, 0, "a1", "", "", "gap "},
    {"… also by the time", "a1 a2 fa3 fa4 Ta3 S", 1, START_RESUME, 0, "t1", "", "", "gap "},
    {"… and so is all that was flushed", "a1 a2 Fa fa5 S", 1, START_RESUME, 0, "a2", "", "", "gap "},
    {"… or at once", "fa5 S", 1, START_RESUME, 0, "a3", "", "", "gap "},
    {"what is lost between such entries is a gap", "a1 fa2 fa5 S", 1, START_RESUME, 0, "a3", "", "", "gap "},
    {"… and before an event that came since", "a1 fa2 fa5 a6 S", 1, START_RESUME, 0, "a3", "", "", "gap 6 "},
    {"what came behind them is not", "a1 fa2 fa5 S a6", 1, START_RESUME, 0, "a1", "", "", "6 "},
    {"what is lost where such an entry stands now is one, too", "a1 fa2 fa3 a4 a5 a6 a7 a8 S", 1, START_RESUME, 0, "a2", "", "",
     "gap 4 5 6 7 8 "},
    {"… and where there are many of them", "a1 fa3 fa4 fa5 a6 a7 a8 a9 a10 S P2", 1, START_RESUME, 0, "a2", "", "",
     "gap 6 | 7 8 9 10 "},
    {"… in all channels", "a1 b1 fa3 fa4 fa5 a6 a7 a8 a9 a10 S P2", 2, START_RESUME, 0, "a2", "", "", "gap gap 6 | 7 8 9 10 "},
    {"… unless the event behind them names it", "a1 a2 fa3 fa4 fa5 a6 a7 a8 a9 a10 S Ta3 P2", 1, START_RESUME, 0, "a2", "", "",
     "6 | 7 8 9 10 "},
    {"… behind the newest event", "a1 fa2 fa3 S a4", 1, START_RESUME, 0, "a2", "", "", "gap 4 "},
    {"the newest two events, not entries", "a1 a2 a3 fa4 fa5 fa6 S", 1, START_LAST, 2, "", "", "", "2 3 "},
    {"… also where that has to be counted", "a1 fa2 a3 fa4 a5 fa6 a7 fa8 a9 fa10 a11 S", 1, START_LAST, 5, "", "", "",
     "3 5 7 9 11 "},
    {"one that comes while it is waited for stands", "a1 S", 1, START_RESUME, 0, "a2", "a2 a3", "", "3 "},
    {"one that does not come is an unknown id", "a1 S", 1, START_RESUME, 0, "a2", "", "", "gap "},
    {"one that history went past without it is, too", "a1 a2 a4 S", 1, START_RESUME, 0, "a3", "", "", "gap 4 "},
    {"… also where that has to be read, and in all channels", "a1 b2 a4 a5 a6 a7 a8 a9 b10 S", 2, START_RESUME, 0, "a3", "", "",
     "gap gap 4 5 6 7 8 9 10 "},
    {"an event whose message is on its way comes live", "a1 a2 a3 a4 a5 a6 a7 a8 S ha9", 1, START_RESUME, 0, "a1", "", "",
     "2 3 4 5 6 7 8 "},
    /* a history that restarted with older positions, of which the channel has heard nothing yet */
    {"what a page has of it waits until it was heard, and does not come live once more", "S a11 a12 a13 a14 a15 Fa ha1 ha2", 1,
     START_EARLIEST, 0, "", "da1 da2 a3", "", "1 2 3 "},
    {"it is not put before what is in memory", "a11 a12 S Fa ha1 ha2", 1, START_EARLIEST, 0, "", "da1 da2 a3", "", "1 2 3 "},
    {"an event that was deleted, and is in memory, is waited for once", "S a11 a12 a13 a14 a15 Ka15 V", 1, START_EARLIEST, 0, "",
     "", "", "11 12 13 14 15 "},
    /* a time */
    {"what came since a time, in all channels", "a1 b2 a3 b4 S", 2, START_RESUME, 0, "t3", "", "", "3 4 "},
    {"a time before all there is, whose beginning is known", "a11 b12 S", 2, START_RESUME, 0, "t10", "", "", "11 12 "},
    {"a gap that no record tells of comes before the event behind it, which may be earlier than where it ends", "Fa b20 a22 S", 2,
     START_RESUME, 0, "t1", "", "", "gap 20 gap 22 "},
    {"what was trimmed since a time is a gap", "a1 a2 a3 a4 b5 S Ta4", 2, START_RESUME, 0, "t2", "", "", "gap 4 5 "},
    {"a time by which all had ended stands behind their ends", "ea5 eb5 S", 2, START_RESUME, 0, "v5", "", "", ""},
    /* an author's own id, or nobody's */
    {"an id that stands for nothing is a gap, and then live", "a1 a2 S", 1, START_RESUME, 0, "=nobody's", "", "", "gap "},
    {"… one in each channel", "a1 b2 S", 2, START_RESUME, 0, "=nobody's", "", "", "gap gap "},
    /* pages and their seams */
    {"a long history comes in pages", "a1 a2 a3 a4 a5 a6 a7 a8 a9 S P3", 1, START_RESUME, 0, "a1", "", "", "2 3 | 4 5 6 | 7 8 9 "},
    {"what comes live between two pages follows", "a1 a2 a3 a4 a5 a6 a7 a8 a9 S P3", 1, START_RESUME, 0, "a1", "", "a10",
     "2 3 | 4 5 6 | 7 8 9 10 "},
    {"what is trimmed between two pages is a gap", "a1 a2 a3 a4 a5 a6 a7 a8 a9 S P3", 1, START_RESUME, 0, "a1", "", "Ta6",
     "2 3 | gap 6 7 8 | 9 "},
    {"a history that is deleted between two pages is a gap", "a1 a2 a3 a4 a5 a6 a7 a8 a9 S P3", 1, START_RESUME, 0, "a1", "",
     "Xa V", "2 3 | gap "},
    {"so is one that is noticed to be another", "a1 a2 a3 a4 a5 a6 a7 a8 a9 S P3", 1, START_RESUME, 0, "a1", "", "Fa L",
     "2 3 | gap "},
    {"also to who asked for the newest", "a1 a2 a3 a4 a5 a6 a7 a8 a9 S P3", 1, START_LAST, 9, "", "", "Ta7 V",
     "1 2 3 | gap 7 8 9 "},
    {"… in a channel that had none on the page before, too", "a1 a2 a3 a4 a5 a6 a7 a8 a9 b20 b21 S P3", 2, START_LAST, 9, "", "",
     "Tb21 V", "1 2 3 | 4 5 6 | 7 8 9 gap 21 "},
    {"an entry of somebody else is no gap", "a1 a2 a3 fa4 a5 a6 a7 a8 a9 S P3", 1, START_RESUME, 0, "a1", "", "",
     "2 3 | 5 6 | 7 8 9 "},
    {"… also where nothing stands before it any more", "a1 a2 a3 fa4 a5 a6 a7 a8 a9 S P3", 1, START_RESUME, 0, "a1", "", "Ta4",
     "2 3 | 5 6 | 7 8 9 "},
    {"… unless an event does not name what stood there", "N a1 a2 a3 fa4 a5 a6 a7 a8 a9 S P3", 1, START_RESUME, 0, "a1", "", "Ta4",
     "2 3 | gap 5 6 | 7 8 9 "},
    {"… or that was trimmed, too", "a1 a2 a3 a4 fa5 a6 a7 a8 a9 S P3", 1, START_RESUME, 0, "a1", "", "Ta5", "2 3 | gap 6 7 | 8 9 "},
    {"of many of them there are no pages", "a1 a2 fa3 fa4 fa5 fa6 fa7 a8 a9 a10 a11 a12 S P2", 1, START_RESUME, 0, "a1", "", "",
     "2 | 8 | 9 10 11 12 "},
    {"… whatever the next event names", "N a1 a2 fa3 fa4 fa5 fa6 fa7 a8 a9 a10 a11 a12 S P2", 1, START_RESUME, 0, "a1", "", "",
     "2 | 8 | 9 10 11 12 "},
    {"… and no gap at their end", "a1 a2 a3 a4 a5 a6 fa7 fa8 fa9 fa10 S P2", 1, START_RESUME, 0, "a1", "", "", "2 | 3 4 5 6 "},
    {"… which says nothing of a history that went back, and has events there", "a1 a2 a3 fa20 fa21 a22 a23 a24 a25 a26 a27 S P4", 1,
     START_RESUME, 0, "a1", "", "Ka20 ha5 L a30 a31 a32 a33 a34", "2 3 | gap 5 30 31 32 | 33 34 "},
    {"pages of several channels stay in order", "a1 b2 a3 b4 a5 b6 a7 b8 a9 b10 a11 b12 S P3", 2, START_RESUME, 0, "a1", "", "",
     "2 3 4 5 | 6 7 8 9 10 11 12 "},
};

static int64_t resumes(void)
{
    return metric_sum(COUNT_RESUMES_MEMORY) + metric_sum(COUNT_RESUMES_READ) + metric_sum(COUNT_RESUMES_UNKNOWN);
}

static void test_rows(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        start();
        run(rows[i].script);
        struct feed_request *request = ask_for(rows[i].channels, rows[i].mode, rows[i].last, rows[i].id);
        int64_t before = resumes();
        replay(request, rows[i].at_barrier, rows[i].between);
        check(resumes() - before == (rows[i].mode == START_RESUME), "… and is counted once, if it resumed");
        check(got.end == REPLAY_READY, "%s: the stream goes live", rows[i].fact);
        check_slice(slice_of(got.frames), slice_of(rows[i].frames), "… with what it is to get");
        feed_request_free(request);
        stop();
        check(memory.bytes == 0, "… and nothing is left");
    }
}

/* What a channel whose lease is over has for streams that open, when it was abandoned long before or in this moment, or while they read. */
static const struct {
    const char *fact, *script;
    uint32_t channels;
    enum start_mode mode;
    uint32_t last;
    const char *id, *between, *frames;
} leased[] = {
    {"a fresh stream gets the end", "l1 a1 S", 1, START_FRESH, 0, "", "", "end "},
    {"… behind the newest that it asks for", "l1 a1 a2 a3 S", 1, START_LAST, 2, "", "", "2 3 end "},
    {"… behind all", "l1 a1 a2 a3 a4 a5 a6 S", 1, START_EARLIEST, 0, "", "", "1 2 3 4 5 6 end "},
    {"… behind what it has missed", "l1 a1 a2 S", 1, START_RESUME, 0, "a1", "", "2 end "},
    {"… alone, if that is nothing", "l1 a1 a2 S", 1, START_RESUME, 0, "a2", "", "end "},
    {"… behind a gap", "l1 a1 a2 a3 a4 S Ta3 V", 1, START_RESUME, 0, "a1", "", "gap 3 4 end "},
    {"the end comes once, on the last page", "l1 a1 a2 a3 a4 a5 a6 a7 a8 a9 S P3", 1, START_RESUME, 0, "a1", "",
     "2 3 | 4 5 6 | 7 8 9 end "},
    {"a lease that runs is no end", "l9 a1 S", 1, START_RESUME, 0, "a1", "", ""},
    {"… also where one before it would be over", "l1 a1 l9 a2 S", 1, START_RESUME, 0, "a1", "", "2 "},
    {"… or the newest event has none", "l1 a1 l0 a2 S", 1, START_RESUME, 0, "a1", "", "2 "},
    {"one that runs out between two pages is", "t900 l1 a1 a2 a3 a4 a5 a6 S P3", 1, START_RESUME, 0, "a1", "t1900",
     "2 3 | 4 5 6 end "},
    {"… but not if it is renewed there", "t900 l1 a1 a2 a3 a4 a5 a6 S P3", 1, START_RESUME, 0, "a1", "l9 a7 t1900",
     "2 3 | 4 5 6 7 "},
    {"an event behind the end revives the channel", "l1 a1 S l0 a2", 1, START_RESUME, 0, "a1", "", "2 "},
    {"of several channels one has ended, and the stream is told", "l1 a1 l0 b2 S", 2, START_RESUME, 0, "a1", "", "2 end "},
    {"a clock that was set back takes nothing back", "l1 a1 S t500", 1, START_RESUME, 0, "a1", "", "end "},
};

static void test_leased(void)
{
    for (size_t i = 0; i < sizeof(leased) / sizeof(leased[0]); ++i) {
        start();
        run(leased[i].script);
        struct feed_request *request = ask_for(leased[i].channels, leased[i].mode, leased[i].last, leased[i].id);
        replay(request, "", leased[i].between);
        check(got.end == REPLAY_READY, "%s: the stream goes live", leased[i].fact);
        check_slice(slice_of(got.frames), slice_of(leased[i].frames), "… with what it is to get");
        feed_request_free(request);
        stop();
        check(memory.bytes == 0 && leases.count == 0, "… and nothing is left");
    }
}

/* Who comes back with the id that it was told before its first event gets the same once more. */
static void test_place_before(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        if (strstr(rows[i].frames, "gap") != NULL || rows[i].between[0] != 0 || rows[i].at_barrier[0] != 0)
            continue;
        char first[sizeof(got.frames)], id[EVENT_ID_LEN + 2] = "=";
        start();
        run(rows[i].script);
        fake.page_most = 0;
        struct feed_request *request = ask_for(rows[i].channels, rows[i].mode, rows[i].last, rows[i].id);
        replay(request, "", "");
        memcpy(first, got.frames, sizeof(first));
        snprintf(id + 1, sizeof(id) - 1, "%s", got.first);
        feed_request_free(request);
        request = ask_for(rows[i].channels, START_RESUME, 0, id);
        replay(request, "", "");
        check_slice(slice_of(got.frames), slice_of(first), "%s: the id of the place before stands for it", rows[i].fact);
        feed_request_free(request);
        stop();
    }
}

/* A time may be later than what one of several shards has sent, though not than what another has. */
static void test_late_shard(void)
{
    start();
    struct channel_shard other = shard;
    channel_move(channels[1], &other);
    run("S a10 b5");
    struct feed_request *request = ask_for(2, START_RESUME, 0, "t8");
    replay(request, "b7", "");
    check(got.barriers == 1 && strcmp(got.frames, "10 ") == 0,
          "what was published in the other one by then is waited for, and not sent");
    feed_request_free(request);
    stop();
}

/* A failover loses what came behind an end, which is the channel's again. */
static void test_told_end(void)
{
    static const char *const ids[] = {"a3", "v4", "a1"}, *const frames[] = {"", "", "gap 3 "};
    for (int i = 0; i < 3; ++i) {
        start();
        run("S a1 ea3 a5 Ka5 L");
        struct feed_request *request = ask_for(1, START_RESUME, 0, ids[i]);
        replay(request, "", "");
        check_slice(slice_of(got.frames), slice_of(frames[i]), "that is %s",
                    i < 2 ? "no gap for who was told the end" : "one for others");
        feed_request_free(request);
        stop();
    }
}

/* The bus was away: a fresh stream that has had its head begins with what came since it asked, others with what comes. */
static void test_fresh(void)
{
    static const struct {
        const char *fact;
        bool head_sent;
        uint64_t ago_ms; /* that it asked, at 30 by Redis's clock */
        bool clock_known;
        const char *frames;
    } cases[] = {
        {"with a head that was sent first", true, 500, true, "40 60 "},
        {"with one that was sent meanwhile", false, REPLAY_HEAD_MS, true, "40 60 "},
        {"without", false, 500, true, ""},
        {"without knowing the time", true, 500, false, ""},
    };
    for (size_t i = 0; i != sizeof(cases) / sizeof(cases[0]); ++i) {
        start();
        run("S a20 a40 a60");
        shard.clock_known = cases[i].clock_known;
        struct feed_request *request = ask_for(1, START_FRESH, 0, "");
        request->head_sent = cases[i].head_sent;
        request->asked_ms = monotonic_ms() - cases[i].ago_ms;
        shard.clock_ms = 30 - (int64_t)request->asked_ms;
        replay(request, "", "");
        check_slice(slice_of(got.frames), slice_of(cases[i].frames), "a fresh stream %s", cases[i].fact);
        feed_request_free(request);
        stop();
    }
}

/* … and is not told a gap in a channel that had none, on a later page. */
/* Of several channels: behind what had ended before it asked, not behind what has ended since. */
static void test_fresh_ends(void)
{
    static const uint64_t ends[] = {30, 40};
    for (int i = 0; i < 2; ++i) {
        char script[32];
        struct position place;
        start();
        snprintf(script, sizeof(script), "S ea%u b20", (unsigned)ends[i]);
        run(script);
        struct feed_request *request = ask_for(2, START_FRESH, 0, "");
        request->head_sent = true;
        request->asked_ms = monotonic_ms();
        shard.clock_ms = 36 - (int64_t)request->asked_ms;
        replay(request, "", "");
        check(event_id_parse(&place, slice_of(got.first), SLICE("")) && (place.ms <= 40) == (ends[i] == 40),
              "a fresh stream stands %s the end", ends[i] == 40 ? "before" : "behind");
        feed_request_free(request);
        stop();
    }
}

static void test_fresh_pages(void)
{
    start();
    run("S a40 a41 a42 a43 a44 a45 a46 P3");
    struct feed_request *request = ask_for(2, START_FRESH, 0, "");
    request->head_sent = true;
    shard.clock_ms = 30 - (int64_t)request->asked_ms;
    replay(request, "", "");
    check_slice(slice_of(got.frames), SLICE("40 41 42 | 43 44 45 46 "),
                "a fresh stream with a head gets all since it asked, and no gap");
    feed_request_free(request);
    stop();
}

/* A history that was found empty has events again before the page is made, and the ring does not hold all. */
static void test_emptied(void)
{
    struct channel *wait_at;
    struct feed_update page = {.kind = UPDATE_PAGE};
    enum replay_need need;
    start();
    run("a1 a2 a3 a4 a5 a6 a7 a8 S");
    struct feed_request *request = ask_for(1, START_RESUME, 0, "t2");
    struct replay *one = replay_create(request, &shared, on_call, NULL);
    while ((need = replay_prepare(one, &wait_at)) == REPLAY_CHANNEL)
        answer_all();
    check(need == REPLAY_READ, "the history is read");
    streams[0]->count = 0;
    fake_execute_all();
    run("a9 a10 a11 a12 a13 a14");
    memset(&got, 0, sizeof(got));
    for (need = REPLAY_READ; need == REPLAY_READ || need == REPLAY_CHANNEL; need = replay_prepare(one, &wait_at))
        answer_all();
    check(need == REPLAY_READY && replay_page(one, &page), "… and again");
    take_frames(&page);
    check_slice(slice_of(got.frames), SLICE("gap 9 10 11 12 13 14 "), "all that came meanwhile is there");
    replay_free(one);
    feed_request_free(request);
    stop();
}

/* A place that was given about when the shard was connected to may be of a primary before, which had not all that this one has. */
static void test_doubts(void)
{
    static const struct {
        const char *id, *frames;
    } cases[] = {{"t35", "30 40 50 "}, {"t45", "30 40 50 "}, {"t61", ""}, {"t20", "30 40 50 "}, {"a40", "50 "}};
    for (size_t i = 0; i != sizeof(cases) / sizeof(cases[0]); ++i) {
        start();
        run("a1 b2 b30 a40 b50 S");
        clock_steps_add(&doubts, 20, 60);
        struct feed_request *request = ask_for(2, START_RESUME, 0, cases[i].id);
        replay(request, "", "");
        check_slice(slice_of(got.frames), slice_of(cases[i].frames), "what follows %s", cases[i].id);
        feed_request_free(request);
        stop();
        doubts = (struct clock_steps){.next = 0};
    }
}

/* An id that may be newer than what has come is waited for, before anything is read for it. */
static void test_later(void)
{
    struct channel *wait_at;
    start();
    run("a1 a2 a3 a4 a5 a6 a7 a8 S");
    struct feed_request *request = ask_for(1, START_RESUME, 0, "a9");
    struct replay *one = replay_create(request, &shared, on_call, NULL);
    unsigned asked = fake.asked;
    while (replay_prepare(one, &wait_at) == REPLAY_CHANNEL && fake.asked == asked)
        answer_all();
    check(fake.asked == asked && replay_prepare(one, &wait_at) != REPLAY_BARRIER, "the history is not read for a later position");
    replay_free(one);
    feed_request_free(request);
    stop();
}

/* What only Redis can tell is asked before a page is made: else its stream would be told of a gap where nothing is missing. */
static void test_proofs(void)
{
    start();
    shard.seen_ms = 0;
    run("a11 a12 a13 a14 a15 a16 a17 a18 S");
    struct feed_request *request = ask_for(1, START_RESUME, 0, "t10");
    replay(request, "", "");
    check_slice(slice_of(got.frames), SLICE("11 12 13 14 15 16 17 18 "),
                "since when the data is there is read, and nothing is missing");
    feed_request_free(request);
    stop();
}

/* What one read finds is not looked for in any other way: no canary is waited for, and the history is not searched. */
static void test_found_at_once(void)
{
    static const char *const scripts[] = {"a1 a2 a3 a4 a5 a6 a7 a8 S", "a1 a2 a3 a4 a5 a6 a7 a8 S Ta3",
                                          "a1 a2 fa3 a4 a5 a6 a7 a8 S"};
    unsigned first = 0;
    for (size_t i = 0; i != sizeof(scripts) / sizeof(scripts[0]); ++i) {
        start();
        run(scripts[i]);
        unsigned asked = fake.asked;
        struct feed_request *request = ask_for(1, START_RESUME, 0, "a2");
        replay(request, "", "");
        asked = fake.asked - asked;
        first = i == 0 ? asked : first;
        check(got.end == REPLAY_READY && got.barriers == 0 && asked == first, "%s: 2 is found by its position, in %u reads",
              scripts[i], asked);
        feed_request_free(request);
        stop();
    }
}

/* A search of a history, and a count of its newest events, go on behind a read that failed. */
static void test_retry(void)
{
    static const struct {
        const char *what;
        enum start_mode mode;
        const char *id;
    } cases[] = {{"a search", START_RESUME, "=id 2"}, {"a count", START_LAST, ""}};
    for (size_t i = 0; i != sizeof(cases) / sizeof(cases[0]); ++i) {
        struct channel *wait_at;
        enum replay_need need;
        start();
        fake.authors_ids = true;
        run("a1 a2 a3 a4 a5 a6 a7 a8 S");
        channel_deepen(channels[0], UINT32_MAX);
        answer_all();
        struct feed_request *request = ask_for(1, cases[i].mode, 7, cases[i].id);
        struct replay *one = replay_create(request, &shared, on_call, NULL);
        while ((need = replay_prepare(one, &wait_at)) == REPLAY_CHANNEL && channel_ring(channels[0])->count < 4)
            answer_all();
        check(need == REPLAY_CHANNEL && fake.waiting == 1 && fake_answer("gone") && fake.waiting == 0, "%s fails", cases[i].what);
        channel_retry(channels[0]);
        check(fake.waiting == 1, "… is tried again");
        for (int j = 0; j < STEPS_MOST && need != REPLAY_READY; ++j) {
            answer_all();
            need = replay_prepare(one, &wait_at);
        }
        check(need == REPLAY_READY, "… and goes on");
        replay_free(one);
        feed_request_free(request);
        stop();
    }
}

/* What was read to look an id up is dropped when a later read fails, and is read again. */
static void test_looked_up_again(void)
{
    start();
    run("a1 fa3 fa4 fa5 a6 a7 a8 a9 a10 S P2");
    struct feed_request *request = ask_for(1, START_RESUME, 0, "a2");
    struct replay *one = replay_create(request, &shared, on_call, NULL);
    struct feed_update page = {.kind = UPDATE_PAGE};
    struct channel *wait_at;
    memset(&got, 0, sizeof(got));
    for (int i = 0; i < STEPS_MOST && (got.end = replay_prepare(one, &wait_at)) != REPLAY_READY; ++i) {
        if (got.end == REPLAY_RETRY)
            replay_abandon(one);
        else if (got.end == REPLAY_READ && ++got.reads == 2)
            fake_answer("gone");
        else if (got.end != REPLAY_BARRIER)
            fake_answer(NULL);
    }
    check(got.end == REPLAY_READY && got.reads == 4, "an id is looked up again behind a read that failed");
    replay_page(one, &page);
    take_frames(&page);
    check_slice(slice_of(got.frames), SLICE("gap 6 "), "… and what that tells is told");
    replay_abandon(one);
    free(one);
    feed_request_free(request);
    stop();
}

/* A gap names the id behind which something is missing: the client's own, until it has had an event. */
static void test_gap_ids(void)
{
    start();
    run("a1 a2 S");
    struct feed_request *request = ask_for(1, START_RESUME, 0, "=nobody's");
    replay(request, "", "");
    check(strstr(got.gap, "\"last_event_id\":\"nobody's\"") != NULL, "a gap names the client's id");
    feed_request_free(request);
    stop();
    start();
    run("a1 a2 a3 a4 a5 a6 a7 a8 a9 S P3");
    char id[EVENT_ID_LEN + 1];
    event_id_format(id, SLICE("a"), fake_at(3));
    request = ask_for(1, START_RESUME, 0, "a1");
    replay(request, "", "Ta6");
    check(strstr(got.gap, id) != NULL && strstr(got.gap, request->resume_id) == NULL, "… then the last event that it had");
    feed_request_free(request);
    stop();
}

static void test_authors_ids(void)
{
    start();
    fake.authors_ids = true;
    run("a1 a2 a3 a4 a5 a6 b7 S");
    struct feed_request *request = ask_for(2, START_RESUME, 0, "=id 2");
    replay(request, "", "");
    check_slice(slice_of(got.frames), SLICE("3 4 5 6 7 "),
                "an author's own id is found in the history, and other channels go on from its time");
    feed_request_free(request);
    stop();
}

/* Who has had its head counts on all that came since it asked, whatever number it asked for. */
static void test_newest_since_head(void)
{
    start();
    run("a1 a2 a3 a4 S");
    struct feed_request *request = ask_for(1, START_LAST, 1, "");
    request->head_sent = true;
    request->asked_ms = (uint64_t)((int64_t)4 - shard.clock_ms); /* rather too early by one */
    replay(request, "", "");
    check_slice(slice_of(got.frames), SLICE("3 4 "), "the newest one, and all since the head was sent");
    feed_request_free(request);
    stop();
}

/* A client that leaves between two gaps that no event tells of is told both again. */
static void test_gaps_without_record(void)
{
    start();
    fake.born_ms = shard.born_ms = 1000;
    run("S");
    struct feed_request *request = ask_for(2, START_RESUME, 0, "t1");
    replay(request, "", "");
    check_slice(slice_of(got.frames), SLICE("gap gap "), "each channel has its gap");
    check_slice(slice_of(got.ids), SLICE("-i"), "… and only the last one has an id");
    feed_request_free(request);
    stop();
}

/* The id of a gap that no event tells of is not before its end, though the other shard has proven less: a client that comes back with it would be told once more. */
static void test_gap_told_once(void)
{
    static const struct {
        const char *fact, *at_barrier;
        unsigned barriers;
    } cases[] = {{"it waits for the proof", "t60", 1}, {"… but not for ever", "", 3}};
    char id[EVENT_ID_LEN + 2] = "=";
    for (size_t i = 0; i != sizeof(cases) / sizeof(cases[0]); ++i) {
        start();
        struct channel_shard other = shard;
        channel_move(channels[1], &other);
        shared.margin_ms = 30;
        run("S a10 b11 Fb b50 a55 t39");
        other.born_ms = 40;
        struct feed_request *request = ask_for(2, START_RESUME, 0, "t9");
        replay(request, cases[i].at_barrier, "");
        check_slice(slice_of(got.frames), SLICE("10 gap 50 55 "), "the emptied channel has its gap");
        check(got.barriers == cases[i].barriers, "%s", cases[i].fact);
        feed_request_free(request);
        const char *at = strstr(got.gap, "\nid: ");
        snprintf(id + 1, sizeof(id) - 1, "%.*s", EVENT_ID_LEN, at == NULL ? "" : at + 5);
        request = ask_for(2, START_RESUME, 0, id);
        replay(request, "", "");
        if (cases[i].at_barrier[0] != 0)
            check_slice(slice_of(got.frames), SLICE("10 50 55 "), "… and told once");
        feed_request_free(request);
        stop();
    }
}

static void test_needs(void)
{
    start();
    run("a1 a2 a3 a4 a5 a6 a7 a8 S");
    struct feed_request *request = ask_for(1, START_RESUME, 0, "a1");
    pages.promised = pages.most;
    replay(request, "", "");
    check(got.end == REPLAY_TURN, "without room for its pages it waits for its turn");
    pages.promised = 0;
    struct channel *wait_at;
    struct replay *one = replay_create(request, &shared, on_call, NULL);
    enum replay_need need = replay_prepare(one, &wait_at);
    while (need == REPLAY_CHANNEL) {
        fake_answer(NULL);
        need = replay_prepare(one, &wait_at);
    }
    check(need == REPLAY_READ && replay_reading(one), "it reads for itself what the ring does not reach");
    fake_answer("gone");
    check(!replay_reading(one) && replay_prepare(one, &wait_at) == REPLAY_RETRY, "a read that failed is to be tried again");
    check(replay_prepare(one, &wait_at) == REPLAY_READ, "… and is");
    fake_answer("forbidden");
    check(replay_prepare(one, &wait_at) == REPLAY_REFUSED && replay_fault(one) == HISTORY_FORBIDDEN, "unless it never can");
    replay_free(one);
    channel_lost(channels[0]);
    one = replay_create(request, &shared, on_call, NULL);
    check(replay_prepare(one, &wait_at) == REPLAY_CHANNEL && wait_at == channels[0], "it waits for a channel that is not live");
    replay_free(one);
    feed_request_free(request);
    stop();
    check(memory.bytes == 0 && pages.promised == 0, "what is abandoned leaves nothing");
}

/* A channel whose history is gone is new: whoever finds that out, no stream is told an end that it does not have any more. */
static void test_new_again(void)
{
    static const struct {
        const char *fact, *script;
        enum start_mode mode;
        uint32_t last;
        const char *id;
    } ways[] = {
        {"seen where the history begins", "S a1 ea2 Xa V", START_FRESH, 0, ""},
        {"… which is behind the end", "S a1 ea2 Xa ha3 V", START_FRESH, 0, ""},
        {"counting the newest", "S a1 ea2 V b3 Xa", START_LAST, 9, ""},
        {"reading what follows an id", "S a1 ea2 V b3 Xa", START_RESUME, 0, "a1"},
        {"reading all", "S a1 ea2 V b3 Xa", START_EARLIEST, 0, ""},
    };
    for (size_t i = 0; i != sizeof(ways) / sizeof(ways[0]); ++i) {
        start();
        ring_memory_init(&memory, 0); /* a ring has nothing */
        run(ways[i].script);
        struct feed_request *request = ask_for(1, ways[i].mode, ways[i].last, ways[i].id);
        replay(request, "", "");
        check(got.end == REPLAY_READY && channel_ended_ms(channels[0]) == 0, "%s: the channel is new", ways[i].fact);
        feed_request_free(request);
        stop();
    }
    ring_memory_init(&memory, 1 << 20);
}

/* Nor does an id behind all ends stand behind what a channel has that is new again in that millisecond. */
static void test_new_at_once(void)
{
    start();
    run("ea5 b5 S");
    struct feed_request *request = ask_for(2, START_RESUME, 0, "v5");
    replay(request, "", "");
    check_slice(slice_of(got.frames), SLICE("5 "), "the event of the other channel comes");
    feed_request_free(request);
    stop();
}

/* What Redis answered before an end came says nothing of it. */
static void test_end_behind_answer(void)
{
    start();
    run("S a1 ea2 Xa");
    channel_verify(channels[0], UINT64_MAX);
    fake_execute_all();
    run("ea3");
    answer_all();
    check(channel_ended_ms(channels[0]) == 3, "the end that came since counts");
    stop();
    start();
    run("S a1 V");
    channel_verify(channels[0], UINT64_MAX);
    run("ea2 Xa ha3");
    answer_all();
    check(channel_ended_ms(channels[0]) == 0, "… unless the history begins behind it");
    stop();
}

/* The id behind all ends is given with the last one, so that one is on the last page, also where nothing was left to read behind it. */
static void test_last_end(void)
{
    static const struct {
        const char *fact, *script, *between, *frames;
        uint32_t channels;
    } ways[] = {
        {"the last of several ends is on the last page", "S a1 ea2 eb3 fb4 fb5 fb6 fb7 P2", "", "2 | 3 ", 2},
        {"… whatever is read before", "S a1 b2 b3 eb4 a5 ea6 fa7 fa8 fb9 fa10 fb11 P2", "", "2 3 | | 4 5 | 6 ", 2},
        {"… and what is new there follows it", "S a1 ea2 eb3 fb4 fb5 fb6 fb7 P2", "Xb b8", "2 | 3 8 ", 2},
        {"… or the end of a lease", "S a1 l1 b2 l0 ea3 fa4 fa5 fa6 t9999 P2", "", "2 | 3 end ", 2},
        {"the end of one channel waits for nothing", "S a1 a2 ea3 fa4 fa5 fa6 P2", "", "2 | 3 | ", 1},
    };
    for (size_t i = 0; i != sizeof(ways) / sizeof(ways[0]); ++i) {
        start();
        ring_memory_init(&memory, 0); /* a ring has nothing */
        run(ways[i].script);
        struct feed_request *request = ask_for(ways[i].channels, START_RESUME, 0, "a1");
        replay(request, "", ways[i].between);
        check_slice(slice_of(got.frames), slice_of(ways[i].frames), ways[i].fact);
        feed_request_free(request);
        stop();
    }
    ring_memory_init(&memory, 1 << 20);
}

int main(void)
{
    counters_init();
    metrics_thread();
    log_set_level(LOG_ERROR);
    ring_memory_init(&memory, 1 << 20);
    test_rows();
    test_leased();
    test_place_before();
    test_told_end();
    test_late_shard();
    test_fresh();
    test_fresh_pages();
    test_fresh_ends();
    test_emptied();
    test_doubts();
    test_later();
    test_proofs();
    test_found_at_once();
    test_retry();
    test_looked_up_again();
    test_gap_ids();
    test_authors_ids();
    test_newest_since_head();
    test_gaps_without_record();
    test_gap_told_once();
    test_needs();
    test_new_again();
    test_new_at_once();
    test_end_behind_answer();
    test_last_end();
    return check_end();
}
