#include "publisher/lines.h"

#include <stdlib.h>
#include <string.h>

#include "proto/event.h"
#include "tests/check.h"

enum { RETRY_MS = 77 };

static const char *read_text(struct lines *lines, struct slice body, bool named)
{
    int status = 0;
    char *exact = malloc(body.n + 1); /* the sanitizer sees a byte too far */
    memcpy(exact, body.p, body.n);
    const char *why = lines_read(lines, slice_make(exact, body.n), named, RETRY_MS, &status);
    free(exact); /* nothing points into it */
    check(why == NULL || status == 400, "a refusal is a 400");
    return why;
}

/* The data of all lines, "|" between them. */
static void test_data(void)
{
    static const struct {
        const char *fact, *body, *want;
    } rows[] = {
        {"a string is the data as it reads", "{\"data\":\"a \\\"b\\\"\\n\\u00e9\"}", "a \"b\"\né"},
        {"the empty string is empty data", "{\"data\":\"\"}", ""},
        {"a number keeps its digits", "{\"data\":1.50e400}", "1.50e400"},
        {"a number longer than any machine's", "{\"data\":-123456789012345678901234567890}", "-123456789012345678901234567890"},
        {"words", "{\"data\":true}\n{\"data\":false}\n{\"data\":null}", "true|false|null"},
        {"an object becomes compact", " { \"data\" : { \"b\" : [ 1 , 2.0 ] , \"a\" : \"\\u0001\\/\" } } ",
         "{\"b\":[1,2.0],\"a\":\"\\u0001/\"}"},
        {"so does an array", "{\"data\":[ [ ] , { } , null ]}", "[[],{},null]"},
        {"names within the data are free", "{\"data\":{\"data\":1,\"data\":2,\"x\":{\"id\":3}}}",
         "{\"data\":1,\"data\":2,\"x\":{\"id\":3}}"},
        {"the last line break is not needed", "{\"data\":1}\n{\"data\":2}", "1|2"},
        {"nor is it a line", "{\"data\":1}\n{\"data\":2}\n", "1|2"},
        {"CRLF is fine", "{\"data\":1}\r\n{\"data\":2}\r\n", "1|2"},
        {"blank lines are passed over", "\n \t\r\n{\"data\":1}\n\n\n{\"data\":2}\n\n", "1|2"},
        {"each line's own data, whatever stood before", "{\"data\":{\"a\":1}}\n{\"data\":\"b\"}\n{\"data\":[2]}",
         "{\"a\":1}|b|[2]"},
        {"other members may come before and behind", "{\"event\":\"x\",\"data\":{\"a\":1},\"id\":\"7\"}", "{\"a\":1}"},
        {"NUL in a string is a byte", "{\"data\":\"a\\u0000b\"}", NULL},
    };
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct lines lines;
        char got[300];
        size_t n = 0;
        const char *why = read_text(&lines, slice_of(rows[i].body), false);
        check(why == NULL, "lines are taken: %s (%s)", rows[i].fact, why == NULL ? "yes" : why);
        for (size_t j = 0; j != lines.count; ++j) {
            struct slice data = lines.items[j].event.data;
            if (j != 0)
                got[n++] = '|';
            memcpy(got + n, data.p, data.n);
            n += data.n;
        }
        check_slice(slice_make(got, n), rows[i].want == NULL ? SLICE("a\0b") : slice_of(rows[i].want), "data: %s", rows[i].fact);
        lines_free(&lines);
    }
}

static void test_members(void)
{
    struct lines lines;
    const char *why = read_text(&lines,
                                SLICE("{\"data\":1,\"event\":\"order\",\"id\":\"a-1\",\"retry\":0,\"lease\":86400}\n\n"
                                      "{\"\\u0064ata\":2,\"event\":\"\",\"end\":false}\n"
                                      "{\"end\":true}"),
                                false);
    check(why == NULL && lines.count == 3, "three events (%s)", why == NULL ? "taken" : why);
    const struct line *line = lines.items;
    check_slice(line[0].event.type, SLICE("order"), "its type");
    check_slice(line[0].event.id, SLICE("a-1"), "its id");
    check(line[0].event.retry_ms == 0 && line[0].event.lease_s == 86400 && !line[0].event.end, "its numbers");
    check(line[0].number == 1 && line[1].number == 3 && line[2].number == 4, "blank lines count");
    check(line[1].event.retry_ms == RETRY_MS && line[1].event.lease_s == 0 && line[1].event.type.n == 0, "what a line leaves out");
    check(line[2].event.end && line[2].event.data.n == 0 && !line[1].event.end, "only the end");
    lines_free(&lines);

    why = read_text(&lines,
                    SLICE("{\"channel\":\"a\",\"data\":1,\"end\":1}\n{\"channel\":\"b/"
                          "c\",\"data\":2}\n{\"channel\":\"a2\",\"data\":3,\"end\":true}"),
                    true);
    check(why == NULL && lines.count == 3, "each channel has its end (%s)", why == NULL ? "taken" : why);
    check_slice(lines.items[1].channel, SLICE("b/c"), "the second line's channel");
    lines_free(&lines);
}

