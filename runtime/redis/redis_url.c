#include "runtime/redis/redis_url.h"

#include <limits.h>
#include <stdio.h>
#include <strings.h>

#include "runtime/digits.h"
#include "runtime/slice.h"

enum { REDIS_PORT = 6379, SENTINEL_PORT = 26379 };

static const char *percent_decode(char *out, size_t size, struct slice text, const char *too_long)
{
    size_t n = 0;
    while (text.n != 0) {
        int c = (unsigned char)text.p[0];
        size_t used = 1;
        if (c == '%') {
            int high = text.n < 3 ? -1 : digits_hex(text.p[1]), low = text.n < 3 ? -1 : digits_hex(text.p[2]);
            if (high < 0 || low < 0)
                return "a '%' in the user or password is not followed by two hex digits (write '%' itself as %25)";
            c = high << 4 | low;
            used = 3;
        }
        if (c == 0)
            return "the user or password holds a NUL";
        if (n + 1 == size)
            return too_long;
        out[n++] = (char)c;
        text = slice_from(text, used);
    }
    out[n] = 0;
    return NULL;
}

static const char *decode_login(struct redis_login *out, struct slice user, struct slice password)
{
    if (password.n == 0)
        return "the password is empty";
    const char *error = percent_decode(out->user, sizeof(out->user), user, "the user is longer than 127 bytes");
    return error != NULL ? error
                         : percent_decode(out->password, sizeof(out->password), password, "the password is longer than 511 bytes");
}

static const char *parse_user(struct redis_url *out, struct slice text)
{
    struct slice rest = text, user = slice_split(&rest, ':');
    if (rest.p == NULL)
        return "the part before '@' must be user:password or :password";
    return decode_login(&out->login, user, rest);
}

const char *redis_url_parse_login(struct redis_login *out, const char *text)
{
    struct slice rest = slice_of(text), user = slice_split(&rest, ':');
    *out = (struct redis_login){"", ""};
    return rest.p == NULL ? decode_login(out, SLICE(""), user) : decode_login(out, user, rest);
}

/* Decimal digits only; -1 for anything else or above max. */
static int parse_number(struct slice text, int max)
{
    uint64_t value;
    return digits_decimal(&value, text, (uint64_t)max) ? (int)value : -1;
}

static const char *parse_db(struct redis_url *out, struct slice text)
{
    out->db = parse_number(text, INT_MAX);
    return out->db < 0 ? "the database must be a number from 0" : NULL;
}

static bool is_host(struct slice host, const char *extra)
{
    for (size_t i = 0; i < host.n; ++i) {
        char c = host.p[i], lower = (char)(c | 0x20);
        if (!(c >= '0' && c <= '9') && !(lower >= 'a' && lower <= 'z') && (c == 0 || strchr(extra, c) == NULL))
            return false;
    }
    return host.n != 0;
}

/* Takes the host off the front of *text: what is left is empty or begins with what follows the host. */
static const char *parse_host(struct redis_node *out, struct slice *text)
{
    struct slice host = *text;
    bool bracketed = host.n != 0 && host.p[0] == '[';
    if (bracketed) {
        const char *end = memchr(host.p, ']', host.n);
        if (end == NULL)
            return "the ']' after the IPv6 address is missing";
        host = slice_make(host.p + 1, (size_t)(end - host.p) - 1);
        *text = slice_from(*text, host.n + 2);
    } else {
        const char *end = host.n == 0 ? NULL : memchr(host.p, ':', host.n);
        if (end != NULL && end != memrchr(host.p, ':', host.n))
            return "an IPv6 address must be in brackets";
        host.n = end == NULL ? host.n : (size_t)(end - host.p);
        *text = slice_from(*text, host.n);
    }
    if (host.n == 0)
        return "the host is missing";
    if (bracketed && memchr(host.p, ':', host.n) == NULL)
        return "the brackets must contain an IPv6 address";
    if (host.n >= sizeof(out->host))
        return "the host is longer than 255 bytes";
    if (!is_host(host, bracketed ? ":.%-_" : ".-_"))
        return "the host holds a character that a host name cannot have";
    memcpy(out->host, host.p, host.n);
    out->host[host.n] = 0;
    return NULL;
}

