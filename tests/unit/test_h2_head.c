/* runtime/h2_head: header blocks are counted as libh2o decodes them, and what may not stand in a request. */
#include "runtime/h2o/h2_head.h"

#include "tests/check.h"

static size_t count_of(const char *block, size_t n, size_t max)
{
    return h2_head_instructions((const uint8_t *)block, n, max);
}

#define COUNT(block, max) count_of(block, sizeof(block) - 1, max)

struct field {
    const h2o_token_t *token; /* NULL: named by name */
    const char *name, *value;
};

/* A head that has nothing wrong, but for what the case says. */
struct head {
    const char *method, *path, *authority; /* NULL: as good as any; "-": none */
    bool https;
    size_t lengths;
    struct field fields[3];
};

static h2o_iovec_t text(const char *value, const char *otherwise)
{
    value = value == NULL ? otherwise : value;
    return strcmp(value, "-") == 0 ? (h2o_iovec_t){NULL} : h2o_iovec_init(value, strlen(value));
}

static h2o_req_t request_of(const struct head *head, h2o_header_t *entries, h2o_iovec_t *names)
{
    h2o_req_t req = {.headers = {.entries = entries}};
    req.input.method = text(head->method, "GET");
    req.input.path = text(head->path, "/channels/news?last=1");
    req.input.authority = text(head->authority, "Example.com:8080");
    req.input.scheme = head->https ? &H2O_URL_SCHEME_HTTPS : &H2O_URL_SCHEME_HTTP;
    for (const struct field *field = head->fields; field->value != NULL; ++field) {
        size_t i = req.headers.size++;
        names[i] = text(field->name, "");
        entries[i].name = field->token != NULL ? (h2o_iovec_t *)&field->token->buf : &names[i];
        entries[i].value = h2o_iovec_init(field->value, strlen(field->value));
    }
    return req;
}

static const char *fault_of_head(const struct head *head)
{
    h2o_header_t entries[3];
    h2o_iovec_t names[3];
    h2o_req_t req = request_of(head, entries, names);
    return h2_head_check(&req, head->lengths);
}

#define FAULT(...) fault_of_head(&(struct head){__VA_ARGS__})
#define HOST(value)                 \
    {                               \
        H2O_TOKEN_HOST, NULL, value \
    }

static const char *fault_of(const char *name, const char *value)
{
    return FAULT(.fields = {{NULL, name, value}});
}

static void check_targets(void)
{
    static const char forbidden[] = "\x01\t\n\v\r\x1b \x7f";
    check(FAULT(.path = "/") == NULL && FAULT(.path = "*", .method = "OPTIONS") == NULL, "paths as they are");
    check(FAULT(.path = "/x?a=%20\xc3\xa9") == NULL, "… escaped, and with bytes that HTTP/1.1 takes as well");
    for (const char *c = forbidden; *c != 0; ++c) {
        char path[] = "/channels/x?event=a.b", method[] = "PO.ST", host[] = "a.b";
        *strchr(path, '.') = *strchr(method, '.') = *strchr(host, '.') = *c;
        check(FAULT(.path = path) != NULL, "a path with a blank or a control byte");
        check(FAULT(.method = method) != NULL, "a method with one");
        check(FAULT(.authority = host) != NULL, "a host with one");
        check(FAULT(.authority = "-", .fields = {HOST(host)}) != NULL, "… that the field Host names");
    }
    check(FAULT(.path = "") != NULL && FAULT(.method = "") != NULL && FAULT(.authority = "") != NULL, "empty");
    check(FAULT(.path = "*") != NULL && FAULT(.path = "x") != NULL && FAULT(.path = "http://a/") != NULL, "no path of a server");
    check(FAULT(.authority = "u:p@example.com") != NULL, "a user before the host");
    check(FAULT(.authority = "-") != NULL, "no host at all");
    check(FAULT(.lengths = 1) == NULL && FAULT(.lengths = 2) != NULL, "one content-length, and two");
}

static void check_hosts(void)
{
    check(FAULT(.fields = {HOST("example.COM:8080")}) == NULL, "host as :authority");
    check(FAULT(.fields = {HOST("example.com")}) != NULL && FAULT(.fields = {HOST("example.com:8080"), HOST("b")}) != NULL,
          "another");
    check(FAULT(.authority = "a", .fields = {HOST("a:80")}) == NULL && FAULT(.authority = "a:80", .fields = {HOST("a")}) == NULL,
          "the port of the scheme may be left out");
    check(FAULT(.authority = "a", .fields = {HOST("a:443")}) != NULL, "… not that of another");
    check(FAULT(.authority = "a", .https = true, .fields = {HOST("a:443")}) == NULL, "… of TLS");
    check(FAULT(.authority = "-", .fields = {HOST("a"), HOST("b")}) != NULL, "two hosts");

    h2o_header_t entries[3];
    h2o_iovec_t names[3];
    struct head head = {.authority = "-", .fields = {HOST("a.b"), {NULL, "x", "y"}}};
    h2o_req_t req = request_of(&head, entries, names);
    check(h2_head_check(&req, 0) == NULL && h2o_memis(req.input.authority.base, req.input.authority.len, H2O_STRLIT("a.b")),
          "host stands for :authority");
    check(req.headers.size == 1 && entries[0].name == &names[1], "… and is no field any more");
}

int main(void)
{
    check(COUNT("", 100) == 0, "an empty block holds nothing");
    check(COUNT("\x82\x86\x84", 100) == 3, "an index is one");
    check(COUNT("\xff\x80\x01\x82", 100) == 2, "… of several bytes, too");
    check(COUNT("\x41\x03www\x82", 100) == 2, "a literal with a name of the table");
    check(COUNT("\x40\x01"
                "a\x01"
                "b\x82",
                100) == 2,
          "a literal with a name of its own");
    check(COUNT("\x00\x81\xff\x02xy\x10\x01z\x00\x82", 100) == 3, "not indexed, never indexed, Huffman");
    check(COUNT("\x0f\x0d\x01"
                "7\x82",
                100) == 2,
          "an index above the prefix");
    check(COUNT("\x20\x3f\xe1\x1f\x82", 100) == 3, "sizes of the table count");
    check(COUNT("\xbe\xbe\xbe\xbe\xbe\xbe", 3) == 4, "counting stops above the most");
    check(COUNT("\x82\x41\x7fwww", 100) == 2, "a block that is cut short ends there");
    check(COUNT("\x82\xff\xff\xff\xff\xff\xff\x01", 100) == 2, "an integer that is too long, too");
    check(COUNT("\x40", 100) == 1 && COUNT("\x7f", 100) == 1 &&
              COUNT("\x00\x05"
                    "ab",
                    100) == 1,
          "wherever it is cut");

    check(fault_of("accept", "text/html") == NULL && fault_of("x", "") == NULL, "fields as they are");
    check(fault_of("", "x") != NULL, "no name");
    check(fault_of("x", " y") != NULL && fault_of("x", "y\t") != NULL, "a value with a blank at an end");
    check(fault_of("keep-alive", "x") != NULL && fault_of("proxy-connection", "x") != NULL,
          "what belongs to connections of HTTP/1.1");
    check_targets();
    check_hosts();
    return 0;
}
