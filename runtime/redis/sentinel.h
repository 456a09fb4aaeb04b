/* Finds the Redis that sentinels watch over: asks all of them again and again, and believes the one that knows of the latest failover.
 * https://redis.io/docs/latest/develop/reference/sentinel-clients/
 *
 * One connection to each sentinel, whatever the number of connections to Redis. Their +switch-master messages are not subscribed to: one that is cut off, or was
 * restarted, would say nothing, so it has to be asked in any case. */
#pragma once

#include "runtime/redis/topology.h"

/* getaddr: see struct redis_options. `url` is borrowed. Close it when no seeker is left. */
struct topology *sentinel_open(h2o_loop_t *loop, h2o_multithread_receiver_t *getaddr, const struct redis_url *url);
void sentinel_close(struct topology *topology);
