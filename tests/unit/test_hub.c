/* A worker's hub between a feed and transports that are this file: what it asks of the one and makes the others write, in scripts of steps. */
#include "gateway/stream/hub.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/messages.h"
#include "gateway/stream/heads.h"
#include "gateway/stream/transport.h"
#include "tests/check.h"
#include "tests/unit/fake_stream.h"
#include "tests/unit/moving_clock.h"

enum { STREAMS = 600, KEEPALIVE_MS = 15000, COALESCE_MS = 50 };

static h2o_req_t reqs[STREAMS];
static struct subscriber *streams[STREAMS]; /* the one of each request; dangling once it is freed */
static uint32_t opened;
static bool stuck; /* transports take nothing */
static uint32_t written; /* frames */

/* ---- the transports ---- */

static void on_open(h2o_req_t *req, struct subscriber *subscriber)
{
    (void)req, (void)subscriber;
    fake_happened("open");
}

static void tell_body(const char *how, const char *body, size_t n)
{
    char word[64];
    snprintf(word, sizeof(word), "%s%.*s", how, (int)n, body);
    fake_happened(word);
}

/* Under an id of its own: of the millisecond of the last end, which is not over. Or in the words that were asked for. */
static void tell_own_end(const struct frame *frame)
{
    struct slice body = frame_body(frame);
    const char *line = memmem(body.p, body.n, "id: ", 4);
    struct slice id = line == NULL ? SLICE("") : slice_make(line + 4, EVENT_ID_LEN);
    struct position at = POSITION_NONE;
    bool of_time = id.n == EVENT_ID_LEN && event_id_parse(&at, id, SLICE("")) && event_id_is_end(id);
    fake_happened(!of_time ? "queue:own-text" : at.ms == 5 && at.seq == EVENT_ID_TIME_NEAR ? "queue:own-end" : "queue:wrong-id");
}

static void on_flush(struct subscriber *subscriber)
{
    subscriber->busy = stuck;
    while (!stuck && subscriber->queue.count != 0) {
        struct slice body = frame_body(frames_at(&subscriber->queue, 0));
        if (body.n == 1 || body.n == 2)
            tell_body("queue:", body.p, body.n);
        else if (frames_at(&subscriber->queue, 0)->kind == FRAME_END)
            tell_own_end(frames_at(&subscriber->queue, 0));
        ++written;
        subscriber_written(subscriber, 1, 0);
    }
}

static void on_close(struct subscriber *subscriber, bool all)
{
    fake_happened(all ? "end" : "cut");
    subscriber_detach(subscriber);
}

static int through_queue(const struct subscriber *subscriber)
{
    (void)subscriber;
    return TRANSPORT_QUEUE;
}

static const void *no_connection(const struct subscriber *subscriber)
{
    (void)subscriber;
    return NULL;
}

static void no_prefetch(const struct subscriber *subscriber)
{
    (void)subscriber;
}

#define COMMON \
    .open = on_open, .flush = on_flush, .close = on_close, .fd = no_fd, .connection = no_connection, .prefetch = no_prefetch
const struct transport transport_plain = {.name = "plain", .direct = its_fd, COMMON};
const struct transport transport_tls = {.name = "tls", .direct = through_queue, COMMON};

static void on_answer(h2o_req_t *req, struct subscriber *subscriber)
{
    (void)req;
    fake_happened(subscriber->poll->ended        ? "ended"
                  : subscriber->queue.count == 0 ? "nothing"
                  : subscriber->poll->more       ? "some"
                                                 : "answer");
    for (uint32_t i = 0; i < subscriber->queue.count; ++i)
        tell_body("", frame_body(frames_at(&subscriber->queue, i)).p, frame_body(frames_at(&subscriber->queue, i)).n);
    struct position next;
    char word[32];
    if (event_id_parse(&next, slice_of(subscriber->poll->next), SLICE("")))
        tell_body("next:", word, (size_t)snprintf(word, sizeof(word), "%u", (unsigned)next.ms));
    else if (event_id_parse(&next, slice_of(subscriber->poll->next), SLICE("a")))
        tell_body("next-a:", word, (size_t)snprintf(word, sizeof(word), "%u", (unsigned)next.ms));
}

static void answer_now(struct subscriber *subscriber)
{
    subscriber_answer(subscriber, CLOSE_ANSWERED);
}

const struct transport transport_poll = {.name = "poll",
                                         .direct = through_queue,
                                         .open = on_answer,
                                         .flush = answer_now,
                                         .close = on_close,
                                         .fd = no_fd,
                                         .connection = no_connection,
                                         .prefetch = no_prefetch};
