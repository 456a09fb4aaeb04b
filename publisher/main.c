#include "publisher/publisher.h"

#include "publisher/counters.h"
#include "runtime/signals.h"
#include "runtime/trim.h"

/* Signals are blocked first, and privileges given up once the ports are bound, so that the threads which look names up inherit it; accepting begins last, when all
 * that a request needs is there. Redis may still be away then: requests are told so until it comes. */
int main(int argc, char **argv)
{
    static struct publisher publisher;
    trim_prepare(argv);
    signals_block();
    options_load(&publisher.options, argc, argv, publisher_prepare);
    counters_init();
    publisher_bind(&publisher);
    sandbox_enter(&publisher.options.service.sandbox);
    publisher_start(&publisher);
    publisher_run(&publisher);
    return 0;
}
