/* What happened in Redis, as the oracle keeps it: each event that a server took, and which events the data of a server went through. */
#pragma once

#include "proto/channel.h"
#include "proto/event_id.h"

enum { CHANNELS = 5, FACTS = 4096, OWN_ID_MAX = 40 };

struct fact {
    uint32_t channel, number; /* of all events of the channel, in the order in which servers took them */
    struct position at;
    char id[OWN_ID_MAX];
    bool own_id; /* an author's */
    uint64_t us; /* when */
    uint32_t size; /* of the data */
    bool end; /* nothing follows in this history; it has no data */
    uint32_t lease_s; /* another event was promised within so many seconds; 0: none was */
    struct fact *before; /* the one before it in its server's data */
    uint32_t index; /* in that line */
    bool gone; /* its history was deleted since */
    uint64_t gone_us; /* … when, for the first time; 0: it was not */
    bool restored; /* … and is there again: data from before took over */
    bool lost; /* not in the data that Redis has now: a failover or a restart lost it */
};

/* All events of a channel that a server's data went through, the oldest first. */
struct line {
    struct fact **facts;
    uint32_t count, room;
};
