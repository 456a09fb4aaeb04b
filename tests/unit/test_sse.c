#include "proto/sse.h"

#include "tests/unit/vectors.h"

/* Writes into memory of exactly the size promised, so that a wrong size is a heap overflow for the sanitizer. To be freed. */
static struct slice write_exact(const struct event *event)
{
    size_t size = sse_size(event);
    char *out = malloc(size);
    if (out == NULL)
        abort();
    return slice_make(out, sse_write(out, event));
}

static void test_encode(yajl_val file)
{
    struct vector_rows rows = vector_rows(file, "encode");
    for (size_t i = 0; i != rows.len; ++i) {
        struct vector_rows items;
        struct slice data[8], got;
        const char *name = vector_text(rows.values[i], "name");
        struct event event = {.type = vector_bytes(rows.values[i], "event"),
                              .data = data,
                              .id = vector_bytes(rows.values[i], "id"),
                              .retry_ms = (int32_t)vector_integer(rows.values[i], "retry", EVENT_RETRY_NONE)};
        yajl_val list = vector_get(rows.values[i], "data");
        if (!YAJL_IS_ARRAY(list))
            vector_die("no data", name);
        items = (struct vector_rows){YAJL_GET_ARRAY(list)->values, YAJL_GET_ARRAY(list)->len};
        for (; event.data_count != items.len; ++event.data_count)
            data[event.data_count] = vector_value(items.values[event.data_count]);
        got = write_exact(&event);
        check_slice(got, vector_bytes(rows.values[i], "bytes"), "%s", name);
        check(sse_size(&event) == got.n, "  and its size is right");
        check(same_fault(sse_check(got, NULL), NULL), "  and it passes the check");
        free((char *)(uintptr_t)got.p);
    }
}

static void test_check(yajl_val file)
{
    struct vector_rows rows = vector_rows(file, "check");
    for (size_t i = 0; i != rows.len; ++i) {
        struct slice bytes = exact_copy(vector_bytes(rows.values[i], "bytes"));
        const char *name = vector_text(rows.values[i], "name"), *fault = vector_text(rows.values[i], "fault");
        struct sse_fields fields;
        check(same_fault(sse_check(bytes, &fields), fault), "%s: %s", fault == NULL ? "passes" : "refused", name);
        check(same_fault(sse_check(bytes, NULL), fault), "  also when the fields don't matter");
        if (fault == NULL) {
            struct slice data = vector_bytes(rows.values[i], "data"), id = vector_bytes(rows.values[i], "id");
            check_slice(fields.type, vector_bytes(rows.values[i], "event"), "  its type");
            check_slice(fields.data, data, "  its data");
            check_slice(fields.id, id, "  its id");
            check((fields.data.p == NULL) == (data.p == NULL), "  absent and empty data differ");
            check((fields.id.p == NULL) == (id.p == NULL), "  absent and empty id differ");
        }
        exact_free(bytes);
    }
}

/* Bytes from an alphabet in which breaks, colons and spaces are frequent. */
static struct slice random_text(uint64_t *seed, char *out, size_t max, const char *alphabet)
{
    size_t n = random_next(seed) % (max + 1);
    for (size_t i = 0; i != n; ++i)
        out[i] = alphabet[random_next(seed) % strlen(alphabet)];
    return slice_make(out, n);
}

/* The data as a client gets it: its lines with LF between them, whatever breaks it had. */
static size_t normalized(char *out, struct slice data)
{
    size_t n = 0;
    for (size_t i = 0; i != data.n; ++i)
        if (data.p[i] != '\n' || i == 0 || data.p[i - 1] != '\r')
            out[n++] = data.p[i] == '\r' ? '\n' : data.p[i];
    return n;
}

/* The data field with the inner line names taken out again. */
static size_t undressed(char *out, struct slice data)
{
    size_t n = 0;
    struct slice rest = data, line;
    for (bool first = true; line = slice_split(&rest, '\n'), first || line.p != NULL; first = false) {
        if (!first) {
            out[n++] = '\n';
            line = slice_from(line, strlen("data: "));
        }
        memcpy(out + n, line.p, line.n);
        n += line.n;
        if (rest.p == NULL)
            break;
    }
    return n;
}

