#include "gateway/counters.h"
#include "gateway/gateway.h"
#include "runtime/signals.h"
#include "runtime/trim.h"

#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

/* Signals are blocked first, so that every thread inherits it; ports are bound and privileges given up before threads start, so that a start that cannot succeed ends
 * with one sentence and nothing half-open, and no thread has more than the others. Redis may still be away: streams wait for it. */
int main(int argc, char **argv)
{
    static struct gateway gateway;
    trim_prepare(argv);
    signals_block();
    options_load(&gateway.options, argc, argv, gateway_prepare);
    counters_init();
    gateway_listen(&gateway);
    sandbox_enter(&gateway.options.service.sandbox);
    gateway_start(&gateway);
    gateway_run(&gateway);
#ifdef __SANITIZE_ADDRESS__
    __lsan_do_leak_check();
#endif
    _exit(0); /* the workers are still running, and hold nothing that is not in Redis */
}
