/* runtime/http: pure parts as tables; answers, and the errors libh2o makes by itself, from a real server. */
#include "runtime/http.h"

#include "server.h"

static struct slice slice_of_text(const char *text)
{
    return text == NULL ? (struct slice){NULL, 0} : slice_of(text);
}

static void test_accept(void)
{
    static const struct {
        const char *fact;
        const char *accept; /* NULL: no such header */
        bool stream, html; /* whether text/event-stream and text/html are let in */
    } rows[] = {
        {"no header lets all in", NULL, true, true},
        {"an empty header lets all in", "", true, true},
        {"blanks and commas count as empty", " , ,\t", true, true},
        {"*/* lets all in", "*/*", true, true},
        {"the type itself", "text/event-stream", true, false},
        {"upper case is the same", "TEXT/Event-Stream", true, false},
        {"type/* matches its subtypes", "text/*", true, true},
        {"another type refuses", "application/json", false, false},
        {"another type/* refuses", "image/*", false, false},
        {"one match in a list is enough", "application/json, text/event-stream", true, false},
        {"q=0 refuses", "text/event-stream;q=0", false, false},
        {"q=0.000 refuses", "text/event-stream; q=0.000, */*;q=0.0", false, false},
        {"q=0.001 lets in", "text/event-stream;q=0.001", true, false},
        {"the closer range decides, though it comes first", "text/event-stream;q=0, */*", false, true},
        {"the closer range decides, though it comes last", "*/*, text/event-stream;q=0", false, true},
        {"text/* is closer than */*", "*/*, text/*;q=0", false, false},
        {"the exact type is closer than text/*", "text/*;q=0, text/event-stream", true, false},
        {"Q is the same as q", "text/event-stream;Q=0", false, false},
        {"blanks around the semicolon", "text/event-stream \t;  q=0", false, false},
        {"charset=utf-8 is what we send", "text/event-stream;charset=utf-8", true, false},
        {"charset in upper case and quoted", "text/event-stream; CharSet=\"UTF-8\"", true, false},
        {"charset is closer still", "text/event-stream, text/event-stream;charset=utf-8;q=0", false, false},
        {"another charset is not what we send", "text/event-stream;charset=utf-16", false, false},
        {"a parameter we don't have", "text/html;level=1, text/event-stream", true, false},
        {"*/* with charset", "*/*;charset=utf-8", true, true},
        {"of two equal ranges the greater weight counts", "text/html;q=0, text/html", false, true},
        {"an extension after q has no meaning", "text/event-stream;q=1;ext=\"a,b\"", true, false},
        {"a comma in quotes does not end a range", "text/html;a=\"x, text/event-stream\"", false, false},
        {"nor does a quote that is escaped", "text/html;a=\"x\\\", text/event-stream\"", false, false},
        {"a browser's EventSource", "text/event-stream", true, false},
        {"a browser's address bar", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true, true},
        {"Java's default", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", true, true},
        {"malformed alone counts as absent", "text", true, true},
        {"malformed: no subtype", "text/", true, true},
        {"malformed: */html", "*/html", true, true},
        {"malformed: q above 1", "image/png;q=1.001", true, true},
        {"malformed: q with four decimals", "image/png;q=0.0001", true, true},
        {"malformed: q without a number", "image/png;q=", true, true},
        {"malformed: q is a dot", "image/png;q=.", true, true},
        {"malformed: a blank within the type", "te xt/html", true, true},
        {"malformed ranges are skipped, the good one decides", "text/, ;q=1, image/png", false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct slice accept = slice_of_text(rows[i].accept);
        bool stream = http_accepts(accept, SLICE("text"), SLICE("event-stream"));
        bool html = http_accepts(accept, SLICE("text"), SLICE("html"));
        check(stream == rows[i].stream && html == rows[i].html, "Accept: %s", rows[i].fact);
    }
}

static void test_path(void)
{
    static const struct {
        const char *fact, *target, *path, *query; /* path and query NULL: {NULL, 0} */
    } rows[] = {
        {"without a query", "/a/b", "/a/b", NULL},
        {"with a query", "/a?b=c?d", "/a", "b=c?d"},
        {"an empty query", "/a?", "/a", ""},
        {"no path at all", "?a=b", "/", "a=b"},
        {"escapes are decoded, in either case", "/%41%c3%A4%2f%2F", "/A\xc3\xa4//", NULL},
        {"a plus sign stays", "/a+b", "/a+b", NULL},
        {"dots stay", "/a/../b/./c", "/a/../b/./c", NULL},
        {"dots behind escapes stay", "/a/%2e%2e/b", "/a/../b", NULL},
        {"a lone percent sign is broken", "/a%", NULL, NULL},
        {"one digit is broken", "/a%4", NULL, NULL},
        {"no hex digit is broken", "/a%4g?b", NULL, "b"},
        {"asterisk form", "*", "*", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        h2o_req_t req = {NULL};
        h2o_mem_init_pool(&req.pool);
        req.path = h2o_iovec_init(rows[i].target, strlen(rows[i].target));
        struct slice path = http_path(&req), query = http_query(&req);
        struct slice want_path = slice_of_text(rows[i].path), want_query = slice_of_text(rows[i].query);
        check((path.p == NULL) == (want_path.p == NULL) && slice_eq(path, want_path), "path: %s", rows[i].fact);
        check((query.p == NULL) == (want_query.p == NULL) && slice_eq(query, want_query), "query: %s", rows[i].fact);
        h2o_mem_clear_pool(&req.pool);
    }
}

/* "name=value;" for each pair, '!' at the end when an escape was broken. */
static void test_form(void)
{
    static const struct {
        const char *fact, *text, *want;
    } rows[] = {
        {"nothing", "", ""},
        {"one pair", "a=b", "[a]=[b]"},
        {"pairs in order, names may repeat", "a=1&b=2&a=3", "[a]=[1][b]=[2][a]=[3]"},
        {"no equals sign: an empty value", "a&b", "[a]=[][b]=[]"},
        {"an empty name", "=b", "[]=[b]"},
        {"an equals sign alone is a pair", "=", "[]=[]"},
        {"further equals signs belong to the value", "a=b=c==", "[a]=[b=c==]"},
        {"empty pieces are skipped", "&&a=b&&", "[a]=[b]"},
        {"plus is a space in names and values", "a+b=c+d", "[a b]=[c d]"},
        {"escapes in names and values", "%61%3D=%26%2B%25", "[a=]=[&+%]"},
        {"a semicolon separates nothing", "a=b;c=d", "[a]=[b;c=d]"},
        {"broken escapes stay and are told", "a=%&b=%4&c=%zz", "[a]=[%][b]=[%4][c]=[%zz]!"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        h2o_req_t req = {NULL};
        char got[200] = "";
        size_t n = 0;
        bool broken = false;
        struct slice rest = slice_of(rows[i].text), name, value;
        h2o_mem_init_pool(&req.pool);
        while (http_form_next(&req, SLICE(""), &rest, &name, &value, &broken))
            n += (size_t)snprintf(got + n, sizeof(got) - n, "[%.*s]=[%.*s]", (int)name.n, name.p, (int)value.n, value.p);
        if (broken)
            strcat(got, "!");
        check_slice(slice_of(got), slice_of(rows[i].want), "form: %s", rows[i].fact);
        h2o_mem_clear_pool(&req.pool);
    }
}

static void test_literal_plus(void)
{
    h2o_req_t req = {NULL};
    struct slice rest = SLICE("a=c++&channel=c++&channel=a%2Bb%20c"), name, value;
    static const char *const want[] = {"c  ", "c++", "a+b c"};
    bool broken = false;
    size_t n = 0;
    h2o_mem_init_pool(&req.pool);
    for (; http_form_next(&req, SLICE("channel"), &rest, &name, &value, &broken); ++n)
        check_slice(value, slice_of(want[n]), "a plus stays in a channel's name, and is a space elsewhere");
    check(n == 3 && !broken, "three pairs");
    h2o_mem_clear_pool(&req.pool);
}

/* Under /say every request is answered as its query asks; all else is libh2o's. */
static int on_say(h2o_handler_t *self, h2o_req_t *req)
{
    int status;
    const char *why = http_head_check(req, &status);
    struct slice query = http_query(req), header = http_header(req, "x-echo");
    (void)self;
    if (header.p != NULL)
        http_add_header(req, "x-echoed", header);
    if (why != NULL)
        http_error(req, status, why);
    else if (slice_starts(query, SLICE("error=")))
        http_error(req, atoi(query.p + 6), "a \"quoted\\\" \x01 sentence\n with \xff and \xc3\xa4");
    else if (slice_eq(query, SLICE("typed"))) {
        http_add_header(req, "content-type", SLICE("text/html"));
        http_error(req, 400, "no");
    } else if (slice_eq(query, SLICE("empty")))
        http_send(req, 204, "text/plain", (struct slice){NULL, 0});
    else
        http_send(req, 200, "text/plain", query.p == NULL ? SLICE("said") : query);
    return 0;
}

static struct slice body_of(struct slice answer)
{
    const char *at = memmem(answer.p, answer.n, "\r\n\r\n", 4);
    return at == NULL ? (struct slice){NULL, 0} : slice_from(answer, (size_t)(at - answer.p) + 4);
}

static bool holds(struct slice answer, const char *text)
{
    return memmem(answer.p, answer.n, text, strlen(text)) != NULL;
}

/* Each of these is answered by libh2o before or instead of a handler. */
static void test_library_errors(struct server *s)
{
    static const struct {
        const char *fact, *request, *line, *body;
    } rows[] = {
        {"404 for a path without a handler", "GET /none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
         "HTTP/1.1 404 Not Found\r\n", "{\"error\":\"not found\"}"},
        {"413 for a content-length over the limit", "POST /say HTTP/1.1\r\nhost: x\r\ncontent-length: 101\r\n\r\n",
         "HTTP/1.1 413 Content Too Large\r\n", "{\"error\":\"request entity is too large\"}"},
        {"413 for a chunked body over the limit",
         "POST /say HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
         "70\r\n0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901\r"
         "\n",
         "HTTP/1.1 413 Content Too Large\r\n", "{\"error\":\"request entity is too large\"}"},
        {"400 for a broken chunk", "POST /say HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
         "HTTP/1.1 400 Bad Request\r\n", "{\"error\":\"broken chunked-encoding\"}"},
        {"400 for a transfer coding it doesn't know", "POST /say HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
         "HTTP/1.1 400 Bad Request\r\n", "{\"error\":\"unknown transfer-encoding\"}"},
        {"400 for a broken content-length", "POST /say HTTP/1.1\r\nhost: x\r\ncontent-length: abc\r\n\r\n",
         "HTTP/1.1 400 Bad Request\r\n", "{\"error\":\"broken content-length header\"}"},
        {"417 for another expectation", "POST /say HTTP/1.1\r\nhost: x\r\nexpect: nonsense\r\ncontent-length: 1\r\n\r\na",
         "HTTP/1.1 417 Expectation Failed\r\n", "{\"error\":\"unknown expectation\"}"},
        {"413 without a host header", "POST /say HTTP/1.0\r\ncontent-length: 101\r\n\r\n", "HTTP/1.1 413 Content Too Large\r\n",
         "{\"error\":\"request entity is too large\"}"},
        {"404 to HEAD has no body", "HEAD /none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 404 Not Found\r\n",
         ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct slice answer = server_ask(s, slice_of(rows[i].request));
        bool ok = slice_starts(answer, slice_of(rows[i].line)) && holds(answer, "\r\ncontent-type: application/json\r\n") &&
                  !holds(answer, "text/plain");
        check(ok, "libh2o's own %s is ours", rows[i].fact);
        check_slice(body_of(answer), slice_of(rows[i].body), "… and so is its body");
    }
}

/* The one error that libh2o makes from a request it has not processed on HTTP/2: a control character in a header (RFC 9113 8.2.1). */
static void test_http2_error(struct server *s)
{
    static const char bytes[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\x00\x00\x00\x04\x00\x00\x00\x00\x00" /* SETTINGS */
                                "\x00\x00\x0b\x01\x05\x00\x00\x00\x01" /* HEADERS, END_STREAM and END_HEADERS, stream 1 */
                                "\x82\x86\x84" /* :method GET, :scheme http, :path / */
                                "\x00\x01x\x04"
                                "a\x01\x02z"; /* x, as it stands */
    int fd = client_connect(s);
    struct slice answer = client_ask(s, fd, slice_make(bytes, sizeof(bytes) - 1), "}");
    check(holds(answer, "{\"error\":\"found an invalid character in header value\"}"), "libh2o's own 400 on HTTP/2 is ours");
    close(fd);
}

static void test_errors(struct server *s)
{
    static const struct {
        int status;
        const char *line;
    } rows[] = {
        {400, "400 Bad Request"},
        {401, "401 Unauthorized"},
        {403, "403 Forbidden"},
        {404, "404 Not Found"},
        {405, "405 Method Not Allowed"},
        {406, "406 Not Acceptable"},
        {408, "408 Request Timeout"},
        {411, "411 Length Required"},
        {413, "413 Content Too Large"},
        {414, "414 URI Too Long"},
        {415, "415 Unsupported Media Type"},
        {417, "417 Expectation Failed"},
        {421, "421 Misdirected Request"},
        {426, "426 Upgrade Required"},
        {429, "429 Too Many Requests"},
        {431, "431 Request Header Fields Too Large"},
        {500, "500 Internal Server Error"},
        {501, "501 Not Implemented"},
        {502, "502 Bad Gateway"},
        {503, "503 Service Unavailable"},
        {504, "504 Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        char request[200], line[100];
        snprintf(request, sizeof(request), "GET /say?error=%d HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", rows[i].status);
        snprintf(line, sizeof(line), "HTTP/1.1 %s\r\n", rows[i].line);
        struct slice answer = server_ask(s, slice_of(request));
        check(slice_starts(answer, slice_of(line)), "http_error: %s", rows[i].line);
    }
    struct slice answer =
        server_ask(s, SLICE("GET /say?error=400 HTTP/1.1\r\nhost: x\r\nx-echo: \t kept \r\nconnection: close\r\n\r\n"));
    check_slice(body_of(answer), SLICE("{\"error\":\"a \\\"quoted\\\\\\\" \\u0001 sentence\\u000a with \\ufffd and \xc3\xa4\"}"),
                "http_error: the sentence is a JSON string");
    check(holds(answer, "\r\nx-echoed: kept\r\n"), "http_error: headers already set stay, header values are trimmed");
    answer = server_ask(s, SLICE("GET /say?typed HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    check(holds(answer, "content-type: application/json") && !holds(answer, "text/html"), "http_error: there is one content-type");
}

static void test_connections(struct server *s)
{
    int fd = client_connect(s);
    struct slice answer = client_ask(s, fd, SLICE("GET /say?error=400 HTTP/1.1\r\nhost: x\r\n\r\n"), "}");
    check(holds(answer, "\r\nConnection: keep-alive\r\n"), "a 400 keeps the connection");
    answer = client_ask(s, fd, SLICE("GET /say?error=413 HTTP/1.1\r\nhost: x\r\n\r\n"), NULL);
    check(holds(answer, "\r\nConnection: close\r\n") && holds(answer, "413"), "a 413 closes it");
    close(fd);
}

static void test_send(struct server *s)
{
    struct slice answer = server_ask(s, SLICE("GET /say?hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    check(slice_starts(answer, SLICE("HTTP/1.1 200 OK\r\n")) && holds(answer, "Content-Length: 5\r\n") &&
              holds(answer, "content-type: text/plain\r\n"),
          "http_send: status, length and type");
    check_slice(body_of(answer), SLICE("hello"), "http_send: the body");
    answer = server_ask(s, SLICE("HEAD /say?hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    check(holds(answer, "Content-Length: 5\r\n") && body_of(answer).p != NULL && body_of(answer).n == 0,
          "http_send: HEAD gets the head alone");
    answer = server_ask(s, SLICE("GET /say?empty HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    check(slice_starts(answer, SLICE("HTTP/1.1 204 No Content\r\n")) && !holds(answer, "Content-Length") &&
              !holds(answer, "content-type"),
          "http_send: 204 has neither a length nor a type");
}

static struct slice ask_with(struct server *s, size_t path, size_t headers)
{
    static char request[400000];
    size_t n = (size_t)snprintf(request, sizeof(request), "GET /say?");
    memset(request + n, 'p', path - strlen("/say?"));
    n += path - strlen("/say?");
    n += (size_t)snprintf(request + n, sizeof(request) - n, " HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: ");
    /* "connection: close\r\n" and "x: \r\n" count as well. */
    size_t fill = headers - strlen("connection: close\r\nx: \r\n");
    memset(request + n, 'h', fill);
    n += fill;
    n += (size_t)snprintf(request + n, sizeof(request) - n, "\r\n\r\n");
    return server_ask(s, slice_make(request, n));
}

static void test_head_check(struct server *s)
{
    check(slice_starts(ask_with(s, HTTP_PATH_MAX, 100), SLICE("HTTP/1.1 200 ")), "a target of 8192 bytes is taken");
    check(slice_starts(ask_with(s, HTTP_PATH_MAX + 1, 100), SLICE("HTTP/1.1 414 ")), "one more is 414");
    check(slice_starts(ask_with(s, 100, HTTP_HEADERS_MAX), SLICE("HTTP/1.1 200 ")), "headers of 32768 bytes are taken");
    check(slice_starts(ask_with(s, 100, HTTP_HEADERS_MAX + 1), SLICE("HTTP/1.1 431 ")), "one more is 431");
    check(slice_starts(ask_with(s, 100000, 100), SLICE("HTTP/1.1 414 ")), "a target of 100 kB is 414");
    check(slice_starts(ask_with(s, 100, 100000), SLICE("HTTP/1.1 431 ")), "headers of 100 kB are 431");
}

int main(void)
{
    struct server s;
    test_accept();
    test_path();
    test_form();
    test_literal_plus();
    server_init(&s);
    s.config.max_request_entity_size = 100;
    h2o_create_handler(h2o_config_register_path(s.host, "/say", 0), sizeof(h2o_handler_t))->on_req = on_say;
    server_open(&s, 100);
    test_library_errors(&s);
    test_http2_error(&s);
    test_errors(&s);
    test_connections(&s);
    test_send(&s);
    test_head_check(&s);
    check(server_close(&s), "all connections are gone at the end");
    return check_end();
}
