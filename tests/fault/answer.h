/* One HTTP/1.1 answer that is an event stream, read as its bytes come: head, chunked coding, and the event stream format of WHATWG HTML
 * section 9.2.6. Written against the standards, sharing no code with what it tests. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { ANSWER_HEAD_MAX = 1024, ANSWER_LINE_MAX = 640, ANSWER_ID_MAX = 256 };

/* What stands between two blank lines. Texts are cut to the size of their field. */
struct answer_event {
    unsigned lines; /* of data; 0: nothing fires in a browser */
    char type[32]; /* "" is "message" */
    char first[ANSWER_LINE_MAX]; /* the first line of data */
    char last[64]; /* the last one */
    char id[ANSWER_ID_MAX]; /* the last event id from here on, "" when none was ever set */
};

enum answer_part { ANSWER_HEAD, ANSWER_SIZE, ANSWER_SIZE_END, ANSWER_BODY, ANSWER_BODY_END, ANSWER_TRAILER };

struct answer {
    enum answer_part part;
    int status; /* once the head is read, else 0 */
    bool chunked, after_cr;
    size_t left; /* of the chunk */
    unsigned head_len, line_len;
    char head[ANSWER_HEAD_MAX], line[ANSWER_LINE_MAX];
    struct answer_event event;
};

enum answer_result {
    ANSWER_MORE,
    ANSWER_ENDED, /* by its last chunk */
    ANSWER_BROKEN, /* not HTTP/1.1, or not chunked as it should be */
};

/* `id` is where the client stood before, "" for nowhere. */
void answer_start(struct answer *answer, const char *id);

/* Calls on_event for each complete event; it must not free the answer. */
enum answer_result answer_feed(struct answer *answer, const char *bytes, size_t n,
                               void (*on_event)(void *data, const struct answer_event *event), void *data);