const struct transport transport_h2 = {.name = "h2", .direct = through_queue, COMMON};

ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
    if (fd != FD || (flags & MSG_DONTWAIT) == 0)
        return -1;
    tell_body("socket:", (const char *)bytes + 3, n - 5); /* of one chunk below 16 bytes */
    return (ssize_t)n;
}

/* ---- the feed ---- */

void h2o_multithread_register_receiver(h2o_multithread_queue_t *queue, h2o_multithread_receiver_t *receiver,
                                       h2o_multithread_receiver_cb cb)
{
    (void)queue;
    receiver->cb = cb;
}

void h2o_multithread_send_message(h2o_multithread_receiver_t *receiver, h2o_multithread_message_t *message)
{
    (void)receiver, (void)message;
    abort(); /* the feed is on this thread */
}

void heads_init(struct heads *heads, h2o_loop_t *loop, void (*on_due)(void *data, struct subscriber *subscriber), void *data)
{
    (void)loop, (void)on_due, (void)data;
    h2o_linklist_init_anchor(&heads->streams);
    h2o_linklist_init_anchor(&heads->polls);
}

void heads_hold_poll(struct heads *heads, struct subscriber *subscriber, h2o_req_t *req)
{
    subscriber_hold(subscriber, req, &heads->polls);
}

void heads_hold(struct heads *heads, struct subscriber *subscriber, h2o_req_t *req)
{
    subscriber_hold(subscriber, req, &heads->streams);
}

static struct feed_request *joins[STREAMS]; /* the last one of each stream */
static struct feed_request *leave; /* the last one */
static struct hub_channel *channel, *other; /* of the names "a" and "b" */

static void take_request(struct feed_request *request)
{
    char word[32];
    switch (request->kind) {
    case REQUEST_JOIN:
        if (joins[opened - 1] != NULL) {
            fake_happened("next");
            break;
        }
        joins[opened - 1] = request;
        streams[opened - 1] = request->subscriber;
        other = request->count == 2 ? request->channels[1].local : other;
        for (uint32_t i = 0; i != request->count; ++i)
            channel = slice_eq(request->channels[i].name, SLICE("a")) ? request->channels[i].local : channel;
        fake_happened(request->worker == 3 ? "join" : "join-of-another");
        break;
    case REQUEST_LEAVE:
        leave = request;
        snprintf(word, sizeof(word), "leave:%u", request->count);
        fake_happened(word);
        break;
    case REQUEST_CANCEL:
        fake_happened(request->cancelled == joins[opened - 1] && request->cancelled->abandoned ? "cancel" : "cancel-another");
        feed_request_free(request->cancelled);
        feed_request_free(request);
        break;
    }
}

static void on_requests(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    h2o_linklist_t requests;
    h2o_linklist_init_anchor(&requests);
    outbox_unpack(messages, &requests);
    while (!h2o_linklist_is_empty(&requests)) {
        struct feed_request *request = H2O_STRUCT_FROM_MEMBER(struct feed_request, super.link, requests.next);
        h2o_linklist_unlink(&request->super.link);
        take_request(request);
    }
}

static h2o_multithread_receiver_t requests = {.cb = on_requests};

static void send_update(struct hub *hub, struct feed_update what)
{
    struct outbox outbox = {.to = hub_updates(hub), .local = true};
    struct feed_update *message = h2o_mem_alloc(sizeof(*message));
    *message = what;
    outbox_put(&outbox, &message->super);
    outbox_send(&outbox);
}

/* ---- steps ---- */

static struct hub_spec spec; /* of the next stream */
static const struct slice names[] = {{"a", 1}, {"b", 1}};

static h2o_socket_t plain_socket;

static h2o_socket_t *socket_of(h2o_conn_t *conn)
{
    (void)conn;
    return &plain_socket;
}

static void open_stream(struct hub *hub, uint32_t count, int version)
{
    static const h2o_conn_callbacks_t callbacks = {.get_socket = socket_of};
    static h2o_conn_t conn = {.callbacks = &callbacks};
    h2o_req_t *req = &reqs[opened];
    *req = (h2o_req_t){.conn = &conn, .version = version};
    h2o_mem_init_pool(&req->pool);
    joins[opened++] = NULL;
    spec.channels = names;
    spec.count = count;
    hub_open(hub, req, &spec);
}

static uint64_t present_ms; /* that the next answer says */

