/* Input: the fields CORS_ORIGINS, Origin and Host, each absent when empty (as for Host, the last may be "-").
 * Only an origin that stands in the list whole is listed, and a page of this very host is our own, with the scheme's port or without; a checked list has no item that a
 * browser's Origin can't be. */
#include "runtime/net/cors.h"

#include <strings.h>

#include "tests/fuzz/fuzz.h"

static bool same(struct slice a, struct slice b)
{
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

/* Without the port that its scheme stands for. */
static struct slice without_port(struct slice text, bool https)
{
    struct slice port = https ? SLICE(":443") : SLICE(":80");
    bool has = text.n > port.n && memcmp(text.p + text.n - port.n, port.p, port.n) == 0;
    return slice_make(text.p, has ? text.n - port.n : text.n);
}

static struct slice plain(struct slice origin)
{
    return without_port(origin, origin.n > 5 && strncasecmp(origin.p, "https", 5) == 0);
}

static bool stands_in(struct slice list, struct slice origin)
{
    bool found = false;
    while (list.p != NULL && !found)
        found = same(plain(slice_trim(slice_split(&list, ','))), plain(origin)) && origin.n != 0;
    return found;
}

static bool is_host(struct slice origin, struct slice host)
{
    size_t scheme = origin.n > 7 && strncasecmp(origin.p, "http://", 7) == 0    ? 7
                    : origin.n > 8 && strncasecmp(origin.p, "https://", 8) == 0 ? 8
                                                                                : 0;
    return scheme != 0 && host.p != NULL &&
           same(without_port(slice_from(origin, scheme), scheme == 8), without_port(host, scheme == 8));
}

static void check_list(struct slice list)
{
    if (slice_eq(slice_trim(list), SLICE("*")) || slice_eq(slice_trim(list), SLICE("none")) || list.n == 0)
        return;
    while (list.p != NULL) {
        struct slice item = slice_trim(slice_split(&list, ','));
        must(item.n > 7 && strncasecmp(item.p, "http", 4) == 0);
        must(memchr(item.p, '*', item.n) == NULL && memchr(item.p, ' ', item.n) == NULL && item.p[item.n - 1] != '/');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make((const char *)data, size), list_field = next_field(&rest);
    struct slice list = own(slice_make(list_field.p, strnlen(list_field.p, list_field.n)), true);
    struct slice origin = next_field(&rest), host = next_field(&rest), absent = {NULL, 0};
    host = slice_eq(host, SLICE("-")) ? absent : host;
    if (cors_origins_check(list.p) == NULL)
        check_list(list);
    must(cors_judge(list.p, absent, host) == CORS_NONE);
    enum cors_verdict want = is_host(origin, host)                       ? CORS_NONE
                             : slice_eq(slice_trim(list), SLICE("*"))    ? CORS_ANY
                             : slice_eq(slice_trim(list), SLICE("none")) ? CORS_REFUSED
                             : stands_in(list, origin)                   ? CORS_LISTED
                                                                         : CORS_REFUSED;
    must(cors_judge(list.p, origin, host) == want);
    disown(list);
    return 0;
}
