#include "proto/message.h"

#include "proto/event_id.h"
#include "tests/message.h"
#include "tests/unit/vectors.h"

static void check_durable(const struct message *got, yajl_val row)
{
    struct position at, prev;
    struct slice id = vector_bytes(row, "id");
    check(position_parse(&at, vector_bytes(row, "at")) && position_compare(got->at, at) == 0, "  its position");
    check(position_parse(&prev, vector_bytes(row, "prev")) && position_compare(got->prev, prev) == 0, "  the position before it");
    check_slice(got->body, vector_bytes(row, "body"), "  its event");
    check_slice(got->id, id, "  its id");
    check((got->id.p == NULL) == (id.p == NULL), "  absent and empty id differ");
    check(got->end == YAJL_IS_TRUE(vector_get(row, "end")), "  whether it is the end");
    check(got->lease_s == (uint32_t)vector_integer(row, "lease", 0), "  its lease");
}

static void test_decode(yajl_val file)
{
    struct vector_rows rows = vector_rows(file, "decode");
    for (size_t i = 0; i != rows.len; ++i) {
        struct slice payload = exact_copy(vector_bytes(rows.values[i], "payload"));
        const char *name = vector_text(rows.values[i], "name"), *kind = vector_text(rows.values[i], "kind");
        struct message got;
        if (kind == NULL)
            vector_die("no kind", name);
        check(same_fault(message_decode(&got, payload), vector_text(rows.values[i], "fault")), "%s: %s", kind, name);
        if (strcmp(kind, "plain") == 0) {
            check(got.kind == MESSAGE_PLAIN && got.body.p == payload.p, "  as it stands");
            check(got.body.n == payload.n && got.id.p == NULL, "  all of it");
        } else if (strcmp(kind, "durable") == 0 && check(got.kind == MESSAGE_DURABLE, "  durable")) {
            check_durable(&got, rows.values[i]);
        }
        exact_free(payload);
    }
}

/* Reads a whole batch; counts what came before the fault. */
static const char *read_batch(struct slice payload, struct message *out, size_t *count)
{
    struct message_batch batch;
    const char *fault = message_batch_open(&batch, payload);
    for (*count = 0; fault == NULL && batch.left != 0; *count += fault == NULL)
        fault = message_batch_next(&batch, &out[*count]);
    return fault;
}

static void test_batches(yajl_val file)
{
    static struct message got[MESSAGE_BATCH_MAX];
    struct vector_rows rows = vector_rows(file, "batches");
    for (size_t i = 0; i != rows.len; ++i) {
        struct slice payload = exact_copy(vector_bytes(rows.values[i], "payload"));
        const char *name = vector_text(rows.values[i], "name"), *fault = vector_text(rows.values[i], "fault");
        size_t count;
        check(message_is_batch(payload) && message_decode(&got[0], payload) != NULL, "a batch is no event: %s", name);
        check(same_fault(read_batch(payload, got, &count), fault), "  what is said of it");
        struct vector_rows events = fault != NULL ? (struct vector_rows){NULL, 0} : vector_rows(rows.values[i], "events");
        if (fault == NULL && check(count == events.len, "  it holds %zu", events.len))
            for (size_t k = 0; k != count; ++k)
                check_durable(&got[k], events.values[k]);
        exact_free(payload);
    }
}

/* Of `count` events of one millisecond, and says `says`. To be freed. */
static struct slice make_batch(unsigned count, unsigned says)
{
    size_t room = 16 + (size_t)count * 64, n;
    char *out = malloc(room);
    if (out == NULL)
        abort();
    n = (size_t)snprintf(out, room, "\x1esse3 %u\n", says);
    for (unsigned i = 0; i != count; ++i)
        n += (size_t)snprintf(out + n, room - n, "\x1esse1 5-%u %u-%u\ndata: %u\n\n", i + 1, i == 0 ? 4 : 5, i, i);
    return slice_make(out, n);
}