/* An event; "g" is a gap, "E" an end, "q" is later than all others. */
static struct frame *frame_of_text(const char *text)
{
    struct frame *frame = frame_of_bytes(slice_of(text));
    frame->kind = strcmp(text, "g") == 0 ? FRAME_GAP : strcmp(text, "E") == 0 ? FRAME_END : FRAME_EVENT;
    frame->durable = true;
    frame->at = (struct position){text[0] == 'q' ? 7 : 5, 0};
    frame->id_len = 1; /* its text is its id, too */
    return frame;
}

/* The answer to the last stream's join, with an event of history for each letter of the text. All its channels have ended, or none. */
static void answer_ended(struct hub *hub, int kind, const char *text, uint64_t ended_ms)
{
    struct feed_request *request = joins[opened - 1];
    request->listens = true;
    for (uint32_t i = 0; i != request->count; ++i)
        request->channels[i].ended_ms = ended_ms;
    struct feed_update page = {.kind = UPDATE_PAGE, .request = request, .page = {.present_ms = present_ms}};
    if (kind == 'w')
        page.kind = UPDATE_WELCOME;
    if (text != NULL) {
        page.page.count = (uint32_t)strlen(text);
        page.page.frames = h2o_mem_alloc(page.page.count * (sizeof(struct frame *) + 1));
        page.page.members = (uint8_t *)(page.page.frames + page.page.count);
        memset(page.page.members, 0, page.page.count);
        for (uint32_t i = 0; i != page.page.count; ++i)
            page.page.frames[i] = frame_of_text((const char[]){text[i], 0});
    }
    send_update(hub, page);
}

static void answer(struct hub *hub, int kind, const char *text)
{
    answer_ended(hub, kind, text, 0);
}

static void event_of(struct hub *hub, struct hub_channel *of, const char *text)
{
    send_update(hub, (struct feed_update){.kind = UPDATE_EVENT, .event = {.channel = of, .frame = frame_of_text(text)}});
}

static void event(struct hub *hub, const char *text)
{
    event_of(hub, channel, text);
}

static void go(struct subscriber *subscriber, h2o_req_t *req)
{
    if (subscriber->request == NULL) {
        subscriber_detach(subscriber);
        return;
    }
    h2o_mem_clear_pool(&req->pool);
    h2o_mem_init_pool(&req->pool);
}

/* The answers that are nothing but frames. True: it was one. */
static bool step_answer(struct hub *hub, const char *word)
{
    static const struct {
        const char *word;
        int kind;
        const char *frames;
    } answers[] = {
        {"page", 'p', "p"},
        {"welcome", 'w', "w"},
        {"welcome-two", 'w', "pw"},
        {"welcome-later", 'w', "pwq"},
        {"welcome-gaps", 'w', "pqgq"},
        {"page-two", 'p', "pw"},
        {"none", 'w', NULL},
        {"no-page", 'p', NULL},
        {"page-gap", 'p', "g"},
        {"welcome-gap", 'w', "g"},
        {"welcome-new", 'w', "pEw"},
        {"page-new", 'p', "pEw"},
    };
    for (size_t i = 0; i != sizeof(answers) / sizeof(answers[0]); ++i)
        if (strcmp(word, answers[i].word) == 0) {
            answer(hub, answers[i].kind, answers[i].frames);
            return true;
        }
    return false;
}

