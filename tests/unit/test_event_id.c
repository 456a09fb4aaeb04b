#include "proto/event_id.h"

#include "tests/unit/vectors.h"

/* `format` writes the table's ids. */
static void test_golden(yajl_val file, const char *table, void (*format)(char *, struct slice, struct position))
{
    struct vector_rows rows = vector_rows(file, table);
    for (size_t i = 0; i != rows.len; ++i) {
        struct slice channel = vector_bytes(rows.values[i], "channel"), id = vector_bytes(rows.values[i], "id");
        struct position p = {(uint64_t)vector_integer(rows.values[i], "ms", -1),
                             (uint64_t)vector_integer(rows.values[i], "seq", -1)},
                        got;
        char out[EVENT_ID_LEN + 1];
        format(out, channel, p);
        check_slice(slice_of(out), id, "%s: row %zu is written", table, i);
        check(event_id_is_end(id) == (strcmp(table, "ends") == 0), "row %zu: whether it is an end's", i);
        check(event_id_parse(&got, id, channel) && position_compare(got, p) == 0, "row %zu is read", i);
        check(event_id_parse_any(&got, id) && position_compare(got, p) == 0, "row %zu is read, whichever its channel", i);
    }
}

static void test_foreign(yajl_val file)
{
    struct vector_rows rows = vector_rows(file, "foreign");
    int of_another = 0;
    for (size_t i = 0; i != rows.len; ++i) {
        struct slice id = exact_copy(vector_bytes(rows.values[i], "id"));
        struct position p = {7, 7};
        of_another += event_id_parse_any(&(struct position){0, 0}, id);
        check(!event_id_parse(&p, id, vector_bytes(rows.values[i], "channel")) && p.ms == 7 && p.seq == 7, "%s is not ours",
              vector_text(rows.values[i], "name"));
        exact_free(id);
    }
    check(of_another == 2, "two of them are another channel's: %d", of_another);
}

static void test_round_trip(void)
{
    uint64_t seed = 20261121, wrong = 0, elsewhere = 0;
    for (int i = 0; i != 5000; ++i) {
        struct position p = {random_next(&seed) >> (16 + random_next(&seed) % 40), random_next(&seed) & EVENT_ID_SEQ_MAX}, got;
        char name[8], other[8], id[EVENT_ID_LEN + 1];
        snprintf(name, sizeof(name), "c%u", (unsigned)(random_next(&seed) % 100000));
        snprintf(other, sizeof(other), "d%u", (unsigned)(random_next(&seed) % 100000));
        event_id_format(id, slice_of(name), p);
        wrong += strlen(id) != EVENT_ID_LEN || !event_id_parse(&got, slice_of(id), slice_of(name)) || position_compare(got, p) != 0;
        elsewhere += event_id_parse(&got, slice_of(id), slice_of(other));
    }
    check(wrong == 0, "5000 random positions come back (%d did not)", (int)wrong);
    check(elsewhere == 0, "none of them is read for another channel (%d were)", (int)elsewhere);
}

/* 20000 changed ids: each changes one digit, so nearly all must fail the check, and none may read beyond its end. */
static void test_damage(void)
{
    uint64_t seed = 4711;
    int taken = 0;
    char id[EVENT_ID_LEN + 1];
    event_id_format(id, SLICE("post"), (struct position){1763725698123, 5});
    for (int i = 0; i != 20000; ++i) {
        char damaged[EVENT_ID_LEN];
        struct position p;
        size_t at = random_next(&seed) % EVENT_ID_LEN;
        memcpy(damaged, id, EVENT_ID_LEN);
        damaged[at] = (char)random_next(&seed);
        bool other =
            damaged[at] != id[at] && !event_id_is_end(slice_make(damaged, EVENT_ID_LEN)); /* which is as good, and the same place */
        taken += other && event_id_parse(&p, slice_make(damaged, EVENT_ID_LEN), SLICE("post"));
    }
    check(taken == 0, "an id with one changed byte is not ours (%d of 20000 were taken)", taken);
}

static void test_beyond_the_contract(void)
{
    char id[EVENT_ID_LEN + 1];
    event_id_format(id, SLICE("post"), (struct position){UINT64_MAX, UINT64_MAX});
    check(strlen(id) == EVENT_ID_LEN && id[14] == '4' && id[19] == '8', "a position that is too large still makes 36 bytes");
}

int main(void)
{
    yajl_val file = vector_file("event_id.json");
    test_golden(file, "ids", event_id_format);
    test_golden(file, "ends", event_id_format_end);
    test_foreign(file);
    test_round_trip();
    test_damage();
    test_beyond_the_contract();
    yajl_tree_free(file);
    return check_end();
}
