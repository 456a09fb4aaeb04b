/* runtime/log: what reaches file descriptor 2. It is a SOCK_SEQPACKET socket here, so one packet is one write(2). */
#include "runtime/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"

static int log_end; /* where the lines come out */
static char packet[65536];

static void catch_stderr(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        exit(2);
    dup2(ends[0], STDERR_FILENO);
    close(ends[0]);
    log_end = ends[1];
}

/* The next line written, {NULL, 0} when there is none. */
static struct slice caught(void)
{
    ssize_t n = recv(log_end, packet, sizeof(packet), MSG_DONTWAIT);
    return n < 0 ? (struct slice){NULL, 0} : slice_make(packet, (size_t)n);
}

static struct slice after(struct slice line, const char *mark)
{
    const char *at = line.p == NULL ? NULL : memmem(line.p, line.n, mark, strlen(mark));
    return at == NULL ? (struct slice){NULL, 0} : slice_from(line, (size_t)(at - line.p) + strlen(mark));
}

static void test_shape(void)
{
    log_info("listening", log_int("port", 4043), log_str("place", "127.0.0.1:6379"), log_int("low", INT64_MIN));
    struct slice line = caught();
    /* time=2026-11-21T11:40:00.123Z */
    bool time_ok = line.n > 30 && memcmp(line.p, "time=20", 7) == 0 && line.p[15] == 'T' && line.p[24] == '.' && line.p[28] == 'Z';
    check(time_ok, "a line begins with the time in UTC and milliseconds");
    check_slice(after(line, "Z "),
                SLICE("level=info program=test_log msg=\"listening\" port=4043 place=127.0.0.1:6379 low=-9223372036854775808\n"),
                "level, program, message and fields follow in order");
    check(caught().p == NULL, "a line is one write");
}

