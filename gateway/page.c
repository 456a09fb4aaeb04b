#include "gateway/page.h"

#include "page_html.h"
#include "runtime/http.h"

/* 'self' alone: the page asks nobody else for anything, and nobody may put it in a frame. */
#define CONTENT_POLICY                                                                                                           \
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; form-action " \
    "'self'; "                                                                                                                   \
    "base-uri 'none'; frame-ancestors 'none'"

void page_serve(h2o_req_t *req)
{
    http_add_header(req, "content-security-policy", SLICE(CONTENT_POLICY));
    http_add_header(req, "x-content-type-options", SLICE("nosniff"));
    http_add_header(req, "referrer-policy", SLICE("no-referrer"));
    http_add_header(req, "cache-control", SLICE("no-cache"));
    http_send(req, 200, "text/html; charset=utf-8", slice_make((const char *)page_html, page_html_len));
}
