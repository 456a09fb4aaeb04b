/* Redis's error replies: the first word is a class ("LOADING", "NOPERM", "ERR"), the rest is text. */
#pragma once

#include <hiredis/hiredis.h>

#include "runtime/slice.h"

bool redis_error(const redisReply *reply);

/* Whether the reply is an error that begins with `start`: "NOAUTH ", "ERR unknown command ". */
bool redis_error_is(const redisReply *reply, const char *start);

/* A static sentence when the error is about Redis's own state (loading, read-only, out of memory, …), so that another Redis, or this one
 * later, would do it; NULL for every other reply. */
const char *redis_error_down(const redisReply *reply);

/* The same sentence, when Redis answers and only takes no writes; NULL for every other reply. */
const char *redis_error_unwritable(const redisReply *reply);