static void test_faults(void)
{
#define DEEP16 "[[[[[[[[[[[[[[[["
    static const struct {
        const char *fact, *body, *want;
        bool named;
    } rows[] = {
        {"nothing", "", "the body holds no event", false},
        {"only blank lines", "\n\r\n  \n", "the body holds no event", false},
        {"no object", "{\"data\":1}\n7", "line 2: the line must be a JSON object", false},
        {"an array", "[{\"data\":1}]", "line 1: the line must be a JSON object", false},
        {"a string", "\"data\"", "line 1: the line must be a JSON object", false},
        {"two objects in a line", "{\"data\":1}{\"data\":2}",
         "line 1: the JSON is malformed at offset 10: parse error: trailing garbage", false},
        {"half an object", "\n{\"data\":1}\n{\"data\":", "line 3: the JSON is malformed at offset 8: parse error: premature EOF",
         false},
        {"an object over two lines", "{\"data\":\n1}", "line 1: the JSON is malformed at offset 8: parse error: premature EOF",
         false},
        {"an unfinished string behind it", "{\"data\":1}\"x",
         "line 1: the JSON is malformed at offset 12: parse error: trailing garbage", false},
        {"bytes that are no UTF-8", "{\"data\":1}\n{\"data\":\"\xff\"}", "line 2: the JSON is not UTF-8 at offset 9", false},
        {"half a surrogate pair", "{\"data\":\"\\ud800\"}", "line 1: the JSON has half a surrogate pair at offset 9", false},
        {"a form feed", "{\"data\":1}\f", "line 1: the JSON is malformed at offset 10: lexical error: invalid char in json text",
         false},
        {"no data", "{}", "line 1: the line has no data", false},
        {"no data, but a type", "{\"event\":\"x\"}", "line 1: the line has no data", false},
        {"an end that is none, without data", "{\"end\":false}", "line 1: the line has no data", false},
        {"an unknown member", "{\"data\":1,\"colour\":2}",
         "line 1: unknown member 'colour'; a line may hold data, event, id, retry, end, lease", false},
        {"case matters", "{\"Data\":1}", "line 1: unknown member 'Data'; a line may hold data, event, id, retry, end, lease",
         false},
        {"a channel where the path names it", "{\"channel\":\"a\",\"data\":1}",
         "line 1: unknown member 'channel'; a line may hold data, event, id, retry, end, lease", false},
        {"a long name is cut between characters", "{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaéééé\":1}",
         "line 1: unknown member 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'; a line may hold data, event, id, retry, end, lease",
         false},
        {"data twice", "{\"data\":1,\"data\":1}", "line 1: more than one member 'data'", false},
        {"an id twice, one of them escaped", "{\"data\":1,\"id\":\"a\",\"\\u0069d\":\"b\"}", "line 1: more than one member 'id'",
         false},
        {"an event that is no string", "{\"data\":1,\"event\":null}", "line 1: event must be a string", false},
        {"an id that is a number", "{\"data\":1,\"id\":7}", "line 1: id must be a string", false},
        {"an id that is an object", "{\"data\":1,\"id\":{}}", "line 1: id can't be an object or array", false},
        {"an end that is an array", "{\"data\":1,\"end\":[]}", "line 1: end can't be an object or array", false},
        {"a retry that is a string", "{\"data\":1,\"retry\":\"1\"}", "line 1: retry must be 0 to 3600000 milliseconds", false},
        {"a retry with a fraction", "{\"data\":1,\"retry\":1.0}", "line 1: retry must be 0 to 3600000 milliseconds", false},
        {"a retry below 0", "{\"data\":1,\"retry\":-1}", "line 1: retry must be 0 to 3600000 milliseconds", false},
        {"a retry above its bound", "{\"data\":1,\"retry\":3600001}", "line 1: retry must be 0 to 3600000 milliseconds", false},
        {"a lease of nothing", "{\"data\":1,\"lease\":0}", "line 1: lease must be 1 to 86400 seconds", false},
        {"a lease above its bound", "{\"data\":1,\"lease\":86401}", "line 1: lease must be 1 to 86400 seconds", false},
        {"an end that is a string", "{\"data\":1,\"end\":\"true\"}", "line 1: end must be true or false", false},
        {"an end that is null", "{\"data\":1,\"end\":null}", "line 1: end must be true or false", false},
        {"an end of 2", "{\"data\":1,\"end\":2}", "line 1: end must be true or false", false},
        {"an end and a lease", "{\"data\":1,\"end\":true,\"lease\":5}", "line 1: end and lease exclude each other", false},
        {"only the end, and a type", "{\"end\":true,\"event\":\"x\"}", "line 1: an end without data has no event or id of its own",
         false},
        {"only the end, and an id", "{\"data\":\"\",\"end\":true,\"id\":\"x\"}",
         "line 1: an end without data has no event or id of its own", false},
        {"an end before the last line", "{\"data\":1}\n\n{\"data\":2,\"end\":true}\n{\"data\":3}",
         "line 3: end may stand only in the last line", false},
        {"an end before the last line of its channel",
         "{\"channel\":\"a\",\"end\":true}\n{\"channel\":\"b\",\"data\":2}\n{\"channel\":\"a\",\"data\":3}",
         "line 1: end may stand only in the last line of its channel", true},
        {"no channel", "{\"data\":1}", "line 1: the line names no channel", true},
        {"a reserved type", "{\"data\":1,\"event\":\"gap\"}", NULL, false},
        {"a type with a line break", "{\"data\":1,\"event\":\"a\\nb\"}", NULL, false},
        {"an id with a line break", "{\"data\":1,\"id\":\"a\\nb\"}", NULL, false},
        {"an id with NUL", "{\"data\":1,\"id\":\"a\\u0000\"}", NULL, false},
        {"a channel out of the grammar", "{\"channel\":\"a b\",\"data\":1}", NULL, true},
        {"a channel with a line break", "{\"channel\":\"a\\nb\",\"data\":1}", NULL, true},
        {"an empty channel", "{\"channel\":\"\",\"data\":1}", NULL, true},
        {"65 arrays", "{\"data\":" DEEP16 DEEP16 DEEP16 DEEP16 "[", "line 1: data nests deeper than 64", false},
    };
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct lines lines;
        const char *why = read_text(&lines, slice_of(rows[i].body), rows[i].named);
        check(why != NULL && lines.items == NULL && lines.bytes == NULL, "refused, and nothing is left: %s", rows[i].fact);
        if (rows[i].want == NULL)
            check(why != NULL && strncmp(why, "line 1: ", 8) == 0 && why[8] != 0, "the line is named: %s (%s)", rows[i].fact,
                  why == NULL ? "" : why);
        else
            check_slice(slice_of(why == NULL ? "" : why), slice_of(rows[i].want), "sentence: %s", rows[i].fact);
    }
}

