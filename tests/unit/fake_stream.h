/* Stands in for what is around the streams of a worker, so that a test of them links no event loop and no socket: the answer to a request, the address in a log
 * line, and the clock. */
#pragma once

#include <string.h>

#include "gateway/stream/subscriber.h"
#include "runtime/http.h"
#include "runtime/net/client_address.h"
#include "tests/unit/fake_clock.h"

/* What happened, as words with a space behind each. */
static char fake_trace[512];

static inline void fake_happened(const char *word)
{
    strncat(fake_trace, word, sizeof(fake_trace) - strlen(fake_trace) - 1);
    strncat(fake_trace, " ", sizeof(fake_trace) - strlen(fake_trace) - 1);
}

void http_error_later(h2o_req_t *req, int status, unsigned retry_s, const char *sentence)
{
    (void)req, (void)retry_s, (void)sentence;
    fake_happened(status == 503 ? "503" : status == 429 ? "429" : "answer");
}

void http_send(h2o_req_t *req, int status, const char *type, struct slice body)
{
    (void)req, (void)type;
    fake_happened(status == 204 && body.n == 0 ? "204" : "answer");
}

const char *client_address_print(const struct client_address *address, char text[CLIENT_ADDRESS_TEXT_MAX])
{
    (void)address;
    return strcpy(text, "-");
}

/* For tables of transports: streams over HTTP/2 have no socket of their own, others this one. */
enum { FD = 1000 /* no descriptor of this process */ };

static inline int no_fd(const struct subscriber *subscriber)
{
    (void)subscriber;
    return -1;
}

static inline int its_fd(const struct subscriber *subscriber)
{
    (void)subscriber;
    return FD;
}
