/* The memory of one world: what it allocates goes with it, whatever was freed. Counted by gateway, so that what one does not give back shows.
 * malloc() and its like are led here by the linker (--wrap). In a build with a sanitizer each piece is one of the real malloc(), so that what is used after it was freed is found. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* From here to memory_end() all that is allocated is the world's. */
void memory_begin(void);
void memory_end(void);

enum { MEMORY_OWNERS = 16 };

/* Pieces of this gateway that live; 0 is nobody's. */
size_t memory_live(uint16_t gateway);

/* Calls cb for each piece of this gateway that lives; `from`: the address of the code that allocated it. Slow. */
void memory_each(uint16_t gateway, void (*cb)(void *data, const void *from, size_t size), void *data);
