/* The page at "/". */
#pragma once

#include "runtime/h2o.h"

void page_serve(h2o_req_t *req);