static const char *parse_port(struct redis_node *out, struct slice text, uint16_t fallback)
{
    out->port = fallback;
    if (text.n == 0)
        return NULL;
    if (text.p[0] != ':')
        return "after the ']' only a port may follow";
    int port = parse_number(slice_from(text, 1), UINT16_MAX);
    if (port < 1)
        return "the port must be a number from 1 to 65535";
    out->port = (uint16_t)port;
    return NULL;
}

static const char *parse_node(struct redis_url *out, struct slice text, uint16_t port)
{
    if (out->node_count == REDIS_NODES_MAX)
        return out->kind == REDIS_CLUSTER ? "there are more than 8 nodes; a few are enough, they name the others"
                                          : "there are more than 8 sentinels";
    struct redis_node *node = &out->nodes[out->node_count++];
    const char *error = parse_host(node, &text);
    return error != NULL ? error : parse_port(node, text, port);
}

static const char *parse_tcp(struct redis_url *out, struct slice authority, struct slice rest)
{
    out->kind = REDIS_TCP;
    const char *error = parse_node(out, authority, REDIS_PORT);
    if (error == NULL && rest.n > 1)
        error = parse_db(out, slice_from(rest, 1));
    return error;
}

/* The characters that Redis itself lets stand in it. */
static const char *parse_name(struct redis_url *out, struct slice name)
{
    if (name.n == 0)
        return "the name of the primary is missing (redis-sentinel://host:26379/NAME)";
    if (name.n >= sizeof(out->name))
        return "the name of the primary is longer than 127 bytes";
    if (!is_host(name, ".-_"))
        return "the name of the primary holds a character other than A-Z a-z 0-9 . - _";
    memcpy(out->name, name.p, name.n);
    out->name[name.n] = 0;
    return NULL;
}

static const char *parse_nodes(struct redis_url *out, struct slice list, uint16_t port)
{
    const char *error = NULL;
    do
        error = parse_node(out, slice_split(&list, ','), port);
    while (error == NULL && list.p != NULL);
    return error;
}

static const char *parse_cluster(struct redis_url *out, struct slice authority, struct slice rest)
{
    out->kind = REDIS_CLUSTER;
    const char *error = parse_nodes(out, authority, REDIS_PORT);
    if (error == NULL && rest.n > 1)
        error = parse_db(out, slice_from(rest, 1));
    return error == NULL && out->db != 0 ? "a cluster has only database 0: leave it out" : error;
}

static const char *parse_sentinel(struct redis_url *out, struct slice authority, struct slice rest)
{
    out->kind = REDIS_SENTINEL;
    const char *error = parse_nodes(out, authority, SENTINEL_PORT);
    if (error != NULL)
        return error;
    rest = rest.n == 0 ? rest : slice_from(rest, 1);
    error = parse_name(out, slice_split(&rest, '/'));
    return error == NULL && rest.n != 0 ? parse_db(out, rest) : error;
}

static const char *parse_unix(struct redis_url *out, struct slice authority, struct slice rest)
{
    out->kind = REDIS_UNIX;
    if (authority.n != 0 || rest.n == 0)
        return "the path of the socket must begin with '/' (unix:///run/redis.sock)";
    struct slice path = slice_split(&rest, '?');
    if (path.n >= sizeof(out->path))
        return "the path of the socket is longer than 107 bytes";
    memcpy(out->path, path.p, path.n);
    out->path[path.n] = 0;
    if (rest.p == NULL)
        return NULL;
    if (!slice_starts(rest, SLICE("db=")))
        return "only ?db=N may follow the path of the socket";
    return parse_db(out, slice_from(rest, 3));
}

/* Splits what follows the scheme at the first '/', which begins the database or the path. The last '@' before it ends the user's part:
 * an '@' in a password is forgiven, a '/' has to be spelt %2F. */
