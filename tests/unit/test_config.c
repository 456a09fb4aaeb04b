/* runtime/config: the loader with a made-up environment, and config_main() in a child process. */
#include "runtime/config_main.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"

struct settings {
    const char *name, *token, *url;
    int64_t port, low;
    bool flag;
};

static const char *check_name(const char *value)
{
    return strcmp(value, "bad") == 0 ? "'bad' is no name" : NULL;
}

static const char *check_secret(const char *value)
{
    return strlen(value) < 4 ? "shorter than 4 bytes" : NULL;
}

#define AT(field) .at = offsetof(struct settings, field)

static const struct config_option options[] = {
    {"NAME", NULL, CONFIG_TEXT, "", 0, 0, AT(name), "what it is called", check_name},
    {"TOKEN", NULL, CONFIG_SECRET, "", 0, 0, AT(token), "a secret", check_secret},
    {"REDIS_URL", NULL, CONFIG_URL, "redis://127.0.0.1:6379", 0, 0, AT(url), "where Redis is: `redis://` or `unix://`, a|b",
     check_secret},
    {"PORT", "OLD_PORT", CONFIG_INT, "4043", 0, 65535, AT(port), "the port", NULL},
    {"LOW", NULL, CONFIG_INT, "-5", INT64_MIN, INT64_MAX, AT(low), "any number at all", NULL},
    {"A_FLAG_OF_LENGTH", "SSE_FLAG", CONFIG_FLAG, "off", 0, 0, AT(flag),
     "a switch with a description that is so long that it can't be printed on one line of a hundred columns", NULL},
};
static const struct config_table table = {"test_config", "tries settings", options, sizeof(options) / sizeof(options[0]), NULL};

/* The environment of one case: name, value, …, NULL. */
static const char *const *environment;

static const char *get(const char *name)
{
    for (const char *const *e = environment; *e != NULL; e += 2)
        if (strcmp(e[0], name) == 0)
            return e[1];
    return NULL;
}

/* Strings stay for the process's life: held here, they are no leak. */
static struct settings loaded[200];
static size_t load_count;

static const char *load(struct settings *settings, const char *const *env)
{
    memset(settings, 0, sizeof(*settings));
    environment = env;
    const char *error = config_load(&table, settings, get);
    loaded[load_count++ % 200] = *settings;
    return error;
}

#define ENV(...) ((const char *const[]){__VA_ARGS__, NULL, NULL})

static void test_defaults(void)
{
    struct settings s;
    check(load(&s, ENV(NULL)) == NULL, "nothing set is good");
    check(s.name[0] == '\0' && s.token[0] == '\0' && strcmp(s.url, "redis://127.0.0.1:6379") == 0, "texts have their defaults");
    check(s.port == 4043 && s.low == -5 && !s.flag, "so have numbers and flags");
    check(load(&s, ENV("PORT", "", "OLD_PORT", "", "TOKEN_FILE", "")) == NULL && s.port == 4043,
          "an empty variable counts as unset");
    check(load(&s, ENV("NAME", "x", "TOKEN", "geheim", "PORT", "1", "A_FLAG_OF_LENGTH", "yes")) == NULL && s.port == 1 && s.flag &&
              strcmp(s.name, "x") == 0 && strcmp(s.token, "geheim") == 0,
          "what is set counts");
}