static void test_batch_sizes(void)
{
    static struct message got[MESSAGE_BATCH_MAX];
    size_t count;
    struct slice most = make_batch(MESSAGE_BATCH_MAX, MESSAGE_BATCH_MAX),
                 more = make_batch(MESSAGE_BATCH_MAX + 1, MESSAGE_BATCH_MAX + 1);
    check(read_batch(most, got, &count) == NULL && count == MESSAGE_BATCH_MAX && got[1000].at.seq == 1001,
          "a batch of 1001 is read");
    check(read_batch(more, got, &count) != NULL && count == 0, "one of 1002 is refused at once");
    free((char *)(uintptr_t)most.p);
    free((char *)(uintptr_t)more.p);
    struct slice whole = make_batch(3, 3);
    int taken = 0;
    for (size_t n = 7; n != whole.n; ++n) {
        struct slice cut = exact_copy(slice_make(whole.p, n));
        taken += read_batch(cut, got, &count) == NULL;
        exact_free(cut);
    }
    check(taken == 0, "a batch that was cut is refused, wherever");
    free((char *)(uintptr_t)whole.p);
}

/* A batch with random bytes changed is refused, or still holds as many events as it says, one behind the other. */
static void test_batch_damage(void)
{
    static struct message got[MESSAGE_BATCH_MAX];
    struct slice whole = make_batch(4, 4);
    uint64_t seed = 99;
    int refused = 0, wrong = 0;
    for (int i = 0; i != 20000; ++i) {
        struct slice copy = exact_copy(whole);
        size_t count;
        ((char *)(uintptr_t)copy.p)[7 + random_next(&seed) % (copy.n - 7)] = (char)random_next(&seed);
        const char *fault = read_batch(copy, got, &count);
        refused += fault != NULL;
        wrong += fault == NULL && count != 4;
        for (size_t k = 0; k != count; ++k)
            wrong += sse_check(got[k].body, NULL) != NULL || (k != 0 && position_compare(got[k].prev, got[k - 1].at) != 0);
        exact_free(copy);
    }
    check(refused > 1000 && wrong == 0, "20000 damaged batches are harmless: %d refused, %d wrong", refused, wrong);
    free((char *)(uintptr_t)whole.p);
}

static struct slice encode_exact(const struct message *message)
{
    size_t room = message_size(message->body.n), n;
    char *out = malloc(room);
    if (out == NULL)
        abort();
    n = message_encode(out, message);
    if (n > room)
        abort();
    return slice_make(out, n);
}

/* Every shorter payload is refused, save the empty one, which is plain. */
static void test_truncation(void)
{
    const struct message message = {.at = {1763725698123, 2},
                                    .prev = {1763725698123, 1},
                                    .end = true,
                                    .lease_s = 30,
                                    .body = SLICE("event: end\ndata: a\ndata: b\nid: 1\nretry: 6000\n\n")};
    struct slice whole = encode_exact(&message);
    struct message got;
    check(message_decode(&got, whole) == NULL && got.kind == MESSAGE_DURABLE, "the whole message is read");
    for (size_t n = 0; n != whole.n; ++n) {
        struct slice cut = exact_copy(slice_make(whole.p, n));
        const char *fault = message_decode(&got, cut);
        check(n == 0 ? fault == NULL && got.kind == MESSAGE_PLAIN : fault != NULL, "cut after %zu bytes: %s", n,
              fault == NULL ? "plain" : fault);
        exact_free(cut);
    }
    free((char *)(uintptr_t)whole.p);
}

static void test_size(void)
{
    const struct message longest = {
        .at = POSITION_MAX, .prev = POSITION_MAX, .end = true, .lease_s = MESSAGE_LEASE_MAX, .body = SLICE("\n")};
    struct slice whole = encode_exact(&longest);
    check(whole.n == message_size(1), "message_size() is what the longest positions and all words need");
    free((char *)(uintptr_t)whole.p);
}

