#include "proto/cli/client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "proto/cli/output.h"
#include "proto/cli/stop.h"
#include "runtime/monotonic.h"

enum {
    CONNECT_MS = 15000,
    REDIRECTS_MAX = 5,
    H2_STREAMS = 80, /* of one connection: a gateway has room for 90 streams beside POSTs */
};

void client_init(struct client *client, const struct options *options)
{
    *client = (struct client){.multi = NULL, .options = options};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (client->multi = curl_multi_init()) == NULL)
        abort();
    curl_multi_setopt(client->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)H2_STREAMS);
}

void client_free(struct client *client)
{
    curl_multi_cleanup(client->multi);
    curl_global_cleanup();
}

static void set_tls(CURL *easy, const struct options *options)
{
    if (options->cacert != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->cacert);
    if (options->cert != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, options->cert);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, options->key);
    }
}

static long http_version(const struct options *options, const char *url)
{
    if (options->http == NULL)
        return CURL_HTTP_VERSION_2TLS;
    if (options->http[0] == '1')
        return CURL_HTTP_VERSION_1_1;
    return strncasecmp(url, "https:", 6) == 0 ? CURL_HTTP_VERSION_2_0 : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
}

/* A redirect never leads from TLS to none, where the token would be readable. */
static void set_redirects(CURL *easy, const char *url, bool follow)
{
    bool tls = strncasecmp(url, "https:", 6) == 0;
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, follow ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
}

void request_init(struct request *request, const struct client *client, const char *url,
                  size_t (*on_body)(char *bytes, size_t one, size_t n, void *data), void *data)
{
    const struct options *options = client->options;
    CURL *easy = curl_easy_init();
    if (easy == NULL)
        abort();
    *request = (struct request){.easy = easy};
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->fault);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "sse-cli/" SSE_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, http_version(options, url));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, data);
    set_redirects(easy, url, options->location);
    set_tls(easy, options);
    if (options->token != NULL) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, options->token);
    }
    for (size_t i = 0; i != options->headers.count; ++i)
        request->headers = curl_slist_append(request->headers, options->headers.items[i]);
}

void request_header(struct request *request, const char *name, const char *value)
{
    struct buffer line = {NULL, 0, 0};
    buffer_print(&line, value[0] == '\0' ? "%s:%s" : "%s: %s", name, value);
    request->headers = curl_slist_append(request->headers, line.p);
    if (request->headers == NULL)
        abort();
    buffer_free(&line);
}

void request_post(struct request *request, struct slice body, const char *type)
{
    curl_easy_setopt(request->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(request->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, body.p);
    request_header(request, "Content-Type", type);
    request_header(request, "Expect", ""); /* takes curl's own away: a large body would wait a second for an answer to it */
}

void request_start(struct request *request, struct client *client)
{
    curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, request->headers);
    if (curl_multi_add_handle(client->multi, request->easy) != CURLM_OK)
        abort();
    request->added = true;
}

void request_free(struct request *request, struct client *client)
{
    if (request->added)
        curl_multi_remove_handle(client->multi, request->easy);
    curl_easy_cleanup(request->easy);
    curl_slist_free_all(request->headers);
    *request = (struct request){.easy = NULL};
}

long request_status(const struct request *request)
{
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

enum client_end client_turn(struct client *client, int64_t ms)
{
    /* a pipe is watched for nothing but its reader's end, which poll(2) tells unasked */
    struct curl_waitfd others[] = {{.fd = stop_fd(), .events = CURL_WAIT_POLLIN}, {.fd = STDOUT_FILENO, .events = 0}};
    bool watches = client->needs_reader && output_is_piped();
    int running;
    if (curl_multi_poll(client->multi, others, watches ? 2 : 1, (int)ms, NULL) != CURLM_OK ||
        curl_multi_perform(client->multi, &running) != CURLM_OK)
        abort();
    if (stop_asked())
        return CLIENT_STOPPED;
    return !watches || output_has_reader() ? CLIENT_DONE : CLIENT_NO_READER;
}

enum client_end client_run(struct client *client, CURLcode *code, const uint64_t *heard_us, int64_t idle_s)
{
    enum { TURN_MS = 1000 };
    for (;;) {
        int left;
        enum client_end end = client_turn(client, TURN_MS);
        CURLMsg *message = curl_multi_info_read(client->multi, &left);
        if (message != NULL && message->msg == CURLMSG_DONE) {
            *code = message->data.result;
            return end;
        }
        if (end != CLIENT_DONE)
            return end;
        if (idle_s != 0 && monotonic_us() - *heard_us > (uint64_t)idle_s * 1000000)
            return CLIENT_IDLE;
    }
}

enum client_end client_wait(struct client *client, int64_t ms)
{
    uint64_t until = monotonic_ms() + (uint64_t)ms;
    for (uint64_t now; (now = monotonic_ms()) < until;) {
        enum client_end end = client_turn(client, (int64_t)(until - now));
        if (end != CLIENT_DONE)
            return end;
    }
    return CLIENT_DONE;
}

void request_print_fault(const struct request *request, struct buffer *out, CURLcode code)
{
    buffer_print(out, "%s", request->fault[0] != '\0' ? request->fault : curl_easy_strerror(code));
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        buffer_print(out, "; --cacert names a file with who vouches for it");
}

bool request_may_pass(CURLcode code)
{
    static const CURLcode lasting[] = {
        CURLE_UNSUPPORTED_PROTOCOL, CURLE_URL_MALFORMAT,   CURLE_PEER_FAILED_VERIFICATION,
        CURLE_SSL_CACERT_BADFILE,   CURLE_SSL_CERTPROBLEM, CURLE_TOO_MANY_REDIRECTS,
        CURLE_OUT_OF_MEMORY,        CURLE_NOT_BUILT_IN,
    };
    for (size_t i = 0; i != sizeof(lasting) / sizeof(lasting[0]); ++i)
        if (code == lasting[i])
            return false;
    return true;
}
