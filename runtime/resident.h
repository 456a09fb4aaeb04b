/* How much memory of this process is in RAM. */
#pragma once

#include <stdint.h>

/* In bytes; 0 where the kernel does not tell. */
int64_t resident_bytes(void);
