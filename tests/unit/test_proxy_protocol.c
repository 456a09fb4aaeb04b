#include "runtime/net/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "tests/check.h"

enum { MORE = PROXY_PROTOCOL_MORE, BAD = PROXY_PROTOCOL_BAD, OWN = PROXY_PROTOCOL_OWN, CLIENT = PROXY_PROTOCOL_CLIENT };

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define INET_BLOCK "\xc6\x33\x64\x07\x0a\x00\x00\x01\x14\x03\x01\xbb" /* 198.51.100.7:5123 to 10.0.0.1:443 */
#define INET6_BLOCK                              \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07" \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" \
    "\x14\x03\x01\xbb"
#define ZEROS_54 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

#define ROW(what, bytes, result, rest, client)                    \
    {                                                             \
        what, {"" bytes, sizeof(bytes) - 1}, result, rest, client \
    }

static const struct {
    const char *what;
    struct slice bytes;
    int result;
    size_t rest; /* bytes behind the header */
    const char *client; /* "address port" */
} rows[] = {
    ROW("v1 IPv4", "PROXY TCP4 198.51.100.7 10.0.0.1 5123 443\r\n", CLIENT, 0, "198.51.100.7 5123"),
    ROW("v1 IPv4 with a request behind", "PROXY TCP4 198.51.100.7 10.0.0.1 5123 443\r\nGET / HTTP/1.1\r\n", CLIENT, 16,
        "198.51.100.7 5123"),
    ROW("v1 IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 65535 0\r\n", CLIENT, 0, "2001:db8::7 65535"),
    ROW("v1 IPv6 at its longest",
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", CLIENT, 0,
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535"),
    ROW("v1 unknown", "PROXY UNKNOWN\r\n", OWN, 0, NULL),
    ROW("v1 unknown at its longest",
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", OWN, 0,
        NULL),
    ROW("v1 longer than 107 bytes",
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535 \r\n", BAD, 0,
        NULL),
    ROW("v1 another word", "PROXY UNKNOWNS\r\n", BAD, 0, NULL),
    ROW("v1 nothing", "PROXY \r\n", BAD, 0, NULL),
    ROW("v1 no blank", "PROXY\r\n", BAD, 0, NULL),
    ROW("v1 UDP", "PROXY UDP4 198.51.100.7 10.0.0.1 5123 443\r\n", BAD, 0, NULL),
    ROW("v1 small letters", "proxy TCP4 198.51.100.7 10.0.0.1 5123 443\r\n", BAD, 0, NULL),
    ROW("v1 bare LF", "PROXY TCP4 198.51.100.7 10.0.0.1 5123 443\n", BAD, 0, NULL),
    ROW("v1 two blanks", "PROXY TCP4  198.51.100.7 10.0.0.1 5123 443\r\n", BAD, 0, NULL),
    ROW("v1 a blank at the end", "PROXY TCP4 198.51.100.7 10.0.0.1 5123 443 \r\n", BAD, 0, NULL),
    ROW("v1 a port too many", "PROXY TCP4 198.51.100.7 10.0.0.1 5123 443 1\r\n", BAD, 0, NULL),
    ROW("v1 a port too few", "PROXY TCP4 198.51.100.7 10.0.0.1 5123\r\n", BAD, 0, NULL),
    ROW("v1 a port too large", "PROXY TCP4 198.51.100.7 10.0.0.1 65536 443\r\n", BAD, 0, NULL),
    ROW("v1 a port with a zero in front", "PROXY TCP4 198.51.100.7 10.0.0.1 080 443\r\n", BAD, 0, NULL),
    ROW("v1 a negative port", "PROXY TCP4 198.51.100.7 10.0.0.1 -1 443\r\n", BAD, 0, NULL),
    ROW("v1 IPv6 as IPv4", "PROXY TCP4 2001:db8::7 2001:db8::1 5123 443\r\n", BAD, 0, NULL),
    ROW("v1 IPv4 as IPv6", "PROXY TCP6 198.51.100.7 10.0.0.1 5123 443\r\n", BAD, 0, NULL),
    ROW("v1 a part too large", "PROXY TCP4 198.51.100.256 10.0.0.1 5123 443\r\n", BAD, 0, NULL),
    ROW("v1 a name", "PROXY TCP4 example.com 10.0.0.1 5123 443\r\n", BAD, 0, NULL),
    ROW("v1 a NUL", "PROXY TCP4 198.51.100.7\0 10.0.0.1 5123 443\r\n", BAD, 0, NULL),
    ROW("v2 IPv4", SIGNATURE "\x21\x11\0\x0c" INET_BLOCK, CLIENT, 0, "198.51.100.7 5123"),
    ROW("v2 IPv4 with a request behind", SIGNATURE "\x21\x11\0\x0c" INET_BLOCK "GET / ", CLIENT, 6, "198.51.100.7 5123"),
    ROW("v2 IPv6", SIGNATURE "\x21\x21\0\x24" INET6_BLOCK, CLIENT, 0, "2001:db8::7 5123"),
    ROW("v2 with fields", SIGNATURE "\x21\x11\0\x16" INET_BLOCK "\x03\0\x04\x01\x02\x03\x04\x04\0\0", CLIENT, 0,
        "198.51.100.7 5123"),
    ROW("v2 a field cut off", SIGNATURE "\x21\x11\0\x0e" INET_BLOCK "\x03\0", BAD, 0, NULL),
    ROW("v2 a field longer than what there is", SIGNATURE "\x21\x11\0\x10" INET_BLOCK "\x03\0\x02\0", BAD, 0, NULL),
    ROW("v2 local", SIGNATURE "\x20\0\0\0", OWN, 0, NULL),
    ROW("v2 local with an address, which does not count", SIGNATURE "\x20\x11\0\x0c" INET_BLOCK "x", OWN, 1, NULL),
    ROW("v2 unspecified", SIGNATURE "\x21\0\0\0", OWN, 0, NULL),
    ROW("v2 unspecified with bytes", SIGNATURE "\x21\0\0\x03...", OWN, 0, NULL),
    ROW("v2 UNIX", SIGNATURE "\x21\x31\0\xd8" ZEROS_54 ZEROS_54 ZEROS_54 ZEROS_54, OWN, 0, NULL),
    ROW("v2 UNIX too short", SIGNATURE "\x21\x31\0\x0c" INET_BLOCK, BAD, 0, NULL),
    ROW("v2 IPv4 too short", SIGNATURE "\x21\x11\0\x0b\xc6\x33\x64\x07\x0a\0\0\x01\x14\x03\x01", BAD, 0, NULL),
    ROW("v2 IPv6 as long as IPv4", SIGNATURE "\x21\x21\0\x0c" INET_BLOCK, BAD, 0, NULL),
    ROW("v2 datagrams", SIGNATURE "\x21\x12\0\x0c" INET_BLOCK, BAD, 0, NULL),
    ROW("v2 a family that is none", SIGNATURE "\x21\x41\0\x0c" INET_BLOCK, BAD, 0, NULL),
    ROW("v2 a transport that is none", SIGNATURE "\x21\x13\0\x0c" INET_BLOCK, BAD, 0, NULL),
    ROW("v2 a command that is none", SIGNATURE "\x22\x11\0\x0c" INET_BLOCK, BAD, 0, NULL),
    ROW("v2 version 1", SIGNATURE "\x11\x11\0\x0c" INET_BLOCK, BAD, 0, NULL),
    ROW("v2 version 3", SIGNATURE "\x31\x11\0\x0c" INET_BLOCK, BAD, 0, NULL),
    ROW("v2 too long, said at once", SIGNATURE "\x21\x11\xff\xff", BAD, 0, NULL),
    ROW("v2 one byte too long", SIGNATURE "\x21\x11\x07\xf1", BAD, 0, NULL),
    ROW("v2 as long as may be", SIGNATURE "\x21\x11\x07\xf0", MORE, 0, NULL),
    ROW("v2 another signature", "\r\n\r\n\0\r\nQUIT\r", BAD, 0, NULL),
    ROW("nothing yet", "", MORE, 0, NULL),
    ROW("a request", "GET / HTTP/1.1\r\n\r\n", BAD, 0, NULL),
    ROW("one letter of a request", "G", BAD, 0, NULL),
    ROW("a POST begins with P, too", "PO", BAD, 0, NULL),
    ROW("HTTP/2 begins with PR, too", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD, 0, NULL),
    ROW("TLS", "\x16\x03\x01\x02\0\x01", BAD, 0, NULL),
};

/* In memory of its own that ends where the bytes do. */
static int read_copy(struct slice bytes, struct sockaddr_storage *client, size_t *used)
{
    socklen_t length = 0;
    char *copy = malloc(bytes.n == 0 ? 1 : bytes.n);
    memcpy(copy, bytes.p, bytes.n);
    int result = (int)proxy_protocol_read(slice_make(copy, bytes.n), client, &length, used);
    free(copy);
    if (result == CLIENT)
        check(length == (client->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)),
              "the address is as long as its family's are");
    return result;
}

