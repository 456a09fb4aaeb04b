/* Event ids: UUIDs of version 4 in form (RFC 9562 section 5.4), in which the event's own position in its channel is written, so that
 * any replica finds the place a Last-Event-ID stands for without an index or a scan.
 *
 *     mmmmmmmm-mmmm-4sss-8sss-kkkkcccccccc
 *
 *     m  48 bits  milliseconds of the position
 *     s  24 bits  its sequence number: upper 12 bits, then lower 12 (the nibble between them is the UUID's variant)
 *     k  16 bits  check over the two above and the channel, so that somebody else's UUID is not mistaken for ours
 *     c  32 bits  hash of the channel's name: tells which channel of a many-channel stream the event was of
 *
 * With version 8 in place of 4 an id stands for the same place, and says that the end behind it was told: of a channel that was abandoned, whose history has no entry for that; or, with
 * the empty channel name, of all channels, each of which had ended by that time.
 *
 * proto/bus/sse.lua writes the same bytes; proto/vectors/event_id.json holds both to it. To change this layout, see proto/README.md. */
#pragma once

#include "proto/position.h"

enum { EVENT_ID_LEN = 36 };

/* The largest sequence number that fits; the bus function moves on to the next millisecond rather than go above it. */
#define EVENT_ID_SEQ_MAX ((1u << 24) - 1)

/* Sequence number of an id of the empty channel name, which stands for a time: with PROVEN all that was published before it, by each shard's own clock, was sent; else only within the margin between
 * shards. */
enum { EVENT_ID_TIME_NEAR = 0, EVENT_ID_TIME_PROVEN = 1 };

/* Writes 36 bytes, lower case, and a NUL. p.ms < 2^48 and p.seq <= EVENT_ID_SEQ_MAX, as in every position the bus hands out. The
 * empty channel name makes an id that stands for a time in every channel (the position frame of a many-channel stream). */
void event_id_format(char out[EVENT_ID_LEN + 1], struct slice channel, struct position p);

/* The same, with version 8. */
void event_id_format_end(char out[EVENT_ID_LEN + 1], struct slice channel, struct position p);

/* Whether an id that event_id_parse() has read is of version 8. */
bool event_id_is_end(struct slice id);

/* True and the position when `id` is one that event_id_format() or event_id_format_end() wrote for `channel`; false for every other text. */
bool event_id_parse(struct position *out, struct slice id, struct slice channel);

/* The same for an id of whichever channel. */
bool event_id_parse_any(struct position *out, struct slice id);
