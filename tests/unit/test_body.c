#include "publisher/body.h"

#include <stdlib.h>

#include "publisher/json.h"
#include "tests/check.h"

enum { PARAMS_MAX = 8 };

/* "a=1&b=2" as parameters; no escapes. */
static size_t split_params(struct body_param params[PARAMS_MAX], const char *text)
{
    size_t count = 0;
    struct slice rest = slice_of(text);
    while (rest.n != 0 && count != PARAMS_MAX) {
        struct slice value = slice_split(&rest, '&');
        struct slice name = slice_split(&value, '=');
        params[count++] = (struct body_param){.name = name, .value = value};
    }
    return count;
}

static void test_params(void)
{
    static const struct {
        const char *fact, *params, *want;
    } rows[] = {
        {"no parameter makes the empty object", "", "{}"},
        {"values are strings", "n=1&t=true", "{\"n\":\"1\",\"t\":\"true\"}"},
        {"a parameter without a value is the empty string", "a=&b", "{\"a\":\"\",\"b\":\"\"}"},
        {"the last of a repeated name counts", "a=1&b=2&a=3", "{\"b\":\"2\",\"a\":\"3\"}"},
        {"of three, too", "a=1&a=2&a=3", "{\"a\":\"3\"}"},
        {"a name that begins like another is another", "a=1&ab=2&abc=3&b=4",
         "{\"a\":\"1\",\"ab\":\"2\",\"abc\":\"3\",\"b\":\"4\"}"},
        {"the empty name is a name", "=1&=2", "{\"\":\"2\"}"},
        {"quotes and backslashes are escaped", "a\"=b\\", "{\"a\\\"\":\"b\\\\\"}"},
        {"line breaks and control characters are escaped", "a=\r\n\t\x01\x1f", "{\"a\":\"\\r\\n\\t\\u0001\\u001F\"}"},
        {"other than ASCII stays as it is", "ü=€😀", "{\"ü\":\"€😀\"}"},
    };
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct body_param params[PARAMS_MAX];
        struct body body;
        body_from_params(&body, params, split_params(params, rows[i].params));
        check_slice(body.data, slice_of(rows[i].want), "parameters: %s", rows[i].fact);
        body_free(&body);
    }
    struct body body;
    struct body_param nul = {.name = SLICE("a"), .value = SLICE("x\0y")};
    body_from_params(&body, &nul, 1);
    check_slice(body.data, SLICE("{\"a\":\"x\\u0000y\"}"), "parameters: NUL is escaped");
    body_free(&body);
}

static void test_json(void)
{
    static const struct {
        const char *fact, *json, *params, *want;
    } rows[] = {
        {"space between tokens goes", " { \"a\" : [ 1 , 2 ] ,\n\t\"b\" : null }\r\n", "", "{\"a\":[1,2],\"b\":null}"},
        {"space within strings stays", "{\"a b\":\" c \"}", "", "{\"a b\":\" c \"}"},
        {"members keep their order", "{\"z\":1,\"a\":2,\"m\":3}", "", "{\"z\":1,\"a\":2,\"m\":3}"},
        {"numbers stay as they were written", "[0,-0,1.50,1e400,-1E-7,123456789012345678901234567890]", "",
         "[0,-0,1.50,1e400,-1E-7,123456789012345678901234567890]"},
        {"an object stands as it is", "{\"a\":{\"b\":[true,false,{}]}}", "", "{\"a\":{\"b\":[true,false,{}]}}"},
        {"an array stands as it is", "[]", "", "[]"},
        {"a string stands as it is", "\"hi\"", "", "\"hi\""},
        {"a number stands as it is", "42", "", "42"},
        {"null stands as it is", "null", "", "null"},
        {"parameters are added to an object", "{\"a\":1}", "q=2", "{\"a\":1,\"q\":\"2\"}"},
        {"they are added to the empty object", "{}", "q=2", "{\"q\":\"2\"}"},
        {"the body wins on the same name", "{\"a\":1}", "a=2&b=3", "{\"a\":1,\"b\":\"3\"}"},
        {"only a member of the outermost object wins", "{\"o\":{\"a\":1}}", "a=2", "{\"o\":{\"a\":1},\"a\":\"2\"}"},
        {"a name is compared after its escapes", "{\"\\u0061\":1}", "a=2", "{\"a\":1}"},
        {"an array goes under _json beside parameters", "[{\"a\":1}]", "a=2", "{\"_json\":[{\"a\":1}],\"a\":\"2\"}"},
        {"a string goes under _json, too", "\"hi\"", "a=2", "{\"_json\":\"hi\",\"a\":\"2\"}"},
        {"null goes under _json, too", "null", "a=2", "{\"_json\":null,\"a\":\"2\"}"},
        {"the body wins over a parameter _json", "true", "_json=1&b=2", "{\"_json\":true,\"b\":\"2\"}"},
        {"escapes come out in their shortest form", "\"\\u00e9\\/\\u000a\\u20ac\"", "", "\"é/\\n€\""},
        {"a surrogate pair is one character", "\"\\ud83d\\ude00\"", "", "\"😀\""},
        {"an escaped backslash before ud800 is no surrogate", "\"\\\\ud800\"", "", "\"\\\\ud800\""},
        {"NUL stays an escape", "\"a\\u0000b\"", "", "\"a\\u0000b\""},
        {"U+2028 and DEL stay as they are", "\"\xe2\x80\xa8\x7f\"", "", "\"\xe2\x80\xa8\x7f\""},
    };
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct body_param params[PARAMS_MAX];
        struct body body;
        const char *why = body_from_json(&body, slice_of(rows[i].json), params, split_params(params, rows[i].params));
        check(why == NULL, "JSON is taken: %s (%s)", rows[i].fact, why == NULL ? "yes" : why);
        check_slice(body.data, slice_of(rows[i].want), "JSON: %s", rows[i].fact);
        body_free(&body);
    }
}