static void test_int(void)
{
    static const struct {
        const char *text;
        int64_t want; /* -1: an error */
        const char *error;
    } rows[] = {
        {"0", 0, NULL},
        {"65535", 65535, NULL},
        {"007", 7, NULL},
        {"65536", -1, "PORT: 65536 is above 65535"},
        {"-1", -1, "PORT: -1 is below 0"},
        {"99999999999999999999", -1, "PORT: 99999999999999999999 is above 65535"},
        {"-99999999999999999999", -1, "PORT: -99999999999999999999 is below 0"},
        {"1e3", -1, "PORT: '1e3' is not a whole number"},
        {"0x10", -1, "PORT: '0x10' is not a whole number"},
        {"12 ", -1, "PORT: '12 ' is not a whole number"},
        {" 12", -1, "PORT: ' 12' is not a whole number"},
        {"+12", -1, "PORT: '+12' is not a whole number"},
        {"-", -1, "PORT: '-' is not a whole number"},
        {"4k", -1, "PORT: '4k' is not a whole number"},
    };
    struct settings s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        const char *error = load(&s, ENV("PORT", rows[i].text));
        if (rows[i].error == NULL)
            check(error == NULL && s.port == rows[i].want, "a number: %s", rows[i].text);
        else
            check_slice(slice_of(error == NULL ? "" : error), slice_of(rows[i].error), "no number: %s", rows[i].text);
    }
    check(load(&s, ENV("LOW", "-9223372036854775808")) == NULL && s.low == INT64_MIN, "the least 64-bit number");
    check(load(&s, ENV("LOW", "9223372036854775807")) == NULL && s.low == INT64_MAX, "the greatest");
    check(load(&s, ENV("LOW", "9223372036854775808")) != NULL, "one more is an error");
    check(load(&s, ENV("LOW", "-9223372036854775809")) != NULL, "one less as well");
}

static void test_flag(void)
{
    static const char *const on[] = {"on", "true", "yes", "1", "ON", "True"}, *const off[] = {"off", "false", "no", "0", "OFF"};
    struct settings s;
    for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); ++i)
        check(load(&s, ENV("SSE_FLAG", on[i])) == NULL && s.flag, "%s is on", on[i]);
    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); ++i)
        check(load(&s, ENV("SSE_FLAG", off[i])) == NULL && !s.flag, "%s is off", off[i]);
    const char *error = load(&s, ENV("SSE_FLAG", "2"));
    check_slice(slice_of(error), SLICE("A_FLAG_OF_LENGTH: '2' is neither on nor off"), "another word is an error");
}

static void test_alias_and_check(void)
{
    struct settings s;
    check(load(&s, ENV("OLD_PORT", "7")) == NULL && s.port == 7, "the alias counts");
    check(load(&s, ENV("OLD_PORT", "7", "PORT", "7")) == NULL && s.port == 7, "both may say the same");
    check_slice(slice_of(load(&s, ENV("OLD_PORT", "7", "PORT", "8"))), SLICE("PORT and OLD_PORT are set to different values"),
                "but not different things");
    check_slice(slice_of(load(&s, ENV("NAME", "bad"))), SLICE("NAME: 'bad' is no name"), "an option's own check is asked");
    check_slice(slice_of(load(&s, ENV("TOKEN", "x1y"))), SLICE("TOKEN: shorter than 4 bytes"),
                "and names the option, not the value");
}

static char file_path[] = "/tmp/test_config-XXXXXX";

static const char *with_file(struct settings *s, const char *name, const char *bytes, size_t n)
{
    FILE *file = fopen(file_path, "w");
    fwrite(bytes, 1, n, file);
    fclose(file);
    return load(s, ENV(name, file_path));
}