static const char *parse_parts(struct redis_url *out, struct slice text,
                               const char *(*parse)(struct redis_url *, struct slice authority, struct slice rest))
{
    const char *slash = text.n == 0 ? NULL : memchr(text.p, '/', text.n);
    struct slice authority = slice_make(text.p, slash == NULL ? text.n : (size_t)(slash - text.p));
    struct slice rest = slice_from(text, authority.n);
    const char *at = authority.n == 0 ? NULL : memrchr(authority.p, '@', authority.n);
    struct slice user = slice_make(authority.p, at == NULL ? 0 : (size_t)(at - authority.p));
    if (at != NULL)
        authority = slice_from(authority, user.n + 1);
    bool may_hold_at = parse == parse_unix && authority.n == 0; /* a path */
    if (!may_hold_at && rest.n != 0 && memchr(rest.p, '@', rest.n) != NULL)
        return "a '/' in the user or password must be written as %2F";
    const char *error = at == NULL ? NULL : parse_user(out, user);
    return error != NULL ? error : parse(out, authority, rest);
}

const char *redis_url_parse(struct redis_url *out, const char *text)
{
    static const struct {
        const char *scheme;
        bool secure;
        const char *(*parse)(struct redis_url *, struct slice authority, struct slice rest);
    } schemes[] = {
        {"redis://", false, parse_tcp},
        {"rediss://", true, parse_tcp},
        {"unix://", false, parse_unix},
        {"redis-sentinel://", false, parse_sentinel},
        {"rediss-sentinel://", true, parse_sentinel},
        {"redis-cluster://", false, parse_cluster},
        {"rediss-cluster://", true, parse_cluster},
    };
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); ++i) {
        size_t n = strlen(schemes[i].scheme);
        if (strncasecmp(text, schemes[i].scheme, n) != 0)
            continue;
        out->secure = schemes[i].secure;
        return parse_parts(out, slice_of(text + n), schemes[i].parse);
    }
    return "must begin with redis://, rediss://, unix://, redis-sentinel://, rediss-sentinel://, redis-cluster:// or "
           "rediss-cluster://";
}

static const char *check_database(const struct redis_url *url, bool own_names)
{
    if (url->db == 0 || own_names)
        return NULL;
    return "names a database other than 0, which does not separate deployments, since pub/sub ignores databases: also set "
           "REDIS_PREFIX to one of this deployment's own";
}

const char *redis_url_load(struct redis_url *out, const char *url, const char *sentinel_password, bool own_names)
{
    static char sentence[240];
    const char *error = redis_url_parse(out, url);
    if (error == NULL)
        error = check_database(out, own_names);
    const char *setting = error != NULL ? "REDIS_URL" : "REDIS_SENTINEL_PASSWORD";
    if (error == NULL && sentinel_password[0] != 0 && out->kind != REDIS_SENTINEL)
        error = "is for redis-sentinel://, which REDIS_URL is not";
    else if (error == NULL && sentinel_password[0] != 0)
        error = redis_url_parse_login(&out->sentinel_login, sentinel_password);
    if (error == NULL)
        return NULL;
    snprintf(sentence, sizeof(sentence), "%s: %s", setting, error);
    return sentence;
}

char *redis_node_place(char *out, size_t n, const struct redis_url *url, const struct redis_node *node)
{
    if (node == NULL)
        snprintf(out, n, "%s", url->path);
    else
        snprintf(out, n, strchr(node->host, ':') != NULL ? "[%s]:%u" : "%s:%u", node->host, node->port);
    return out;
}

char *redis_url_place(char *out, size_t n, const struct redis_url *url)
{
    char place[272];
    size_t used = 0;
    if (url->kind == REDIS_UNIX)
        return redis_node_place(out, n, url, NULL);
    for (size_t i = 0; i < url->node_count && used < n; ++i)
        used += (size_t)snprintf(out + used, n - used, "%s%s", i == 0 ? "" : ",",
                                 redis_node_place(place, sizeof(place), url, &url->nodes[i]));
    if (url->kind == REDIS_SENTINEL && used < n)
        snprintf(out + used, n - used, "/%s", url->name);
    return out;
}

bool redis_node_eq(const struct redis_node *a, const struct redis_node *b)
{
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

bool redis_node_read(struct redis_node *out, struct slice host, struct slice port)
{
    int number = parse_number(port, UINT16_MAX);
    if (number < 1 || host.n >= sizeof(out->host) || !is_host(host, ":.%-_"))
        return false;
    memcpy(out->host, host.p, host.n);
    out->host[host.n] = 0;
    out->port = (uint16_t)number;
    return true;
}