static void test_bad_json(void)
{
    static const struct {
        const char *fact, *json, *want;
    } rows[] = {
        {"truncated object", "{\"a\":1", "the JSON body is malformed at offset 6: parse error: premature EOF"},
        {"truncated string", "\"abc", "the JSON body is malformed at offset 4: parse error: premature EOF"},
        {"only space", "  ", "the JSON body is malformed at offset 2: parse error: premature EOF"},
        {"trailing garbage", "{} x", "the JSON body is malformed at offset 3: parse error: trailing garbage"},
        {"two values", "{}{}", "the JSON body is malformed at offset 2: parse error: trailing garbage"},
        {"a value and an unfinished string", "{}\"x", "the JSON body is malformed at offset 4: parse error: trailing garbage"},
        {"a number and half an escape", "0\"\\ud83d", NULL},
        {"a value and half a word", "{} tru", NULL},
        {"a value and an unfinished array", "{} [", NULL},
        {"a bare word", "hello", "the JSON body is malformed at offset 0: lexical error: invalid char in json text"},
        {"a form feed between tokens", "[1,\f2]",
         "the JSON body is malformed at offset 3: lexical error: invalid char in json text"},
        {"a vertical tab behind the value", "{}\v",
         "the JSON body is malformed at offset 2: lexical error: invalid char in json text"},
        {"single quotes", "{'a':1}", "the JSON body is malformed at offset 1: lexical error: invalid char in json text"},
        {"trailing comma", "[1,]", NULL},
        {"leading zero", "[01]", NULL},
        {"a number without digits after its point", "[1.]", NULL},
        {"a comment", "[1]//x", NULL},
        {"a raw line break in a string", "\"a\nb\"", NULL},
        {"an unknown escape", "\"\\x\"", NULL},
        {"a byte order mark", "\xef\xbb\xbf{}", NULL},
        {"NaN", "[NaN]", NULL},
        {"a key that is no string", "{1:2}", NULL},
        {"mismatched brackets", "[}", NULL},
        {"half a surrogate pair", "\"a\\ud83d\"", "the JSON body has half a surrogate pair at offset 2"},
        {"a high half before another escape", "\"\\ud800\\u0041\"", "the JSON body has half a surrogate pair at offset 1"},
        {"a low half alone", "[\"\\n\",\"\\udc00\"]", "the JSON body has half a surrogate pair at offset 7"},
        {"a high half as a key's last", "{\"\\udbff\":1}", "the JSON body has half a surrogate pair at offset 2"},
        {"a stray continuation byte", "{\"a\":\"\x80\"}", "the JSON body is not UTF-8 at offset 6"},
        {"a cut sequence", "\"\xe2\x82\"", "the JSON body is not UTF-8 at offset 1"},
        {"an overlong form", "\"ab\xc0\xaf\"", "the JSON body is not UTF-8 at offset 3"},
        {"a surrogate in UTF-8", "\"\xed\xa0\x80\"", "the JSON body is not UTF-8 at offset 1"},
        {"a byte that UTF-8 never has, at the very end", "{}\xff", "the JSON body is not UTF-8 at offset 2"},
    };
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct body body;
        const char *why = body_from_json(&body, slice_of(rows[i].json), NULL, 0);
        if (rows[i].want != NULL)
            check_slice(slice_of(why == NULL ? "" : why), slice_of(rows[i].want), "refused: %s", rows[i].fact);
        else
            check(why != NULL && strstr(why, " at offset ") != NULL && strchr(why, '\n') == NULL, "refused: %s", rows[i].fact);
        check(body.data.p == NULL, "nothing is left of it: %s", rows[i].fact);
        body_free(&body);
    }
}

