/* runtime/default_file: what a service was given. */
#include "runtime/default_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/check.h"

static const char text[] = "# ADMIN_PORT=1\n"
                           "ADMIN_PORT=2\n"
                           "  ADMIN_PORT = 9143 \r\n"
                           "XADMIN_HOST=wrong\n"
                           "ADMIN_HOST=\"::1\"\n"
                           "NODE_NAME='a b'\n"
                           "REDIS_URL=redis://h/?a=b\n"
                           "no assignment\n"
                           "EMPTY=\n"
                           "LAST=end";

static const struct {
    const char *name, *want;
} cases[] = {
    {"ADMIN_PORT", "9143"}, {"ADMIN_HOST", "::1"}, {"NODE_NAME", "a b"},    {"REDIS_URL", "redis://h/?a=b"},
    {"EMPTY", ""},          {"LAST", "end"},       {"no assignment", NULL}, {"ABSENT", NULL},
};

int main(void)
{
    char path[] = "/tmp/test_default_file-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, text, sizeof(text) - 1) != sizeof(text) - 1)
        return 2;
    close(fd);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        char *got = default_file_get(path, cases[i].name);
        check((got == NULL) == (cases[i].want == NULL) && (got == NULL || strcmp(got, cases[i].want) == 0), "%s is %s",
              cases[i].name, got == NULL ? "not set" : got);
        free(got);
    }
    unlink(path);
    check(default_file_get(path, "LAST") == NULL, "an absent file sets nothing");
    return check_end();
}
