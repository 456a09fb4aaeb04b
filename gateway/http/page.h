/* The pages at "/" and, on the admin port, at "/status", with the scripts and styles they load: the files of gateway/page/, in the binary. */
#pragma once

#include "runtime/h2o.h"

/* Where the pages look for their scripts and styles: PAGE_ASSETS VERSION "/" NAME. */
#define PAGE_ASSETS "/page/"

/* `name` is an HTML file of gateway/page/. Answers 304 when the client has it. */
void page_serve(h2o_req_t *req, const char *name);

/* `path` is what follows PAGE_ASSETS; 404 when there is no such file. */
void page_serve_asset(h2o_req_t *req, struct slice path);
