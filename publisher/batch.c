#include "publisher/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <yajl/yajl_gen.h>

#include "publisher/answer.h"
#include "runtime/http.h"
#include "runtime/seeded_hash.h"

/* What became of a line. */
struct fate {
    unsigned number; /* the line's, in the body */
    struct fate *next; /* the next line of its channel */
    int status; /* of a refusal; 0: it was published */
    struct slice text; /* its id, or the sentence of the refusal; in its group's bytes, or static */
};

/* The lines of one channel. */
struct group {
    struct batch *batch;
    struct slice channel; /* stands only until all groups are sent */
    size_t count;
    struct fate *first, *last;
    char *bytes; /* of its lines' texts */
    UT_hash_handle hh;
};

struct batch {
    struct answer answer;
    bool named; /* POST /channels */
    size_t waiting; /* groups that the bus has not answered for, and one more until all are sent */
    size_t count;
    struct fate *fates; /* one for each line */
    struct group *groups; /* in the order of their first lines */
    size_t group_count;
};

static void *zeroed(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (p == NULL)
        abort();
    return p;
}

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; i != batch->group_count; ++i)
        free(batch->groups[i].bytes);
    free(batch->groups);
    free(batch->fates);
    free(batch);
}

/* ---- the answer ---- */

static void put_string(yajl_gen gen, struct slice text)
{
    yajl_gen_string(gen, (const unsigned char *)text.p, text.n);
}

/* {"ids":[…]} */
static void put_ids(yajl_gen gen, const struct batch *batch)
{
    yajl_gen_map_open(gen);
    put_string(gen, SLICE("ids"));
    yajl_gen_array_open(gen);
    for (size_t i = 0; i != batch->count; ++i)
        put_string(gen, batch->fates[i].text);
    yajl_gen_array_close(gen);
    yajl_gen_map_close(gen);
}

/* {"id":"…"} or {"error":"…","status":409} for each line. */
static void put_lines(yajl_gen gen, const struct batch *batch)
{
    for (const struct fate *fate = batch->fates; fate != batch->fates + batch->count; ++fate) {
        yajl_gen_map_open(gen);
        put_string(gen, fate->status == 0 ? SLICE("id") : SLICE("error"));
        put_string(gen, fate->text);
        if (fate->status != 0) {
            put_string(gen, SLICE("status"));
            yajl_gen_integer(gen, fate->status);
        }
        yajl_gen_map_close(gen);
        yajl_gen_reset(gen, "\n");
    }
}

static void send_answer(h2o_req_t *req, const struct batch *batch)
{
    const unsigned char *text;
    size_t length;
    yajl_gen gen = yajl_gen_alloc(NULL);
    if (gen == NULL)
        abort();
    (batch->named ? put_lines : put_ids)(gen, batch);
    yajl_gen_get_buf(gen, &text, &length);
    http_send(req, 200, batch->named ? "application/x-ndjson" : "application/json", slice_make((const char *)text, length));
    yajl_gen_free(gen);
}

/* One less to wait for; with the last one the request is answered. */
static void settle(struct batch *batch)
{
    if (--batch->waiting != 0)
        return;
    h2o_req_t *req = answer_take(&batch->answer);
    const struct fate *first = batch->fates;
    if (req != NULL && !batch->named && first->status != 0)
        answer_refuse(req, first->status, first->text.p);
    else if (req != NULL)
        send_answer(req, batch);
    batch_free(batch);
}

/* ---- a channel's lines ---- */

static void refuse(const struct group *group, int status, const char *why)
{
    for (struct fate *fate = group->first; fate != NULL; fate = fate->next) {
        fate->status = status;
        fate->text = slice_of(why);
    }
}

static unsigned line_of(const struct group *group, size_t nth)
{
    const struct fate *fate = group->first;
    while (--nth != 0)
        fate = fate->next;
    return fate->number;
}

