#include "proto/cli/bench.h"
#include "proto/cli/options_parse.h"
#include "proto/cli/output.h"
#include "proto/cli/publish.h"
#include "proto/cli/stop.h"
#include "proto/cli/tail.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    static struct options options;
    options_parse(&options, argc, argv);
    output_init(options.json && options.command != COMMAND_PUBLISH, options.quiet);
    stop_init();
    int status = options.command == COMMAND_TAIL      ? tail_run(&options)
                 : options.command == COMMAND_PUBLISH ? publish_run(&options)
                                                      : bench_run(&options);
    free(options.token);
    return status;
}
