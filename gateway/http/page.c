#include "gateway/http/page.h"

#include "page_files.h" /* made of gateway/page/ by embed.cmake there: page_files[], page_version */
#include "runtime/http.h"

/* 'self' alone: a page asks nobody else for anything, nobody may put it in a frame, and text never becomes markup or script. */
#define CONTENT_POLICY                                                                                                 \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'none'; " \
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

static const struct page_file *find(struct slice name)
{
    for (size_t i = 0; i < sizeof(page_files) / sizeof(page_files[0]); ++i)
        if (slice_eq(name, slice_of(page_files[i].name)))
            return &page_files[i];
    return NULL;
}

/* RFC 9110 section 13.1.2; our tags are strong and hold no comma. */
static bool has_it(h2o_req_t *req, struct slice tag)
{
    struct slice rest = http_header(req, "if-none-match");
    while (rest.p != NULL) {
        struct slice one = slice_trim(slice_split(&rest, ','));
        if (slice_starts(one, SLICE("W/")))
            one = slice_from(one, 2);
        if (slice_eq(one, tag) || slice_eq(one, SLICE("*")))
            return true;
    }
    return false;
}

static void send_file(h2o_req_t *req, const struct page_file *file, struct slice cache)
{
    http_add_header(req, "content-security-policy", SLICE(CONTENT_POLICY));
    http_add_header(req, "x-content-type-options", SLICE("nosniff"));
    http_add_header(req, "referrer-policy", SLICE("no-referrer"));
    http_add_header(req, "cross-origin-opener-policy", SLICE("same-origin"));
    http_add_header(req, "cross-origin-resource-policy", SLICE("same-origin"));
    http_add_header(req, "cache-control", cache);
    http_add_header(req, "etag", slice_of(file->tag));
    if (has_it(req, slice_of(file->tag)))
        http_send(req, 304, file->type, SLICE(""));
    else
        http_send_static(req, 200, file->type, slice_make((const char *)file->bytes, file->n));
}

void page_serve(h2o_req_t *req, const char *name)
{
    send_file(req, find(slice_of(name)), SLICE("no-cache"));
}

/* While gateways are replaced one by one, a page of one version may ask a gateway of another: it gets the file as it is there, but not for good. */
void page_serve_asset(h2o_req_t *req, struct slice path)
{
    struct slice version = slice_split(&path, '/');
    const struct page_file *file = path.p == NULL ? NULL : find(path);
    if (file == NULL || file->html)
        http_error(req, 404, "no such path");
    else
        send_file(req, file,
                  slice_eq(version, SLICE(PAGE_VERSION)) ? SLICE("public, max-age=31536000, immutable") : SLICE("no-cache"));
}