static bool comes_back(uint64_t *seed)
{
    char type_bytes[8], id_bytes[8], data_bytes[40], want[40], found[240];
    struct slice data = random_text(seed, data_bytes, 40, "a: \r\n\r\n\xff\x01i");
    struct event event = {.data = &data,
                          .data_count = 1,
                          .type = random_text(seed, type_bytes, 8, "ab: \x7f"),
                          .retry_ms =
                              (int32_t)(random_next(seed) % 3 == 0 ? EVENT_RETRY_NONE : (int)(random_next(seed) % 3600001))};
    struct sse_fields fields;
    struct slice bytes;
    bool ok;
    if (random_next(seed) % 4 != 0)
        event.id = random_text(seed, id_bytes, 8, "xy: -");
    bytes = write_exact(&event);
    ok = event_check_stored_id(event.id) == NULL && bytes.n == sse_size(&event) && sse_check(bytes, &fields) == NULL &&
         slice_eq(fields.type, event.type) && slice_eq(fields.id, event.id) && (fields.id.p == NULL) == (event.id.p == NULL) &&
         slice_eq(slice_make(found, undressed(found, fields.data)), slice_make(want, normalized(want, data)));
    if (!ok)
        check_show("event", bytes);
    free((char *)(uintptr_t)bytes.p);
    return ok;
}

static void test_round_trip(void)
{
    uint64_t seed = 20261121;
    int wrong = 0;
    for (int i = 0; i != 5000; ++i)
        wrong += !comes_back(&seed);
    check(wrong == 0, "5000 random events come back through the check (%d did not)", wrong);
}

/* Of text that passed the check. */
static int32_t retry_of(const char *text)
{
    const char *line = strncmp(text, "retry: ", 7) == 0 ? text : strstr(text, "\nretry: ");
    return line == NULL ? EVENT_RETRY_NONE : atoi(strchr(line, ' '));
}

static size_t random_lines(uint64_t *seed, char *text)
{
    static const char *const pieces[] = {"event: ", "data: ", "id: ", "id:", "retry: ", "\n", "\n",  "\n",
                                         "x",       "7",      "0",    "\r",  ":",       " ",  "\n\n"};
    size_t n = 0;
    for (size_t left = 1 + random_next(seed) % 9; left != 0; --left) {
        const char *piece = pieces[random_next(seed) % (sizeof(pieces) / sizeof(pieces[0]))];
        memcpy(text + n, piece, strlen(piece) + 1);
        n += strlen(piece);
    }
    return n;
}

/* Random bytes that pass the check must be what sse_write() writes for the fields found in them. */
static void test_accepted_is_canonical(void)
{
    uint64_t seed = 99;
    int accepted = 0, wrong = 0;
    for (int i = 0; i != 200000; ++i) {
        char text[128], data_text[128];
        struct slice bytes = exact_copy(slice_make(text, random_lines(&seed, text))), data, again;
        struct sse_fields fields;
        if (sse_check(bytes, &fields) == NULL) {
            struct event event = {.type = fields.type,
                                  .data = &data,
                                  .data_count = fields.data.p != NULL,
                                  .id = fields.id,
                                  .retry_ms = retry_of(text)};
            data = slice_make(data_text, fields.data.p == NULL ? 0 : undressed(data_text, fields.data));
            again = write_exact(&event);
            ++accepted;
            if (!slice_eq(again, bytes)) {
                ++wrong;
                check_show("event", bytes);
            }
            free((char *)(uintptr_t)again.p);
        }
        exact_free(bytes);
    }
    check(accepted > 1000 && wrong == 0, "of %d random texts that pass, all are what sse_write() writes (%d are not)", accepted,
          wrong);
}

int main(void)
{
    yajl_val file = vector_file("sse.json");
    test_encode(file);
    test_check(file);
    test_round_trip();
    test_accepted_is_canonical();
    yajl_tree_free(file);
    return check_end();
}
