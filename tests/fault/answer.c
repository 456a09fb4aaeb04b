#include "tests/fault/answer.h"

#include <stdio.h>
#include <string.h>

struct feed {
    void (*on_event)(void *data, const struct answer_event *event);
    void *data;
};

void answer_start(struct answer *answer, const char *id)
{
    *answer = (struct answer){.part = ANSWER_HEAD};
    snprintf(answer->event.id, sizeof(answer->event.id), "%s", id);
}

static void copy(char *to, size_t size, const char *from)
{
    size_t n = strnlen(from, size - 1);
    memcpy(to, from, n);
    to[n] = 0;
}

static void field(struct answer_event *event, const char *name, const char *value)
{
    if (strcmp(name, "data") == 0) {
        if (event->lines++ == 0)
            copy(event->first, sizeof(event->first), value);
        copy(event->last, sizeof(event->last), value);
    } else if (strcmp(name, "event") == 0) {
        copy(event->type, sizeof(event->type), value);
    } else if (strcmp(name, "id") == 0) {
        copy(event->id, sizeof(event->id), value);
    }
}

static void dispatch(struct answer *answer, const struct feed *feed)
{
    feed->on_event(feed->data, &answer->event);
    answer->event.lines = 0;
    answer->event.type[0] = 0;
}

static void line_end(struct answer *answer, const struct feed *feed)
{
    char *line = answer->line;
    line[answer->line_len] = 0;
    if (answer->line_len == 0) {
        dispatch(answer, feed);
    } else if (line[0] != ':') {
        char *colon = strchr(line, ':');
        char *value = colon == NULL ? line + answer->line_len : colon + 1;
        if (colon != NULL)
            *colon = 0;
        field(&answer->event, line, *value == ' ' ? value + 1 : value);
    }
    answer->line_len = 0;
}

static void text_byte(struct answer *answer, char c, const struct feed *feed)
{
    bool twin = answer->after_cr && c == '\n';
    answer->after_cr = c == '\r';
    if (twin)
        return;
    if (c == '\n' || c == '\r')
        line_end(answer, feed);
    else if (answer->line_len < ANSWER_LINE_MAX - 1)
        answer->line[answer->line_len++] = c;
}

static enum answer_result head_byte(struct answer *answer, char c)
{
    if (answer->head_len == ANSWER_HEAD_MAX - 1)
        return ANSWER_BROKEN;
    answer->head[answer->head_len++] = c;
    answer->head[answer->head_len] = 0;
    if (answer->head_len < 4 || memcmp(answer->head + answer->head_len - 4, "\r\n\r\n", 4) != 0)
        return ANSWER_MORE;
    if (sscanf(answer->head, "HTTP/1.1 %d", &answer->status) != 1)
        return ANSWER_BROKEN;
    answer->chunked = strcasestr(answer->head, "\r\ntransfer-encoding: chunked") != NULL;
    answer->part = answer->chunked ? ANSWER_SIZE : ANSWER_BODY;
    return ANSWER_MORE;
}

static enum answer_result size_byte(struct answer *answer, char c)
{
    if (c >= '0' && c <= '9')
        answer->left = answer->left * 16 + (size_t)(c - '0');
    else if ((c | 32) >= 'a' && (c | 32) <= 'f')
        answer->left = answer->left * 16 + (size_t)((c | 32) - 'a' + 10);
    else if (c == '\r')
        answer->part = ANSWER_SIZE_END;
    else
        return ANSWER_BROKEN;
    return ANSWER_MORE;
}

/* A byte that is not of the body. */
static enum answer_result frame_byte(struct answer *answer, char c)
{
    switch (answer->part) {
    case ANSWER_HEAD:
        return head_byte(answer, c);
    case ANSWER_SIZE:
        return size_byte(answer, c);
    case ANSWER_SIZE_END:
        answer->part = answer->left == 0 ? ANSWER_TRAILER : ANSWER_BODY;
        return c == '\n' ? ANSWER_MORE : ANSWER_BROKEN;
    case ANSWER_BODY_END:
        if (c == '\n')
            answer->part = ANSWER_SIZE;
        return c == '\n' || c == '\r' ? ANSWER_MORE : ANSWER_BROKEN;
    case ANSWER_TRAILER:
        return c == '\n' ? ANSWER_ENDED : c == '\r' ? ANSWER_MORE : ANSWER_BROKEN;
    case ANSWER_BODY:
        break;
    }
    return ANSWER_BROKEN;
}

enum answer_result answer_feed(struct answer *answer, const char *bytes, size_t n,
                               void (*on_event)(void *data, const struct answer_event *event), void *data)
{
    struct feed feed = {on_event, data};
    for (size_t i = 0; i < n; ++i) {
        if (answer->part != ANSWER_BODY) {
            enum answer_result result = frame_byte(answer, bytes[i]);
            if (result != ANSWER_MORE)
                return result;
            continue;
        }
        text_byte(answer, bytes[i], &feed);
        if (answer->chunked && --answer->left == 0)
            answer->part = ANSWER_BODY_END;
    }
    return ANSWER_MORE;
}
