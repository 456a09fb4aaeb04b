#include "gateway/welcome.h"

struct frame *welcome_frame(enum welcome welcome, const char *position, int32_t retry_ms)
{
    struct slice letter = SLICE("{\"msg\":\"a\"}");
    struct event event = {.type = {NULL, 0}, .data = NULL, .data_count = 0, .id = slice_of(position), .retry_ms = retry_ms};
    switch (welcome) {
    case WELCOME_NOTHING:
        return NULL;
    case WELCOME_POSITION:
        break;
    case WELCOME_LETTER:
        event.type = SLICE("message");
        event.data = &letter;
        event.data_count = 1;
        break;
    }
    return frame_of_event(&event);
}
