/* One channel as the bus thread sees it: keeps its events in order, fills holes from the Redis stream and remembers the newest in a ring.
 *
 *     SUBSCRIBING ──confirmed──► READING ──caught up──► LIVE ──hole──► READING
 *          ▲                        │                    │
 *          └───── subscription lost ┴────────────────────┘
 *
 * While it is not LIVE, messages that arrive are held, and follow what the history says, each once. */
#pragma once

#include "gateway/feed/channel_view.h"

struct search;

/* A channel that waits for its subscription, and that no worker listens to yet. `name` is copied. `shard`: NULL where none has the channel now. */
struct channel *channel_create(struct channel_shared *shared, const struct channel_shard *shard, struct slice name);

/* The channel has moved: its subscription there is to come. The shard before is no longer used, except by a read under way. */
void channel_move(struct channel *channel, const struct channel_shard *shard);

/* Of authors' own ids in its history; only while channel_live(), and for that turn. */
struct search *channel_search(struct channel *channel);

/* Of the newest events beyond its ring; only while channel_live(), and for that turn. True: `after` is set, see newest_find(). */
bool channel_find_newest(struct channel *channel, uint32_t n, struct position *after);

/* Gives up what channel_verify(), channel_deepen(), channel_search() and channel_find_newest() began: no stream waits for it. */
void channel_drop_wishes(struct channel *channel);

/* No callback runs after this. */
void channel_destroy(struct channel *channel);

/* From the subscriber connection. */
void channel_subscribed(struct channel *channel);
void channel_lost(struct channel *channel);
void channel_doubt(struct channel *channel); /* messages may have been lost on the way; the subscription is still the same */
void channel_message(struct channel *channel, struct slice payload);

/* After it was proven that more has come: the channels of this shard whose lease is over were abandoned. True: it is until_us (monotonic_us()), and there are more. */
bool channel_check_leases(const struct channel_shard *shard, uint64_t until_us);

/* Tries again what could not be read: for when the command connection is back, or time has passed. */
void channel_retry(struct channel *channel);

/* Before events of the ring are served: drops those that were deleted, expired or trimmed, which it learns from where the history begins. False where there is nothing to
 * ask, or it was asked at `since_ms` (monotonic_ms()) or later. True: a read is under way or will be, one for all, and on_live tells when. */
bool channel_verify(struct channel *channel, uint64_t since_ms);

/* Asks for the ring to hold the newest `depth` events. False when it was already read that deep (it then holds what the history has and the
 * limits allow). True: a read is under way or will be, one for all that ask meanwhile, and on_live tells when. */
bool channel_deepen(struct channel *channel, uint32_t depth);

/* Finds out since when nothing was published before `first`, an event that names none before it (in_ring: the ring's oldest), or, where
 * `first` is NULL, since when nothing was published at all. *horizon_ms: that time, by Redis's clock. False: it must be read first, and
 * on_live tells when to ask again. */
bool channel_horizon(struct channel *channel, const struct frame *first, bool in_ring, uint64_t *horizon_ms);
