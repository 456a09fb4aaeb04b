#include "runtime/net/cors.h"

#include "tests/check.h"

#define ALLOWED "http://localhost:3000, https://front-end.surge.sh"

static const struct {
    const char *fact;
    const char *origins, *origin, *host;
    enum cors_verdict want;
} rows[] = {
    {"no Origin needs nothing", ALLOWED, NULL, "gw", CORS_NONE},
    {"a listed origin is echoed", ALLOWED, "http://localhost:3000", "gw", CORS_LISTED},
    {"the second of the list, after a space, too", ALLOWED, "https://front-end.surge.sh", "gw", CORS_LISTED},
    {"host names compare without case", ALLOWED, "https://Front-End.Surge.SH", "gw", CORS_LISTED},
    {"another port is another origin", ALLOWED, "http://localhost:3001", "gw", CORS_REFUSED},
    {"another scheme is another origin", ALLOWED, "http://front-end.surge.sh", "gw", CORS_REFUSED},
    {"a listed origin as prefix is refused", ALLOWED, "http://localhost:3000.evil.example", "gw", CORS_REFUSED},
    {"a listed origin as suffix is refused", ALLOWED, "https://evil.example/https://front-end.surge.sh", "gw", CORS_REFUSED},
    {"null is refused", ALLOWED, "null", "gw", CORS_REFUSED},
    {"an empty Origin is refused", ALLOWED, "", "gw", CORS_REFUSED},
    {"the page's own host needs nothing", ALLOWED, "https://gw.example:8443", "gw.example:8443", CORS_NONE},
    {"… with the port of its scheme in Host alone", ALLOWED, "https://gw.example", "gw.example:443", CORS_NONE},
    {"… or of plain HTTP", ALLOWED, "http://gw.example", "gw.example:80", CORS_NONE},
    {"… which is not that of the other scheme", ALLOWED, "https://gw.example", "gw.example:80", CORS_REFUSED},
    {"an origin of the list may name the port of its scheme", "https://app.example:443", "https://app.example", "gw.example",
     CORS_LISTED},
    {"the same host on another port is not the page's own", ALLOWED, "https://gw.example:8444", "gw.example:8443", CORS_REFUSED},
    {"an empty list refuses all others", "", "http://localhost:3000", "gw", CORS_REFUSED},
    {"none lists nobody, nor one who calls himself so", "none", "none", "gw", CORS_REFUSED},
    {"* takes any", "*", "https://evil.example", "gw", CORS_ANY},
    {"* takes null", " * ", "null", "gw", CORS_ANY},
};

static const struct {
    const char *origins;
    bool good;
} lists[] = {
    {"", true},
    {"*", true},
    {ALLOWED, true},
    {"https://[::1]:3000", true},
    {"*,http://a", false},
    {"localhost:3000", false},
    {"http://a/path", false},
    {"https://*.example.com", false},
    {"http://a,,http://b", false},
    {"ftp://a", false},
    {"https://", false},
};

static struct slice optional(const char *text)
{
    return text == NULL ? (struct slice){NULL, 0} : slice_of(text);
}

int main(void)
{
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i)
        check(cors_judge(rows[i].origins, optional(rows[i].origin), optional(rows[i].host)) == rows[i].want, "%s", rows[i].fact);
    for (size_t i = 0; i != sizeof(lists) / sizeof(lists[0]); ++i)
        check((cors_origins_check(lists[i].origins) == NULL) == lists[i].good, "the list '%s' is %s", lists[i].origins,
              lists[i].good ? "taken" : "refused");
    return check_end();
}