static void step(struct hub *hub, const char *word)
{
    static const struct refusal why = {429, 1, "no"};
    struct subscriber *last = opened == 0 ? NULL : streams[opened - 1];
    if (step_answer(hub, word))
        return;
    if (strcmp(word, "h2") == 0) {
        open_stream(hub, 1, 0x200);
    } else if (strcmp(word, "first") == 0) {
        spec.head_first = true;
    } else if (strcmp(word, "plain") == 0) {
        open_stream(hub, 1, 0x101);
    } else if (strcmp(word, "both") == 0) {
        open_stream(hub, 2, 0x200);
    } else if (strcmp(word, "refuse") == 0) {
        send_update(hub, (struct feed_update){.kind = UPDATE_REFUSED, .request = joins[opened - 1], .refused = {.why = &why}});
    } else if (strcmp(word, "listens") == 0) { /* the feed, for the last stream: it may refuse it later */
        joins[opened - 1]->listens = true;
    } else if (strcmp(word, "refuse-a") == 0) {
        send_update(hub, (struct feed_update){.kind = UPDATE_CHANNEL_REFUSED, .refused = {.channel = channel, .why = &why}});
    } else if (strcmp(word, "left") == 0) {
        send_update(hub, (struct feed_update){.kind = UPDATE_LEFT, .request = leave});
    } else if (strcmp(word, "poll") == 0 || strcmp(word, "wait") == 0) {
        spec.form = FORM_JSON;
        spec.poll = (struct poll_spec){.limit = 1, .wait_ms = strcmp(word, "wait") == 0 ? 30000 : 0};
        open_stream(hub, 1, 0x101);
    } else if (strcmp(word, "polls") == 0) {
        spec.form = FORM_JSON;
        spec.poll = (struct poll_spec){.limit = 1};
        open_stream(hub, 2, 0x101);
    } else if (strcmp(word, "from-5") == 0 || strcmp(word, "from-7") == 0) {
        static char id[EVENT_ID_LEN + 1];
        event_id_format(id, SLICE(""), (struct position){(uint64_t)(word[5] - '0'), EVENT_ID_TIME_PROVEN});
        spec.resume_id = slice_of(id);
    } else if (strcmp(word, "from-w") == 0) { /* an author's own */
        spec.resume_id = SLICE("w");
    } else if (strcmp(word, "at-5") == 0 || strcmp(word, "at-9") == 0) {
        present_ms = (uint64_t)(word[3] - '0');
    } else if (strcmp(word, "30s") == 0) {
        fake_pass(32000);
    } else if (strcmp(word, "closing") == 0) { /* gap=close */
        spec.gap_closes = true;
    } else if (strcmp(word, "welcome-end") == 0) {
        answer_ended(hub, 'w', "E", 5);
    } else if (strcmp(word, "welcome-over") == 0) {
        answer_ended(hub, 'w', NULL, 5);
    } else if (strcmp(word, "welcome-ended") == 0) {
        joins[opened - 1]->mode = START_RESUME;
        answer_ended(hub, 'w', NULL, 5);
    } else if (strcmp(word, "text") == 0) {
        spec.end_text = SLICE("[DONE]");
    } else if (strcmp(word, "end") == 0) {
        event(hub, "E");
    } else if (strcmp(word, "end-b") == 0) {
        event_of(hub, other, "E");
    } else if (strcmp(word, "gap") == 0) {
        event(hub, "g");
    } else if (strcmp(word, "e1") == 0 || strcmp(word, "e2") == 0) {
        event(hub, word + 1);
    } else if (strcmp(word, "ready") == 0) {
        subscriber_writable(last);
    } else if (strcmp(word, "gone") == 0) {
        go(last, &reqs[opened - 1]);
    } else if (strcmp(word, "stuck") == 0) {
        stuck = true;
    } else if (strcmp(word, "reads") == 0) {
        stuck = false;
        subscriber_writable(last);
    } else if (strcmp(word, "turn") == 0) {
        if (hub_turn(hub))
            fake_happened("more");
    } else if (strcmp(word, "50ms") == 0) {
        fake_pass(COALESCE_MS);
    } else {
        check(false, "no such step: %s", word);
    }
}

static void begin(void)
{
    for (; opened != 0; --opened)
        h2o_mem_clear_pool(&reqs[opened - 1].pool);
    spec = (struct hub_spec){.mode = START_FRESH, .welcome = WELCOME_NOTHING};
    channel = NULL;
    stuck = false;
    written = 0;
    present_ms = 0;
    fake_trace[0] = '\0';
}

static void run(struct hub *hub, const char *steps)
{
    char text[256], *rest = text;
    strcpy(text, steps);
    for (char *word; (word = strsep(&rest, " ")) != NULL;)
        step(hub, word);
}

