#include "proto/bus/redis_url.h"

#include <limits.h>
#include <stdio.h>
#include <strings.h>

#include "proto/slice.h"

enum { DEFAULT_PORT = 6379 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *percent_decode(char *out, size_t size, struct slice text, const char *too_long)
{
    size_t n = 0;
    while (text.n != 0) {
        int c = (unsigned char)text.p[0];
        size_t used = 1;
        if (c == '%') {
            int high = text.n < 3 ? -1 : hex_digit(text.p[1]), low = text.n < 3 ? -1 : hex_digit(text.p[2]);
            if (high < 0 || low < 0)
                return "a '%' in the user or password is not followed by two hex digits (a '%' itself is spelt %25)";
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

static const char *parse_user(struct redis_url *out, struct slice text)
{
    struct slice rest = text, user = slice_split(&rest, ':');
    if (rest.p == NULL)
        return "what stands before '@' must be user:password or :password";
    if (rest.n == 0)
        return "the password is empty";
    const char *error = percent_decode(out->user, sizeof(out->user), user, "the user is longer than 127 bytes");
    return error != NULL ? error
                         : percent_decode(out->password, sizeof(out->password), rest, "the password is longer than 511 bytes");
}

/* Decimal digits only; -1 for anything else or above max. */
static int parse_number(struct slice text, int max)
{
    int value = 0;
    if (text.n == 0)
        return -1;
    for (size_t i = 0; i < text.n; ++i) {
        int digit = text.p[i] - '0';
        if (digit < 0 || digit > 9 || value > (max - digit) / 10)
            return -1;
        value = value * 10 + digit;
    }
    return value;
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
static const char *parse_host(struct redis_url *out, struct slice *text)
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
            return "an IPv6 address goes into brackets";
        host.n = end == NULL ? host.n : (size_t)(end - host.p);
        *text = slice_from(*text, host.n);
    }
    if (host.n == 0)
        return "the host is missing";
    if (bracketed && memchr(host.p, ':', host.n) == NULL)
        return "what stands in brackets must be an IPv6 address";
    if (host.n >= sizeof(out->host))
        return "the host is longer than 255 bytes";
    if (!is_host(host, bracketed ? ":.%-_" : ".-_"))
        return "the host holds a character that no host name has";
    memcpy(out->host, host.p, host.n);
    out->host[host.n] = 0;
    return NULL;
}

static const char *parse_port(struct redis_url *out, struct slice text)
{
    out->port = DEFAULT_PORT;
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

static const char *parse_tcp(struct redis_url *out, struct slice authority, struct slice rest)
{
    out->transport = REDIS_TCP;
    const char *error = parse_host(out, &authority);
    if (error == NULL)
        error = parse_port(out, authority);
    if (error == NULL && rest.n > 1)
        error = parse_db(out, slice_from(rest, 1));
    return error;
}

static const char *parse_unix(struct redis_url *out, struct slice authority, struct slice rest)
{
    out->transport = REDIS_UNIX;
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
    if (at != NULL) {
        struct slice user = slice_make(authority.p, (size_t)(at - authority.p));
        const char *error = parse_user(out, user);
        if (error != NULL)
            return error;
        authority = slice_from(authority, user.n + 1);
    }
    return parse(out, authority, rest);
}

const char *redis_url_parse(struct redis_url *out, const char *text)
{
    memset(out, 0, sizeof(*out));
    if (strncasecmp(text, "redis://", 8) == 0)
        return parse_parts(out, slice_of(text + 8), parse_tcp);
    out->secure = strncasecmp(text, "rediss://", 9) == 0;
    if (out->secure)
        return parse_parts(out, slice_of(text + 9), parse_tcp);
    if (strncasecmp(text, "unix://", 7) == 0)
        return parse_parts(out, slice_of(text + 7), parse_unix);
    return "must begin with redis://, rediss:// or unix://";
}

char *redis_url_place(char *out, size_t n, const struct redis_url *url)
{
    if (url->transport == REDIS_UNIX)
        snprintf(out, n, "%s", url->path);
    else
        snprintf(out, n, strchr(url->host, ':') != NULL ? "[%s]:%u" : "%s:%u", url->host, url->port);
    return out;
}
