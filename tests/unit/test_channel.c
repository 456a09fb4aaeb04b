/* One channel: whatever its subscription and its history do, its events are handed on in order, each once, and what is gone for good is told. The history is this file. */
#include "gateway/feed/channel.h"

#include "gateway/counters.h"
#include "gateway/frame.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "tests/check.h"
#include "tests/unit/fake_history.h"
#include "tests/unit/moving_clock.h"

static char seen[1024]; /* what was handed on */
static unsigned failures, lives, doubts;

static void on_event(struct channel *of, struct frame *frame)
{
    (void)of;
    fake_note(seen, sizeof(seen), frame);
}

static void on_read_failed(struct channel *of, const char *why)
{
    (void)of, (void)why;
    ++failures;
}

static void on_live(struct channel *of)
{
    (void)of;
    ++lives;
}

static void on_clock_doubt(void *data)
{
    (void)data;
    ++doubts;
}

static struct ring_memory memory;
static struct clock_steps steps, moves;
static struct leases leases;
static struct channel_shard shard;
static struct channel_shared shared;
static struct channel *channel;
static struct fake_stream *stream;

static void start(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.now_ms = 1000;
    fake.born_ms = 1;
    stream = fake_stream(SLICE("news"));
    shard = (struct channel_shard){.commands = (struct redis *)&fake,
                                   .history = &fake,
                                   .steps = &steps,
                                   .doubts = &moves,
                                   .leases = &leases,
                                   .on_clock_doubt = on_clock_doubt,
                                   .proven_ms = 100};
    steps = (struct clock_steps){.next = 0};
    memset(&shared, 0, sizeof(shared));
    shared.limits = (struct ring_limits){.frames = 10, .bytes = 1 << 20, .memory = &memory};
    shared.on_event = on_event;
    shared.on_read_failed = on_read_failed;
    shared.on_live = on_live;
    h2o_linklist_init_anchor(&shared.counted);
    channel = channel_create(&shared, &shard, SLICE("news"));
    seen[0] = 0;
    failures = lives = doubts = 0;
}

static void stop(void)
{
    channel_destroy(channel);
    while (fake_answer(NULL))
        continue;
    check(memory.bytes == 0 && shared.unsettled == 0 && leases.count == 0, "… and leaves nothing behind");
}

static void message(uint64_t event)
{
    channel_message(channel, slice_make(stream->payloads[event], stream->sizes[event]));
}

static uint64_t batch_first, batch_last; /* the events of the newest batch */

/* The message of the batch comes; `says`: how many it says. */
static void batch_message(unsigned says)
{
    static char payload[16 + FAKE_EVENTS * FAKE_PAYLOAD];
    size_t n = (size_t)snprintf(payload, 16, "\x1esse3 %u\n", says);
    for (uint64_t event = batch_first; event <= batch_last; ++event) {
        memcpy(payload + n, stream->payloads[event], stream->sizes[event]);
        n += stream->sizes[event];
    }
    channel_message(channel, slice_make(payload, n));
}

/* b: the events after the newest one up to this one are published at once, and come; c: the batch comes again; d: they are published, and come damaged: one less than the batch says. */
static void step_batch(char what, uint64_t last)
{
    if (what != 'b' && what != 'c' && what != 'd')
        abort();
    if (what != 'c') {
        batch_first = stream->marked + 1;
        batch_last = last;
        for (uint64_t event = batch_first; event <= last; ++event)
            fake_publish(stream, event);
    }
    batch_message((unsigned)(batch_last - batch_first + (what == 'd' ? 2 : 1)));
}

static void step_lease(char what, uint64_t value)
{
    if (what == 'l') { /* what is published from now on has a lease of so many seconds; 0: none */
        fake.lease_s = (uint32_t)value;
    } else { /* t: all that was published before this time of Redis's clock has come */
        shard.proven_ms = value;
        channel_check_leases(&shard, UINT64_MAX);
    }
}

/* One step of a row's script. */
static void step(char what, uint64_t event)
{
    switch (what) {
    case 'S': /* the subscription is confirmed */
        channel_subscribed(channel);
        break;
    case 'L': /* … lost */
        channel_lost(channel);
        break;
    case 'D': /* … doubted */
        channel_doubt(channel);
        break;
    case 'p': /* an event is published, and comes */
        fake_publish(stream, event);
        message(event);
        break;
    case 'h': /* … and does not come */
        fake_publish(stream, event);
        break;
    case 'm': /* its message comes, now or again */
        message(event);
        break;
    case 'n': /* a message that no history has: of the event after the one before it */
        fake_message(stream, event, event - 1);
        message(event);
        break;
    case 's': /* … that names one before it which was not the last one */
        fake_message(stream, event, event - 3);
        message(event);
        break;
    case 'l':
    case 't':
        step_lease(what, event);
        break;
    case 'q': /* Redis answers, and the answers are on their way */
        fake_execute_all();
        break;
    case 'T': /* the history is trimmed: it begins with this event */
        fake_trim(stream, event, UINT64_MAX);
        break;
    case 'K': /* … forgets this event and all after it, as a failover may */
        fake_trim(stream, 0, event);
        stream->marked = stream->count == 0 ? 0 : stream->entries[stream->count - 1].at.ms;
        break;
    case 'X': /* … is gone, but for its marker */
        stream->count = 0;
        break;
    case 'f': /* somebody adds an entry by hand */
        fake_stranger(stream, event);
        break;
    case 'N': /* events name such entries */
        fake.names_strangers = true;
        break;
    case 'P': /* answers have so many entries at most */
        fake.page_most = event;
        break;
    case 'F': /* all of Redis is flushed */
        stream->count = stream->marked = 0;
        fake.born_ms = 500;
        break;
    case 'a': /* a read is answered */
        fake_answer(NULL);
        break;
    case 'A': /* all are, and those that they lead to */
        while (fake_answer(NULL))
            continue;
        break;
    case 'E': /* a read fails */
        fake_answer("gone");
        break;
    case 'R': /* what failed may be tried again */
        channel_retry(channel);
        break;
    case 'W': /* the command connection is away */
    case 'B': /* … and back */
        fake.away = what == 'W';
        break;
    default:
        step_batch(what, event);
    }
}

