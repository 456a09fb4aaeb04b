#include "runtime/net/cors.h"

#include "runtime/h2o/target.h"

/* The port that the scheme stands for: a browser leaves it out of Origin, a client may write it in Host. */
static struct slice default_port(struct slice origin)
{
    return origin.n > 5 && strncasecmp(origin.p, "https", 5) == 0 ? SLICE(":443") : SLICE(":80");
}

/* What follows "http://" or "https://"; {NULL, 0} for any other text. */
static struct slice after_scheme(struct slice origin)
{
    static const struct slice schemes[] = {{"https://", 8}, {"http://", 7}};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); ++i)
        if (origin.n > schemes[i].n && strncasecmp(origin.p, schemes[i].p, schemes[i].n) == 0)
            return slice_from(origin, schemes[i].n);
    return (struct slice){NULL, 0};
}

const char *cors_origins_check(const char *origins)
{
    struct slice rest = slice_of(origins);
    if (slice_eq(slice_trim(rest), SLICE("*")) || slice_eq(slice_trim(rest), SLICE("none")) || rest.n == 0)
        return NULL;
    while (rest.p != NULL) {
        struct slice item = slice_trim(slice_split(&rest, ','));
        if (slice_eq(item, SLICE("*")))
            return "* must stand alone";
        struct slice host = after_scheme(item);
        if (host.p == NULL)
            return "each origin must be http://host[:port] or https://host[:port]";
        if (memchr(host.p, '/', host.n) != NULL || memchr(host.p, '*', host.n) != NULL || memchr(host.p, ' ', host.n) != NULL)
            return "an origin has no path, no wildcard and no space";
    }
    return NULL;
}

enum cors_verdict cors_judge(const char *origins, struct slice origin, struct slice host)
{
    if (origin.p == NULL)
        return CORS_NONE;
    struct slice authority = after_scheme(origin);
    if (authority.p != NULL && host.p != NULL && target_is_same_authority(authority, host, default_port(origin)))
        return CORS_NONE;
    struct slice rest = slice_of(origins);
    if (slice_eq(slice_trim(rest), SLICE("*")))
        return CORS_ANY;
    if (slice_eq(slice_trim(rest), SLICE("none")))
        return CORS_REFUSED;
    while (rest.p != NULL) {
        struct slice item = slice_trim(slice_split(&rest, ','));
        if (item.n != 0 && target_is_same_authority(item, origin, default_port(origin)))
            return CORS_LISTED;
    }
    return CORS_REFUSED;
}
