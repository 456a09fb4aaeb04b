/* Input: flags (1: the cookie "token" counts, 2: access_token counts), then the fields target and header lines.
 * There is one token or none: with the parts that may carry one taken away one by one, it is found in the one that is left, and more than one are a fault. */
#include "runtime/auth/bearer.h"

#include "tests/fuzz/request.h"

static const char *find(struct bearer *bearer, struct slice target, struct slice lines, int flags, char keep, struct text *token)
{
    struct bearer_options options = {.cookie = (flags & 1) != 0 ? "token" : "", .query = (flags & 2) != 0};
    struct request request;
    request_open(&request, SLICE("GET"), keep == 'h' || keep == 'c' ? SLICE("/") : target);
    for (struct slice rest = lines; rest.p != NULL;) {
        struct slice line = next_field(&rest);
        bool is_cookie = slice_starts(line, SLICE("cookie:")), is_header = slice_starts(line, SLICE("authorization:"));
        if (keep == 'a' || (keep == 'c' && is_cookie) || (keep == 'h' && is_header))
            request_add_header(&request, line);
    }
    const char *why = bearer_find(bearer, &request.req, &options);
    must(why == NULL || why[0] != '\0');
    must(bearer->token.p == NULL || bearer->token.n != 0);
    if (why == NULL)
        text_add(token, bearer->token);
    request_close(&request);
    return why;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char parts[] = "hcq";
    if (size == 0)
        return 0;
    struct slice rest = slice_make((const char *)data + 1, size - 1), target = next_field(&rest);
    struct text tokens[4] = {{NULL, 0, 0}};
    struct bearer whole, part, found = {.by_cookie = false};
    size_t count = 0, faults = 0;
    const char *why = find(&whole, target, rest, data[0], 'a', &tokens[3]);
    for (size_t i = 0; i != 3; ++i) {
        faults += find(&part, target, rest, data[0], parts[i], &tokens[i]) != NULL;
        count += tokens[i].n != 0;
        must(i == 1 || !part.by_cookie);
        must((i != 1 || (data[0] & 1) != 0 || part.token.p == NULL) && (i != 2 || (data[0] & 2) != 0 || part.token.p == NULL));
        if (tokens[i].n != 0)
            found = part;
    }
    must((why == NULL) == (faults == 0 && count <= 1));
    if (why == NULL && count == 1) {
        must(whole.by_cookie == found.by_cookie);
        must(slice_eq(text_slice(&tokens[3]), text_slice(&tokens[tokens[0].n != 0 ? 0 : tokens[1].n != 0 ? 1 : 2])));
    }
    for (size_t i = 0; i != 4; ++i)
        text_free(&tokens[i]);
    return 0;
}