static void test_values(void)
{
    static const struct {
        const char *fact;
        struct slice value;
        const char *want;
    } rows[] = {
        {"plain text stays bare", {"a-Z0._:/@+", 10}, "a-Z0._:/@+"},
        {"an empty value is quoted", {"", 0}, "\"\""},
        {"a blank is quoted", {"a b", 3}, "\"a b\""},
        {"an equals sign is quoted", {"a=b", 3}, "\"a=b\""},
        {"a quote is escaped", {"a\"b", 3}, "\"a\\x22b\""},
        {"a backslash is escaped", {"a\\b", 3}, "\"a\\x5Cb\""},
        {"a line break can't forge a line", {"a\nlevel=error", 13}, "\"a\\x0Alevel=error\""},
        {"CR, NUL, ESC and DEL are escaped", {"\r\0\x1b\x7f", 4}, "\"\\x0D\\x00\\x1B\\x7F\""},
        {"UTF-8 stays", {"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80", 11}, "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\""},
        {"a C1 control character is escaped", {"\xc2\x9b", 2}, "\"\\xC2\\x9B\""},
        {"a byte that is not UTF-8 is escaped", {"\xff", 1}, "\"\\xFF\""},
        {"a cut sequence is escaped", {"\xe2\x82", 2}, "\"\\xE2\\x82\""},
        {"an overlong form is escaped", {"\xc0\xaf", 2}, "\"\\xC0\\xAF\""},
        {"a surrogate is escaped", {"\xed\xa0\x80", 3}, "\"\\xED\\xA0\\x80\""},
        {"above U+10FFFF is escaped", {"\xf4\x90\x80\x80", 4}, "\"\\xF4\\x90\\x80\\x80\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        log_info("x", log_slice("v", rows[i].value));
        struct slice got = after(caught(), " v=");
        check_slice(slice_make(got.p, got.n == 0 ? 0 : got.n - 1), slice_of(rows[i].want), "%s", rows[i].fact);
    }
}

static void test_length(void)
{
    static char big[100000];
    memset(big, 'y', sizeof(big));
    log_info("x", log_slice("v", slice_make(big, 1024)));
    check(after(caught(), " v=").n == 1024 + 1, "a value of 1024 bytes is whole");
    log_info("x", log_slice("v", slice_make(big, 1025)), log_int("next", 1));
    check_slice(slice_from(after(caught(), " v="), 1 + 1024), SLICE("\xe2\x80\xa6\" next=1\n"),
                "a longer one is cut, marked, and the next field stands");
    memcpy(big + 1023, "\xe2\x82\xac", 3);
    log_info("x", log_slice("v", slice_make(big, 2000)));
    check_slice(slice_from(after(caught(), " v=\""), 1023), SLICE("\xe2\x80\xa6\"\n"), "the cut does not split a character");
    memset(big, '\x01', sizeof(big));
    struct slice worst = slice_make(big, sizeof(big));
    log_info("x", log_slice("a", worst), log_slice("b", worst), log_slice("c", worst), log_int("d", 1));
    struct slice line = caught();
    check(line.n <= 8192 && line.n > 4096, "a line is at most 8 KiB (%d)", (int)line.n);
    check(after(line, " cut=yes\n").p != NULL && after(line, " a=").p != NULL && after(line, " c=").p == NULL,
          "fields that don't fit go whole, and the line says so");
    check(memchr(line.p, '\n', line.n) == line.p + line.n - 1, "it is still one line");
}

static void test_levels(void)
{
    log_debug("quiet");
    check(caught().p == NULL, "debug is off from the start");
    log_set_level(LOG_DEBUG);
    log_debug("loud");
    check(after(caught(), "level=debug").p != NULL, "debug can be switched on");
    log_set_level(LOG_ERROR);
    log_warn("no");
    check(caught().p == NULL, "below the level nothing is written");
    log_error("yes");
    check(after(caught(), "level=error").p != NULL, "at the level it is");
    log_set_level(LOG_INFO);
    errno = EBADF;
    log_info("errno");
    check(errno == EBADF, "errno survives");
    caught();
    enum log_level level = LOG_INFO;
    check(log_level_parse(&level, "warn") && level == LOG_WARN, "a level is read from its name");
    check(!log_level_parse(&level, "WARNING") && level == LOG_WARN, "another name is refused");
}

static void test_json(void)
{
    static const struct {
        const char *fact;
        struct slice value;
        const char *want;
    } rows[] = {
        {"plain text is quoted", {"a-Z0", 4}, "\"a-Z0\""},
        {"an empty one, too", {"", 0}, "\"\""},
        {"a quote and a backslash are escaped", {"a\"b\\", 4}, "\"a\\\"b\\\\\""},
        {"a line break can't forge a line", {"a\n{", 3}, "\"a\\u000a{\""},
        {"NUL and DEL are escaped", {"\0\x7f", 2}, "\"\\u0000\\u007f\""},
        {"UTF-8 stays", {"gr\xc3\xbc\xc3\x9f", 6}, "\"gr\xc3\xbc\xc3\x9f\""},
        {"a byte that is not UTF-8 is spelt", {"\xff", 1}, "\"\\\\xFF\""},
    };
    log_set_format("json");
    log_info("listening", log_int("port", -1), log_str("place", "here"));
    check_slice(after(caught(), "Z\","),
                SLICE("\"level\":\"info\",\"program\":\"test_log\",\"msg\":\"listening\",\"port\":-1,\"place\":\"here\"}\n"),
                "a JSON line has the same fields in the same order");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        log_info("x", log_slice("v", rows[i].value));
        struct slice got = after(caught(), ",\"v\":");
        check_slice(slice_make(got.p, got.n < 2 ? 0 : got.n - 2), slice_of(rows[i].want), "%s", rows[i].fact);
    }
    static char big[20000];
    memset(big, '\x01', sizeof(big));
    struct slice worst = slice_make(big, sizeof(big));
    log_info("x", log_slice("a", worst), log_slice("b", worst), log_slice("c", worst));
    struct slice line = caught();
    check(line.n <= 8192 && after(line, ",\"cut\":\"yes\"}\n").p != NULL, "a line that is too long says so and is still whole");
    log_set_format("text");
}

static void test_budget(void)
{
    struct log_budget budget = {0};
    int64_t left_out = -1;
    for (int i = 0; i < LOG_BUDGET_LINES; ++i)
        check(log_budget_take(&budget, &left_out) && left_out == 0, "line %d of a second may be written", i + 1);
    check(!log_budget_take(&budget, &left_out) && !log_budget_take(&budget, &left_out), "the next ones may not");
    budget.began_ms -= 1000;
    check(log_budget_take(&budget, &left_out) && left_out == 2, "a second later one may, and says how many were left out");
    check(log_budget_take(&budget, &left_out) && left_out == 0, "once");
}

static void test_limit(void)
{
    struct log_limit limit = {0};
    check(log_allowed(&limit), "the first of a kind may be logged");
    bool second = log_allowed(&limit);
    check(!second, "the second within a second may not");
    limit.next_ms -= 1000;
    check(log_allowed(&limit), "a second later it may again");
}

static void test_die(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        die("PORT: %d is above 65535\n%s", 70000, "forged");
    int status;
    waitpid(pid, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 1, "die() exits with 1");
    check_slice(caught(), SLICE("test_log: PORT: 70000 is above 65535?forged\n"), "it prints one sentence");
    fflush(stdout);
    if (fork() == 0) {
        log_starting();
        die("PORT: is wrong");
    }
    wait(&status);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 1, "so it does at a start");
    check_slice(after(caught(), "Z "), SLICE("level=error program=test_log msg=\"cannot start\" why=\"PORT: is wrong\"\n"),
                "there it is a line of the log");
}

int main(void)
{
    catch_stderr();
    test_shape();
    test_values();
    test_length();
    test_levels();
    test_json();
    test_budget();
    test_limit();
    test_die();
    return check_end();
}
