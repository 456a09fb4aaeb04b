/* Input: bytes. What is read of a PROXY header depends on no byte behind it; a header that is cut short is waited for and no more; the length is within
 * the bounds; a client has an address of its family. */
#include "runtime/net/proxy_protocol.h"

#include <netinet/in.h>

#include "tests/fuzz/fuzz.h"

static enum proxy_protocol read_copy(struct slice bytes, struct sockaddr_storage *client, size_t *used)
{
    struct slice copy = own(bytes, false);
    socklen_t length = 0;
    memset(client, 0, sizeof(*client));
    enum proxy_protocol result = proxy_protocol_read(copy, client, &length, used);
    if (result == PROXY_PROTOCOL_CLIENT)
        must((client->ss_family == AF_INET && length == sizeof(struct sockaddr_in)) ||
             (client->ss_family == AF_INET6 && length == sizeof(struct sockaddr_in6)));
    disown(copy);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_make((const char *)data, size);
    struct sockaddr_storage client, again;
    size_t used, other;
    enum proxy_protocol result = read_copy(bytes, &client, &used);
    if (result < PROXY_PROTOCOL_OWN) {
        must(used == 0 && (result == PROXY_PROTOCOL_BAD || size < PROXY_PROTOCOL_MAX));
        return 0;
    }
    must(used <= size && used <= PROXY_PROTOCOL_MAX && used >= sizeof("PROXY UNKNOWN\r\n") - 1);
    must(read_copy(slice_make(bytes.p, used), &again, &other) == result && other == used);
    must(memcmp(&client, &again, sizeof(client)) == 0);
    must(read_copy(slice_make(bytes.p, used - 1), &again, &other) == PROXY_PROTOCOL_MORE);
    return 0;
}
