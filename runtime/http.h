/* Reading requests and writing small answers on libh2o. All of it runs on the request's own thread; what it returns lives in the
 * request's pool or points into the request. */
#pragma once

#include "runtime/h2o.h"

struct proxies;

/* Bounds on a request's head, answered with 414 and 431; libh2o itself stops only at 408 KiB. */
enum { HTTP_PATH_MAX = 8192, HTTP_HEADERS_MAX = 32768 };

/* Whose X-Forwarded-For names the client in the log lines of refused requests: 401, 403, 421 and 429. Once, before threads start; NULL: nobody's. */
void http_trust(const struct proxies *proxies);

/* Sends `status` with {"error":"SENTENCE"} (escaped) as application/json; keeps response headers already set (CORS, Allow,
 * Retry-After). 413 on HTTP/1.1 also closes the connection. */
void http_error(h2o_req_t *req, int status, const char *sentence);

/* As http_error(), with Retry-After in seconds; 0: without. */
void http_error_later(h2o_req_t *req, int status, unsigned retry_s, const char *sentence);

/* {"name":"text"}. */
struct slice http_json_text(h2o_req_t *req, struct slice name, struct slice text);

/* Sends a whole body. `type` is static. A HEAD request gets the head alone. */
void http_send(h2o_req_t *req, int status, const char *type, struct slice body);

/* As http_send(), of a body that lives as long as the program and is not copied. */
void http_send_static(h2o_req_t *req, int status, const char *type, struct slice body);

/* Counts an answer by its class of status, in one of the rows 2xx to 5xx of the program's table of metrics that begin with `first`. */
enum { HTTP_CLASSES = 4 };
void http_count(size_t first, int status);

/* NULL when the request's head is within the bounds above, and its body was not refused for its size; else the error sentence and *status. */
const char *http_head_check(h2o_req_t *req, int *status);

/* The first request header of this lower-case name, trimmed; {NULL, 0} when absent. */
struct slice http_header(h2o_req_t *req, const char *name);

/* The first of `names`, which are spelt as people know them, of which the request has more than one header; NULL: none. */
const char *http_repeated(const h2o_req_t *req, const char *const *names, size_t count);

/* Adds a response header; name lower-case and static, value copied into the pool. */
void http_add_header(h2o_req_t *req, const char *name, struct slice value);

/* Path and query as they came; the scheme and authority of the absolute form h1_guard.c has taken off. Perhaps empty, "?query" or "*". */
static inline struct slice http_target(const h2o_req_t *req)
{
    return slice_of_iovec(req->path);
}

/* The path without its query, percent-decoded into the pool; {NULL, 0} when an escape is broken. Decodes "%2F" like every other escape;
 * takes out no "." or ".." (channel names may hold them). */
struct slice http_path(h2o_req_t *req);

/* Walks application/x-www-form-urlencoded text (WHATWG URL section 5.1): names and values decoded into the pool, '+' as a space. Start
 * with *rest = the text (for a query: http_query()). In the values of the parameter `literal` (empty: of none) a '+' stays one: for values that can hold no
 * space, since few people write it as "%2B". False at the end; *broken is set when an escape is not two hex digits. */
bool http_form_next(h2o_req_t *req, struct slice literal, struct slice *rest, struct slice *name, struct slice *value,
                    bool *broken);

/* The raw query after '?', {NULL, 0} without one. */
struct slice http_query(h2o_req_t *req);

bool http_method_is(h2o_req_t *req, const char *method);

/* Whether an Accept header (RFC 9110 section 12.5.1) lets "type/subtype" in: absent or empty yes; the most specific matching range
 * decides, q=0 refuses. Pure. */
bool http_accepts(struct slice accept, struct slice type, struct slice subtype);

/* Called, unless NULL, for every error that libh2o itself makes, before it is sent: may add headers, and gives the sentence to send instead
 * of `why`, or that. Set before threads start. */
extern const char *(*http_library_error)(h2o_req_t *req, int status, const char *why);

/* Every error that libh2o itself makes (413, broken chunked body, 502 of its proxy, 404) goes through h2o_send_error_generic(), which
 * http.c defines over the library's so that those, too, are one JSON sentence. Nothing to call: linking http.c does it. */
