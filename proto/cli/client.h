/* HTTP by libcurl: requests made from the options, run one at a time or many at once, until a signal. One thread. */
#pragma once

#include <curl/curl.h>

#include "proto/cli/buffer.h"
#include "proto/cli/options.h"

struct client {
    CURLM *multi;
    const struct options *options;
    bool needs_reader; /* whether there is no sense in going on once nobody reads our standard output; false until the owner sets it */
};

/* One exchange; it may be run once. */
struct request {
    CURL *easy;
    struct curl_slist *headers;
    bool added; /* to the client's multi handle */
    char fault[CURL_ERROR_SIZE];
};

enum client_end {
    CLIENT_DONE, /* the transfer or the wait is over */
    CLIENT_STOPPED, /* SIGINT or SIGTERM */
    CLIENT_NO_READER, /* nobody reads our standard output */
    CLIENT_IDLE, /* nothing came for too long */
};

void client_init(struct client *client, const struct options *options);
void client_free(struct client *client);

/* A GET of the URL with all that the options say of connections, headers and the token. The body goes to `on_body` as curl's CURLOPT_WRITEFUNCTION. */
void request_init(struct request *request, const struct client *client, const char *url,
                  size_t (*on_body)(char *bytes, size_t one, size_t n, void *data), void *data);

void request_header(struct request *request, const char *name, const char *value);

/* Makes it a POST; the body is borrowed until the request is freed. */
void request_post(struct request *request, struct slice body, const char *type);

/* Starts it; client_run() or client_turn() moves it on. */
void request_start(struct request *request, struct client *client);

/* Ends it where it is. */
void request_free(struct request *request, struct client *client);

/* The status of HTTP, 0 when there was no answer. */
long request_status(const struct request *request);

/* Runs a started request to its end and puts its result in *code. `heard_us`: when its last byte came, by monotonic_us(), kept by the caller; CLIENT_IDLE once
 * that is over `idle_s` ago (0: never). */
enum client_end client_run(struct client *client, CURLcode *code, const uint64_t *heard_us, int64_t idle_s);

/* Moves all started requests on, waiting up to `ms` for something to happen. Ended ones are to be had from curl_multi_info_read(). */
enum client_end client_turn(struct client *client, int64_t ms);

/* Waits for that long. */
enum client_end client_wait(struct client *client, int64_t ms);

/* Adds why a request failed: curl's own words. */
void request_print_fault(const struct request *request, struct buffer *out, CURLcode code);

/* Whether another try may succeed: false for a certificate that cannot be verified, for example. */
bool request_may_pass(CURLcode code);