static const struct {
    const char *name, *steps, *says;
} rows[] = {
    {"the head waits for the answer", "h2 turn welcome turn ready gone turn left turn", "join open queue:w leave:1 "},
    {"history comes page by page, each when the last one is written",
     "h2 turn page turn ready turn welcome turn gone turn left turn", "join open queue:p next queue:w leave:1 "},
    {"a page that the client does not take brings no next one", "h2 turn page turn stuck ready turn gone turn left turn",
     "join open cancel leave:1 "},
    {"… until it is taken", "h2 turn page turn stuck ready turn reads turn welcome turn gone turn left turn",
     "join open queue:p next queue:w leave:1 "},
    {"a refusal is the answer while the head is held", "h2 turn refuse turn", "join 429 "},
    {"… and leaves the channels that were subscribed for it", "h2 turn listens refuse turn left turn", "join 429 leave:1 "},
    {"… and closes the stream after the head", "h2 turn page turn ready turn refuse turn left turn",
     "join open queue:p next cut leave:1 "},
    {"a client that goes before the answer cancels it", "h2 turn gone turn refuse turn", "join cancel "},
    {"… after the head, too", "h2 turn page turn ready turn gone turn refuse turn left turn",
     "join open queue:p next cancel leave:1 "},
    {"an answer for a client that is gone leaves the channels", "h2 turn gone turn welcome turn left turn", "join cancel leave:1 "},
    {"… as does a page", "h2 turn gone turn page turn left turn", "join cancel leave:1 "},
    {"live events wait behind the history", "h2 turn welcome e1 turn ready gone turn left turn",
     "join open queue:w queue:1 leave:1 "},
    {"and come to streams that are live only", "h2 turn e1 welcome turn ready e2 turn gone turn left turn",
     "join open queue:w queue:2 leave:1 "},
    {"an event that came before a stream joined does not take a later one with it",
     "h2 turn welcome turn ready h2 turn e1 welcome e2 turn ready gone turn",
     "join open queue:w join queue:1 open queue:2 queue:w queue:2 "},
    {"a head that is sent first asks for no page", "first h2 turn ready turn welcome turn gone turn left turn",
     "open join queue:w leave:1 "},
    {"events that wait together leave together", "h2 turn welcome turn ready e1 e2 turn gone turn left turn",
     "join open queue:w queue:12 leave:1 "},
    {"a stream over a plain socket is written to at once", "plain turn welcome turn ready e1 turn gone turn left turn",
     "join open queue:w socket:1 leave:1 "},
    {"… through its queue while it waits for its client", "plain turn welcome turn e1 turn ready e2 turn gone turn left turn",
     "join open queue:w queue:1 socket:2 leave:1 "},
    {"a stream of two channels leaves both together", "both turn welcome turn ready e1 turn gone turn left turn",
     "join open queue:w queue:1 leave:2 "},
    {"a channel that another stream has is not left", "both turn welcome turn ready h2 turn welcome turn ready gone turn",
     "join open queue:w join open queue:w "},
    {"a channel that is refused closes its streams", "h2 turn welcome turn ready refuse-a turn left turn",
     "join open queue:w cut leave:1 "},
    {"a gap leaves alone", "h2 turn welcome turn ready e1 gap e2 turn gone turn left turn",
     "join open queue:w queue:1 queue:g queue:2 leave:1 "},
    {"a gap ends a stream that asks for that, behind what came before",
     "closing h2 turn welcome turn ready e1 gap e2 turn left turn", "join open queue:w queue:1 end leave:1 "},
    {"a page that begins with a gap is the answer to one whose head is held", "closing h2 turn page-gap turn left turn",
     "join answer cancel leave:1 "},
    {"… and to one that is not replayed more", "closing h2 turn welcome-gap turn left turn", "join answer leave:1 "},
    {"after the head it ends the stream", "closing h2 turn page turn ready turn page-gap turn left turn",
     "join open queue:p next end cancel leave:1 "},
    {"a head that was sent first is not taken back", "closing first h2 turn ready welcome-gap turn left turn",
     "open join end leave:1 "},
    {"an end ends the stream behind what came before", "h2 turn welcome turn ready e1 end e2 turn left turn",
     "join open queue:w queue:1 queue:E end leave:1 "},
    {"… in the words that were asked for", "text h2 turn welcome turn ready end turn left turn",
     "join open queue:w queue:own-text end leave:1 "},
    {"… over a plain socket, too", "plain turn welcome turn ready e1 end turn left turn",
     "join open queue:w socket:1 queue:E end leave:1 "},
    {"a stream of two channels ends with the last one, under an id of its own",
     "both turn welcome turn ready end e1 turn end turn end-b turn left turn",
     "join open queue:w queue:E queue:1 queue:E queue:own-end end leave:2 "},
    {"… also when that one was the first", "both turn welcome turn ready end-b turn end turn left turn",
     "join open queue:w queue:E queue:own-end end leave:2 "},
    {"what has come since is no end", "both turn welcome turn ready end e1 end-b turn e2 turn gone turn left turn",
     "join open queue:w queue:E queue:1 queue:E queue:2 leave:2 "},
    {"nor is a channel that has lost its end", "both turn welcome turn ready end gap end-b turn gone turn left turn",
     "join open queue:w queue:E queue:g queue:E leave:2 "},
    {"a stream that begins behind all events is told the end, and ends", "h2 turn welcome-end turn ready turn left turn",
     "join open leave:1 queue:E end "},
    {"an end that is not the last one ends it, too: the channel is new again since",
     "h2 turn welcome-new turn ready turn left turn", "join open leave:1 queue:p queue:E end "},
    {"… on any page", "h2 turn page-new turn ready turn left turn", "join open cancel leave:1 queue:p queue:E end "},
    {"… but not where another channel goes on", "both turn welcome-new turn ready gone turn left turn",
     "join open queue:p queue:E queue:w leave:2 "},
    {"one that has had it is answered with 204", "h2 turn welcome-ended turn left turn", "join 204 leave:1 "},
    {"… but one that came without an id is opened, and comes back", "h2 turn welcome-over turn ready turn left turn",
     "join open leave:1 end "},
    {"… of two channels, too", "both turn welcome-ended turn left turn", "join 204 leave:2 "},
    {"a head that was sent first is followed by nothing", "first h2 turn ready welcome-ended turn left turn",
     "open join end leave:1 "},
    {"a request that polls is answered with the first page, and leaves", "poll turn welcome turn left turn",
     "join answer w leave:1 "},
    {"… also where there are more", "poll turn page turn left turn", "join some p cancel leave:1 "},
    {"… or none", "poll turn none turn left turn", "join nothing leave:1 "},
    {"of several channels the events of one millisecond are one answer, and the next one goes on behind that",
     "at-9 polls turn welcome-two turn left turn", "join answer p w next:6 leave:2 "},
    {"… as soon as it is known to be over", "at-5 polls turn welcome-two turn left turn", "join answer p w leave:2 "},
    {"… where more pages follow, with it", "at-9 polls turn page-two turn left turn", "join some p w next:5 cancel leave:2 "},
    {"… where there are more, with them", "at-9 polls turn welcome-later turn left turn", "join some p w next:7 leave:2 "},
    {"… and those too, where the client has asked from that millisecond",
     "at-9 from-5 polls turn page-two turn welcome-later turn left turn", "join next some p w p w next:7 leave:2 "},
    {"… even if they are empty", "at-9 from-5 polls turn page-two turn none turn left turn",
     "join next answer p w next:6 leave:2 "},
    {"events that come again from before that time do not lead back to it", "at-9 from-7 polls turn welcome-later turn left turn",
     "join some p w leave:2 "},
    {"… but all gaps are told at once", "at-9 polls turn welcome-gaps turn left turn", "join some p q g next:7 leave:2 "},
    {"an answer that ends with another event of the id that it was asked with goes on behind that",
     "from-w poll turn welcome turn left turn", "join answer w next-a:5 leave:1 "},
    {"a page without anything asks for the next", "poll turn no-page turn welcome turn left turn", "join next answer w leave:1 "},
    {"one that waits gets the first event, of however many", "wait turn none turn e1 e2 turn left turn", "join answer 1 leave:1 "},
    {"… what is there, at once", "wait turn welcome turn e1 turn left turn", "join answer w leave:1 "},
    {"… nothing when its time is over", "wait turn none turn 30s turn left turn", "join nothing leave:1 "},
    {"… a gap", "wait turn none turn gap e1 turn left turn", "join answer g leave:1 "},
    {"… the end, which is told", "wait turn none turn end e1 turn left turn", "join ended E leave:1 "},
    {"its client hangs up", "wait turn none turn gone turn left turn", "join leave:1 "},
    {"… before it waits", "wait turn gone turn none turn left turn", "join cancel leave:1 "},
    {"a channel that is refused is the answer", "wait turn none turn refuse-a turn left turn", "join 429 leave:1 "},
    {"a feed that does not answer in time is, too", "wait turn 30s turn refuse turn", "join 503 cancel "},
    {"a channel comes back while it is being left",
     "h2 turn welcome turn ready gone turn h2 turn left turn welcome turn ready e1 turn gone turn left turn",
     "join open queue:w leave:1 join open queue:w queue:1 leave:1 "},
};

