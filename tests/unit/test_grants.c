#include "runtime/auth/grants.h"

#include "tests/check.h"

static const struct {
    const char *pattern, *channel;
    bool want;
} rows[] = {
    {"news", "news", true},
    {"news", "news2", false},
    {"news", "new", false},
    {"news", "", false},
    {"", "", true},
    {"", "a", false},
    {"*", "", true},
    {"*", "any/thing:at@all", true},
    {"news/*", "news/", true},
    {"news/*", "news/sport/ball", true},
    {"news/*", "news", false},
    {"news/*", "old/news/x", false},
    {"*/news", "a/news", true},
    {"*/news", "a/news2", false},
    {"*/news", "news", false},
    {"user/*/in", "user/42/in", true},
    {"user/*/in", "user//in", true},
    {"user/*/in", "user/in", false},
    {"user/*/in", "user/a/b/in", true},
    {"a*b*c", "abc", true},
    {"a*b*c", "axxbyyc", true},
    {"a*b*c", "acb", false},
    {"a*b*c", "abxc2", false},
    {"aa*aa", "aaa", false},
    {"aa*aa", "aaaa", true},
    {"*ab*ab", "xab", false},
    {"*ab*ab", "abab", true},
    {"*abab*", "abaabab", true},
    {"*a", "aaa", true},
    {"**", "x", true},
    {"a**b", "ab", true},
    {"a?c", "abc", false},
    {"[ab]", "a", false},
    {"News", "news", false},
};

static void test_list(void)
{
    struct grants grants = {.count = 2, .patterns = (struct slice[]){SLICE("a"), SLICE("b/*")}};
    check(grants_allow(&grants, SLICE("b/c")), "the second pattern counts as much");
    check(!grants_allow(&grants, SLICE("c")), "what none names is not granted");
    grants.count = 1;
    check(!grants_allow(&grants, SLICE("b/c")), "what lies beyond the count does not count");
    grants.count = 0;
    check(!grants_allow(&grants, SLICE("a")), "no pattern grants nothing");
}

int main(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i)
        check(pattern_matches(slice_of(rows[i].pattern), slice_of(rows[i].channel)) == rows[i].want, "'%s' %s '%s'",
              rows[i].pattern, rows[i].want ? "names" : "does not name", rows[i].channel);
    test_list();
    return check_end();
}