static void test_depth(void)
{
    struct lines lines;
    char body[200] = "{\"data\":";
    for (int i = 0; i != 64; ++i)
        strcat(body, "[");
    for (int i = 0; i != 64; ++i)
        strcat(body, "]");
    strcat(body, "}\n{\"data\":[]}");
    const char *why = read_text(&lines, slice_of(body), false);
    check(why == NULL && lines.count == 2 && lines.items[0].event.data.n == 128, "64 arrays within each other are taken");
    lines_free(&lines);
}

static const char *read_many(struct lines *lines, unsigned count, const char *line, int *status)
{
    size_t n = strlen(line);
    char *body = malloc(count * n);
    for (unsigned i = 0; i != count; ++i)
        memcpy(body + i * n, line, n);
    const char *why = lines_read(lines, slice_make(body, count * n), false, EVENT_RETRY_NONE, status);
    free(body);
    return why;
}

static void test_bounds(void)
{
    struct lines lines;
    int status = 0;
    check(read_many(&lines, PUBLISH_EVENTS_MAX, "{\"data\":1}\n", &status) == NULL && lines.count == 1000 &&
              lines.items[999].number == 1000,
          "1000 events are taken");
    lines_free(&lines);
    const char *why = read_many(&lines, PUBLISH_EVENTS_MAX + 1, "{\"data\":1}\n", &status);
    check_slice(slice_of(why == NULL ? "" : why), SLICE("the body holds more than 1000 events"), "1001 are not");
    check(status == 413 && lines.items == NULL, "that is a 413");
    check(read_many(&lines, PUBLISH_EVENTS_MAX, "\n{\"data\":1}\n\n", &status) == NULL && lines.count == 1000 &&
              lines.items[999].number == 2999,
          "blank lines are not among the thousand");
    lines_free(&lines);
}

int main(void)
{
    test_data();
    test_members();
    test_faults();
    test_depth();
    test_bounds();
    return check_end();
}
