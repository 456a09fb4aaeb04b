#include "runtime/net/client_address.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "runtime/net/proxies.h"

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool client_address_read(struct client_address *out, const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        memcpy(out->bytes, mapped, sizeof(mapped));
        memcpy(out->bytes + sizeof(mapped), &((const struct sockaddr_in *)address)->sin_addr, 4);
        return true;
    }
    if (address->sa_family != AF_INET6)
        return false;
    memcpy(out->bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
    return true;
}

static bool is_port(struct slice text)
{
    for (size_t i = 0; i < text.n; ++i)
        if (!isdigit((unsigned char)text.p[i]))
            return false;
    return text.n != 0 && text.n <= 5;
}

/* Takes the port and the brackets off. False when what looks like a port is none. */
static bool strip(struct slice *text)
{
    struct slice rest = *text;
    if (rest.n != 0 && rest.p[0] == '[') {
        rest = slice_from(rest, 1);
        *text = slice_split(&rest, ']');
        return rest.p != NULL && memchr(text->p, ':', text->n) != NULL &&
               (rest.n == 0 || (rest.p[0] == ':' && is_port(slice_from(rest, 1))));
    }
    struct slice host = slice_split(&rest, ':');
    if (rest.p == NULL || memchr(rest.p, ':', rest.n) != NULL)
        return true; /* no colon, or the several of IPv6 */
    *text = host;
    return is_port(rest);
}

bool client_address_parse(struct client_address *out, struct slice text)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.n == 0 || !strip(&text) || text.n == 0 || text.n >= sizeof(copy) || memchr(text.p, 0, text.n) != NULL)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    if (inet_pton(AF_INET, copy, out->bytes + sizeof(mapped)) == 1) {
        memcpy(out->bytes, mapped, sizeof(mapped));
        return true;
    }
    return inet_pton(AF_INET6, copy, out->bytes) == 1;
}

struct client_address client_address_network(struct client_address address)
{
    if (memcmp(address.bytes, mapped, sizeof(mapped)) != 0)
        memset(address.bytes + 8, 0, 8);
    return address;
}

/* Takes the last of a comma-separated list off. */
static struct slice last_of(struct slice *list)
{
    const char *comma = list->n == 0 ? NULL : memrchr(list->p, ',', list->n);
    struct slice last = comma == NULL ? *list : slice_from(*list, (size_t)(comma - list->p) + 1);
    *list = comma == NULL ? (struct slice){NULL, 0} : slice_make(list->p, (size_t)(comma - list->p));
    return slice_trim(last);
}

/* From the right, for as long as the addresses are the proxies'. True when *client is what was looked for, or no more can be known. */
static bool walk(const struct proxies *proxies, struct slice list, struct client_address *client)
{
    while (list.p != NULL) {
        struct client_address next;
        if (!client_address_parse(&next, last_of(&list)))
            return true;
        *client = next;
        if (!proxies_hold(proxies, &next))
            return true;
    }
    return false;
}

struct client_address client_address_of(const struct proxies *proxies, h2o_req_t *req)
{
    struct client_address client = {{0}};
    struct sockaddr_storage peer;
    socklen_t length = req->conn->callbacks->get_peername(req->conn, (void *)&peer);
    if (length == 0 || !client_address_read(&client, (void *)&peer) || proxies == NULL || !proxies_hold(proxies, &client))
        return client;
    for (size_t i = req->headers.size; i-- != 0;) {
        const h2o_header_t *header = &req->headers.entries[i];
        if (header->name == &H2O_TOKEN_X_FORWARDED_FOR->buf && walk(proxies, slice_of_iovec(header->value), &client))
            break;
    }
    return client;
}

const char *client_address_print(const struct client_address *address, char text[CLIENT_ADDRESS_TEXT_MAX])
{
    static const struct client_address none;
    bool four = memcmp(address->bytes, mapped, sizeof(mapped)) == 0;
    if (memcmp(address, &none, sizeof(none)) == 0)
        return "-";
    return inet_ntop(four ? AF_INET : AF_INET6, four ? address->bytes + sizeof(mapped) : address->bytes, text,
                     CLIENT_ADDRESS_TEXT_MAX);
}