static void run(const char *script)
{
    for (const char *at = script; *at != 0;) {
        char *end, what = *at++;
        uint64_t event = strtoull(at, &end, 10);
        step(what, event);
        for (at = end; *at == ' ';)
            ++at;
    }
}

static const struct {
    const char *fact, *script, *seen;
    bool live;
} rows[] = {
    /* order */
    {"what is in the history before it is listened to is not handed on", "h1 h2 SA", "", true},
    {"it is not live before its history was read", "h1 h2 S", "", false},
    {"events are handed on as they come", "SA p1 p2 p3", "1 2 3 ", true},
    {"an event that the first read has as well comes once", "h1 S p2 A", "", true},
    {"one that comes after the first answer was made comes", "h1 S a p2", "2 ", true},
    {"before the subscription is confirmed, messages wait", "p1 p2 S A", "", true},
    /* duplicates */
    {"the newest event again is none", "SA p1 m1 p2 m2", "1 2 ", true},
    {"nor is an older one of the ring", "SA p1 p2 p3 m1 m2", "1 2 3 ", true},
    {"a message that waited while its event was read comes once", "SA p1 h2 p3 m2 A", "1 2 3 ", true},
    /* holes */
    {"a hole is filled from the history", "SA p1 h2 p3 A", "1 2 3 ", true},
    {"while it is read, what comes waits", "SA p1 h2 p3 p4", "1 ", false},
    {"… and follows in order", "SA p1 h2 p3 p4 A p5", "1 2 3 4 5 ", true},
    {"a hole before the first event is filled", "SA h1 p2 A", "1 2 ", true},
    {"what the history does not have any more is told as a gap", "SA p1 h2 h3 T3 p4 A", "1 gap 3 4 ", true},
    {"so is what it never had", "SA p1 n3 A", "1 gap 3 ", true},
    {"so is a hole in a history that went before it was read", "SA p5 h6 h7 m7 F p9 A", "5 gap 9 ", true},
    {"an event of a history that is no more is dropped, be it newer", "SA p5 s7 A p6", "5 6 ", true},
    {"… or older", "SA p5 n3 A p6", "5 6 ", true},
    {"… also where it waited for a read that knew nothing of it", "SA p5 h6 p7 n2 A p8", "5 6 7 8 ", true},
    {"… as one that is newer", "SA p5 h6 p7 s9 A p8", "5 6 7 8 ", true},
    {"… but not where nothing tells that the other history went on", "SA p5 X s7 A p8 A", "5 gap 7 gap 8 ", true},
    {"the first event of a history that went while it waited is dropped", "p5 F h2 S A p3", "3 ", true},
    {"… with those that follow it", "p5 p6 p7 F h2 S A p3", "3 ", true},
    {"… or where they come while that is read, it begins behind them", "p5 S p6 F p2 A p3 A", "gap 6 2 3 ", true},
    {"… also where that was found empty before", "SA p5 L F S a a a p7 F p2 A p3 A", "5 gap 2 3 ", true},
    {"one that waited behind an older one, while its own history went, is not", "P2 SA p5 h6 p7 q n2 h8 h9 h10 h11 m11 a a X A",
     "5 6 7 8 gap ", true},
    /* batches */
    {"the events of a batch are handed on one by one", "SA p1 b4 p5", "1 2 3 4 5 ", true},
    {"a batch that comes again is none", "SA p1 b4 c m3 p5", "1 2 3 4 5 ", true},
    {"a hole before a batch is filled", "SA p1 h2 b5 A", "1 2 3 4 5 ", true},
    {"a batch that comes while the history is read waits", "SA p1 h2 p3 b5", "1 ", false},
    {"… and follows in order", "SA p1 h2 p3 b5 A p6", "1 2 3 4 5 6 ", true},
    {"of a batch that the first read has in part comes the rest", "h1 S a b4 A", "2 3 4 ", true},
    {"a batch that was read comes once", "h1 S b3 A p4", "4 ", true},
    {"what is gone before a batch is a gap", "SA p1 h2 b5 T3 A", "1 gap 3 4 5 ", true},
    {"one that is damaged is dropped as a whole, and read at the next event", "SA p1 d4 p5 A", "1 2 3 4 5 ", true},
    {"… also the first", "SA d2 p3 A", "1 2 3 ", true},
    {"a batch may leave a lease", "SA l1 b2 t1003", "1 2 end ", true},
    {"a batch that the connection lost is read", "SA b2 L h3 h4 S A c", "1 2 3 4 ", true},
    /* loss */
    {"what was missed while the subscription was lost is read", "SA p1 L h2 h3 S A p4", "1 2 3 4 ", true},
    {"nothing missed, nothing told", "SA p1 L S A p2", "1 2 ", true},
    {"a loss while it reads makes it read again", "SA p1 L h2 S L h3 S A", "1 2 3 ", true},
    {"what was read before the newest subscription is not the end", "SA p1 L S q L h2 S A", "1 2 ", true},
    {"what came before the loss and was held follows the history", "SA p1 h2 p3 L h4 S A", "1 2 3 4 ", true},
    {"where messages may have been lost, the history is read", "SA p1 h2 D A", "1 2 ", true},
    {"a doubt before the subscription changes nothing", "D SA p1", "1 ", true},
    {"what was trimmed meanwhile is a gap", "SA p1 L h2 h3 T3 S A", "1 gap 3 ", true},
    {"a history that expired with nothing missed is no gap", "SA p1 L X S A p2", "1 2 ", true},
    {"one that expired with events that were missed is", "SA p1 L h2 h3 X S A p4", "1 gap 4 ", true},
    {"so is a Redis that was flushed", "SA p1 L F S A", "1 gap ", true},
    {"an event that follows the last one, which was deleted while that was looked for, is no gap", "SA p1 L X S a h2 A", "1 2 ",
     true},
    {"all that was published while it was found to be lost comes behind the gap", "SA p5 p6 L K0 S a a h8 h9 A", "5 6 gap 8 9 ",
     true},
    {"… behind which older positions are new ones, once", "SA p5 L F S A p2 m2", "5 gap 2 ", true},
    {"an open subscription vouches for a history that begins anew", "SA p1 F p2", "1 2 ", true},
    /* start over */
    {"an older event that was held while its history went is none, where the marker has a later one", "SA p5 L X S n1 A", "5 ",
     true},
    {"a history that was deleted, by a clock that went back, is followed", "SA p5 F p2 A p3", "5 2 3 ", true},
    {"one that went before that was known is a gap", "SA p5 F p2 F A p7", "5 gap 7 ", true},
    {"… also where a new one began since", "SA p5 F p2 F p9 A", "5 gap 9 ", true},
    {"… or one with older positions still", "SA p9 F p4 p5 F p2 A p3", "9 gap 2 3 ", true},
    {"… that has later ones, too", "SA p9 F p4 F p2 p6 A p7", "9 gap 2 6 7 ", true},
    {"… several answers of them", "P2 SA p19 F p4 F p2 p3 p6 A p7", "19 gap 2 3 6 7 ", true},
    {"… also where somebody added an entry since", "SA p5 F p2 F f9 A p10", "5 gap 10 ", true},
    {"one that lost the newest events in a failover is, too, after a gap", "SA p1 p2 p3 L K3 h4 S A p5", "1 2 3 gap 4 5 ", true},
    {"… also where it gives their positions anew", "SA p1 p2 p6 L K6 h4 S A", "1 2 6 gap 4 ", true},
    {"one that lost all it had is, too", "SA p1 p2 L K1 S A p3", "1 2 gap 3 ", true},
    /* entries of somebody else */
    {"an entry that somebody added is passed over", "SA p1 f2 p3", "1 3 ", true},
    {"… also one that the next event names", "N SA p1 f2 p3 A f4 p5 A", "1 3 5 ", true},
    {"… and while the subscription is lost", "SA p1 L f2 h3 f4 S A f5 p6", "1 3 6 ", true},
    {"… and all of them do", "N SA p1 L f2 h3 f4 S A f5 p6 A", "1 3 6 ", true},
    {"a history of them alone has no event yet", "f1 f2 SA p3", "3 ", true},
    {"… or one that was before", "h1 f2 f3 SA p4 L S A p5", "4 5 ", true},
    {"… or one that was trimmed", "h1 f2 f3 T2 SA p4 L S A p5", "4 5 ", true},
    {"many of them are read in parts", "P2 h1 f2 f3 f4 f5 f6 SA p7 L f8 f9 f10 f11 S A f12 p13 L h14 f15 f16 f17 f18 S A",
     "7 13 14 ", true},
    {"… also before the first event", "P2 SA L f2 f3 f4 f5 f6 S A p7", "7 ", true},
    {"that the last event was trimmed before them is no gap", "SA p1 p2 L f3 T3 S A p4", "1 2 4 ", true},
    {"… nor that it was before an event which names it", "SA p1 p2 L f3 h4 T3 S A p5", "1 2 4 5 ", true},
    {"what was trimmed with it is", "SA p1 p2 L h3 f4 T4 S A p5", "1 2 gap 5 ", true},
    {"… also before an event", "SA p1 p2 L h3 f4 h5 T4 S A p6", "1 2 gap 5 6 ", true},
    {"what a failover lost is a gap, though one of them stands there", "SA p1 p2 p3 L K2 f4 S A p5", "1 2 3 gap 5 ", true},
    {"… whatever the next event names", "N SA p1 p2 p3 L K2 f4 S A p5 A", "1 2 3 gap 5 ", true},
    {"… and where the next event has come", "SA p1 p2 p3 L K2 f4 h5 f6 h7 S A p8", "1 2 3 gap 5 7 8 ", true},
    {"… which names it", "N SA p1 p2 p3 L K2 f4 h5 f6 h7 S A p8", "1 2 3 gap 5 7 8 ", true},
    {"… and where it has the position of the last event", "SA p1 p2 p3 L K2 f3 S A p5", "1 2 3 gap 5 ", true},
    {"… and where nothing of before is there", "SA p2 p3 L K2 f4 S A p5", "2 3 gap 5 ", true},
    {"… or all of Redis was flushed", "SA p2 p3 L F f4 S A p5", "2 3 gap 5 ", true},
    {"an older event of a history that began anew is one before them", "SA p5 p6 F p2 f8 A p9", "5 6 2 9 ", true},
    {"an older event that comes again is none behind them", "SA p5 p6 f7 T7 n3 A p8", "5 6 8 ", true},
    /* leases; an event's position is its number in milliseconds */
    {"a lease runs until all that was published in its time has come", "SA l1 p1 t1001", "1 ", true},
    {"then the channel was abandoned, and that is told once", "SA l1 p1 t1002 t1003 t9000", "1 end ", true},
    {"an event renews it", "SA l1 p1 p2 t1002", "1 2 ", true},
    {"… from its own time on", "SA l1 p1 p2 t1002 t1003", "1 2 end ", true},
    {"also for longer", "SA l1 p1 l9 p2 t1003 t9002", "1 2 ", true},
    {"… but not for ever", "SA l1 p1 l9 p2 t1003 t9003", "1 2 end ", true},
    {"or for less", "SA l9 p1 l1 p2 t1003", "1 2 end ", true},
    {"an event without a lease ends it", "SA l1 p1 l0 p2 t9000", "1 2 ", true},
    {"an event revives the channel", "SA l1 p1 t1002 l0 p2 t9000", "1 end 2 ", true},
    {"… which may be abandoned again", "SA l1 p1 t1002 p2 t1003", "1 end 2 end ", true},
    {"the newest event of the history counts, when nobody has listened yet", "l1 h1 SA t1002", "end ", true},
    {"… also where its time is long over", "l1 h1 t1002 SA", "end ", true},
    {"… and an older one does not", "l1 h1 l0 h2 SA t9000", "", true},
    {"while the history is read nobody knows whether it was renewed", "SA l1 p1 h2 p3 t1002", "1 ", false},
    {"… and then it is known that it was", "SA l1 p1 l9 h2 p3 t1002 A t1002", "1 2 3 ", true},
    {"… or that it was not", "SA l1 p1 h2 p3 t1004 A", "1 2 3 end ", true},
    {"nor while the subscription is lost", "SA l1 p1 L t1002", "1 ", false},
    {"… until the history has been read", "SA l1 p1 L t1002 S A", "1 end ", true},
    {"… with an event in it that came in time", "SA l1 p1 L l9 h2 t1002 S A t1003", "1 2 ", true},
    {"a lease goes on where a subscription was lost and came back in its time", "SA l1 p1 L t500 S A t1001 t1002", "1 end ", true},
    {"… and was over once only, also where its event is found again", "SA l1 p1 t1002 L S A t1003", "1 end ", true},
    {"… but is told again behind a gap: what followed is lost", "SA l1 p1 t5000 l0 p2 L K2 SA", "1 end 2 gap end ", true},
    {"… once, also where its event is then read again", "SA l1 p1 t5000 l0 p2 L K2 SA L SA", "1 end 2 gap end ", true},
    {"of a history that is gone there is no lease", "SA l1 p1 L X S A t9000", "1 ", true},
    {"a clock that was set back gives it the time once more", "SA l1 p1 t900 t500 t1001", "1 ", true},
    {"… and takes back nothing that was told", "SA l1 p1 t1002 t500 t1002", "1 end ", true},
    {"… nor is an event lost that comes then", "SA l1 p1 t1002 t500 p2 t1002 t1003", "1 end 2 end ", true},
    /* failures */
    {"a read that fails leaves it where it is", "SE", "", false},
    {"… until it is tried again", "S E R A p1", "1 ", true},
    {"without a connection it waits", "SA p1 W h2 p3 A", "1 ", false},
    {"… until there is one", "SA p1 W h2 p3 B R A", "1 2 3 ", true},
};

