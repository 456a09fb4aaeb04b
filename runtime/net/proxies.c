#include "runtime/net/proxies.h"

#include "runtime/digits.h"

struct network {
    struct client_address address;
    unsigned bits;
};

struct proxies {
    size_t count;
    struct network networks[];
};

/* "address" or "address/bits". */
static bool parse_network(struct network *out, struct slice item)
{
    struct slice bits = item, address = slice_split(&bits, '/');
    bool four = memchr(address.p, ':', address.n) == NULL;
    uint64_t count = four ? 32 : 128;
    if (bits.p != NULL && !digits_decimal(&count, bits, count))
        return false;
    out->bits = (unsigned)count + (four ? 96 : 0);
    return client_address_literal(&out->address, address);
}

const char *proxies_check(const char *list)
{
    for (struct slice rest = slice_of(list); rest.p != NULL && rest.n != 0;) {
        struct network network;
        if (!parse_network(&network, slice_trim(slice_split(&rest, ','))))
            return "must be addresses or networks like 10.0.0.0/8, comma-separated";
    }
    return NULL;
}

const struct proxies *proxies_parse(const char *list)
{
    size_t count = 0;
    for (struct slice rest = slice_of(list); rest.p != NULL && rest.n != 0; ++count)
        slice_split(&rest, ',');
    struct proxies *proxies = h2o_mem_alloc(sizeof(*proxies) + count * sizeof(proxies->networks[0]));
    proxies->count = 0;
    for (struct slice rest = slice_of(list); rest.p != NULL && rest.n != 0;)
        parse_network(&proxies->networks[proxies->count++], slice_trim(slice_split(&rest, ',')));
    return proxies;
}

static bool within(const struct network *network, const uint8_t address[16])
{
    unsigned whole = network->bits / 8, part = network->bits % 8;
    if (memcmp(network->address.bytes, address, whole) != 0)
        return false;
    return part == 0 || ((network->address.bytes[whole] ^ address[whole]) >> (8 - part)) == 0;
}

static bool holds(const struct proxies *proxies, const struct client_address *address)
{
    for (size_t i = 0; i < proxies->count; ++i)
        if (within(&proxies->networks[i], address->bytes))
            return true;
    return false;
}

bool proxies_trust(const struct proxies *proxies, const struct sockaddr *address)
{
    struct client_address client;
    return client_address_read(&client, address) && holds(proxies, &client);
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
        if (!holds(proxies, &next))
            return true;
    }
    return false;
}

struct client_address proxies_client(const struct proxies *proxies, h2o_req_t *req)
{
    struct client_address client = {{0}};
    struct sockaddr_storage peer;
    socklen_t length = req->conn->callbacks->get_peername(req->conn, (void *)&peer);
    if (length == 0 || !client_address_read(&client, (void *)&peer) || proxies == NULL || !holds(proxies, &client))
        return client;
    for (size_t i = req->headers.size; i-- != 0;) {
        const h2o_header_t *header = &req->headers.entries[i];
        if (header->name == &H2O_TOKEN_X_FORWARDED_FOR->buf && walk(proxies, slice_of_iovec(header->value), &client))
            break;
    }
    return client;
}
