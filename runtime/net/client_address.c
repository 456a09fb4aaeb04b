#include "runtime/net/client_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "runtime/digits.h"

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

/* Takes the port and the brackets off. False when what looks like a port is none. */
static bool strip(struct slice *text)
{
    struct slice rest = *text;
    if (rest.n != 0 && rest.p[0] == '[') {
        rest = slice_from(rest, 1);
        *text = slice_split(&rest, ']');
        return rest.p != NULL && memchr(text->p, ':', text->n) != NULL &&
               (rest.n == 0 || (rest.p[0] == ':' && digits_are_port(slice_from(rest, 1))));
    }
    struct slice host = slice_split(&rest, ':');
    if (rest.p == NULL || memchr(rest.p, ':', rest.n) != NULL)
        return true; /* no colon, or the several of IPv6 */
    *text = host;
    return digits_are_port(rest);
}

bool client_address_literal(struct client_address *out, struct slice text)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.n == 0 || text.n >= sizeof(copy) || memchr(text.p, 0, text.n) != NULL)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    if (inet_pton(AF_INET, copy, out->bytes + sizeof(mapped)) == 1) {
        memcpy(out->bytes, mapped, sizeof(mapped));
        return true;
    }
    return inet_pton(AF_INET6, copy, out->bytes) == 1;
}

bool client_address_parse(struct client_address *out, struct slice text)
{
    return strip(&text) && client_address_literal(out, text);
}

struct client_address client_address_network(struct client_address address)
{
    if (memcmp(address.bytes, mapped, sizeof(mapped)) != 0)
        memset(address.bytes + 8, 0, 8);
    return address;
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