static void test_scripts(struct hub *hub)
{
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        begin();
        run(hub, rows[i].steps);
        check_slice(slice_of(fake_trace), slice_of(rows[i].says), "%s", rows[i].name);
        if (metric_sum(COUNT_STREAMS) != 0) { /* one script leaves one */
            go(streams[0], &reqs[0]);
            run(hub, "turn left turn");
        }
        check(metric_sum(COUNT_STREAMS) == 0, "… no stream is left");
        check(hub_count_fresh(hub, names, 2, 2) == 2, "… no channel is left");
        check(metric_sum(COUNT_QUEUED_BYTES) == 0 && metric_sum(COUNT_STREAMS_WAITING) == 0, "… nothing is queued");
    }
}

/* ---- many streams ---- */

static void open_live(struct hub *hub, uint32_t count)
{
    for (uint32_t i = 0; i != count; ++i) {
        open_stream(hub, 1, 0x200);
        hub_turn(hub);
        answer(hub, 'w', NULL);
        while (hub_turn(hub))
            ;
        subscriber_writable(streams[i]);
    }
}

static void close_all(struct hub *hub, uint32_t count)
{
    leave = NULL;
    for (uint32_t i = 0; i != count; ++i)
        subscriber_detach(streams[i]);
    while (hub_turn(hub))
        ;
    if (leave != NULL)
        run(hub, "left turn");
}