static void test_rows(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        start();
        run(rows[i].script);
        check_slice(slice_of(seen), slice_of(rows[i].seen), "%s (%s)", rows[i].fact, rows[i].script);
        check(channel_live(channel) == rows[i].live, "… and it is %slive", rows[i].live ? "" : "not ");
        stop();
    }
}

/* The history is read in parts as well as in one. */
static void test_parts(void)
{
    start();
    run("SA p1 L h2 h3 h4 h5 h6 h7 S");
    fake.page_most = 2;
    run("A p8");
    check_slice(slice_of(seen), SLICE("1 2 3 4 5 6 7 8 "), "what was missed comes in order, however many reads it takes");
    check(fake.asked >= 4, "… and it took several (%u)", fake.asked);
    stop();
}

static bool ring_is(uint64_t first, uint64_t last)
{
    const struct ring *ring = channel_ring(channel);
    for (uint32_t i = 0; i < ring->count; ++i)
        if (ring_at(ring, i)->at.ms != first + i)
            return false;
    return ring->count == last - first + 1;
}

static void test_repeated(void)
{
    start();
    run("SA p1 p2 p3");
    unsigned asked = fake.asked;
    run("m1 m2 m3");
    check(fake.asked == asked, "what the ring holds is known to be a duplicate: the history is not asked");
    run("X");
    channel_verify(channel, UINT64_MAX);
    run("A");
    asked = fake.asked;
    run("m3");
    check(channel_ring(channel)->count == 0 && fake.asked == asked, "… nor for the newest, when the ring holds it no more");
    run("m1 m2 A");
    check_slice(slice_of(seen), SLICE("1 2 3 "), "an older one that comes again behind its history is not handed on again");
    stop();
}

