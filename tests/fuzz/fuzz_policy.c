/* Input: the fields channel, pattern, and the text of a policy.
 * A pattern names the channels that the grammar of grants.h says, here by a table of all prefixes. The first line of a policy that names a channel
 * decides, and what no line names is closed. */
#include "runtime/auth/policy.h"

#include "runtime/auth/grants.h"
#include "tests/fuzz/fuzz.h"

enum { BYTES_MAX = 300 };

/* may[j] after row i: pattern[0..i) names channel[0..j). */
static bool names(struct slice pattern, struct slice channel)
{
    bool may[BYTES_MAX + 1] = {true};
    for (size_t i = 0; i != pattern.n; ++i) {
        bool star = pattern.p[i] == '*', before = may[0];
        may[0] = may[0] && star;
        for (size_t j = 1; j <= channel.n; ++j) {
            bool diagonal = before;
            before = may[j];
            may[j] = star ? may[j] || may[j - 1] : diagonal && pattern.p[i] == channel.p[j - 1];
        }
    }
    return may[channel.n];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The next word of a line; empty at its end. */
static struct slice word_of(struct slice *line)
{
    size_t n = 0;
    while (line->n != 0 && is_blank(line->p[0]))
        *line = slice_from(*line, 1);
    while (n != line->n && !is_blank(line->p[n]))
        ++n;
    struct slice word = slice_make(line->p, n);
    *line = slice_from(*line, n);
    return word;
}

/* What the first line that names the channel opens: 1 to subscribe, 2 to publish. -1: a line is none. */
static int reference(struct slice text, struct slice channel)
{
    int open = 0;
    bool decided = false;
    for (struct slice rest = text; rest.p != NULL;) {
        struct slice line = slice_split(&rest, '\n'), code = slice_split(&line, '#');
        if (code.n != 0 && code.p[code.n - 1] == '\r')
            --code.n;
        struct slice word = word_of(&code), pattern = word_of(&code), more = word_of(&code);
        if (word.n == 0)
            continue;
        int kind = slice_eq(word, SLICE("public"))   ? 3
                   : slice_eq(word, SLICE("read"))   ? 1
                   : slice_eq(word, SLICE("write"))  ? 2
                   : slice_eq(word, SLICE("closed")) ? 0
                                                     : -1;
        if (kind == -1 || pattern.n == 0 || pattern.n > PATTERN_MAX || more.n != 0)
            return -1;
        open = decided || !names(pattern, channel) ? open : kind;
        decided = decided || names(pattern, channel);
    }
    return open;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make((const char *)data, size);
    struct slice channel = own(next_field(&rest), false), pattern = own(next_field(&rest), false),
                 text = own(rest.p == NULL ? SLICE("") : rest, false);
    const char *error = NULL;
    if (channel.n <= BYTES_MAX)
        must(pattern_matches(pattern, channel) == names(pattern, channel));
    struct policy *policy = policy_parse(text, &error);
    must((policy == NULL) == (error != NULL));
    if (policy == NULL)
        must(error[0] != '\0' && strncmp(error, "line ", 5) == 0);
    if (channel.n <= BYTES_MAX) {
        int want = reference(text, channel);
        must((policy == NULL) == (want == -1));
        if (policy != NULL)
            must(policy_open(policy, ACCESS_SUBSCRIBE, channel) == ((want & 1) != 0) &&
                 policy_open(policy, ACCESS_PUBLISH, channel) == ((want & 2) != 0));
    }
    policy_free(policy);
    disown(channel);
    disown(pattern);
    disown(text);
    return 0;
}