static void test_file(void)
{
    static char big[70000];
    struct settings s;
    close(mkstemp(file_path));
    memset(big, 'x', sizeof(big));
    check(with_file(&s, "TOKEN_FILE", "geheim\n", 7) == NULL && strcmp(s.token, "geheim") == 0,
          "a file's line break at the end is dropped");
    check(with_file(&s, "TOKEN_FILE", "geheim\r\n", 8) == NULL && strcmp(s.token, "geheim") == 0, "so is CRLF");
    check(with_file(&s, "TOKEN_FILE", " ge\nheim \n\n", 11) == NULL && strcmp(s.token, " ge\nheim \n") == 0,
          "but only one, and nothing else");
    check(with_file(&s, "TOKEN_FILE", "geheim", 6) == NULL && strcmp(s.token, "geheim") == 0, "it needs none");
    check(with_file(&s, "REDIS_URL_FILE", "unix:///x\n", 10) == NULL && strcmp(s.url, "unix:///x") == 0,
          "a URL may be in a file, too");
    check(with_file(&s, "TOKEN_FILE", big, 65536) == NULL && strlen(s.token) == 65536, "64 KiB are taken");
    check(with_file(&s, "NAME_FILE", "x", 1) == NULL && s.name[0] == '\0', "a plain text may not");

    static const struct {
        const char *fact;
        struct slice bytes;
        const char *why;
    } rows[] = {
        {"more than 64 KiB", {big, 65537}, " is longer than 65536 bytes"},
        {"an empty file", {"", 0}, " is empty"},
        {"a line break alone", {"\n", 1}, " is empty"},
        {"a NUL byte", {"geh\0eim", 7}, " holds a NUL byte"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        char want[200];
        snprintf(want, sizeof(want), "TOKEN_FILE: %s%s", file_path, rows[i].why);
        const char *error = with_file(&s, "TOKEN_FILE", rows[i].bytes.p, rows[i].bytes.n);
        check_slice(slice_of(error == NULL ? "" : error), slice_of(want), "refused: %s", rows[i].fact);
    }
    check_slice(slice_of(load(&s, ENV("TOKEN_FILE", file_path, "TOKEN", "geheim"))), SLICE("TOKEN and TOKEN_FILE are both set"),
                "the value and the file are one too many");
    unlink(file_path);
    const char *error = load(&s, ENV("TOKEN_FILE", file_path));
    check(strstr(error, "can't be read: No such file or directory") != NULL, "an absent file is named: %s", error);
}

/* Runs config_main() in a child with this argument and environment; its output is in `out`, the exit status is returned (-1: it ran on). */
static int run(const char *argument, const char *extra, const char *const *env, char *out, size_t size)
{
    int ends[2];
    if (pipe(ends) != 0)
        exit(2);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct settings s;
        char *argv[] = {"test_config", (char *)argument, (char *)extra, NULL};
        clearenv();
        for (; *env != NULL; env += 2)
            setenv(env[0], env[1], 1);
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        config_main(&table, &s, argument == NULL ? 1 : extra == NULL ? 2 : 3, argv);
        _exit(100);
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; (got = read(ends[0], out + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    out[n] = '\0';
    close(ends[0]);
    int status;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status) == 100 ? -1 : WEXITSTATUS(status);
}

static void test_main(void)
{
    char out[65536];
    const char *const *none = ENV(NULL);
    check(run(NULL, NULL, none, out, sizeof(out)) == -1 && out[0] == '\0', "without an argument the program runs, silently");
    check(run("--check-config", NULL, none, out, sizeof(out)) == 0 && out[0] == '\0', "--check-config is silent when all is good");
    check(run("--check-config", NULL, ENV("PORT", "70000"), out, sizeof(out)) == 1, "and fails when not");
    check_slice(slice_of(out), SLICE("test_config: PORT: 70000 is above 65535\n"), "with a sentence");
    check(run(NULL, NULL, ENV("PORT", "x"), out, sizeof(out)) == 1, "a bad setting ends the start");
    check(strstr(out, " level=error program=test_config msg=\"cannot start\" why=\"PORT: 'x' is not a whole number\"\n") != NULL,
          "with a line of the log");
    check(run(NULL, NULL, ENV("PORT", "x", "LOG_FORMAT", "json"), out, sizeof(out)) == 1, "LOG_FORMAT counts for it");
    check(strstr(out, ",\"msg\":\"cannot start\",\"why\":\"PORT: 'x' is not a whole number\"}\n") != NULL,
          "whatever else is wrong");
    check(run("--version", NULL, ENV("PORT", "x"), out, sizeof(out)) == 0, "--version does not need good settings");
    check_slice(slice_of(out), SLICE("test_config " SSE_VERSION "\n"), "and is one line");
    check(run("--wrong", NULL, none, out, sizeof(out)) == 1, "an unknown argument ends the start");
    check_slice(slice_of(out), SLICE("test_config: unknown argument '--wrong'; --help lists the arguments\n"), "with a sentence");
    check(run("--help", "--version", none, out, sizeof(out)) == 1, "so does a second argument");
}

static void test_print_config(void)
{
    static const struct {
        const char *url, *shown;
    } urls[] = {
        {"redis://me:geheim@host:1/2", "redis://me:***@host:1/2"},
        {"redis://:geheim@host", "redis://:***@host"},
        {"redis://me:ge@he/im@host", "redis://me:***@host"},
        {"redis://me:ge:heim@host", "redis://me:***@host"},
        {"unix://me:geheim@/run/redis.sock", "unix://me:***@/run/redis.sock"},
        {"me:geheim@host", "me:***@host"},
        {"redis://me@host:6379", "redis://me@host:6379"},
        {"redis://[::1]:6379/0", "redis://[::1]:6379/0"},
    };
    char out[65536], want[500];
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); ++i) {
        int status = run("--print-config", NULL, ENV("REDIS_URL", urls[i].url, "TOKEN", "geheim", "NAME", "x y", "SSE_FLAG", "1"),
                         out, sizeof(out));
        snprintf(want, sizeof(want), "NAME=x y\nTOKEN=***\nREDIS_URL=%s\nPORT=4043\nLOW=-5\nA_FLAG_OF_LENGTH=on\n", urls[i].shown);
        check_slice(slice_of(out), slice_of(want), "--print-config masks %s", urls[i].url);
        check(status == 0 && strstr(out, "heim") == NULL, "no secret is in it");
    }
    run("--print-config", NULL, ENV(NULL), out, sizeof(out));
    check(strstr(out, "TOKEN=\n") != NULL, "a secret that is not set shows as empty");
}

