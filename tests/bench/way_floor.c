/* To the floor's bus: the HTTP chunk that the gateway would send for the same data, byte for byte but for the id. */
#include "tests/bench/way.h"

#include <stdio.h>
#include <string.h>

#include "tests/bench/floor.h"

#define EVENT_HEAD "event: message\ndata: "
#define EVENT_TAIL "\nid: 00000000-0000-4000-8000-000000000000\nretry: 6000\n\n"

static size_t request(char *out, const char *path, unsigned channel, const char *payload, size_t size)
{
    (void)path;
    struct floor_message message = {.channel = channel};
    char *chunk = out + sizeof(message);
    message.size = (uint32_t)sprintf(chunk, "%zx\r\n" EVENT_HEAD "%.*s" EVENT_TAIL "\r\n",
                                     sizeof(EVENT_HEAD) - 1 + size + sizeof(EVENT_TAIL) - 1, (int)size, payload);
    memcpy(out, &message, sizeof(message));
    return sizeof(message) + message.size;
}

const struct way way_floor = {.name = "floor", .couriers = 1, .request = request};