/* Other channels need its memory. */
static void let_ring_go(void)
{
    memory.limit = 0;
    ring_memory_take(&memory, 0);
    memory.limit = 1 << 20;
    check(channel_ring(channel)->count == 0, "a ring may let its last event go");
}

static void test_last_let_go(void)
{
    start();
    run("SA p1 p2 p3 L");
    let_ring_go();
    run("K2 f3 S A p5");
    check_slice(slice_of(seen), SLICE("1 2 3 gap 5 "), "… and that event is lost where somebody's entry has its position");
    stop();
    start();
    run("SA p1 p2 p3 L K3");
    let_ring_go();
    fake.authors_ids = true;
    run("h3 h4 S A p5");
    check_slice(slice_of(seen), SLICE("1 2 3 gap 3 4 5 "), "… or another event");
    stop();
    start();
    run("SA p1 p2 p3 L");
    let_ring_go();
    run("h4 S A m3");
    check_slice(slice_of(seen), SLICE("1 2 3 4 "), "… but not where it is there");
    stop();
}

/* Only an event that came in its shard's order says what the shard's clock is. */
static void test_clock(void)
{
    start();
    steps = (struct clock_steps){.known = true, .most_ms = 1000 - (int64_t)monotonic_ms(), .heard_ms = 40}; /* of another channel */
    steps.least_ms = steps.most_ms;
    run("SA p30");
    check(doubts == 1, "the next event is older than another channel's: was the clock set back?");
    run("h31 p32 A");
    check(doubts == 1, "one behind a hole says nothing of that");
    run("L p33 S A");
    check(doubts == 1, "nor does one that comes while the channel is not live");
    run("p50");
    check(doubts == 1, "nor one that is newer");
    uint64_t since_ms;
    steps.most_ms = 10 - (int64_t)monotonic_ms();
    run("p60 p61");
    check(channel_was_ahead(channel, 60, &since_ms) && channel_was_ahead(channel, 61, &since_ms) && since_ms == 100 &&
              !channel_was_ahead(channel, 50, &since_ms) && !channel_was_ahead(channel, 62, &since_ms),
          "those that are ahead of the clock say nothing of the time in other channels");
    steps.most_ms += 100;
    check(!channel_was_ahead(channel, 60, &since_ms), "… unless it turns out that the clock was set forward");
    stop();
}

