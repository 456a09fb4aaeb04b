#include "proto/bus/slot.h"

#include "proto/channel.h"

/* CRC-16/XMODEM: polynomial 0x1021, nothing reflected. https://reveng.sourceforge.io/crc-catalogue/16.htm */
static uint16_t crc16(struct slice bytes)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < bytes.n; ++i) {
        crc ^= (uint16_t)((unsigned char)bytes.p[i] << 8);
        for (int bit = 0; bit < 8; ++bit)
            crc = (uint16_t)(crc << 1 ^ ((crc & 0x8000) != 0 ? 0x1021 : 0));
    }
    return crc;
}

uint16_t slot_of(struct slice channel)
{
    char name[CHANNEL_KEY_MAX];
    return crc16(slice_make(name, channel_pubsub(name, channel))) % SLOTS;
}