static int64_t fan_outs(void)
{
    int64_t sum = 0;
    for (size_t i = 0; i <= METRIC_BOUNDS; ++i)
        sum += metric_sum(COUNT_FAN_OUT + i);
    return sum;
}

static void test_slices(struct hub *hub)
{
    static const struct slice fresh[] = {{"x", 1}, {"y", 1}, {"z", 1}};
    int64_t before = fan_outs();
    begin();
    open_live(hub, STREAMS);
    int turns = 1;
    written = 0;
    event(hub, "a large fan-out");
    for (; hub_turn(hub); ++turns)
        check(written < STREAMS, "it is done in slices");
    check(written == STREAMS, "and each stream has it once: %u", written);
    check(turns == 3, "600 streams that queue make three: %d", turns);
    check(fan_outs() - before == 1, "and is timed once, when it is done");
    written = 0;
    event(hub, "one");
    hub_turn(hub);
    event(hub, "two");
    while (hub_turn(hub))
        ;
    check(written == 2 * STREAMS, "an event that comes meanwhile does not join the half done one: %u", written);
    check(hub_count_fresh(hub, fresh, 3, 2) == 2, "new channels are counted until there are enough");
    close_all(hub, STREAMS);
    check(metric_sum(COUNT_STREAMS) == 0 && hub_count_fresh(hub, names, 1, 1) == 1, "all leave");
}

/* Streams that leave have 1 ms of a turn: with a clock that moves by 0.1 ms at each look these are ten at most. */
static void test_time_of_a_turn(struct hub *hub)
{
    enum { COUNT = 25 };
    begin();
    open_live(hub, COUNT);
    leave = NULL;
    for (uint32_t i = 0; i != COUNT; ++i)
        subscriber_detach(streams[i]);
    clock_step_us = 100;
    for (int i = 0; i != 2; ++i) {
        hub_turn(hub);
        check(hub_is_behind(hub), "so many do not leave in %d ms", i + 1);
    }
    clock_step_us = 1;
    check(leave == NULL, "the channel has a stream still");
    while (hub_turn(hub))
        ;
    check(!hub_is_behind(hub) && leave != NULL, "all leave in the end");
    run(hub, "left turn");
}

static int64_t closes(enum close_reason reason)
{
    return metric_sum(COUNT_CLOSES + (size_t)reason);
}

static bool knows(void *data, uint32_t key)
{
    (void)data;
    return key == 2;
}

static bool is_closed(void *data, struct slice name)
{
    return data != NULL && slice_eq(name, SLICE("b"));
}

static void test_judge(struct hub *hub)
{
    begin();
    int64_t before = closes(CLOSE_WITHDRAWN);
    struct hub_access access = {.knows = knows, .closed = is_closed, .data = hub};
    spec.key = 1;
    run(hub, "h2 turn welcome turn ready");
    spec.key = 2;
    run(hub, "h2 turn welcome turn ready both turn welcome turn ready");
    spec.key = 0;
    run(hub, "h2 turn welcome turn ready");
    hub_judge(hub, &access);
    check(closes(CLOSE_WITHDRAWN) == before, "nothing is closed at once");
    fake_pass(2000);
    hub_turn(hub);
    check(closes(CLOSE_WITHDRAWN) - before == 2, "a key that is gone and a channel that was closed end their streams");
    run(hub, "left turn");
    check(metric_sum(COUNT_STREAMS) == 2, "the others stay, also one that came without a token");
    go(streams[1], &reqs[1]);
    go(streams[3], &reqs[3]);
    run(hub, "turn left turn");
}

static void test_expiry(struct hub *hub)
{
    begin();
    int64_t before = closes(CLOSE_EXPIRED);
    spec.life_ms = 60000;
    run(hub, "h2 turn welcome turn ready");
    fake_pass(60000 - 60000 / 5 - 2 * KEEPALIVE_MS / 16);
    check(closes(CLOSE_EXPIRED) == before, "a stream lasts four fifths of its token at least");
    fake_pass(60000 / 5 + 2 * KEEPALIVE_MS / 16);
    check(closes(CLOSE_EXPIRED) - before == 1, "and not longer than that");
    run(hub, "turn left turn");
}

