/* A request as libh2o hands it to our code, without a server: only what runtime/http.h reads is there. */
#pragma once

#include "runtime/h2o.h"
#include "tests/fuzz/fuzz.h"

struct request {
    h2o_req_t req;
    h2o_conn_t conn;
    struct sockaddr_storage peer; /* ss_family AF_UNSPEC: unknown */
};

void request_open(struct request *request, struct slice method, struct slice target);

/* "name: value". libh2o's parsers let no name be empty or hold an upper-case letter: such a line is left out. */
void request_add_header(struct request *request, struct slice line);

void request_close(struct request *request);
