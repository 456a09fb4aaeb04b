/* A Redis of canned bytes: a socket pair takes the place of runtime/redis/dial.c, so that all of proto/bus above it runs as it is. What is said through it
 * arrives in one piece; what the client sends must be commands in RESP2 form. One connection at a time. */
#pragma once

#include "runtime/redis/redis.h"
#include "tests/fuzz/fuzz.h"

/* Options for a connection to the peer; the loop is made once and stays. `user` and `db` make the greeting longer. */
struct redis_options peer_options(bool user, bool db);

/* Waits for what was begun: sends what is queued, receives what was said. */
void peer_settle(void);

/* Says the bytes and settles. Nothing happens where the client has hung up. */
void peer_say(struct slice bytes);

/* What Redis answers to the greeting: nothing to HELLO, +OK for each other command, +PONG. */
void peer_greet(bool user, bool db);

/* Closes the peer's end and settles. */
void peer_hang_up(void);

/* Commands received since the start of the connection, whole and well-formed. */
size_t peer_commands(void);

/* After the client was closed: its socket is gone from the loop. */
void peer_end(void);
