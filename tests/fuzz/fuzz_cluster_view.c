/* Input: twice the answers to CLUSTER SLOTS (as Redis says it) and to CLUSTER NODES (the text), each a field.
 * A view names only nodes it has, each once, with an address; together each slot goes to one that a view names for it, to none with a lesser epoch than
 * another, and to none that says itself that it has not got it. */
#include "runtime/redis/cluster_view.h"

#include <stdio.h>

#include "tests/fuzz/fuzz.h"

static redisReply *reply_of(struct slice bytes)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    redisReaderFeed(reader, bytes.p, bytes.n);
    if (redisReaderGetReply(reader, &reply) != REDIS_OK)
        reply = NULL;
    redisReaderFree(reader);
    return reply;
}

static redisReply *text_reply(struct slice text)
{
    char head[32];
    struct text bytes = {NULL, 0, 0};
    text_add(&bytes, slice_make(head, (size_t)snprintf(head, sizeof(head), "$%zu\r\n", text.n)));
    text_add(&bytes, text);
    text_add(&bytes, SLICE("\r\n"));
    redisReply *reply = reply_of(text_slice(&bytes));
    text_free(&bytes);
    return reply;
}

static void check_view(const struct cluster_view *view)
{
    must(view->count <= CLUSTER_NODES_MAX);
    for (size_t i = 0; i != view->count; ++i) {
        must(memchr(view->nodes[i].id, 0, CLUSTER_ID_MAX) != NULL && view->nodes[i].id[0] != '\0');
        must(view->nodes[i].at.host[0] != '\0' && view->nodes[i].at.port != 0);
        for (size_t j = 0; j != i; ++j)
            must(strcmp(view->nodes[i].id, view->nodes[j].id) != 0);
    }
    for (size_t slot = 0; slot != SLOTS; ++slot)
        must(view->owner[slot] <= view->count);
}

static void read_view(struct cluster_view *out, struct slice *rest)
{
    static const struct redis_node asked = {"asked", 7000};
    redisReply *slots = reply_of(next_field(rest)), *nodes = text_reply(next_field(rest));
    const char *why = slots == NULL ? "none" : cluster_view_read_slots(out, slots, &asked);
    if (why == NULL && nodes != NULL)
        why = cluster_view_read_epochs(out, nodes);
    must(why == NULL || why[0] != '\0');
    check_view(out);
    if (slots != NULL)
        freeReplyObject(slots);
    if (nodes != NULL)
        freeReplyObject(nodes);
}

static const struct cluster_node *owner_of(const struct cluster_view *view, size_t slot)
{
    return view->owner[slot] == 0 ? NULL : &view->nodes[view->owner[slot] - 1];
}

/* Whether the node that `said` is says itself that the slot is not its own. */
static bool is_denied(const struct cluster_view *views, const struct cluster_node *said, size_t slot)
{
    for (size_t i = 0; i != 2; ++i)
        if (views[i].nodes != NULL && views[i].self != 0 && strcmp(views[i].nodes[views[i].self - 1].id, said->id) == 0)
            return views[i].owner[slot] != views[i].self;
    return false;
}

static bool all_denied(const struct cluster_view *views, size_t slot)
{
    bool any = false;
    for (size_t i = 0; i != 2; ++i)
        any = any || (owner_of(&views[i], slot) != NULL && !is_denied(views, owner_of(&views[i], slot), slot));
    return !any;
}

static void check_slot(const struct cluster_view *merged, const struct cluster_view *views, size_t slot)
{
    const struct cluster_node *node = owner_of(merged, slot);
    bool hear_all = all_denied(views, slot);
    uint64_t most = 0, its = 0;
    bool named = false;
    for (size_t i = 0; i != 2; ++i) {
        const struct cluster_node *said = owner_of(&views[i], slot);
        if (said == NULL || (!hear_all && is_denied(views, said, slot)))
            continue;
        must(node != NULL);
        most = said->epoch > most ? said->epoch : most;
        if (strcmp(said->id, node->id) == 0) {
            named = true;
            its = said->epoch > its ? said->epoch : its;
        }
    }
    must((node != NULL) == named && its == most);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cluster_view views[2], merged;
    struct slice rest = slice_make((const char *)data, size);
    for (size_t i = 0; i != 2; ++i)
        read_view(&views[i], &rest);
    cluster_view_merge(&merged, (const struct cluster_view *const[]){&views[0], &views[1]}, 2, &views[0]);
    check_view(&merged);
    for (size_t slot = 0; slot != SLOTS; ++slot)
        check_slot(&merged, views, slot);
    must(cluster_view_eq(&merged, &merged));
    for (size_t i = 0; i != 2; ++i)
        cluster_view_dispose(&views[i]);
    cluster_view_dispose(&merged);
    return 0;
}
