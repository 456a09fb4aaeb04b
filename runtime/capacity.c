#include "runtime/capacity.h"

#include <stdint.h>
#include <stdio.h>

#include "runtime/metrics.h"

const char *capacity_why(void *data)
{
    struct capacity *capacity = data;
    int64_t open = metric_sum(capacity->open) - (capacity->not == 0 ? 0 : metric_sum(capacity->not ));
    if (open * 100 < (int64_t)capacity->limit * CAPACITY_PERCENT)
        return NULL;
    snprintf(capacity->sentence, sizeof(capacity->sentence), "%lld of %zu connections of %s are open (%s)", (long long)open,
             capacity->limit, capacity->listener, capacity->setting);
    return capacity->sentence;
}
