#include "tests/fault/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct commands {
    struct follow *follow;
    char line[16384];
    size_t n;
    const char *waiting; /* the name of the command that is not answered yet, or NULL */
    uint64_t since, until;
    uint32_t *expect; /* for each channel */
};

struct commands *commands_create(struct follow *follow)
{
    struct commands *commands = calloc(1, sizeof(*commands));
    uint32_t *expect = calloc(follow->channels, sizeof(*expect));
    if (commands == NULL || expect == NULL)
        abort();
    commands->follow = follow;
    commands->expect = expect;
    return commands;
}

static bool stream_complete(const struct follow *follow, const struct stream *stream, const uint32_t *expect)
{
    for (unsigned i = 0; i < follow->each; ++i)
        if (stream->tracks[i].last < expect[follow_channel(follow, stream, i)])
            return false;
    return true;
}

static unsigned count_complete(const struct commands *commands)
{
    const struct follow *follow = commands->follow;
    unsigned complete = 0;
    for (unsigned i = 0; i < follow->count; ++i)
        complete += follow->streams[i].how != NORMAL || stream_complete(follow, &follow->streams[i], commands->expect);
    return complete;
}

static void number(const char *name, uint64_t value)
{
    printf(",\"%s\":%llu", name, (unsigned long long)value);
}

static void answer(struct commands *commands, const char *did, bool good)
{
    struct follow *follow = commands->follow;
    const struct tally *tally = &follow->tally;
    printf("{\"did\":\"%s\",\"good\":%s", did, good ? "true" : "false");
    number("streams", follow->count);
    number("open", follow->open);
    number("complete", count_complete(commands));
    number("events", tally->events);
    number("lost", tally->lost);
    number("duplicated", tally->duplicated);
    number("twins", tally->twins);
    number("retold", tally->retold);
    number("out_of_order", tally->out_of_order);
    number("gaps", tally->gaps);
    number("told", tally->told);
    number("needless_gaps", tally->needless_gaps);
    number("malformed", tally->malformed);
    number("connects", follow->connects);
    number("reconnects", follow->connects > follow->count ? follow->connects - follow->count : 0);
    number("refused", follow->refused);
    number("ended", follow->ended);
    number("cut", follow->cut);
    number("silence_ms", follow_silence(follow));
    printf("}\n");
    fflush(stdout);
}

static void wait_for(struct commands *commands, const char *what, uint64_t ms)
{
    commands->waiting = what;
    commands->since = now_ms();
    commands->until = commands->since + ms;
    commands_tick(commands);
}

/* Numbers after the time limit: one for all channels, or one for each. */
static void read_expect(struct commands *commands, const char *text)
{
    unsigned channels = commands->follow->channels, n = 0;
    char *end;
    for (unsigned long value = strtoul(text, &end, 10); end != text && n < channels; value = strtoul(text, &end, 10)) {
        commands->expect[n++] = (uint32_t)value;
        text = end;
    }
    for (; n != 0 && n < channels; ++n)
        commands->expect[n] = commands->expect[n - 1];
}

/* open MS | expect MS N [N…] | report | listen | hold | go | stall N | drip N | unstall N. From `listen` on the longest silence is counted anew. */
static void run(struct commands *commands, const char *line)
{
    struct follow *follow = commands->follow;
    char word[16] = "";
    unsigned value = 0;
    int at = 0;
    sscanf(line, "%15s %u%n", word, &value, &at);
    if (strcmp(word, "open") == 0) {
        wait_for(commands, "open", value);
        return;
    }
    if (strcmp(word, "expect") == 0) {
        read_expect(commands, line + at);
        wait_for(commands, "expect", value);
        return;
    }
    if (strcmp(word, "listen") == 0)
        follow->silence_ms = 0;
    else if (strcmp(word, "hold") == 0)
        follow_hold(follow);
    else if (strcmp(word, "go") == 0)
        follow_go(follow);
    else if (strcmp(word, "stall") == 0)
        follow_read(follow, value, STALLED);
    else if (strcmp(word, "drip") == 0)
        follow_read(follow, value, DRIPPING);
    else if (strcmp(word, "unstall") == 0)
        follow_read(follow, value, NORMAL);
    answer(commands, word, strcmp(word, "") != 0);
}

bool commands_read(struct commands *commands)
{
    ssize_t n = read(0, commands->line + commands->n, sizeof(commands->line) - 1 - commands->n);
    if (n <= 0)
        return false;
    commands->n += (size_t)n;
    commands->line[commands->n] = 0;
    char *line = commands->line;
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = 0;
        run(commands, line);
    }
    commands->n -= (size_t)(line - commands->line);
    memmove(commands->line, line, commands->n);
    return true;
}

static bool came_true(const struct commands *commands)
{
    const struct follow *follow = commands->follow;
    if (strcmp(commands->waiting, "open") == 0)
        return follow->open == follow->count && follow->positioned == follow->count;
    return count_complete(commands) == follow->count;
}

void commands_tick(struct commands *commands)
{
    if (commands->waiting == NULL)
        return;
    bool good = came_true(commands);
    if (!good && now_ms() < commands->until)
        return;
    const char *did = commands->waiting;
    commands->waiting = NULL;
    answer(commands, did, good);
}
