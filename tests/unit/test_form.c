/* What streams get of an event, by their variant. */
#include "gateway/form.h"
#include "runtime/digits.h"

#include "tests/check.h"

static const struct variant lean = {.form = FORM_LEAN}, full = {.form = FORM_FULL}, envelope = {.form = FORM_ENVELOPE},
                            several = {.form = FORM_LEAN, .several = true}, envelopes = {.form = FORM_ENVELOPE, .several = true};

static const struct variant list = {.form = FORM_JSON}, lists = {.form = FORM_JSON, .several = true};

static const struct {
    const char *fact;
    const struct variant *variant;
    bool durable, unsettled;
    const char *event, *want; /* NULL: the frame itself */
} rows[] = {
    {"the lean form is the frame", &lean, true, true, "data: a\nid: 1\nretry: 86400000\n\n", NULL},
    {"the full form has all lines", &full, true, false, "data: a\nid: 1\n\n", "event: message\ndata: a\nid: 1\nretry: 6000\n\n"},
    {"a type and a retry stay", &full, true, false, "event: x\ndata: a\nid: 1\nretry: 7\n\n", NULL},
    {"only the retry is missing", &full, true, false, "event: x\ndata: a\n\n", "event: x\ndata: a\nretry: 6000\n\n"},
    {"only the type is missing", &full, true, false, "data: a\nid:\nretry: 0\n\n", "event: message\ndata: a\nid:\nretry: 0\n\n"},
    {"an event without history has no retry", &full, false, false, "data: a\n\n", "event: message\ndata: a\n\n"},
    {"the envelope holds channel and data", &envelope, true, false, "data: a\nid: 1\n\n",
     "data: {\"channel\":\"n/1\",\"data\":\"a\"}\nid: 1\n\n"},
    {"… and the type", &envelope, true, false, "event: x\ndata: a\nid: 1\nretry: 70000\n\n",
     "data: {\"channel\":\"n/1\",\"event\":\"x\",\"data\":\"a\"}\nid: 1\nretry: 70000\n\n"},
    {"its data is a string, whatever it is", &envelope, true, false, "data: {\"a\":\"\\\"\"}\n\n",
     "data: {\"channel\":\"n/1\",\"data\":\"{\\\"a\\\":\\\"\\\\\\\"\\\"}\"}\n\n"},
    {"lines of data are joined by LF", &envelope, true, false, "data: a\ndata: \ndata: data: b\n\n",
     "data: {\"channel\":\"n/1\",\"data\":\"a\\u000a\\u000adata: b\"}\n\n"},
    {"empty data is an empty string", &envelope, true, false, "data: \n\n", "data: {\"channel\":\"n/1\",\"data\":\"\"}\n\n"},
    {"what is not UTF-8 is replaced", &envelope, true, false, "data: \xff\n\n",
     "data: {\"channel\":\"n/1\",\"data\":\"\\ufffd\"}\n\n"},
    {"what fires nothing goes on firing nothing", &envelope, true, false, "id: 1\nretry: 5\n\n", NULL},
    {"in a stream of several channels a usual retry stays", &several, true, false, "data: a\nid: 1\nretry: 60000\n\n", NULL},
    {"a longer one becomes the longest", &several, true, false, "data: a\nid: 1\nretry: 60001\n\n",
     "data: a\nid: 1\nretry: 60000\n\n"},
    {"a day does", &several, true, false, "event: x\ndata: a\nretry: 86400000\n\n", "event: x\ndata: a\nretry: 60000\n\n"},
    {"none stays none", &several, true, false, "data: a\nid: 1\n\n", NULL},
    {"what only looks like one stays", &several, true, false, "data: retry: 86400000\n\n", NULL},
    {"while others are read the id line goes", &several, true, true, "data: a\nid: 1\nretry: 6000\n\n", "data: a\nretry: 6000\n\n"},
    {"the empty one, too, which would reset the client's", &several, true, true, "data: a\nid:\n\n", "data: a\n\n"},
    {"what only looks like one in the data stays", &several, true, true, "data: id: 1\ndata: \n\n", NULL},
    {"both", &several, true, true, "data: a\nid: 1\nretry: 86400000\n\n", "data: a\nretry: 60000\n\n"},
    {"and in an envelope", &envelopes, true, true, "event: x\ndata: a\nid: 1\nretry: 86400000\n\n",
     "data: {\"channel\":\"n/1\",\"event\":\"x\",\"data\":\"a\"}\nretry: 60000\n\n"},
    {"what is no event stays", &envelopes, true, true, ":\n", NULL},
    {"nothing stays nothing", &envelopes, true, true, "", NULL},
};

