/* runtime/admin_host: the names by which the admin port may be asked for. */
#include "runtime/admin_host.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/check.h"

static const struct {
    const char *fact, *hosts, *host, *authority;
    bool good;
} cases[] = {
    {"none, of HTTP/1.0", "", "", "", true},
    {"IPv4", "", "", "10.0.0.1:9043", true},
    {"IPv4 without a port", "", "", "127.0.0.1", true},
    {"IPv6", "", "", "[::1]:9043", true},
    {"IPv6 without a port", "", "", "[2001:db8::1]", true},
    {"localhost", "", "", "localhost:9043", true},
    {"… in capitals, with the dot of the root", "", "", "LocalHost.:9043", true},
    {"a name below localhost", "", "", "a.localhost:9043", true},
    {"another name", "", "", "evil.example:9043", false},
    {"a name without a dot", "", "", "gateway:9043", true},
    {"a name that ends like localhost", "", "", "evil.examplelocalhost", false},
    {"a name that begins like localhost", "", "", "localhost.evil.example", false},
    {"a name that begins like an address", "", "", "127.0.0.1.evil.example", false},
    {"nothing before the port", "", "", ":9043", false},
    {"ADMIN_HOST by name", "", "gw.internal", "gw.internal:9043", true},
    {"one of ADMIN_HOSTS", "a.example, b.example", "", "b.example:9043", true},
    {"none of ADMIN_HOSTS", "a.example,b.example", "", "c.example", false},
    {"below one of ADMIN_HOSTS", "*.svc.cluster.local", "", "gw.ns.svc.cluster.local", true},
    {"that one itself", "*.svc.cluster.local", "", "svc.cluster.local", false},
    {"any", "*", "", "evil.example", true},
};

static const struct {
    const char *hosts;
    bool good;
} settings[] = {
    {"a", true},         {"a.example,*.b.example", true},
    {"*", true},         {"a:9043", false},
    {"http://a", false}, {"a b", false},
    {"a,,b", false},     {"*a", false},
    {"*.", false},
};

int main(void)
{
    char own[256] = "", authority[300];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        admin_host_init(cases[i].hosts, cases[i].host);
        check(admin_host_good(slice_of(cases[i].authority)) == cases[i].good, "%s", cases[i].fact);
    }
    admin_host_init("", "");
    gethostname(own, sizeof(own) - 1);
    snprintf(authority, sizeof(authority), "%s:9043", own);
    check(admin_host_good(slice_of(authority)), "the host's own name");
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); ++i)
        check((admin_hosts_check(settings[i].hosts) == NULL) == settings[i].good, "ADMIN_HOSTS=%s", settings[i].hosts);
    return check_end();
}