static void test_ring(void)
{
    start();
    run("h1 h2 h3 h4 h5 SA");
    check(ring_is(5, 5), "the first read fills the ring with the newest event");
    lives = 0;
    check(channel_deepen(channel, 3) && channel_deepen(channel, 2) && fake.waiting == 1,
          "a deeper ring is read once for all that ask");
    run("A");
    check(ring_is(3, 5) && lives == 1, "… and on_live tells when it is there");
    check(!channel_deepen(channel, 3), "what is there is not read again");
    check(channel_deepen(channel, UINT32_MAX), "all of the history may be asked for");
    run("A");
    check(ring_is(1, 5) && !channel_deepen(channel, UINT32_MAX), "… and is there then");
    check(!channel_verify(channel, 0), "what was read since need not be verified");
    run("T4");
    check(channel_verify(channel, UINT64_MAX), "else it is asked where the history begins");
    run("A");
    check(ring_is(4, 5), "… and what was trimmed is not in the ring any more");
    check(channel_covers(channel, fake_at(3)) && !channel_covers(channel, fake_at(2)),
          "the ring answers what follows the event before it");
    run("X");
    check(channel_verify(channel, UINT64_MAX), "a history that is gone");
    run("A");
    check(channel_ring(channel)->count == 0, "… leaves no ring");
    check(channel_verify(channel, UINT64_MAX) && fake.waiting == 1, "… and is looked at again: it may not be one any more");
    run("A");
    stop();
}