/* `depth` arrays (or objects) within each other. */
static const char *nest(unsigned depth, bool objects, struct body *body)
{
    char text[4096] = "";
    for (unsigned i = 0; i != depth; ++i)
        strcat(text, objects ? "{\"a\":" : "[");
    strcat(text, "1");
    for (unsigned i = 0; i != depth; ++i)
        strcat(text, objects ? "}" : "]");
    return body_from_json(body, slice_of(text), NULL, 0);
}

static void test_depth(void)
{
    for (int objects = 0; objects != 2; ++objects) {
        struct body body;
        check(nest(JSON_DEPTH_MAX, objects, &body) == NULL, "64 %s within each other are taken", objects ? "objects" : "arrays");
        body_free(&body);
        const char *why = nest(JSON_DEPTH_MAX + 1, objects, &body);
        check_slice(slice_of(why == NULL ? "" : why), SLICE("the JSON body nests deeper than 64"), "65 %s are refused",
                    objects ? "objects" : "arrays");
    }
    size_t n = 1 << 20;
    char *deep = memset(malloc(n), '[', n);
    struct body body;
    check(body_from_json(&body, slice_make(deep, n), NULL, 0) != NULL, "a mebibyte of '[' is refused");
    free(deep);
}

/* Half a million parameters: quadratic work would take minutes and the test's time-out. */
static void test_many(void)
{
    enum { COUNT = 500000 };
    struct body_param *params = calloc(COUNT, sizeof(*params));
    char(*names)[12] = calloc(COUNT, sizeof(*names));
    for (int i = 0; i != COUNT; ++i)
        params[i].name = slice_make(names[i], (size_t)snprintf(names[i], sizeof(names[i]), "n%d", i % (COUNT / 2)));
    struct body body;
    const char *why = body_from_json(&body, SLICE("{\"n7\":1}"), params, COUNT);
    size_t kept = 0;
    for (int i = 0; i != COUNT; ++i)
        kept += !params[i].dropped;
    check(why == NULL && kept == COUNT / 2 - 1, "of half a million parameters each name is kept once, less the body's own");
    body_free(&body);
    free(names);
    free(params);
}

static void test_kind(void)
{
    static const struct {
        const char *type;
        enum body_kind want;
        bool taken;
    } rows[] = {
        {NULL, BODY_NONE, true},
        {"application/json", BODY_JSON, true},
        {"Application/JSON", BODY_JSON, true},
        {"application/json; charset=utf-8", BODY_JSON, true},
        {"application/json;charset=\"UTF-8\"", BODY_JSON, true},
        {"application/json; version=1; charset=utf-8", BODY_JSON, true},
        {"application/json ;", BODY_JSON, true},
        {"application/x-www-form-urlencoded", BODY_FORM, true},
        {"text/plain", BODY_TEXT, true},
        {"text/plain;charset=US-ASCII", BODY_TEXT, true},
        {"text/markdown", BODY_TEXT, true},
        {"application/json; charset=iso-8859-1", BODY_JSON, false},
        {"text/plain; charset=utf-16", BODY_TEXT, false},
        {"text/", BODY_NONE, false},
        {"", BODY_NONE, false},
        {"application/problem+json", BODY_JSON, true},
        {"Application/CloudEvents+JSON; charset=utf8", BODY_JSON, true},
        {"text/plain; charset=\"utf8\"", BODY_TEXT, true},
        {"application/+json", BODY_NONE, false},
        {"application/json+xml", BODY_NONE, false},
        {"image/svg+json", BODY_NONE, false},
        {"application/jsonx", BODY_NONE, false},
        {"multipart/form-data; boundary=x", BODY_NONE, false},
        {"image/png", BODY_NONE, false},
    };
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        enum body_kind kind;
        struct slice type = rows[i].type == NULL ? (struct slice){NULL, 0} : slice_of(rows[i].type);
        const char *why = body_kind_of(&kind, type);
        check((why == NULL) == rows[i].taken && kind == rows[i].want, "Content-Type %s is %s",
              rows[i].type == NULL ? "absent" : rows[i].type, rows[i].taken ? "taken" : "refused");
    }
}

int main(void)
{
    test_params();
    test_json();
    test_bad_json();
    test_depth();
    test_many();
    test_kind();
    return check_end();
}
