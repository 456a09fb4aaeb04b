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

static struct slice encode_exact(struct position at, struct position prev, struct slice sse)
{
    size_t room = message_size(sse.n), n;
    char *out = malloc(room);
    if (out == NULL)
        abort();
    n = message_encode(out, at, prev, sse);
    if (n > room)
        abort();
    return slice_make(out, n);
}

/* Every shorter payload is refused, save the empty one, which is plain. */
static void test_truncation(void)
{
    struct slice sse = SLICE("event: message\ndata: a\ndata: b\nid: 1\nretry: 6000\n\n");
    struct slice whole = encode_exact((struct position){1763725698123, 2}, (struct position){1763725698123, 1}, sse);
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
    struct position greatest = {UINT64_MAX, UINT64_MAX};
    struct slice whole = encode_exact(greatest, greatest, SLICE("\n"));
    check(whole.n == message_size(1), "message_size() is what the longest positions need");
    free((char *)(uintptr_t)whole.p);
}

static bool comes_back(uint64_t *seed)
{
    struct position at = {(random_next(seed) >> (16 + random_next(seed) % 40)) + 1, random_next(seed) & EVENT_ID_SEQ_MAX};
    struct position prev = {random_next(seed) % at.ms, random_next(seed)};
    char bytes[64], id_text[16];
    struct slice data = slice_make(bytes, random_next(seed) % sizeof(bytes)), id, sse, payload;
    struct event event = {.type = SLICE("message"), .data = &data, .data_count = 1, .retry_ms = 6000};
    struct message got;
    bool ok;
    for (size_t i = 0; i != data.n; ++i)
        bytes[i] = (char)random_next(seed);
    id = slice_make(id_text, (size_t)snprintf(id_text, sizeof(id_text), "%x", (unsigned)random_next(seed)));
    event.id = id;
    sse.p = malloc(sse.n = sse_size(&event));
    if (sse.p == NULL)
        abort();
    sse_write((char *)(uintptr_t)sse.p, &event);
    payload = encode_exact(at, prev, sse);
    ok = message_decode(&got, payload) == NULL && got.kind == MESSAGE_DURABLE && position_compare(got.at, at) == 0 &&
         position_compare(got.prev, prev) == 0 && slice_eq(got.body, sse) && slice_eq(got.id, id);
    if (!ok)
        check_show("payload", payload);
    free((char *)(uintptr_t)sse.p);
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
    struct slice sse = SLICE("event: message\ndata: {\"msg\":\"a\"}\nid: 1\nretry: 6000\n\n");
    struct slice whole = encode_exact((struct position){1763725698123, 2}, (struct position){1763725698123, 1}, sse);
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
    test_truncation();
    test_size();
    test_round_trip();
    test_damage();
    yajl_tree_free(file);
    return check_end();
}