static void test_depth(void)
{
    start();
    run("h4 h5 h6 SA");
    channel_deepen(channel, UINT32_MAX);
    run("A F p2 A");
    check(channel_deepen(channel, 2), "a history that began anew is to be read again, however deep the one before was read");
    stop();
}

/* Nobody waits any more for what a read that failed was to bring. */
static void test_dropped_wishes(void)
{
    start();
    run("h1 h2 h3 SA");
    channel_deepen(channel, 3);
    channel_verify(channel, UINT64_MAX);
    run("E");
    channel_drop_wishes(channel);
    run("R");
    check(fake.waiting == 0, "neither a deeper ring nor where the history begins is asked for again");
    stop();
}

/* What was published before the first loss has come; what a later one of several proves is nothing. */
static void test_heard(void)
{
    start();
    run("SA p1 L");
    shard.proven_ms = 900;
    run("S L F S A");
    check_slice(slice_of(seen), SLICE("1 gap "), "what was flushed between two losses may be missing");
    stop();
    for (int moved = 0; moved < 2; ++moved) {
        start();
        run("SA p1");
        shard.proven_ms = 900;
        if (moved)
            clock_steps_add(&moves, 400, 1000);
        run("L F S A");
        check_slice(slice_of(seen), moved ? SLICE("1 gap ") : SLICE("1 "), "what was proven %s",
                    moved ? "about a failover says nothing" : "has come");
        stop();
        moves = (struct clock_steps){.next = 0};
    }
    start();
    run("D");
    check(fake.waiting == 0, "a doubt before there is a subscription asks nothing");
    stop();
}

/* … and so are those of older data that took over since: the last event's marker would be there. */
static void test_older_birth(void)
{
    start();
    run("SA p10 L F S A p20");
    shard.proven_ms = 900;
    shard.born_ms = 1; /* the marker was read with 500 */
    run("L F h30 S A");
    check_slice(slice_of(seen), SLICE("10 gap 20 gap 30 "), "what was published after the earlier of two births is lost");
    stop();
}

/* By a clock that was set back: what was published since it was is older than the birth. */
static void test_birth_ahead(void)
{
    start();
    run("SA p10");
    shard.proven_ms = 900;
    clock_steps_add(&steps, 5, 600);
    run("L F S A");
    check_slice(slice_of(seen), SLICE("10 gap "),
                "a birth of a time that came twice proves nothing of what was published the second time");
    stop();
}

/* A history that was seen empty begins with older positions, and nothing was missed: the ring stays in order. */
static void test_older_positions(void)
{
    struct position at;
    start();
    run("SA p5");
    shard.proven_ms = 900;
    run("L F S A p2 p3");
    check(ring_is(2, 3) && channel_breaks(channel, &at) == 1, "the ring begins anew");
    run("L S A p4");
    check_slice(slice_of(seen), SLICE("5 2 3 4 "), "… and is known again");
    stop();
}

/* What streams were handed out is lost, however that is noticed. */
static void test_breaks(void)
{
    struct position at;
    start();
    run("SA p1 p2 L S A");
    check(channel_breaks(channel, &at) == 0, "a history that is whole did not break");
    run("L F S A");
    check(channel_breaks(channel, &at) == 1 && position_is_none(at), "one that is not there did, with its beginning");
    run("p3 p4 L K4 S A");
    check(channel_breaks(channel, &at) == 2 && at.ms == 3, "one that lost its newest event did, behind the one before");
    run("L h5 h6 T6 S A");
    check(channel_breaks(channel, &at) == 2, "one that was trimmed did not");
    stop();
}

/* A history may go between two of the reads that it takes. */
static void test_unproven_end(void)
{
    start();
    run("SA p1 L h2 S");
    fake.page_most = 1;
    run("a F A");
    check_slice(slice_of(seen), SLICE("1 gap "), "an end behind an answer that told of more is proven by the last event");
    stop();
}

static void test_bare(void)
{
    uint64_t horizon_ms = 0;
    start();
    run("SA");
    check(channel_bare(channel) && position_is_none(channel_newest(channel)), "a channel that never had an event is bare");
    check(channel_horizon(channel, NULL, false, &horizon_ms) && horizon_ms == 1,
          "… and nothing came since the data was first seen");
    run("p1");
    check(!channel_bare(channel) && channel_newest(channel).ms == 1, "its first event ends that");
    stop();
    start();
    run("h1 h2 X SA");
    check(channel_bare(channel) && channel_newest(channel).ms == 2,
          "of one whose history expired, the marker tells the last event");
    run("p3");
    check_slice(slice_of(seen), SLICE("3 "), "… which the next one follows");
    stop();
}

