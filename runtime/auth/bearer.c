#include "runtime/auth/bearer.h"

#include "runtime/http.h"

struct search {
    struct bearer *bearer;
    h2o_req_t *req;
    const struct bearer_options *options;
};

static const char *found(struct search *search, struct slice token, bool by_cookie)
{
    if (search->bearer->token.p != NULL)
        return "the request holds more than one token";
    *search->bearer = (struct bearer){.token = token, .by_cookie = by_cookie};
    return NULL;
}

static const char *look_in_header(struct search *search)
{
    h2o_headers_t *headers = &search->req->headers;
    ssize_t at = h2o_find_header(headers, H2O_TOKEN_AUTHORIZATION, -1);
    if (at == -1)
        return NULL;
    if (h2o_find_header(headers, H2O_TOKEN_AUTHORIZATION, at) != -1)
        return "the request holds more than one Authorization header";
    struct slice token = slice_trim(slice_of_iovec(headers->entries[at].value));
    struct slice scheme = slice_split(&token, ' ');
    if (!slice_eq_nocase(scheme, SLICE("Bearer")))
        return NULL;
    token = slice_trim(token);
    return token.n == 0 ? "no token follows Bearer" : found(search, token, false);
}

static const char *look_in_cookies(struct search *search)
{
    struct slice wanted = slice_of(search->options->cookie);
    h2o_headers_t *headers = &search->req->headers;
    const char *why = NULL;
    if (wanted.n == 0)
        return NULL;
    for (ssize_t at = -1; why == NULL && (at = h2o_find_header(headers, H2O_TOKEN_COOKIE, at)) != -1;) {
        struct slice rest = slice_of_iovec(headers->entries[at].value);
        while (why == NULL && rest.p != NULL) {
            struct slice value = slice_trim(slice_split(&rest, ';'));
            struct slice name = slice_split(&value, '=');
            if (slice_eq(name, wanted) && value.n != 0)
                why = found(search, value, true);
        }
    }
    return why;
}

static const char *look_in_query(struct search *search)
{
    struct slice rest = http_query(search->req), name, value;
    const char *why = NULL;
    bool broken = false;
    if (!search->options->query)
        return NULL;
    while (why == NULL && http_form_next(search->req, SLICE(""), &rest, &name, &value, &broken))
        if (slice_eq(name, SLICE("access_token")))
            why = value.n == 0 ? "access_token is empty" : found(search, value, false);
    return why;
}

const char *bearer_find(struct bearer *bearer, h2o_req_t *req, const struct bearer_options *options)
{
    struct search search = {bearer, req, options};
    *bearer = (struct bearer){.by_cookie = false};
    const char *why = look_in_header(&search);
    if (why == NULL)
        why = look_in_cookies(&search);
    return why == NULL ? look_in_query(&search) : why;
}
