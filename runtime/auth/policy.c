#include "runtime/auth/policy.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/auth/grants.h"
#include "runtime/read_file.h"

/* What those without a token may do once a key is set and the demo is on: read its channels. Without a key there is no policy and
 * everything is open. */
static const char demo_rules[] = "read post\n"
                                 "read letters\n"
                                 "read counter\n"
                                 "read usd_eur\n";

enum { FILE_MAX_BYTES = 1048576, RULES_MAX = 1000 };

struct rule {
    bool open[2]; /* by enum access_action */
    struct slice pattern;
};

struct policy {
    char *text; /* what the patterns point into */
    size_t count;
    struct rule rules[RULES_MAX];
};

static const struct {
    const char *word;
    bool open[2];
} words[] = {
    {"public", {true, true}},
    {"read", {true, false}},
    {"write", {false, true}},
    {"closed", {false, false}},
};

static char sentence[200];

static struct slice take_word(struct slice *line)
{
    *line = slice_trim(*line);
    size_t n = 0;
    while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
        ++n;
    struct slice word = slice_make(line->p, n);
    *line = slice_trim(slice_from(*line, n));
    return word;
}

/* NULL, or what is wrong with the line. */
static const char *add_rule(struct policy *policy, struct slice line)
{
    struct slice word = take_word(&line), pattern = take_word(&line);
    size_t kind = 0;
    while (kind != sizeof(words) / sizeof(words[0]) && !slice_eq(word, slice_of(words[kind].word)))
        ++kind;
    if (kind == sizeof(words) / sizeof(words[0]))
        return "a line begins with public, read, write or closed";
    if (pattern.n == 0 || line.n != 0)
        return "one channel pattern must follow the first word";
    if (pattern.n > PATTERN_MAX)
        return "the pattern is longer than 200 bytes";
    if (policy->count == RULES_MAX)
        return "there are more than 1000 rules";
    struct rule *rule = &policy->rules[policy->count++];
    memcpy(rule->open, words[kind].open, sizeof(rule->open));
    rule->pattern = pattern;
    return NULL;
}

/* As slice_trim(), but of a whole line: without its comment and the CR of a CRLF. */
static struct slice trim_line(struct slice line)
{
    line = slice_split(&line, '#');
    if (line.n != 0 && line.p[line.n - 1] == '\r')
        --line.n;
    return slice_trim(line);
}

struct policy *policy_parse(struct slice text, const char **error)
{
    struct policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL || (policy->text = malloc(text.n + 1)) == NULL)
        abort();
    memcpy(policy->text, text.p, text.n);
    struct slice rest = slice_make(policy->text, text.n);
    for (unsigned number = 1; rest.p != NULL; ++number) {
        struct slice line = trim_line(slice_split(&rest, '\n'));
        const char *why = line.n == 0 ? NULL : add_rule(policy, line);
        if (why != NULL) {
            snprintf(sentence, sizeof(sentence), "line %u: %s", number, why);
            *error = sentence;
            policy_free(policy);
            return NULL;
        }
    }
    return policy;
}

struct policy *policy_load(const char *path, const char **error)
{
    size_t n;
    char *text = read_file(path, FILE_MAX_BYTES, &n, error);
    if (text == NULL)
        return NULL;
    struct policy *policy = policy_parse(slice_make(text, n), error);
    free(text);
    return policy;
}

struct policy *policy_default(bool demo)
{
    const char *error;
    return policy_parse(demo ? slice_of(demo_rules) : SLICE(""), &error);
}

void policy_free(struct policy *policy)
{
    if (policy != NULL)
        free(policy->text);
    free(policy);
}

bool policy_open(const struct policy *policy, enum access_action action, struct slice channel)
{
    for (size_t i = 0; i != policy->count; ++i)
        if (pattern_matches(policy->rules[i].pattern, channel))
            return policy->rules[i].open[action];
    return false;
}