/* Before the first canary is back nothing is proven, but what was read. */
static void test_bare_interrupted(void)
{
    start();
    shard.proven_ms = 0;
    run("SA L S A A");
    check_slice(slice_of(seen), SLICE(""), "a channel that was read as bare, and is bare still, has no gap after an interruption");
    stop();
}

static void test_unsettled(void)
{
    start();
    run("SA p1 L");
    check(shared.unsettled == 1, "a channel that was live and lost its subscription is unsettled");
    run("S A");
    check(shared.unsettled == 0, "… until it is live again");
    run("L h2 S");
    stop(); /* counts it off */
}

static void test_failures(void)
{
    start();
    run("S E");
    check(failures == 1 && lives == 0, "a read that failed is told once");
    channel_drop_wishes(channel);
    run("R A");
    check(lives == 1, "… and is tried again");
    stop();
    start();
    run("S L a");
    check(failures == 0 && lives == 0, "what was read for a lost subscription makes nothing live");
    stop();
}

/* … and without a marker its newest event is looked for behind them, while the next one comes. */
static void test_behind_strangers(void)
{
    start();
    run("P1 h1 f2 f3 f4 S");
    stream->marked = 0;
    run("a a p5 A p6");
    check_slice(slice_of(seen), SLICE("5 6 "), "an event that comes while the one before it is looked for is handed on");
    stop();
}

static char gap_id[EVENT_ID_LEN + 1];

static void on_gap(struct channel *of, struct frame *frame)
{
    struct slice body = frame_body(frame);
    const char *id = memmem(body.p, body.n, "\nid: ", 5);
    (void)of;
    if (frame->kind == FRAME_GAP && id != NULL)
        memcpy(gap_id, id + 5, EVENT_ID_LEN);
}

static void test_gap_ahead(void)
{
    char proven[EVENT_ID_LEN + 1];
    start();
    shared.on_event = on_gap;
    steps = (struct clock_steps){.known = true, .most_ms = 10 - (int64_t)monotonic_ms()};
    steps.least_ms = steps.most_ms;
    shard.proven_ms = 8;
    run("SA p5 h6 h7 m7 F p60 A");
    event_id_format(proven, SLICE(""), fake_at(8));
    check_slice(slice_of(gap_id), slice_of(proven),
                "the id of a gap is no time that is still to be, though the event behind it is ahead of the clock");
    shared.on_event = on_event;
    stop();
}

/* A history that is deleted with its marker gives its positions again, within the same millisecond. */
static void test_position_again(void)
{
    start();
    run("SA p5 p6 F m5");
    fake.authors_ids = true;
    run("p5 A p6 m5");
    check_slice(slice_of(seen), SLICE("5 6 5 6 "), "another event at the position of one in the ring is no old one");
    stop();
    start();
    run("p5 p6 F");
    fake.authors_ids = true;
    run("p5 S A p7");
    check_slice(slice_of(seen), SLICE("7 "), "… and what followed that, and waited, does not follow it");
    stop();
    start();
    run("SA p9 F p4 F");
    fake.authors_ids = true;
    run("p4 A p6");
    check_slice(slice_of(seen), SLICE("9 gap 4 6 "), "… and one that waited, and is gone, is not there for it");
    stop();
}

/* … also where the ring has let the last event go with its history. */
static void test_last_position_again(void)
{
    static const struct {
        const char *fact, *script, *seen;
    } again[] = {
        {"another event at its position is no old one", "p6 A p7", "6 6 7 "},
        {"… nor is what the new history has before that", "p2 p6 A p7", "6 2 6 7 "},
        {"… which is a gap where the subscription was lost, and nothing of the new history is left out", "L h2 h6 h7 S A p8",
         "6 gap 2 6 7 8 "},
    };
    for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); ++i) {
        start();
        run("SA p6 F");
        channel_verify(channel, UINT64_MAX);
        run("A");
        check(channel_ring(channel)->count == 0, "the ring is empty");
        fake.authors_ids = true;
        run(again[i].script);
        check_slice(slice_of(seen), slice_of(again[i].seen), "%s", again[i].fact);
        stop();
    }
}

/* A channel whose events wait takes no more memory than a ring may: it forgets them, and reads them again. */
static void test_held(void)
{
    start();
    shared.limits.bytes = 200;
    run("SA p1 h2 p3 p4 p5 p6 p7 A");
    check_slice(slice_of(seen), SLICE("1 2 3 4 5 6 7 "), "what was let go while it waited is read");
    stop();
    start();
    shared.limits.bytes = 200;
    run("SA p19 F p1 p2 p3 p4 p5 p6 p7 A");
    check_slice(slice_of(seen), SLICE("19 1 2 3 4 5 6 7 "), "… also where it begins another history");
    stop();
    start();
    shared.limits.bytes = 200;
    run("SA p19 h20 p21 F p1 p2 p3 p4 p5 p6 p7 A");
    check_slice(slice_of(seen), SLICE("19 gap 1 2 3 4 5 6 7 "), "… or was of one that went, by a clock that went back");
    stop();
    start();
    shared.limits.bytes = 200;
    run("SA p5 h6 h7 m7 m7 m7 m7 m7 F p9 A");
    check_slice(slice_of(seen), SLICE("5 gap 9 "), "… or that went meanwhile, which is a gap");
    stop();
}

