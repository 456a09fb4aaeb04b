#include "runtime/refusal_log.h"

#include "runtime/net/client_address.h"
#include "runtime/http.h"
#include "runtime/log.h"

static const struct proxies *trusted;

void refusal_log_trust(const struct proxies *proxies)
{
    trusted = proxies;
}

static const int logged[] = {401, 403, 421, 429};
enum { LOGGED = sizeof(logged) / sizeof(logged[0]) };

void refusal_log(h2o_req_t *req, int status, const char *why)
{
    static _Thread_local struct log_budget budgets[LOGGED];
    size_t kind = 0;
    int64_t left_out;
    while (kind != LOGGED && logged[kind] != status)
        ++kind;
    if (kind == LOGGED || !log_budget_take(&budgets[kind], &left_out))
        return;
    char address[CLIENT_ADDRESS_TEXT_MAX];
    struct client_address client = client_address_of(trusted, req);
    struct slice path = http_target(req);
    log_info("request refused", log_int("status", status), log_str("why", why),
             log_str("client", client_address_print(&client, address)), log_slice("method", slice_of_iovec(req->method)),
             log_slice("path", slice_split(&path, '?')), log_slice("origin", http_header(req, "origin")),
             log_int("left_out", left_out));
}
