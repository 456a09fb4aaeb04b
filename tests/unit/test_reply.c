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

int main(void)
{
    for (size_t i = 0; i != sizeof(replies) / sizeof(replies[0]); ++i) {
        struct buffer said = {NULL, 0, 0};
        reply_print(&said, replies[i].status, slice_of(replies[i].body), replies[i].to);
        check_slice(buffer_slice(&said), slice_of(replies[i].want), "%s", replies[i].want);
        check(reply_of(replies[i].status) == replies[i].reply, "  and what it means");
        buffer_free(&said);
    }
    return check_end();
}
