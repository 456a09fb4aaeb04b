/* The first frame of a fresh stream. */
#pragma once

#include "gateway/stream/subscriber.h"

/* The frame for this kind of welcome, with the id that stands for the stream's place; NULL for WELCOME_NOTHING. The caller's reference. */
struct frame *welcome_frame(enum welcome welcome, const char *position, int32_t retry_ms);