static struct slice show(const struct sockaddr_storage *client)
{
    static char text[80];
    char address[INET6_ADDRSTRLEN];
    const struct sockaddr_in *inet = (const void *)client;
    const struct sockaddr_in6 *inet6 = (const void *)client;
    bool is_six = client->ss_family == AF_INET6;
    inet_ntop(client->ss_family, is_six ? (const void *)&inet6->sin6_addr : &inet->sin_addr, address, sizeof(address));
    snprintf(text, sizeof(text), "%s %u", address, ntohs(is_six ? inet6->sin6_port : inet->sin_port));
    return slice_of(text);
}

/* Every beginning of a good header asks for more, and of a bad one never becomes good. */
static void check_beginnings(size_t row)
{
    struct sockaddr_storage client;
    size_t used, header = rows[row].bytes.n - rows[row].rest, wrong = 0;
    for (size_t n = 0; n < header; ++n) {
        int result = read_copy(slice_make(rows[row].bytes.p, n), &client, &used);
        wrong += rows[row].result == BAD ? result > BAD : result != MORE;
        wrong += used != 0;
    }
    check(wrong == 0, "%s: cut short it is %s", rows[row].what, rows[row].result == BAD ? "not taken" : "waited for");
}

int main(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct sockaddr_storage client;
        size_t used;
        int result = read_copy(rows[i].bytes, &client, &used);
        check(result == rows[i].result, "%s (%d, not %d)", rows[i].what, result, rows[i].result);
        check(used == (result > BAD ? rows[i].bytes.n - rows[i].rest : 0), "%s: %zu bytes are the header", rows[i].what, used);
        if (result == CLIENT && rows[i].client != NULL)
            check_slice(show(&client), slice_of(rows[i].client), "%s: the client", rows[i].what);
        check_beginnings(i);
    }
    return check_end();
}
