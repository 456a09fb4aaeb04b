#include "runtime/auth/policy.h"

#include <stdlib.h>

#include "tests/check.h"

static void expect(const struct policy *policy, const char *channel, bool subscribe, bool publish)
{
    check(policy_open(policy, ACCESS_SUBSCRIBE, slice_of(channel)) == subscribe, "%s: subscribing is %s", channel,
          subscribe ? "open" : "closed");
    check(policy_open(policy, ACCESS_PUBLISH, slice_of(channel)) == publish, "%s: publishing is %s", channel,
          publish ? "open" : "closed");
}

static void test_rules(void)
{
    const char *error = NULL;
    struct policy *policy = policy_parse(SLICE("# who may what\r\n"
                                               "\n"
                                               "closed  news/staff   # before the line that would open it\n"
                                               "\tread\tnews/*\r\n"
                                               "public chat/*\n"
                                               "write inbox/*\n"
                                               "public news/late"),
                                         &error);
    if (!check(policy != NULL, "a policy with all words, comments, tabs and CRLF: %s", error == NULL ? "good" : error))
        return;
    expect(policy, "news/staff", false, false);
    expect(policy, "news/sport", true, false);
    expect(policy, "news/late", true, false);
    expect(policy, "chat/1", true, true);
    expect(policy, "inbox/7", false, true);
    expect(policy, "else", false, false);
    expect(policy, "letters", false, false);
    policy_free(policy);
}

static void test_defaults(void)
{
    struct policy *policy = policy_default(true);
    expect(policy, "post", true, false);
    expect(policy, "letters", true, false);
    expect(policy, "counter", true, false);
    expect(policy, "usd_eur", true, false);
    expect(policy, "news", false, false);
    policy_free(policy);
    policy = policy_default(false);
    expect(policy, "post", false, false);
    expect(policy, "letters", false, false);
    policy_free(policy);
}

static void test_empty(void)
{
    const char *error = NULL;
    struct policy *policy = policy_parse(SLICE(""), &error);
    expect(policy, "post", false, false);
    policy_free(policy);
}

static const struct {
    const char *text, *error;
} refused[] = {
    {"open news", "line 1: a line begins with public, read, write or closed"},
    {"\n\nPublic news", "line 3: a line begins with public, read, write or closed"},
    {"public", "line 1: one channel pattern must follow the first word"},
    {"public # news", "line 1: one channel pattern must follow the first word"},
    {"public news sport", "line 1: one channel pattern must follow the first word"},
};

static void test_refused(void)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); ++i) {
        const char *error = "read";
        struct policy *policy = policy_parse(slice_of(refused[i].text), &error);
        check_slice(slice_of(error), slice_of(refused[i].error), "refused: %s", refused[i].text);
        policy_free(policy);
    }
}

static void test_bounds(void)
{
    static char text[1001 * 8 + 1];
    const char *error = NULL;
    for (int i = 0; i < 1001; ++i)
        memcpy(text + 8 * i, "read x*\n", 8);
    struct policy *policy = policy_parse(slice_make(text, 1000 * 8), &error);
    check(policy != NULL, "a thousand rules");
    policy_free(policy);
    check(policy_parse(slice_make(text, sizeof(text) - 1), &error) == NULL, "one more: %s", error);
    memset(text, 'x', 300);
    memcpy(text, "read ", 5);
    check(policy_parse(slice_make(text, 5 + 201), &error) == NULL, "a pattern of 201 bytes: %s", error);
    policy = policy_parse(slice_make(text, 5 + 200), &error);
    check(policy != NULL, "a pattern of 200 bytes");
    policy_free(policy);
}

int main(void)
{
    test_rules();
    test_defaults();
    test_empty();
    test_refused();
    test_bounds();
    return check_end();
}