static void test_move(void)
{
    start();
    run("SA p1");
    channel_move(channel, NULL);
    check(!channel_live(channel), "a channel that no shard has is not live");
    run("S A");
    check(!channel_live(channel) && fake.waiting == 0, "… and nothing is read for it");
    channel_move(channel, &shard);
    run("h2 S A");
    check_slice(slice_of(seen), SLICE("1 2 "), "a shard that has it goes on where it was");
    stop();
}

static void test_leased_move(void)
{
    struct leases others = {.count = 0};
    struct channel_shard other;
    start();
    other = shard;
    other.leases = &others;
    run("SA l1 p1");
    channel_move(channel, NULL);
    run("t1002");
    check(leases.count == 0, "a channel that has moved is no longer among the leases of the shard where it was");
    channel_move(channel, &other);
    run("S A");
    check(others.count == 1, "… but of the one where it is");
    other.proven_ms = 1002;
    check(!channel_check_leases(&other, UINT64_MAX), "… whose time counts");
    check_slice(slice_of(seen), SLICE("1 end "), "… and it was abandoned");
    stop();
}

static unsigned ends;

static void on_end(struct channel *of, struct frame *frame)
{
    (void)of;
    ends += frame->kind == FRAME_END;
}

/* A turn has time for some of a thousand leases that end at once, with a clock that moves by 0.1 ms at each look; those that are not due take none of it. */
static void test_many_leases(void)
{
    enum { MANY = 1000, LATER = 500 };
    static struct channel *many[MANY];
    unsigned turns = 0, most = 0;
    start();
    shared.on_event = on_end;
    ends = 0;
    for (int i = 0; i < MANY; ++i) {
        many[i] = channel_create(&shared, &shard, SLICE("news"));
        channel_subscribed(many[i]);
        while (fake_answer(NULL))
            continue;
        fake.lease_s = i < LATER ? 1 : 2;
        channel_message(many[i], fake_message(stream, 1, 0));
    }
    shard.proven_ms = 1000;
    clock_step_us = 1000;
    check(!channel_check_leases(&shard, 0) && ends == 0, "leases that are not due cost nothing, however many there are");
    shard.proven_ms = 1002;
    clock_step_us = 100;
    for (bool more = true; more; ++turns) {
        unsigned before = ends;
        more = channel_check_leases(&shard, monotonic_us() + 1000);
        most = ends - before > most ? ends - before : most;
    }
    clock_step_us = 1;
    check(most >= 5 && most <= 10, "a turn of 1 ms tells of %u, not of all", most);
    check(ends == LATER && turns >= LATER / 10, "the next turns tell of the others that are due, each once: %u in %u", ends, turns);
    for (int i = 0; i < MANY; ++i)
        channel_message(many[i], fake_message(stream, 2, 1)); /* of 2 s: those that wait are renewed, the others revived */
    shard.proven_ms = 2002;
    check(!channel_check_leases(&shard, UINT64_MAX) && ends == LATER, "those that were renewed meanwhile are not abandoned");
    shard.proven_ms = 2003;
    check(!channel_check_leases(&shard, UINT64_MAX) && ends == LATER + MANY, "… until that is over, too");
    for (int i = 0; i < MANY; ++i)
        channel_destroy(many[i]);
    shared.on_event = on_event;
    stop();
}

/* While the memory of all rings is full, those of other channels keep it for a while. */
static void test_no_room(void)
{
    start();
    run("h1 h2 h3 h4 h5 h6 SA");
    const struct ring *ring = channel_ring(channel);
    memory.limit = memory.bytes + 2 * frame_memory(ring_at(ring, 0));
    check(channel_deepen(channel, UINT32_MAX), "the older ones are asked for");
    run("A");
    check(ring_is(4, 6), "those that find room are in the ring");
    check(!channel_covers(channel, fake_at(2)), "… which does not answer for the others");
    memory.limit = 1 << 20;
    ((struct ring *)ring)->cut_ms = 1; /* that was long ago */
    check(channel_deepen(channel, UINT32_MAX), "they are asked for again when there may be room");
    run("A");
    check(ring_is(1, 6), "… and none is left out");
    stop();
}

int main(void)
{
    counters_init();
    metrics_thread();
    log_set_level(LOG_ERROR);
    ring_memory_init(&memory, 1 << 20);
    test_rows();
    test_parts();
    test_repeated();
    test_last_let_go();
    test_clock();
    test_ring();
    test_no_room();
    test_depth();
    test_dropped_wishes();
    test_heard();
    test_older_birth();
    test_birth_ahead();
    test_older_positions();
    test_breaks();
    test_unproven_end();
    test_bare();
    test_bare_interrupted();
    test_unsettled();
    test_failures();
    test_behind_strangers();
    test_position_again();
    test_last_position_again();
    test_gap_ahead();
    test_held();
    test_move();
    test_leased_move();
    test_many_leases();
    return check_end();
}