static void test_pages(void)
{
    char out[65536];
    check(run("--print-settings", NULL, ENV("PORT", "x"), out, sizeof(out)) == 0, "--print-settings does not need good settings");
    check_slice(
        slice_of(out),
        SLICE(
            "| setting | default | what it does |\n|---|---|---|\n"
            "| `NAME` | | what it is called |\n"
            "| `TOKEN` | | a secret (TOKEN_FILE: a file that holds it) |\n"
            "| `REDIS_URL` | `redis://127.0.0.1:6379` | where Redis is: `redis://` or `unix://`, a\\|b (REDIS_URL_FILE: a file "
            "that "
            "holds it) |\n"
            "| `PORT` | `4043` | the port (0 to 65535; also OLD_PORT) |\n"
            "| `LOW` | `-5` | any number at all (-9223372036854775808 to 9223372036854775807) |\n"
            "| `A_FLAG_OF_LENGTH` | `off` | a switch with a description that is so long that it can't be printed on one line of a "
            "hundred columns (on or off; also SSE_FLAG) |\n"),
        "it is the table in Markdown");
    check(run("--help", NULL, ENV(NULL), out, sizeof(out)) == 0, "--help exits with 0");
    bool fits = true, all = true;
    for (size_t i = 0; i < table.count; ++i)
        all = all && strstr(out, options[i].name) != NULL;
    check(all, "it names every setting");
    check(strstr(out, "  PORT              the port (0 to 65535, default 4043; also OLD_PORT)\n") != NULL,
          "with bounds, default and alias");
    struct slice rest = slice_of(out);
    while (rest.p != NULL)
        fits = slice_split(&rest, '\n').n <= 100 && fits;
    check(fits, "no line is longer than 100 columns");
    check(strstr(out, "\n                    ") != NULL, "a long description goes on below itself");
}

int main(void)
{
    test_defaults();
    test_int();
    test_flag();
    test_alias_and_check();
    test_file();
    test_main();
    test_print_config();
    test_pages();
    return check_end();
}
