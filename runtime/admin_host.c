#include "runtime/admin_host.h"

#include <unistd.h>

#include "runtime/net/client_address.h"

static const char *listed = "", *listening = "";
static char own[256];

const char *admin_hosts_check(const char *hosts)
{
    struct slice rest = slice_of(hosts);
    while (rest.p != NULL) {
        struct slice item = slice_trim(slice_split(&rest, ','));
        struct slice name = slice_starts(item, SLICE("*.")) ? slice_from(item, 2)
                            : slice_eq(item, SLICE("*"))    ? SLICE("any")
                                                            : item;
        if (name.n == 0 || memchr(name.p, '*', name.n) != NULL || memchr(name.p, ':', name.n) != NULL ||
            memchr(name.p, '/', name.n) != NULL || memchr(name.p, ' ', name.n) != NULL)
            return "each must be a host's name without a port, *.NAME or *";
    }
    return NULL;
}

void admin_host_init(const char *hosts, const char *host)
{
    listed = hosts;
    listening = host;
    if (gethostname(own, sizeof(own) - 1) != 0)
        own[0] = '\0';
}

static bool equal(struct slice a, struct slice b)
{
    return a.n == b.n && a.n != 0 && strncasecmp(a.p, b.p, a.n) == 0;
}

/* Whether `name` ends with `suffix`, which begins with a dot, and has something before it. */
static bool below(struct slice name, struct slice suffix)
{
    return name.n > suffix.n && equal(slice_from(name, name.n - suffix.n), suffix);
}

/* Without port, brackets and the dot of the root. */
static struct slice name_of(struct slice authority)
{
    if (authority.n != 0 && authority.p[0] == '[') {
        struct slice rest = slice_from(authority, 1);
        return slice_split(&rest, ']');
    }
    struct slice rest = authority, name = slice_split(&rest, ':');
    return name.n > 1 && name.p[name.n - 1] == '.' ? slice_make(name.p, name.n - 1) : name;
}

static bool is_listed(struct slice name)
{
    struct slice rest = slice_of(listed);
    while (rest.p != NULL) {
        struct slice item = slice_trim(slice_split(&rest, ','));
        if (slice_eq(item, SLICE("*")) || equal(item, name) ||
            (slice_starts(item, SLICE("*.")) && below(name, slice_from(item, 1))))
            return true;
    }
    return false;
}

bool admin_host_good(struct slice authority)
{
    if (authority.n == 0)
        return true; /* HTTP/1.0, which no browser speaks */
    struct slice name = name_of(authority);
    struct client_address unused;
    return client_address_literal(&unused, name) || (name.n != 0 && memchr(name.p, '.', name.n) == NULL) ||
           below(name, SLICE(".localhost")) || equal(name, slice_of(own)) || equal(name, slice_of(listening)) || is_listed(name);
}