/* The function's sentence on the heap; it counts events where the author counts lines: "event 2" may be "line 7". */
static char *name_lines(const struct group *group, const char *why)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        abort();
    for (const char *next; (next = strstr(why, "event ")) != NULL; why = next) {
        char *end;
        size_t nth = strtoul(next + 6, &end, 10);
        bool counts = next[6] >= '1' && next[6] <= '9' && nth <= group->count;
        fwrite(why, 1, (size_t)(next - why), out);
        if (counts)
            fprintf(out, "line %u", line_of(group, nth));
        else
            fwrite(next, 1, (size_t)(end - next), out);
        next = end;
    }
    fputs(why, out);
    fclose(out);
    return text;
}

static void take_ids(struct group *group, const struct slice *ids)
{
    size_t bytes = 0;
    for (size_t i = 0; i != group->count; ++i)
        bytes += ids[i].n;
    char *end = group->bytes = zeroed(bytes + 1, 1);
    for (struct fate *fate = group->first; fate != NULL; fate = fate->next, ++ids) {
        memcpy(end, ids->p, ids->n);
        fate->text = slice_make(end, ids->n);
        end += ids->n;
    }
}

static void on_published(void *data, const struct publish_answer *answer)
{
    struct group *group = data;
    int status = answer_status(answer->outcome);
    answer_count(&group->batch->answer, answer->outcome, group->count);
    if (status == 0) {
        take_ids(group, answer->ids);
    } else {
        group->bytes = name_lines(group, answer->why);
        refuse(group, status, group->bytes);
    }
    settle(group->batch);
}

/* Gives each line its group. */
static struct group *group_lines(struct batch *batch, const struct post *post)
{
    struct group *table = NULL, *group;
    for (size_t i = 0; i != batch->count; ++i) {
        const struct line *line = &post->lines.items[i];
        struct slice channel = batch->named ? line->channel : post->publish.channel;
        struct fate *fate = &batch->fates[i];
        HASH_FIND(hh, table, channel.p, channel.n, group);
        if (group == NULL) {
            group = &batch->groups[batch->group_count++];
            *group = (struct group){.batch = batch, .channel = channel, .first = fate, .last = fate};
            HASH_ADD_KEYPTR(hh, table, channel.p, channel.n, group);
        }
        fate->number = line->number;
        group->last = group->last->next = fate;
        fate->next = NULL;
        ++group->count;
    }
    return table;
}

/* `events`: room for the pointers of all lines. */
static void send_group(struct publish *bus, struct group *group, const struct post *post, const struct publish_event **events)
{
    const struct fate *fates = group->batch->fates;
    size_t count = 0;
    if (post->granted != NULL && !post->granted[group->first - fates]) {
        refuse(group, 403, ACCESS_NOT_GRANTED_SENTENCE);
        return;
    }
    for (const struct fate *fate = group->first; fate != NULL; fate = fate->next)
        events[count++] = &post->lines.items[fate - fates].event;
    struct publish_request request = post->publish;
    request.channel = group->channel;
    ++group->batch->waiting;
    publish_send_many(bus, &request, events, count, on_published, group);
}

void batch_send(struct publish *bus, h2o_req_t *req, const struct post *post, uint64_t began_us)
{
    struct batch *batch = zeroed(1, sizeof(*batch));
    size_t count = post->lines.count;
    *batch = (struct batch){.named = post->route == POST_CHANNELS,
                            .waiting = 1,
                            .count = count,
                            .fates = zeroed(count, sizeof(*batch->fates)),
                            .groups = zeroed(count, sizeof(*batch->groups))};
    const struct publish_event **events = zeroed(count, sizeof(*events));
    answer_await(&batch->answer, req, began_us);
    struct group *table = group_lines(batch, post);
    HASH_CLEAR(hh, table);
    for (size_t i = 0; i != batch->group_count; ++i)
        send_group(bus, &batch->groups[i], post, events);
    free(events);
    settle(batch);
}
