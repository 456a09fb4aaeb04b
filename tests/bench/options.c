#include "tests/bench/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

static uint64_t number(const char *name, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != 0 || value < min || value > max)
        bench_fail("--%s: %s is not a whole number from %llu to %llu", name, text, (unsigned long long)min,
                   (unsigned long long)max);
    return value;
}

static struct sockaddr_in address(const char *name, const char *text)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strchr(text, ':');
    size_t n = colon == NULL ? 0 : (size_t)(colon - text);
    struct sockaddr_in result = {.sin_family = AF_INET};
    if (n == 0 || n >= sizeof(host))
        bench_fail("--%s: %s is not IPv4:PORT", name, text);
    memcpy(host, text, n);
    host[n] = 0;
    if (inet_pton(AF_INET, host, &result.sin_addr) != 1)
        bench_fail("--%s: %s is not IPv4:PORT", name, text);
    result.sin_port = htons((uint16_t)number(name, colon + 1, 1, 65535));
    return result;
}

static const struct bench_option *named(const struct bench_option *options, size_t count, const char *argument)
{
    for (size_t i = 0; i < count; ++i)
        if (strncmp(argument, "--", 2) == 0 && strcmp(argument + 2, options[i].name) == 0)
            return &options[i];
    bench_fail("%s: no such option", argument);
}

static void set(const struct bench_option *option, const char *value)
{
    if (value == NULL)
        bench_fail("--%s: needs a value", option->name);
    if (option->text != NULL)
        *option->text = value;
    if (option->number != NULL)
        *option->number = number(option->name, value, option->min, option->max);
    if (option->address != NULL)
        *option->address = address(option->name, value);
}

void bench_options(const struct bench_option *options, size_t count, int argc, char **argv)
{
    bool given[32] = {false};
    for (int i = 1; i < argc; ++i) {
        const struct bench_option *option = named(options, count, argv[i]);
        given[option - options] = true;
        if (option->flag != NULL)
            *option->flag = true;
        else
            set(option, argv[++i]); /* argv ends with NULL */
    }
    for (size_t i = 0; i < count; ++i)
        if (options[i].needed && !given[i])
            bench_fail("%s: --%s is needed", argv[0], options[i].name);
}
