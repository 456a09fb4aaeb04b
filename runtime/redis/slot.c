#include "runtime/redis/slot.h"

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

uint16_t slot_of(struct slice key)
{
    const char *open = memchr(key.p, '{', key.n);
    const char *end = open == NULL ? NULL : memchr(open, '}', key.n - (size_t)(open - key.p));
    if (end != NULL && end - open > 1)
        key = slice_make(open + 1, (size_t)(end - open) - 1);
    return crc16(key) % SLOTS;
}