static const struct {
    const char *fact;
    const struct variant *variant;
    enum frame_kind kind;
    const char *event, *want, *id;
} list_rows[] = {
    {"what an event has", &list, FRAME_EVENT, "event: x\ndata: a\ndata: b\nid: 1\nretry: 70000\n\n",
     "{\"id\":\"1\",\"event\":\"x\",\"data\":\"a\\u000ab\",\"retry\":70000},", "\"1\""},
    {"nothing that it has not", &list, FRAME_EVENT, "data: \n\n", "{\"data\":\"\"},", ""},
    {"of several channels its own, and no long retry", &lists, FRAME_EVENT, "data: a\nid: 1\nretry: 70000\n\n",
     "{\"channel\":\"n/1\",\"id\":\"1\",\"data\":\"a\",\"retry\":60000},", "\"1\""},
    {"an id that is quoted", &list, FRAME_EVENT, "data: a\nid: \"\n\n", "{\"id\":\"\\\"\",\"data\":\"a\"},", "\"\\\"\""},
    {"what fires nothing is only a place", &list, FRAME_EVENT, "id: 1\nretry: 5\n\n", "\"1\"", "\"1\""},
    {"so is a gap", &lists, FRAME_GAP, "event: gap\ndata: {}\nid: 2\n\n", "\"2\"", "\"2\""},
    {"a gap without an id is none", &list, FRAME_GAP, "event: gap\ndata: {}\n\n", "", ""},
};

static void test_lists(void)
{
    for (size_t i = 0; i != sizeof(list_rows) / sizeof(list_rows[0]); ++i) {
        struct frame *frame = frame_of_bytes(slice_of(list_rows[i].event));
        frame->kind = list_rows[i].kind;
        struct frame *made = form_frame(frame, SLICE("n/1"), *list_rows[i].variant, true);
        check_slice(frame_body(made), slice_of(list_rows[i].want), "in a list: %s", list_rows[i].fact);
        check_slice(frame_id(made), slice_of(list_rows[i].id), "its id: %s", list_rows[i].fact);
        check(made->kind == list_rows[i].kind, "its kind: %s", list_rows[i].fact);
        frame_unref(made);
        frame_unref(frame);
    }
}

int main(void)
{
    test_lists();
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct frame *frame = frame_of_bytes(slice_of(rows[i].event));
        struct sse_fields fields;
        uint64_t retry_ms = 0;
        if (sse_check(frame_body(frame), &fields) == NULL && digits_decimal(&retry_ms, fields.retry, UINT32_MAX))
            frame->retry_ms = (uint32_t)retry_ms; /* as frame_of_message() does */
        frame->durable = rows[i].durable;
        frame->kind = FRAME_GAP;
        struct frame *made = form_frame(frame, SLICE("n/1"), *rows[i].variant, !rows[i].unsettled);
        check((made == frame) == (rows[i].want == NULL), "it is made anew only where it has to be: %s", rows[i].fact);
        check_slice(frame_body(made), slice_of(rows[i].want == NULL ? rows[i].event : rows[i].want), "%s", rows[i].fact);
        check(made->kind == FRAME_GAP, "of the same kind: %s", rows[i].fact);
        frame_unref(made);
        frame_unref(frame);
    }
    return check_end();
}