/* Streams whose tokens end together don't end together, and none ends later than its token, however late the wheel looks. */
static void test_spread(struct hub *hub)
{
    enum { COUNT = 100 };
    begin();
    int64_t before = closes(CLOSE_EXPIRED);
    spec.life_ms = 60000;
    open_live(hub, COUNT);
    fake_pass(60000 - 60000 / 10);
    int64_t ended = closes(CLOSE_EXPIRED) - before;
    check(ended > 0 && ended < COUNT, "a tenth of their life before, some are over: %d", (int)ended);
    fake_pass(60000 / 10);
    check(closes(CLOSE_EXPIRED) - before == COUNT, "with their tokens all are: %d", (int)(closes(CLOSE_EXPIRED) - before));
    while (hub_turn(hub))
        ;
    run(hub, "left turn");
}

/* ---- what counts as a sign of life ---- */

static void test_life(struct hub *hub)
{
    begin();
    run(hub, "h2 turn welcome turn ready");
    fake_trace[0] = '\0';
    for (int i = 0; i != 4; ++i) {
        fake_pass(KEEPALIVE_MS * 2 / 3);
        run(hub, "e1 turn");
    }
    check_slice(slice_of(fake_trace), SLICE("queue:1 queue:1 queue:1 queue:1 "), "while events come, none is a keep-alive comment");
    run(hub, "stuck e1 e2 turn");
    for (int i = 0; i != 3; ++i) {
        fake_pass(20000);
        subscriber_written(streams[0], 0, (uint32_t)i + 1);
        subscriber_writable(streams[0]);
    }
    check(metric_sum(COUNT_STREAMS) == 1, "a client that reads slowly but reads is not closed");
    fake_pass(31000);
    hub_turn(hub);
    check(metric_sum(COUNT_STREAMS) == 0, "one that reads nothing for WRITE_TIMEOUT is");
    run(hub, "left turn");
}

static void test_coalesce(struct hub *hub)
{
    begin();
    run(hub, "h2 turn 50ms turn welcome turn 50ms turn ready");
    fake_trace[0] = '\0';
    run(hub, "e1 turn e2 turn");
    check_slice(slice_of(fake_trace), SLICE(""), "events wait for COALESCE_MS");
    run(hub, "50ms turn");
    check_slice(slice_of(fake_trace), SLICE("queue:12 "), "and leave together then");
    run(hub, "gone turn left turn 50ms turn");
    check(metric_sum(COUNT_STREAMS) == 0 && hub_count_fresh(hub, names, 2, 2) == 2, "nothing is left");
}

static void test_drain(struct hub *hub)
{
    enum { COUNT = 100, DRAIN_MS = 10000 };
    begin();
    open_live(hub, COUNT);
    int64_t before = closes(CLOSE_DRAIN);
    hub_drain(hub, DRAIN_MS);
    for (int i = 1; i <= 10; ++i) {
        fake_pass(DRAIN_MS / 10);
        hub_turn(hub);
        int64_t done = closes(CLOSE_DRAIN) - before;
        check(done >= i * COUNT / 10 - 2 && done <= i * COUNT / 10, "after %d tenths of the time so many streams are ended: %d", i,
              (int)done);
    }
    fake_pass(200);
    while (hub_turn(hub))
        ;
    check(metric_sum(COUNT_STREAMS) == 0, "then all are");
    run(hub, "left turn");
}

int main(void)
{
    counters_init();
    metrics_thread();
    struct hub_options options = {.loop = &fake_loop,
                                  .worker = 3,
                                  .limits = {.timeout_ms = 30000, .queue_bytes = 1 << 20, .memory = 1 << 30},
                                  .keepalive_ms = KEEPALIVE_MS,
                                  .retry_ms = 1000};
    struct hub *hub = hub_create(&options);
    options.coalesce_ms = COALESCE_MS;
    struct hub *coalescing = hub_create(&options);
    hub_connect(hub, &requests, true);
    hub_connect(coalescing, &requests, true);
    test_scripts(hub);
    test_slices(hub);
    test_time_of_a_turn(hub);
    test_judge(hub);
    test_expiry(hub);
    test_spread(hub);
    test_life(hub);
    test_coalesce(coalescing);
    test_drain(hub);
    begin();
    return check_end();
}