static bool same(const struct message *a, const struct message *b)
{
    return a->kind == b->kind && position_compare(a->at, b->at) == 0 && position_compare(a->prev, b->prev) == 0 &&
           a->end == b->end && a->lease_s == b->lease_s && slice_eq(a->body, b->body) && slice_eq(a->id, b->id);
}

static bool comes_back(uint64_t *seed)
{
    struct message want = {.kind = MESSAGE_DURABLE,
                           .at = {(random_next(seed) >> (16 + random_next(seed) % 40)) + 1, random_next(seed) & EVENT_ID_SEQ_MAX},
                           .end = random_next(seed) % 3 == 0,
                           .lease_s = random_next(seed) % 2 == 0 ? 0 : (uint32_t)(random_next(seed) % MESSAGE_LEASE_MAX) + 1};
    want.prev = (struct position){random_next(seed) % want.at.ms, random_next(seed)};
    char bytes[64], id_text[16];
    struct slice data = slice_make(bytes, random_next(seed) % sizeof(bytes)), payload;
    struct event event = {.data = &data, .data_count = 1, .retry_ms = 6000};
    struct message got;
    for (size_t i = 0; i != data.n; ++i)
        bytes[i] = (char)random_next(seed);
    want.id = slice_make(id_text, (size_t)snprintf(id_text, sizeof(id_text), "%x", (unsigned)random_next(seed)));
    event.id = want.id;
    event.type = want.end ? SLICE("end") : SLICE("message");
    want.body.p = malloc(want.body.n = sse_size(&event));
    if (want.body.p == NULL)
        abort();
    sse_write((char *)(uintptr_t)want.body.p, &event);
    payload = encode_exact(&want);
    bool ok = message_decode(&got, payload) == NULL && same(&got, &want);
    if (!ok)
        check_show("payload", payload);
    free((char *)(uintptr_t)want.body.p);
    free((char *)(uintptr_t)payload.p);
    return ok;
}

static void test_round_trip(void)
{
    uint64_t seed = 20261121;
    int wrong = 0;
    for (int i = 0; i != 5000; ++i)
        wrong += !comes_back(&seed);
    check(wrong == 0, "5000 random messages come back (%d did not)", wrong);
}

/* A message with random bytes changed is refused, or still holds exactly one event and an order. */
static void test_damage(void)
{
    const struct message message = {.at = {1763725698123, 2},
                                    .prev = {1763725698123, 1},
                                    .end = true,
                                    .lease_s = 9,
                                    .body = SLICE("event: end\ndata: {\"msg\":\"a\"}\nid: 1\nretry: 6000\n\n")};
    struct slice whole = encode_exact(&message);
    uint64_t seed = 77;
    int refused = 0, wrong = 0;
    for (int i = 0; i != 20000; ++i) {
        struct slice copy = exact_copy(whole);
        struct message got;
        for (int changes = 1 + (int)(random_next(&seed) % 3); changes != 0; --changes)
            ((char *)(uintptr_t)copy.p)[random_next(&seed) % copy.n] = (char)random_next(&seed);
        if (message_decode(&got, copy) != NULL)
            ++refused;
        else if (got.kind == MESSAGE_DURABLE)
            wrong += position_compare(got.at, got.prev) <= 0 || sse_check(got.body, NULL) != NULL;
        exact_free(copy);
    }
    check(refused > 1000 && wrong == 0, "20000 damaged messages are harmless: %d refused, %d wrong", refused, wrong);
    free((char *)(uintptr_t)whole.p);
}

int main(void)
{
    yajl_val file = vector_file("message.json");
    test_decode(file);
    test_batches(file);
    test_batch_sizes();
    test_batch_damage();
    test_truncation();
    test_size();
    test_round_trip();
    test_damage();
    yajl_tree_free(file);
    return check_end();
}
