/* Input: milliseconds and sequence number as eight bytes each, then the fields channel, another channel, and a text.
 * An id is a UUID of version 4 in form and comes back as the position it was made of; a text that is taken for an id or a position is just
 * what the other direction writes. */
#include "proto/event_id.h"

#include "tests/fuzz/fuzz.h"

static void check_form(const char *id)
{
    must(strlen(id) == EVENT_ID_LEN);
    for (size_t i = 0; i != EVENT_ID_LEN; ++i) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        must(dash ? id[i] == '-' : strchr("0123456789abcdef", id[i]) != NULL);
    }
    must(id[14] == '4' && id[19] == '8');
}

static void check_made(struct slice channel, struct slice other, struct position p)
{
    char *id = malloc(EVENT_ID_LEN + 1), *again = malloc(EVENT_ID_LEN + 1);
    struct position back;
    must(id != NULL && again != NULL);
    event_id_format(id, channel, p);
    check_form(id);
    must(event_id_parse(&back, slice_make(id, EVENT_ID_LEN), channel) && position_compare(back, p) == 0);
    event_id_format(again, other, p);
    /* two names may share their hash, but then it is in the id */
    must(event_id_parse(&back, slice_make(id, EVENT_ID_LEN), other) == (strcmp(id, again) == 0));
    free(id);
    free(again);
}

static void check_position(struct position p)
{
    char text[POSITION_TEXT_MAX];
    struct position back;
    size_t n = position_format(text, p);
    must(n < POSITION_TEXT_MAX && position_parse(&back, slice_make(text, n)) && position_compare(back, p) == 0);
    must(position_is_none(p) == slice_eq(slice_make(text, n), SLICE("0-0")));
}

static void check_text(struct slice text, struct slice channel, struct position other)
{
    char written[POSITION_TEXT_MAX], id[EVENT_ID_LEN + 1];
    struct position p;
    struct slice exact = own(text, false);
    if (position_parse(&p, exact)) {
        must(slice_eq(slice_make(written, position_format(written, p)), text));
        must(position_compare(p, other) == -position_compare(other, p) && position_compare(p, p) == 0);
    }
    if (event_id_parse(&p, exact, channel)) {
        must(p.ms < (uint64_t)1 << 48 && p.seq <= EVENT_ID_SEQ_MAX);
        (event_id_is_end(exact) ? event_id_format_end : event_id_format)(id, channel, p);
        must(slice_eq(slice_make(id, EVENT_ID_LEN), text));
    }
    disown(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct position p;
    if (size < 16)
        return 0;
    memcpy(&p.ms, data, 8);
    memcpy(&p.seq, data + 8, 8);
    struct slice rest = slice_make((const char *)data + 16, size - 16);
    struct slice channel = next_field(&rest), other = next_field(&rest), text = next_field(&rest);
    check_position(p);
    check_text(text, channel, p);
    p.ms &= ((uint64_t)1 << 48) - 1;
    p.seq &= EVENT_ID_SEQ_MAX;
    check_made(channel, other, p);
    return 0;
}
