#include "proto/bus/channel_slot.h"

uint16_t channel_slot(struct slice name)
{
    char key[CHANNEL_KEY_MAX];
    return slot_of(slice_make(key, channel_pubsub(key, name)));
}
