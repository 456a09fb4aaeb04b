#include "proto/cli/reply.h"

#include "tests/check.h"

static const struct {
    long status;
    const char *body, *to, *want;
    enum reply reply;
} replies[] = {
    {200, "{}", NULL, "200 OK", REPLY_GOOD},
    {204, "", NULL, "204 No Content", REPLY_END},
    {429, "{\"error\":\"too many streams of this address\"}", NULL, "429 Too Many Requests: too many streams of this address",
     REPLY_LATER},
    {503, "{\"error\":", NULL, "503 Service Unavailable", REPLY_LATER},
    {503, "<html>", NULL, "503 Service Unavailable", REPLY_LATER},
    {408, "", NULL, "408 Request Timeout", REPLY_LATER},
    {401, "{\"error\":7}", NULL, "401 Unauthorized", REPLY_REFUSED},
    {404, "[\"error\"]", NULL, "404 Not Found", REPLY_REFUSED},
    {418, "", NULL, "418", REPLY_REFUSED},
    {301, "", "https://x/", "301 Moved Permanently to https://x/; redirects are followed with --location only", REPLY_REFUSED},
    {0, "", NULL, "0", REPLY_REFUSED},
};

static void test_list(void)
{
    static const struct {
        const char *fact, *body;
        size_t count;
        const char *want; /* NULL: refused */
    } rows[] = {
        {"two texts are two lines", "{\"ids\":[\"a\",\"b c\"]}", 2, "a\nb c\n"},
        {"one less than there should be", "{\"ids\":[\"a\"]}", 2, NULL},
        {"one more", "{\"ids\":[\"a\",\"b\",\"c\"]}", 2, NULL},
        {"a number among them", "{\"ids\":[\"a\",7]}", 2, NULL},
        {"no array", "{\"ids\":\"ab\"}", 2, NULL},
        {"no such member", "{\"id\":\"a\"}", 1, NULL},
        {"no JSON", "<html>", 1, NULL},
        {"nothing", "", 1, NULL},
    };
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct buffer out = {NULL, 0, 0};
        bool good = reply_list(&out, slice_of(rows[i].body), "ids", rows[i].count);
        check(good == (rows[i].want != NULL), "a list: %s", rows[i].fact);
        if (good)
            check_slice(buffer_slice(&out), slice_of(rows[i].want), "  and its texts");
        buffer_free(&out);
    }
}

int main(void)
{
    test_list();
    for (size_t i = 0; i != sizeof(replies) / sizeof(replies[0]); ++i) {
        struct buffer said = {NULL, 0, 0};
        reply_print(&said, replies[i].status, slice_of(replies[i].body), replies[i].to);
        check_slice(buffer_slice(&said), slice_of(replies[i].want), "%s", replies[i].want);
        check(reply_of(replies[i].status) == replies[i].reply, "  and what it means");
        buffer_free(&said);
    }
    return check_end();
}
